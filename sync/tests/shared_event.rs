//! The event between OS threads.

mod sides;
#[path = "../../runtime/tests/util/mod.rs"]
mod util;

use std::cell::{Cell, RefCell};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, sleep, spawn, timeout, yield_now};
use evy_sync::shared::Event;
use evy_sync::{AlreadySent, TimedOut};
use sides::{Census, SIDES, directions, until_waiting};
use util::{HOUR, OnDrop, Watchdog, rounds};

const MOMENT: Duration = Duration::from_millis(2);

/// A green thread that waits for it now.
fn waiting<T: Clone + 'static>(event: &Arc<Event<T>>) -> GreenThread<T> {
    let thread = spawn({
        let event = Arc::clone(event);
        move || event.wait()
    });
    yield_now();
    thread
}

/// Semantics C 49, E 97.
#[test]
fn all_who_wait_get_the_value_wherever_they_are() {
    let _watchdog = Watchdog::new("an event between OS threads");
    for from in SIDES {
        let event = Arc::new(Event::new());
        let waiters: Vec<_> = [SIDES, SIDES]
            .concat()
            .into_iter()
            .map(|side| {
                let event = Arc::clone(&event);
                side.run(move || event.wait())
            })
            .collect();
        until_waiting(&event, 6);
        let sender = Arc::clone(&event);
        from.run(move || sender.send("hello".to_owned())).join().unwrap().unwrap();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap() == "hello"));
        assert_eq!((event.wait(), event.try_get()), ("hello".into(), Some("hello".into())));
    }
}

/// Semantics C 49; the second value comes back.
#[test]
fn it_is_sent_once_until_it_is_reset() {
    let event = Event::new();
    assert!(!event.ready() && !event.reset());
    assert_eq!(event.try_get(), None);
    assert_eq!(event.send(1), Ok(()));
    assert!(event.ready());
    let error = event.send(2).unwrap_err();
    assert_eq!((error, error.into_inner()), (AlreadySent(2), 2));
    assert_eq!(event.wait(), 1);
    assert!(event.reset() && !event.ready());
    event.send(3).unwrap();
    assert_eq!(event.wait(), 3);
}

/// Of several OS threads that send at once, one does.
#[test]
fn one_of_many_senders_wins() {
    let _watchdog = Watchdog::new("several senders of an event");
    for _ in 0..rounds(500) {
        let event = Arc::new(Event::new());
        let senders: Vec<_> = SIDES
            .into_iter()
            .enumerate()
            .map(|(n, side)| {
                let event = Arc::clone(&event);
                side.run(move || event.send(n).is_ok().then_some(n))
            })
            .collect();
        let value = event.wait();
        let winners: Vec<_> =
            senders.into_iter().filter_map(|sender| sender.join().unwrap()).collect();
        assert_eq!(winners, [value]);
    }
}

/// Semantics C 49: failures.
#[test]
fn a_failure_is_a_value_too() {
    let event = Arc::new(Event::<Result<u32, String>>::new());
    let waiters = [(); 3].map(|()| waiting(&event));
    let sender = Arc::clone(&event);
    thread::spawn(move || sender.send_error("out of luck".into())).join().unwrap().unwrap();
    for waiter in waiters {
        assert_eq!(waiter.wait().unwrap(), Err("out of luck".into()));
    }
    assert!(event.send(Ok(1)).is_err());
}

/// Semantics C 50.
#[test]
fn a_wait_with_a_timeout_ends_in_time_or_with_the_value() {
    let _watchdog = Watchdog::new("timeouts of an event");
    for (from, to) in directions() {
        let event = Arc::new(Event::new());
        let waiter = Arc::clone(&event);
        to.run(move || {
            let start = Instant::now();
            assert_eq!(waiter.wait_timeout(MOMENT), Err(TimedOut));
            assert!(start.elapsed() >= MOMENT);
        })
        .join()
        .unwrap();
        until_waiting(&event, 0);
        let waiter = Arc::clone(&event);
        let waits = to.run(move || waiter.wait_timeout(HOUR));
        until_waiting(&event, 1);
        let sender = Arc::clone(&event);
        from.run(move || sender.send(7)).join().unwrap().unwrap();
        assert_eq!(waits.join().unwrap(), Ok(7));
        assert_eq!(event.wait_timeout(Duration::ZERO), Ok(7));
        assert_eq!(event.wait_timeout(Duration::MAX), Ok(7));
    }
}

/// Semantics C 51.
#[test]
fn who_waits_gets_the_value_although_it_is_reset_before_they_go_on() {
    let event = Arc::new(Event::new());
    let first = waiting(&event);
    event.send(1).unwrap();
    assert!(event.reset());
    let second = waiting(&event);
    event.send(2).unwrap();
    assert_eq!((first.wait().unwrap(), second.wait().unwrap()), (1, 2));
}

/// Sent and reset again and again, by one OS thread, with another that waits: each wait has its value.
#[test]
fn no_wake_is_lost_while_it_is_sent_and_reset() {
    let _watchdog = Watchdog::new("an event was slept through");
    for (from, to) in directions() {
        let events = [(); 2].map(|()| Arc::new(Event::new()));
        let [ping, pong] = events.clone();
        let count = rounds(2_000);
        let echo = to.run(move || {
            for n in 0..count {
                assert_eq!(ping.wait(), n);
                ping.reset();
                pong.send(n).unwrap();
            }
        });
        let [ping, pong] = events;
        let asks = from.run(move || {
            for n in 0..count {
                ping.send(n).unwrap();
                assert_eq!(pong.wait(), n);
                pong.reset();
            }
        });
        asks.join().unwrap();
        echo.join().unwrap();
    }
}

/// Whether they are killed, timed out, or on an OS thread that has ended.
#[test]
fn those_who_are_gone_do_not_keep_the_others_waiting() {
    let census = Census::default();
    let event = Arc::new(Event::new());
    let [killed, handed, stays] = [(); 3].map(|()| waiting(&event));
    killed.kill();
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    thread::spawn({
        let event = Arc::clone(&event);
        move || drop(waiting(&event))
    })
    .join()
    .unwrap();
    assert!(timeout(MOMENT, || event.wait()).is_err());
    assert!(format!("{event:?}").contains("waiting: 3"), "{event:?}");
    event.send(Arc::new(census.one(1))).unwrap();
    // It has its value and does not go on.
    handed.kill();
    assert!(matches!(handed.wait(), Err(Died::Killed)));
    assert_eq!(stays.wait().unwrap().number, 1);
    assert_eq!(census.alive(), 1);
    event.reset();
    assert_eq!(census.alive(), 0);
}

/// They are code of users: they may use the event.
#[test]
fn clones_and_destructors_run_outside_of_the_lock() {
    let _watchdog = Watchdog::new("a lock is held in a clone");

    struct Uses(Arc<Event<Self>>, Arc<AtomicUsize>);

    impl Uses {
        fn count(&self) {
            // Waits for ever if the lock is held.
            self.0.ready();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Clone for Uses {
        fn clone(&self) -> Self {
            self.count();
            Self(Arc::clone(&self.0), Arc::clone(&self.1))
        }
    }

    impl Drop for Uses {
        fn drop(&mut self) {
            self.count();
        }
    }

    let (event, count) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let uses = || Uses(Arc::clone(&event), Arc::clone(&count));
    let waits = waiting(&event);
    assert!(event.send(uses()).is_ok());
    assert!(event.send(uses()).is_err());
    drop(waits.wait());
    drop(event.try_get());
    event.reset();
    // Three values were made, two were cloned from the first; all are dropped.
    assert_eq!(count.load(Ordering::SeqCst), 2 + 4);
}

/// FAULTS row 6.
#[test]
fn fault_06_a_destructor_may_wait_for_it_while_its_green_thread_unwinds() {
    let _watchdog = Watchdog::new("an event in a destructor");
    let (event, got) = (Arc::new(Event::new()), Rc::new(Cell::new(0)));
    let killed = spawn({
        let (event, got) = (Arc::clone(&event), Rc::clone(&got));
        move || {
            let _guard = OnDrop(|| got.set(event.wait()));
            sleep(HOUR);
        }
    });
    yield_now();
    killed.kill();
    assert!(!killed.is_finished());
    thread::spawn(move || event.send(7).unwrap());
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert_eq!(got.get(), 7);
}

#[test]
fn it_goes_everywhere() {
    fn everywhere<T: Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    everywhere::<Event<String>>();
    static EVENT: Event<u32> = Event::new();
    thread::spawn(|| EVENT.send(7)).join().unwrap().unwrap();
    assert_eq!(EVENT.wait(), 7);
    // On one OS thread what it carries need be neither.
    let event = Event::<Rc<RefCell<u32>>>::default();
    event.send(Rc::default()).unwrap();
    *event.wait().borrow_mut() += 1;
    assert_eq!(event.try_get().unwrap().take(), 1);
}
