//! Where so many green threads wait for each other.

use std::fmt;

use evy_runtime::{Reason, WaitList};

const OTHERS: Reason = Reason::new(&"the others at a Barrier");

/// Holds up green threads until there are so many of them, again and again.
///
/// One that is killed or times out while it waits does not count any more: one more has to come. Once
/// enough are there they all pass, whatever becomes of them before they go on.
///
/// ```
/// use std::rc::Rc;
/// use evy_sync::Barrier;
///
/// let barrier = Rc::new(Barrier::new(3));
/// let workers: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = Rc::clone(&barrier);
///         evy_runtime::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let leaders = evy_runtime::join_all(workers).into_iter().filter(|leads| *leads.as_ref().unwrap());
/// assert_eq!(leaders.count(), 1);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let barrier = evy_sync::Barrier::new(1);
/// std::thread::spawn(move || barrier.wait());
/// ```
pub struct Barrier {
    size: usize,
    line: WaitList,
}

impl Barrier {
    /// A barrier for `n` green threads. 0 is as 1: nobody waits.
    ///
    /// ```
    /// assert!(evy_sync::Barrier::new(1).wait().is_leader());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(n: usize) -> Self {
        Self { size: n, line: WaitList::new() }
    }

    /// Waits until `n` green threads are here. The last one to come is the leader.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use evy_sync::Barrier;
    ///
    /// let barrier = Rc::new(Barrier::new(2));
    /// let other = evy_runtime::spawn({
    ///     let barrier = Rc::clone(&barrier);
    ///     move || barrier.wait()
    /// });
    /// evy_runtime::yield_now();
    /// assert!(barrier.wait().is_leader());
    /// assert!(!other.wait().unwrap().is_leader());
    /// ```
    ///
    /// # Yields
    ///
    /// Until enough are here; not in the last one.
    pub fn wait(&self) -> BarrierWaitResult {
        let is_leader = self.line.len() + 1 >= self.size;
        if is_leader {
            self.line.wake_all();
        } else {
            self.line.wait(OTHERS, None, || ()).expect("there is no deadline");
        }
        BarrierWaitResult(is_leader)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("size", &self.size)
            .field("waiting", &self.line.len())
            .finish()
    }
}

/// What a [`Barrier::wait`] gives: one of each round is the leader.
///
/// ```
/// let result: evy_sync::BarrierWaitResult = evy_sync::Barrier::new(1).wait();
/// assert!(result.is_leader());
/// ```
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this one is the leader.
    ///
    /// ```
    /// assert!(evy_sync::Barrier::new(1).wait().is_leader());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}
