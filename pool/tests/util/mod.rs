//! What the tests of this crate share, beside what they share with those of the runtime.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

#[path = "../../../runtime/tests/util/mod.rs"]
mod runtime;

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{Died, WaitList, yield_now};

#[allow(unused_imports, reason = "each test program uses its own part of this")]
pub use runtime::*;

/// Holds up whoever comes until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Rc<Inner>);

#[derive(Default)]
struct Inner {
    is_open: Cell<bool>,
    line: WaitList,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn pass(&self) {
        while !self.0.is_open.get() {
            wait_in(&self.0.line);
        }
    }

    pub fn open(&self) {
        self.0.is_open.set(true);
        self.0.line.wake_all();
    }

    /// How many it holds up.
    pub fn held(&self) -> usize {
        self.0.line.len()
    }
}

/// Runs all others until nothing changes any more: in these tests nobody goes on for so long.
pub fn settle() {
    (0..200).for_each(|_| yield_now());
}

/// What `f` panics with.
pub fn payload_of<T>(f: impl FnOnce() -> T) -> Box<dyn Any + Send> {
    catch_unwind(AssertUnwindSafe(f)).err().expect("it panics")
}

/// Whether a `next` panicked because its task was killed.
pub fn says_killed(payload: &(dyn Any + Send)) -> bool {
    matches!(payload.downcast_ref(), Some(Died::Killed))
}

/// xorshift64*: good enough, and the same everywhere.
#[derive(Clone)]
pub struct Random(Rc<Cell<u64>>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed | 1)))
    }

    pub fn below(&self, limit: usize) -> usize {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    pub fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn short(&self) -> Duration {
        Duration::from_nanos(self.below(50_000) as u64)
    }
}

/// Runs `test` with a few seeds, or with the one in `EVY_TEST_SEED`, and names the one that fails.
/// Panics without a text, and those whose text begins with "on purpose", are not printed.
pub fn for_each_seed(test: fn(Random)) {
    let _watchdog = Watchdog::new("random steps");
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let payload = info.payload();
            let is_text = payload.is::<&str>() || payload.is::<String>();
            if is_text && !text(payload).starts_with("on purpose") {
                eprintln!("{info}");
            }
        }));
        // The runtime's own hook goes behind this one.
        yield_now();
    });
    let given = std::env::var("EVY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in given.map_or_else(|| vec![1, 42, 0xdead_beef, 20_260_101], |seed| vec![seed]) {
        let result = catch_unwind(AssertUnwindSafe(|| test(Random::new(seed))));
        if let Err(payload) = result {
            eprintln!("with EVY_TEST_SEED={seed}");
            std::panic::resume_unwind(payload);
        }
    }
}
