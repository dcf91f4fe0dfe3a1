//! Green threads that wait for each other's results.
//!
//! This file has the handle. `dag_pool/task.rs` has the nodes' green threads, `results.rs` the iterators that
//! wait, `graph.rs` results and runs, `subscription.rs` who waits for which, `errors.rs` how failures travel,
//! `keys.rs` the numbers that stand for keys everywhere else.
//!
//! Code of users (keys' `Hash`, `Eq` and `Clone`, results' `Clone`, destructors, and the nodes, of course)
//! may park, panic, be killed or use the pool: none of it runs while anything is borrowed.

mod errors;
mod graph;
mod keys;
mod results;
mod subscription;
mod task;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::rc::Rc;

use evy_runtime::{Died, kill};

use errors::Cause;
pub use errors::{Collision, PropagateError};
use graph::{Graph, Outcome};
use keys::KeyId;
pub use results::{DagInputs, DagResults};
use task::Task;

/// Green threads whose number is bounded by nothing but what they wait for: each other's results.
///
/// A node is a green thread with a key. It names the keys that it depends on, and iterates over their
/// results as they come; what it returns is the result of its own key. Nodes may be spawned in any order,
/// also before those that they depend on, and results may also come from outside ([`post`](Self::post)).
/// The graph is in the dependencies, and is drawn nowhere.
///
/// A clone is another handle to the same pool. Dropping the last one leaves the nodes running.
///
/// ```
/// use evy_pool::DagPool;
///
/// let dag = DagPool::new([("flour", 500), ("water", 300)]);
/// dag.spawn("bread", ["dough", "yeast"], |inputs| inputs.map(|(_, grams)| grams).sum()).unwrap();
/// dag.spawn("dough", ["flour", "water"], |inputs| inputs.map(|(_, grams)| grams).sum()).unwrap();
/// dag.spawn("yeast", [], |_| 7).unwrap();
/// let results = dag.waitall().unwrap();
/// assert_eq!((results["dough"], results["bread"]), (800, 807));
/// ```
///
/// # Failures
///
/// A node that panics, or is killed otherwise than by [`kill`](Self::kill), leaves an error as its result
/// ([`PropagateError`]). It ends the nodes that depend on it as they come upon it, those that depend on
/// these, and so on. Others go on.
///
/// # What is never there
///
/// Who waits for a key that nobody spawns or posts waits for ever, and so do nodes that wait for each other
/// in a circle. [`running_keys`](Self::running_keys) and [`waiting_for`](Self::waiting_for) tell which. If
/// the OS thread's own stack waits for them, that is a deadlock, and its panic names the nodes.
///
/// A pool belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let dag = evy_pool::DagPool::new([("a", 1)]);
/// std::thread::spawn(move || dag.running());
/// ```
pub struct DagPool<K: 'static, V: 'static> {
    graph: Rc<Graph<K, V>>,
}

impl<K: Hash + Eq + Clone + 'static, V: Clone + 'static> DagPool<K, V> {
    /// Makes a pool in which some keys have results already. Of two with one key the last one counts.
    ///
    /// ```
    /// use evy_pool::DagPool;
    ///
    /// let dag = DagPool::new([("a", 1), ("b", 2)]);
    /// assert_eq!(dag.keys(), ["a", "b"]);
    /// let empty: DagPool<&str, u32> = DagPool::new([]);
    /// assert!(empty.keys().is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(preload: impl IntoIterator<Item = (K, V)>) -> Self {
        let graph = Rc::new(Graph::new());
        for (key, value) in preload {
            let id = graph.add_key(key);
            graph.arrive(id, Ok(Rc::new(value)));
        }
        Self { graph }
    }

    /// Starts a node: a green thread that runs `f`, whose result is that of `key`.
    ///
    /// It starts at once. What `f` is given waits for the results of `depends` as it is iterated over.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 3), ("b", 4)]);
    /// dag.spawn("hypotenuse", ["a", "b"], |inputs| {
    ///     inputs.map(|(_, side): (_, u32)| side.pow(2)).sum::<u32>().isqrt()
    /// })
    /// .unwrap();
    /// assert_eq!(dag.wait_one("hypotenuse").unwrap(), 5);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Collision`] when the key has a result or a node already.
    ///
    /// # Panics
    ///
    /// When the node depends on itself, and when there is no memory for a stack.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn spawn(
        &self,
        key: K,
        depends: impl IntoIterator<Item = K>,
        f: impl FnOnce(DagInputs<K, V>) -> V + 'static,
    ) -> Result<(), Collision<K>> {
        let node = self.prepare(key, depends);
        self.check_vacant(node.0)?;
        Task::start(&self.graph, node.0, &node.1, Location::caller(), f);
        Ok(())
    }

    /// Starts a node for each of some keys, which all run `f`. Either all are started or none.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// let depends = [
    ///     ("top", vec!["left", "right"]),
    ///     ("left", vec!["base"]),
    ///     ("right", vec!["base"]),
    ///     ("base", vec![]),
    /// ];
    /// dag.spawn_many(depends, |inputs| 1 + inputs.map(|(_, height)| height).max().unwrap_or(0))
    ///     .unwrap();
    /// assert_eq!(dag.wait_one("top").unwrap(), 3);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Collision`] when one of the keys has a result or a node already, or is there twice.
    ///
    /// # Panics
    ///
    /// When a node depends on itself, and when there is no memory for a stack; in the latter case those
    /// before it have been started.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn spawn_many<D: IntoIterator<Item = K>>(
        &self,
        depends: impl IntoIterator<Item = (K, D)>,
        f: impl Fn(DagInputs<K, V>) -> V + 'static,
    ) -> Result<(), Collision<K>> {
        let mut nodes = Vec::new();
        for (key, depends) in depends {
            nodes.push(self.prepare(key, depends));
        }
        let mut ids = BTreeSet::new();
        for (id, _) in &nodes {
            self.check(*id, ids.insert(*id))?;
            self.check_vacant(*id)?;
        }
        let f = Rc::new(f);
        for (id, depends) in nodes {
            let f = Rc::clone(&f);
            Task::start(&self.graph, id, &depends, Location::caller(), move |inputs| f(inputs));
        }
        Ok(())
    }

    /// Gives a key its result, and wakes who waits for it.
    ///
    /// A node may post the result of its own key before it ends; what it returns then counts for nothing.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("double", ["input"], |mut inputs| inputs.next().unwrap().1 * 2).unwrap();
    /// dag.post("input", 21).unwrap();
    /// assert_eq!(dag.wait_one("double").unwrap(), 42);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Collision`] when the key has a result already, or a node that is not the caller.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn post(&self, key: K, value: V) -> Result<(), Collision<K>> {
        self.give(key, false, |_| Ok(Rc::new(value)))
    }

    /// [`post`](Self::post) that also replaces a result that is there.
    ///
    /// Who has that one keeps it; who has not gets the new one.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 1)]);
    /// dag.replace("a", 2).unwrap();
    /// assert_eq!(dag.wait_one("a").unwrap(), 2);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Collision`] when the key has a node that is not the caller.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn replace(&self, key: K, value: V) -> Result<(), Collision<K>> {
        self.give(key, true, |_| Ok(Rc::new(value)))
    }

    /// Says that there will be no result for a key: what a green thread that is no node died of, say.
    ///
    /// ```
    /// let dag: evy_pool::DagPool<&str, u32> = evy_pool::DagPool::new([]);
    /// let producer = evy_runtime::spawn(|| panic!("no data"));
    /// match producer.wait() {
    ///     Ok(value) => dag.post("input", value).unwrap(),
    ///     Err(died) => dag.post_error("input", died).unwrap(),
    /// }
    /// assert_eq!(dag.wait_one("input").unwrap_err().died().to_string(), "green thread panicked: no data");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    ///
    /// # Yields
    ///
    /// Never.
    pub fn post_error(&self, key: K, died: Died) -> Result<(), Collision<K>> {
        self.give(key, false, |key| Err(PropagateError::new(key, Cause::Died(died))))
    }

    /// Waits for the results of some keys, and returns them.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 1)]);
    /// dag.spawn("b", ["a"], |mut inputs| inputs.next().unwrap().1 + 1).unwrap();
    /// let results = dag.wait(["a", "b"]).unwrap();
    /// assert_eq!((results["a"], results["b"]), (1, 2));
    /// ```
    ///
    /// # Errors
    ///
    /// The first failure among them, as soon as it is there.
    ///
    /// # Panics
    ///
    /// When a node waits for its own result.
    ///
    /// # Yields
    ///
    /// Until all the results, or one failure, are there; not if they are.
    #[track_caller]
    pub fn wait(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<HashMap<K, V>, PropagateError<K>> {
        self.wait_each(keys).map(|(key, result)| Ok((key, result?))).collect()
    }

    /// Waits for the result of one key, and returns it.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("a", [], |_| 7).unwrap();
    /// assert_eq!(dag.wait_one("a").unwrap(), 7);
    /// ```
    ///
    /// # Errors
    ///
    /// [`PropagateError`] when the key's node failed.
    ///
    /// # Panics
    ///
    /// When a node waits for its own result.
    ///
    /// # Yields
    ///
    /// Until the result is there; not if it is.
    #[doc(alias = "__getitem__")]
    #[track_caller]
    pub fn wait_one(&self, key: K) -> Result<V, PropagateError<K>> {
        let (_, result) = self.wait_each([key]).next().expect("there is one for each key");
        result
    }

    /// Returns an iterator over the results of some keys that gives each, or its failure, as soon as it is
    /// there.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 1)]);
    /// dag.spawn("b", [], |_| 2).unwrap();
    /// dag.spawn("c", [], |_| panic!("no data")).unwrap();
    /// // All that have a result, or are to have one.
    /// let keys = dag.keys().into_iter().chain(dag.running_keys());
    /// let (good, bad): (Vec<_>, Vec<_>) = dag.wait_each(keys).partition(|(_, result)| result.is_ok());
    /// assert_eq!((good.len(), bad[0].0), (2, "c"));
    /// ```
    ///
    /// # Panics
    ///
    /// When a node waits for its own result.
    ///
    /// # Yields
    ///
    /// Never; [`DagResults`]' `next` does.
    #[doc(alias = "wait_each_success")]
    #[doc(alias = "wait_each_exception")]
    #[track_caller]
    pub fn wait_each(&self, keys: impl IntoIterator<Item = K>) -> DagResults<K, V> {
        let ids = self.add_keys(keys);
        let is_own = ids.iter().any(|id| self.graph.is_for_caller_to_give(*id));
        assert!(!is_own, "a node of a DagPool cannot wait for its own result");
        DagResults::new(&self.graph, &ids)
    }

    /// Waits until no node runs, and returns all results. Nodes that nodes spawn count.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([(0, 1)]);
    /// for n in 1..=10 {
    ///     dag.spawn(n, [n - 1], |mut inputs| inputs.next().unwrap().1 * 2).unwrap();
    /// }
    /// assert_eq!(dag.waitall().unwrap()[&10], 1024);
    /// ```
    ///
    /// # Errors
    ///
    /// The first failure that there was.
    ///
    /// # Panics
    ///
    /// When a node of the pool calls it, which could never return.
    ///
    /// # Yields
    ///
    /// Until no node runs; not if none does.
    #[track_caller]
    pub fn waitall(&self) -> Result<HashMap<K, V>, PropagateError<K>> {
        let is_node = self.graph.is_node();
        assert!(!is_node, "a node of a DagPool cannot wait for the end of all of them");
        self.graph.wait_for_ends();
        let arrived = self.graph.arrived();
        let failed = arrived.iter().find_map(|id| self.graph.result(*id)?.err());
        if let Some(error) = failed {
            return Err(error);
        }
        let results = arrived.into_iter().map(|id| (self.key(id), self.graph.result(id)));
        let results =
            results.filter_map(|(key, result)| Some((key, result?.map(|value| V::clone(&value)))));
        results.map(|(key, result)| Ok((key, result?))).collect()
    }

    /// The result of a key, if it is there.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 1)]);
    /// assert_eq!(dag.get(&"a").unwrap().unwrap(), 1);
    /// assert!(dag.get(&"b").is_none());
    /// ```
    ///
    /// # Errors
    ///
    /// [`PropagateError`] when the key's node failed.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get(&self, key: &K) -> Option<Result<V, PropagateError<K>>> {
        let result = self.graph.result(self.graph.find_key(key)?)?;
        Some(result.map(|value| V::clone(&value)))
    }

    /// The keys that have a result or have failed, in the order in which that was so.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("b", 1)]);
    /// dag.post("a", 2).unwrap();
    /// assert_eq!(dag.keys(), ["b", "a"]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keys(&self) -> Vec<K> {
        self.keys_of(self.graph.arrived())
    }

    /// The number of nodes that run, those that wait for results included.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("a", [], |_| 1).unwrap();
    /// assert_eq!(dag.running(), 1);
    /// dag.waitall().unwrap();
    /// assert_eq!(dag.running(), 0);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn running(&self) -> usize {
        self.graph.running()
    }

    /// The keys of the nodes that run, in the order in which these were spawned.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("b", ["a"], |mut inputs| inputs.next().unwrap().1).unwrap();
    /// dag.spawn("a", [], |_| 1).unwrap();
    /// assert_eq!(dag.running_keys(), ["b", "a"]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn running_keys(&self) -> Vec<K> {
        self.keys_of(self.graph.running_keys())
    }

    /// The number of nodes that depend on something which is not there yet. Others than nodes that wait do
    /// not count.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("b", ["a"], |mut inputs| inputs.next().unwrap().1).unwrap();
    /// assert_eq!(dag.waiting(), 1);
    /// dag.post("a", 1).unwrap();
    /// assert_eq!(dag.waiting(), 0);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn waiting(&self) -> usize {
        self.graph.waiting()
    }

    /// What a node depends on that is not there yet; nothing, if it has its result. `None` where the key has
    /// neither a node nor a result.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("a", 1)]);
    /// dag.spawn("c", ["a", "b"], |inputs| inputs.map(|(_, value)| value).sum()).unwrap();
    /// assert_eq!(dag.waiting_for(&"c"), Some(vec!["b"]));
    /// assert_eq!(dag.waiting_for(&"a"), Some(vec![]));
    /// assert_eq!(dag.waiting_for(&"b"), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn waiting_for(&self, key: &K) -> Option<Vec<K>> {
        self.graph.waiting_for(self.graph.find_key(key)?).map(|ids| self.keys_of(ids))
    }

    /// Kills the node of a key, and forgets it: the key can be spawned again, or posted, and who waits for
    /// it goes on waiting. `false` if no node of that key runs.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn("a", [], |_| 1).unwrap();
    /// assert!(dag.kill(&"a"));
    /// assert!(!dag.kill(&"a"));
    /// dag.post("a", 2).unwrap();
    /// assert_eq!(dag.wait_one("a").unwrap(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Until the node has ended or is suspended again; while the caller unwinds it only schedules the kill.
    pub fn kill(&self, key: &K) -> bool {
        let Some(id) = self.graph.find_key(key) else { return false };
        let Some(thread) = self.graph.forget(id) else { return false };
        kill(thread);
        true
    }

    fn key(&self, id: KeyId) -> K {
        K::clone(&self.graph.key(id))
    }

    fn keys_of(&self, ids: Vec<KeyId>) -> Vec<K> {
        ids.into_iter().map(|id| self.key(id)).collect()
    }

    /// The numbers of some keys, each once.
    fn add_keys(&self, keys: impl IntoIterator<Item = K>) -> Vec<KeyId> {
        let mut seen = BTreeSet::new();
        let ids = keys.into_iter().map(|key| self.graph.add_key(key));
        ids.filter(|id| seen.insert(*id)).collect()
    }

    /// The numbers of a node's key and of its dependencies.
    #[track_caller]
    fn prepare(&self, key: K, depends: impl IntoIterator<Item = K>) -> (KeyId, Vec<KeyId>) {
        let id = self.graph.add_key(key);
        let depends = self.add_keys(depends);
        assert!(!depends.contains(&id), "a node of a DagPool cannot depend on itself");
        (id, depends)
    }

    fn check_vacant(&self, id: KeyId) -> Result<(), Collision<K>> {
        self.check(id, self.graph.is_vacant(id))
    }

    fn check(&self, id: KeyId, is_good: bool) -> Result<(), Collision<K>> {
        if is_good { Ok(()) } else { Err(Collision { key: self.key(id) }) }
    }

    fn give(
        &self,
        key: K,
        replace: bool,
        outcome: impl FnOnce(Rc<K>) -> Outcome<K, V>,
    ) -> Result<(), Collision<K>> {
        let id = self.graph.add_key(key);
        self.check(id, self.graph.may_post(id, replace))?;
        self.graph.arrive(id, outcome(self.graph.key(id)));
        Ok(())
    }
}

impl<K, V> Clone for DagPool<K, V> {
    fn clone(&self) -> Self {
        Self { graph: Rc::clone(&self.graph) }
    }
}

impl<K: Hash + Eq + Clone + 'static, V: Clone + 'static> Default for DagPool<K, V> {
    /// A pool without results.
    fn default() -> Self {
        Self::new([])
    }
}

impl<K, V> fmt::Debug for DagPool<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DagPool")
            .field("running", &self.graph.running())
            .field("waiting", &self.graph.waiting())
            .finish_non_exhaustive()
    }
}
