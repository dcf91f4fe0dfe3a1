//! One connection's green thread: sends, reads, checks, and connects again.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::found::Found;
use crate::patience::Waiting;
use crate::run::Run;
use crate::sender::Sender;
use crate::speech::{Answers, LARGEST_BUFFER};
use crate::tally::add;

/// The pause after a connection that gave nothing; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A read that waits shorter than this would not be a wait.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// A user of the server, who has one connection at a time.
pub(crate) struct Client {
    run: Rc<Run>,
    number: usize,
    /// Requests sent on all its connections: by that the timetable says when the next one is due.
    sent: u64,
    /// When each request in flight was sent, or with a rate: was to be sent. Never grows.
    due: VecDeque<Instant>,
    /// What others see of it.
    waiting: Rc<Waiting>,
    buffer: Box<[u8]>,
}

/// The state of one connection.
struct Exchange {
    connection: Rc<Connection>,
    sender: Sender,
    answers: Answers,
    /// Bytes at the start of the buffer that have come, and mean nothing yet.
    kept: usize,
    /// Requests that may still be sent on it.
    left: usize,
    /// Reads end when the next request is due.
    reads_are_timed: bool,
    /// An answer has come.
    useful: bool,
}

impl Client {
    pub(crate) fn new(run: Rc<Run>, number: usize, waiting: Rc<Waiting>) -> Self {
        let pipeline = run.pipeline;
        let buffer = run.speech.buffer(pipeline);
        Self { run, number, sent: 0, due: VecDeque::with_capacity(pipeline), waiting, buffer }
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
        self.waiting.begin(Rc::clone(&exchange.connection));
        let result = self.talk(&mut exchange);
        if result.is_ok() {
            self.take_back();
        }
        let lost = self.due.len();
        self.due.clear();
        self.waiting.end();
        match result {
            Ok(()) => return Useful::ToTheEnd,
            Err(Failure::Closed) if lost == 0 => add(&self.run.tally.closed_idle, 1),
            Err(_) if self.waiting.is_given_up() => self.report(&Failure::TimedOut, lost),
            Err(failure) => {
                // What a write has met is the cause of what the read gave.
                self.report(&exchange.sender.failure().map_or(failure, Failure::Write), lost);
            }
        }
        if exchange.useful { Useful::Partly } else { Useful::No }
    }

    /// Takes back the requests that a server which answers no more on their connection has left: it has
    /// not looked at them, and they are sent on the next one.
    fn take_back(&mut self) {
        let unanswered = self.due.len() as u64;
        self.due.clear();
        self.sent -= unanswered;
        self.run.tally.sent.set(self.run.tally.sent.get() - unanswered);
    }

    fn exchange(&self, connection: Connection) -> Exchange {
        let (run, connection) = (&self.run, Rc::new(connection));
        let (script, answers) = run.speech.begin(self.number, self.sent);
        let window = run.speech.request().saturating_mul(run.pipeline);
        let sender = Sender::new(&connection, script, window);
        Exchange {
            connection,
            sender,
            answers,
            kept: 0,
            left: run.per_connection,
            reads_are_timed: false,
            useful: false,
        }
    }

    fn talk(&mut self, exchange: &mut Exchange) -> Result<(), Failure> {
        let connection = Rc::clone(&exchange.connection);
        let mut now = Instant::now();
        loop {
            self.send(exchange, now)?;
            if self.due.is_empty() && (exchange.left == 0 || self.run.stopped.get()) {
                return Ok(());
            }
            self.time_reads(exchange, now)?;
            let read = (&*connection).read(&mut self.buffer[exchange.kept..]);
            now = Instant::now();
            match read {
                Ok(0) => {
                    exchange.answers.end(&self.run.tally)?;
                    self.count(exchange, 1, now);
                    return Ok(());
                }
                Ok(bytes) => self.check(exchange, bytes, now)?,
                // The next request is due.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => return Err(Failure::Read(error)),
            }
            if exchange.answers.are_over() {
                return Ok(());
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
            self.waiting.progress(requests, now);
        } else {
            self.waiting.add(self.due.len());
        }
        add(&self.run.tally.sent, requests as u64);
        let bytes = requests * self.run.speech.request();
        exchange.sender.send(&exchange.connection, bytes).map_err(Failure::Write)
    }

    fn may_send(&self, exchange: &Exchange) -> bool {
        self.due.len() < self.run.pipeline && exchange.left > 0 && !self.run.stopped.get()
    }

    /// When the next request is to be sent: without a rate, at once.
    fn next_due(&self, now: Instant) -> Instant {
        self.run.pace.get().map_or(now, |pace| pace.due(self.number, self.sent))
    }

    /// Has the next read wait until the next request is due, or for ever.
    fn time_reads(&self, exchange: &mut Exchange, now: Instant) -> Result<(), Failure> {
        let is_timed = self.may_send(exchange);
        if is_timed || exchange.reads_are_timed {
            exchange.reads_are_timed = is_timed;
            let wait = || self.next_due(now).saturating_duration_since(now).max(SHORTEST_WAIT);
            let timeout = is_timed.then(wait);
            exchange.connection.set_read_timeout(timeout).map_err(Failure::Read)?;
        }
        Ok(())
    }

    /// Checks what has come, so many bytes behind those that were kept, and counts the answers in it.
    fn check(
        &mut self,
        exchange: &mut Exchange,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        let came = exchange.kept + bytes;
        let Found { answers, taken, failure } =
            exchange.answers.check(&self.buffer[..came], self.due.len(), &self.run.tally);
        add(&self.run.tally.received, taken as u64);
        self.count(exchange, answers, now);
        if let Some(failure) = failure {
            return Err(failure);
        }
        exchange.kept = came - taken;
        if exchange.kept > 0 {
            self.keep(taken..came)?;
        }
        if came == self.buffer.len() && came < LARGEST_BUFFER {
            self.enlarge(exchange.kept);
        }
        Ok(())
    }

    /// A read has filled the buffer: there may be more.
    #[cold]
    fn enlarge(&mut self, kept: usize) {
        let mut larger = vec![0; self.buffer.len() * 2].into_boxed_slice();
        larger[..kept].copy_from_slice(&self.buffer[..kept]);
        self.buffer = larger;
    }

    fn count(&mut self, exchange: &mut Exchange, answers: usize, now: Instant) {
        if answers > 0 {
            exchange.useful = true;
            self.run.tally.answers(now, &mut self.due, answers);
        }
        self.waiting.progress(self.due.len(), now);
    }

    /// Moves what means nothing yet to the start of the buffer.
    fn keep(&mut self, bytes: Range<usize>) -> Result<(), Failure> {
        if bytes.len() == LARGEST_BUFFER {
            let text = format!("the head of an answer is longer than {} bytes", bytes.len());
            return Err(Failure::Malformed(text));
        }
        self.buffer.copy_within(bytes, 0);
        Ok(())
    }
}

/// What a connection was good for.
enum Useful {
    ToTheEnd,
    /// It failed, after some answers.
    Partly,
    No,
}
