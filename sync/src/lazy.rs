//! A value that is made when it is first used.

use std::fmt;
use std::ops::Deref;

use crate::OnceCell;

/// A value that is made when it is first used: [`std::cell::LazyCell`], but that the function which
/// makes it may park.
///
/// The function is a `Fn`: one that panics or is killed, or cut off by a `timeout`, is run again by the
/// next who wants the value. A std `LazyLock` would be poisoned, and one whose function parks hangs the
/// OS thread.
///
/// ```
/// use evy_sync::Lazy;
///
/// let lazy = Lazy::new(|| {
///     evy_runtime::yield_now();
///     6 * 7
/// });
/// assert_eq!(*lazy, 42);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let lazy = evy_sync::Lazy::new(|| 1);
/// std::thread::spawn(move || *lazy);
/// ```
#[doc(alias("LazyCell", "LazyLock"))]
pub struct Lazy<T, F = fn() -> T> {
    cell: OnceCell<T>,
    make: F,
}

impl<T, F: Fn() -> T> Lazy<T, F> {
    /// A value that `f` will make.
    ///
    /// ```
    /// let lazy: evy_sync::Lazy<u32> = evy_sync::Lazy::new(|| 1);
    /// assert_eq!(*lazy, 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(f: F) -> Self {
        Self { cell: OnceCell::new(), make: f }
    }

    /// Makes the value if need be. `*lazy` does so, too.
    ///
    /// ```
    /// use evy_sync::Lazy;
    ///
    /// let lazy = Lazy::new(|| 1);
    /// assert_eq!(Lazy::force(&lazy), &1);
    /// ```
    ///
    /// # Panics
    ///
    /// When the function does, or asks for the value itself.
    ///
    /// # Yields
    ///
    /// While another green thread makes the value; not by itself if there is one, or if nobody does.
    #[inline]
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(&this.make)
    }
}

impl<T, F: Fn() -> T> Deref for Lazy<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for Lazy<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_tuple("Lazy");
        match self.cell.get() {
            Some(value) => f.field(value),
            None => f.field(&format_args!("<uninit>")),
        };
        f.finish()
    }
}
