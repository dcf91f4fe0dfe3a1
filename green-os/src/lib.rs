//! Processes, signals, pipes and files, shaped like those of std: their calls park the green thread,
//! not the OS thread.
//!
//! Use the crate `evy`, which re-exports what is here. Pipes, the ends of processes and signals are
//! descriptors that the hub waits for; files are not (no OS says when a file is ready), so their calls
//! are made on other OS threads by [`evy_runtime::unblock`].
//!
//! ```
//! use evy_green_os::process::Command;
//!
//! let echo = |word| move || Command::new("echo").arg(word).output();
//! let both = ["one", "two"].map(|word| evy_runtime::spawn(echo(word)));
//! for (process, expected) in both.into_iter().zip(["one\n", "two\n"]) {
//!     assert_eq!(process.wait().unwrap()?.stdout, expected.as_bytes());
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod end;
pub mod fs;
pub mod pipe;
pub mod process;
#[cfg(feature = "signal")]
pub mod signal;
