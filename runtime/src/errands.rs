//! What has to be run on this hub and came from where it cannot run: closures that other OS threads
//! sent, and wakers of futures that the loop found to be due.
//!
//! No code of users runs inside the loop, so the loop starts a green thread for it: one at a time, which
//! does everything that is there and ends. It is started again when something new comes.
//!
//! ```text
//!   other OS thread              loop                          errand green thread
//!   job into the inbox           message: start it             takes jobs out, starts each as a
//!   message to the hub                                         green thread of its own
//!                                waker due: into `due`, start  calls the wakers
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use crate::on_exit::drop_quietly;
use crate::remote::Inbox;
use crate::scheduler::{Scheduler, current_scheduler};
use crate::spawn::spawn_masked;

/// The number of a message that says: there is an errand. No ticket has it.
pub(crate) const ERRAND: u64 = 0;

/// The errands of one scheduler.
pub(crate) struct Errands {
    /// The green thread for them lives.
    running: Cell<bool>,
    /// Wakers that are to be called.
    due: RefCell<VecDeque<Waker>>,
    /// Where other OS threads put closures, once there is a `Remote`.
    inbox: OnceCell<Arc<Inbox>>,
}

impl Errands {
    pub(crate) fn new() -> Self {
        Self { running: Cell::new(false), due: RefCell::default(), inbox: OnceCell::new() }
    }

    /// The inbox, made if need be.
    pub(crate) fn inbox(&self, scheduler: &Scheduler) -> &Arc<Inbox> {
        self.inbox.get_or_init(|| Arc::new(Inbox::new(Arc::clone(scheduler.remote()))))
    }

    /// Whether somebody could send a closure, or has, or a waker is still to be called.
    pub(crate) fn can_come(&self) -> bool {
        !self.due.borrow().is_empty() || self.inbox.get().is_some_and(|inbox| inbox.can_come())
    }

    /// Has `waker` called soon. For the loop, which must not call it.
    pub(crate) fn add_waker(&self, waker: Waker) {
        self.due.borrow_mut().push_back(waker);
    }

    /// The OS thread ends: what was sent and has not begun is dropped, and so are wakers that are due.
    pub(crate) fn end(&self) {
        self.due.take().into_iter().for_each(drop_quietly);
        if let Some(inbox) = self.inbox.get() {
            inbox.end();
        }
    }

    fn is_empty(&self) -> bool {
        self.due.borrow().is_empty() && self.inbox.get().is_none_or(|inbox| inbox.is_empty())
    }

    /// Does everything that is there.
    fn run(&self) {
        loop {
            let waker = self.due.borrow_mut().pop_front();
            if let Some(waker) = waker {
                contain(|| waker.wake());
            } else if let Some(job) = self.inbox.get().and_then(|inbox| inbox.take()) {
                contain(job);
            } else {
                return;
            }
        }
    }
}

/// Calls code of users that must not end the others' errands.
fn contain(f: impl FnOnce()) {
    drop_quietly(catch_unwind(AssertUnwindSafe(f)));
}

impl Scheduler {
    /// Starts the green thread for errands, if there are any and it does not live.
    pub(crate) fn run_errands(&self) {
        if self.errands.running.get() || self.errands.is_empty() {
            return;
        }
        self.errands.running.set(true);
        let running = Running;
        // Without memory for a stack the closure is dropped, and the next turn tries again.
        let _ = spawn_masked(self, Location::caller(), move || {
            let _running = running;
            let scheduler = current_scheduler().expect("it runs a green thread");
            scheduler.errands.run();
        });
    }
}

/// The green thread for errands is there. However it ends, also unstarted, what came meanwhile gets
/// the next one.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        let Some(scheduler) = current_scheduler() else { return };
        scheduler.errands.running.set(false);
        if !scheduler.errands.is_empty() {
            scheduler.remote().wake(ERRAND);
        }
    }
}
