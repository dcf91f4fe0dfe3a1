//! Other programs, shaped like [`std::process`]: waiting for their end, and their pipes, park the green
//! thread.
//!
//! ```
//! use std::io::Write;
//! use evy_green_os::process::{Command, Stdio};
//!
//! let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! // One green thread writes while the other reads: neither pipe can fill up for good.
//! let mut input = child.stdin.take().expect("it is piped");
//! evy_runtime::spawn_n(move || input.write_all(b"two\none\n"));
//! let output = child.wait_with_output()?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"one\ntwo\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What blocks all the same
//!
//! [`Command::spawn`] starts the child in place, as std does: the OS thread waits until the program has
//! been loaded, which takes about half a millisecond, or longer where its file is on a slow disk. On
//! another OS thread it would be a child of that one, which ends when it likes, and with it what the
//! child has from it (`PR_SET_PDEATHSIG`, for one).
//!
//! # How the end of a child is seen
//!
//! On Linux (5.3 and later) by a descriptor of the process (`pidfd_open`), for as long as somebody
//! waits. Elsewhere, where the system refuses it, and with `EVY_PIDFD=0` in the environment, by SIGCHLD
//! (with the feature `signal`) and a look ten times a second, or a hundred times without it.
//!
//! # Who is killed while it waits
//!
//! A green thread that is killed or timed out in [`Child::wait`] or [`Command::output`] leaves the child
//! as it is: running. Its descriptors are closed, so a child that goes on writing gets SIGPIPE.

mod child;
mod command;
mod stdio;
mod watch;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub use command::Command;
pub use stdio::{ChildStderr, ChildStdin, ChildStdout};
