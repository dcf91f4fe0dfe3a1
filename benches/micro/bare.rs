//! corosensei's own switch, and bare memory: what everything that evy adds is measured against.

use super::operation::time;
use corosensei::stack::Stack;
use corosensei::{Coroutine, Yielder};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr;
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

/// Writes a line of one page after the other, each fetched ahead: what a switch among that many stacks
/// costs in memory traffic alone. The pages lie as far apart as evy's stacks.
pub(crate) fn walk(pages: u64) -> impl FnMut(u64) -> Duration {
    const STRIDE: usize = 260 * 1024;
    const AHEAD: u64 = 4;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let size = pages as usize * STRIDE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "no address space");
    // SAFETY: the range is the mapping just made.
    unsafe { libc::madvise(start, size, libc::MADV_NOHUGEPAGE) };
    // As the tops of stacks: not all in the same sets of the cache.
    let line = move |page: u64| start.cast::<u64>().wrapping_byte_add(offset(page, STRIDE));
    for page in 0..pages {
        // SAFETY: the line lies within the mapping, which nobody else knows.
        unsafe { line(page).write_volatile(1) };
    }
    let mut page = 0;
    move |n| {
        time(n, || {
            fetch(line((page + AHEAD) % pages));
            // SAFETY: as above.
            unsafe { line(page).write_volatile(n) };
            page = (page + 1) % pages;
        })
    }
}

fn offset(page: u64, stride: usize) -> usize {
    (page as usize + 1) * stride - 512 - page as usize * 7 % 16 * 128
}

fn fetch(line: *const u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is there on every x86-64, and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
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
