//! Forks: what the parent process has made, and the child has to leave alone.
//!
//! A forked child has its own copies of the parent's descriptors, but not of what is behind them: the
//! epoll instance and the event descriptor of a hub are shared. A child that ended the registration of
//! its copy of a socket would silence the parent's, and one that wrote to the event descriptor would
//! wake the parent. So what belongs to a hub remembers the [`Generation`] of the process that made it,
//! and does nothing in a later one.
//!
//! `pthread_atfork` counts the generations, so nobody has to ask the system who he is. `vfork`, `_Fork` and
//! the bare system call tell nobody: a child that was made by these may only `exec` or `_exit`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Forks that led to this process, since its ancestors had a hub.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Counts them.
pub(crate) static COUNT: InChild = InChild::new(count);

extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Which process something was made in: this one, or one that it was forked from.
///
/// Forks are noticed from the first hub of a process on.
///
/// ```
/// use evy_hub::Generation;
///
/// let made_in = Generation::current();
/// assert!(!made_in.is_over());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// That of this process.
    ///
    /// ```
    /// use evy_hub::Generation;
    ///
    /// assert_eq!(Generation::current(), Generation::current());
    /// ```
    #[inline]
    pub fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process was forked since.
    ///
    /// ```
    /// assert!(!evy_hub::Generation::current().is_over());
    /// ```
    #[inline]
    pub fn is_over(self) -> bool {
        self != Self::current()
    }
}

/// A function that is called in every child that this process forks, before `fork` returns there.
///
/// Other OS threads do not exist in a child, and the locks that they held stay locked: the function takes
/// none. It may be called twice for one fork.
///
/// ```
/// use evy_hub::InChild;
///
/// static IN_CHILD: InChild = InChild::new(forget_the_parent);
/// extern "C" fn forget_the_parent() {}
///
/// IN_CHILD.install()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct InChild {
    function: extern "C" fn(),
    installed: AtomicBool,
}

impl InChild {
    /// One that is not called yet.
    ///
    /// ```
    /// extern "C" fn forget_the_parent() {}
    /// static IN_CHILD: evy_hub::InChild = evy_hub::InChild::new(forget_the_parent);
    /// assert!(format!("{IN_CHILD:?}").contains("installed: false"));
    /// ```
    pub const fn new(function: extern "C" fn()) -> Self {
        Self { function, installed: AtomicBool::new(false) }
    }

    /// Has it called from now on. To say so again does nothing.
    ///
    /// ```
    /// # extern "C" fn forget_the_parent() {}
    /// static IN_CHILD: evy_hub::InChild = evy_hub::InChild::new(forget_the_parent);
    /// IN_CHILD.install()?;
    /// IN_CHILD.install()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no memory to note it down.
    pub fn install(&'static self) -> io::Result<()> {
        // Two that come here at once both do it: a lock could be held by another OS thread at a fork.
        if self.installed.load(Ordering::Acquire) {
            return Ok(());
        }
        // SAFETY: the function is one that lives for ever and unwinds into nobody: it is `extern "C"`.
        match unsafe { libc::pthread_atfork(None, None, Some(self.function)) } {
            0 => {
                self.installed.store(true, Ordering::Release);
                Ok(())
            }
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
