//! What can be set for a pool of resources.

use std::fmt;
use std::time::Duration;

use super::stock::Rules;
use super::{Create, ResourcePool};

/// How many resources a pool has if nobody says otherwise.
const DEFAULT_MAX: usize = 4;

/// A [`ResourcePool`] in the making.
///
/// What is not set: no resources made ahead, at most 4, the one that was given back first comes next,
/// none is ever too old, all are taken for good, and a drop during an unwind discards.
///
/// `create` comes first, in [`ResourcePool::builder`], so that the other closures' parameters need no
/// types.
///
/// ```
/// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(Vec::<u8>::with_capacity(4096)))
///     .max(100)
///     .lifo()
///     .recycle(|buffer| {
///         buffer.clear();
///         true
///     })
///     .build()?;
/// pool.get()?.extend_from_slice(b"something");
/// assert!(pool.get()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct ResourcePoolBuilder<R: 'static, E: 'static> {
    create: Create<R, E>,
    max: usize,
    rules: Rules<R>,
}

impl<R: 'static, E: 'static> ResourcePoolBuilder<R, E> {
    pub(super) fn new(create: Create<R, E>) -> Self {
        Self { create, max: DEFAULT_MAX, rules: Rules::default() }
    }

    /// How many resources [`build`](Self::build) and [`ResourcePool::fill`] make ahead; never more than
    /// may exist. At first 0.
    ///
    /// It is not kept up by itself: a resource that fails or expires is made again when it is needed.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7)).min(3).build()?;
    /// assert_eq!(pool.idle(), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "min_size")]
    pub fn min(mut self, min: usize) -> Self {
        self.rules.min = min;
        self
    }

    /// How many resources may exist. At first 4.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7)).max(20).build()?;
    /// assert_eq!(pool.free(), 20);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "max_size")]
    pub fn max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Of the idle resources the one that was given back first comes next, so that all take turns and none
    /// lies about unseen. This is how it is at first.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(String::new())).fifo().build()?;
    /// let [mut first, second] = [pool.get()?, pool.get()?];
    /// first.push_str("first");
    /// drop(first);
    /// drop(second);
    /// assert_eq!(*pool.get()?, "first");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn fifo(mut self) -> Self {
        self.rules.lifo = false;
        self
    }

    /// Of the idle resources the one that was given back last comes next. As few as the load needs stay in
    /// use, and with [`max_idle`](Self::max_idle) the others go.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(String::new())).lifo().build()?;
    /// let [first, mut second] = [pool.get()?, pool.get()?];
    /// second.push_str("second");
    /// drop(first);
    /// drop(second);
    /// assert_eq!(*pool.get()?, "second");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "order_as_stack")]
    pub fn lifo(mut self) -> Self {
        self.rules.lifo = true;
        self
    }

    /// A resource that nobody has used for so long is not handed out any more, but dropped (see
    /// [Expiry](ResourcePool#expiry)). With zero none is kept: the pool only bounds how many there are.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7))
    ///     .max_idle(Duration::ZERO)
    ///     .build()?;
    /// drop(pool.get()?);
    /// assert_eq!(pool.idle(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_idle(mut self, duration: Duration) -> Self {
        self.rules.max_idle = Some(duration);
        self
    }

    /// A resource that was made so long ago is not handed out any more, but dropped: at the latest when its
    /// user gives it back.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7))
    ///     .max_age(Duration::from_millis(1))
    ///     .build()?;
    /// let resource = pool.get()?;
    /// evy_runtime::sleep(Duration::from_millis(1));
    /// drop(resource);
    /// assert_eq!(pool.size(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_age(mut self, duration: Duration) -> Self {
        self.rules.max_age = Some(duration);
        self
    }

    /// Calls `validate` each time before a resource is handed out again. Where it says `false`, the resource
    /// is dropped, and the call that asked goes on with another one, if need be a new one.
    ///
    /// A server may close a connection while nobody looks; this is the place to ask it. `validate` may park.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7))
    ///     .validate(|number| *number == 7)
    ///     .build()?;
    /// *pool.get()? = 8;
    /// assert_eq!(*pool.get()?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn validate(mut self, validate: impl Fn(&mut R) -> bool + 'static) -> Self {
        self.rules.validate = Some(Box::new(validate));
        self
    }

    /// Calls `recycle` each time a resource is given back, on the green thread that does so. Where it says
    /// `false`, the resource is dropped.
    ///
    /// This is the place to undo what the last user left behind: a rollback, say. `recycle` may park; the
    /// resource is still in use meanwhile. Where it panics or is killed, the resource is dropped. It is not
    /// called for one that is dropped anyhow.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7))
    ///     .recycle(|number| *number == 7)
    ///     .build()?;
    /// *pool.get()? = 8;
    /// assert_eq!(pool.size(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "cleanup")]
    pub fn recycle(mut self, recycle: impl Fn(&mut R) -> bool + 'static) -> Self {
        self.rules.recycle = Some(Box::new(recycle));
        self
    }

    /// A resource that is dropped while its green thread panics, is killed or timed out goes back to the pool
    /// as any other, where otherwise it is dropped (see [`Pooled`](crate::Pooled)).
    ///
    /// For resources that have no state between two uses, as buffers and tokens, or whose state
    /// [`recycle`](Self::recycle) can tell and repair. Such a `recycle` is called in the middle of the
    /// unwind, where I/O does not park, but gives an error if it would have to wait.
    ///
    /// ```
    /// let tokens = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(()))
    ///     .max(1)
    ///     .keep_on_unwind()
    ///     .build()?;
    /// let user = evy_runtime::spawn({
    ///     let tokens = tokens.clone();
    ///     move || {
    ///         let _token = tokens.get();
    ///         evy_runtime::sleep(std::time::Duration::MAX);
    ///     }
    /// });
    /// evy_runtime::yield_now();
    /// user.kill();
    /// assert_eq!(tokens.idle(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keep_on_unwind(mut self) -> Self {
        self.rules.keep_on_unwind = true;
        self
    }

    /// Makes the pool, and [`min`](Self::min) resources for it, one after the other.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7)).build()?;
    /// assert_eq!(*pool.get()?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `create` failed with, if resources are to be made ahead. Those made before are dropped.
    ///
    /// # Panics
    ///
    /// With what `create` panics with.
    ///
    /// # Yields
    ///
    /// Only as `create` does, if resources are to be made ahead.
    pub fn build(self) -> Result<ResourcePool<R, E>, E> {
        let pool = ResourcePool::with_rules(self.max, self.rules, self.create);
        pool.fill()?;
        Ok(pool)
    }
}

impl<R, E> fmt::Debug for ResourcePoolBuilder<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourcePoolBuilder")
            .field("min", &self.rules.min)
            .field("max", &self.max)
            .field("lifo", &self.rules.lifo)
            .field("max_idle", &self.rules.max_idle)
            .field("max_age", &self.rules.max_age)
            .field("keep_on_unwind", &self.rules.keep_on_unwind)
            .finish_non_exhaustive()
    }
}
