//! One client's stay: what is counted about it, and the lines of `--log`.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use crate::stats::Tally;

/// What visits of one core have in common.
#[derive(Clone, Debug)]
pub(crate) struct Guestbook {
    pub(crate) tally: Arc<Tally>,
    pub(crate) log: bool,
}

/// A connection, from its being accepted to its end. The end is logged at the drop: also that of a
/// client who is cut off, which ends its green thread wherever that is.
pub(crate) struct Visit<'a> {
    book: &'a Guestbook,
    /// With a log only.
    peer: Option<String>,
    start: Instant,
    read: Cell<u64>,
    written: Cell<u64>,
    trouble: Cell<Option<io::Error>>,
}

impl<'a> Visit<'a> {
    pub(crate) fn begin(book: &'a Guestbook, peer: impl FnOnce() -> String) -> Self {
        let peer = book.log.then(peer);
        if let Some(peer) = &peer {
            write(format_args!("opened {peer}"));
        }
        Self {
            book,
            peer,
            start: Instant::now(),
            read: Cell::new(0),
            written: Cell::new(0),
            trouble: Cell::new(None),
        }
    }

    pub(crate) fn has_read(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
    }

    pub(crate) fn has_echoed(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
        self.book.tally.echoed(bytes);
    }

    /// Notes how the echo has ended: a client that resets or goes away ends its own, and nothing else.
    pub(crate) fn end(self, result: io::Result<()>) {
        self.trouble.set(result.err());
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let Some(peer) = &self.peer else { return };
        let (read, written) = (self.read.get(), self.written.get());
        let time = self.start.elapsed().as_secs_f64();
        let trouble = self.trouble.take().map(|error| format!(": {error}")).unwrap_or_default();
        write(format_args!(
            "closed {peer}: {read} bytes in, {written} bytes out, {time:.3} s{trouble}"
        ));
    }
}

/// A closed standard error is no reason to serve nobody.
fn write(line: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
