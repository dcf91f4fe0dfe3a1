//! The last descriptor of a connection, which is to be closed well: after the peer has closed its side.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use evy_runtime::io::GreenFd;

/// Such a descriptor. Its connection is not over before this is dropped.
pub(super) struct Lingering {
    /// A green one: who has run out of descriptors hears of its close.
    fd: Option<GreenFd>,
    connection: Arc<dyn Lingers>,
}

/// A connection whose last descriptor may outlive its streams.
pub(super) trait Lingers: Send + Sync {
    /// That descriptor is closed.
    fn has_lingered(&self);
}

impl Lingering {
    pub(super) fn new(fd: OwnedFd, connection: Arc<impl Lingers + 'static>) -> Self {
        Self { fd: Some(GreenFd::new(fd)), connection }
    }

    /// Takes the descriptor out, for who closes it before the rest is dropped.
    pub(super) fn take_fd(&mut self) -> Option<OwnedFd> {
        self.fd.take().map(GreenFd::into_fd)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        // Closed before the connection counts as over.
        drop(self.fd.take());
        self.connection.has_lingered();
    }
}
