//! The sides between which things are shared, for the tests of `shared`.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Who uses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// An OS thread without a hub.
    Os,
    /// The own stack of an OS thread with a hub.
    Main,
    /// A green thread of an OS thread of its own.
    Green,
}

pub const SIDES: [Side; 3] = [Side::Os, Side::Main, Side::Green];

impl Side {
    /// Runs `f` there, on an OS thread of its own.
    pub fn run<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        thread::spawn(move || match self {
            Self::Os => f(),
            Self::Main => {
                evy_runtime::yield_now();
                f()
            }
            Self::Green => evy_runtime::spawn(f).wait().expect("it does not panic"),
        })
    }
}

/// All pairs.
pub fn directions() -> impl Iterator<Item = (Side, Side)> {
    SIDES.into_iter().flat_map(|from| SIDES.map(|to| (from, to)))
}

/// Lets other OS threads run until `count` wait for something whose `Debug` says how many do. They are on
/// their way there, so this ends.
pub fn until_waiting(shared: &impl Debug, count: usize) {
    let wanted = format!("waiting: {count}");
    until(|| format!("{shared:?}").contains(&wanted));
}

/// Lets other OS threads and green threads run until `is_so`.
pub fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        evy_runtime::yield_now();
        #[expect(clippy::disallowed_methods, reason = "the others are on other OS threads")]
        thread::yield_now();
    }
}

/// Counts values that are alive, on whichever OS thread.
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<AtomicUsize>);

/// One value of a [`Census`], by a number.
#[derive(Debug)]
pub struct Counted {
    pub number: usize,
    alive: Arc<AtomicUsize>,
}

impl Census {
    pub fn one(&self, number: usize) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted { number, alive: Arc::clone(&self.0) }
    }

    pub fn alive(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.alive.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped once");
    }
}
