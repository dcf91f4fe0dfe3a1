//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use evy_runtime::{Reason, WaitList};

/// For waits whose reason does not matter.
pub const SOMETHING: Reason = Reason::new(&"something");

/// A time that no test waits for.
pub const HOUR: Duration = Duration::from_secs(3600);

/// A line to wait in, and a handle of it for the one who waits.
pub fn line() -> (Rc<WaitList>, Rc<WaitList>) {
    let line = Rc::new(WaitList::new());
    (Rc::clone(&line), line)
}

/// Waits in `line` until woken.
pub fn wait_in(line: &WaitList) {
    line.wait(SOMETHING, None, || ()).expect("there is no deadline");
}

/// Runs a function when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// Adds `what` when it is dropped.
    pub fn on_drop(&self, what: &'static str) -> OnDrop<impl FnMut() + use<>> {
        let log = self.clone();
        OnDrop(move || log.add(what))
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Takes all out.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Counts values that are alive.
#[derive(Clone, Default)]
pub struct Census(Rc<Cell<isize>>);

/// One value of a [`Census`].
pub struct Counted(Rc<Cell<isize>>);

impl Census {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn one(&self) -> Counted {
        self.0.set(self.0.get() + 1);
        Counted(Rc::clone(&self.0))
    }

    pub fn alive(&self) -> isize {
        self.0.get()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The text that something panicked with.
pub fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| payload.downcast_ref().cloned()).expect("a panic with a text")
}

/// Catches the panic of `f` and returns its text.
pub fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    text(&*payload)
}

/// Makes sure that neither a deadline nor a descriptor nor a job is waited for: only then is a wait
/// of the OS thread's own stack a deadlock, at once. All green threads are parked or have ended.
pub fn assert_nothing_is_registered() {
    let _watchdog = Watchdog::new("a registration was left behind");
    let line = WaitList::new();
    let text = panic_of(|| wait_in(&line));
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(line.is_empty());
}

/// Lets an OS thread without green threads wait for a moment.
#[expect(clippy::disallowed_methods, reason = "there are no green threads on this OS thread")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Ends the process when a test hangs: a hub that is stuck cannot tell by itself.
pub struct Watchdog(#[expect(dead_code, reason = "its drop ends the watch")] Sender<()>);

impl Watchdog {
    pub fn new(what: &'static str) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let patience = Duration::from_secs(if is_slow() { 600 } else { 60 });
            if receiver.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the test hangs: {what}");
                std::process::abort();
            }
        });
        Self(sender)
    }
}

/// Whether this runs under AddressSanitizer; `make asan` sets the variable.
pub fn is_asan() -> bool {
    std::env::var_os("ASAN_OPTIONS").is_some()
}

/// Whether this runs under valgrind, which loads its own libraries into the process. The programs
/// that a test starts do not.
pub fn is_valgrind() -> bool {
    static MAPS: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("vgpreload"))
    });
    *MAPS
}

/// Whether a tool slows this run down.
pub fn is_slow() -> bool {
    is_asan() || is_valgrind()
}

/// `full` rounds in a release build, a tenth in a debug build, a hundredth under a tool.
pub fn rounds(full: usize) -> usize {
    let divisor = match (is_slow(), cfg!(debug_assertions)) {
        (true, _) => 100,
        (false, true) => 10,
        (false, false) => 1,
    };
    full / divisor
}

/// [`rounds`] for green threads that live at the same time: fewer where guards are by mprotect, for a
/// process has about 32,000 of these.
pub fn at_once(full: usize) -> usize {
    if has_cheap_guards() { rounds(full) } else { rounds(full).min(10_000) }
}

/// Whether stacks get the guards that cost no mapping: from Linux 6.13 on.
pub fn has_cheap_guards() -> bool {
    if std::env::var_os("EVY_GUARD").is_some_and(|kind| kind == "mprotect") {
        return false;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}

/// Runs all tests of this program once more, on the driver of other systems; in that run, and under a tool,
/// it does nothing.
pub fn pass_again_on_the_portable_driver() {
    const AGAIN: &str = "EVY_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() || is_slow() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.env(AGAIN, "1").env("EVY_DRIVER", "polling").output().expect("it can be started");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
}

const CHILD: &str = "EVY_TEST_CHILD";

/// Whether this process was started by [`Child::run`] for this test.
pub fn is_child(test: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|child| child == test)
}

/// The test program, started again for one of its tests.
pub struct Child {
    pub command: Command,
}

/// How a [`Child`] ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Child {
    /// For `test`, which has to ask [`is_child`] first. It runs on an OS thread that libtest makes.
    pub fn new(test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test is a file"));
        command.args([test, "--exact", "--nocapture", "--include-ignored"]).env(CHILD, test);
        command.env_remove("RUST_BACKTRACE");
        Self { command }
    }

    /// Runs the test on the process's main OS thread.
    pub fn on_main_thread(mut self) -> Self {
        self.command.arg("--test-threads=1");
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn run(mut self) -> Ended {
        let _watchdog = Watchdog::new("a program that the test started");
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = self.command.output().expect("the test program can be started");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { status: output.status, stderr }
    }
}
