//! What a handler writes, on its way to hyper: one piece at a time.
//!
//! ```text
//!   handler's green thread            Pipe                     the connection's future
//!   put: waits until there is room    one piece, or the end    poll_next: takes it, or leaves its waker
//! ```

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use evy_runtime::{Reason, WaitList};

use crate::connection::Connection;

const ROOM: Reason = Reason::new(&"an HTTP client to take the last piece of its answer");

/// Where it stands.
#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    Piece(Bytes),
    /// The writer is through.
    Done,
    /// The writer has failed, or went without a word; what it had put in last.
    Failing(Option<Bytes>),
    /// That is known now.
    Failed,
    /// Nobody takes anything any more.
    Gone,
}

pub(crate) struct Pipe {
    /// Counts the piece that is here: who does not take it is slow.
    connection: Rc<Connection>,
    state: RefCell<State>,
    /// Who polls.
    waker: Cell<Option<Waker>>,
    /// The writer.
    room: WaitList,
}

/// The end of a body that was cut off.
#[derive(Debug)]
pub(crate) struct CutOff;

impl Pipe {
    pub(crate) fn new(connection: &Rc<Connection>) -> Self {
        Self {
            connection: Rc::clone(connection),
            state: RefCell::default(),
            waker: Cell::default(),
            room: WaitList::new(),
        }
    }

    /// Puts a piece in, as soon as there is room.
    pub(crate) fn put(&self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.wait_for_room()?;
        *self.state.borrow_mut() = State::Piece(piece);
        self.connection.pulse().add_unsent();
        self.wake();
        Ok(())
    }

    /// Waits until the last piece was taken.
    pub(crate) fn wait_for_room(&self) -> io::Result<()> {
        loop {
            match *self.state.borrow() {
                State::Empty => return Ok(()),
                State::Piece(_) => {}
                _ => {
                    let text = "the HTTP client has gone away";
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, text));
                }
            }
            self.room.wait(ROOM, None, || ()).expect("there is no deadline");
        }
    }

    /// There will be no more.
    pub(crate) fn end(&self, result: Result<(), CutOff>) {
        let end = if result.is_ok() { State::Done } else { State::Failing(None) };
        let mut state = self.state.borrow_mut();
        let next = match &*state {
            State::Empty => end,
            State::Piece(piece) => State::Failing(Some(piece.clone())),
            State::Done | State::Failing(_) | State::Failed | State::Gone => return,
        };
        *state = next;
        drop(state);
        self.wake();
    }

    /// Nobody will take anything any more.
    pub(crate) fn leave(&self) {
        let last = self.state.replace(State::Gone);
        self.let_go(last);
        self.room.wake_all();
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.state.borrow(), State::Gone)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), State::Done)
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_next(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        let mut state = self.state.borrow_mut();
        match &*state {
            State::Piece(piece) | State::Failing(Some(piece)) => {
                let piece = piece.clone();
                *state = match *state {
                    State::Piece(_) => State::Empty,
                    _ => State::Failing(None),
                };
                drop(state);
                self.connection.pulse().remove_unsent();
                self.room.wake_all();
                Poll::Ready(Some(Ok(piece)))
            }
            // Later, so that hyper sends what it has by now: at an error it would throw that away.
            State::Failing(None) => {
                *state = State::Failed;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            State::Done => Poll::Ready(None),
            State::Failed | State::Gone => Poll::Ready(Some(Err(CutOff))),
            State::Empty => {
                drop(state);
                self.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn let_go(&self, last: State) {
        if let State::Piece(_) | State::Failing(Some(_)) = last {
            self.connection.pulse().remove_unsent();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("state", &self.state).finish_non_exhaustive()
    }
}
