//! Stacks: a slab of guarded, coloured, recycled slots.
//!
//! ```text
//!   chunk: one mapping, the first at most 16 MiB, each twice the one before, up to 16 GiB
//!   ├─ slot ─┬─ guard 64 KiB ─┬─ usable 196 KiB ─────────────── ▼ frames ─ Head ─ colour ┤
//!   ├─ slot ─┬─ guard ────────┬─ …
//! ```
//!
//! * A slot is an odd number of pages: a stride of a power of two makes all stacks fight for the same
//!   sets of the TLB and the page-table caches (15–40 % of an echo at 1,000 connections).
//! * The colour moves the top of each slot by 0…15 × 128 bytes, so that hot frames of different
//!   stacks do not fall into the same cache sets (2.5 times faster switches at 1,000 stacks).
//! * Guards are `MADV_GUARD_INSTALL` (Linux 6.13): they cost no mapping, so a million fit. Elsewhere
//!   they are `mprotect`, at two mappings a stack, and `vm.max_map_count` ends that at about 32,000.
//! * A finished stack goes on a last-in first-out list as it is. Before the hub sleeps, what lies
//!   beyond [`WARM`] is given back to the system, and so is what a warm one used deep down.
//!
//! Only touched pages cost. A stack whose green thread has started and not finished is never given
//! back: borrows of its frames stay good.

use std::io;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::sync::LazyLock;

use corosensei::stack::valgrind::ValgrindStackRegistration;

use crate::control::Head;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Address space below each stack that faults: C code without stack probes jumps narrow guards.
const GUARD: usize = 64 * KIB;

/// Usable bytes of a stack, unless its `Builder` says otherwise.
pub(crate) const DEFAULT: usize = 196 * KIB;

/// The smallest stack that can be asked for: a panic with a backtrace takes 24 KiB.
pub(crate) const SMALLEST: usize = 32 * KIB;

/// The largest stack that can be asked for: a chunk holds at least one.
const LARGEST: usize = 4 << 30;

const FIRST_CHUNK: usize = 16 * MIB;
const LARGEST_CHUNK: usize = 16 << 30;

/// Free stacks of a class that keep their pages.
const WARM: usize = 256;

/// Nanoseconds that trimming may take before a sleep.
const TRIM_BUDGET: u64 = 1_000_000;

/// Stacks that are given back between two looks at the clock.
const TRIM_BATCH: usize = 128;

const COLOURS: usize = 16;
const COLOUR: usize = 128;

/// `MADV_GUARD_INSTALL`, which libc does not name yet.
#[cfg(target_os = "linux")]
const MADV_GUARD_INSTALL: libc::c_int = 102;

static PAGE: LazyLock<usize> = LazyLock::new(|| {
    // SAFETY: sysconf takes no pointers.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
});

/// What corosensei may use of a slot: everything below the [`Head`].
pub(crate) struct Span {
    base: NonZeroUsize,
    limit: NonZeroUsize,
}

// SAFETY: `base` is the address of a `Head` (64-aligned), `limit` the lowest address of its slot
// (page-aligned), the guard of the slot lies at `limit`, and at least `SMALLEST` bytes are between.
unsafe impl corosensei::stack::Stack for Span {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

/// A slot that belongs to nobody else: its lowest address, with the colour in the bits that page
/// alignment leaves free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(NonZeroUsize);

impl Slot {
    fn new(limit: usize, colour: usize) -> Self {
        Self(NonZeroUsize::new(limit | colour).expect("mappings are not at address 0"))
    }

    fn limit(self) -> usize {
        self.0.get() & !(COLOURS - 1)
    }

    fn colour(self) -> usize {
        self.0.get() & (COLOURS - 1)
    }
}

/// The stacks of one size.
#[derive(Debug)]
struct Class {
    /// Usable bytes: what the user asked for.
    usable: usize,
    /// Bytes from one slot to the next.
    stride: usize,
    chunks: Vec<Chunk>,
    /// Slots of the last chunk that were handed out once.
    carved: usize,
    /// Slots of all chunks that were.
    slots: usize,
    /// Finished stacks, the warmest last.
    free: Vec<Slot>,
    /// The first `cold` of the free ones have been given back to the system.
    cold: usize,
    /// The first `examined` of the free ones are known to have nothing deep down.
    examined: usize,
    /// Stacks given back since warm ones were last examined.
    returned: usize,
}

#[derive(Debug)]
struct Chunk {
    address: NonNull<u8>,
    len: usize,
}

/// All stacks of one scheduler.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// Class 0 is the default size.
    classes: Vec<Class>,
    guards: Guards,
}

/// How overflow is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// `MADV_GUARD_INSTALL`.
    Advised,
    /// `mprotect`.
    Protected,
}

impl Stacks {
    pub(crate) fn new() -> Self {
        // The variable lets the tests reach the fallback where the kernel has the better one.
        let fallback = std::env::var_os("EVY_GUARD").is_some_and(|kind| kind == "mprotect");
        let advised = cfg!(target_os = "linux") && !fallback;
        let guards = if advised { Guards::Advised } else { Guards::Protected };
        Self { classes: vec![Class::new(DEFAULT, DEFAULT)], guards }
    }

    /// The class of stacks with `usable` bytes, made if need be.
    pub(crate) fn class(&mut self, usable: usize) -> io::Result<u8> {
        if usable > LARGEST {
            let text = format!("a stack of {usable} bytes is more than {LARGEST}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // Whole pages, so that sizes that differ by little share a class.
        let usable = usable.max(SMALLEST).next_multiple_of(*PAGE);
        if let Some(class) = self.classes.iter().position(|class| class.usable == usable) {
            return Ok(class as u8);
        }
        let class = u8::try_from(self.classes.len())
            .map_err(|_| io::Error::other("more than 256 different stack sizes"))?;
        // All of what was asked for is below the head, whatever the colour.
        self.classes.push(Class::new(usable, usable + COLOURS * COLOUR + size_of::<Head>()));
        Ok(class)
    }

    /// A stack of that class: the one that was used last, or a fresh one.
    #[inline]
    pub(crate) fn take(&mut self, class: u8) -> io::Result<(NonNull<Head>, Span)> {
        let guards = &mut self.guards;
        let class = &mut self.classes[class as usize];
        let slot = match class.free.pop() {
            Some(slot) => {
                let left = class.free.len();
                class.cold = class.cold.min(left);
                class.examined = class.examined.min(left);
                slot
            }
            None => class.carve(guards)?,
        };
        let top = slot.limit() + class.stride - slot.colour() * COLOUR;
        let head = NonZeroUsize::new(top - size_of::<Head>()).expect("slots are larger than heads");
        let limit = NonZeroUsize::new(slot.limit()).expect("mappings are not at address 0");
        Ok((NonNull::with_exposed_provenance(head), Span { base: head, limit }))
    }

    /// Takes back the stack of a finished green thread.
    #[inline]
    pub(crate) fn give_back(&mut self, class: u8, head: NonNull<Head>, span: Span) {
        let class = &mut self.classes[class as usize];
        let limit = span.limit.get();
        let top = head.addr().get() + size_of::<Head>();
        class.free.push(Slot::new(limit, (limit + class.stride - top) / COLOUR));
        class.returned += 1;
    }

    /// The usable size of a class, for messages.
    pub(crate) fn usable(&self, class: u8) -> usize {
        self.classes[class as usize].usable
    }

    /// Whether `address` lies in the guard of a slot.
    pub(crate) fn is_guard(&self, address: usize) -> bool {
        self.classes.iter().any(|class| {
            class.chunks.iter().any(|chunk| {
                let offset = address.wrapping_sub(chunk.address.addr().get());
                offset < chunk.len && offset % class.stride < GUARD
            })
        })
    }

    /// Gives pages back to the system for as long as the budget lasts; `true` when all is done.
    /// `clock` reads nanoseconds.
    pub(crate) fn trim(&mut self, clock: impl Fn() -> u64) -> bool {
        if !self.classes.iter().any(Class::needs_trimming) {
            return true;
        }
        let end = clock() + TRIM_BUDGET;
        self.classes.iter_mut().all(|class| class.trim(&clock, end))
    }
}

impl Class {
    fn new(usable: usize, mapped: usize) -> Self {
        let page = *PAGE;
        let pages = (GUARD + mapped).div_ceil(page) | 1;
        Self {
            usable,
            stride: pages * page,
            chunks: Vec::new(),
            carved: 0,
            slots: 0,
            free: Vec::new(),
            cold: 0,
            examined: 0,
            returned: 0,
        }
    }

    /// A slot that was never used, with its guard put up.
    #[cold]
    fn carve(&mut self, guards: &mut Guards) -> io::Result<Slot> {
        // To give it back needs no memory then. None is free now.
        self.free.try_reserve(self.slots + 1).map_err(|error| {
            let text = format!("no memory for another stack: {error}");
            io::Error::new(io::ErrorKind::OutOfMemory, text)
        })?;
        let room =
            self.chunks.last().is_some_and(|chunk| (self.carved + 1) * self.stride <= chunk.len);
        if !room {
            self.map_chunk()?;
            self.carved = 0;
        }
        let chunk = self.chunks.last().expect("a chunk with room was just seen or made");
        // SAFETY: the slot lies within the chunk.
        let limit = unsafe { chunk.address.add(self.carved * self.stride) };
        guards.put_up(limit)?;
        // Valgrind has to know that this is a stack. It is told for good: the mapping ends with the
        // scheduler, and a range that is registered twice does no harm.
        std::mem::forget(ValgrindStackRegistration::new(limit.as_ptr(), self.stride));
        let colour = (self.carved * 7) % COLOURS;
        self.carved += 1;
        self.slots += 1;
        Ok(Slot::new(limit.as_ptr().expose_provenance(), colour))
    }

    fn map_chunk(&mut self) -> io::Result<()> {
        let wanted = match self.chunks.last() {
            None => FIRST_CHUNK,
            Some(chunk) => (chunk.len.next_power_of_two() * 2).min(LARGEST_CHUNK),
        };
        let mut slots = (wanted / self.stride).max(1);
        // Under `ulimit -v` or valgrind less may be had than was asked for.
        loop {
            match Chunk::map(slots * self.stride) {
                Ok(chunk) => {
                    self.chunks.push(chunk);
                    return Ok(());
                }
                Err(_) if slots > 1 => slots /= 2,
                Err(error) => {
                    let text = format!("no memory for another stack: {error}");
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, text));
                }
            }
        }
    }

    fn needs_trimming(&self) -> bool {
        self.free.len() > self.cold + WARM || self.returned >= WARM / 4
    }

    fn trim(&mut self, clock: &impl Fn() -> u64, end: u64) -> bool {
        while self.free.len() > self.cold + WARM {
            if clock() >= end {
                return false;
            }
            let until = (self.cold + TRIM_BATCH).min(self.free.len() - WARM);
            let batch = &mut self.free[self.cold..until];
            // Among cold ones the order does not matter, and neighbours go in one call: 217 ns a
            // slot against 1,458.
            batch.sort_unstable();
            for run in batch.chunk_by(|a, b| a.limit() + self.stride == b.limit()) {
                release(run[0].limit(), run.len() * self.stride);
            }
            self.cold = until;
            self.examined = self.examined.max(until);
        }
        if self.returned >= WARM / 4 {
            for slot in &self.free[self.examined..] {
                release_depths(slot.limit() + GUARD, self.stride - GUARD);
            }
            self.examined = self.free.len();
            self.returned = 0;
        }
        true
    }
}

/// Gives whole slots back; their guards stay.
fn release(address: usize, len: usize) {
    // SAFETY: the range is made of free slots, which nobody reads before they are written again.
    unsafe { libc::madvise(ptr::with_exposed_provenance_mut(address), len, libc::MADV_DONTNEED) };
}

/// Gives back what a warm stack touched below its topmost page (two, where the colour makes the head
/// cross into the second).
fn release_depths(address: usize, len: usize) {
    let page = *PAGE;
    let deep = len - 2 * page;
    let mut resident = [0u8; 64];
    let mut offset = 0;
    let mut deepest = None;
    while offset < deep && deepest.is_none() {
        let part = (deep - offset).min(resident.len() * page);
        // SAFETY: the range is page-aligned and mapped, and the list has a byte a page of it.
        let known = unsafe {
            let start = ptr::with_exposed_provenance_mut(address + offset);
            libc::mincore(start, part, resident.as_mut_ptr().cast())
        };
        if known == 0 {
            let touched = resident[..part.div_ceil(page)].iter().position(|page| page & 1 != 0);
            deepest = touched.map(|index| offset + index * page);
        }
        offset += part;
    }
    if let Some(from) = deepest {
        release(address + from, deep - from);
    }
}

impl Chunk {
    fn map(len: usize) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        #[cfg(not(target_os = "linux"))]
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
        let address = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // One touched page must not bring two megabytes.
        #[cfg(target_os = "linux")]
        // SAFETY: the range is the mapping just made. A kernel without huge pages refuses: fine.
        unsafe {
            libc::madvise(address, len, libc::MADV_NOHUGEPAGE);
        }
        let address = NonNull::new(address.cast()).expect("mappings are not at address 0");
        Ok(Self { address, len })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and a scheduler is only dropped when none of its green
        // threads lives, so nothing refers to its stacks.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

impl Guards {
    /// Makes the lowest [`GUARD`] bytes of the slot at `limit` fault.
    fn put_up(&mut self, limit: NonNull<u8>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if *self == Self::Advised {
            // SAFETY: the range is the lowest part of a slot that was never used.
            let done = unsafe { libc::madvise(limit.as_ptr().cast(), GUARD, MADV_GUARD_INSTALL) };
            match done {
                0 => return Ok(()),
                // An older kernel: from now on the other way.
                _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => {
                    *self = Self::Protected;
                }
                _ => return Err(io::Error::last_os_error()),
            }
        }
        // SAFETY: as above.
        if unsafe { libc::mprotect(limit.as_ptr().cast(), GUARD, libc::PROT_NONE) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ENOMEM) {
            return Err(error);
        }
        Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no mapping left for another stack's guard page: the limit is vm.max_map_count, and \
             Linux 6.13 or later needs none",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corosensei::stack::Stack as _;

    #[test]
    fn a_slot_is_an_odd_number_of_pages_with_what_was_asked_for() {
        let mut stacks = Stacks::new();
        assert_eq!(stacks.classes[0].stride, 260 * KIB);
        for usable in [1, 32 * KIB, 64 * KIB, 100_000, 8 * MIB] {
            let class = stacks.class(usable).unwrap();
            assert_eq!(stacks.classes[class as usize].stride / *PAGE % 2, 1);
            let (head, span) = stacks.take(class).unwrap();
            assert_eq!(head.addr(), span.base());
            assert!(span.base().get() - span.limit().get() - GUARD >= usable.max(SMALLEST));
            assert_eq!(stacks.usable(class), usable.max(SMALLEST).next_multiple_of(*PAGE));
        }
        assert_eq!(stacks.class(64 * KIB).unwrap(), stacks.class(64 * KIB).unwrap());
        assert!(stacks.class(usize::MAX).is_err());
    }

    #[test]
    fn the_stack_that_was_given_back_last_is_taken_first() {
        let mut stacks = Stacks::new();
        let taken: Vec<_> = (0..100).map(|_| stacks.take(0).unwrap()).collect();
        let expected: Vec<_> = taken.iter().rev().map(|(head, _)| *head).collect();
        for (head, span) in taken {
            stacks.give_back(0, head, span);
        }
        let again: Vec<_> = (0..100).map(|_| stacks.take(0).unwrap().0).collect();
        assert_eq!(again, expected);
    }

    #[test]
    fn the_lowest_part_of_every_slot_is_guard_and_nothing_else_is() {
        let mut stacks = Stacks::new();
        for _ in 0..70 {
            let (head, span) = stacks.take(0).unwrap();
            let limit = span.limit().get();
            assert!(stacks.is_guard(limit));
            assert!(stacks.is_guard(limit + GUARD - 1));
            assert!(!stacks.is_guard(limit + GUARD));
            assert!(!stacks.is_guard(head.addr().get()));
        }
        assert!(!stacks.is_guard(0));
    }

    #[test]
    fn trimming_goes_on_until_only_warm_stacks_are_left_and_keeps_to_its_budget() {
        let mut stacks = Stacks::new();
        let taken: Vec<_> = (0..2 * WARM + TRIM_BATCH).map(|_| stacks.take(0).unwrap()).collect();
        let count = taken.len();
        for (head, span) in taken {
            stacks.give_back(0, head, span);
        }
        // Each look at this clock finds the budget spent.
        let time = std::cell::Cell::new(0);
        let clock = || time.replace(time.get() + TRIM_BUDGET / 2 + 1);
        let mut rounds = 1;
        while !stacks.trim(clock) {
            rounds += 1;
        }
        assert!(rounds > 1);
        assert_eq!(stacks.classes[0].cold, WARM + TRIM_BATCH);
        assert!(stacks.trim(clock));
        for _ in 0..count {
            stacks.take(0).unwrap();
        }
        assert_eq!((stacks.classes[0].cold, stacks.classes[0].examined), (0, 0));
    }
}
