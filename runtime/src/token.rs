//! The token between a [`Parker`](crate::Parker) and its unparkers, and how many of these are left.
//!
//! ```text
//!   unparker                              parker
//!   give: token; was there none? tell     a. take it, if it is there
//!   give and leave: both in one step      b. can it still come? no: a deadlock
//!   leave: was it the last, and is        c. sleep until told, then a again
//!      there no token? tell
//! ```
//!
//! Both facts are in one word, so that "it cannot come" is one load that sees the whole: were they two,
//! the last unparker could give and go between the looks at them. Whoever turns the word from one of
//! the parker's states into another tells the parker, so it is never asleep in a state that it has not
//! looked at. `make loom` tries the interleavings.

#[cfg(all(test, evy_loom))]
use loom::sync::atomic::AtomicUsize;
#[cfg(not(all(test, evy_loom)))]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// The bit of the token; above it is the number of unparkers.
const TOKEN: usize = 1;
const UNPARKER: usize = 2;

#[derive(Debug)]
pub(crate) struct Token(AtomicUsize);

impl Token {
    /// Not there, and no unparker yet.
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// One more unparker.
    #[inline]
    pub(crate) fn add_unparker(&self) {
        self.0.fetch_add(UNPARKER, Relaxed);
    }

    /// One unparker less. `true`: tell the parker that the token cannot come any more.
    #[must_use = "the parker may sleep"]
    pub(crate) fn leave(&self) -> bool {
        self.0.fetch_sub(UNPARKER, AcqRel) == UNPARKER
    }

    /// Makes the token available. `true`: tell the parker.
    #[must_use = "the parker may sleep"]
    pub(crate) fn give(&self) -> bool {
        self.0.fetch_or(TOKEN, AcqRel) & TOKEN == 0
    }

    /// The same, and one unparker less. `true`: tell the parker, once for both.
    #[must_use = "the parker may sleep"]
    pub(crate) fn give_and_leave(&self) -> bool {
        let mut word = self.0.load(Relaxed);
        loop {
            let next = (word - UNPARKER) | TOKEN;
            match self.0.compare_exchange_weak(word, next, AcqRel, Relaxed) {
                Ok(_) => return word & TOKEN == 0,
                Err(other) => word = other,
            }
        }
    }

    /// Takes the token; `false` if it is not there.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        self.0.load(Relaxed) & TOKEN != 0 && self.0.fetch_and(!TOKEN, AcqRel) & TOKEN != 0
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Acquire) & TOKEN != 0
    }

    pub(crate) fn has_unparkers(&self) -> bool {
        self.0.load(Acquire) >= UNPARKER
    }

    /// Whether it is there, or somebody is left who can make it available.
    pub(crate) fn can_come(&self) -> bool {
        self.0.load(Acquire) != 0
    }
}

#[cfg(all(test, evy_loom))]
mod tests;
