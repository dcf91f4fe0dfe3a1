//! What goes wrong with nodes, and how their dependants hear of it.

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::iter;
use std::rc::Rc;

use evy_runtime::Died;

/// The key already has a result, or a node that is to give it one.
///
/// ```
/// let dag = evy_pool::DagPool::new([("a", 1)]);
/// let collision = dag.post("a", 2).unwrap_err();
/// assert_eq!(collision.key, "a");
/// assert_eq!(collision.to_string(), r#"a DagPool has "a" already"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Collision<K> {
    /// The key.
    pub key: K,
}

impl<K: Debug> Display for Collision<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a DagPool has {:?} already", self.key)
    }
}

impl<K: Debug> Error for Collision<K> {}

/// A node has no result: it panicked or was killed, or did not get past the failure of one that it depends
/// on.
///
/// The text has the whole chain. A clone is the same error, shared.
///
/// ```
/// use evy_pool::DagPool;
///
/// let dag: DagPool<&str, u32> = DagPool::new([]);
/// dag.spawn("a", [], |_| panic!("no data")).unwrap();
/// dag.spawn("b", ["a"], |inputs| inputs.map(|(_, value)| value).sum()).unwrap();
/// let error = dag.wait_one("b").unwrap_err();
/// assert_eq!(*error.key(), "b");
/// assert_eq!(error.keys().collect::<Vec<_>>(), [&"b", &"a"]);
/// assert_eq!(error.died().to_string(), "green thread panicked: no data");
/// assert_eq!(
///     error.to_string(),
///     r#""b" has no result, for "a" has none: green thread panicked: no data"#
/// );
/// ```
pub struct PropagateError<K> {
    failure: Rc<Failure<K>>,
}

struct Failure<K> {
    key: Rc<K>,
    cause: Cause<K>,
}

pub(super) enum Cause<K> {
    Died(Died),
    /// The failure of a node that it depends on.
    Upstream(PropagateError<K>),
}

impl<K> PropagateError<K> {
    pub(super) fn new(key: Rc<K>, cause: Cause<K>) -> Self {
        Self { failure: Rc::new(Failure { key, cause }) }
    }

    /// The key that has no result.
    ///
    /// ```
    /// let dag: evy_pool::DagPool<&str, u32> = evy_pool::DagPool::new([]);
    /// dag.post_error("a", evy_runtime::Died::Killed).unwrap();
    /// assert_eq!(*dag.wait_one("a").unwrap_err().key(), "a");
    /// ```
    pub fn key(&self) -> &K {
        &self.failure.key
    }

    /// The failure of a node it depends on, if that was the cause. [`source`](Error::source) is this, or
    /// else [`died`](Self::died).
    ///
    /// ```
    /// let dag: evy_pool::DagPool<&str, u32> = evy_pool::DagPool::new([]);
    /// dag.post_error("a", evy_runtime::Died::Killed).unwrap();
    /// dag.spawn("b", ["a"], |inputs| inputs.map(|(_, value)| value).sum()).unwrap();
    /// let error = dag.wait_one("b").unwrap_err();
    /// let upstream = error.upstream().unwrap();
    /// assert_eq!(*upstream.key(), "a");
    /// assert!(upstream.upstream().is_none());
    /// ```
    pub fn upstream(&self) -> Option<&Self> {
        match &self.failure.cause {
            Cause::Died(_) => None,
            Cause::Upstream(upstream) => Some(upstream),
        }
    }

    /// The keys that this went through: first this one's own, last the one where it began.
    ///
    /// ```
    /// let dag: evy_pool::DagPool<u32, u32> = evy_pool::DagPool::new([]);
    /// dag.post_error(0, evy_runtime::Died::Killed).unwrap();
    /// for n in 1..=3 {
    ///     dag.spawn(n, [n - 1], |inputs| inputs.map(|(_, value)| value).sum()).unwrap();
    /// }
    /// let error = dag.wait_one(3).unwrap_err();
    /// assert_eq!(error.keys().copied().collect::<Vec<_>>(), [3, 2, 1, 0]);
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.chain().map(Self::key)
    }

    /// What became of the node where it began.
    ///
    /// ```
    /// let dag: evy_pool::DagPool<&str, u32> = evy_pool::DagPool::new([]);
    /// dag.spawn("a", [], |_| panic!("no data")).unwrap();
    /// let error = dag.waitall().unwrap_err();
    /// assert!(matches!(error.died(), evy_runtime::Died::Panicked(_)));
    /// ```
    pub fn died(&self) -> &Died {
        let origin = self.chain().last().expect("the chain has at least this");
        match &origin.failure.cause {
            Cause::Died(died) => died,
            Cause::Upstream(_) => unreachable!("the last has nothing upstream"),
        }
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |error| error.upstream())
    }
}

impl<K> Clone for PropagateError<K> {
    fn clone(&self) -> Self {
        Self { failure: Rc::clone(&self.failure) }
    }
}

impl<K: Debug> Debug for PropagateError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateError")
            .field("keys", &self.keys().collect::<Vec<_>>())
            .field("died", self.died())
            .finish()
    }
}

impl<K: Debug> Display for PropagateError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} has no result", self.key())?;
        for key in self.keys().skip(1) {
            write!(f, ", for {key:?} has none")?;
        }
        write!(f, ": {}", self.died())
    }
}

impl<K: Debug + 'static> Error for PropagateError<K> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure.cause {
            Cause::Died(died) => Some(died),
            Cause::Upstream(upstream) => Some(upstream),
        }
    }
}

/// A long chain must not be dropped by recursion: a stack is small.
impl<K> Drop for Failure<K> {
    fn drop(&mut self) {
        let mut cause = std::mem::replace(&mut self.cause, Cause::Died(Died::Killed));
        while let Cause::Upstream(upstream) = cause {
            let Some(mut failure) = Rc::into_inner(upstream.failure) else { return };
            cause = std::mem::replace(&mut failure.cause, Cause::Died(Died::Killed));
        }
    }
}
