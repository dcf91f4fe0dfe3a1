//! Stopping a server well: what has been asked is answered, what waits is ended, what hangs is killed.
//!
//! ```text
//!   stop ─► listeners: serve who waits to be accepted, then close
//!           connections: each read that would wait gives the end of the stream
//!             │ the handler ends, and drops the stream
//!             ▼
//!           the descriptor lingers: the write side is shut, what comes is read and thrown away
//!             │ the peer closes its side
//!             ▼
//!           closed
//!   grace is over ─► whatever is left is killed
//! ```
//!
//! The descriptor lingers because to close a socket with unread data, or one to which the peer still
//! sends, resets the connection: the peer then loses what it has not read yet, its answer maybe.
//!
//! What is "would wait" while a request may be on its way? The server knows no protocol. It takes a
//! connection for idle when the last thing on it was something from the server. Where that was something
//! from the peer, half a request, or nothing at all yet, it waits until the peer has been silent for
//! [`PATIENCE`].

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::{GreenThread, Reason, WaitList};
use rustix::net::Shutdown;

use super::connection::{Connection, Lingering, Order};
use super::core::{Core, Waiting};
use crate::green_io::{GreenIo, sys};

/// How long a peer that is to say something may be silent before the connection counts as idle.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks who has been silent.
const LOOKS: u32 = 4;

const LEAVING: Reason = Reason::new(&"the clients of a server to leave");
const STOPPED: Reason = Reason::new(&"the end of a server that stops");

/// What became of the connections of a server that was stopped.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::{Server, Stopped, listen};
///
/// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
/// let Stopped { finished, killed, .. } = server.stop(Duration::from_secs(5));
/// assert_eq!((finished, killed), (0, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Those whose handler has ended by itself within the grace.
    pub finished: usize,
    /// Those that were cut off when the grace was over.
    pub killed: usize,
}

/// How far a server is with stopping.
#[derive(Default)]
pub(super) struct Stopping {
    /// When the grace ends; the outer `None` is before the first stop, the inner one for ever.
    deadline: Cell<Option<Option<Instant>>>,
    stopper: RefCell<Option<GreenThread<()>>>,
    /// Set at the end.
    report: Cell<Option<Stopped>>,
    done: WaitList,
}

impl Stopping {
    pub(super) fn has_begun(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// Sets the end of the grace, unless it ends earlier already; returns whether this is the first stop.
    fn shorten(&self, deadline: Option<Instant>) -> bool {
        let before = self.deadline.get();
        let earlier = match before.flatten() {
            Some(before) => Some(deadline.map_or(before, |deadline| deadline.min(before))),
            None => deadline,
        };
        self.deadline.set(Some(earlier));
        before.is_none()
    }

    /// Waits until the server has stopped.
    pub(super) fn wait(&self) -> Stopped {
        loop {
            match self.report.get() {
                Some(report) => return report,
                None => self.done.wait(STOPPED, None, || ()).expect("there is no deadline"),
            }
        }
    }

    /// Whoever waits waits no longer.
    pub(super) fn kill(&self) {
        let stopper = self.stopper.take();
        if let Some(stopper) = stopper {
            stopper.kill();
        }
    }

    fn end(&self, report: Stopped) {
        if self.report.get().is_none() {
            self.report.set(Some(report));
        }
        self.done.wake_all();
    }
}

impl Core {
    /// Stops the server by the end of the grace, on a green thread of its own: who calls this may be
    /// killed meanwhile.
    pub(super) fn stop(self: &Rc<Self>, grace: Duration) -> Stopped {
        let is_first = self.stopping.shorten(Instant::now().checked_add(grace));
        if is_first {
            let core = Rc::clone(self);
            match self.builder().spawn(move || core.stop_by_the_deadline()) {
                Ok(stopper) => *self.stopping.stopper.borrow_mut() = Some(stopper),
                // No memory for it: here, then.
                Err(_) => self.stop_by_the_deadline(),
            }
        } else {
            // The one that stops it looks at the deadline again.
            self.ledger.changed.ring();
        }
        self.stopping.wait()
    }

    fn time_left(&self) -> Duration {
        match self.stopping.deadline.get().flatten() {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        }
    }

    fn stop_by_the_deadline(&self) {
        let ending = EndOnDrop { core: self, report: Cell::default() };
        let waiting = if self.time_left().is_zero() { Waiting::Reset } else { Waiting::Served };
        self.close_listeners(waiting);
        self.forget_who_has_left();
        let clients = self.ledger.clients();
        self.let_them_finish();
        let killed = self.kill_clients();
        ending.report.set(Stopped { finished: clients.saturating_sub(killed), killed });
    }

    /// Returns when all clients have left, or the grace is over.
    fn let_them_finish(&self) {
        if self.time_left().is_zero() {
            return;
        }
        let listening = self.ledger.changed.listen();
        let mut lingerers = Lingerers::default();
        let mut expected = self.order_the_end();
        let mut next_look = Instant::now() + PATIENCE / LOOKS;
        loop {
            lingerers.take_over_from(self);
            let left = self.time_left();
            if self.ledger.clients() == 0 || left.is_zero() {
                return;
            }
            let mut pause = left;
            if !expected.is_empty() {
                let now = Instant::now();
                if now >= next_look {
                    expected.retain_mut(|peer| !peer.has_been_silent());
                    next_look = now + PATIENCE / LOOKS;
                }
                pause = pause.min(next_look.saturating_duration_since(now));
            }
            // Heard or not, it looks at everything again.
            let _ = listening.wait(LEAVING, Some(pause));
        }
    }

    /// Orders the end for every connection. Returns those whose peers may be about to say something.
    fn order_the_end(&self) -> Vec<Expected> {
        let now = Instant::now();
        let mut expected = Vec::new();
        let mut idle = Vec::new();
        self.for_each_client(|client| {
            let connection = Arc::clone(&client.connection);
            connection.take_fresh();
            // One that has not said anything yet may be about to; for how long, the server knows.
            let since = if connection.has_been_silent() { client.since } else { now };
            let looks = LOOKS.saturating_sub(looks_within(now.duration_since(since)));
            if looks == 0 || connection.is_answered() {
                idle.push(connection);
            } else {
                expected.push(Expected { connection, looks });
            }
        });
        for connection in idle {
            connection.order(Order::End);
        }
        for peer in &expected {
            peer.connection.order(Order::EndWhenAnswered);
        }
        expected
    }
}

/// How many looks a peer is silent for in this time.
fn looks_within(time: Duration) -> u32 {
    (time.div_duration_f64(PATIENCE / LOOKS)) as u32
}

/// A connection whose peer may be about to say something.
struct Expected {
    connection: Arc<Connection>,
    /// After how many more looks at which it has said nothing its connection counts as idle.
    looks: u32,
}

impl Expected {
    /// Whether it has been silent for so long that its connection counts as idle; then it is ended.
    fn has_been_silent(&mut self) -> bool {
        self.looks = if self.connection.take_fresh() { LOOKS } else { self.looks - 1 };
        if self.looks == 0 {
            self.connection.order(Order::End);
        }
        self.looks == 0
    }
}

/// Those that read descriptors to the end. Killed when this is dropped.
#[derive(Default)]
struct Lingerers {
    threads: Vec<GreenThread<()>>,
}

impl Lingerers {
    fn take_over_from(&mut self, core: &Core) {
        while let Some(lingering) = core.ledger.next_lingering() {
            // Where there is no memory for it, the descriptor is closed without much ado.
            if let Ok(thread) = core.builder().spawn(move || linger(lingering)) {
                self.threads.push(thread);
            }
        }
        core.forget_who_has_left();
    }
}

impl Drop for Lingerers {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.kill();
        }
    }
}

/// Says that nothing more will come, and reads until the peer says so, too.
fn linger(mut lingering: Lingering) {
    let Some(fd) = lingering.take_fd() else { return };
    // An error here, or at a read, is the end of the connection.
    if rustix::net::shutdown(&fd, Shutdown::Write).is_err() {
        return;
    }
    let io = GreenIo::new(fd);
    let mut buffer = [0; 1024];
    while let Ok(1..) = io.read_stream(buffer.len(), |fd| sys::recv(fd, &mut buffer)) {}
    drop(io);
}

/// Says that the server has stopped, also where the one that stops it is killed.
struct EndOnDrop<'a> {
    core: &'a Core,
    report: Cell<Stopped>,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.core.stopping.end(self.report.get());
        self.core.end(Ok::<(), io::Error>(()));
    }
}
