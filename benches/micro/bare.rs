//! corosensei's own switch: what everything that evy adds is measured against.

use super::stopwatch::time;
use corosensei::stack::Stack;
use corosensei::{Coroutine, Yielder};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Resumes a coroutine that suspends at once, again and again.
pub(crate) fn switch_there_and_back() -> impl FnMut(u64) -> Duration {
    let body = |yielder: &Yielder<(), ()>, ()| loop {
        yielder.suspend(());
    };
    let coroutine: Coroutine<(), (), (), Plain> = Coroutine::with_stack(Plain::new(), body);
    // It never ends, and its stack is for good.
    let mut coroutine = ManuallyDrop::new(coroutine);
    coroutine.resume(());
    move |n| time(n, || coroutine.resume(()))
}

/// A stack without a guard, for a coroutine that calls next to nothing.
struct Plain(&'static mut [Line]);

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    _bytes: [u8; 64],
}

impl Plain {
    fn new() -> Self {
        Self(vec![Line { _bytes: [0; 64] }; 1024].leak())
    }
}

// SAFETY: the memory is as long as it says, aligned, and leaked. There is no guard: the one function
// that runs here needs a few hundred bytes.
unsafe impl Stack for Plain {
    fn base(&self) -> NonZeroUsize {
        self.limit().checked_add(size_of_val(&*self.0)).expect("memory ends before addresses do")
    }

    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.as_ptr().expose_provenance()).expect("no memory is at address 0")
    }
}
