//! On what terms clients are served: by echo or by HTTP alike.

use std::time::Duration;

use evy::ClientLimit;
use evy::tls::TlsAcceptor;

use crate::visit::Guestbook;

/// What is the same for all sockets of a core.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Of all kinds.
    pub(crate) clients: ClientLimit,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) acceptor: Option<TlsAcceptor>,
    /// HTTP is spoken, and not bytes alone.
    pub(crate) http: bool,
    pub(crate) book: Guestbook,
}
