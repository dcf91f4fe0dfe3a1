//! Signals of the OS: green threads that wait for them, and handlers that are green threads.
//!
//! ```
//! use evy_green_os::signal::{self, SIGINT, SIGTERM, Signals};
//!
//! let mut signals = Signals::new([SIGTERM, SIGINT])?;
//! # signal::raise(SIGTERM)?;
//! match signals.wait()? {
//!     SIGTERM => println!("asked to end"),
//!     _ => println!("Ctrl-C"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is kept, and what is not
//!
//! From [`Signals::new`] on no signal is lost: one that comes while nobody waits is there for the next
//! wait. But signals of one number that come before the first of them was seen are *one*, as they are
//! for the OS itself. Every `Signals` and every handler gets each signal, on whichever OS threads they
//! are.
//!
//! A signal that was once asked for has lost its default action for the rest of the process: when
//! nobody waits any more, SIGTERM does nothing. [`default_action`] does what the OS would have done.
//!
//! # Which there are
//!
//! The constants are the OS's numbers; any other number of the OS does too (`SIGRTMIN() + 1`), but for
//! SIGKILL, SIGSTOP, SIGILL, SIGFPE and SIGSEGV, which are `ErrorKind::InvalidInput`. Handlers that
//! somebody else has installed are called first, and go on working.

mod handler;
mod signals;

use std::borrow::Borrow;
use std::ffi::c_int;
use std::io;

pub use libc::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

pub use handler::{Handler, on};
pub use signals::Signals;

/// Waits for the first of these signals, and returns its number.
///
/// Only what comes during the call counts. Who waits more than once makes a [`Signals`], which keeps
/// what comes between two waits.
///
/// ```
/// use evy_green_os::signal::{self, SIGHUP, SIGUSR1};
///
/// let waiter = evy_runtime::spawn(|| signal::wait([SIGHUP, SIGUSR1]));
/// evy_runtime::yield_now();
/// signal::raise(SIGUSR1)?;
/// assert_eq!(waiter.wait().unwrap()?, SIGUSR1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Signals::new`] and [`Signals::wait`].
///
/// # Yields
///
/// Until a signal comes.
pub fn wait(signals: impl IntoIterator<Item: Borrow<c_int>>) -> io::Result<c_int> {
    Signals::new(signals)?.wait()
}

/// Sends a signal to this OS thread, as `raise` of C does; returns after its delivery.
///
/// ```
/// use evy_green_os::signal::{self, SIGWINCH, Signals};
///
/// let mut signals = Signals::new([SIGWINCH])?;
/// signal::raise(SIGWINCH)?;
/// assert_eq!(signals.try_wait(), Some(SIGWINCH));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for a number that is no signal.
///
/// # Yields
///
/// Never.
pub fn raise(signal: c_int) -> io::Result<()> {
    signal_hook::low_level::raise(signal)
}

/// Does what the OS does at a signal that nobody has asked for: ends or stops the process, or nothing.
///
/// For who has waited for SIGTERM, has tidied up, and wants to end as one that was ended by it, which
/// shells and supervisors can tell from an exit.
///
/// ```
/// use evy_green_os::signal::{self, SIGWINCH};
///
/// // That one does nothing by default.
/// signal::default_action(SIGWINCH)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for a number whose default action is not known.
///
/// # Yields
///
/// Never.
pub fn default_action(signal: c_int) -> io::Result<()> {
    signal_hook::low_level::emulate_default_handler(signal)
}
