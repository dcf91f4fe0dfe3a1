//! The green thread that sends what is to go.

use std::io::{self, Write};
use std::rc::Rc;

use evy_runtime::Builder;

use super::{End, Session};

/// What that green thread has. While it is there, `is_writing` is set.
pub(super) struct Writer {
    session: Rc<Session>,
    has_begun: bool,
    /// It has noted its end; where it has not, it was cut short.
    is_done: bool,
}

impl Writer {
    pub(super) fn new(session: &Rc<Session>) -> Self {
        Self { session: Rc::clone(session), has_begun: false, is_done: false }
    }

    /// Sends until there is nothing left.
    pub(super) fn write(mut self) {
        self.has_begun = true;
        while let Some(batch) = self.next_batch() {
            if let Err(error) = self.send(&batch) {
                return self.give_up(&error);
            }
            self.note_sent(batch);
        }
    }

    /// What is to be sent. When there is nothing the writer is done: whoever has something after this look
    /// starts another.
    fn next_batch(&mut self) -> Option<Vec<u8>> {
        let mut state = self.session.state.borrow_mut();
        if !state.wire.has_outgoing() {
            state.is_writing = false;
            self.is_done = true;
            return None;
        }
        Some(state.wire.take_outgoing(Vec::new()))
    }

    fn send(&self, batch: &[u8]) -> io::Result<()> {
        let mut stream = &self.session.stream;
        let mut rest = batch;
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    self.session.taken.set(self.session.taken.get() + count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        stream.flush()
    }

    /// Where the peer has gone, what it has sent before can be received, and then its end.
    fn give_up(mut self, error: &io::Error) {
        let end = End::lost(error);
        if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return self.session.end(end);
        }
        self.is_done = true;
        let mut state = self.session.state.borrow_mut();
        state.is_writing = false;
        state.cut = Some(end);
    }

    fn note_sent(&self, batch: Vec<u8>) {
        let mut state = self.session.state.borrow_mut();
        state.sent += batch.len() as u64;
        state.wire.give_back(batch);
        drop(state);
        self.session.progress.wake_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_done {
            return self.session.progress.wake_all();
        }
        self.session.state.borrow_mut().is_writing = false;
        // Whoever was to start it was killed there, by a kill that it had caught before: others may have
        // frames on their way.
        let session = Rc::clone(&self.session);
        let is_started =
            !self.has_begun && Builder::new().spawn(move || session.start_writer()).is_ok();
        if !is_started {
            // Nobody can say how much of the last frame is on its way.
            let text = "the green thread that writes to a WebSocket was killed";
            self.session.end(End::lost(&io::Error::other(text)));
            self.session.hang_up();
        }
    }
}
