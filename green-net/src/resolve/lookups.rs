//! The lookups that are in flight, in the whole process.
//!
//! The system's resolver blocks, and one that waits for a dead name server does so for many seconds. So
//! each lookup is a job on another OS thread, and at most [`MOST`] have a place there at a time; the
//! others queue. Whoever asks for a name that is in flight waits for that lookup.
//!
//! ```text
//!   look_up("a") ──► in flight: "a" [caller, caller]   job: getaddrinfo ──► answer, wake the callers
//!   look_up("b") ──► queued:    "b" [caller]                └─ its place goes to the next: "b"
//! ```
//!
//! A caller that is killed or timed out leaves its lookup, which goes on and keeps its place until the
//! resolver returns: nothing can stop that. A lookup that still queues goes with its last caller.
//!
//! A forked child begins without any: the OS threads that would answer are the parent's, and so are the
//! callers. The parent's table stays as it was at the fork, and be it locked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::panicking;

use evy_runtime::{
    Generation, Parker, Reason, Unparker, is_unblocked, threadpool, unblock, unblock_n,
};

/// Lookups that have an OS thread at a time. The pool has 20 threads: lookups that stall leave the most
/// of them to files and all else.
const MOST: usize = 8;

const ANSWER: Reason = Reason::new(&"the addresses of a host name");

type Answer = Result<Vec<SocketAddr>, Arc<Failure>>;

/// What the resolver says of `host`, with port 0, in the resolver's order (RFC 6724).
pub(super) fn look_up(host: &str) -> io::Result<Vec<SocketAddr>> {
    // A job may block. And while a green thread unwinds, it does not wait for others.
    if is_unblocked() || panicking() {
        let host = host.to_owned();
        return given(unblock(move || ask(&host)));
    }
    let parker = Parker::new();
    let caller = Caller::join(host, parker.unparker());
    loop {
        if let Some(answer) = caller.lookup.answer.get() {
            return given(answer.clone());
        }
        parker.park(ANSWER, None).expect("there is no deadline");
    }
}

fn given(answer: Answer) -> io::Result<Vec<SocketAddr>> {
    answer.map_err(|failure| io::Error::new(failure.error.kind(), Named(failure)))
}

/// Asks the resolver, and blocks.
fn ask(host: &str) -> Answer {
    let answer = (host, 0).to_socket_addrs();
    answer.map(Iterator::collect).map_err(|error| Failure::of(host, error))
}

/// What went wrong with a lookup, for each of its callers.
struct Failure {
    host: String,
    error: io::Error,
}

impl Failure {
    fn of(host: &str, error: io::Error) -> Arc<Self> {
        Arc::new(Self { host: host.to_owned(), error })
    }
}

/// The resolver's error, which does not say which name it is about.
struct Named(Arc<Failure>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.host, self.0.error)
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Named {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0.error)
    }
}

/// One lookup.
struct Lookup {
    host: String,
    /// Set before the callers are woken.
    answer: OnceLock<Answer>,
}

/// A lookup that has no answer yet.
struct Flight {
    lookup: Arc<Lookup>,
    /// Who waits for it, in the order of their calls.
    callers: BTreeMap<u64, Unparker>,
    /// Its number in the queue; `None` once it has its place.
    queued: Option<u64>,
}

/// All lookups without an answer.
struct Table {
    flights: BTreeMap<String, Flight>,
    queue: BTreeMap<u64, Arc<Lookup>>,
    /// Places that are taken.
    running: usize,
    /// Numbers callers and places in the queue.
    last: u64,
}

/// The table of this process, or of one that it was forked from.
struct Owned {
    made_in: Generation,
    table: Mutex<Table>,
}

/// Null before the first lookup. What it has pointed to is never freed.
static OWNED: AtomicPtr<Owned> = AtomicPtr::new(ptr::null_mut());

fn table() -> MutexGuard<'static, Table> {
    let mut owned = OWNED.load(Acquire);
    loop {
        // SAFETY: the pointer is null or one that `Box::into_raw` gave, and nobody frees it.
        match unsafe { owned.as_ref() } {
            Some(here) if !here.made_in.is_over() => {
                // No code of users runs under this lock, so a poisoned one is as good as any.
                return here.table.lock().unwrap_or_else(PoisonError::into_inner);
            }
            _ => owned = replace(owned),
        }
    }
}

/// Puts a new table in the place of this one, unless another OS thread was faster; returns what is there.
#[cold]
fn replace(old: *mut Owned) -> *mut Owned {
    let table = Table { flights: BTreeMap::new(), queue: BTreeMap::new(), running: 0, last: 0 };
    let new = Owned { made_in: Generation::current(), table: Mutex::new(table) };
    let new = Box::into_raw(Box::new(new));
    let Err(others) = OWNED.compare_exchange(old, new, AcqRel, Acquire) else { return new };
    // SAFETY: it comes from the line above, and nobody has seen it.
    drop(unsafe { Box::from_raw(new) });
    others
}

/// Somebody who waits for an answer. Dropped, it has left, whichever way.
struct Caller {
    lookup: Arc<Lookup>,
    number: u64,
}

impl Caller {
    fn join(host: &str, unparker: Unparker) -> Self {
        let mut table = table();
        let number = table.number();
        if let Some(flight) = table.flights.get_mut(host) {
            flight.callers.insert(number, unparker);
            return Self { lookup: Arc::clone(&flight.lookup), number };
        }
        let lookup = Arc::new(Lookup { host: host.to_owned(), answer: OnceLock::new() });
        let has_place = table.running < places();
        let queued = (!has_place).then_some(number);
        let callers = BTreeMap::from([(number, unparker)]);
        let flight = Flight { lookup: Arc::clone(&lookup), callers, queued };
        table.flights.insert(host.to_owned(), flight);
        if has_place {
            table.running += 1;
            drop(table);
            run(Arc::clone(&lookup));
        } else {
            table.queue.insert(number, Arc::clone(&lookup));
        }
        Self { lookup, number }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.lookup.answer.get().is_none() {
            let left = table().leave(self);
            drop(left);
        }
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes a caller out, and its lookup if that still queues for nobody else.
    fn leave(&mut self, caller: &Caller) -> Option<Flight> {
        let host = &caller.lookup.host;
        let flight = self.flights.get_mut(host)?;
        if !Arc::ptr_eq(&flight.lookup, &caller.lookup) {
            // That one has its answer by now, and this is a later lookup of the same name.
            return None;
        }
        flight.callers.remove(&caller.number);
        if !flight.callers.is_empty() {
            return None;
        }
        let queued = flight.queued?;
        self.queue.remove(&queued);
        self.flights.remove(host)
    }

    /// Gives a place that has become free to the first in the queue.
    fn next(&mut self) -> Option<Arc<Lookup>> {
        let Some((_, lookup)) = self.queue.pop_first() else {
            self.running -= 1;
            return None;
        };
        if let Some(flight) = self.flights.get_mut(&lookup.host) {
            flight.queued = None;
        }
        Some(lookup)
    }
}

/// How many lookups may run: also where the pool is small they leave some of it to others.
fn places() -> usize {
    (threadpool::size() / 2).clamp(1, MOST)
}

/// Starts the job of a lookup that has a place. Each is a job of its own, behind whatever else queues
/// for the OS threads.
fn run(lookup: Arc<Lookup>) {
    let place = Place { lookup, done: false };
    // An error drops the job, and the place with it.
    let _ = unblock_n(move || place.work());
}

/// A lookup that has a place, and owes its callers an answer.
struct Place {
    lookup: Arc<Lookup>,
    done: bool,
}

impl Place {
    fn work(mut self) {
        self.done = true;
        finish(&self.lookup, ask(&self.lookup.host));
        let next = table().next();
        if let Some(next) = next {
            run(next);
        }
    }
}

impl Drop for Place {
    /// The job is not done: no OS thread could be had, or the pool was shut down. Those in the queue would
    /// fare no better.
    fn drop(&mut self) {
        let mut failed = (!self.done).then(|| Arc::clone(&self.lookup));
        while let Some(lookup) = failed {
            let error = io::Error::other("no OS thread does this lookup");
            finish(&lookup, Err(Failure::of(&lookup.host, error)));
            failed = table().next();
        }
    }
}

/// Gives the callers their answer.
fn finish(lookup: &Lookup, answer: Answer) {
    let _ = lookup.answer.set(answer);
    // Who asks from now on begins a lookup of his own; who asked before is woken, or finds the answer.
    let flight = table().flights.remove(&lookup.host);
    for caller in flight.iter().flat_map(|flight| flight.callers.values()) {
        caller.unpark();
    }
}
