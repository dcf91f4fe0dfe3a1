//! Stopping a server well: what has been asked is answered, what waits is ended, what hangs is killed.
//!
//! ```text
//!   stop ─► listeners: serve who waits to be accepted, then close
//!           connections, once they are idle: reads that would wait give the end of the stream
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
//! When is a connection idle? The server knows no protocol, and the next request may be on its way: what the
//! peer's system has taken before the stop is not to be lost, and over a network that arrives later. It
//! looks every twentieth of a second ([`Pace`]) whether something has passed.
//!
//! | the last that passed came from | the connection is ended when |
//! |---|---|
//! | the server | nothing has passed at four looks in a row; at once where nothing can be on its way (Unix) |
//! | the peer, or nothing has passed yet | the peer has been silent for a second: half a request, or none |
//!
//! Four, because a peer that is in the middle of asking may be held up for a while by other work on its
//! machine, and its next request would be lost. Looks and not time, because that may happen to us, too.
//!
//! To end it is to tell a reader that would wait of the end of the stream. What passes after that look and
//! before that read takes it back: a handler that was at work, or whose peer did not take its answer, may
//! find the rest of the request on its way when it comes to read on. So each is looked at until it has ended.
//!
//! Where a protocol does know, as HTTP does, whoever has the stream ends it ([`finishes_itself`]).
//!
//! [`finishes_itself`]: Connection::finishes_itself
//!
//! Peers that go on asking would never be quiet. After five seconds each of them is ended when it has had
//! an answer and nothing is there to be read. It is as long as that because a stream that goes both ways
//! looks the same, each time its peer is a little behind.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::{GreenThread, Reason};
use rustix::net::Shutdown;

use super::connection::{Connection, FOR_STOP, Order};
use super::core::{Core, Waiting};
use super::lingering::Lingering;
use super::stopping::Stopped;
use crate::green_io::{GreenIo, sys};

/// How long a peer that is to say something may be silent; half the grace, if that is shorter.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a peer may go on asking; half the grace, if that is shorter.
const LONGEST_ASKING: Duration = Duration::from_secs(5);

/// How often it looks within that time.
const LOOKS: u32 = 20;

/// At so many looks in a row nothing has passed on a connection that is idle, where the peer has had an
/// answer to all that it has sent.
const QUIET_LOOKS: u32 = 4;

/// Looks are no closer together.
const SHORTEST: Duration = Duration::from_millis(1);

const LEAVING: Reason = Reason::new(&"the clients of a server to leave");

impl Core {
    /// Stops the server by the end of the grace, on a green thread of its own: who calls this may be
    /// killed meanwhile.
    pub(super) fn stop(self: &Rc<Self>, grace: Duration) -> Stopped {
        let is_first = self.stopping.shorten(Instant::now().checked_add(grace));
        if is_first {
            let core = Rc::clone(self);
            match self.builder().spawn(move || core.stop_by_the_deadline()) {
                Ok(stopper) => self.stopping.set_stopper(stopper),
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
        match self.stopping.deadline() {
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
        let grace = self.time_left();
        if grace.is_zero() {
            return;
        }
        let listening = self.ledger.changed.listen();
        let mut pace = Pace::new(grace);
        let mut lingerers = Lingerers::of(self);
        let mut peers = self.peers(&pace);
        loop {
            lingerers.take_over();
            let left = self.time_left();
            if self.ledger.clients() == 0 || left.is_zero() {
                return;
            }
            if pace.is_time_to_look() {
                let is_late = pace.is_late();
                peers.retain_mut(|peer| !peer.is_ended(is_late));
            }
            let pause = if peers.is_empty() { left } else { left.min(pace.until_next_look()) };
            // Heard or not, it looks at everything again.
            let _ = listening.wait(LEAVING, Some(pause));
        }
    }

    /// The peers of all connections. Who came long ago and has never said anything is ended here.
    fn peers(&self, pace: &Pace) -> Vec<Peer> {
        let mut peers = Vec::new();
        self.for_each_client(|client| {
            let connection = Arc::clone(&client.connection);
            connection.take_fresh(FOR_STOP);
            let quiet_looks = if connection.has_been_silent() {
                pace.looks_since(client.since)
            } else if connection.has_no_way_to_go() {
                QUIET_LOOKS
            } else {
                0
            };
            peers.push(Peer { connection, quiet_looks });
        });
        peers.iter().for_each(Peer::end_if_idle);
        peers
    }
}

/// When it looks at connections, and for how long.
struct Pace {
    patience: Duration,
    longest_asking: Duration,
    begun: Instant,
    next_look: Instant,
}

impl Pace {
    fn new(grace: Duration) -> Self {
        let begun = Instant::now();
        let patience = PATIENCE.min(grace / 2);
        let longest_asking = LONGEST_ASKING.min(grace / 2);
        let mut pace = Self { patience, longest_asking, begun, next_look: begun };
        pace.next_look += pace.between_looks();
        pace
    }

    fn between_looks(&self) -> Duration {
        (self.patience / LOOKS).max(SHORTEST)
    }

    /// How many looks ago that was.
    fn looks_since(&self, instant: Instant) -> u32 {
        let looks = self.begun.duration_since(instant).div_duration_f64(self.between_looks());
        (looks as u32).min(LOOKS)
    }

    /// Whether those that go on asking are to be ended now.
    fn is_late(&self) -> bool {
        self.begun.elapsed() >= self.longest_asking
    }

    fn is_time_to_look(&mut self) -> bool {
        let now = Instant::now();
        let is_time = now >= self.next_look;
        if is_time {
            self.next_look = now + self.between_looks();
        }
        is_time
    }

    fn until_next_look(&self) -> Duration {
        self.next_look.saturating_duration_since(Instant::now())
    }
}

/// Whoever is at the other end of a connection.
struct Peer {
    connection: Arc<Connection>,
    /// At how many looks in a row nothing had passed.
    quiet_looks: u32,
}

impl Peer {
    /// Whether it says nothing more, as far as that can be known.
    fn is_idle(&self) -> bool {
        self.quiet_looks >= if self.connection.is_answered() { QUIET_LOOKS } else { LOOKS }
    }

    fn end_if_idle(&self) {
        if self.is_idle() && !self.connection.finishes_itself() {
            self.connection.end_if_idle();
        }
    }

    /// Looks at the connection, and ends it if it is idle. If it is late, it need not be.
    fn is_ended(&mut self, is_late: bool) -> bool {
        if self.connection.has_ended() {
            return true;
        }
        let has_passed = self.connection.take_fresh(FOR_STOP);
        self.quiet_looks = if has_passed { 0 } else { self.quiet_looks.saturating_add(1) };
        self.end_if_idle();
        if is_late && !self.connection.finishes_itself() {
            self.connection.order(Order::EndWhenAnswered);
        }
        false
    }
}

/// Those that read descriptors to the end. Killed when this is dropped; streams then close theirs
/// themselves again.
struct Lingerers<'a> {
    core: &'a Core,
    threads: Vec<GreenThread<()>>,
}

impl<'a> Lingerers<'a> {
    fn of(core: &'a Core) -> Self {
        core.ledger.set_stopping(true);
        Self { core, threads: Vec::new() }
    }

    fn take_over(&mut self) {
        while let Some(lingering) = self.core.ledger.next_lingering() {
            // Where there is no memory for it, the descriptor is closed without much ado.
            if let Ok(thread) = self.core.builder().spawn(move || linger(lingering)) {
                self.threads.push(thread);
            }
        }
        self.core.forget_who_has_left();
    }
}

impl Drop for Lingerers<'_> {
    fn drop(&mut self) {
        self.core.ledger.set_stopping(false);
        for thread in &self.threads {
            thread.kill();
        }
        while let Some(lingering) = self.core.ledger.next_lingering() {
            drop(lingering);
        }
    }
}

/// Says that nothing more will come, and reads until the peer says so, too.
fn linger(mut lingering: Lingering) {
    let Some(io) = lingering.take_fd().map(GreenIo::new) else { return };
    // An error here, or at a read, is the end of the connection.
    if rustix::net::shutdown(io.as_fd(), Shutdown::Write).is_err() {
        return;
    }
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
