//! Values of which each green thread has its own.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use crate::control::Thread;
use crate::on_exit::drop_quietly;
use crate::scheduler::scheduler;

/// The values of one green thread, each under the address of its `GreenLocal`.
#[derive(Default)]
pub(crate) struct Locals(Vec<(usize, Rc<dyn Any>)>);

/// Declares statics of which each green thread has its own value, as `thread_local!` does for OS
/// threads.
///
/// ```
/// use std::cell::Cell;
/// use evy_runtime::{green_local, spawn};
///
/// green_local! {
///     static REQUEST: Cell<u64> = Cell::new(0);
/// }
///
/// REQUEST.with(|request| request.set(1));
/// let other = spawn(|| REQUEST.with(|request| request.replace(2)));
/// assert_eq!(other.wait().unwrap(), 0);
/// assert_eq!(REQUEST.with(|request| request.get()), 1);
/// ```
#[doc(alias = "corolocal")]
#[macro_export]
macro_rules! green_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        $(#[$attribute])*
        $visibility static $name: $crate::GreenLocal<$type> = $crate::GreenLocal::new(|| $init);
        $crate::green_local!($($rest)*);
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr) => {
        $crate::green_local!($(#[$attribute])* $visibility static $name: $type = $init;);
    };
}

/// A static of which each green thread has its own value; [`green_local!`] declares one.
///
/// The value is made at the first use and dropped when the green thread ends. That of an OS thread's
/// own stack lives as long as the OS thread's green threads do.
///
/// ```
/// evy_runtime::green_local! { static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }
///
/// DEPTH.with(|depth| depth.set(depth.get() + 1));
/// assert_eq!(DEPTH.with(|depth| depth.get()), 1);
/// ```
pub struct GreenLocal<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> GreenLocal<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Lends the current green thread's value to `f`, making it first if need be. `f` and the
    /// initialiser may park: nobody else can get at the value.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// evy_runtime::green_local! {
    ///     static TRAIL: RefCell<Vec<&'static str>> = RefCell::default();
    /// }
    ///
    /// TRAIL.with(|trail| trail.borrow_mut().push("login"));
    /// assert_eq!(TRAIL.with(|trail| trail.borrow().len()), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Not by itself.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let thread = scheduler().current();
        let value = self.find(thread).unwrap_or_else(|| {
            let value: Rc<T> = Rc::new((self.init)());
            // The initialiser may have used this very static: the first value stays.
            self.find(thread).unwrap_or_else(|| {
                let entry = (self.key(), Rc::clone(&value) as Rc<dyn Any>);
                thread.with_extras(|extras| extras.locals.0.push(entry));
                value
            })
        });
        f(&value)
    }

    fn find(&'static self, thread: Thread) -> Option<Rc<T>> {
        let key = self.key();
        let value = thread.look_at_extras(|extras| {
            let entry = extras.locals.0.iter().find(|entry| entry.0 == key)?;
            Some(Rc::clone(&entry.1))
        })??;
        Some(value.downcast().expect("the key stands for one static, which has one type"))
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for GreenLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreenLocal").finish_non_exhaustive()
    }
}

/// Drops the values of `thread`, newest first, also those that destructors make; `false` if there
/// were none.
pub(crate) fn drop_all(thread: Thread) -> bool {
    let mut dropped = false;
    while let Some(entry) = thread.look_at_extras(|extras| extras.locals.0.pop()).flatten() {
        dropped = true;
        drop_quietly(entry);
    }
    dropped
}
