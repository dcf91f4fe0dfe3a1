//! A set of signals to wait for: a mark for each, and a socket that wakes the hub.
//!
//! The OS calls the handler at any point of any OS thread, so it does two things only: it sets the
//! signal's mark, then writes a byte into a socket pair, whose other end the hub waits for. The order
//! matters: who has read the byte finds the mark. A byte for which there is no room is not missed, for
//! then there are others; a byte whose mark was taken already is a look for nothing.

use std::borrow::Borrow;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evy_runtime::io::{Attempt, Direction, GreenFd};
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level::{pipe, unregister};
use signal_hook::{SigId, flag};

/// Signals that are waited for, and those that have come and were not seen yet.
///
/// It may be moved to another OS thread, and wait there. It holds a descriptor, and one more for each
/// signal.
///
/// ```
/// use evy_green_os::signal::{self, SIGUSR1, SIGUSR2, Signals};
///
/// let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
/// signal::raise(SIGUSR2)?;
/// assert_eq!(signals.wait()?, SIGUSR2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Signals {
    /// Dropped before the reader: a handler never writes to a socket that nobody reads.
    registered: Vec<Registered>,
    /// Where the next search for a mark begins: behind the last find, so that none starves.
    next: usize,
    reader: GreenFd,
}

struct Registered {
    signal: c_int,
    /// It has come, and was not seen yet.
    mark: Arc<AtomicBool>,
    #[expect(dead_code, reason = "they are there for their drops")]
    actions: [Action; 2],
}

/// Something that the handler does; it no longer does after the drop.
struct Action(SigId);

impl Drop for Action {
    fn drop(&mut self) {
        unregister(self.0);
    }
}

impl Signals {
    /// Asks for these signals from now on: their default action is gone, and those that come are kept.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use evy_green_os::signal::{SIGHUP, Signals};
    ///
    /// let signals = Signals::new([SIGHUP])?;
    /// assert_eq!(Signals::new([9]).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # drop(signals);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no signal at all, for a number that is no signal, and for SIGKILL, SIGSTOP,
    /// SIGILL, SIGFPE and SIGSEGV, which cannot be waited for; when no descriptor is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(signals: impl IntoIterator<Item: Borrow<c_int>>) -> io::Result<Self> {
        let mut wanted = Vec::new();
        for signal in signals {
            let signal = *signal.borrow();
            if FORBIDDEN.contains(&signal) {
                return Err(invalid(format!("signal {signal} cannot be waited for")));
            }
            if !wanted.contains(&signal) {
                wanted.push(signal);
            }
        }
        if wanted.is_empty() {
            return Err(invalid("no signal to wait for".into()));
        }
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let registered = wanted.into_iter().map(|signal| Registered::new(signal, &writer));
        let registered = registered.collect::<io::Result<_>>()?;
        Ok(Self { registered, next: 0, reader: GreenFd::new(reader.into()) })
    }

    /// Waits for a signal, and returns its number: at once, if one has come since it was last seen.
    ///
    /// ```
    /// use evy_green_os::signal::{self, SIGUSR1, Signals};
    ///
    /// let mut signals = Signals::new([SIGUSR1])?;
    /// let waiter = evy_runtime::spawn(move || signals.wait());
    /// evy_runtime::yield_now();
    /// signal::raise(SIGUSR1)?;
    /// assert_eq!(waiter.wait().unwrap()?, SIGUSR1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the hub cannot wait for another descriptor; `WouldBlock` where it would have to park while
    /// the green thread unwinds.
    ///
    /// # Yields
    ///
    /// Until a signal comes.
    pub fn wait(&mut self) -> io::Result<c_int> {
        self.wait_at_most(None)
    }

    /// Waits for a signal for that long; `None` if none came.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_green_os::signal::{SIGUSR1, Signals};
    ///
    /// let mut signals = Signals::new([SIGUSR1])?;
    /// assert_eq!(signals.wait_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// # Yields
    ///
    /// Until a signal comes or the time is over.
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<c_int>> {
        match self.wait_at_most(Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            result => result.map(Some),
        }
    }

    /// Returns a signal that has come, if any, without waiting.
    ///
    /// ```
    /// use evy_green_os::signal::{self, SIGUSR1, Signals};
    ///
    /// let mut signals = Signals::new([SIGUSR1])?;
    /// assert_eq!(signals.try_wait(), None);
    /// signal::raise(SIGUSR1)?;
    /// assert_eq!(signals.try_wait(), Some(SIGUSR1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_wait(&mut self) -> Option<c_int> {
        let Self { registered, next, reader } = self;
        // A socket pair of ours gives no errors.
        look(registered, next, reader.as_fd()).ok().flatten()
    }

    fn wait_at_most(&mut self, timeout: Option<Duration>) -> io::Result<c_int> {
        let Self { registered, next, reader } = self;
        let attempt = Attempt { timeout, ..Attempt::new(Direction::Read) };
        reader.call(attempt, |fd| {
            look(registered, next, fd)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })
    }
}

impl Registered {
    fn new(signal: c_int, writer: &UnixStream) -> io::Result<Self> {
        let mark = Arc::new(AtomicBool::new(false));
        // In this order: actions are done in the order in which they were registered.
        let set_mark = Action(flag::register(signal, Arc::clone(&mark))?);
        let wake = Action(pipe::register(signal, writer.try_clone()?)?);
        Ok(Self { signal, mark, actions: [set_mark, wake] })
    }
}

/// Returns a signal that has come. The socket stays readable until there is none.
fn look(
    registered: &[Registered],
    next: &mut usize,
    fd: BorrowedFd<'_>,
) -> io::Result<Option<c_int>> {
    if let Some(signal) = take(registered, next) {
        return Ok(Some(signal));
    }
    // First the bytes, then the marks: a signal between the two leaves a byte behind.
    drain(fd)?;
    Ok(take(registered, next))
}

fn take(registered: &[Registered], next: &mut usize) -> Option<c_int> {
    let count = registered.len();
    let mut places = (*next..*next + count).map(|place| place % count);
    let place = places.find(|place| registered[*place].mark.swap(false, Ordering::AcqRel))?;
    *next = (place + 1) % count;
    Some(registered[place].signal)
}

/// Reads until nothing is left.
fn drain(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match rustix::io::read(fd, &mut bytes) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Signals as they come, for ever: each `next` is a [`wait`](Signals::wait).
impl Iterator for Signals {
    type Item = io::Result<c_int>;

    fn next(&mut self) -> Option<io::Result<c_int>> {
        Some(self.wait())
    }
}

/// Readable while a signal is there that was not seen, for who waits for other things too: then call
/// [`try_wait`](Signals::try_wait) until it gives `None`. It is not to be read from.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals = self.registered.iter().map(|registered| registered.signal);
        f.debug_set().entries(signals).finish()
    }
}
