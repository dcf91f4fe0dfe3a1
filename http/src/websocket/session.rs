//! One WebSocket: tungstenite's state between two parks, and who moves bytes meanwhile.
//!
//! tungstenite neither reads nor writes a socket here. It is fed with what came, and what it wants sent
//! is taken from it; both calls on the socket, which park, are made while the state is not borrowed. So
//! one green thread reads while others send, and a kill or a timeout, which come at parks, never find
//! tungstenite in the middle of a frame.
//!
//! ```text
//!   receiver (one at a time)        state (borrowed between parks)      senders (one at a time)
//!   message? give it        ◄────── tungstenite ◄──────────────────── message
//!   socket.read  (parks)            wire: frames that are to go          wait until it is sent
//!   feed                    ──────► tungstenite ──► pongs                        │
//!                                        │                                       │
//!                                        ▼                                       │
//!                               writer: socket.write (parks) ──► progress ───────┘
//! ```
//!
//! *The writer* is a green thread of its own, there only while frames are to go and switched to at once: if
//! the socket has room, the frame is sent before `spawn_eager` returns. A sender that is killed or timed out
//! does not take the writer with it, so that no frame is cut off: not on the wire, and not in a TLS session,
//! which may have taken bytes of which a killed write can tell nobody. Whoever sends next waits until that
//! message is through, so one message at most lies ready.
//!
//! *Pongs* and the answer to the peer's farewell go to the wire without waiting for a turn: a receiver never
//! waits for a sender, and a peer that reads only after it has written is no deadlock. One that asks for
//! pongs and does not read them is not read from after `MOST_ANSWERS` of them.
//!
//! *The end* is noted once. After a farewell of either side the connection is wound up in the background
//! (what is to go is sent, then our side is ended, then the peer's end is awaited for a while); else it
//! is closed at once, which wakes whoever waits on it.

mod ping;
mod writer;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use evy_runtime::{Builder, Reason, WaitList, spawn_eager, timeout};
use evy_sync::Mutex;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message as Frames};

use self::writer::Writer;
use super::end::{End, is_closed};
use super::wire::Wire;
use super::{CloseCode, Closed, Message, Options, Violation};
use crate::Stream;

const SENT: Reason = Reason::new(&"a WebSocket's writer");

/// Bytes of a read: few while little comes, for they lie on the stack of who waits.
const SHORT_READ: usize = 1024;
const LONG_READ: usize = 16 * 1024;

/// Bytes that tungstenite keeps ready for what is read.
const READ_BUFFER: usize = 2048;

/// The longest message that may lie in a buffer that is used again.
const LONGEST_KEPT: usize = 16 * 1024;

/// The most bytes of pongs that lie ready to be sent.
const MOST_ANSWERS: usize = 64 * 1024;

/// How long the end of the connection may take after the farewells.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Session {
    stream: Stream,
    close_timeout: Duration,
    /// Borrowed between two parks only.
    state: RefCell<State>,
    /// The turn to receive, and the turn to send a message.
    receiving: Mutex<()>,
    sending: Mutex<()>,
    /// Who waits until something is sent, or for the end.
    progress: WaitList,
    /// The last read filled its buffer.
    reads_are_long: Cell<bool>,
    /// Somebody waits for bytes, of which there are none then that have come and are not read; or for room
    /// to answer those that have.
    is_listening: Cell<bool>,
    /// How many bytes have come, and how many the socket has taken.
    heard: Cell<u64>,
    taken: Cell<u64>,
}

struct State {
    role: Role,
    protocol: WebSocketContext,
    wire: Wire,
    /// How much of what was queued is sent.
    sent: u64,
    /// Where the last message ends, in what was queued.
    last_message: u64,
    /// The writer is there.
    is_writing: bool,
    /// We have said farewell, and wait for the answer.
    is_closing: bool,
    end: Option<End>,
    /// Why nothing can be sent any more; what has come before can still be received.
    cut: Option<End>,
    /// The connection is closed.
    is_hung_up: bool,
    closed: Option<Closed>,
    /// Of the one that sends pings.
    pinger: Option<Waker>,
}

impl State {
    /// The next of what has come.
    fn read(&mut self) -> Result<Frames, Error> {
        let Self { protocol, wire, .. } = self;
        let read = wire.count_answers(|wire| protocol.read(wire));
        let is_long = |message: &Frames| message.len() > LONGEST_KEPT;
        if read.as_ref().is_ok_and(is_long) && protocol.can_write() {
            // tungstenite would keep a buffer that is as long as the longest frame. It knows nothing else
            // between two messages: another one in its place goes on with the next.
            *protocol = WebSocketContext::new(self.role, Some(*protocol.get_config()));
        }
        read
    }

    fn can_send(&self) -> bool {
        self.end.is_none() && self.cut.is_none() && self.protocol.can_write()
    }

    /// Puts a frame behind those that are to go. Not by tungstenite, which would keep a buffer that is as
    /// long as the longest of them.
    fn put(&mut self, mut frame: Frame) {
        if self.role == Role::Client {
            frame.header_mut().mask = Some(rand::random());
        }
        frame.format(&mut self.wire).expect("memory takes everything");
    }

    /// Why nothing can be sent.
    fn refusal(&self) -> io::Error {
        self.end.as_ref().or(self.cut.as_ref()).map_or_else(is_closed, End::refusal)
    }
}

/// What a look at what has come gives.
enum Step {
    Message(Message),
    /// Something that receivers do not get.
    Other,
    /// More has to come.
    Wait,
    End(End),
}

impl Session {
    pub(super) fn new(stream: Stream, ahead: Bytes, role: Role, options: &Options) -> Rc<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(options.max_message))
            .max_frame_size(Some(options.max_frame));
        let protocol = WebSocketContext::new(role, Some(config));
        let mut wire = Wire::default();
        wire.feed(&ahead);
        let state = State {
            role,
            protocol,
            wire,
            sent: 0,
            last_message: 0,
            is_writing: false,
            is_closing: false,
            end: None,
            cut: None,
            is_hung_up: false,
            closed: None,
            pinger: None,
        };
        Rc::new(Self {
            stream,
            close_timeout: options.close_timeout,
            state: RefCell::new(state),
            receiving: Mutex::new(()),
            sending: Mutex::new(()),
            progress: WaitList::new(),
            reads_are_long: Cell::new(false),
            is_listening: Cell::new(false),
            heard: Cell::new(0),
            taken: Cell::new(0),
        })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn closed(&self) -> Option<Closed> {
        self.state.borrow().closed.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.borrow().end.is_some()
    }

    /// Whether nothing can be sent any more, though the peer's end is still to come.
    pub(super) fn is_cut(&self) -> bool {
        self.state.borrow().cut.is_some()
    }

    /// The next message; `None` after a farewell.
    pub(super) fn receive(self: &Rc<Self>) -> io::Result<Option<Message>> {
        let _turn = self.receiving.lock();
        loop {
            self.wait_for_room();
            match self.step() {
                Step::Message(message) => {
                    self.start_writer();
                    return Ok(Some(message));
                }
                Step::Other => {}
                Step::Wait => {
                    self.start_writer();
                    self.listen()?;
                }
                Step::End(end) => {
                    let result = end.received();
                    self.end(end);
                    return result;
                }
            }
        }
    }

    /// Waits while there are too many pongs that the peer does not take.
    fn wait_for_room(&self) {
        if self.state.borrow().wire.answers() > MOST_ANSWERS {
            let _listening = Listening::new(&self.is_listening);
            self.wait_while(|state| state.wire.answers() > MOST_ANSWERS);
        }
    }

    fn step(&self) -> Step {
        let mut state = self.state.borrow_mut();
        if let Some(end) = &state.end {
            return Step::End(end.clone());
        }
        let read = state.read();
        let State { protocol, wire, is_closing, closed, .. } = &mut *state;
        match read {
            // As in browsers: after our farewell nobody is interested any more.
            Ok(Frames::Text(_) | Frames::Binary(_)) if *is_closing => Step::Other,
            Ok(Frames::Text(text)) => Step::Message(Message::Text(super::Text::new(text))),
            Ok(Frames::Binary(bytes)) => Step::Message(Message::Binary(bytes)),
            Ok(Frames::Close(frame)) => {
                *closed = Some(Closed::of(frame));
                // Its answer. On the server's side tungstenite says by an error that this was the last.
                let _ = protocol.flush(wire);
                Step::End(End::Closed)
            }
            Ok(Frames::Ping(_) | Frames::Pong(_) | Frames::Frame(_)) => Step::Other,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Step::Wait,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Step::End(End::Closed),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                Step::End(if *is_closing { End::Closed } else { End::broken_off() })
            }
            Err(error) => {
                let violation = Violation::of(&error);
                // After a farewell of ours it says nothing more.
                let _ = protocol.close(wire, Some(farewell(violation.code(), "")));
                Step::End(End::Violated(violation))
            }
        }
    }

    /// Waits until something has come, or the end.
    fn listen(self: &Rc<Self>) -> io::Result<()> {
        let listening = Listening::new(&self.is_listening);
        let result = if self.reads_are_long.get() { self.long_read() } else { self.short_read() };
        drop(listening);
        match result {
            Ok(()) => Ok(()),
            // Whoever has given the stream a timeout may try again.
            Err(error) if is_for_later(&error) && !self.is_over() => Err(error),
            Err(error) => {
                let is_closing = self.state.borrow().is_closing;
                self.end(if is_closing { End::Closed } else { End::lost(&error) });
                Ok(())
            }
        }
    }

    #[inline(never)]
    fn short_read(&self) -> io::Result<()> {
        self.read(&mut [0; SHORT_READ])
    }

    /// In a frame of its own, so that its buffer is none of the other's.
    #[inline(never)]
    fn long_read(&self) -> io::Result<()> {
        self.read(&mut [0; LONG_READ])
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<()> {
        let count = read(&self.stream, buffer)?;
        self.reads_are_long.set(count == buffer.len());
        self.heard.set(self.heard.get() + count as u64);
        let wire = &mut self.state.borrow_mut().wire;
        if count == 0 {
            wire.has_ended = true;
        } else {
            wire.feed(&buffer[..count]);
        }
        Ok(())
    }

    /// Sends a message, or a ping, and waits until the socket has all of it.
    pub(super) fn send(self: &Rc<Self>, frame: Frame) -> io::Result<()> {
        let _turn = self.sending.lock();
        // Somebody else's who has not waited for its end.
        self.wait_while(|state| state.sent < state.last_message);
        let end = self.queue(frame)?;
        self.start_writer();
        self.wait_while(|state| state.sent < end);
        let state = self.state.borrow();
        if state.sent < end { Err(state.refusal()) } else { Ok(()) }
    }

    /// Puts a message behind the frames that are to go, and returns where it ends.
    fn queue(&self, frame: Frame) -> io::Result<u64> {
        let mut state = self.state.borrow_mut();
        if !state.can_send() {
            return Err(state.refusal());
        }
        state.put(frame);
        state.last_message = state.wire.queued();
        Ok(state.last_message)
    }

    /// Waits while it is as `is_so` says, and something can be sent.
    fn wait_while(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let state = self.state.borrow();
            if state.is_hung_up || state.cut.is_some() || !is_so(&state) {
                return;
            }
            drop(state);
            self.progress.wait(SENT, None, || ()).expect("there is no deadline");
        }
    }

    /// Has a green thread send what is to go, if there is none.
    fn start_writer(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.is_hung_up || state.cut.is_some() {
            state.wire.take_outgoing(Vec::new());
        }
        if state.is_writing || !state.wire.has_outgoing() {
            return;
        }
        state.is_writing = true;
        drop(state);
        let writer = Writer::new(self);
        let _ = spawn_eager(move || writer.write());
    }

    /// Says farewell and waits for the peer's, for a while.
    pub(super) fn close(self: &Rc<Self>, code: CloseCode, reason: &str) -> io::Result<()> {
        /// If whoever closes it is cut short, somebody else waits for the end, for the sake of receivers.
        struct Closing<'a>(&'a Rc<Session>, CloseCode);

        impl Drop for Closing<'_> {
            fn drop(&mut self) {
                self.0.close_in_background(self.1);
            }
        }

        if self.is_over() {
            return Ok(());
        }
        let closing = Closing(self, code);
        self.say_farewell(code, reason);
        closing.0.wait_for_the_end()
    }

    fn say_farewell(self: &Rc<Self>, code: CloseCode, reason: &str) {
        let mut state = self.state.borrow_mut();
        let State { protocol, wire, is_closing, .. } = &mut *state;
        if !mem::replace(is_closing, true) {
            // Behind the peer's it says nothing more.
            let _ = protocol.close(wire, Some(farewell(code, reason)));
        }
        drop(state);
        self.start_writer();
    }

    fn wait_for_the_end(self: &Rc<Self>) -> io::Result<()> {
        let limit = if self.is_cut() { self.close_timeout.min(LINGER) } else { self.close_timeout };
        match timeout(limit, || self.receive_the_end()) {
            Ok(result) => result,
            Err(_elapsed) => {
                let end = End::Silent("answered its close", limit);
                self.end(end.clone());
                Err(end.refusal())
            }
        }
    }

    fn receive_the_end(self: &Rc<Self>) -> io::Result<()> {
        loop {
            match self.receive() {
                Ok(message) => {
                    debug_assert_eq!(message, None, "there are no more after our farewell");
                    return Ok(());
                }
                // The timeout that the stream was given is not the one that counts here.
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !self.is_over() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// [`close`](Self::close) for who does not wait.
    pub(super) fn close_in_background(self: &Rc<Self>, code: CloseCode) {
        if self.is_over() {
            return;
        }
        let closing = InBackground(Rc::clone(self));
        let wait = move || {
            let session = &closing.0;
            let _ = session.wait_for_the_end();
        };
        // The OS thread may be about to end, its hub before it: then this fails, and drops what closes.
        if Builder::new().spawn(wait).is_ok() {
            // At once: the process may be about to end.
            self.say_farewell(code, "");
        }
    }

    /// Notes how it has ended, if it has not yet, and sees to the rest.
    fn end(self: &Rc<Self>, end: End) {
        let mut state = self.state.borrow_mut();
        if state.end.is_some() {
            return;
        }
        let is_civil = end.is_civil();
        state.end = Some(end);
        let pinger = state.pinger.take();
        drop(state);
        if let Some(pinger) = pinger {
            pinger.wake();
        }
        if is_civil {
            let session = Rc::clone(self);
            let _ = spawn_eager(move || session.wind_up());
        } else {
            self.hang_up();
        }
    }

    /// Sends what is to go, and closes the connection once that had time to arrive: to close a socket
    /// with unread data would reset it, and the peer would lose what it has not read yet.
    fn wind_up(self: Rc<Self>) {
        let hang_up = HangUp(self);
        let session = &hang_up.0;
        session.start_writer();
        // RFC 6455, 7.1.1: the server closes first.
        let is_first = {
            let state = session.state.borrow();
            state.role == Role::Server || matches!(state.end, Some(End::Violated(_)))
        };
        let _ = timeout(session.close_timeout, || session.wait_while(|state| state.is_writing));
        let _ = timeout(LINGER, || {
            if is_first {
                finish(&session.stream);
            }
            let mut buffer = [0; SHORT_READ];
            while read(&session.stream, &mut buffer).is_ok_and(|count| count > 0) {}
        });
    }

    /// Closes the connection under whoever waits on it.
    fn hang_up(&self) {
        self.state.borrow_mut().is_hung_up = true;
        close(&self.stream);
        self.progress.wake_all();
    }
}

/// Closes the connection, however it comes to that.
struct HangUp(Rc<Session>);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

/// Waits for the end in the background; closes the connection where that is cut short.
struct InBackground(Rc<Session>);

impl Drop for InBackground {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.hang_up();
        }
    }
}

/// Somebody waits for bytes.
struct Listening<'a>(&'a Cell<bool>);

impl<'a> Listening<'a> {
    fn new(is_listening: &'a Cell<bool>) -> Self {
        is_listening.set(true);
        Self(is_listening)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn farewell(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame { code: code.as_u16().into(), reason: reason.into() }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn read(mut stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Ends our side.
fn finish(stream: &Stream) {
    // A peer that is gone already has no use for it.
    let _ = match stream {
        Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        #[cfg(feature = "tls")]
        Stream::Tls(stream) => {
            stream.shutdown().and_then(|()| stream.get_ref().shutdown(Shutdown::Write))
        }
        Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
    };
}

fn close(stream: &Stream) {
    match stream {
        Stream::Tcp(stream) => stream.close(),
        #[cfg(feature = "tls")]
        Stream::Tls(stream) => stream.close(),
        Stream::Unix(stream) => stream.close(),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("stream", &self.stream).finish_non_exhaustive()
    }
}
