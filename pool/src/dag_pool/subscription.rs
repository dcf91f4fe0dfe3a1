//! Who waits for which results.
//!
//! Who waits for results has a subscription with the graph. A key that gets its result moves from what the
//! subscription waits for to what is ready, and wakes the one who iterates; so nobody looks at results
//! that are none of its business, and a wait that is cut off loses none.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use evy_runtime::{Reason, WaitList};

use super::keys::KeyId;

const RESULT: Reason = Reason::new(&"a result in a DagPool");

/// The keys that somebody wants the results of.
pub(super) struct Subscription {
    pub(super) number: u64,
    /// Those without a result.
    pending: RefCell<BTreeSet<KeyId>>,
    /// Those whose result has not been given out, in the order in which they got it.
    ready: RefCell<VecDeque<KeyId>>,
    /// Where who iterates waits for the next.
    line: WaitList,
}

impl Subscription {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            pending: RefCell::default(),
            ready: RefCell::default(),
            line: WaitList::new(),
        }
    }

    /// The keys without a result, those first that the pool has known for longest.
    pub(super) fn pending(&self) -> Vec<KeyId> {
        self.pending.borrow().iter().copied().collect()
    }

    /// The same, which it does not wait for any more.
    pub(super) fn take_pending(&self) -> BTreeSet<KeyId> {
        self.pending.take()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.borrow().is_empty()
    }

    pub(super) fn add(&self, id: KeyId, is_ready: bool) {
        if is_ready {
            self.ready.borrow_mut().push_back(id);
        } else {
            self.pending.borrow_mut().insert(id);
        }
    }

    /// `id` has its result.
    pub(super) fn arrive(&self, id: KeyId) {
        self.pending.borrow_mut().remove(&id);
        self.ready.borrow_mut().push_back(id);
        self.line.wake_one();
    }

    /// Waits for the next key that has its result, and leaves it in front.
    pub(super) fn wait(&self) -> Option<KeyId> {
        loop {
            if let Some(id) = self.ready.borrow().front() {
                return Some(*id);
            }
            if !self.is_waiting() {
                return None;
            }
            self.line.wait(RESULT, None, || ()).expect("there is no deadline");
        }
    }

    pub(super) fn advance(&self) {
        self.ready.borrow_mut().pop_front();
    }

    pub(super) fn len(&self) -> usize {
        self.pending.borrow().len() + self.ready.borrow().len()
    }
}
