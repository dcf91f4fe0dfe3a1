//! What the tests of this crate share, beside what they share with those of the runtime.
#![allow(dead_code, unreachable_pub, unused_macros, reason = "each test program uses a part of it")]
#![allow(unused_imports, reason = "each test program uses a part of it")]

#[path = "../../../runtime/tests/util/mod.rs"]
mod runtime;

use std::cell::Cell;
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{GreenThread, sleep, spawn, yield_now};

pub use runtime::*;

/// Long enough that only a hang lasts longer, however busy the machine is.
pub const FOR_EVER: Duration = Duration::from_secs(30);

/// Runs `f`, which must not hang: neither itself nor the whole hub.
#[track_caller]
pub fn soon<T>(f: impl FnOnce() -> T) -> T {
    let _watchdog = Watchdog::new("the hub is stuck");
    evy_runtime::timeout(FOR_EVER, f).expect("this hangs")
}

/// Lets every green thread run until all of them are parked, and the hub look at the system.
pub fn let_all_park() {
    for _ in 0..3 {
        (0..10).for_each(|_| yield_now());
        sleep(Duration::from_nanos(1));
    }
    (0..10).for_each(|_| yield_now());
}

/// Looks again and again, letting the other green threads run, until `done`.
#[track_caller]
pub fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < FOR_EVER, "it never comes true");
        sleep(Duration::from_millis(1));
    }
}

/// Runs `f` in a green thread after 1,000 steps of it, which it can only make while the others do not
/// block the OS thread. What is waited for has to depend on `f`.
pub fn after_steps<T: 'static>(f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
    spawn(move || {
        for _ in 0..1000 {
            yield_now();
        }
        f()
    })
}

/// How many descriptors this process has. Only for tests that are alone in their process.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The descriptors that this process may have from now on.
pub fn limit_descriptors(most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are ours during the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = most.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

/// The flags of an open file: `libc::O_NONBLOCK` and the like.
pub fn flags(fd: impl AsFd) -> c_int {
    // SAFETY: it takes no pointer.
    unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) }
}

pub fn is_close_on_exec(fd: impl AsFd) -> bool {
    // SAFETY: it takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

/// A new named pipe, on which opening and reading wait for somebody on the other side.
pub fn named_pipe(path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: the path ends with a zero and lives through the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// Runs `f` alone in a process of its own, for the test `name`, which calls this first of all.
#[track_caller]
pub fn alone(name: &str, f: impl FnOnce()) {
    alone_with(name, &[], f);
}

/// [`alone`], with variables in its environment.
#[track_caller]
pub fn alone_with(name: &str, variables: &[(&str, &str)], f: impl FnOnce()) {
    if is_child(name) {
        return f();
    }
    let mut child = Child::new(name);
    for (variable, value) in variables {
        child = child.env(variable, value);
    }
    let ended = child.run();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
}

/// Runs all tests of this file again with a variable set, once.
#[track_caller]
pub fn again_with(variable: &str, value: &str) {
    const AGAIN: &str = "EVY_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(AGAIN, "1").env(variable, value).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(!stdout.contains(" 0 passed"), "{stdout}");
}

/// Two more tests, which are all others of the file again: on the driver that is not Linux's own,
/// and with a signal every millisecond.
macro_rules! and_all_of_them_again {
    () => {
        #[test]
        fn the_same_tests_pass_on_the_portable_driver() {
            util::again_with("EVY_DRIVER", "polling");
        }

        /// FAULTS row 27.
        #[test]
        fn fault_27_the_same_tests_pass_under_a_storm_of_signals() {
            util::again_with(util::storm::VARIABLE, "1");
        }
    };
}
pub(crate) use and_all_of_them_again;

/// A signal every millisecond, for the whole process, where a variable says so.
///
/// The handler asks for restarts, so that what std does in the tests goes on; the waits of a hub are
/// interrupted all the same.
pub mod storm {
    pub const VARIABLE: &str = "EVY_TEST_STORM";

    extern "C" fn nothing(_: libc::c_int) {}

    extern "C" fn begin() {
        if std::env::var_os(VARIABLE).is_none() {
            return;
        }
        // SAFETY: the handler does nothing, and the structures live through the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), 0);
            let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1000 };
            let timer = libc::itimerval { it_interval: millisecond, it_value: millisecond };
            let null = std::ptr::null_mut();
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, null), 0);
        }
    }

    /// libtest has no place for what is to happen before the tests, in every one of its processes.
    /// The section holds pointers to functions of this type.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static BEGIN: extern "C" fn() = begin;
}

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-green-os-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Errors as they can be compared: the kind, and the system's number where there is one.
pub fn seen<T>(result: std::io::Result<T>) -> Result<T, (std::io::ErrorKind, Option<i32>)> {
    result.map_err(|error| (error.kind(), error.raw_os_error()))
}

pub fn assert_send_and_sync<T: Send + Sync>() {}
