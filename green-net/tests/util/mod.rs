//! What the tests of this crate share: connected sockets, other processes, and waiting without sleeping.
#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses a part of it")]

pub(crate) mod dns;
pub(crate) mod network;

use std::net::SocketAddr;
pub(crate) use std::net::TcpStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evy_green_net::{TcpListener, TcpStream, UdpSocket, UnixStream};

/// Long enough that only a hang lasts longer, however busy the machine is.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(30);

/// A connection: our green end, and the peer's, which is std's and blocks.
pub(crate) fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (ours, peer)
}

/// A connection with two green ends.
pub(crate) fn green_pair() -> (TcpStream, TcpStream) {
    let (ours, peer) = pair();
    (ours, TcpStream::from_std(peer).unwrap())
}

/// A connection by Unix sockets: our green end, and the peer's, which is std's and blocks.
pub(crate) fn unix_pair() -> (UnixStream, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (UnixStream::from_std(ours).unwrap(), theirs)
}

/// Two UDP sockets that are connected to each other: ours, and the peer's, which is std's and blocks.
pub(crate) fn udp_pair() -> (UdpSocket, std::net::UdpSocket) {
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    (ours, theirs)
}

/// A path where nothing is, and nothing will be left.
#[derive(Debug)]
pub(crate) struct TempPath(PathBuf);

impl TempPath {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evy-test-{}-{number}", std::process::id()));
        // Left by a process of this number that was killed.
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl std::ops::Deref for TempPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listener of std that accepts one connection on an OS thread of its own and hands it to `serve`.
pub(crate) fn peer<T: Send + 'static>(
    serve: impl FnOnce(std::net::TcpStream) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// A port of 127.0.0.1 where nobody listens, and nobody will: a socket that does not listen has it.
pub(crate) fn refused() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// An address where a connect gets no answer: a listener whose backlog is full.
pub(crate) struct Blackhole {
    pub(crate) address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

pub(crate) fn blackhole() -> Blackhole {
    let (listener, address) = refused();
    listener.listen(0).unwrap();
    let waiting = (0..8).map(|_| {
        let kind = socket2::Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
        // In progress, for ever.
        let _ = socket.connect(&address.into());
        socket
    });
    let waiting = waiting.collect();
    Blackhole { address, _listener: listener, _waiting: waiting }
}

/// Runs `f`, which must not hang.
#[track_caller]
pub(crate) fn soon<T>(f: impl FnOnce() -> T) -> T {
    evy_runtime::timeout(FOR_EVER, f).expect("this hangs")
}

/// Lets every green thread run until all of them are parked, and the hub look at the system, so that
/// connections that were made are taken and events that come with a registration are behind it.
pub(crate) fn let_all_park() {
    for _ in 0..3 {
        yield_often();
        evy_runtime::sleep(Duration::from_nanos(1));
    }
    yield_often();
}

/// Lets the others run, without a look at the system.
pub(crate) fn yield_often() {
    (0..10).for_each(|_| evy_runtime::yield_now());
}

/// Looks again and again, letting the other green threads run, until `done`.
#[track_caller]
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < FOR_EVER, "it never comes true");
        evy_runtime::sleep(Duration::from_millis(1));
    }
}

/// The number by which the system knows this OS thread.
pub(crate) fn os_thread() -> libc::pid_t {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Waits until that OS thread of this process sleeps in the kernel.
pub(crate) fn wait_until_asleep(os_thread: libc::pid_t) {
    let file = format!("/proc/self/task/{os_thread}/stat");
    let start = Instant::now();
    loop {
        let stat = std::fs::read_to_string(&file).expect("it is one of ours");
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        if state == Some('S') {
            return;
        }
        assert!(start.elapsed() < FOR_EVER, "it never sleeps");
    }
}

/// The processor time that this OS thread has used.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is ours during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many descriptors this process has. Only for tests that are alone in their process.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The descriptors that a process may have, set for this one; as many as are allowed if `wanted` are
/// not. Returns what is had.
pub(crate) fn limit_descriptors(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are ours during the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = wanted.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    limit.rlim_cur
}

/// Set in a process that a test has started to play its part in it.
const CHILD: &str = "EVY_TEST_CHILD";

/// The test `name`, to be run alone in a process of its own, where [`is_child`] is true.
pub(crate) fn child_command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--include-ignored"]).env(CHILD, name);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs `f` alone in a process of its own, for the test `name`, which calls this first of all.
#[track_caller]
pub(crate) fn alone(name: &str, f: impl FnOnce()) {
    if is_child() {
        return f();
    }
    assert_success(child_command(name).output().unwrap());
}

#[track_caller]
pub(crate) fn assert_success(output: Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(!stdout.contains(" 0 passed"), "the test that was to run has another name:\n{stdout}");
}

/// Runs all tests of this file again with a variable set, once.
#[track_caller]
pub(crate) fn again_with(variable: &str, value: &str) {
    const AGAIN: &str = "EVY_TEST_AGAIN";
    if is_child() || std::env::var_os(AGAIN).is_some() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    assert_success(command.env(AGAIN, "1").env(variable, value).output().unwrap());
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
/// The handler asks for restarts, so that the blocking calls of std on the other side go on; the
/// waits of a hub are interrupted all the same.
pub(crate) mod storm {
    pub(crate) const VARIABLE: &str = "EVY_TEST_STORM";

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

/// A test that runs one script against the sockets of std and against ours, and wants the same of
/// both: the script returns what it saw. What it needs of the other side runs on OS threads.
macro_rules! same_as_std {
    ($($(#[$attribute:meta])* fn $name:ident() -> $seen:ty $script:block)*) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                fn with_std() -> $seen {
                    use std::net::{TcpListener, TcpStream, UdpSocket};
                    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
                    type _Used = (TcpListener, TcpStream, UdpSocket);
                    type _Unix = (UnixListener, UnixStream, UnixDatagram);
                    $script
                }
                fn with_ours() -> $seen {
                    use evy_green_net::{TcpListener, TcpStream, UdpSocket};
                    use evy_green_net::{UnixDatagram, UnixListener, UnixStream};
                    type _Used = (TcpListener, TcpStream, UdpSocket);
                    type _Unix = (UnixListener, UnixStream, UnixDatagram);
                    $script
                }
                assert_eq!(util::soon(with_ours), with_std(), "left is ours, right is std's");
            }
        )*
    };
}
pub(crate) use same_as_std;

/// That a descriptor is as all of ours are (Semantics E 87).
#[track_caller]
pub(crate) fn is_non_blocking_and_closed_by_exec(fd: impl std::os::fd::AsFd) {
    use std::os::fd::AsRawFd;
    let number = fd.as_fd().as_raw_fd();
    // SAFETY: fcntl with these takes no pointers, and the descriptor is open.
    let (file, descriptor) =
        unsafe { (libc::fcntl(number, libc::F_GETFL), libc::fcntl(number, libc::F_GETFD)) };
    assert_ne!(file & libc::O_NONBLOCK, 0);
    assert_ne!(descriptor & libc::FD_CLOEXEC, 0);
}

/// That this OS thread does next to nothing while all of its green threads wait.
#[track_caller]
pub(crate) fn costs_nothing() {
    let before = cpu_time();
    evy_runtime::sleep(Duration::from_millis(100));
    let spent = cpu_time() - before;
    assert!(spent < Duration::from_millis(30), "it spun for {spent:?} of 100 ms");
}

/// Errors as they can be compared: the kind, and the system's number where there is one.
pub(crate) fn seen<T>(result: std::io::Result<T>) -> Result<T, (std::io::ErrorKind, Option<i32>)> {
    result.map_err(|error| (error.kind(), error.raw_os_error()))
}
