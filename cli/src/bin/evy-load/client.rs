//! One connection's green thread: sends, reads, checks, and connects again.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::pattern::Position;
use crate::pump::Pump;
use crate::run::Run;
use crate::tally::add;

/// Up to so many bytes in flight are written by the green thread that reads: the server's receive
/// buffer holds them, also when it does not read.
const ALWAYS_FITS: usize = 16 << 10;
/// The read buffer's size, if requests are that large.
const LARGEST_BUFFER: usize = 64 << 10;
/// The pause after a connection that gave nothing; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A read that waits shorter than this would not be a wait.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// A user of the server, who has one connection at a time.
pub(crate) struct Client {
    run: Rc<Run>,
    number: usize,
    /// Requests sent on all its connections; which the timetable counts.
    sent: u64,
    /// When each request in flight was sent, or with a rate: was to be sent. Never grows.
    due: VecDeque<Instant>,
    /// The length of `due`, for others to see.
    in_flight: Rc<Cell<usize>>,
    buffer: Box<[u8]>,
}

/// The state of one connection.
struct Exchange {
    connection: Rc<Connection>,
    /// There when requests are large.
    pump: Option<Pump>,
    /// Where in the pattern the next request and the next byte of an answer are.
    to_send: Position,
    to_come: Position,
    /// Requests that may still be sent on it.
    left: usize,
    /// Bytes that have come of the answer to the first request in flight.
    partial: usize,
    /// When the last byte came, or when there was nothing in flight before the next request.
    progress: Instant,
    /// An answer has come.
    useful: bool,
}

impl Client {
    pub(crate) fn new(run: Rc<Run>, number: usize, in_flight: Rc<Cell<usize>>) -> Self {
        let (pipeline, window) = (run.pipeline, run.window);
        // A byte more than can be in flight shows that there was one too many.
        let buffer = vec![0; window.saturating_add(1).min(LARGEST_BUFFER)].into();
        Self { run, number, sent: 0, due: VecDeque::with_capacity(pipeline), in_flight, buffer }
    }

    /// Opens its first connection, unless it has one already.
    pub(crate) fn open(&self, first: Option<Connection>) -> Option<Connection> {
        first.or_else(|| {
            self.run.ramp.pass();
            self.connect()
        })
    }

    /// Sends and reads until the run stops. It may be killed when nothing is in flight.
    pub(crate) fn work(mut self, first: Option<Connection>) {
        let mut pause = FIRST_PAUSE;
        let mut opened = first;
        if opened.is_none() {
            self.run.ramp.pass();
        }
        while !self.run.stopped.get() {
            let useful = match opened.take().or_else(|| self.connect()) {
                Some(connection) => self.use_up(connection),
                None => Useful::No,
            };
            match useful {
                Useful::ToTheEnd => pause = FIRST_PAUSE,
                Useful::Partly => {
                    pause = FIRST_PAUSE;
                    self.run.ramp.pass();
                }
                Useful::No => {
                    evy::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.run.ramp.pass();
                }
            }
        }
    }

    fn connect(&self) -> Option<Connection> {
        match self.run.target.connect() {
            Ok(connection) => {
                add(&self.run.tally.opened, 1);
                Some(connection)
            }
            Err(failure) => {
                self.report(&failure, 0);
                None
            }
        }
    }

    fn report(&self, failure: &Failure, lost: usize) {
        if let Some(text) = self.run.tally.failure(self.number, failure, lost) {
            self.run.view.say(&text);
        }
    }

    /// Uses a connection until it has served its time or fails.
    fn use_up(&mut self, connection: Connection) -> Useful {
        let mut exchange = self.exchange(connection);
        let result = self.talk(&mut exchange);
        let lost = self.due.len();
        self.due.clear();
        self.in_flight.set(0);
        match result {
            Ok(()) => return Useful::ToTheEnd,
            Err(Failure::Closed) if lost == 0 => add(&self.run.tally.closed_idle, 1),
            Err(failure) => {
                // What the pump has met is the cause of what the read gave.
                let of_pump = exchange.pump.as_ref().and_then(Pump::failure).map(Failure::Write);
                self.report(of_pump.as_ref().unwrap_or(&failure), lost);
            }
        }
        if exchange.useful { Useful::Partly } else { Useful::No }
    }

    fn exchange(&self, connection: Connection) -> Exchange {
        let (run, connection) = (&self.run, Rc::new(connection));
        let mut start = run.pattern.start(self.number);
        // Goes on where the last connection's requests ended, that no two of them are the same.
        run.pattern.skip(&mut start, (self.sent as usize).wrapping_mul(run.size));
        let pump = (run.window > ALWAYS_FITS)
            .then(|| Pump::start(Rc::clone(&connection), Rc::clone(&run.pattern), start));
        Exchange {
            connection,
            pump,
            to_send: start,
            to_come: start,
            left: run.per_connection,
            partial: 0,
            progress: Instant::now(),
            useful: false,
        }
    }

    fn talk(&mut self, exchange: &mut Exchange) -> Result<(), Failure> {
        let connection = Rc::clone(&exchange.connection);
        connection.set_write_timeout(self.run.timeout).map_err(Failure::Write)?;
        let mut now = Instant::now();
        loop {
            self.send(exchange, now)?;
            if self.due.is_empty() && (exchange.left == 0 || self.run.stopped.get()) {
                return Ok(());
            }
            connection.set_read_timeout(self.wait(exchange, now)).map_err(Failure::Read)?;
            let read = (&*connection).read(&mut self.buffer);
            now = Instant::now();
            match read {
                Ok(0) => return Err(Failure::Closed),
                Ok(bytes) => self.check(exchange, bytes, now)?,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.check_patience(exchange, now)?;
                }
                Err(error) => return Err(Failure::Read(error)),
            }
        }
    }

    /// Sends the requests that are due and for which there is room in the pipeline.
    fn send(&mut self, exchange: &mut Exchange, now: Instant) -> Result<(), Failure> {
        let before = self.due.len();
        while self.may_send(exchange) {
            let due = self.next_due(now);
            if due > now {
                break;
            }
            self.due.push_back(due);
            self.sent += 1;
            exchange.left -= 1;
        }
        let requests = self.due.len() - before;
        if requests == 0 {
            return Ok(());
        }
        if before == 0 {
            exchange.progress = now;
        }
        self.in_flight.set(self.due.len());
        add(&self.run.tally.sent, requests as u64);
        self.write(exchange, requests * self.run.size).map_err(Failure::Write)
    }

    fn may_send(&self, exchange: &Exchange) -> bool {
        self.due.len() < self.run.pipeline && exchange.left > 0 && !self.run.stopped.get()
    }

    /// When the next request is to be sent: without a rate, at once.
    fn next_due(&self, now: Instant) -> Instant {
        self.run.pace.get().map_or(now, |pace| pace.due(self.number, self.sent))
    }

    fn write(&self, exchange: &mut Exchange, bytes: usize) -> io::Result<()> {
        if let Some(pump) = &exchange.pump {
            pump.send(bytes);
            return Ok(());
        }
        // So few bytes are one piece.
        let bytes = self.run.pattern.take(&mut exchange.to_send, bytes);
        (&*exchange.connection).write_all(bytes)
    }

    /// How long to wait for bytes: until patience ends or the next request is due.
    fn wait(&self, exchange: &Exchange, now: Instant) -> Duration {
        let patience = (!self.due.is_empty()).then(|| exchange.progress + self.run.timeout);
        let due = self.may_send(exchange).then(|| self.next_due(now));
        let until = patience.into_iter().chain(due).min();
        let wait = until.map_or(self.run.timeout, |until| until.saturating_duration_since(now));
        wait.max(SHORTEST_WAIT)
    }

    fn check_patience(&self, exchange: &Exchange, now: Instant) -> Result<(), Failure> {
        let waiting = !self.due.is_empty();
        if waiting && now.duration_since(exchange.progress) >= self.run.timeout {
            return Err(Failure::TimedOut);
        }
        Ok(())
    }

    /// Checks what has come, the first `bytes` of the buffer, and counts the answers in it.
    fn check(
        &mut self,
        exchange: &mut Exchange,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        let size = self.run.size;
        let expected = bytes.min(self.due.len() * size - exchange.partial);
        let came = &self.buffer[..expected];
        if let Err((at, right)) = self.run.pattern.compare(&mut exchange.to_come, came) {
            let of_answer = (exchange.partial + at) % size;
            return Err(Failure::Corrupt { at: of_answer, came: came[at], expected: right });
        }
        add(&self.run.tally.received, expected as u64);
        exchange.progress = now;
        let answers = (exchange.partial + expected) / size;
        exchange.partial = (exchange.partial + expected) % size;
        if answers > 0 {
            exchange.useful = true;
            self.run.tally.answers(now, self.due.drain(..answers));
            self.in_flight.set(self.due.len());
        }
        if bytes > expected { Err(Failure::Surplus) } else { Ok(()) }
    }
}

/// What a connection was good for.
enum Useful {
    ToTheEnd,
    /// It failed, after some answers.
    Partly,
    No,
}
