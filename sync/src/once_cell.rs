//! A value that is made once, by a function that may park.
//!
//! The right to run a function passes like a lock: from one that failed, panicked or was killed to the
//! first who waits. Who succeeds wakes all.

use std::cell::{Cell, OnceCell as Value};
use std::convert::Infallible;
use std::fmt;

use evy_runtime::{GreenThreadId, Reason, WaitList, current};

const VALUE: Reason = Reason::new(&"the value of a OnceCell");

/// A value that is set once: [`std::cell::OnceCell`], but that the function which makes it may park.
///
/// Who comes meanwhile waits for the value. If the function panics or is killed, the first who waits
/// runs its own; nothing is poisoned.
///
/// ```
/// use std::rc::Rc;
/// use std::time::Duration;
/// use evy_sync::OnceCell;
///
/// let cell = Rc::new(OnceCell::new());
/// let others = [(); 3].map(|()| {
///     let cell = Rc::clone(&cell);
///     evy_runtime::spawn(move || *cell.get_or_init(|| {
///         evy_runtime::sleep(Duration::from_millis(1)); // only one of them does
///         "hello"
///     }))
/// });
/// assert!(others.into_iter().all(|other| other.wait().unwrap() == "hello"));
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let cell = evy_sync::OnceCell::new();
/// std::thread::spawn(move || *cell.get_or_init(|| 1));
/// ```
#[doc(alias = "OnceLock")]
pub struct OnceCell<T> {
    value: Value<T>,
    turn: Cell<Turn>,
    /// While anybody waits, the turn is somebody's.
    line: WaitList,
}

/// Whose turn it is to make the value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Nobodys,
    /// It was handed to one who has not gone on yet.
    Passing,
    Of(GreenThreadId),
}

impl<T> OnceCell<T> {
    /// An empty cell.
    ///
    /// ```
    /// assert_eq!(evy_sync::OnceCell::<u32>::new().get(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { value: Value::new(), turn: Cell::new(Turn::Nobodys), line: WaitList::new() }
    }

    /// The value, if it is there.
    ///
    /// ```
    /// let cell = evy_sync::OnceCell::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there.
    ///
    /// ```
    /// let mut cell = evy_sync::OnceCell::from(1);
    /// *cell.get_mut().unwrap() = 2;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value, if there is none.
    ///
    /// ```
    /// let cell = evy_sync::OnceCell::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives `value` back if there is one.
    ///
    /// # Panics
    ///
    /// When the function that makes the value calls it.
    ///
    /// # Yields
    ///
    /// While another green thread makes the value.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("it is called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; if there is none, it is what `f` returns.
    ///
    /// ```
    /// let cell = evy_sync::OnceCell::new();
    /// assert_eq!(cell.get_or_init(|| 1), &1);
    /// assert_eq!(cell.get_or_init(|| unreachable!()), &1);
    /// ```
    ///
    /// # Panics
    ///
    /// When `f` does: the cell is empty then, and who waits runs its own function. And when `f` asks
    /// for the value itself.
    ///
    /// # Yields
    ///
    /// While another green thread makes the value; not by itself if there is one, or if nobody does.
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let value = self.get_or_try_init(|| Ok::<_, Infallible>(f()));
        match value {
            Ok(value) => value,
        }
    }

    /// The value; if there is none, it is what `f` returns, if that is `Ok`.
    ///
    /// ```
    /// let cell = evy_sync::OnceCell::new();
    /// assert_eq!(cell.get_or_try_init(|| Err("not now")), Err("not now"));
    /// assert_eq!(cell.get_or_try_init(|| Ok::<_, &str>(1)), Ok(&1));
    /// ```
    ///
    /// # Errors
    ///
    /// That of `f`: the cell is empty then, and who waits runs its own function.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](Self::get_or_init).
    ///
    /// # Yields
    ///
    /// As [`get_or_init`](Self::get_or_init).
    #[inline]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => self.make(f),
        }
    }

    /// Takes the value out; the cell is as new.
    ///
    /// ```
    /// let mut cell = evy_sync::OnceCell::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert_eq!(cell.take(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// The value, if it is there.
    ///
    /// ```
    /// assert_eq!(evy_sync::OnceCell::from(1).into_inner(), Some(1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    #[cold]
    fn make<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if self.turn.get() != Turn::Nobodys {
            let own = Turn::Of(current());
            assert!(self.turn.get() != own, "the function that makes a value asks for it");
            self.line.wait(VALUE, None, || self.pass_on()).expect("there is no deadline");
            if let Some(value) = self.get() {
                return Ok(value);
            }
        }
        self.turn.set(Turn::Of(current()));
        let making = Making(self);
        let value = f()?;
        let is_new = self.value.set(value).is_ok();
        debug_assert!(is_new, "nobody else had the turn");
        drop(making);
        Ok(self.get().expect("it was just set"))
    }

    /// The turn is over: all have the value, or the next one makes it.
    fn pass_on(&self) {
        if self.get().is_some() {
            self.turn.set(Turn::Nobodys);
            self.line.wake_all();
        } else {
            let is_wanted = self.line.wake_one();
            self.turn.set(if is_wanted { Turn::Passing } else { Turn::Nobodys });
        }
    }
}

/// A turn, passed on however it ends.
struct Making<'a, T>(&'a OnceCell<T>);

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        Self { value: Value::from(value), ..Self::new() }
    }
}

impl<T: Clone> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..Self::new() }
    }
}

impl<T: PartialEq> PartialEq for OnceCell<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceCell<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_tuple("OnceCell");
        match self.get() {
            Some(value) => f.field(value),
            None => f.field(&format_args!("<uninit>")),
        };
        f.finish()
    }
}
