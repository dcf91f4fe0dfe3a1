//! A node's green thread, from its start to what it leaves in the graph.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use evy_runtime::{Builder, Died, Killed};

use super::errors::{Cause, PropagateError};
use super::graph::{Graph, Outcome};
use super::keys::KeyId;
use super::results::{DagInputs, DagResults, Propagated, Upstream};

/// What a node's green thread captures. Where it never runs, its function is dropped before its end.
pub(super) struct Task<F, K: 'static, V: 'static> {
    f: F,
    inputs: DagInputs<K, V>,
    ending: Ending<K, V>,
}

impl<F, K: 'static, V: 'static> Task<F, K, V>
where
    F: FnOnce(DagInputs<K, V>) -> V + 'static,
{
    /// Starts the node of a vacant key.
    pub(super) fn start(
        graph: &Rc<Graph<K, V>>,
        id: KeyId,
        depends: &[KeyId],
        location: &'static Location<'static>,
        f: F,
    ) {
        let number = graph.new_number();
        let results = DagResults::new(graph, depends);
        let subscription = Rc::clone(results.subscription());
        let upstream = Upstream::default();
        let inputs = DagInputs::new(graph.key(id), number, results, Rc::clone(&upstream));
        let task =
            Self { f, inputs, ending: Ending { graph: Rc::clone(graph), id, number, upstream } };
        // Where this fails, no run has the number, and the end of the task counts for nothing.
        let thread = match Builder::new().location(location).spawn(move || task.run()) {
            Ok(thread) => thread.id(),
            Err(error) => crate::green_pool::refuse(&error),
        };
        graph.begin(id, number, thread, subscription);
    }

    fn run(self) {
        let Self { f, inputs, ending } = self;
        match catch_unwind(AssertUnwindSafe(|| f(inputs))) {
            Ok(value) => ending.leave(|| Ok(Rc::new(value))),
            Err(payload) => ending.fail(payload),
        }
    }
}

/// The end of a node. Dropped, it says that the node was killed.
struct Ending<K: 'static, V: 'static> {
    graph: Rc<Graph<K, V>>,
    id: KeyId,
    number: u64,
    /// The failure that ended it, if it was one.
    upstream: Upstream<K>,
}

impl<K, V> Ending<K, V> {
    fn leave(&self, outcome: impl FnOnce() -> Outcome<K, V>) {
        self.graph.end(self.id, self.number, outcome);
    }

    fn fail(self, payload: Box<dyn Any + Send>) {
        if payload.is::<Killed>() {
            drop(self);
            resume_unwind(payload);
        }
        let is_propagated =
            payload.downcast_ref().is_some_and(|Propagated(run)| *run == self.number);
        let cause = match self.upstream.take() {
            Some(upstream) if is_propagated => Cause::Upstream(upstream),
            _ => Cause::Died(Died::Panicked(payload)),
        };
        self.leave(|| Err(self.error(cause)));
    }

    fn error(&self, cause: Cause<K>) -> PropagateError<K> {
        PropagateError::new(self.graph.key(self.id), cause)
    }
}

impl<K, V> Drop for Ending<K, V> {
    fn drop(&mut self) {
        // One that has left its outcome is no run any more.
        self.leave(|| Err(self.error(Cause::Died(Died::Killed))));
    }
}
