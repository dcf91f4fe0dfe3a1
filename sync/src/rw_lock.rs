//! A lock around a value that many read and one writes.
//!
//! One line for both kinds, so that nobody starves: a reader that comes while a writer waits goes behind
//! it. What each one in the line wants is kept beside the line, in the same order; whoever leaves the
//! line takes its wish out, and lets those behind it in if it was what they waited for.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use evy_runtime::{Reason, TimedOut, WaitList};

use crate::WouldBlock;

const READ: Reason = Reason::new(&"a RwLock, to read");
const WRITE: Reason = Reason::new(&"a RwLock, to write");

/// A value that any number of green threads read at a time, or one writes, also across calls that park.
///
/// Whoever waits is let in, in the order of the calls: a writer alone, readers together with the readers
/// that follow them. Readers that come while a writer waits go behind it; so a green thread that reads
/// and wants to read once more may wait for ever. One that was let in and is killed before it goes on
/// lets the next ones in.
///
/// It is never poisoned, as [`Mutex`](crate::Mutex) is not.
///
/// ```
/// let lock = evy_sync::RwLock::new(1);
/// {
///     let (one, other) = (lock.read(), lock.read());
///     assert_eq!(*one + *other, 2);
/// }
/// *lock.write() += 1;
/// assert_eq!(*lock.read(), 2);
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let lock = evy_sync::RwLock::new(1);
/// std::thread::spawn(move || *lock.read());
/// ```
pub struct RwLock<T: ?Sized> {
    access: Access,
    /// Borrowed by guards alone.
    value: RefCell<T>,
}

/// Who is in, and who waits.
struct Access {
    /// How many read. One that was let in and has not gone on yet counts.
    readers: Cell<usize>,
    /// Whether somebody writes, counted so, too.
    writing: Cell<bool>,
    line: WaitList,
    /// What those in the line want, in the same order.
    wishes: RefCell<VecDeque<Wish>>,
    next_number: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Wish {
    number: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

impl<T> RwLock<T> {
    /// An unlocked one.
    ///
    /// ```
    /// assert_eq!(*evy_sync::RwLock::new(1).read(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new(value: T) -> Self {
        Self { access: Access::new(), value: RefCell::new(value) }
    }

    /// The value.
    ///
    /// ```
    /// assert_eq!(evy_sync::RwLock::new(1).into_inner(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and nobody waits who came earlier.
    ///
    /// ```
    /// assert_eq!(*evy_sync::RwLock::new(1).read(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// While somebody writes or waits to write.
    #[inline(always)]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.access.enter(Kind::Read, None).expect("there is no deadline");
        self.read_guard()
    }

    /// Waits until nobody reads or writes, and nobody waits who came earlier.
    ///
    /// ```
    /// let lock = evy_sync::RwLock::new(1);
    /// *lock.write() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// While somebody reads or writes.
    #[inline(always)]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.access.enter(Kind::Write, None).expect("there is no deadline");
        self.write_guard()
    }

    /// [`read`](Self::read) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{RwLock, TimedOut};
    ///
    /// let lock = RwLock::new(1);
    /// let guard = lock.write();
    /// assert_eq!(lock.read_timeout(Duration::from_millis(1)).unwrap_err(), TimedOut);
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`read`](Self::read).
    pub fn read_timeout(&self, timeout: Duration) -> Result<RwLockReadGuard<'_, T>, TimedOut> {
        self.access.enter(Kind::Read, Some(timeout))?;
        Ok(self.read_guard())
    }

    /// [`write`](Self::write) that waits up to `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_sync::{RwLock, TimedOut};
    ///
    /// let lock = RwLock::new(1);
    /// let guard = lock.read();
    /// assert_eq!(lock.write_timeout(Duration::from_millis(1)).unwrap_err(), TimedOut);
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Yields
    ///
    /// As [`write`](Self::write).
    pub fn write_timeout(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_, T>, TimedOut> {
        self.access.enter(Kind::Write, Some(timeout))?;
        Ok(self.write_guard())
    }

    /// Locks it to read if that needs no wait.
    ///
    /// ```
    /// let lock = evy_sync::RwLock::new(1);
    /// let guard = lock.write();
    /// assert!(lock.try_read().is_err());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if somebody writes or waits to write.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        if self.access.try_enter(Kind::Read) { Ok(self.read_guard()) } else { Err(WouldBlock) }
    }

    /// Locks it to write if that needs no wait.
    ///
    /// ```
    /// let lock = evy_sync::RwLock::new(1);
    /// let guard = lock.read();
    /// assert!(lock.try_write().is_err());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if somebody reads or writes.
    ///
    /// # Yields
    ///
    /// Never.
    #[inline(always)]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        if self.access.try_enter(Kind::Write) { Ok(self.write_guard()) } else { Err(WouldBlock) }
    }

    /// The value, which nobody else can hold.
    ///
    /// ```
    /// let mut lock = evy_sync::RwLock::new(1);
    /// *lock.get_mut() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline(always)]
    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { access: &self.access, value: self.value.borrow() }
    }

    #[inline(always)]
    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { access: &self.access, value: self.value.borrow_mut() }
    }
}

impl Access {
    const fn new() -> Self {
        Self {
            readers: Cell::new(0),
            writing: Cell::new(false),
            line: WaitList::new(),
            wishes: RefCell::new(VecDeque::new()),
            next_number: Cell::new(0),
        }
    }

    #[inline(always)]
    fn enter(&self, kind: Kind, timeout: Option<Duration>) -> Result<(), TimedOut> {
        if self.try_enter(kind) { Ok(()) } else { self.wait(kind, timeout) }
    }

    #[inline(always)]
    fn try_enter(&self, kind: Kind) -> bool {
        let enters = self.line.is_empty() && self.has_room_for(kind);
        if enters {
            self.count_in(kind);
        }
        enters
    }

    #[inline(always)]
    fn has_room_for(&self, kind: Kind) -> bool {
        !self.writing.get() && (kind == Kind::Read || self.readers.get() == 0)
    }

    #[inline(always)]
    fn count_in(&self, kind: Kind) {
        match kind {
            Kind::Read => self.readers.set(self.readers.get() + 1),
            Kind::Write => self.writing.set(true),
        }
    }

    #[inline(always)]
    fn wait(&self, kind: Kind, timeout: Option<Duration>) -> Result<(), TimedOut> {
        let wish = Wish { number: self.next_number.get(), kind };
        self.next_number.set(wish.number + 1);
        self.wishes.borrow_mut().push_back(wish);
        let _leaving = Leaving { access: self, wish };
        let reason = if kind == Kind::Read { READ } else { WRITE };
        self.line.wait(reason, timeout, || self.leave(kind))
    }

    #[inline(always)]
    fn leave(&self, kind: Kind) {
        match kind {
            Kind::Read => self.readers.set(self.readers.get() - 1),
            Kind::Write => self.writing.set(false),
        }
        self.let_in();
    }

    /// Lets the first ones in line in, as far as there is room.
    #[inline(always)]
    fn let_in(&self) {
        if !self.line.is_empty() {
            self.let_some_in();
        }
    }

    #[cold]
    fn let_some_in(&self) {
        while let Some(kind) = self.first_kind().filter(|kind| self.has_room_for(*kind)) {
            self.wishes.borrow_mut().pop_front();
            self.count_in(kind);
            let woken = self.line.wake_one();
            debug_assert!(woken, "there is a wish for each in the line");
        }
    }

    fn first_kind(&self) -> Option<Kind> {
        self.wishes.borrow().front().map(|wish| wish.kind)
    }
}

/// One that waits: when its wait ends otherwise than by being let in, its wish goes with it.
struct Leaving<'a> {
    access: &'a Access,
    wish: Wish,
}

impl Drop for Leaving<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let mut wishes = self.access.wishes.borrow_mut();
        if let Ok(at) = wishes.binary_search_by_key(&self.wish.number, |wish| wish.number) {
            wishes.remove(at);
            drop(wishes);
            self.access.let_in();
        }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => f.field("value", &&*guard),
            Err(WouldBlock) => f.field("value", &format_args!("<locked>")),
        };
        f.finish_non_exhaustive()
    }
}

/// The lock of a [`RwLock`] to read, and its value; dropped, it unlocks.
///
/// ```
/// let lock = evy_sync::RwLock::new(1);
/// let guard = lock.read();
/// assert_eq!(*guard, 1);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    access: &'a Access,
    /// Ends after the lock has passed on, which runs nobody yet.
    value: Ref<'a, T>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.access.leave(Kind::Read);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The lock of a [`RwLock`] to write, and its value; dropped, it unlocks.
///
/// ```
/// let lock = evy_sync::RwLock::new(1);
/// let mut guard = lock.write();
/// *guard += 1;
/// assert_eq!(*guard, 2);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    access: &'a Access,
    /// Ends after the lock has passed on, which runs nobody yet.
    value: RefMut<'a, T>,
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.access.leave(Kind::Write);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
