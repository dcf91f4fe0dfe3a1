//! One TLS session: rustls' state between two parks, and who may move ciphertext meanwhile.
//!
//! rustls neither reads nor writes a socket here. What came from the socket is fed to it, what it wants
//! sent is taken out of it, and both calls on the socket, which may park, are made while nothing is
//! locked. So one green thread reads while another writes, and a kill or a timeout, which come at parks,
//! never find rustls half-way.
//!
//! ```text
//!   reader                          state (locked between parks)           writer
//!   plaintext? give it        ◄──── rustls ◄────────────────────── encrypt, at most BATCH
//!   turn to read                    unread: rustls had no room     turn to write
//!   socket.read  (parks)                                           take what is to be sent
//!   feed rustls               ────► rustls ─────────────────────►  socket.write  (parks)
//!   give the turn back              unsent: the socket had no room put the rest back, or
//!                                                                  nothing left: give the turn back
//! ```
//!
//! *The turns.* Ciphertext must reach the socket, and rustls, in its order: for each direction there is
//! one turn, held across the park. A second green thread that wants it gets an error, as at a socket.
//!
//! *A write that is cut short* (killed, timed out, no room) puts what it could not send into `unsent`,
//! from a drop guard. The next write sends that before it takes any new bytes, so the stream stays whole.
//!
//! *Who holds the turn to write takes along* what others queue meanwhile (an alert, a close_notify): it
//! looks whether anything is left and gives the turn back under one lock.
//!
//! *The handshake* reads and writes. Whoever comes first drives it, the others wait for its end; if the
//! driver is killed, one of those goes on with it.
//!
//! *Code of users* runs inside rustls, while the state is locked: verifiers, key logs, who chooses or keeps
//! what. A panic there, or a kill where it parks against the rules, goes through [`State::rustls`], which
//! makes it the session's failure: nobody knows how far rustls has come. Where a turn and the state are held
//! at once, the turn is declared first: its drop locks the state, so it has to come second.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::{GreenThreadId, Parker, Reason, Unparker, current};
use rustls::Connection;

use super::transport::Carrier;
use crate::TcpStream;
use crate::green_io::sys;

#[cfg(test)]
mod tests;

const HANDSHAKE: Reason = Reason::new(&"the TLS handshake");

/// Bytes of a read from the socket: room for a short record, or for the longest. A TCP stream of ours
/// reads into a buffer that the OS thread has for all. For others it is zeroed on the stack for each read,
/// where the handshake has been deeper already. Either way, an idle stream holds no buffer for it.
const SHORT_READ: usize = 4 * 1024 + 512;
const LONG_READ: usize = 16 * 1024 + 256;

/// How long a stream that goes, or has failed, waits for room to say so.
const FAREWELL: Duration = Duration::from_millis(10);

/// The most that an OS thread keeps of the buffer that writes use by turns.
const KEPT: usize = 128 * 1024;

thread_local! {
    /// Taken, not borrowed: who parks in a write keeps it, and others make one of their own.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };

    /// For reads, of [`LONG_READ`] bytes. Nobody keeps it while parked.
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(crate) struct Session {
    /// Locked between two parks only.
    state: Box<Mutex<State>>,
}

struct State {
    connection: Connection,
    /// How long the handshake may take; `None` is for ever.
    handshake_timeout: Option<Duration>,
    /// The handshake is over, and all of it is sent.
    established: bool,
    /// Somebody drives the handshake.
    shaking: bool,
    /// Who waits for its end.
    waiting: Vec<Unparker>,
    /// We have sent our close_notify, or will not send any more.
    ended: bool,
    /// Why nothing works any more.
    failure: Option<Failure>,
    /// Who has the turn in each direction.
    turns: [Option<GreenThreadId>; 2],
    /// Ciphertext that rustls has no room for.
    unread: Vec<u8>,
    /// Ciphertext that the socket had no room for; goes before what rustls has.
    unsent: Vec<u8>,
    /// The last read filled its buffer.
    reads_are_long: bool,
    /// Futures use it: nobody may park for its sake when it goes.
    is_polled: bool,
    /// Who has polled its halves last, to read and to write.
    wakers: [Option<Arc<Waker>>; 2],
}

#[derive(Clone)]
enum Failure {
    Tls(rustls::Error),
    HandshakeTimedOut(Duration),
    /// Code of a user that rustls had called.
    Unwound,
    /// By one of ours.
    Closed,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tls(error) => Self::new(io::ErrorKind::InvalidData, error),
            Failure::HandshakeTimedOut(after) => {
                let text = format!("the TLS handshake was not done in {after:?}");
                Self::new(io::ErrorKind::TimedOut, text)
            }
            Failure::Unwound => Self::other(
                "code that the TLS configuration has brought along has panicked in this session",
            ),
            Failure::Closed => {
                let text = "this TLS stream was closed by a green thread";
                Self::new(io::ErrorKind::NotConnected, text)
            }
        }
    }
}

/// What a write has to do next.
enum Step<'a> {
    Handshake,
    /// Something of before is to go first.
    Flush,
    /// So many bytes were taken.
    Send(Turn<'a>, usize),
}

impl Session {
    pub(super) fn new(connection: Connection, handshake_timeout: Option<Duration>) -> Self {
        let state = State {
            connection,
            handshake_timeout,
            established: false,
            shaking: false,
            waiting: Vec::new(),
            ended: false,
            failure: None,
            turns: [None, None],
            unread: Vec::new(),
            unsent: Vec::new(),
            reads_are_long: false,
            is_polled: false,
            wakers: [None, None],
        };
        Self { state: Box::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What rustls knows of the session.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.lock().connection)
    }

    pub(super) fn handshake_timeout(&self) -> Option<Duration> {
        self.lock().handshake_timeout
    }

    pub(super) fn set_handshake_timeout(&self, timeout: Option<Duration>) {
        self.lock().handshake_timeout = timeout;
    }

    pub(super) fn is_established(&self) -> bool {
        self.lock().established
    }

    pub(crate) fn read(&self, socket: &impl Carrier, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let mut state = self.lock();
            if !state.established {
                drop(state);
                self.handshake(socket)?;
            } else if let Some(result) = state.take_plaintext(buffer) {
                return result;
            } else {
                drop(state);
                self.receive(socket)?;
            }
        }
    }

    /// A future is about to make a call of one half. Returns the waker of who polls the other half, if that
    /// is somebody else, and whether the handshake is over.
    #[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
    pub(crate) fn note_poll(&self, half: Direction, waker: &Waker) -> (Option<Arc<Waker>>, bool) {
        let (own, other) = match half {
            Direction::Read => (0, 1),
            Direction::Write => (1, 0),
        };
        let is =
            |kept: &Option<Arc<Waker>>| kept.as_ref().is_some_and(|kept| kept.will_wake(waker));
        let mut state = self.lock();
        state.is_polled = true;
        if !is(&state.wakers[own]) {
            // To clone it, or to drop the old one, is code of users.
            drop(state);
            let new = Arc::new(waker.clone());
            state = self.lock();
            let old = state.wakers[own].replace(new);
            drop(state);
            drop(old);
            state = self.lock();
        }
        let others = if is(&state.wakers[other]) { None } else { state.wakers[other].clone() };
        (others, state.established)
    }

    /// Takes some of the bytes, and sends them. Bytes that are taken and for which the socket had no
    /// room in time are kept: that is for the next write to tell.
    pub(crate) fn write(&self, socket: &impl Carrier, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.begin_write(bytes)? {
                Step::Handshake => self.handshake(socket)?,
                Step::Flush => self.flush(socket)?,
                Step::Send(turn, count) => {
                    return match turn.send(socket) {
                        Err(error) if !is_for_later(&error) => Err(error),
                        _ => Ok(count),
                    };
                }
            }
        }
    }

    fn begin_write(&self, bytes: &[u8]) -> io::Result<Step<'_>> {
        let turn;
        let mut state = self.lock();
        if !state.established {
            return Ok(Step::Handshake);
        }
        state.may_write()?;
        turn = state.turn(self, Direction::Write)?;
        if state.has_unsent() {
            return Ok(Step::Flush);
        }
        match state.rustls(|connection| connection.writer().write(bytes))? {
            0 if !bytes.is_empty() => Ok(Step::Flush),
            count => Ok(Step::Send(turn, count)),
        }
    }

    /// Sends all that was taken.
    pub(crate) fn flush(&self, socket: &impl Carrier) -> io::Result<()> {
        let turn = self.lock().turn(self, Direction::Write)?;
        turn.send(socket)
    }

    /// Sends a close_notify, once. Before the handshake there is no session that it could end.
    pub(crate) fn shutdown(&self, socket: &impl Carrier) -> io::Result<()> {
        let mut state = self.lock();
        let established = state.established && state.failure.is_none();
        if established && !state.ended {
            state.rustls(|connection| connection.send_close_notify());
        }
        state.ended = true;
        if !established {
            return Ok(());
        }
        // Whoever writes takes it along.
        let Ok(turn) = state.turn(self, Direction::Write) else { return Ok(()) };
        drop(state);
        turn.send(socket)
    }

    /// [`shutdown`](Self::shutdown) for a stream that goes: it waits for next to nothing.
    pub(super) fn part(&self, socket: &impl Carrier) {
        let state = self.lock();
        let works = state.established && state.failure.is_none();
        let says_something = works && (!state.ended || state.has_unsent());
        let is_polled = state.is_polled;
        drop(state);
        if is_polled {
            // As much as there is room for: futures are not to park.
            if let Some(stream) = socket.as_tcp() {
                self.close(|bytes| stream.try_write(bytes));
            }
        } else if says_something {
            let _ = evy_runtime::timeout(FAREWELL, || self.shutdown(socket));
        }
    }

    /// Ends the session for everybody; `try_write` sends what the socket has room for, and never parks.
    pub(super) fn close(&self, try_write: impl FnOnce(&[u8]) -> io::Result<usize>) {
        let mut turn;
        let mut state = self.lock();
        let says_goodbye = state.established && !state.ended && state.failure.is_none();
        state.ended = true;
        state.failure.get_or_insert(Failure::Closed);
        if !says_goodbye {
            return;
        }
        // Somebody who is in the middle of a write stays there: nothing fits in.
        turn = match state.turn(self, Direction::Write) {
            Ok(turn) => turn,
            Err(_busy) => return,
        };
        state.rustls(|connection| connection.send_close_notify());
        drop(state);
        if let Some(mut batch) = turn.next_batch() {
            batch.sent = try_write(&batch.bytes).unwrap_or(0);
        }
    }

    pub(super) fn handshake(&self, socket: &impl Carrier) -> io::Result<()> {
        let Some(shaking) = self.begin_handshake()? else { return Ok(()) };
        let Some(limit) = shaking.0.handshake_timeout() else { return self.shake(socket) };
        let result = evy_runtime::timeout(limit, || self.shake(socket));
        result.unwrap_or_else(|_elapsed| {
            let failure = Failure::HandshakeTimedOut(limit);
            self.lock().failure = Some(failure.clone());
            Err(failure.into())
        })
    }

    /// Waits until the handshake is over (`None`) or has no driver.
    fn begin_handshake(&self) -> io::Result<Option<Shaking<'_>>> {
        loop {
            let mut state = self.lock();
            if state.established {
                return Ok(None);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone().into());
            }
            if !state.shaking {
                state.shaking = true;
                return Ok(Some(Shaking(self)));
            }
            let parker = Parker::new();
            state.waiting.push(parker.unparker());
            drop(state);
            // All are woken at once, so one that is killed now has nothing to pass on.
            let woken = parker.park(HANDSHAKE, None);
            debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
        }
    }

    fn shake(&self, socket: &impl Carrier) -> io::Result<()> {
        loop {
            self.flush(socket)?;
            let mut state = self.lock();
            if let Some(failure) = &state.failure {
                return Err(failure.clone().into());
            }
            if !state.connection.is_handshaking() {
                state.established = true;
                return Ok(());
            }
            drop(state);
            if self.receive(socket)? == Received::End {
                let text = "the peer closed the connection during the TLS handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }

    /// Feeds rustls with what it had no room for, or with what comes from the socket. What that is
    /// worth, a failure too, is in the state then.
    fn receive(&self, socket: &impl Carrier) -> io::Result<Received> {
        let mut turn;
        let mut state = self.lock();
        turn = state.turn(self, Direction::Read)?;
        let unread = mem::take(&mut state.unread);
        let reads_are_long = state.reads_are_long;
        drop(state);
        let received = match socket.as_tcp() {
            _ if !unread.is_empty() => turn.take_in(&unread, reads_are_long),
            Some(stream) => turn.lent_read(stream)?,
            None if reads_are_long => turn.long_read(socket)?,
            None => turn.short_read(socket)?,
        };
        if received == Received::Failure {
            self.tell_failure(socket);
        }
        Ok(received)
    }

    /// The peer is to hear, at best, why nobody talks to it any more.
    fn tell_failure(&self, socket: &impl Carrier) {
        let state = self.lock();
        if state.failure.is_some() && state.has_unsent() {
            drop(state);
            // What matters is the failure; this one has nobody to be told to.
            let _ = evy_runtime::timeout(FAREWELL, || self.flush(socket));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    Some,
    /// What makes the session fail.
    Failure,
    /// The end of the socket's stream.
    End,
}

/// Errors after which the same bytes can be sent again.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

impl State {
    fn turn<'a>(&mut self, session: &'a Session, direction: Direction) -> io::Result<Turn<'a>> {
        let (holder, me) = (&mut self.turns[direction as usize], current());
        if let Some(holder) = holder {
            let what = match direction {
                Direction::Read => "reads from",
                Direction::Write => "writes to",
            };
            let text = format!("green thread {holder} {what} this TLS stream; {me} came second");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        *holder = Some(me);
        Ok(Turn { session, direction, is_over: false })
    }

    fn may_write(&self) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if self.ended {
            let text = "this TLS stream was shut down";
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, text));
        }
        Ok(())
    }

    /// Calls rustls, and through it maybe code of the user's. If that unwinds, the session has failed.
    fn rustls<T>(&mut self, call: impl FnOnce(&mut Connection) -> T) -> T {
        struct Failing<'a>(&'a mut Option<Failure>);

        impl Drop for Failing<'_> {
            fn drop(&mut self) {
                self.0.get_or_insert(Failure::Unwound);
            }
        }

        let failing = Failing(&mut self.failure);
        let result = call(&mut self.connection);
        mem::forget(failing);
        result
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.connection.wants_write()
    }

    /// The plaintext that is there, the end, or what is wrong; `None`: more has to come first.
    fn take_plaintext(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if let Some(Failure::Closed) = self.failure {
            return Some(Err(Failure::Closed.into()));
        }
        match self.rustls(|connection| connection.reader().read(buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.failure.clone().map(|failure| Err(failure.into()))
            }
            result => Some(result),
        }
    }

    /// Hands ciphertext to rustls; what it has no room for waits.
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failure.is_none() {
            match self.rustls(|connection| connection.read_tls(&mut bytes)) {
                // After the peer's close_notify, nothing counts.
                Ok(0) => return,
                Ok(_) => {
                    if let Err(error) = self.rustls(Connection::process_new_packets) {
                        self.failure = Some(Failure::Tls(error));
                    }
                }
                // Plaintext has to be read first.
                Err(error) if error.kind() == io::ErrorKind::Other => {
                    self.unread = bytes.to_vec();
                    return;
                }
                Err(error) => {
                    let error = rustls::Error::General(error.to_string());
                    self.failure = Some(Failure::Tls(error));
                }
            }
        }
    }

    /// Lets rustls know that nothing more comes: without a close_notify before it, that is an error.
    fn feed_end(&mut self) {
        let end = self.rustls(|connection| connection.read_tls(&mut io::empty()));
        debug_assert!(matches!(end, Ok(0)), "there is no plaintext while somebody waits for it");
    }
}

/// Has the next read use the buffer.
fn lend_again(buffer: &mut Vec<u8>) {
    let buffer = mem::take(buffer);
    // On an OS thread that ends there is nobody to keep it for.
    let _ = READ_BUFFER.try_with(|lent| lent.set(buffer));
}

/// The right to move ciphertext in one direction.
struct Turn<'a> {
    session: &'a Session,
    direction: Direction,
    /// It was given back already.
    is_over: bool,
}

impl Turn<'_> {
    /// Gives it back, which says whether the session works still.
    fn end(&mut self, state: &mut State) -> Received {
        state.turns[self.direction as usize] = None;
        self.is_over = true;
        if state.failure.is_some() { Received::Failure } else { Received::Some }
    }

    fn lent_read(mut self, stream: &TcpStream) -> io::Result<Received> {
        let mut lent = Vec::new();
        let count = stream.io().read_stream(LONG_READ, |fd| {
            lent = READ_BUFFER.try_with(Cell::take).unwrap_or_default();
            lent.resize(LONG_READ, 0);
            let result = sys::recv(fd, &mut lent);
            if result.is_err() {
                lend_again(&mut lent);
            }
            result
        })?;
        let received = self.take_in(&lent[..count], false);
        lend_again(&mut lent);
        Ok(received)
    }

    #[inline(never)]
    fn short_read(self, socket: &impl Carrier) -> io::Result<Received> {
        self.read(socket, &mut [0; SHORT_READ])
    }

    /// In a frame of its own, so that its buffer is none of the other's.
    #[inline(never)]
    fn long_read(self, socket: &impl Carrier) -> io::Result<Received> {
        self.read(socket, &mut [0; LONG_READ])
    }

    fn read(mut self, socket: &impl Carrier, buffer: &mut [u8]) -> io::Result<Received> {
        let count = loop {
            match socket.read_shared(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        Ok(self.take_in(&buffer[..count], count == buffer.len()))
    }

    /// Hands rustls what a read has given, and gives the turn back.
    fn take_in(&mut self, bytes: &[u8], reads_are_long: bool) -> Received {
        let mut state = self.session.lock();
        state.reads_are_long = reads_are_long;
        if bytes.is_empty() {
            state.feed_end();
            self.end(&mut state);
            return Received::End;
        }
        state.feed(bytes);
        self.end(&mut state)
    }

    /// Sends until nothing is left.
    fn send(mut self, socket: &impl Carrier) -> io::Result<()> {
        while let Some(mut batch) = self.next_batch() {
            batch.send(socket)?;
            socket.flush_shared()?;
        }
        Ok(())
    }

    /// What is to be sent. When there is nothing, the turn is over: whoever queues something after this
    /// look gets the turn.
    fn next_batch(&mut self) -> Option<Batch<'_>> {
        let mut state = self.session.lock();
        if !state.has_unsent() {
            state.turns[self.direction as usize] = None;
            self.is_over = true;
            return None;
        }
        let mut bytes = BUFFER.try_with(Cell::take).unwrap_or_default();
        bytes.append(&mut state.unsent);
        while state.connection.wants_write() {
            let taken = state.rustls(|connection| connection.write_tls(&mut bytes));
            taken.expect("a vector takes everything");
        }
        Some(Batch { session: self.session, bytes, sent: 0 })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.session.lock().turns[self.direction as usize] = None;
        }
    }
}

/// Ciphertext on its way; what is left of it when this is dropped goes next.
struct Batch<'a> {
    session: &'a Session,
    bytes: Vec<u8>,
    sent: usize,
}

impl Batch<'_> {
    fn send(&mut self, socket: &impl Carrier) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match socket.write_shared(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let rest = &self.bytes[self.sent..];
        if !rest.is_empty() {
            // Who has the turn is the only one who adds to it or takes from it.
            self.session.lock().unsent = rest.to_vec();
        }
        if self.bytes.capacity() <= KEPT {
            let mut bytes = mem::take(&mut self.bytes);
            bytes.clear();
            // On an OS thread that ends there is nobody to keep it for.
            let _ = BUFFER.try_with(|buffer| buffer.set(bytes));
        }
    }
}

/// The right to drive the handshake; whoever waits for its end looks again when this is dropped.
struct Shaking<'a>(&'a Session);

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.lock();
            state.shaking = false;
            mem::take(&mut state.waiting)
        };
        waiting.iter().for_each(Unparker::unpark);
    }
}
