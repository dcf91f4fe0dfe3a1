//! Signals: none is lost, whoever waits lets the others run, and handlers are green threads.
//!
//! The tests share the process, so each has signals of its own, real-time ones mostly: there are many.
#![cfg(feature = "signal")]

mod util;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use evy_green_os::signal::{self, Handler, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, Signals};
use evy_runtime::{Died, current, kill, kill_all, sleep, spawn, timeout, wait_readable, yield_now};
use util::{
    Child, Log, after_steps, alone, and_all_of_them_again, assert_send_and_sync, descriptors,
    is_child, let_all_park, panic_of, soon, wait_until,
};

/// A signal that only one test uses.
fn own(n: c_int) -> c_int {
    let signal = libc::SIGRTMIN() + n;
    assert!(signal <= libc::SIGRTMAX());
    signal
}

/// Sends a signal to the whole process, as others do.
fn send(signal: c_int) {
    // SAFETY: it takes no pointer.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

and_all_of_them_again!();

#[test]
fn others_run_while_one_waits_for_a_signal() {
    let mut signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
    let sending = after_steps(|| send(SIGUSR2));
    assert_eq!(soon(|| signals.wait()).unwrap(), SIGUSR2);
    sending.wait().unwrap();
    // From another OS thread: this one sleeps in the hub.
    let sending = thread::spawn(|| send(SIGUSR1));
    assert_eq!(soon(|| signals.wait()).unwrap(), SIGUSR1);
    sending.join().unwrap();
}

#[test]
fn the_free_function_waits_for_the_first_of_several() {
    let [one, two] = [own(0), own(1)];
    let waiting = spawn(move || signal::wait([one, two]));
    yield_now();
    send(two);
    assert_eq!(soon(|| waiting.wait()).unwrap().unwrap(), two);
}

#[test]
fn a_signal_that_comes_while_nobody_waits_is_kept() {
    let signal = own(2);
    let mut signals = Signals::new([signal]).unwrap();
    signal::raise(signal).unwrap();
    let_all_park();
    assert_eq!(soon(|| signals.wait()).unwrap(), signal);
    signal::raise(signal).unwrap();
    assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), Some(signal));
    assert_eq!(signals.wait_timeout(Duration::ZERO).unwrap(), None);
}

#[test]
fn signals_of_one_number_that_were_not_seen_are_one() {
    let signal = own(3);
    let mut signals = Signals::new([signal, signal]).unwrap();
    for _ in 0..10_000 {
        // More than the socket behind it has room for.
        signal::raise(signal).unwrap();
    }
    assert_eq!(soon(|| signals.wait()).unwrap(), signal);
    assert_eq!(signals.try_wait(), None);
    assert_eq!(signals.wait_timeout(Duration::from_millis(1)).unwrap(), None);
    signal::raise(signal).unwrap();
    assert_eq!(soon(|| signals.wait()).unwrap(), signal);
}

#[test]
fn one_that_comes_again_and_again_does_not_starve_the_others() {
    let [one, two, three] = [own(4), own(5), own(6)];
    let mut signals = Signals::new([one, two, three]).unwrap();
    for signal in [one, two, three] {
        signal::raise(signal).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(soon(|| signals.wait()).unwrap());
        signal::raise(one).unwrap();
    }
    assert_eq!(seen, [one, two, three]);
}

#[test]
fn none_of_many_is_missed() {
    let all: Vec<_> = (7..12).map(own).collect();
    let mut signals = Signals::new(&all).unwrap();
    for round in 0..1000 {
        let signal = all[round % all.len()];
        let sending = thread::spawn(move || send(signal));
        assert_eq!(soon(|| signals.next()).unwrap().unwrap(), signal);
        sending.join().unwrap();
    }
    assert_eq!(signals.try_wait(), None);
}

#[test]
fn every_os_thread_that_waits_gets_the_signal() {
    const THREADS: usize = 4;
    let signal = own(12);
    let ready = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Two each: they share a hub.
                let [mut one, mut two] = [(); 2].map(|()| Signals::new([signal]).unwrap());
                ready.wait();
                let other = spawn(move || two.wait());
                assert_eq!(soon(|| one.wait()).unwrap(), signal);
                assert_eq!(soon(|| other.wait()).unwrap().unwrap(), signal);
            });
        }
        ready.wait();
        send(signal);
    });
}

#[test]
fn a_set_may_move_to_another_os_thread_and_wait_there() {
    assert_send_and_sync::<Signals>();
    let signal = own(13);
    let mut signals = Signals::new([signal]).unwrap();
    // Registered with the hub of this OS thread.
    assert_eq!(signals.wait_timeout(Duration::from_millis(1)).unwrap(), None);
    let thread = thread::spawn(move || soon(|| signals.wait()));
    send(signal);
    assert_eq!(thread.join().unwrap().unwrap(), signal);
}

#[test]
fn the_descriptor_is_readable_while_a_signal_was_not_seen() {
    let [one, two] = [own(25), own(26)];
    let mut signals = Signals::new([one, two]).unwrap();
    let is_readable = |signals: &Signals| {
        wait_readable(signals, Some(Instant::now())).map_err(|error| error.kind())
    };
    assert_eq!(is_readable(&signals), Err(ErrorKind::TimedOut));
    for signal in [one, two] {
        signal::raise(signal).unwrap();
    }
    for signal in [Some(one), Some(two), None] {
        assert_eq!(is_readable(&signals), Ok(()));
        assert_eq!(signals.try_wait(), signal);
    }
    assert_eq!(is_readable(&signals), Err(ErrorKind::TimedOut));
    let sending = after_steps(move || signal::raise(two));
    soon(|| wait_readable(&signals, None)).unwrap();
    assert_eq!(soon(|| signals.wait()).unwrap(), two);
    sending.wait().unwrap().unwrap();
}

#[test]
fn what_cannot_be_waited_for_is_an_error_and_leaves_nothing_behind() {
    alone("what_cannot_be_waited_for_is_an_error_and_leaves_nothing_behind", || {
        yield_now();
        let before = descriptors();
        let forbidden = [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE];
        for signal in forbidden.into_iter().chain([0, -1, 32, 65, c_int::MAX]) {
            let error = Signals::new([SIGHUP, signal]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}: {error}");
            let error = signal::on(signal, || ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}: {error}");
        }
        assert_eq!(signal::wait([0; 0]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(signal::raise(-1).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(signal::default_action(-1).unwrap_err().kind(), ErrorKind::InvalidInput);
        for _ in 0..10 {
            let mut signals = Signals::new([SIGHUP, SIGTERM]).unwrap();
            assert_eq!(signals.wait_timeout(Duration::from_nanos(1)).unwrap(), None);
            let waiting = spawn(|| signal::wait([SIGUSR1]).map(drop));
            let handler = signal::on(SIGUSR2, || ()).unwrap();
            let_all_park();
            waiting.kill();
            drop(handler);
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn who_is_killed_or_timed_out_loses_no_signal() {
    let signal = own(14);
    let signals = Rc::new(RefCell::new(Signals::new([signal]).unwrap()));
    let waiting = spawn({
        let signals = Rc::clone(&signals);
        move || signals.borrow_mut().wait().map(drop)
    });
    let_all_park();
    signal::raise(signal).unwrap();
    waiting.kill();
    assert!(matches!(waiting.wait(), Err(Died::Killed)));
    assert_eq!(soon(|| signals.borrow_mut().wait()).unwrap(), signal);
    assert!(timeout(Duration::from_millis(1), || signals.borrow_mut().wait()).is_err());
    signal::raise(signal).unwrap();
    assert_eq!(soon(|| signals.borrow_mut().wait()).unwrap(), signal);
}

#[test]
fn fault_53_who_is_woken_and_then_killed_loses_no_signal() {
    let signal = own(15);
    let mut first = Signals::new([signal]).unwrap();
    let second = Rc::new(RefCell::new(Signals::new([signal]).unwrap()));
    let victim = spawn({
        let second = Rc::clone(&second);
        move || second.borrow_mut().wait().map(drop)
    });
    // Both are woken in one turn, the killer first: its socket was written to first.
    let id = victim.id();
    let killer = spawn(move || {
        first.wait().unwrap();
        kill(id)
    });
    let_all_park();
    signal::raise(signal).unwrap();
    assert!(soon(|| killer.wait()).unwrap(), "it killed one that was alive");
    assert!(matches!(victim.wait(), Err(Died::Killed)));
    assert_eq!(soon(|| second.borrow_mut().wait()).unwrap(), signal);
}

/// As the module's page says.
#[test]
fn the_default_action_does_not_come_back_by_itself_but_can_be_had() {
    const NAME: &str = "the_default_action_does_not_come_back_by_itself_but_can_be_had";
    if is_child(NAME) {
        drop(Signals::new([SIGTERM]).unwrap());
        send(SIGTERM);
        eprintln!("still there");
        signal::default_action(SIGTERM).unwrap();
        eprintln!("not reached");
        return;
    }
    let ended = Child::new(NAME).run();
    assert_eq!(ended.status.signal(), Some(SIGTERM));
    assert!(ended.stderr.contains("still there") && !ended.stderr.contains("not reached"));
}

#[test]
fn handlers_of_others_go_on_being_called() {
    static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    extern "C" fn count(_: c_int) {
        CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let signal = own(16);
    // SAFETY: the handler does what a handler may.
    unsafe { libc::signal(signal, count as extern "C" fn(c_int) as libc::sighandler_t) };
    let mut signals = Signals::new([signal]).unwrap();
    signal::raise(signal).unwrap();
    assert_eq!(soon(|| signals.wait()).unwrap(), signal);
    drop(signals);
    signal::raise(signal).unwrap();
    assert_eq!(CALLS.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_handler_runs_in_a_green_thread_of_its_own_which_may_park() {
    let signal = own(17);
    let (log, (gate, line)) = (Log::new(), util::line());
    let ids = Rc::new(RefCell::new(BTreeSet::from([current().to_string()])));
    let (home, here) = (current(), thread::current().id());
    let _handler = signal::on(signal, {
        let (log, ids) = (log.clone(), Rc::clone(&ids));
        move || {
            assert_eq!(thread::current().id(), here);
            assert_ne!(current(), home);
            ids.borrow_mut().insert(current().to_string());
            log.add("begins");
            util::wait_in(&line);
            log.add("ends");
        }
    })
    .unwrap();
    // From anywhere; also while an earlier call is parked.
    thread::spawn(move || send(signal)).join().unwrap();
    wait_until(|| log.len() == 1);
    signal::raise(signal).unwrap();
    wait_until(|| log.len() == 2);
    gate.wake_all();
    wait_until(|| log.len() == 4);
    assert_eq!(log.take(), ["begins", "begins", "ends", "ends"]);
    assert_eq!(ids.borrow().len(), 3, "each call has its own");
}

#[test]
fn a_handler_is_called_for_a_signal_that_came_before_it_first_ran() {
    let signal = own(18);
    let calls = Rc::new(Cell::new(0));
    let _handler = counting(signal, &calls);
    signal::raise(signal).unwrap();
    assert_eq!(calls.get(), 0, "not before this green thread parks");
    wait_until(|| calls.get() == 1);
}

fn counting(signal: c_int, calls: &Rc<Cell<usize>>) -> Handler {
    let calls = Rc::clone(calls);
    signal::on(signal, move || calls.set(calls.get() + 1)).unwrap()
}

#[test]
fn a_handler_that_is_dropped_is_not_called_any_more() {
    let signal = own(19);
    let calls = Rc::new(Cell::new(0));
    // Before it ran for the first time, while it waits, and with a signal on its way.
    drop(counting(signal, &calls));
    let handler = counting(signal, &calls);
    let_all_park();
    drop(handler);
    signal::raise(signal).unwrap();
    let handler = counting(signal, &calls);
    let_all_park();
    signal::raise(signal).unwrap();
    drop(handler);
    let_all_park();
    assert_eq!(calls.get(), 0);
    assert_eq!(Rc::strong_count(&calls), 1, "nobody holds the closures any more");
}

#[test]
fn a_handler_that_is_dropped_by_an_unwind_is_not_called_any_more() {
    let signal = own(20);
    let calls = Rc::new(Cell::new(0));
    let text = panic_of(|| {
        let _handler = counting(signal, &calls);
        let_all_park();
        signal::raise(signal).unwrap();
        panic!("on purpose");
    });
    assert_eq!(text, "on purpose");
    let_all_park();
    assert_eq!(calls.get(), 0);
    assert_eq!(Rc::strong_count(&calls), 1);
}

#[test]
fn a_handler_may_drop_itself() {
    let signal = own(21);
    let (calls, place) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
    let handler = signal::on(signal, {
        let (calls, place) = (Rc::clone(&calls), Rc::clone(&place));
        move || {
            calls.set(calls.get() + 1);
            drop(place.take());
        }
    });
    place.replace(Some(handler.unwrap()));
    let_all_park();
    signal::raise(signal).unwrap();
    wait_until(|| Rc::strong_count(&calls) == 1);
    signal::raise(signal).unwrap();
    let_all_park();
    assert_eq!(calls.get(), 1);
}

#[test]
fn a_handler_that_is_kept_stays_until_all_are_killed() {
    let signal = own(22);
    let calls = Rc::new(Cell::new(0));
    counting(signal, &calls).keep();
    signal::raise(signal).unwrap();
    wait_until(|| calls.get() == 1);
    signal::raise(signal).unwrap();
    wait_until(|| calls.get() == 2);
    kill_all();
    signal::raise(signal).unwrap();
    let_all_park();
    assert_eq!((calls.get(), Rc::strong_count(&calls)), (2, 1));
}

#[test]
fn a_handler_that_panics_or_is_killed_is_called_the_next_time() {
    let signal = own(23);
    let calls = Rc::new(Cell::new(0));
    let _handler = signal::on(signal, {
        let calls = Rc::clone(&calls);
        move || {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => panic!("on purpose"),
                2 => _ = kill(current()),
                _ => calls.set(10),
            }
        }
    })
    .unwrap();
    for expected in [1, 2, 10] {
        signal::raise(signal).unwrap();
        wait_until(|| calls.get() == expected);
    }
}

#[test]
fn in_the_middle_of_an_unwind_a_wait_is_an_error() {
    let signal = own(24);
    let seen = Rc::new(RefCell::new(None));
    let waiting = spawn({
        let seen = Rc::clone(&seen);
        move || {
            let mut signals = Signals::new([signal]).unwrap();
            let _wait = util::OnDrop(move || {
                seen.replace(Some(signals.wait().map_err(|error| error.kind())));
            });
            sleep(util::HOUR);
        }
    });
    let_all_park();
    waiting.kill();
    assert_eq!(seen.take(), Some(Err(ErrorKind::WouldBlock)));
}
