//! Errors of `accept`, which are weather: most of them pass, and none may end a server that could go on.

use std::io;
use std::time::{Duration, Instant};

use evy_runtime::io::closed_descriptors;
use evy_runtime::{Listening, Reason};
use rustix::io::Errno;

/// The first pause after descriptors or memory ran out; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Without a shortage for so long, the next one is news.
const QUIET: Duration = Duration::from_secs(10);

/// Connections that had gone, one after the other, before it is taken for something that lasts.
const GONE_AT_MOST: u32 = 16;

const FREE: Reason = Reason::new(&"free descriptors or memory, to accept again");

/// Whether an error of `accept`, or of spawning, goes away by itself when others let go of
/// descriptors or memory.
///
/// ```
/// let full = std::io::Error::from_raw_os_error(24); // EMFILE
/// assert!(evy_green_net::is_shortage(&full));
/// assert!(!evy_green_net::is_shortage(&std::io::ErrorKind::AddrInUse.into()));
/// ```
///
/// # Yields
///
/// Never.
pub fn is_shortage(error: &io::Error) -> bool {
    let shortage = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.kind() == io::ErrorKind::OutOfMemory || is_one_of(error, &shortage)
}

/// Whether it was the connection that failed, while it waited to be accepted, and not the listener.
pub(super) fn is_of_the_connection(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    if is_one_of(error, &[Errno::NONET]) {
        return true;
    }
    // Linux passes errors of the network on that are pending on the new socket (accept(2)), and EPERM
    // where a firewall forbids the connection.
    let of_the_connection = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NOPROTOOPT,
        Errno::PERM,
        Errno::PROTO,
        Errno::TIMEDOUT,
    ];
    is_one_of(error, &of_the_connection)
}

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}

/// What one accept loop has seen go wrong, and how long it pauses for it.
pub(super) struct Weather {
    pause: Duration,
    /// Connections that had gone, since one that had not.
    gone: u32,
    /// When there was a shortage last.
    last_shortage: Option<Instant>,
    /// From the first failed call on: a descriptor that is freed before the next one is heard, too.
    listening: Option<Listening<'static>>,
}

impl Weather {
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE, gone: 0, last_shortage: None, listening: None }
    }

    /// A connection came.
    pub(super) fn is_fine(&mut self) {
        self.pause = FIRST_PAUSE;
        self.gone = 0;
        self.listening = None;
    }

    /// Notes a shortage; `true` where one begins that is worth a word.
    pub(super) fn is_news(&mut self) -> bool {
        let now = Instant::now();
        let last = self.last_shortage.replace(now);
        last.is_none_or(|last| now.duration_since(last) >= QUIET)
    }

    /// Waits until it is worth another try: until one of this process's sockets has been closed, at
    /// most for the pause. The first time it is worth one at once, for something may have been freed
    /// before this listened.
    pub(super) fn wait(&mut self) {
        let Some(listening) = &self.listening else {
            self.listening = Some(closed_descriptors().listen());
            return;
        };
        if listening.wait(FREE, Some(self.pause)).is_err() {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A connection had gone. Where nothing else comes it pauses, too, so that a listener with which
    /// something is wrong does not take all the time of the hub.
    pub(super) fn pass_over(&mut self) {
        self.gone += 1;
        if self.gone > GONE_AT_MOST {
            self.wait();
        }
    }
}
