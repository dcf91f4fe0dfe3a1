//! The usual loop: a green thread for each connection.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::ControlFlow;

use crate::{Listener, Server, is_shortage};

/// Connections that are served at once; at the limit it stops accepting.
const CLIENTS: usize = 1000;

/// What a handler returns as its error to end [`serve`], or a [`Server`], well: `Err(StopServe.into())`.
///
/// ```
/// let error: std::io::Error = evy_green_net::StopServe.into();
/// assert!(error.get_ref().unwrap().is::<evy_green_net::StopServe>());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopServe;

impl fmt::Display for StopServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler asked to stop serving")
    }
}

impl Error for StopServe {}

impl From<StopServe> for io::Error {
    fn from(stop: StopServe) -> Self {
        Self::other(stop)
    }
}

/// Serves each connection of `listener` on a green thread of its own that calls `handler`.
///
/// As in Evy, a handler's error ends it and is returned, and an error made of [`StopServe`] ends it
/// with `Ok`; handlers that are at work go on either way. A handler's panic is reported and ends that
/// connection alone. At most 1,000 connections are served at once; more wait to be accepted. Where
/// descriptors or memory run out it pauses, 5 ms to 1 s, and goes on. A [`Server`] reports errors and
/// goes on, and can be stopped.
///
/// ```
/// use std::io::Write;
/// use evy_green_net::{StopServe, connect, listen, serve};
///
/// let listener = listen("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// evy_runtime::spawn_n(move || connect(address));
/// serve(listener, |mut client, _| {
///     client.write_all(b"goodbye")?;
///     Err(StopServe.into())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The first handler's error, or one of `accept` that no pause mends.
///
/// # Yields
///
/// Until it ends.
#[track_caller]
pub fn serve<L: Listener>(
    listener: L,
    handler: impl Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
) -> io::Result<()> {
    let as_evy = |error: &io::Error, client: Option<&L::Addr>| {
        let passes = client.is_none() && is_shortage(error);
        if passes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    Server::new(listener, handler).max_clients(CLIENTS).on_error(as_evy).run()
}
