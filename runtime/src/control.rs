//! What the scheduler knows of one green thread, in two places.
//!
//! ```text
//!   a stack slot                                        elsewhere, recycled
//!   ┌───────────────────────┐ high                      ┌────────────────────┐
//!   │ colour (0…15 × 128 B) │                           │ Block, 96 B        │
//!   ├───────────────────────┤                           │  result, up to 64 B│
//!   │ Head, 128 B           │ ◄───────────────────────► │  id, joiner        │
//!   ├───────────────────────┤                           └────────────────────┘
//!   │ frames ▼              │                                    ▲
//!   │                       │                           GreenThread<T> (the handle)
//!   ├───────────────────────┤
//!   │ guard                 │ low
//!   └───────────────────────┘
//! ```
//!
//! [`Head`] is what a switch needs. It lies on the green thread's own stack, so that a switch touches
//! no further cache lines and a parked green thread no further page. [`Block`] is what must outlive
//! the stack: the stack of a finished green thread is free at once, whoever holds the handle.

use std::cell::{Cell, UnsafeCell};
use std::collections::TryReserveError;
use std::mem::MaybeUninit;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;

use corosensei::{Coroutine, Yielder};
use evy_hub::{Owner, TimerKey};

use crate::local::Locals;
use crate::on_exit::Hooks;
use crate::park::Reason;
use crate::stack::Span;
use crate::time::Frame;

/// The coroutine under a green thread. One byte goes in, nothing comes out: both ride in registers.
pub(crate) type GreenCoroutine = Coroutine<Wake, (), (), Span>;

/// Why a suspended green thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Wake {
    /// What it waited for is there, or it had only yielded.
    Run,
    /// The deadline of its wait has passed.
    Deadline,
    /// A `timeout` around it is due: unwind to it.
    Timeout,
    /// Unwind to the end.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// It is the current one, or on its way to finish.
    Running,
    /// It stands in the ready queue.
    Queued,
    /// It waits to be woken.
    Parked,
    /// It has ended; its stack is about to be, or has been, given back.
    Finished,
}

/// Orders that wait for the next park, and notes that the next park takes back, as bits: a park looks
/// at them all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders(u8);

impl Orders {
    pub(crate) const NONE: Self = Self(0);
    /// Unwind to the end. Stays set while it is being swallowed.
    pub(crate) const KILL: Self = Self(1);
    /// At least one timeout frame is due.
    pub(crate) const TIMEOUT: Self = Self(2);
    /// A note: a kill or timeout was thrown and may still be passing through.
    pub(crate) const THROWN: Self = Self(4);
    /// A note: our panic hook saw it panic, and it may still be unwinding.
    pub(crate) const PANICKED: Self = Self(8);
    /// A note: there are switch hooks.
    pub(crate) const HOOKED: Self = Self(16);
    /// A note: it is suspended, and the loop has something to do in its place.
    pub(crate) const DEPUTY: Self = Self(32);
    /// Both notes on unwinding.
    pub(crate) const UNWINDS: Self = Self(4 | 8);

    #[inline]
    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The part of a green thread that lies at the head of its stack.
#[repr(C, align(64))]
pub(crate) struct Head {
    /// Uninitialised in the head of the OS thread's own stack. A started, unfinished one is never
    /// dropped: its stack stays as it is (`ManuallyDrop` by way of `MaybeUninit`).
    pub(crate) coroutine: UnsafeCell<MaybeUninit<GreenCoroutine>>,
    /// The way back to the scheduler; null before the first run and for the OS thread's own stack.
    pub(crate) yielder: Cell<*const Yielder<Wake, ()>>,
    /// Where it stands in the ready queue, while it is `Queued`.
    pub(crate) place: Cell<u32>,
    pub(crate) state: Cell<State>,
    /// What the next resume will say.
    pub(crate) wake: Cell<Wake>,
    orders: Cell<u8>,
    /// It is suspended where nothing may be thrown into it: it is or may be unwinding.
    pub(crate) shielded: Cell<bool>,
    /// The address down to which its stack was in use when it was last suspended: a hint of what to
    /// fetch before it runs again. While it has a deputy, that one's address.
    pub(crate) top: Cell<usize>,
    // The first cache line ends here.
    pub(crate) block: Cell<Option<NonNull<Block>>>,
    /// What it waits for, and since which reading of the clock: for reports.
    pub(crate) reason: Cell<Reason>,
    pub(crate) since: Cell<u64>,
    /// The innermost `timeout` that it is in.
    pub(crate) timeouts: Cell<Option<NonNull<Frame>>>,
    extras: Cell<Option<Box<Extras>>>,
    pub(crate) spawned_at: &'static Location<'static>,
    /// How often the kill was thrown.
    pub(crate) kills_thrown: Cell<u8>,
    /// The size class of its stack.
    pub(crate) class: u8,
    /// While not 0, orders from outside wait: kills, and timeouts that began with fewer masks.
    pub(crate) masks: Cell<u16>,
    /// The newest kill or timeout that was thrown, by its number.
    pub(crate) thrown: Cell<u32>,
}

// One line for a switch, one for the rest. AddressSanitizer's coroutines are larger.
const _: () = assert!(size_of::<Head>() == 128 || size_of::<GreenCoroutine>() > 40);

impl Head {
    pub(crate) fn new(spawned_at: &'static Location<'static>, class: u8) -> Self {
        Self {
            coroutine: UnsafeCell::new(MaybeUninit::uninit()),
            yielder: Cell::new(std::ptr::null()),
            place: Cell::new(0),
            state: Cell::new(State::Running),
            wake: Cell::new(Wake::Run),
            orders: Cell::new(0),
            shielded: Cell::new(false),
            top: Cell::new(0),
            block: Cell::new(None),
            reason: Cell::new(Reason::START),
            since: Cell::new(0),
            timeouts: Cell::new(None),
            extras: Cell::new(None),
            spawned_at,
            kills_thrown: Cell::new(0),
            masks: Cell::new(0),
            class,
            thrown: Cell::new(0),
        }
    }

    /// Whether its first run has begun. Not for the OS thread's own stack.
    pub(crate) fn has_started(&self) -> bool {
        !self.yielder.get().is_null()
    }

    #[inline]
    pub(crate) fn orders(&self) -> Orders {
        Orders(self.orders.get())
    }

    pub(crate) fn order(&self, order: Orders) {
        self.orders.set(self.orders.get() | order.0);
    }

    pub(crate) fn withdraw(&self, order: Orders) {
        self.orders.set(self.orders.get() & !order.0);
    }

    /// Lends the extras to `f`, making them where there are none. `f` runs no code of users.
    pub(crate) fn with_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> R {
        let mut extras = self.extras.take().unwrap_or_default();
        let result = f(&mut extras);
        self.extras.set(Some(extras));
        result
    }

    /// Lends the extras to `f` if there are any. `f` runs no code of users.
    pub(crate) fn look_at_extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> Option<R> {
        let mut extras = self.extras.take()?;
        let result = f(&mut extras);
        self.extras.set(Some(extras));
        Some(result)
    }

    #[inline(always)]
    pub(crate) fn has_extras(&self) -> bool {
        let extras = self.extras.take();
        let present = extras.is_some();
        self.extras.set(extras);
        present
    }

    /// Whether a kill may be thrown into it where it is suspended.
    pub(crate) fn takes_orders(&self) -> bool {
        !self.shielded.get() && self.masks.get() == 0
    }

    pub(crate) fn drop_extras(&self) {
        drop(self.extras.take());
    }
}

/// What only some green threads have.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<std::rc::Rc<str>>,
    pub(crate) hooks: Hooks,
    pub(crate) locals: Locals,
    /// The deadline of a `spawn_after` that has not come.
    pub(crate) delay: Option<TimerKey>,
    /// It has forked this process, and goes on here as the OS thread's own stack.
    pub(crate) forked: bool,
}

/// A green thread, as the scheduler passes it around: the address of its [`Head`].
///
/// Stack slots stay mapped for as long as their scheduler lives, and a scheduler with live green
/// threads is never dropped, so a `Thread` can always be read. Whoever keeps one across a switch
/// makes sure that it names the same green thread afterwards: by a guard that takes it out of where
/// it was put (wait lists, the hub, timers), or by comparing ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread(pub(crate) NonNull<Head>);

impl Deref for Thread {
    type Target = Head;

    #[inline(always)]
    fn deref(&self) -> &Head {
        // SAFETY: the slot is mapped and holds a `Head` (see above); all of its fields are cells, so
        // shared references never conflict.
        unsafe { self.0.as_ref() }
    }
}

impl Thread {
    /// The word by which the hub knows this green thread. `Head`s are aligned, so bits 0 and 1 are free:
    /// they tell a timeout frame and a bell from a green thread.
    #[inline]
    pub(crate) fn owner(self) -> Owner {
        Owner(self.0.addr())
    }

    /// The green thread behind a word made by [`owner`](Self::owner).
    ///
    /// # Safety
    ///
    /// The word was made by `owner`, by the scheduler of this OS thread.
    #[inline]
    pub(crate) unsafe fn from_owner(owner: NonZeroUsize) -> Self {
        Self(NonNull::with_exposed_provenance(owner))
    }

    pub(crate) fn block(&self) -> Option<&Block> {
        // SAFETY: a block lives as long as its scheduler, and is this green thread's until it ends.
        self.block.get().map(|block| unsafe { block.as_ref() })
    }
}

/// How a green thread ended, as its block keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// It has not ended.
    Pending,
    /// The storage holds its result.
    Returned,
    /// The storage holds a `Died`.
    Died,
    /// The storage is empty: the result was taken, or nobody wanted it.
    Taken,
}

/// Bytes of a result that lie in the block; larger ones are boxed.
pub(crate) const INLINE_RESULT: usize = 64;

/// The part of a green thread that its handle needs; recycled when both have gone.
#[repr(C)]
pub(crate) struct Block {
    pub(crate) storage: UnsafeCell<MaybeUninit<[u64; INLINE_RESULT / 8]>>,
    /// Its green thread while that lives.
    pub(crate) thread: Cell<Option<Thread>>,
    /// 0 while the block is free.
    pub(crate) id: Cell<u64>,
    /// Who is in `wait`; in a free block the next free one.
    pub(crate) joiner: Cell<*const ()>,
    pub(crate) outcome: Cell<Outcome>,
    /// Nobody holds the handle.
    pub(crate) detached: Cell<bool>,
    /// Its place in the table of blocks.
    pub(crate) index: u32,
}

const _: () = assert!(size_of::<Block>() == 96);

/// All blocks of one scheduler: found by index, never moved, recycled last in first out.
#[derive(Default)]
pub(crate) struct Blocks {
    chunks: std::cell::RefCell<Vec<Box<[Block]>>>,
    free: Cell<Option<NonNull<Block>>>,
    in_use: Cell<usize>,
}

/// Blocks in a chunk.
const CHUNK: u32 = 256;

impl Blocks {
    /// Whether there is no block to [`take`](Self::take).
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.free.get().is_none()
    }

    #[inline]
    pub(crate) fn take(&self, id: NonZeroU64) -> NonNull<Block> {
        let free = self.free.get().expect("the caller has seen to it that there is one");
        // SAFETY: blocks live in boxes that are never moved or dropped before `self`.
        let block = unsafe { free.as_ref() };
        self.free.set(NonNull::new(block.joiner.get().cast_mut().cast()));
        block.joiner.set(std::ptr::null());
        block.id.set(id.get());
        block.outcome.set(Outcome::Pending);
        block.detached.set(false);
        self.in_use.set(self.in_use.get() + 1);
        free
    }

    /// Makes another chunk of them.
    #[cold]
    pub(crate) fn grow(&self) -> Result<(), TryReserveError> {
        let mut chunks = self.chunks.borrow_mut();
        let first = chunks.len() as u32 * CHUNK;
        let mut chunk = Vec::new();
        chunks.try_reserve(1)?;
        chunk.try_reserve_exact(CHUNK as usize)?;
        chunk.extend((first..first + CHUNK).map(|index| Block {
            storage: UnsafeCell::new(MaybeUninit::uninit()),
            thread: Cell::new(None),
            id: Cell::new(0),
            joiner: Cell::new(std::ptr::null()),
            outcome: Cell::new(Outcome::Taken),
            detached: Cell::new(true),
            index,
        }));
        let chunk: Box<[Block]> = chunk.into_boxed_slice();
        for pair in chunk.windows(2) {
            pair[0].joiner.set((&raw const pair[1]).cast());
        }
        let head = NonNull::from(&chunk[0]);
        chunks.push(chunk);
        self.free.set(Some(head));
        Ok(())
    }

    /// Takes back a block whose storage is empty and that nobody refers to any more.
    #[inline]
    pub(crate) fn give_back(&self, block: NonNull<Block>) {
        // SAFETY: as in `take`.
        let free = unsafe { block.as_ref() };
        free.thread.set(None);
        free.id.set(0);
        free.joiner.set(self.free.get().map_or(std::ptr::null(), |next| next.as_ptr().cast()));
        self.free.set(Some(block));
        self.in_use.set(self.in_use.get() - 1);
    }

    /// Takes over all blocks of `left`, also those that are in use. There were none here.
    pub(crate) fn take_over(&self, left: &Self) {
        self.chunks.replace(left.chunks.take());
        self.free.set(left.free.take());
        self.in_use.set(left.in_use.take());
    }

    /// The green thread that has this id, if it lives.
    pub(crate) fn find(&self, id: NonZeroU64, index: u32) -> Option<Thread> {
        let chunks = self.chunks.borrow();
        let block = chunks.get((index / CHUNK) as usize)?.get((index % CHUNK) as usize)?;
        block.thread.get().filter(|_| block.id.get() == id.get())
    }

    /// Every live green thread, oldest slot first.
    pub(crate) fn live(&self) -> Vec<Thread> {
        let chunks = self.chunks.borrow();
        chunks.iter().flatten().filter_map(|block| block.thread.get()).collect()
    }

    /// How many blocks belong to a live green thread or a handle.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.get()
    }
}
