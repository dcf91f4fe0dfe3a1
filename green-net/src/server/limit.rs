//! How many clients are served at once, by one server or by several.
//!
//! A place is taken before a connection is accepted, and given back at once where none comes: so two servers
//! on two hubs, which look at the same time, do not both take the last one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use evy_runtime::{Bell, Reason};

const ROOM: Reason = Reason::new(&"one of the clients to leave");

/// A limit of clients that several servers have in common, be they of different kinds or on different hubs.
///
/// A clone is another handle to the same limit.
///
/// ```
/// use evy_green_net::{ClientLimit, Server, UnixListener, copy, listen};
///
/// let limit = ClientLimit::new(1_000);
/// let tcp = Server::new(listen("127.0.0.1:0")?, |client, _| copy(&client, &client).map(drop))
///     .client_limit(&limit)
///     .start()?;
/// # let path = std::env::temp_dir().join(format!("evy-client-limit-{}", std::process::id()));
/// let unix = Server::new(UnixListener::bind(&path)?, |client, _| copy(&client, &client).map(drop))
///     .client_limit(&limit)
///     .start()?;
/// assert_eq!(limit.clients(), tcp.clients() + unix.clients());
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ClientLimit {
    places: Arc<Places>,
}

struct Places {
    most: usize,
    taken: AtomicUsize,
    /// Rung when one becomes free.
    freed: Bell,
}

impl ClientLimit {
    /// A limit of `max_clients` clients at once.
    ///
    /// ```
    /// use evy_green_net::ClientLimit;
    ///
    /// assert_eq!(ClientLimit::new(500).max_clients(), 500);
    /// ```
    ///
    /// # Panics
    ///
    /// When `max_clients` is 0.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(max_clients: usize) -> Self {
        assert!(max_clients > 0, "a server needs room for one client at least");
        let places = Places { most: max_clients, taken: AtomicUsize::new(0), freed: Bell::new() };
        Self { places: Arc::new(places) }
    }

    /// How many clients may be served at once.
    ///
    /// ```
    /// assert_eq!(evy_green_net::ClientLimit::new(2).max_clients(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_clients(&self) -> usize {
        self.places.most
    }

    /// How many clients its servers have now, all together.
    ///
    /// ```
    /// assert_eq!(evy_green_net::ClientLimit::new(2).clients(), 0);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn clients(&self) -> usize {
        self.places.taken.load(SeqCst)
    }

    fn has_room(&self) -> bool {
        self.clients() < self.places.most
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        let one_more = |taken| (taken < self.places.most).then_some(taken + 1);
        self.places.taken.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Place(self))
    }

    /// Gives a place back that a client has had.
    pub(super) fn leave(&self) {
        self.places.taken.fetch_sub(1, SeqCst);
        self.places.freed.ring();
    }

    /// Waits until a place may be free.
    pub(super) fn wait_for_room(&self) {
        if self.has_room() {
            return;
        }
        let listening = self.places.freed.listen();
        while !self.has_room() {
            listening.wait(ROOM, None).expect("there is no deadline");
        }
    }
}

impl fmt::Debug for ClientLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLimit")
            .field("max_clients", &self.max_clients())
            .field("clients", &self.clients())
            .finish()
    }
}

/// A place that is given back when this is dropped.
pub(super) struct Place<'a>(&'a ClientLimit);

impl Place<'_> {
    /// Leaves the place to a client.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
