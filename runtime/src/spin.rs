//! Waiting a little for another OS thread before waiting properly.
//!
//! A park and a wake across OS threads cost a microsecond where both hubs are awake, and ten or more where
//! an OS thread has to be woken: much more than most answers take. The hub spins before it sleeps by
//! itself; this is for what comes before a park, and for OS threads without a hub.

use std::cell::Cell;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

use evy_hub::may_spin;

use crate::scheduler::current_scheduler;

/// Looks in a row between two at the clock or the ready queue.
const LOOKS: u32 = 4;

/// How long an OS thread without a hub spins at most before it parks.
const SPIN: Duration = Duration::from_micros(20);

/// A park shorter than this says that a spin would have paid.
const SHORT_PARK: Duration = Duration::from_micros(100);

/// Spins without success after which an OS thread parks at once.
const PATIENCE: u32 = 3;

thread_local! {
    /// Spins in a row in which nothing came, on this OS thread. The first park decides whether to begin.
    static FAILURES: Cell<u32> = const { Cell::new(PATIENCE) };
}

/// Waits for another OS thread until `is_over`, but for no longer than a few microseconds, and returns
/// whether it was. It looks up to `looks` times, some 50 ns apart. Other green threads that are ready have
/// their turns meanwhile, each of which counts as 16 looks.
///
/// For lock-free looks at what a green thread is about to park for. Whoever calls it should learn from the
/// result when not to. It returns `false` at once where waiting so is no use: on a single core, and with
/// `EVY_SPIN=0`.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static DONE: AtomicBool = AtomicBool::new(false);
/// std::thread::spawn(|| DONE.store(true, Ordering::Release));
/// if !evy_runtime::linger(100, || DONE.load(Ordering::Acquire)) {
///     // It takes longer: park.
/// }
/// ```
///
/// # Yields
///
/// When other green threads are ready.
#[inline]
pub fn linger(looks: u32, is_over: impl Fn() -> bool) -> bool {
    const TURN: u32 = 16;

    if !may_spin() {
        return false;
    }
    let scheduler = current_scheduler();
    let mut looked = 0;
    while looked < looks {
        if is_over() {
            return true;
        }
        match scheduler {
            Some(scheduler) if looked % LOOKS == 0 && !scheduler.ready.is_empty() => {
                scheduler.yield_current();
                looked += TURN;
            }
            _ => {
                spin_loop();
                looked += 1;
            }
        }
    }
    is_over()
}

/// Spins on an OS thread without a hub until `is_over`, where that has paid, and returns whether it was.
pub(crate) fn before_a_park(deadline: Option<Instant>, is_over: impl Fn() -> bool) -> bool {
    if FAILURES.get() >= PATIENCE || !may_spin() {
        return false;
    }
    let spin_end = Instant::now() + SPIN;
    let end = deadline.map_or(spin_end, |deadline| deadline.min(spin_end));
    loop {
        for _ in 0..LOOKS {
            if is_over() {
                FAILURES.set(0);
                return true;
            }
            spin_loop();
        }
        if Instant::now() >= end {
            break;
        }
    }
    FAILURES.set(FAILURES.get() + 1);
    false
}

/// A park of an OS thread without a hub, whose length says whether a spin would have paid.
pub(crate) struct Parked(Instant);

impl Parked {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if self.0.elapsed() < SHORT_PARK {
            FAILURES.set(0);
        }
    }
}
