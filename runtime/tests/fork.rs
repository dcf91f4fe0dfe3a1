//! Forks in a program with a hub: the child gets one of its own, and the parent notices nothing.
//!
//! This is a program without libtest, so that no OS thread runs but those of a case: started by itself, with
//! the name of a case, it does that one; started by cargo, it starts itself for each case and each driver.

mod util;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus, Stdio, exit};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use evy_runtime::io::{Attempt, Direction, GreenFd};
use evy_runtime::{
    Builder, Died, GreenThread, Parker, Remote, WaitList, current, green_local, join_all, kill_all,
    scope, sleep, spawn, spawn_after, spawn_n, threadpool, timeout, unblock, yield_now,
};
use util::{HOUR, OnDrop, SOMETHING, Watchdog, line, panic_of, wait_in};

const CASE: &str = "EVY_FORK_CASE";

/// What a child exits with whose assertions did not hold.
const FAILED: i32 = 99;

/// A case, and how often standard error says what.
struct Case {
    name: &'static str,
    main: fn(),
    says: &'static [(usize, &'static str)],
}

impl Case {
    const fn new(name: &'static str, main: fn()) -> Self {
        Self { name, main, says: &[] }
    }
}

const CASES: &[Case] = &[
    Case::new("fault_35_a_child_of_main_has_a_hub_of_its_own", || {
        let echo = Echo::new();
        let child = fork(use_everything);
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_a_child_of_a_green_thread_has_a_hub_of_its_own", || {
        let echo = Echo::new();
        let child = spawn(|| fork(use_everything)).wait().unwrap();
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_a_child_of_another_os_thread_has_a_hub_of_its_own", || {
        let echo = Echo::new();
        let child = std::thread::spawn(|| {
            sleep(Duration::from_millis(1));
            spawn(|| fork(use_everything)).wait().unwrap()
        });
        let child = unblock(|| child.join()).unwrap();
        echo.goes_on_until_the_end_of(child);
        // It had no hub, and nobody there had.
        let child = std::thread::spawn(|| fork(use_everything));
        let child = unblock(|| child.join()).unwrap();
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_a_child_that_ends_at_once_changes_nothing", || {
        let echo = Echo::new();
        echo.goes_on_until_the_end_of(fork(|| ()));
        // SAFETY: it never returns.
        echo.goes_on_until_the_end_of(fork(|| unsafe { libc::_exit(0) }));
        let child = spawn(|| fork(|| ())).wait().unwrap();
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_a_child_that_drops_the_parents_sockets_does_not_silence_them", || {
        let echo = Echo::new();
        let parked = park_very_many();
        let child = fork(|| {
            // All of it, with and without a hub of its own.
            echo.drop_copies();
            yield_now();
            echo.drop_copies();
            drop(parked);
            kill_all();
        });
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_green_threads_of_the_parent_have_ended_for_the_child", handles),
    Case::new("fault_35_nobody_of_the_parent_runs_in_the_child", nobody_runs),
    Case::new("fault_35_a_socket_of_the_parent_works_in_the_child", || {
        let (ours, theirs) = pair();
        let reader = spawn({
            let ours = Rc::clone(&ours);
            move || ours.read()
        });
        yield_now();
        // The parent waits for it, so it is registered there.
        let child = fork(|| {
            assert_eq!(ours.read(), b'c');
            ours.write(b'd');
            spawn(move || assert_eq!(ours.read(), b'e')).wait().unwrap();
        });
        reader.kill();
        theirs.write(b'c');
        assert_eq!(theirs.read(), b'd');
        theirs.write(b'e');
        assert_eq!(end_of(child).code(), Some(0));
    }),
    Case {
        name: "fault_35_a_green_thread_that_returns_in_the_child_ends_it",
        main: returns,
        says: &[
            (7, "which has forked this process, has ended, and the process ends with it\n"),
            (7, "evy: the green thread spawned at runtime/tests/fork.rs:"),
            (1, "panicked at runtime/tests/fork.rs:"),
            (0, "main goes on"),
        ],
    },
    Case {
        name: "fault_35_a_wait_that_began_before_the_fork_is_not_made_in_the_parents_hub",
        main: || {
            let echo = Echo::new();
            let parent = me();
            spawn_n(move || {
                loop {
                    yield_now();
                    assert_eq!(me(), parent, "it was ready at the fork");
                }
            });
            let waits = || {
                let (ours, _theirs) = pair();
                // Now it is registered.
                assert!(timeout(Duration::ZERO, || ours.read()).is_err());
                let forks = |_: BorrowedFd<'_>| match fork_and_go_on() {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    child => Ok(child),
                };
                ours.green().call(Attempt::new(Direction::Write), forks).unwrap()
            };
            for child in [waits(), spawn(waits).wait().unwrap()] {
                assert_eq!(end_of(child).code(), Some(101));
            }
            echo.goes_on_until_the_end_of(fork(|| ()));
        },
        says: &[(
            2,
            "evy: somebody has waited in the hub of the process that this one was forked from, and the \
             process ends with it\n",
        )],
    },
    Case {
        name: "fault_35_a_job_that_returns_in_the_child_ends_it",
        main: job_returns,
        says: &[(
            2,
            "evy: the job on another OS thread that has forked this process has ended, and the process \
             ends with it\n",
        )],
    },
    Case::new("fault_35_the_childs_pool_begins_anew", pools),
    Case::new("fault_35_remotes_of_the_parent_lead_nowhere", remotes),
    Case::new("fault_35_children_can_have_children", || {
        let echo = Echo::new();
        let child = spawn(|| {
            fork(|| {
                let echo = Echo::new();
                let grandchild = spawn(|| fork(use_everything)).wait().unwrap();
                echo.goes_on_until_the_end_of(grandchild);
                // On the stack of the green thread that forked this one.
                let grandchild = fork(|| {
                    use_everything();
                    assert_eq!(end_of(fork(use_everything)).code(), Some(0));
                });
                echo.goes_on_until_the_end_of(grandchild);
            })
        });
        let child = child.wait().unwrap();
        echo.goes_on_until_the_end_of(child);
    }),
    Case::new("fault_35_programs_are_started_as_ever", programs),
    Case::new("fault_35_a_child_works_though_somebody_unwound_at_the_fork", || {
        let (waiting, line) = line();
        let unwinds = spawn(move || {
            let _guard = OnDrop(|| wait_in(&line));
            sleep(HOUR);
        });
        yield_now();
        unwinds.kill();
        assert!(std::thread::panicking());
        // It waits in its destructor. Nobody else unwinds, here or there.
        assert_eq!(end_of(fork(use_everything)).code(), Some(0));
        let child = spawn(|| fork(use_everything)).wait().unwrap();
        assert_eq!(end_of(child).code(), Some(0));
        waiting.wake_all();
        unwinds.wait().unwrap_err();

        // A child whose own stack unwinds does not wait for I/O, as ever.
        let (sender, forked) = mpsc::channel();
        let dies = spawn(move || {
            let _guard = OnDrop(move || {
                let child = fork(|| {
                    let (ours, _theirs) = pair();
                    let error = ours.try_read().unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    assert_eq!(spawn(|| 7).wait().unwrap(), 7);
                });
                sender.send(child).unwrap();
            });
            sleep(HOUR);
        });
        yield_now();
        dies.kill();
        assert_eq!(end_of(forked.recv().unwrap()).code(), Some(0));
    }),
    Case::new("fault_35_a_lock_that_is_held_at_the_fork_stops_no_child", held_locks),
    Case::new("fault_35_the_green_locals_of_who_forks_go_on_in_the_child", || {
        green_local! { static NUMBER: Cell<u32> = Cell::new(0); }
        NUMBER.with(|number| number.set(1));
        let child = spawn(|| {
            NUMBER.with(|number| number.set(2));
            fork(|| {
                assert_eq!(NUMBER.with(Cell::get), 2);
                assert_eq!(spawn(|| NUMBER.with(Cell::get)).wait().unwrap(), 0);
            })
        });
        assert_eq!(end_of(child.wait().unwrap()).code(), Some(0));
        assert_eq!(end_of(fork(|| assert_eq!(NUMBER.with(Cell::get), 1))).code(), Some(0));
    }),
    Case::new(
        "fault_35_a_child_leaves_a_scope_without_the_parents_children_but_not_without_its_own",
        || {
            let (gate, in_line) = line();
            let own = Cell::new(0);
            let child = scope(|s| {
                s.spawn(|| wait_in(&in_line));
                yield_now();
                let child = fork_and_go_on();
                if child == 0 {
                    s.spawn(|| {
                        sleep(Duration::from_millis(5));
                        own.set(1);
                    });
                } else {
                    assert!(gate.wake_one());
                }
                child
            });
            if child == 0 {
                exit(if own.get() == 1 { 0 } else { FAILED });
            }
            assert_eq!(own.get(), 0);
            assert_eq!(end_of(child).code(), Some(0));
        },
    ),
    Case::new("fault_35_deadlines_of_the_parent_do_not_come_in_the_child", || {
        let child = timeout(HOUR, || {
            timeout(Duration::from_millis(10), || {
                fork(|| {
                    // The parent's, not the child's.
                    sleep(Duration::from_millis(50));
                    let late = timeout(Duration::from_millis(1), || sleep(HOUR));
                    assert!(late.is_err());
                })
            })
        });
        assert_eq!(end_of(child.unwrap().unwrap()).code(), Some(0));
        // Also where the child leaves the frame of the parent's timeout.
        let mut in_child = false;
        let left = timeout(Duration::from_millis(10), || {
            // SAFETY: both sides go on.
            let pid = unsafe { libc::fork() };
            in_child = pid == 0;
            sleep(Duration::from_millis(30));
            pid
        });
        if in_child {
            let code = if left == Ok(0) { 0 } else { FAILED };
            use_everything();
            exit(code);
        }
        assert!(left.is_err());
        // SAFETY: takes no pointer that is not null.
        let child = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        assert!(child > 0);
    }),
    Case {
        name: "fault_35_an_overflow_in_the_child_names_the_green_thread",
        main: || {
            #[inline(never)]
            fn recurse(depth: u64) -> u64 {
                let frame = std::hint::black_box([depth; 128]);
                if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[depth as usize % 128] }
            }

            for first_call in [|| (), yield_now] {
                let forks = Builder::new().name("forks").spawn(move || {
                    fork(move || {
                        first_call();
                        recurse(0);
                    })
                });
                let child = forks.unwrap().wait().unwrap();
                assert_eq!(end_of(child).signal(), Some(libc::SIGABRT));
            }
        },
        says: &[(2, " 'forks', spawned at runtime/tests/fork.rs:")],
    },
];

/// What a program may want of evy, with the results that it has to give.
fn use_everything() {
    let before = current();
    let start = Instant::now();
    sleep(Duration::from_millis(2));
    assert!(start.elapsed() >= Duration::from_millis(2));
    let threads = (0..100).map(|n| {
        spawn(move || {
            sleep(Duration::from_micros(n % 7 * 300));
            n
        })
    });
    let results: Vec<_> = join_all(threads).into_iter().map(Result::unwrap).collect();
    assert_eq!(results, (0..100).collect::<Vec<_>>());
    assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
    let echo = Echo::new();
    (0..20).for_each(|_| echo.goes_on());
    assert_eq!(unblock(|| 6 * 7), 42);
    let remote = Remote::current();
    assert!(!remote.has_ended());
    assert_eq!(unblock(move || remote.spawn(|| 43).wait()).unwrap(), 43);
    let sleeper = spawn(|| sleep(HOUR));
    yield_now();
    sleeper.kill();
    assert!(matches!(sleeper.wait(), Err(Died::Killed)));
    spawn_n(|| sleep(HOUR));
    yield_now();
    kill_all();
    assert_eq!(current(), before);
    let line = WaitList::new();
    let text = panic_of(|| wait_in(&line));
    assert!(text.starts_with("deadlock: "), "{text}");
    threadpool::shutdown(HOUR).unwrap();
}

/// Forks. The child does its part and exits: with 0, unless it panics.
fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: where other OS threads run, it is part of the test that the child can do what it does.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::alarm(if util::is_slow() { 300 } else { 30 }) };
        let result = catch_unwind(AssertUnwindSafe(child));
        exit(if result.is_ok() { 0 } else { FAILED });
    }
    assert!(pid > 0, "{}", io::Error::last_os_error());
    pid
}

/// Whether the child has ended, and how.
fn ended(child: libc::pid_t) -> Option<ExitStatus> {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    let pid = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
    assert!(pid == 0 || pid == child, "{}", io::Error::last_os_error());
    (pid == child).then(|| ExitStatus::from_raw(status))
}

/// Waits for the end of the child; others run meanwhile.
fn end_of(child: libc::pid_t) -> ExitStatus {
    loop {
        match ended(child) {
            Some(status) => return status,
            None => sleep(Duration::from_millis(1)),
        }
    }
}

/// A green socket.
struct Socket {
    fd: Cell<Option<GreenFd>>,
    stream: UnixStream,
}

fn pair() -> (Rc<Socket>, Rc<Socket>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Socket::new(ours), Socket::new(theirs))
}

impl Socket {
    fn new(stream: UnixStream) -> Rc<Self> {
        stream.set_nonblocking(true).unwrap();
        let fd = Cell::new(Some(GreenFd::new(stream.try_clone().unwrap().into())));
        Rc::new(Self { fd, stream })
    }

    fn green(&self) -> &GreenFd {
        // SAFETY: only `drop_copy` takes it out, after the last call.
        unsafe { (*self.fd.as_ptr()).as_ref() }.unwrap()
    }

    fn try_read(&self) -> io::Result<u8> {
        let mut byte = [0];
        let read = |_: BorrowedFd<'_>| (&self.stream).read(&mut byte);
        match self.green().call(Attempt::new(Direction::Read), read)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    fn read(&self) -> u8 {
        self.try_read().unwrap()
    }

    fn write(&self, byte: u8) {
        let write = |_: BorrowedFd<'_>| (&self.stream).write(&[byte]);
        assert_eq!(self.green().call(Attempt::new(Direction::Write), write).unwrap(), 1);
    }
}

/// An echo server of this hub and its client, both of which have waited before.
struct Echo {
    client: Rc<Socket>,
    server: Rc<Socket>,
    next: Cell<u8>,
}

impl Echo {
    fn new() -> Self {
        let (client, server) = pair();
        spawn_n({
            let server = Rc::clone(&server);
            move || {
                loop {
                    server.write(server.read());
                }
            }
        });
        let echo = Self { client, server, next: Cell::new(0) };
        echo.goes_on();
        echo
    }

    /// One request and its answer.
    fn goes_on(&self) {
        let byte = self.next.get();
        self.next.set(byte.wrapping_add(1));
        self.client.write(byte);
        assert_eq!(self.client.read(), byte);
    }

    /// Requests and timers, until the child has ended, as it should.
    #[track_caller]
    fn goes_on_until_the_end_of(&self, child: libc::pid_t) {
        let status = loop {
            self.goes_on();
            let start = Instant::now();
            sleep(Duration::from_micros(500));
            assert!(start.elapsed() >= Duration::from_micros(500));
            if let Some(status) = ended(child) {
                break status;
            }
        };
        assert_eq!(status.code(), Some(0), "{status:?}");
        (0..20).for_each(|_| self.goes_on());
        assert_eq!(unblock(|| 7), 7);
        assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
    }

    /// In a child: deregisters and closes what it has of both sockets.
    fn drop_copies(&self) {
        for socket in [&self.client, &self.server] {
            drop(socket.fd.take());
        }
    }
}

fn park_very_many() -> Vec<GreenThread<()>> {
    let list = Rc::new(WaitList::new());
    let parked = (0..1_000).map(|n| {
        let list = Rc::clone(&list);
        spawn(move || {
            let _guard = OnDrop(|| eprintln!("a destructor of the parent's, in process {}", me()));
            match n % 3 {
                0 => sleep(Duration::MAX),
                1 => sleep(HOUR),
                _ => wait_in(&list),
            }
        })
    });
    let parked = parked.collect();
    yield_now();
    parked
}

fn me() -> u32 {
    std::process::id()
}

/// Handles of all kinds of green threads, each used in every way; one kind of use is the child's first call.
fn handles() {
    let check = |first_call: fn(&GreenThread<String>)| {
        let finished = spawn(|| "before the fork".to_owned());
        let panicked = spawn(|| panic!("before the fork, on purpose"));
        yield_now();
        let parked = (0..20).map(|n| {
            let parked = Builder::new().name("parked").spawn(move || {
                sleep(HOUR);
                format!("number {n}")
            });
            parked.unwrap()
        });
        let mut parked: Vec<_> = parked.collect();
        yield_now();
        let mut unstarted: Vec<_> = (0..5_u8).map(|n| spawn(move || n)).collect();
        let delayed = [spawn_after(HOUR, || 1), spawn_after(Duration::from_millis(5), || 2)];
        (0..10).for_each(|_| spawn_n(|| sleep(HOUR)));

        let child = fork(move || {
            first_call(&parked[0]);
            let mut next = || parked.pop().unwrap();
            // Each call as the first one of its handle.
            assert!(matches!(next().wait(), Err(Died::HubEnded)));
            next().wait_until_finished();
            next().kill();
            drop(next());
            assert!(next().is_finished() && next().name() == Some("parked"));
            assert!(!evy_runtime::kill(next().id()));
            let thread = next();
            thread.kill();
            assert!(!thread.cancel());
            let told = Rc::new(Cell::new(false));
            let note = Rc::clone(&told);
            thread.on_exit(move |outcome| note.set(matches!(outcome, Err(Died::HubEnded))));
            assert!(told.get());
            assert!(matches!(thread.wait(), Err(Died::HubEnded)));
            assert!(unstarted.pop().unwrap().wait().is_err());
            assert!(!unstarted.pop().unwrap().cancel());
            assert!(delayed.into_iter().all(|thread| thread.wait().is_err()));
            // What had ended before has its result.
            assert_eq!(finished.wait().unwrap(), "before the fork");
            assert!(matches!(panicked.wait(), Err(Died::Panicked(_))));
            // What handles gave back is used again, and not twice.
            for _ in 0..3 {
                let threads: Vec<_> = (0..600).map(|n| spawn(move || n)).collect();
                let results: Vec<_> = join_all(threads).into_iter().map(Result::unwrap).collect();
                assert_eq!(results, (0..600).collect::<Vec<_>>());
            }
            drop(parked);
            use_everything();
        });
        assert_eq!(end_of(child).code(), Some(0));
    };
    check(|_| ());
    check(|_| yield_now());
    check(|parked| parked.wait_until_finished());
    check(|parked| parked.kill());
    check(|parked| {
        while !parked.is_finished() {
            yield_now()
        }
    });
    spawn(move || check(|_| ())).wait().unwrap();
}

/// Those that were parked, queued, delayed or asleep at the fork.
fn nobody_runs() {
    let parent = me();
    let runs_here = move |what: &'static str| assert_eq!(me(), parent, "{what} runs in the child");
    let (waiting, in_line) = line();
    let over = Rc::new(Cell::new(false));
    let yields = Rc::clone(&over);
    let joined = spawn(|| sleep(Duration::from_millis(20)));
    let mut threads = vec![
        spawn(move || {
            wait_in(&in_line);
            runs_here("one in a line");
        }),
        spawn(move || {
            sleep(Duration::from_millis(20));
            runs_here("a sleeper");
        }),
        spawn_after(Duration::from_millis(20), move || runs_here("one that was delayed")),
        spawn(move || {
            while !yields.get() {
                yield_now();
                runs_here("one that yields");
            }
        }),
        spawn(move || {
            joined.wait().unwrap();
            runs_here("one that joins");
        }),
    ];
    yield_now();
    threads.push(spawn(move || runs_here("one that has not started")));

    let child = {
        let waiting = Rc::clone(&waiting);
        move || {
            // What the parent's wait for comes, here.
            waiting.wake_all();
            yield_now();
            waiting.wake_all();
            sleep(Duration::from_millis(40));
            use_everything();
        }
    };
    let of_main = fork(child.clone());
    let of_a_green_thread = spawn(move || fork(child)).wait().unwrap();
    assert_eq!(end_of(of_main).code(), Some(0));
    assert_eq!(end_of(of_a_green_thread).code(), Some(0));
    over.set(true);
    waiting.wake_all();
    assert!(join_all(threads).iter().all(Result::is_ok));

    // Main itself waits, and somebody else forks.
    let (main, in_line) = line();
    let forks = spawn(move || {
        let pid = fork({
            let main = Rc::clone(&main);
            move || {
                use_everything();
                main.wake_all();
                sleep(Duration::from_millis(10));
            }
        });
        main.wake_all();
        pid
    });
    wait_in(&in_line);
    runs_here("main");
    assert_eq!(end_of(forks.wait().unwrap()).code(), Some(0));
}

/// Forks, and both sides go on. The child's id, or 0 in the child.
fn fork_and_go_on() -> libc::pid_t {
    // SAFETY: as in `fork`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::alarm(30) };
    }
    pid
}

/// Every way in which a green thread can come to its end in a child that it has forked.
fn returns() {
    thread_local! { static CHILD: Cell<libc::pid_t> = const { Cell::new(0) }; }
    struct Forks;

    impl Drop for Forks {
        fn drop(&mut self) {
            CHILD.set(fork_and_go_on());
        }
    }

    green_local! { static FORKS: Forks = Forks; }

    let parent = me();
    let ways: [fn(); 7] = [
        || spawn(|| drop(Forks)).wait().unwrap(),
        || {
            let uses_evy = || {
                drop(Forks);
                if CHILD.get() == 0 {
                    use_everything();
                }
            };
            spawn(uses_evy).wait().unwrap();
        },
        || {
            let panics = || {
                drop(Forks);
                assert!(CHILD.get() > 0, "in the child");
            };
            spawn(panics).wait().unwrap();
        },
        || {
            let thread = spawn(|| ());
            thread.on_exit(|_| drop(Forks));
            thread.wait().unwrap();
        },
        || {
            spawn_n(|| Forks);
            yield_now();
        },
        || spawn(|| FORKS.with(|_| ())).wait().unwrap(),
        || {
            let unwinds = spawn(|| {
                let _forks = Forks;
                sleep(HOUR);
            });
            yield_now();
            unwinds.kill();
        },
    ];
    for (n, way) in ways.iter().enumerate() {
        way();
        if me() != parent {
            eprintln!("main goes on in the child, way {n}");
            exit(FAILED);
        }
        assert_eq!(end_of(CHILD.get()).code(), Some(101), "way {n}");
    }
    use_everything();
}

fn job_returns() {
    for panics in [false, true] {
        let child = unblock(move || {
            let pid = fork_and_go_on();
            assert!(pid > 0 || !panics, "in the child");
            if pid == 0 {
                // It is one OS thread with a hub of its own, and its jobs run in place.
                sleep(Duration::from_millis(1));
                assert_eq!(unblock(|| 7), 7);
            }
            pid
        });
        assert_eq!(end_of(child).code(), Some(101));
        use_everything();
    }
}

fn pools() {
    threadpool::set_size(2);
    let (gates, jobs): (Vec<_>, Vec<_>) = (0..3)
        .map(|n| {
            let (gate, opened) = mpsc::channel::<()>();
            let job = spawn(move || {
                unblock(move || {
                    let _ = opened.recv();
                    (n, me())
                })
            });
            (gate, job)
        })
        .unzip();
    yield_now();
    assert_eq!((threadpool::stats().running, threadpool::stats().queued), (2, 1));
    let of_child = || {
        assert_eq!(threadpool::stats(), threadpool::Stats::default());
        assert_eq!(threadpool::size(), 2);
        threadpool::shutdown(HOUR).unwrap();
        let threads = (0..5).map(|n| spawn(move || unblock(move || (n, me()))));
        let results: Vec<_> = join_all(threads).into_iter().map(Result::unwrap).collect();
        assert!(results.into_iter().eq((0..5).map(|n| (n, me()))));
        threadpool::shutdown(HOUR).unwrap();
    };
    let children = [fork(of_child), spawn(move || fork(of_child)).wait().unwrap()];
    for child in children {
        assert_eq!(end_of(child).code(), Some(0));
    }
    assert_eq!((threadpool::stats().running, threadpool::stats().queued), (2, 1));
    drop(gates);
    let results = join_all(jobs).into_iter().map(Result::unwrap);
    assert!(results.eq((0..3).map(|n| (n, me()))));
    threadpool::shutdown(HOUR).unwrap();
}

fn remotes() {
    let here = Remote::current();
    let finished = here.spawn(|| "before the fork");
    sleep(Duration::from_millis(1));
    let pending = here.spawn(|| "after the fork");
    let (give, unparker) = mpsc::channel();
    let parked = spawn(move || {
        let parker = Parker::new();
        give.send(parker.unparker()).unwrap();
        parker.park(SOMETHING, None).unwrap();
    });
    yield_now();
    let unparker = unparker.recv().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let (give, there) = mpsc::channel();
    let other = std::thread::spawn(move || {
        give.send(Remote::current()).unwrap();
        unblock(move || assert!(stopped.recv().is_err()));
    });
    let there = there.recv().unwrap();
    let parker = Parker::new();

    let child = {
        let (here, there, unparker) = (here.clone(), there.clone(), unparker.clone());
        fork(move || {
            for remote in [here, there] {
                assert!(remote.has_ended());
                let dropped = Arc::new(AtomicBool::new(false));
                let note = OnDrop({
                    let dropped = Arc::clone(&dropped);
                    move || dropped.store(true, Ordering::SeqCst)
                });
                let nowhere = remote.spawn(move || drop(note));
                assert!(dropped.load(Ordering::SeqCst));
                assert!(nowhere.is_finished());
                assert!(matches!(nowhere.wait(), Err(Died::HubEnded)));
            }
            assert!(pending.is_finished());
            assert!(matches!(pending.wait(), Err(Died::HubEnded)));
            assert_eq!(finished.wait().unwrap(), "before the fork");
            unparker.unpark();
            drop(unparker);
            yield_now();
            let text = panic_of(|| parker.park(SOMETHING, None));
            assert_eq!(text, "a parker belongs to its green thread");
            use_everything();
        })
    };
    assert_eq!(end_of(child).code(), Some(0));
    sleep(Duration::from_millis(5));
    assert!(!parked.is_finished());
    unparker.unpark();
    parked.wait().unwrap();
    assert!(!here.has_ended() && !there.has_ended());
    assert_eq!(there.spawn(|| 7).wait().unwrap(), 7);
    drop(stop);
    unblock(|| other.join()).unwrap();
}

/// By fork and exec, also where std cannot use posix_spawn.
fn programs() {
    let echo = Echo::new();
    let list = || {
        let mut command = Command::new("ls");
        command.args(["-l", "/proc/self/fd"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    };
    let check = move |mut command: Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let descriptors = String::from_utf8(output.stdout).unwrap();
        assert!(descriptors.contains("/dev/null"), "{descriptors}");
        assert!(!descriptors.contains("anon_inode"), "{descriptors}");
    };
    let forked = move || {
        let mut command = list();
        // SAFETY: the closure does nothing.
        unsafe { command.pre_exec(|| Ok(())) };
        command
    };
    check(list());
    check(forked());
    spawn(move || check(forked())).wait().unwrap();
    unblock(move || check(forked()));
    spawn(move || {
        let mut command = list();
        // SAFETY: the closure does nothing but fail.
        unsafe { command.pre_exec(|| Err(io::ErrorKind::AddrInUse.into())) };
        assert!(command.output().is_err());
    })
    .wait()
    .unwrap();
    let mut child = Command::new("sleep").arg("0.05").spawn().unwrap();
    echo.goes_on_until_the_end_of(child.id() as libc::pid_t);
    assert!(child.try_wait().is_err(), "it was waited for already");
}

/// Other OS threads use everything that has a lock, all the time.
fn held_locks() {
    let _watchdog = Watchdog::new("a lock was held at the fork");
    let here = Remote::current();
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (here, stop) = (here.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let there = here.spawn(|| 7);
                    assert_eq!(unblock(|| 8), 8);
                    assert_eq!(there.wait().unwrap(), 7);
                }
            })
        })
        .collect();
    for n in 0..util::rounds(1_000).max(20) {
        let here = here.clone();
        let (waits, theirs) = pair();
        assert!(timeout(Duration::ZERO, || waits.read()).is_err());
        let unparker = Parker::new().unparker();
        let child = move || {
            assert!(here.spawn(|| ()).wait().is_err());
            drop(here);
            drop((waits, theirs));
            unparker.unpark();
            assert_eq!(spawn(|| unblock(|| 9)).wait().unwrap(), 9);
        };
        let child =
            if n % 2 == 0 { fork(child) } else { spawn(move || fork(child)).wait().unwrap() };
        assert_eq!(end_of(child).code(), Some(0));
    }
    stop.store(true, Ordering::Relaxed);
    for other in others {
        unblock(|| other.join()).unwrap();
    }
}

fn main() {
    if let Some(name) = std::env::var_os(CASE) {
        let case = CASES.iter().find(|case| name == case.name).expect("one of the cases");
        return (case.main)();
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = |case: &&Case| {
        // AddressSanitizer has a handler, and words, of its own for an overflow.
        let is_possible = !util::is_asan() || !case.name.contains("overflow");
        is_possible && only.as_ref().is_none_or(|only| case.name.contains(only))
    };
    let failed = CASES.iter().filter(chosen).filter(|case| !passes(case)).count();
    if failed > 0 {
        exit(1);
    }
}

fn passes(case: &Case) -> bool {
    ["epoll", "polling"].into_iter().all(|driver| {
        let mut command = Command::new(std::env::current_exe().expect("a test is a file"));
        command.env(CASE, case.name).env("EVY_DRIVER", driver).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let _watchdog = Watchdog::new(case.name);
        let output = command.output().expect("this very program can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = |(count, text): &(usize, &str)| stderr.matches(text).count() == *count;
        let quiet = !stderr.contains("a destructor of the parent's");
        let passes = output.status.success() && quiet && case.says.iter().all(said);
        println!("test {} ({driver}) ... {}", case.name, if passes { "ok" } else { "FAILED" });
        if !passes {
            println!("{}\n{stderr}", output.status);
        }
        passes
    })
}
