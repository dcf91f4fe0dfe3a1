//! A resource in use.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::stock::Lease;

/// A resource of a [`ResourcePool`](crate::ResourcePool), which it goes back to when this is dropped.
///
/// ```
/// let pool: evy_pool::ResourcePool<Vec<u32>> = evy_pool::ResourcePool::new(1, || Ok(Vec::new()));
/// let mut numbers = pool.get()?;
/// numbers.push(1);
/// assert_eq!(numbers.len(), 1);
/// drop(numbers);
/// assert_eq!(pool.idle(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # When its green thread panics or is killed
///
/// Then nobody knows what the resource was in the middle of: a connection may have sent half a request, or
/// have an answer on its way that the next user would take for its own. So a resource that is dropped
/// during an unwind is dropped for good, and its slot is free for a new one.
///
/// ```
/// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
/// let user = evy_runtime::spawn({
///     let pool = pool.clone();
///     move || {
///         let _in_use = pool.get();
///         evy_runtime::sleep(std::time::Duration::MAX);
///     }
/// });
/// evy_runtime::yield_now();
/// user.kill();
/// assert_eq!((pool.size(), pool.free()), (0, 1));
/// ```
///
/// [`keep_on_unwind`](crate::ResourcePoolBuilder::keep_on_unwind) is for resources to which this does not
/// apply. [`std::thread::panicking`] decides, which is true as well while *another* green thread is
/// suspended in the middle of unwinding (a destructor that waits for a lock); a resource that is dropped
/// then is lost, too. [`ResourcePool::put`](crate::ResourcePool::put) keeps it always.
///
/// # Panics
///
/// The drop with what `recycle` or a destructor of a resource panics with; what `recycle` panics with while
/// its green thread unwinds is only counted as a `false`.
///
/// # Yields
///
/// The drop only as `recycle` and destructors of resources do.
///
/// It belongs to the OS thread of its pool:
///
/// ```compile_fail,E0277
/// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
/// let resource = pool.get().unwrap();
/// std::thread::spawn(move || *resource);
/// ```
#[must_use = "a resource that is dropped at once goes back to its pool"]
pub struct Pooled<R: 'static> {
    /// `None` only while this is being taken apart.
    lease: Option<Lease<R>>,
}

impl<R> Pooled<R> {
    pub(super) fn new(lease: Lease<R>) -> Self {
        Self { lease: Some(lease) }
    }

    /// Takes the resource out of the pool for good. Its slot is free: the pool may make another.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
    /// let mine: u32 = pool.get()?.detach();
    /// assert_eq!((mine, pool.size()), (7, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn detach(mut self) -> R {
        self.take().detach()
    }

    /// Drops the resource instead of giving it back, and then frees its slot: for one that is known to be
    /// bad.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
    /// pool.get()?.discard();
    /// assert_eq!((pool.size(), pool.idle()), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what the resource's destructor panics with.
    ///
    /// # Yields
    ///
    /// Only as the resource's destructor does.
    pub fn discard(mut self) {
        self.take().end();
    }

    pub(super) fn put(mut self) {
        self.take().give_back();
    }

    /// Puts a new resource into the pool that nobody has used.
    pub(super) fn store(mut self) {
        self.take().store();
    }

    fn take(&mut self) -> Lease<R> {
        self.lease.take().expect("it is taken apart once")
    }
}

impl<R> Deref for Pooled<R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.lease.as_ref().expect("it is whole while somebody has it").resource()
    }
}

impl<R> DerefMut for Pooled<R> {
    fn deref_mut(&mut self) -> &mut R {
        self.lease.as_mut().expect("it is whole while somebody has it").resource_mut()
    }
}

impl<R> Drop for Pooled<R> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back_or_discard();
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Pooled<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}

impl<R: fmt::Display> fmt::Display for Pooled<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
