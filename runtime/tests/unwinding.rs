//! Blocking while a green thread unwinds: FAULTS 2.2, case by case, as far as our own kill, timeouts and
//! panics can reach them.
//!
//! `std::thread::panicking()` is one flag for the whole OS thread. While a green thread is suspended in
//! the middle of its unwinding, it is true for all others too, and they must not take it for theirs.

mod util;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::thread::panicking;
use std::time::{Duration, Instant};

use evy_runtime::{
    Died, GreenThread, WaitList, join_all, sleep, spawn, spawn_n, timeout, unblock, wait_readable,
    yield_now,
};
use util::{
    Child, HOUR, Log, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered, is_child, line,
    panic_of, wait_in,
};

const MOMENT: Duration = Duration::from_millis(2);

/// The ways to unwind, as bodies of a green thread that has to be started and, for the first, killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Kill,
    Timeout,
    Panic,
}

const WAYS: [Way; 3] = [Way::Kill, Way::Timeout, Way::Panic];

/// Unwinds in a green thread of its own, with `in_drop` as a destructor on the way, and returns when
/// that one has ended or is suspended there.
fn unwinds(way: Way, in_drop: impl FnMut() + 'static) -> GreenThread<()> {
    let thread = spawn(move || {
        let work = || {
            let _guard = OnDrop(in_drop);
            if way == Way::Panic {
                panic!("on purpose");
            }
            sleep(HOUR);
        };
        match way {
            Way::Timeout => assert!(timeout(Duration::ZERO, work).is_err()),
            _ => work(),
        }
    });
    yield_now();
    if way == Way::Kill {
        thread.kill();
    }
    thread
}

fn assert_ended(way: Way, thread: GreenThread<()>) {
    match (way, thread.wait()) {
        (Way::Kill, Err(Died::Killed)) | (Way::Timeout, Ok(())) => {}
        (Way::Panic, Err(Died::Panicked(payload))) => {
            assert_eq!(util::text(&*payload), "on purpose");
        }
        (way, result) => panic!("{way:?} ended as {result:?}"),
    }
}

/// One that is suspended in the middle of unwinding until the line is woken.
fn suspended(way: Way) -> (GreenThread<()>, Rc<WaitList>) {
    let (gate, line) = line();
    let thread = unwinds(way, move || wait_in(&line));
    assert_eq!(gate.len(), 1);
    assert!(panicking());
    (thread, gate)
}

/// Rule of 2.2: `yield_now` does nothing.
#[test]
fn fault_06_a_yield_in_a_destructor_does_nothing_while_it_unwinds() {
    for way in WAYS {
        let log = Log::new();
        let other = {
            let log = log.clone();
            move || log.add("another ran")
        };
        let thread = unwinds(way, {
            let log = log.clone();
            move || {
                spawn_n(other.clone());
                for _ in 0..3 {
                    yield_now();
                    sleep(Duration::ZERO);
                }
                log.add("done");
            }
        });
        assert_ended(way, thread);
        yield_now();
        assert_eq!(log.take(), ["done", "another ran"], "{way:?}");
        assert!(!panicking());
    }
}

/// Rule of 2.2: `sleep` blocks the OS thread, at most 10 ms.
#[test]
fn fault_06_a_sleep_in_a_destructor_blocks_for_ten_milliseconds_at_most() {
    for way in WAYS {
        let slept = Rc::new(Cell::new([Duration::ZERO; 2]));
        let ran = Rc::new(Cell::new(false));
        let thread = unwinds(way, {
            let (slept, ran) = (Rc::clone(&slept), Rc::clone(&ran));
            move || {
                let other = Rc::clone(&ran);
                spawn_n(move || other.set(true));
                slept.set([MOMENT, HOUR].map(|duration| {
                    let start = Instant::now();
                    sleep(duration);
                    start.elapsed()
                }));
                assert!(!ran.get());
            }
        });
        assert_ended(way, thread);
        let [short, long] = slept.get();
        assert!(
            short >= MOMENT && long >= Duration::from_millis(10),
            "{way:?}: {short:?} {long:?}"
        );
        assert!(long < Duration::from_secs(5), "{way:?}: {long:?}");
        assert_nothing_is_registered();
    }
}

/// Rule of 2.2: I/O that would block is an error; what would not is done.
#[test]
fn fault_06_a_wait_for_a_descriptor_in_a_destructor_would_block() {
    for way in WAYS {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let thread = unwinds(way, {
            let kinds = Rc::clone(&kinds);
            move || {
                let mut kinds = kinds.borrow_mut();
                for deadline in [None, Some(Instant::now() + HOUR)] {
                    kinds.push(wait_readable(&ours, deadline).unwrap_err().kind());
                }
                std::io::Write::write_all(&mut &theirs, b"x").unwrap();
                assert!(wait_readable(&ours, None).is_ok());
            }
        });
        assert_ended(way, thread);
        assert_eq!(kinds.take(), [ErrorKind::WouldBlock; 2]);
        assert_nothing_is_registered();
    }
}

/// Rule of 2.2, 3: locks, channels and joins suspend, and the others run meanwhile.
#[test]
fn fault_06_a_line_and_a_join_in_a_destructor_suspend() {
    for way in WAYS {
        let (thread, gate) = suspended(way);
        assert!(!thread.is_finished());
        assert_eq!(spawn(|| 7).wait().unwrap(), 7);
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());

        let (gate, line) = line();
        let mut joined = Some(spawn(move || wait_in(&line)));
        let thread = unwinds(way, move || joined.take().unwrap().wait().unwrap());
        assert!(!thread.is_finished());
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
        assert_nothing_is_registered();
    }
}

/// Everything that parks, as somebody who does not unwind does it.
fn use_everything(log: &Log) {
    let ran = Rc::new(Cell::new(0));
    let others = Rc::clone(&ran);
    let other = spawn(move || {
        others.set(others.get() + 1);
        yield_now();
        others.set(others.get() + 1);
    });
    yield_now();
    assert_eq!(ran.get(), 1, "a yield lets others run");
    sleep(Duration::ZERO);
    assert_eq!(ran.get(), 2, "a sleep of zero lets others run");
    other.wait().unwrap();

    let sleeper = spawn(|| {
        let start = Instant::now();
        sleep(MOMENT * 10);
        assert!(start.elapsed() >= MOMENT * 10, "longer than what blocks while unwinding");
    });
    sleep(MOMENT);
    sleeper.wait().unwrap();

    let (ours, theirs) = UnixStream::pair().unwrap();
    let writer = spawn(move || std::io::Write::write_all(&mut &theirs, b"x").map(|()| theirs));
    wait_readable(&ours, None).unwrap();
    let _theirs = writer.wait().unwrap().unwrap();
    std::io::Read::read_exact(&mut &ours, &mut [0]).unwrap();
    let error = wait_readable(&ours, Some(Instant::now() + MOMENT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    let here = std::thread::current().id();
    assert_ne!(unblock(|| std::thread::current().id()), here);

    let (gate, line) = line();
    spawn_n(move || {
        yield_now();
        gate.wake_one();
    });
    wait_in(&line);
    assert!(line.wait(SOMETHING, Some(MOMENT), || ()).is_err());
    log.add("used everything");
}

/// Cases a and b: others see no wrong behaviour while somebody is suspended in the middle of
/// unwinding: one that begins there, one that was parked before, and the OS thread's own stack.
#[test]
fn fault_06_all_others_work_as_ever_meanwhile() {
    let _watchdog = Watchdog::new("somebody takes another's unwinding for its own");
    for way in WAYS {
        let log = Log::new();
        let (before, line) = line();
        let parked = spawn({
            let log = log.clone();
            move || {
                wait_in(&line);
                use_everything(&log);
            }
        });
        yield_now();
        let (thread, gate) = suspended(way);
        use_everything(&log);
        let begins = spawn({
            let log = log.clone();
            move || use_everything(&log)
        });
        begins.wait().unwrap();
        before.wake_one();
        parked.wait().unwrap();
        assert_eq!(log.take().len(), 3);
        assert!(!thread.is_finished());
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
    }
}

/// Their timeouts and kills work as ever, too.
#[test]
fn fault_06_orders_reach_all_others_meanwhile() {
    let _watchdog = Watchdog::new("an order does not arrive");
    for way in WAYS {
        let (thread, gate) = suspended(way);
        assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
        assert!(timeout(Duration::ZERO, yield_now).is_err());
        let log = Log::new();
        let target = spawn({
            let log = log.clone();
            move || {
                let _guard = log.on_drop("dropped");
                assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
                sleep(HOUR);
            }
        });
        sleep(4 * MOMENT);
        target.kill();
        assert_eq!(log.take(), ["dropped"]);
        assert!(matches!(target.wait(), Err(Died::Killed)));
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
    }
}

/// Cases b and b2: another panics meanwhile. It is caught, its destructors run, nothing aborts.
#[test]
fn fault_06_others_may_panic_meanwhile() {
    for way in WAYS {
        let (thread, gate) = suspended(way);
        let log = Log::new();
        for inner in WAYS {
            let other = unwinds(inner, {
                let log = log.clone();
                move || log.add("dropped")
            });
            assert_ended(inner, other);
        }
        assert_eq!(log.take(), ["dropped"; 3]);
        assert_eq!(panic_of(|| panic!("on this stack")), "on this stack");
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
    }
}

/// Case c: several are suspended at once, and go on in every order.
#[test]
fn fault_06_interleaved_unwinds_finish_in_every_order() {
    let _watchdog = Watchdog::new("interleaved unwinds");
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for ways in [[0, 1, 2], [2, 2, 2], [0, 0, 0], [2, 1, 0], [1, 2, 2]] {
        for order in orders {
            let ways = ways.map(|n: usize| WAYS[n]);
            let mut threads = ways.map(|way| Some(suspended(way)));
            for n in order {
                // With each step fewer are suspended; nobody else may notice.
                let log = Log::new();
                use_everything(&log);
                let (thread, gate) = threads[n].take().unwrap();
                gate.wake_one();
                assert_ended(ways[n], thread);
            }
            assert!(!panicking());
        }
    }
    assert_nothing_is_registered();
}

/// A second one begins to unwind while a first is suspended, and stays when the first has gone: from
/// then on nobody but the second accounts for `panicking()`.
#[test]
fn fault_06_who_began_to_unwind_second_is_not_forgotten_when_the_first_has_ended() {
    let _watchdog = Watchdog::new("somebody takes another's unwinding for its own");
    for first in WAYS {
        for second in WAYS {
            let (a, a_gate) = suspended(first);
            let (b, b_gate) = suspended(second);
            a_gate.wake_one();
            assert_ended(first, a);
            assert!(panicking());
            use_everything(&Log::new());
            assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
            b_gate.wake_one();
            assert_ended(second, b);
            assert!(!panicking());
        }
    }
}

/// The same for one that only yields, sleeps or kills while it is not sure whether it unwinds: it
/// panicked before, and has caught that, while another was suspended.
#[test]
fn fault_06_one_that_caught_its_panic_meanwhile_works_as_ever() {
    let _watchdog = Watchdog::new("somebody takes another's unwinding for its own");
    for way in WAYS {
        let (thread, gate) = suspended(way);
        let log = Log::new();
        let caught = spawn({
            let log = log.clone();
            move || {
                assert_eq!(panic_of(|| panic!("caught")), "caught");
                use_everything(&log);
                let target = spawn(|| sleep(HOUR));
                yield_now();
                target.kill();
                assert!(target.is_finished());
            }
        });
        caught.wait().unwrap();
        assert_eq!(panic_of(|| panic!("caught")), "caught");
        use_everything(&log);
        assert_eq!(log.take().len(), 2);
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
    }
}

/// One that has caught a kill goes on: its yields are yields, although another is suspended.
#[test]
fn fault_06_one_that_caught_its_kill_meanwhile_works_as_ever() {
    let _watchdog = Watchdog::new("one that caught its kill counts as unwinding for ever");
    for way in WAYS {
        let (thread, gate) = suspended(way);
        let ended = Rc::new(Cell::new(false));
        let (waiting, line) = line();
        let catcher = spawn({
            let ended = Rc::clone(&ended);
            move || {
                for _ in 0..9 {
                    assert!(catch_unwind(AssertUnwindSafe(|| wait_in(&line))).is_err());
                }
                while !ended.get() {
                    yield_now();
                }
                7
            }
        });
        yield_now();
        catcher.kill();
        assert!(waiting.is_empty());
        ended.set(true);
        assert_eq!(catcher.wait().unwrap(), 7);
        gate.wake_one();
        assert_ended(way, thread);
    }
}

/// DESIGN 3, kill: unsure whether it unwinds, no kill is thrown; it comes at a later park.
#[test]
fn fault_06_a_kill_of_one_that_may_be_unwinding_waits() {
    let log = Log::new();
    let (a, a_gate) = suspended(Way::Kill);
    let (b_gate, line) = line();
    let b = spawn({
        let log = log.clone();
        move || {
            {
                let _guard = OnDrop(|| wait_in(&line));
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = OnDrop(|| {
                        wait_in(&line);
                        log.add("not thrown while it unwinds");
                    });
                    panic!("on purpose");
                }));
            }
            log.add("nor where that is not sure");
            sleep(HOUR);
            log.add("went on");
        }
    });
    yield_now();
    b.kill();
    b.kill();
    assert_eq!(b_gate.len(), 1);
    b_gate.wake_one();
    yield_now();
    // Not sure any more only after the other has gone: what matters is that nothing aborts.
    a_gate.wake_one();
    assert_ended(Way::Kill, a);
    b_gate.wake_all();
    assert!(matches!(b.wait(), Err(Died::Killed)));
    assert_eq!(log.take()[0], "not thrown while it unwinds");
    assert!(!panicking());
    assert_nothing_is_registered();
}

/// What was ordered while that was not sure comes when it is, and not only at the next park: the wait
/// may be one for ever.
#[test]
fn fault_06_orders_for_one_that_may_be_unwinding_come_when_it_is_sure() {
    let _watchdog = Watchdog::new("an order does not arrive");
    for way in WAYS {
        let (thread, gate) = suspended(way);
        let log = Log::new();
        // Each catches a panic in the window, then parks.
        let unsure = |work: Box<dyn FnOnce()>| {
            spawn(move || {
                assert_eq!(panic_of(|| panic!("caught")), "caught");
                work();
            })
        };
        let killed = unsure(Box::new(|| sleep(Duration::MAX)));
        let timed = unsure(Box::new({
            let log = log.clone();
            move || {
                assert!(timeout(MOMENT, || sleep(Duration::MAX)).is_err());
                log.add("timed out");
            }
        }));
        let due = unsure(Box::new(|| {
            let result = timeout(HOUR, || timeout(Duration::ZERO, || sleep(MOMENT)));
            assert!(result.is_ok());
        }));
        let (untouched_gate, line) = line();
        let untouched = unsure(Box::new(move || wait_in(&line)));
        yield_now();
        killed.kill();
        sleep(4 * MOMENT);
        assert!(!killed.is_finished() && !timed.is_finished() && due.is_finished());
        gate.wake_one();
        assert_ended(way, thread);
        assert!(!panicking());
        sleep(MOMENT);
        assert!(killed.is_finished() && timed.is_finished() && !untouched.is_finished());
        assert!(matches!(killed.wait(), Err(Died::Killed)));
        timed.wait().unwrap();
        due.wait().unwrap();
        assert_eq!(log.take(), ["timed out"]);
        // From here on who unwinds is sure of it again.
        let log_in_drop = log.clone();
        let sure = unwinds(way, move || {
            let log = log_in_drop.clone();
            spawn_n(move || log.add("another ran"));
            yield_now();
            log_in_drop.add("no yield");
        });
        assert_ended(way, sure);
        yield_now();
        assert_eq!(log.take(), ["no yield", "another ran"]);
        untouched_gate.wake_one();
        untouched.wait().unwrap();
        assert_nothing_is_registered();
    }
}

/// A `timeout` in a destructor says nothing about the unwind outside of it. Taken for the end of that
/// unwind, the next park would throw a kill into it, and abort.
#[test]
fn fault_06_a_timeout_within_a_destructor_does_not_end_the_unwind_around_it() {
    for (way, ends_in_time) in WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        let (a, a_gate) = suspended(Way::Panic);
        let (b_gate, line) = line();
        let b = unwinds(way, move || {
            if ends_in_time {
                assert!(timeout(HOUR, || ()).is_ok());
                assert!(timeout(HOUR, || spawn(|| ()).wait().is_ok()).is_ok());
            } else {
                // It cannot be thrown here; the work ends by itself.
                let _result = timeout(Duration::ZERO, || spawn(|| ()).wait().is_ok());
            }
            wait_in(&line);
            yield_now();
        });
        while b_gate.is_empty() {
            yield_now();
        }
        b.kill();
        assert!(!b.is_finished());
        b_gate.wake_one();
        yield_now();
        a_gate.wake_one();
        assert_ended(Way::Panic, a);
        assert_ended(way, b);
        assert!(!panicking());
        assert_nothing_is_registered();
    }
}

/// Case e: in corosensei's forced unwind it aborts the process.
#[test]
fn fault_06_case_e_destructors_that_suspend_again_and_again() {
    for way in WAYS {
        let (gate, line) = line();
        let count = Rc::new(Cell::new(0));
        let thread = unwinds(way, {
            let count = Rc::clone(&count);
            move || {
                for _ in 0..3 {
                    wait_in(&line);
                    count.set(count.get() + 1);
                    yield_now();
                }
            }
        });
        for expected in 0..3 {
            assert_eq!(count.get(), expected);
            thread.kill();
            assert!(gate.wake_one());
            yield_now();
        }
        if way == Way::Timeout {
            // The kill comes at the next park of one that has caught its timeout; there is none.
            assert!(thread.wait().is_ok());
        } else {
            assert_ended(way, thread);
        }
        assert!(!panicking());
    }
}

/// Case f: one that swallows what is thrown and ends.
#[test]
fn fault_06_case_f_one_that_swallows_and_returns() {
    let thread = spawn(|| {
        for _ in 0..3 {
            assert!(catch_unwind(|| sleep(HOUR)).is_err());
        }
        7
    });
    yield_now();
    thread.kill();
    assert_eq!(thread.wait().unwrap(), 7);
    assert!(!panicking());
}

/// Case h: an unwind of the OS thread's own stack, whose destructor kills one that has destructors.
#[test]
fn fault_06_case_h_a_kill_while_the_own_stack_of_the_os_thread_unwinds() {
    let log = Log::new();
    let target = spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("target");
            sleep(HOUR);
        }
    });
    yield_now();
    let text = panic_of(|| {
        let _guard = OnDrop(|| {
            target.kill();
            log.add("scheduled");
        });
        panic!("on purpose");
    });
    assert_eq!(text, "on purpose");
    assert_eq!(log.take(), ["scheduled"]);
    assert!(matches!(target.wait(), Err(Died::Killed)));
    assert_eq!(log.take(), ["target"]);
}

/// Case i: a panic hook that yields. Were it a switch, the next panic would abort the process.
#[test]
fn fault_06_case_i_a_panic_hook_that_yields() {
    const NAME: &str = "fault_06_case_i_a_panic_hook_that_yields";
    if is_child(NAME) {
        yield_now();
        let ours = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            yield_now();
            sleep(MOMENT);
            let (ours_end, _theirs) = UnixStream::pair().unwrap();
            let error = wait_readable(&ours_end, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            ours(info);
        }));
        let threads = (0..3).map(|_| spawn(|| panic!("on purpose")));
        assert!(join_all::<()>(threads).iter().all(Result::is_err));
        assert!(!panicking());
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.matches("on purpose").count(), 3, "{ended:?}");
}

/// Case j: a payload whose destructor parks, outside of any unwind.
#[test]
fn fault_06_case_j_the_destructor_of_a_payload_may_park() {
    let log = Log::new();
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            assert!(!panicking());
            sleep(MOMENT);
            yield_now();
        }
    }
    let kept = spawn(|| std::panic::panic_any(Parks));
    let detached = spawn(|| std::panic::panic_any(Parks));
    detached.on_exit({
        let log = log.clone();
        move |outcome| log.add(format!("{}", outcome.is_err()))
    });
    drop::<GreenThread<()>>(detached);
    drop(kept.wait());
    sleep(2 * MOMENT);
    assert_eq!(log.take(), ["true"]);
    assert_nothing_is_registered();
}

/// Poison 1: a mutex whose holder did not panic is not poisoned by another's yields, sleeps and I/O
/// in destructors, for these do not suspend.
#[test]
fn fault_06_poison_1_an_innocent_mutex_stays_so() {
    let mutex = Rc::new(Mutex::new(0));
    let holder = spawn({
        let mutex = Rc::clone(&mutex);
        move || {
            let mut held = mutex.lock().unwrap();
            yield_now();
            *held += 1;
        }
    });
    yield_now();
    for way in WAYS {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let thread = unwinds(way, move || {
            yield_now();
            sleep(Duration::from_micros(1));
            wait_readable(&ours, None).unwrap_err();
            unblock(|| ());
        });
        assert_ended(way, thread);
    }
    holder.wait().unwrap();
    assert!(!mutex.is_poisoned());
}

/// Poison 2 and 3, the other way round: whose holder is killed, timed out or panics is poisoned.
#[test]
fn fault_06_poison_2_and_3_a_mutex_whose_holder_unwinds_is_poisoned() {
    for way in WAYS {
        let mutex = Rc::new(Mutex::new(0));
        let thread = spawn({
            let mutex = Rc::clone(&mutex);
            move || {
                let work = || {
                    let _held = mutex.lock().unwrap();
                    match way {
                        Way::Panic => panic!("on purpose"),
                        _ => sleep(HOUR),
                    }
                };
                match way {
                    Way::Timeout => assert!(timeout(Duration::ZERO, work).is_err()),
                    _ => work(),
                }
            }
        });
        yield_now();
        thread.kill();
        drop(thread.wait());
        assert!(mutex.is_poisoned(), "{way:?}");
    }
}

/// A deadlock report unwinds the own stack of the OS thread out of a park that may have been counted
/// as one while unwinding. The count has to be right afterwards.
#[test]
fn fault_06_a_deadlock_report_in_the_window_leaves_the_count_right() {
    let _watchdog = Watchdog::new("timeouts do not reach the OS thread's own stack any more");
    let (thread, gate) = suspended(Way::Panic);
    // Now it is not sure whether this stack unwinds.
    assert_eq!(panic_of(|| panic!("caught")), "caught");
    assert_nothing_is_registered();
    gate.wake_one();
    assert_ended(Way::Panic, thread);
    assert!(!panicking());
    assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
    // Nobody is suspended: who unwinds now is sure of it, and does not yield.
    let ran = Rc::new(Cell::new(false));
    let other = Rc::clone(&ran);
    let thread = unwinds(Way::Panic, move || {
        let other = Rc::clone(&other);
        spawn_n(move || other.set(true));
        yield_now();
    });
    assert!(thread.is_finished() && !ran.get());
    assert_ended(Way::Panic, thread);
    yield_now();
    assert!(ran.get());
}

/// Semantics B 46: failure state is each one's own.
#[test]
fn one_that_handles_its_failure_and_parks_shows_nothing_of_it() {
    let handles = spawn(|| {
        let caught = panic_of(|| panic!("handled"));
        for _ in 0..3 {
            assert!(!panicking());
            yield_now();
        }
        caught
    });
    for _ in 0..3 {
        yield_now();
        assert!(!panicking());
    }
    assert_eq!(handles.wait().unwrap(), "handled");
}

/// FAULTS row 28: spawn in a destructor, also while unwinding.
#[test]
fn fault_28_a_spawn_in_a_destructor_works() {
    for way in WAYS {
        let log = Log::new();
        let thread = unwinds(way, {
            let log = log.clone();
            move || {
                let log = log.clone();
                spawn_n(move || {
                    log.add(if panicking() { "panicking" } else { "ran" });
                });
            }
        });
        assert_ended(way, thread);
        yield_now();
        assert_eq!(log.take(), ["ran"]);
    }
}

/// Many at once, in a seeded order, with everybody's own unwinds in between.
#[test]
fn fault_06_many_interleaved_unwinds_leave_nothing_behind() {
    let _watchdog = Watchdog::new("interleaved unwinds");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 33) as usize % below
    };
    let mut threads: Vec<(Way, GreenThread<()>, Rc<WaitList>)> = Vec::new();
    for _ in 0..util::rounds(5_000) {
        if threads.is_empty() || (threads.len() < 20 && next(2) == 0) {
            let way = WAYS[next(3)];
            let (thread, gate) = suspended(way);
            threads.push((way, thread, gate));
        } else {
            let at = next(threads.len());
            let (way, thread, gate) = threads.swap_remove(at);
            thread.kill();
            gate.wake_one();
            match way {
                // Killed too, but there is no park any more.
                Way::Timeout => assert!(thread.wait().is_ok()),
                _ => assert_ended(way, thread),
            }
        }
        yield_now();
    }
    for (_, thread, gate) in threads {
        gate.wake_one();
        drop(thread.wait());
    }
    assert!(!panicking());
    assert_nothing_is_registered();
}
