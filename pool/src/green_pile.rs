//! Tasks now, their results later, in the order of the spawns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{panic_any, resume_unwind};

use evy_runtime::{Died, GreenThread};

use crate::GreenPool;

/// Tasks of which the results are iterated over, in the order of the spawns.
///
/// The iteration ends when every result so far was taken; more tasks may be spawned after that. A
/// task's panic goes on at its place in the iteration, one that was killed panics with
/// [`Died::Killed`], and the iteration can go on after either. Dropping the pile detaches its tasks.
///
/// ```
/// use evy_pool::{GreenPile, GreenPool};
///
/// let pool = GreenPool::new(100);
/// let pile = GreenPile::with_pool(&pool);
/// for n in 1..=3 {
///     pile.spawn(move || n * n);
/// }
/// assert_eq!(pile.collect::<Vec<_>>(), [1, 4, 9]);
/// ```
pub struct GreenPile<T: 'static> {
    pool: GreenPool,
    tasks: RefCell<VecDeque<GreenThread<T>>>,
}

impl<T: 'static> GreenPile<T> {
    /// A pile with a pool of its own, in which `size` tasks run at once.
    pub fn new(size: usize) -> Self {
        Self::with_pool(&GreenPool::new(size))
    }

    /// A pile whose tasks run in `pool`, beside those of others.
    pub fn with_pool(pool: &GreenPool) -> Self {
        Self { pool: pool.clone(), tasks: RefCell::default() }
    }

    /// Starts `f` on a green thread of the pool, as [`GreenPool::spawn`] does.
    ///
    /// # Panics
    ///
    /// As [`GreenPool::spawn`].
    ///
    /// # Yields
    ///
    /// While the pool is full. One that is cut off while it waits leaves no gap among the results.
    #[track_caller]
    pub fn spawn(&self, f: impl FnOnce() -> T + 'static) {
        let task = self.pool.spawn(f);
        self.tasks.borrow_mut().push_back(task);
    }

    fn take_oldest(&self) -> Option<T> {
        let task = self.tasks.borrow_mut().pop_front()?;
        match task.wait() {
            Ok(value) => Some(value),
            Err(Died::Panicked(payload)) => resume_unwind(payload),
            Err(died) => panic_any(died),
        }
    }
}

impl<T: 'static> Iterator for GreenPile<T> {
    type Item = T;

    /// The result of the oldest task whose result was not taken.
    ///
    /// # Panics
    ///
    /// With the panic of that task; with [`Died::Killed`] where it was killed.
    ///
    /// # Yields
    ///
    /// Until it has ended.
    fn next(&mut self) -> Option<T> {
        self.take_oldest()
    }
}

impl<T: 'static> Iterator for &GreenPile<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.take_oldest()
    }
}

impl<T> fmt::Debug for GreenPile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.borrow().len();
        f.debug_struct("GreenPile").field("pool", &self.pool).field("tasks", &tasks).finish()
    }
}
