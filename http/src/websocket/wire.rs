//! The stream that tungstenite sees: memory, so that it never waits.

use std::io::{self, Cursor, Read, Write};
use std::mem;

use tungstenite::protocol::frame::FrameHeader;

/// The most that an idle WebSocket keeps of a buffer.
const KEPT: usize = 4096;

/// What has come and was not looked at yet, and what is to go. Nothing here parks: bytes are carried
/// between these and the socket while nobody is in the middle of a frame.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: Vec<u8>,
    /// How much of it was looked at.
    position: usize,
    /// How much of a frame of which the head was looked at is still to be.
    left: u64,
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
        if self.position > 0 {
            self.incoming.drain(..self.position);
            self.position = 0;
        }
        self.incoming.extend_from_slice(bytes);
    }

    /// The length of the frame that begins with what comes next; 0 if that is not known yet.
    fn next_frame(&self) -> u64 {
        let mut head = Cursor::new(&self.incoming[self.position..]);
        match FrameHeader::parse(&mut head) {
            Ok(Some((_, length))) => length.saturating_add(head.position()),
            Ok(None) => 0,
            // Let tungstenite say what is wrong with it.
            Err(_) => u64::MAX,
        }
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
    /// Never gives bytes of more than one frame, nor half the head of one: once tungstenite has made a
    /// message of frames, it holds no bytes of the next.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = self.next_frame();
        }
        let ready = &self.incoming[self.position..];
        let count = ready.len().min(buffer.len()).min(self.left.try_into().unwrap_or(usize::MAX));
        if count == 0 {
            return if self.has_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        buffer[..count].copy_from_slice(&ready[..count]);
        self.left -= count as u64;
        self.position += count;
        if self.position == self.incoming.len() {
            self.position = 0;
            self.incoming.clear();
            self.incoming.shrink_to(KEPT);
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
