//! What a server counts, and what comes to it from wherever its connections are.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evy_runtime::Bell;

use super::limit::ClientLimit;
use super::lingering::Lingering;

/// One server's counters and what its connections leave for it, from whichever OS thread.
pub(super) struct Ledger {
    /// Where each client that has not left has a place.
    pub(super) limit: ClientLimit,
    accepted: AtomicU64,
    /// Connections that are not over.
    clients: AtomicUsize,
    errors: AtomicU64,
    panics: AtomicU64,
    timed_out: AtomicU64,
    failed_accepts: AtomicU64,
    /// Connections that are over and still stand in the server's list.
    over: Mutex<Vec<u64>>,
    /// Descriptors are to be left to the server when their streams are dropped.
    stopping: AtomicBool,
    /// Descriptors that are to be read to the end.
    lingering: Mutex<Vec<Lingering>>,
    /// Rung when there is one client less, or something that lingers.
    pub(super) changed: Bell,
}

impl Ledger {
    pub(super) fn new(limit: ClientLimit) -> Self {
        Self {
            limit,
            accepted: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            errors: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            failed_accepts: AtomicU64::new(0),
            over: Mutex::default(),
            stopping: AtomicBool::new(false),
            lingering: Mutex::default(),
            changed: Bell::new(),
        }
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.load(SeqCst)
    }

    /// There is one client more, who has a place.
    pub(super) fn entered(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.clients.fetch_add(1, SeqCst);
    }

    /// The connection with this number is over.
    pub(super) fn left(&self, number: u64) {
        lock(&self.over).push(number);
        self.clients.fetch_sub(1, SeqCst);
        self.limit.leave();
        self.changed.ring();
    }

    /// One that is over and has not been asked for yet.
    pub(super) fn next_over(&self) -> Option<u64> {
        lock(&self.over).pop()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(super) fn set_stopping(&self, stopping: bool) {
        // Under the lock: who finds it set leaves its descriptor before the last one is taken out.
        let _lingering = lock(&self.lingering);
        self.stopping.store(stopping, SeqCst);
    }

    /// Leaves a descriptor to the server; gives it back where nobody would take it any more.
    pub(super) fn linger(&self, lingering: Lingering) -> Option<Lingering> {
        let mut all = lock(&self.lingering);
        if !self.is_stopping() {
            return Some(lingering);
        }
        all.push(lingering);
        drop(all);
        self.changed.ring();
        None
    }

    pub(super) fn next_lingering(&self) -> Option<Lingering> {
        lock(&self.lingering).pop()
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(super) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Relaxed);
    }

    pub(super) fn accept_failed(&self) {
        self.failed_accepts.fetch_add(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a server counts. It is `Send`, for who collects the figures of several hubs.
///
/// ```
/// use evy_green_net::{Server, ServerCounters, connect, listen};
///
/// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
/// let counters: ServerCounters = server.counters();
/// connect(server.local_addr())?;
/// # let counters_there = counters.clone();
/// # std::thread::spawn(move || counters_there.clients()).join().unwrap();
/// while counters.accepted() < 1 {
///     evy_runtime::sleep(std::time::Duration::from_millis(1));
/// }
/// assert_eq!(counters.errors(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerCounters {
    ledger: Arc<Ledger>,
}

impl ServerCounters {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger) }
    }

    /// How many connections have been accepted.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().accepted(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn accepted(&self) -> u64 {
        self.ledger.accepted.load(Relaxed)
    }

    /// How many connections are served now: their handlers run, or somebody else has a stream of theirs.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().clients(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn clients(&self) -> usize {
        self.ledger.clients()
    }

    /// How many handlers have ended with an error: [`StopServe`](crate::StopServe) and those that the
    /// server itself has brought about do not count.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().errors(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn errors(&self) -> u64 {
        self.ledger.errors.load(Relaxed)
    }

    /// How many handlers have panicked.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().panics(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn panics(&self) -> u64 {
        self.ledger.panics.load(Relaxed)
    }

    /// How many connections were ended by one of the server's two times.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().timed_out(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn timed_out(&self) -> u64 {
        self.ledger.timed_out.load(Relaxed)
    }

    /// How often `accept` has failed: for want of descriptors or memory, or because a connection had
    /// gone while it waited.
    ///
    /// ```
    /// # use evy_green_net::{Server, listen};
    /// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
    /// assert_eq!(server.counters().failed_accepts(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn failed_accepts(&self) -> u64 {
        self.ledger.failed_accepts.load(Relaxed)
    }
}

impl fmt::Debug for ServerCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCounters")
            .field("accepted", &self.accepted())
            .field("clients", &self.clients())
            .field("errors", &self.errors())
            .field("panics", &self.panics())
            .field("timed_out", &self.timed_out())
            .field("failed_accepts", &self.failed_accepts())
            .finish()
    }
}
