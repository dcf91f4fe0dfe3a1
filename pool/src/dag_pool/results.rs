//! Results as they come: for the nodes that depend on them, and for everybody else.

use std::cell::Cell;
use std::fmt;
use std::iter::FusedIterator;
use std::rc::Rc;

use evy_runtime::resume_unwind;

use super::errors::PropagateError;
use super::graph::Graph;
use super::keys::KeyId;
use super::subscription::Subscription;

/// The results of some keys of a [`DagPool`](crate::DagPool), each as soon as it is there.
///
/// [`DagPool::wait_each`](crate::DagPool::wait_each) and [`DagInputs::into_results`] make one. What is there
/// at first comes in the order in which the keys were named, the others in the order in which they come.
///
/// ```
/// let dag = evy_pool::DagPool::new([("a", 1)]);
/// dag.spawn("b", [], |_| panic!("no data")).unwrap();
/// let mut results = dag.wait_each(["b", "a"]);
/// assert_eq!(results.len(), 2);
/// assert!(matches!(results.next(), Some(("a", Ok(1)))));
/// assert!(matches!(results.next(), Some(("b", Err(_)))));
/// assert!(results.next().is_none());
/// ```
///
/// # Panics
///
/// `next` with what the `clone` of a key or a result panics with.
///
/// # Yields
///
/// `next` until the next result is there; not if it is. One that is cut off by a timeout loses nothing.
#[must_use = "iterators are lazy: nobody waits for the results"]
pub struct DagResults<K: 'static, V: 'static> {
    graph: Rc<Graph<K, V>>,
    subscription: Rc<Subscription>,
}

impl<K, V> DagResults<K, V> {
    pub(super) fn new(graph: &Rc<Graph<K, V>>, keys: &[KeyId]) -> Self {
        Self { graph: Rc::clone(graph), subscription: graph.subscribe(keys) }
    }

    pub(super) fn subscription(&self) -> &Rc<Subscription> {
        &self.subscription
    }
}

impl<K: Clone, V: Clone> Iterator for DagResults<K, V> {
    type Item = (K, Result<V, PropagateError<K>>);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.subscription.wait()?;
        let (key, result) = (self.graph.key(id), self.graph.result(id));
        let result = result.expect("a result stays").map(|value| V::clone(&value));
        let item = (K::clone(&key), result);
        // Not before: what a clone panics with takes no result along.
        self.subscription.advance();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.subscription.len();
        (len, Some(len))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for DagResults<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for DagResults<K, V> {}

impl<K, V> Drop for DagResults<K, V> {
    fn drop(&mut self) {
        let pending = self.subscription.take_pending();
        self.graph.unsubscribe(self.subscription.number, &pending);
    }
}

impl<K, V> fmt::Debug for DagResults<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DagResults").field("left", &self.subscription.len()).finish_non_exhaustive()
    }
}

/// What a node of a [`DagPool`](crate::DagPool) depends on: the results, each as soon as it is there.
///
/// ```
/// let dag = evy_pool::DagPool::new([("a", 1), ("b", 20)]);
/// dag.spawn("sum", ["a", "b"], |inputs| {
///     assert_eq!(*inputs.key(), "sum");
///     inputs.map(|(_, value)| value).sum()
/// })
/// .unwrap();
/// assert_eq!(dag.wait_one("sum").unwrap(), 21);
/// ```
///
/// # Panics
///
/// Where a dependency has failed, `next` ends the node by an unwind, of which nothing is printed. The
/// node's result is then an error that has the dependency's as its cause. A node that has a use for
/// failures takes [`into_results`](Self::into_results) instead.
///
/// # Yields
///
/// `next` until the next result is there; not if it is. One that is cut off by a timeout loses nothing.
#[must_use = "iterators are lazy: nobody waits for the results"]
pub struct DagInputs<K: 'static, V: 'static> {
    key: Rc<K>,
    /// The number of the node's run.
    run: u64,
    results: DagResults<K, V>,
    /// Where the node's end finds which failure it was that ended it.
    upstream: Upstream<K>,
}

pub(super) type Upstream<K> = Rc<Cell<Option<PropagateError<K>>>>;

/// The payload of the unwind by which a failed dependency ends a node: the number of the node's run.
pub(super) struct Propagated(pub(super) u64);

impl<K, V> DagInputs<K, V> {
    pub(super) fn new(
        key: Rc<K>,
        run: u64,
        results: DagResults<K, V>,
        upstream: Upstream<K>,
    ) -> Self {
        Self { key, run, results, upstream }
    }

    /// The node's own key.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([]);
    /// dag.spawn_many([(1, []), (2, [])], |inputs| inputs.key() * 10).unwrap();
    /// assert_eq!(dag.wait_one(2).unwrap(), 20);
    /// ```
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The same results, with the failures among them as values.
    ///
    /// ```
    /// let dag = evy_pool::DagPool::new([("mirror", 2)]);
    /// dag.spawn("server", [], |_| panic!("no route")).unwrap();
    /// dag.spawn("any", ["server", "mirror"], |inputs| {
    ///     inputs.into_results().find_map(|(_, result)| result.ok()).unwrap()
    /// })
    /// .unwrap();
    /// assert_eq!(dag.wait_one("any").unwrap(), 2);
    /// ```
    pub fn into_results(self) -> DagResults<K, V> {
        self.results
    }
}

impl<K: Clone, V: Clone> Iterator for DagInputs<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let (key, result) = self.results.next()?;
        match result {
            Ok(value) => Some((key, value)),
            Err(error) => {
                self.upstream.set(Some(error));
                resume_unwind(Box::new(Propagated(self.run)))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.results.size_hint()
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for DagInputs<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for DagInputs<K, V> {}

impl<K: fmt::Debug, V> fmt::Debug for DagInputs<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DagInputs")
            .field("key", &self.key)
            .field("left", &self.results.subscription.len())
            .finish_non_exhaustive()
    }
}
