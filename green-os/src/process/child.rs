//! A program that was started.

use std::io::{self, Read};
use std::process::{ExitStatus, Output};
use std::time::{Duration, Instant};

use evy_runtime::{Builder, Died, GreenThreadId, kill, resume_unwind};

use super::watch::Watch;
use super::{ChildStderr, ChildStdin, ChildStdout};

/// A program that was started: [`std::process::Child`], but that waiting parks the green thread.
///
/// Dropped, it is neither killed nor waited for, as with std: it goes on running, and when it has ended
/// its entry stays in the system's table for as long as this process lives. So wait for each child.
///
/// ```
/// use evy_green_os::process::Command;
///
/// let mut child = Command::new("true").spawn()?;
/// assert!(child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if that was asked for with [`Stdio::piped`](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that was asked for.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that was asked for.
    pub stderr: Option<ChildStderr>,
    /// Without its pipes.
    child: std::process::Child,
}

impl From<std::process::Child> for Child {
    /// Takes over a child that was started by std; its pipes become non-blocking on our side.
    fn from(mut child: std::process::Child) -> Self {
        Self {
            stdin: child.stdin.take().map(ChildStdin::from),
            stdout: child.stdout.take().map(ChildStdout::from),
            stderr: child.stderr.take().map(ChildStderr::from),
            child,
        }
    }
}

impl Child {
    /// Returns the number by which the system knows it.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let mut child = Command::new("true").spawn()?;
    /// assert_ne!(child.id(), std::process::id());
    /// # child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it SIGKILL. One that has ended is left alone.
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// # use evy_green_os::process::Command;
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// child.kill()?;
    /// assert_eq!(child.wait()?.signal(), Some(9));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `kill`: it may run as another user.
    ///
    /// # Yields
    ///
    /// Never: it does not wait for the end.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Waits until it has ended, and returns how. Closes its standard input first, so that it does not
    /// wait for more of it.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(7));
    /// assert_eq!(child.wait()?.code(), Some(7));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `waitpid`: somebody else has waited for it. `WouldBlock` where it would have to park
    /// while the green thread unwinds.
    ///
    /// # Yields
    ///
    /// Until it has ended; not if it has.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.wait_until(None)?;
        Ok(status.expect("without a deadline it waits for the end"))
    }

    /// Waits for that long at most; `None` if it still runs then. Closes its standard input first.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # use evy_green_os::process::Command;
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// assert!(child.wait_timeout(Duration::from_millis(1))?.is_none());
    /// child.kill()?;
    /// assert!(child.wait_timeout(Duration::from_secs(60))?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// # Yields
    ///
    /// Until it has ended or the time is over; not if it has ended.
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        match Instant::now().checked_add(timeout) {
            None => self.wait().map(Some),
            deadline => self.wait_until(deadline),
        }
    }

    /// Returns how it has ended, if it has.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// assert!(child.try_wait()?.is_none());
    /// # child.kill()?;
    /// # child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `waitpid`: somebody else has waited for it.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        if let Some(status) = self.try_wait()? {
            return Ok(Some(status));
        }
        let mut watch = Watch::new(self.id());
        loop {
            // Also the first time: it may have ended just before the watch began.
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            if !watch.wait(deadline)? {
                return self.try_wait();
            }
        }
    }

    /// Reads all that it still writes, waits until it has ended, and returns both. Closes its standard
    /// input first.
    ///
    /// Output and errors are read at the same time, so a child that writes much of both does not come
    /// to a stop. What was not asked for with [`Stdio::piped`](super::Stdio::piped) is empty.
    ///
    /// ```
    /// use evy_green_os::process::{Command, Stdio};
    ///
    /// let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of reading and of [`wait`](Self::wait), and when there is no memory for a second green
    /// thread; the child is not waited for then.
    ///
    /// # Yields
    ///
    /// Until its outputs are closed and it has ended.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = read_both(self.stdout.take(), self.stderr.take())?;
        let status = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }
}

/// Reads both to their ends at the same time: the errors in a green thread of their own.
fn read_both(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = match (stdout, stderr) {
        (Some(stdout), Some(stderr)) => (stdout, stderr),
        (stdout, stderr) => {
            return Ok((
                stdout.map_or(Ok(Vec::new()), read_all)?,
                stderr.map_or(Ok(Vec::new()), read_all)?,
            ));
        }
    };
    let errors = Builder::new().name("reader of a child's errors").spawn(|| read_all(stderr))?;
    let _guard = KillOnDrop(errors.id());
    let stdout = read_all(stdout)?;
    let stderr = match errors.wait() {
        Ok(read) => read?,
        Err(Died::Panicked(payload)) => resume_unwind(payload),
        Err(_) => return Err(io::Error::other("the reader of the child's errors was killed")),
    };
    Ok((stdout, stderr))
}

/// Ends a green thread with the work that it is a part of, however that ends.
struct KillOnDrop(GreenThreadId);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        kill(self.0);
    }
}

fn read_all(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}
