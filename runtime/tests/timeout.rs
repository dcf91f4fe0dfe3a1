//! Timeouts and sleeps: whose unwind it is, when it comes, and what it leaves behind.

mod util;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{
    Died, Elapsed, TimedOut, WaitList, join_all, kill_all, sleep, spawn, spawn_n, timeout,
    wait_readable, yield_now,
};
use util::{
    Child, HOUR, Log, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered, is_child, line,
    wait_in,
};

const MOMENT: Duration = Duration::from_millis(2);

/// So much longer that what takes next to no time is done before, also on a busy machine.
const LONGER: Duration = Duration::from_millis(300);

/// Keeps the OS thread busy until a deadline that is `MOMENT` away has passed for sure.
fn let_a_moment_pass() {
    let start = Instant::now();
    while start.elapsed() <= MOMENT {}
}

/// Lets the hub see what is due while everybody behind this call in the ready queue stays queued:
/// 300 switches make it look at the clock.
fn look_at_the_clock() {
    for _ in 0..300 {
        spawn_n(|| ());
    }
}

/// Semantics D 69.
#[test]
fn work_that_ends_first_gives_its_result_and_leaves_no_deadline() {
    assert_eq!(timeout(HOUR, || 7), Ok(7));
    assert_eq!(timeout(HOUR, || spawn(|| 8).wait().unwrap()), Ok(8));
    let in_thread = spawn(|| {
        timeout(HOUR, || {
            yield_now();
            9
        })
    });
    assert_eq!(in_thread.wait().unwrap(), Ok(9));
    assert_nothing_is_registered();
}

/// Semantics D 70.
#[test]
fn work_that_takes_longer_is_cut_off_and_its_destructors_run() {
    let log = Log::new();
    let start = Instant::now();
    let result = timeout(MOMENT, || {
        let _guard = log.on_drop("dropped");
        sleep(HOUR);
        log.add("went on");
    });
    assert!(result.is_err());
    assert!(start.elapsed() >= MOMENT);
    assert_eq!(log.take(), ["dropped"]);
    assert_nothing_is_registered();
}

/// Semantics D 70.
#[test]
fn the_error_says_so_and_is_timed_out_for_io() {
    let elapsed = timeout(Duration::ZERO, yield_now).unwrap_err();
    assert_eq!(elapsed.to_string(), "the time for this was over before it was done");
    assert_eq!(std::io::Error::from(elapsed).kind(), ErrorKind::TimedOut);
}

/// Semantics D 70: what never fires.
#[test]
fn max_never_fires() {
    let (gate, line) = line();
    let waits = spawn(move || timeout(Duration::MAX, || wait_in(&line)));
    yield_now();
    assert_nothing_is_registered();
    gate.wake_one();
    assert_eq!(waits.wait().unwrap(), Ok(()));
    assert_eq!(timeout(Duration::from_nanos(u64::MAX), || 1), Ok(1));
    assert_eq!(timeout(Duration::from_nanos(u64::MAX - 1), || 2), Ok(2));
}

/// FAULTS row 25.
#[test]
fn fault_25_zero_is_due_at_the_first_park_and_not_before() {
    assert_eq!(timeout(Duration::ZERO, || 7), Ok(7));
    assert!(timeout(Duration::ZERO, || sleep(HOUR)).is_err());
    assert!(timeout(Duration::ZERO, yield_now).is_err());
    assert!(timeout(Duration::ZERO, || wait_in(&WaitList::new())).is_err());
    assert_nothing_is_registered();
}

/// DESIGN 3, timeout: a swallowed one is not thrown again, and `timeout` then gives `Ok`.
#[test]
fn one_that_is_swallowed_is_not_thrown_again() {
    for duration in [Duration::ZERO, MOMENT] {
        let result = timeout(duration, || {
            assert!(catch_unwind(|| sleep(HOUR)).is_err());
            yield_now();
            sleep(2 * MOMENT);
            7
        });
        assert_eq!(result, Ok(7));
        assert_nothing_is_registered();
    }
}

/// Semantics D 71.
#[test]
fn of_nested_ones_the_shorter_inner_ends_its_own_work_alone() {
    let log = Log::new();
    let outer = timeout(HOUR, || {
        let inner = timeout(MOMENT, || sleep(HOUR));
        log.add("after the inner");
        inner
    });
    assert!(matches!(outer, Ok(Err(Elapsed { .. }))));
    assert_eq!(log.take(), ["after the inner"]);
    assert_nothing_is_registered();
}

/// Semantics D 71.
#[test]
fn of_nested_ones_the_shorter_outer_ends_all_of_it() {
    let log = Log::new();
    let outer = timeout(MOMENT, || {
        let _inner = timeout(HOUR, || sleep(HOUR));
        log.add("after the inner");
    });
    assert!(outer.is_err());
    assert_eq!(log.take(), [""; 0]);
    assert_nothing_is_registered();
}

/// Semantics D 71 and 72: identity decides.
#[test]
fn of_nested_ones_that_are_due_at_once_the_outermost_comes_out() {
    let log = Log::new();
    for (outermost, middle) in
        [(Duration::ZERO, Duration::ZERO), (MOMENT, MOMENT / 2), (MOMENT / 2, MOMENT)]
    {
        let outer = timeout(outermost, || {
            let _middle = timeout(middle, || {
                let _inner = timeout(middle, || {
                    let_a_moment_pass();
                    // All are due; the hub finds them in one turn.
                    sleep(HOUR);
                });
                log.add("after the inner");
            });
            log.add("after the middle");
        });
        assert!(outer.is_err());
        assert_eq!(log.take(), [""; 0]);
        assert_nothing_is_registered();
    }
}

/// Semantics D 71: the state after it is as if the inner had never been.
#[test]
fn an_outer_one_still_fires_after_an_inner_one_has() {
    let log = Log::new();
    let outer = timeout(LONGER, || {
        assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
        assert_eq!(timeout(HOUR, || 1), Ok(1));
        log.add("goes on");
        sleep(HOUR);
    });
    assert!(outer.is_err());
    assert_eq!(log.take(), ["goes on"]);
}

/// Semantics D 71.
#[test]
fn a_hundred_deep_the_right_one_catches_it() {
    fn nest(depth: u32, shortest: u32) -> Result<u32, u32> {
        if depth == 0 {
            sleep(HOUR);
            return Ok(0);
        }
        let duration = if depth == shortest { Duration::ZERO } else { HOUR };
        match timeout(duration, || nest(depth - 1, shortest)) {
            Ok(result) => result,
            Err(Elapsed { .. }) => Err(depth),
        }
    }
    for shortest in [1, 50, 100] {
        assert_eq!(nest(100, shortest), Err(shortest));
    }
    assert_nothing_is_registered();
}

/// Semantics D 72.
#[test]
fn what_a_nested_one_unwinds_with_is_not_taken_for_ones_own() {
    let waits = spawn(|| {
        let outer = timeout(HOUR, || {
            let inner = timeout(HOUR, || panic!("on purpose"));
            inner.is_ok()
        });
        outer.is_ok()
    });
    let Err(Died::Panicked(payload)) = waits.wait() else { panic!("the panic passes") };
    assert_eq!(util::text(&*payload), "on purpose");
    assert_nothing_is_registered();
}

/// Semantics D 73; FAULTS row 23: a timeout never kills the next operation.
#[test]
fn fault_23_one_that_fired_leaves_no_trace_on_what_it_was_waiting_for() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let reader = spawn(move || {
        let first = timeout(MOMENT, || wait_readable(&ours, None));
        assert!(first.is_err());
        std::io::Write::write_all(&mut theirs, b"x").unwrap();
        // Nobody is woken by it but who waits for it.
        sleep(MOMENT);
        wait_readable(&ours, None).unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut &ours, &mut byte).unwrap();
        byte
    });
    assert_eq!(reader.wait().unwrap(), *b"x");
    assert_nothing_is_registered();
}

/// Semantics D 73; FAULTS row 53.
#[test]
fn fault_53_one_that_fires_in_a_line_leaves_it() {
    let (gate, line) = line();
    let waits = |duration| {
        let line = Rc::clone(&line);
        spawn(move || timeout(duration, || wait_in(&line)))
    };
    let (short, long) = (waits(MOMENT), waits(HOUR));
    assert!(short.wait().unwrap().is_err());
    assert_eq!(gate.len(), 1);
    gate.wake_one();
    assert_eq!(long.wait().unwrap(), Ok(()));
    assert_nothing_is_registered();
}

/// The wait's own deadline is an error, that of the list's user.
#[test]
fn a_line_with_a_deadline_gives_timed_out() {
    let (gate, line) = line();
    let start = Instant::now();
    assert_eq!(
        gate.wait(SOMETHING, Some(MOMENT), || panic!("it was handed nothing")),
        Err(TimedOut)
    );
    assert!(start.elapsed() >= MOMENT);
    assert_eq!(gate.wait(SOMETHING, Some(Duration::ZERO), || ()), Err(TimedOut));
    let waits = spawn(move || line.wait(SOMETHING, Some(Duration::MAX), || ()));
    yield_now();
    assert_nothing_is_registered();
    gate.wake_one();
    assert_eq!(waits.wait().unwrap(), Ok(()));
    assert!(gate.is_empty());
}

/// FAULTS row 23: DESIGN 3, a queued thread keeps its wake, so a hand-off stands.
#[test]
fn fault_23_one_that_falls_due_while_its_thread_is_queued_is_thrown_at_the_next_park() {
    let log = Log::new();
    let (gate, line) = line();
    let waits = spawn({
        let log = log.clone();
        move || {
            let result = timeout(MOMENT, || {
                line.wait(SOMETHING, None, || log.add("passed on")).unwrap();
                log.add("handed");
                yield_now();
                log.add("went on");
            });
            log.add(format!("{}", result.is_err()));
        }
    });
    yield_now();
    let_a_moment_pass();
    look_at_the_clock();
    assert!(gate.wake_one());
    waits.wait().unwrap();
    assert_eq!(log.take(), ["handed", "true"]);
    assert_nothing_is_registered();
}

/// FAULTS row 23: it counts for what parks, not for what returns.
#[test]
fn fault_23_one_that_falls_due_while_its_thread_is_queued_is_nothing_to_work_that_ends() {
    let (gate, line) = line();
    let waits = spawn(move || {
        let result = timeout(MOMENT, || {
            wait_in(&line);
            7
        });
        // Nor to the next operation.
        yield_now();
        sleep(MOMENT);
        result
    });
    yield_now();
    let_a_moment_pass();
    look_at_the_clock();
    assert!(gate.wake_one());
    assert_eq!(waits.wait().unwrap(), Ok(7));
    assert_nothing_is_registered();
}

/// FAULTS row 6: one that falls due while its thread unwinds would abort the process.
#[test]
fn fault_06_one_that_falls_due_while_its_thread_unwinds_is_not_thrown() {
    let (gate, line) = line();
    let unwinds = spawn({
        let line = Rc::clone(&line);
        move || {
            timeout(MOMENT, || {
                let _guard = OnDrop(|| wait_in(&line));
                panic!("on purpose");
            })
        }
    });
    let killed = spawn(move || {
        timeout(MOMENT, || {
            let _guard = OnDrop(|| wait_in(&line));
            sleep(HOUR);
        })
    });
    yield_now();
    killed.kill();
    sleep(2 * MOMENT);
    assert_eq!(gate.len(), 2);
    gate.wake_all();
    assert!(matches!(unwinds.wait(), Err(Died::Panicked(_))));
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert!(!std::thread::panicking());
    assert_nothing_is_registered();
}

/// FAULTS row 6: the outer one falls due while the inner one unwinds.
#[test]
fn fault_06_an_outer_one_waits_for_the_unwind_of_an_inner_one() {
    let log = Log::new();
    let (gate, line) = line();
    let thread = spawn({
        let log = log.clone();
        move || {
            timeout(LONGER, || {
                let inner = timeout(MOMENT, || {
                    let _guard = OnDrop(|| wait_in(&line));
                    sleep(HOUR);
                });
                log.add(format!("inner {}", inner.is_err()));
                yield_now();
                log.add("went on");
            })
        }
    });
    while gate.is_empty() {
        sleep(MOMENT);
    }
    // The outer one began before that.
    sleep(LONGER);
    assert_eq!(gate.len(), 1);
    gate.wake_one();
    assert!(thread.wait().unwrap().is_err());
    assert_eq!(log.take(), ["inner true"]);
    assert_nothing_is_registered();
}

/// A timeout around a kill is about the killer alone.
#[test]
fn a_kill_inside_the_work_does_not_end_the_work() {
    let target = spawn(|| sleep(HOUR));
    yield_now();
    assert_eq!(timeout(HOUR, || target.kill()), Ok(()));
    assert!(target.is_finished());
    // Also when it is due: the target ends all the same.
    let target = spawn(|| sleep(HOUR));
    yield_now();
    let result = timeout(Duration::ZERO, || {
        target.kill();
        yield_now();
    });
    assert!(result.is_err());
    assert!(target.is_finished());
    assert_nothing_is_registered();
}

/// DESIGN 3: `timeout` catches only its own unwind.
#[test]
fn a_kill_of_the_worker_passes_through() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _result = timeout(HOUR, || {
                let _guard = log.on_drop("dropped");
                timeout(HOUR, || sleep(HOUR))
            });
            log.add("went on");
        }
    });
    yield_now();
    target.kill();
    assert_eq!(log.take(), ["dropped"]);
    assert!(matches!(target.wait(), Err(Died::Killed)));
    assert_nothing_is_registered();
}

/// Semantics D 75.
#[test]
fn equal_deadlines_fire_in_order_and_later_ones_later() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let early = Instant::now() + LONGER;
    let threads: Vec<_> = (0..200)
        .map(|n| {
            let (order, ours) = (Rc::clone(&order), Rc::clone(&ours));
            let deadline = if n % 2 == 0 { early } else { early + MOMENT };
            spawn(move || {
                let result = wait_readable(&*ours, Some(deadline));
                assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
                assert!(Instant::now() >= deadline);
                order.borrow_mut().push(n);
            })
        })
        .collect();
    assert!(join_all(threads).iter().all(Result::is_ok));
    let expected: Vec<_> = (0..200).step_by(2).chain((1..200).step_by(2)).collect();
    assert_eq!(order.take(), expected);
    assert_nothing_is_registered();
}

/// Semantics D 77; FAULTS row 25.
#[test]
fn fault_25_nothing_fires_early() {
    let threads: Vec<_> = (0..200_u32)
        .map(|n| {
            let duration = Duration::from_nanos(u64::from(n) * 7_919);
            spawn(move || {
                let start = Instant::now();
                match n % 3 {
                    0 => sleep(duration),
                    1 => assert!(timeout(duration, || sleep(HOUR)).is_err()),
                    _ => {
                        let line = WaitList::new();
                        assert!(line.wait(SOMETHING, Some(duration), || ()).is_err());
                    }
                }
                assert!(start.elapsed() >= duration);
            })
        })
        .collect();
    assert!(join_all(threads).iter().all(Result::is_ok));
}

/// Semantics D 77: it rounds up, and does not poll its way through the last millisecond.
#[test]
fn a_loop_of_short_sleeps_takes_next_to_no_cpu() {
    let start = Instant::now();
    let before = cpu_time();
    for _ in 0..20 {
        sleep(Duration::from_millis(5));
    }
    assert!(start.elapsed() >= Duration::from_millis(100));
    let used = cpu_time() - before;
    let allowed = Duration::from_millis(if util::is_slow() { 1_000 } else { 30 });
    assert!(used < allowed, "{used:?} of 100 ms");
}

/// What this OS thread has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct lives through the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// FAULTS row 25.
#[test]
fn fault_25_sleep_of_zero_yields_once_and_of_max_is_for_ever() {
    let log = Log::new();
    let sleeper = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("killed");
            log.add("begins");
            sleep(Duration::MAX);
            log.add("went on");
        }
    });
    sleep(Duration::ZERO);
    log.add("yielded");
    assert_nothing_is_registered();
    sleeper.kill();
    assert_eq!(log.take(), ["begins", "yielded", "killed"]);
}

/// FAULTS row 24.
#[test]
fn fault_24_very_many_at_one_instant_all_fire_in_order() {
    let count = util::at_once(100_000);
    let _watchdog = Watchdog::new("a deadline did not fire");
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let order = Rc::new(RefCell::new(Vec::with_capacity(count)));
    let deadline = Instant::now() + Duration::from_millis(20);
    for n in 0..count {
        let (ours, order) = (Rc::clone(&ours), Rc::clone(&order));
        spawn_n(move || {
            assert!(wait_readable(&*ours, Some(deadline)).is_err());
            order.borrow_mut().push(n);
        });
    }
    yield_now();
    while order.borrow().len() < count {
        sleep(Duration::from_millis(1));
    }
    // Those that parked after the deadline are due at once, in another turn than the first ones.
    let order = order.take();
    assert_eq!(order, (0..count).collect::<Vec<_>>());
    assert_nothing_is_registered();
}

/// On the OS thread's own stack it works as anywhere.
#[test]
fn one_on_the_own_stack_of_the_os_thread_fires_while_others_run() {
    let turns = Rc::new(Cell::new(0_u32));
    let spinner = spawn({
        let turns = Rc::clone(&turns);
        move || {
            loop {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
    assert!(turns.get() > 0);
    assert!(timeout(MOMENT, || spawn(|| sleep(HOUR)).wait()).is_err());
    spinner.kill();
    kill_all();
    assert_nothing_is_registered();
}

/// DESIGN 3, masks: orders that wait are those from outside. What a hook or a destructor at the end
/// of a green thread bounds by a timeout of its own is bounded.
#[test]
fn one_inside_a_hook_or_a_last_destructor_fires() {
    struct Bounded(Log);

    impl Drop for Bounded {
        fn drop(&mut self) {
            let result = timeout(MOMENT, || sleep(HOUR));
            self.0.add(format!("{result:?}"));
        }
    }

    evy_runtime::green_local! {
        static LOCAL: RefCell<Option<Bounded>> = RefCell::new(None);
    }

    let _watchdog = Watchdog::new("a timeout in a hook did not fire");
    let log = Log::new();
    let thread = spawn({
        let log = log.clone();
        move || {
            yield_now();
            LOCAL.with(|local| *local.borrow_mut() = Some(Bounded(log.clone())));
            Bounded(log)
        }
    });
    thread.on_exit({
        let log = log.clone();
        move |_| {
            let outer = timeout(HOUR, || timeout(MOMENT, || sleep(HOUR)));
            log.add(format!("{outer:?}"));
        }
    });
    // Detached: the result is dropped by the green thread.
    drop(thread);
    sleep(10 * MOMENT);
    while log.len() < 3 {
        sleep(MOMENT);
    }
    let elapsed = "Err(Elapsed(()))";
    let mut results = log.take();
    results.sort();
    assert_eq!(results, [elapsed, elapsed, "Ok(Err(Elapsed(())))"]);
    assert_nothing_is_registered();
}

/// DESIGN 3, documented: a std `Mutex` that is held across a park is poisoned by a timeout.
#[test]
fn a_std_mutex_held_across_a_park_is_poisoned() {
    let mutex = std::sync::Mutex::new(());
    let result = timeout(Duration::ZERO, || {
        let _held = mutex.lock().unwrap();
        sleep(HOUR);
    });
    assert!(result.is_err());
    assert!(mutex.is_poisoned());
}

/// FAULTS row 26, Semantics D 78: SIGSTOP and SIGCONT.
#[test]
fn fault_26_one_that_falls_due_while_the_process_is_stopped_fires_when_it_goes_on() {
    const NAME: &str =
        "fault_26_one_that_falls_due_while_the_process_is_stopped_fires_when_it_goes_on";
    if is_child(NAME) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let ticks = Rc::new(Cell::new(0));
        spawn_n({
            let ticks = Rc::clone(&ticks);
            move || {
                loop {
                    sleep(Duration::from_millis(10));
                    ticks.set(ticks.get() + 1);
                }
            }
        });
        // The stop comes in between: another process sends SIGCONT.
        let id = std::process::id();
        let mut wakes = std::process::Command::new("sh")
            .args(["-c", &format!("kill -STOP {id}; sleep 0.1; kill -CONT {id}")])
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = wait_readable(&ours, Some(deadline)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // No burst for what was missed: a sleep begins when the one before has ended.
        assert!(ticks.get() <= 6, "{} ticks", ticks.get());
        wakes.wait().unwrap();
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
}

/// FAULTS row 27: an EINTR storm.
#[test]
fn fault_27_signals_neither_reach_a_caller_nor_move_a_deadline() {
    const NAME: &str = "fault_27_signals_neither_reach_a_caller_nor_move_a_deadline";
    extern "C" fn ignore(_: libc::c_int) {}
    if is_child(NAME) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let storm = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: the structs live through the calls; the handler does nothing. No SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &raw const storm, std::ptr::null_mut());
        }
        let sleepers: Vec<_> = (0..20)
            .map(|n| {
                let duration = Duration::from_millis(20 + n);
                spawn(move || {
                    let start = Instant::now();
                    sleep(duration);
                    assert!(start.elapsed() >= duration);
                })
            })
            .collect();
        let deadline = Instant::now() + Duration::from_millis(60);
        let error = wait_readable(&ours, Some(deadline)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        assert_eq!(evy_runtime::unblock(|| 7), 7);
        assert!(join_all(sleepers).iter().all(Result::is_ok));
        return;
    }
    // The storm hits whichever OS thread has not blocked the signal; there are two or three.
    let ended = Child::new(NAME).on_main_thread().run();
    assert!(ended.status.success(), "{ended:?}");
}
