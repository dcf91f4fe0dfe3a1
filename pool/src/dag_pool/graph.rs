//! What the handles and the nodes of one pool share: results, runs, and who waits for what.
//!
//! ```text
//!            spawn                    returns, panics, is killed
//!   unknown ────────► running ───────────────────────────────────► has a result
//!      ▲                 │                                              ▲
//!      └──── kill(key) ──┘         post                                 │
//!   unknown ────────────────────────────────────────────────────────────┘
//! ```
//!
//! A run has a number. A node that was forgotten by `kill` and lives on all the same, because it caught the
//! kill, finds another number or none when it ends, and leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::rc::Rc;

use evy_runtime::{GreenThreadId, Reason, WaitList, current};

use super::errors::PropagateError;
use super::keys::{KeyId, Keys};
use super::subscription::Subscription;

const END: Reason = Reason::new(&"the last node of a DagPool");

/// What a key has in the end.
pub(super) type Outcome<K, V> = Result<Rc<V>, PropagateError<K>>;

pub(super) struct Graph<K: 'static, V: 'static> {
    keys: Keys<K>,
    /// By the number of the key; those that are missing have nothing.
    nodes: RefCell<Vec<Node<K, V>>>,
    /// Keys in the order in which they got their first result.
    arrived: RefCell<Vec<KeyId>>,
    /// How many nodes run.
    running: Cell<usize>,
    /// Who waits for `running` to be 0.
    ends: WaitList,
    next_number: Cell<u64>,
}

/// What there is of a key.
struct Node<K: 'static, V: 'static> {
    outcome: Option<Outcome<K, V>>,
    /// Both, where a node has given its own key a result before its end.
    run: Option<Run>,
    /// Who waits for the outcome, by number, which is in the order of the calls.
    subscriptions: BTreeMap<u64, Rc<Subscription>>,
}

/// A node that runs.
struct Run {
    number: u64,
    thread: GreenThreadId,
    inputs: Rc<Subscription>,
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self { outcome: None, run: None, subscriptions: BTreeMap::new() }
    }
}

impl<K: Hash + Eq, V> Graph<K, V> {
    pub(super) fn add_key(&self, key: K) -> KeyId {
        self.keys.add(key)
    }

    pub(super) fn find_key(&self, key: &K) -> Option<KeyId> {
        self.keys.find(key)
    }
}

impl<K: 'static, V: 'static> Graph<K, V> {
    pub(super) fn new() -> Self {
        Self {
            keys: Keys::new(),
            nodes: RefCell::default(),
            arrived: RefCell::default(),
            running: Cell::new(0),
            ends: WaitList::new(),
            next_number: Cell::new(0),
        }
    }

    pub(super) fn key(&self, id: KeyId) -> Rc<K> {
        self.keys.get(id)
    }

    pub(super) fn result(&self, id: KeyId) -> Option<Outcome<K, V>> {
        self.look_at(id, |node| node.outcome.clone()).flatten()
    }

    /// Keys in the order in which they got their first result.
    pub(super) fn arrived(&self) -> Vec<KeyId> {
        self.arrived.borrow().clone()
    }

    pub(super) fn running(&self) -> usize {
        self.running.get()
    }

    /// The keys of nodes that run, in the order in which they were spawned.
    pub(super) fn running_keys(&self) -> Vec<KeyId> {
        let nodes = self.nodes.borrow();
        let runs = nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.run.as_ref()?)));
        let by_number: BTreeMap<_, _> = runs.map(|(id, run)| (run.number, id)).collect();
        by_number.into_values().collect()
    }

    /// How many nodes wait for a result.
    pub(super) fn waiting(&self) -> usize {
        let nodes = self.nodes.borrow();
        let mut runs = nodes.iter().filter_map(|node| node.run.as_ref());
        runs.by_ref().filter(|run| run.inputs.is_waiting()).count()
    }

    /// What the node waits for; `None` where the key has neither a node nor a result.
    pub(super) fn waiting_for(&self, id: KeyId) -> Option<Vec<KeyId>> {
        self.look_at(id, |node| match &node.run {
            Some(run) => Some(run.inputs.pending()),
            None => node.outcome.is_some().then(Vec::new),
        })?
    }

    /// Whether the caller is a node of this pool.
    pub(super) fn is_node(&self) -> bool {
        let caller = current();
        let nodes = self.nodes.borrow();
        nodes.iter().filter_map(|node| node.run.as_ref()).any(|run| run.thread == caller)
    }

    /// Whether the caller is this very node, and has not given its key a result.
    pub(super) fn is_for_caller_to_give(&self, id: KeyId) -> bool {
        let caller = current();
        let is_so = |node: &Node<K, V>| {
            node.outcome.is_none() && node.run.as_ref().is_some_and(|run| run.thread == caller)
        };
        self.look_at(id, is_so).unwrap_or(false)
    }

    /// Whether the key has neither a node nor a result.
    pub(super) fn is_vacant(&self, id: KeyId) -> bool {
        self.look_at(id, |node| node.run.is_none() && node.outcome.is_none()).unwrap_or(true)
    }

    /// Whether the caller may give the key a result: the first, or any.
    pub(super) fn may_post(&self, id: KeyId, replace: bool) -> bool {
        let caller = current();
        let may = |node: &Node<K, V>| {
            let is_others = node.run.as_ref().is_some_and(|run| run.thread != caller);
            !is_others && (replace || node.outcome.is_none())
        };
        self.look_at(id, may).unwrap_or(true)
    }

    /// Looks at what there is of a key, if anything. `f` calls no code of users.
    fn look_at<T>(&self, id: KeyId, f: impl FnOnce(&Node<K, V>) -> T) -> Option<T> {
        self.nodes.borrow().get(id).map(f)
    }

    /// Changes what there is of a key. `f` calls no code of users, nor drops what has any.
    fn change<T>(&self, id: KeyId, f: impl FnOnce(&mut Node<K, V>) -> T) -> T {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() <= id {
            nodes.resize_with(id + 1, Node::default);
        }
        f(&mut nodes[id])
    }

    pub(super) fn new_number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    /// Makes a subscription to keys that are all different.
    pub(super) fn subscribe(&self, keys: &[KeyId]) -> Rc<Subscription> {
        let subscription = Rc::new(Subscription::new(self.new_number()));
        for &id in keys {
            self.change(id, |node| {
                subscription.add(id, node.outcome.is_some());
                if node.outcome.is_none() {
                    node.subscriptions.insert(subscription.number, Rc::clone(&subscription));
                }
            });
        }
        subscription
    }

    pub(super) fn unsubscribe(&self, number: u64, keys: &BTreeSet<KeyId>) {
        for &id in keys {
            self.change(id, |node| node.subscriptions.remove(&number));
        }
    }

    /// Gives a key its result, and wakes who waits for it, first come first. Returns the result that it had.
    pub(super) fn arrive(&self, id: KeyId, outcome: Outcome<K, V>) -> Option<Outcome<K, V>> {
        let (old, subscriptions) = self.change(id, |node| {
            (node.outcome.replace(outcome), std::mem::take(&mut node.subscriptions))
        });
        if old.is_none() {
            self.arrived.borrow_mut().push(id);
        }
        for subscription in subscriptions.into_values() {
            subscription.arrive(id);
        }
        old
    }

    /// The node of a vacant key runs from now on, and waits for its inputs.
    pub(super) fn begin(
        &self,
        id: KeyId,
        number: u64,
        thread: GreenThreadId,
        inputs: Rc<Subscription>,
    ) {
        self.change(id, |node| node.run = Some(Run { number, thread, inputs }));
        self.running.set(self.running.get() + 1);
    }

    /// Forgets the node that runs for a key, if any. What it returns later goes nowhere.
    pub(super) fn forget(&self, id: KeyId) -> Option<GreenThreadId> {
        let run = self.change(id, |node| node.run.take())?;
        self.one_less();
        Some(run.thread)
    }

    fn one_less(&self) {
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            self.ends.wake_all();
        }
    }

    /// Waits until no node runs.
    pub(super) fn wait_for_ends(&self) {
        if self.running.get() > 0 {
            self.ends.wait(END, None, || ()).expect("there is no deadline");
        }
    }

    /// A run has ended, unless it was forgotten. What it leaves is the key's result, if it has none yet.
    pub(super) fn end(&self, id: KeyId, number: u64, outcome: impl FnOnce() -> Outcome<K, V>) {
        let is_its_run = |run: &mut Run| run.number == number;
        let Some(_run) = self.change(id, |node| node.run.take_if(is_its_run)) else { return };
        if self.result(id).is_none() {
            self.arrive(id, outcome());
        }
        self.one_less();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evy_runtime::timeout;

    use crate::DagPool;

    /// Somebody may wait for years, a second at a time, for what is never there.
    #[test]
    fn a_wait_that_gives_up_leaves_no_subscription_behind() {
        let dag: DagPool<u32, u32> = DagPool::new([(0, 0)]);
        let subscriptions = || {
            let nodes = dag.graph.nodes.borrow();
            nodes.iter().map(|node| node.subscriptions.len()).sum::<usize>()
        };
        for _ in 0..10 {
            assert!(timeout(Duration::ZERO, || dag.wait([0, 1, 2])).is_err());
        }
        assert_eq!(subscriptions(), 0);
        let results = dag.wait_each([1, 2, 1]);
        assert_eq!(subscriptions(), 2);
        dag.post(1, 1).unwrap();
        assert_eq!(subscriptions(), 1);
        drop(results);
        assert_eq!(subscriptions(), 0);
    }
}
