//! Waiting until something may have happened to a child, in the best way the system has.

use std::io;
use std::time::{Duration, Instant};

use evy_runtime::{Reason, WaitList};

const END: Reason = Reason::new(&"the end of a child");

/// How often the child is looked at where nobody says when.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often it is looked at all the same where SIGCHLD should say when: the signal may be blocked, or
/// its handler replaced.
#[cfg(feature = "signal")]
const LOOK_ALSO_EVERY: Duration = Duration::from_millis(100);

/// What says that a child may have ended.
#[derive(Debug)]
pub(crate) enum Watch {
    /// A descriptor of the process, which is readable when it has ended.
    #[cfg(target_os = "linux")]
    Process(std::os::fd::OwnedFd),
    /// A signal that comes whenever any child has ended.
    #[cfg(feature = "signal")]
    Signal(crate::signal::Signals),
    /// Nothing: it is looked at again and again.
    Clock,
}

impl Watch {
    /// Begins to watch the child with this id, which nobody has waited for yet. What happened before is
    /// not told by all of them: look once more.
    pub(crate) fn new(id: u32) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(watch) = Self::process(id) {
            return watch;
        }
        let _ = id;
        #[cfg(feature = "signal")]
        if let Ok(signals) = crate::signal::Signals::new([crate::signal::SIGCHLD]) {
            return Self::Signal(signals);
        }
        Self::Clock
    }

    /// `None` where the system refuses: an old kernel, a filter of system calls, no descriptor left.
    #[cfg(target_os = "linux")]
    fn process(id: u32) -> Option<Self> {
        use std::sync::LazyLock;

        use rustix::process::{Pid, PidfdFlags, pidfd_open};

        static WANTED: LazyLock<bool> =
            LazyLock::new(|| std::env::var_os("EVY_PIDFD").is_none_or(|value| value != "0"));
        if !*WANTED {
            return None;
        }
        let pid = Pid::from_raw(id.cast_signed())?;
        pidfd_open(pid, PidfdFlags::empty()).ok().map(Self::Process)
    }

    /// Waits until the child may have ended; it may return for nothing. `false` at the deadline.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Process(process) => match evy_runtime::wait_readable(&*process, deadline) {
                Ok(()) => {
                    // It is no zombie of ours yet where a debugger has it: do not spin meanwhile.
                    *self = Self::Clock;
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
                Err(error) => Err(error),
            },
            #[cfg(feature = "signal")]
            Self::Signal(signals) => {
                let Some(time) = time_until(deadline, LOOK_ALSO_EVERY) else { return Ok(false) };
                signals.wait_timeout(time).map(|_| true)
            }
            Self::Clock => {
                let Some(time) = time_until(deadline, LOOK_EVERY) else { return Ok(false) };
                // Not `sleep`, which blocks the OS thread in destructors that run in an unwind.
                let _ = WaitList::new().wait(END, Some(time), || ());
                Ok(true)
            }
        }
    }
}

/// How long to wait until the deadline, but at most that long; `None` when it has come.
fn time_until(deadline: Option<Instant>, most: Duration) -> Option<Duration> {
    let Some(deadline) = deadline else { return Some(most) };
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.min(most))
}
