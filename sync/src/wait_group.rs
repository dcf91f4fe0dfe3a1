//! Waiting until all of a group have gone.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{Reason, TimedOut, WaitList};

const MEMBERS: Reason = Reason::new(&"the last member of a WaitGroup");

/// A group of which each clone is a member; [`wait`](Self::wait) waits until all others are dropped.
///
/// Members are dropped with the green threads that own them, whichever way these end. In Evy this is a
/// `metaphore`: to clone is its `inc`, to drop its `dec`.
///
/// ```
/// use evy_sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// for _ in 0..3 {
///     let member = group.clone();
///     evy_runtime::spawn_n(move || {
///         evy_runtime::yield_now();
///         drop(member);
///     });
/// }
/// group.wait();
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let group = evy_sync::WaitGroup::new();
/// std::thread::spawn(move || group.wait());
/// ```
#[doc(alias = "metaphore")]
pub struct WaitGroup {
    group: Rc<Group>,
}

struct Group {
    members: Cell<usize>,
    /// While anybody waits there are members.
    line: WaitList,
}

impl WaitGroup {
    /// A group with one member.
    ///
    /// ```
    /// evy_sync::WaitGroup::new().wait(); // there is nobody else
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new() -> Self {
        Self { group: Rc::new(Group { members: Cell::new(1), line: WaitList::new() }) }
    }

    /// Leaves the group, and waits until nobody is left in it.
    ///
    /// ```
    /// use evy_sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// let member = group.clone();
    /// let worker = evy_runtime::spawn(move || drop(member));
    /// group.wait();
    /// assert!(worker.is_finished());
    /// ```
    ///
    /// # Yields
    ///
    /// While there are other members.
    pub fn wait(self) {
        self.wait_until(None).expect("there is no deadline");
    }

    /// [`wait`](Self::wait) up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{TimedOut, WaitGroup};
    ///
    /// let group = WaitGroup::new();
    /// let _member = group.clone();
    /// assert_eq!(group.wait_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when there are members then. The caller has left the group all the same.
    ///
    /// # Yields
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<(), TimedOut> {
        self.wait_until(Some(timeout))
    }

    fn wait_until(self, timeout: Option<Duration>) -> Result<(), TimedOut> {
        let group = Rc::clone(&self.group);
        drop(self);
        if group.members.get() == 0 { Ok(()) } else { group.line.wait(MEMBERS, timeout, || ()) }
    }
}

impl Clone for WaitGroup {
    #[doc(alias = "inc")]
    fn clone(&self) -> Self {
        self.group.members.set(self.group.members.get() + 1);
        Self { group: Rc::clone(&self.group) }
    }
}

impl Drop for WaitGroup {
    #[doc(alias = "dec")]
    fn drop(&mut self) {
        let members = self.group.members.get() - 1;
        self.group.members.set(members);
        if members == 0 {
            self.group.line.wake_all();
        }
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("members", &self.group.members.get())
            .field("waiting", &self.group.line.len())
            .finish()
    }
}
