//! Our ends of the pipes of a child.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use crate::end::{End, descriptors, readers, writers};

/// Writes to a child's standard input: [`std::process::ChildStdin`], but that a write parks the green
/// thread. Dropped, it is closed, and the child sees the end of its input.
///
/// A child that no longer reads is `ErrorKind::BrokenPipe` ([on SIGPIPE](crate::pipe#who-reads-no-more)).
///
/// ```
/// use std::io::Write;
/// use evy_green_os::process::{Command, Stdio};
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// child.stdin.take().expect("it is piped").write_all(b"hello")?;
/// assert_eq!(child.wait_with_output()?.stdout, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ChildStdin {
    end: End,
}

/// Reads a child's standard output: [`std::process::ChildStdout`], but that a read parks the green
/// thread. It can be the standard input of another child.
///
/// ```
/// use evy_green_os::process::{Command, Stdio};
///
/// let mut first = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// let words = first.stdout.take().expect("it is piped");
/// let second = Command::new("cat").stdin(words).output()?;
/// assert_eq!(second.stdout, b"hello\n");
/// # first.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ChildStdout {
    end: End,
}

/// Reads a child's standard error: [`std::process::ChildStderr`], but that a read parks the green
/// thread.
///
/// ```
/// use std::io::Read;
/// use evy_green_os::process::{Command, Stdio};
///
/// let mut child = Command::new("sh").args(["-c", "echo oh >&2"]).stderr(Stdio::piped()).spawn()?;
/// let mut text = String::new();
/// child.stderr.take().expect("it is piped").read_to_string(&mut text)?;
/// assert_eq!(text, "oh\n");
/// # child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ChildStderr {
    end: End,
}

readers!(ChildStdout, ChildStderr);
writers!(ChildStdin);
descriptors!(
    ChildStdin is std::process::ChildStdin,
    ChildStdout is std::process::ChildStdout,
    ChildStderr is std::process::ChildStderr
);
