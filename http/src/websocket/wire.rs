//! The stream that tungstenite sees: memory, so that it never waits.

use std::io::{self, Read, Write};
use std::mem;

/// The most that an idle WebSocket keeps of a buffer.
const KEPT: usize = 4096;

/// What has come and was not looked at yet, and what is to go. Nothing here parks: bytes are carried
/// between these and the socket while nobody is in the middle of a frame.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: Vec<u8>,
    /// How much of it was looked at.
    position: usize,
    /// The peer's side has ended: nothing comes any more.
    pub(super) has_ended: bool,
    /// Whole frames.
    outgoing: Vec<u8>,
    /// How many bytes of frames there were so far.
    queued: u64,
    /// How many of those that lie ready were made by reads: answers to pings.
    answers: usize,
}

impl Wire {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        debug_assert_eq!(
            self.position,
            self.incoming.len(),
            "all is looked at before more is read"
        );
        self.position = 0;
        self.incoming.clear();
        self.incoming.extend_from_slice(bytes);
    }

    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Counts what `read` adds to the frames that are to go.
    pub(super) fn count_answers<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.outgoing.len();
        let result = read(self);
        self.answers += self.outgoing.len() - before;
        result
    }

    /// The frames that are to go, in exchange for an empty buffer.
    pub(super) fn take_outgoing(&mut self, empty: Vec<u8>) -> Vec<u8> {
        self.answers = 0;
        mem::replace(&mut self.outgoing, empty)
    }

    /// Takes a buffer back, if it is worth it.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.outgoing.capacity() == 0 && buffer.capacity() <= KEPT {
            buffer.clear();
            self.outgoing = buffer;
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = &self.incoming[self.position..];
        if ready.is_empty() {
            return if self.has_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.position += count;
        if self.position == self.incoming.len() && self.incoming.capacity() > KEPT {
            (self.incoming, self.position) = (Vec::new(), 0);
        }
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
