//! One buffer a hub, lent to whoever has data to move.
//!
//! It is lent for the length of a closure in which nothing parks or yields, so no two green threads ever have
//! it at the same time.

use std::cell::RefCell;

/// Its bytes.
pub(crate) const BUFFER: usize = 64 * 1024;

thread_local! {
    static LENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer of this hub to `use_it`, which must not park.
pub(crate) fn with_lent<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    LENT.with_borrow_mut(|buffer| {
        if buffer.is_empty() {
            buffer.resize(BUFFER, 0);
        }
        use_it(buffer)
    })
}
