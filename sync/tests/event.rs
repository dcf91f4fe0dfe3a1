//! `Event`: SEMANTICS 3 C, rows 49 to 51, and who gets what when somebody is killed.

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, sleep, spawn, timeout, yield_now};
use evy_sync::{AlreadySent, Event, TimedOut};
use util::{
    Census, LONG, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end, settle, start,
    yields,
};

fn waiting<T>(event: &Event<T>) -> usize {
    let text = format!("{event:?}");
    let (_, count) = text.split_once("waiting: ").expect("it says how many wait");
    count.split_once(',').expect("more follows").0.parse().unwrap()
}

/// Row 49.
#[test]
fn all_who_wait_get_the_value() {
    let event = Rc::new(Event::new());
    let waiters = [(); 5].map(|()| start(&event, Event::wait));
    assert_eq!(waiting(&event), 5);
    event.send("value").unwrap();
    assert_eq!(waiting(&event), 0);
    assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap() == "value"));
}

/// Row 49.
#[test]
fn all_who_wait_get_the_failure() {
    let event = Rc::new(Event::<Result<u32, &str>>::new());
    let waiters = [(); 2].map(|()| start(&event, Event::wait));
    event.send_error("failed").unwrap();
    assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap() == Err("failed")));
    assert_eq!(event.wait(), Err("failed"));
    assert_eq!(event.send_error("again"), Err(AlreadySent(Err("again"))));
}

/// Row 49.
#[test]
fn a_second_send_gives_the_value_back_and_changes_nothing() {
    let event = Event::new();
    event.send(1).unwrap();
    assert_eq!(event.send(2).unwrap_err().into_inner(), 2);
    assert_eq!(event.wait(), 1);
}

/// Row 49.
#[test]
fn an_event_can_be_used_again_after_a_reset() {
    let event = Rc::new(Event::new());
    assert!(!event.reset(), "there is nothing to reset");
    event.send(1).unwrap();
    assert!(event.reset());
    assert!(!event.ready());
    assert_eq!(event.try_get(), None);
    let waiter = start(&event, Event::wait);
    event.send(2).unwrap();
    assert_eq!(waiter.wait().unwrap(), 2);
}

#[test]
fn a_wait_after_the_send_returns_at_once() {
    let event = Event::new();
    event.send(1).unwrap();
    assert!(!yields(|| event.wait()));
    assert_eq!((event.wait(), event.try_get()), (1, Some(1)));
}

#[test]
fn send_returns_to_the_sender_at_once() {
    let event = Rc::new(Event::new());
    let waiter = start(&event, Event::wait);
    assert!(!yields(|| event.send(1).unwrap()));
    assert_eq!(waiter.wait().unwrap(), 1);
}

/// Row 50, D18.
#[test]
fn a_wait_with_a_timeout_gets_the_value_in_time() {
    let event = Rc::new(Event::new());
    let waiter = start(&event, |event| event.wait_timeout(LONG));
    sleep(SOON);
    event.send(()).unwrap();
    assert_eq!(waiter.wait().unwrap(), Ok(()));
    assert_nothing_is_registered();
}

/// Row 50.
#[test]
fn a_wait_that_times_out_says_so_and_is_gone() {
    let event = Rc::new(Event::new());
    let begun = Instant::now();
    assert_eq!(event.wait_timeout(SOON), Err(TimedOut));
    assert!(begun.elapsed() >= SOON);
    assert_eq!(waiting(&event), 0);
    let other = start(&event, Event::wait);
    assert!(timeout(SOON, || event.wait()).is_err());
    assert_eq!(waiting(&event), 1);
    event.send(1).unwrap();
    assert_eq!(other.wait().unwrap(), 1);
    assert_eq!(event.wait_timeout(Duration::ZERO), Ok(1));
}

/// Row 51.
#[test]
fn who_waited_at_the_send_gets_the_value_although_a_reset_follows() {
    let event = Rc::new(Event::new());
    let waiters = [(); 2].map(|()| start(&event, Event::wait));
    event.send("first").unwrap();
    event.reset();
    let late = spawn({
        let event = Rc::clone(&event);
        move || event.wait()
    });
    assert!(waiters.into_iter().all(|waiter| waiter.wait().unwrap() == "first"));
    settle();
    assert!(!late.is_finished());
    event.send("second").unwrap();
    event.reset();
    assert_eq!(late.wait().unwrap(), "second");
}

/// FAULTS 53: the deadline and the send in one turn.
#[test]
fn fault_53_a_value_sent_in_the_turn_of_the_deadline_is_got() {
    let event = Rc::new(Event::new());
    let waiter = start(&event, |event| event.wait_timeout(PATIENCE));
    let_patience_end();
    // Both deadlines are over; the waiter is queued, and has not gone on.
    assert_eq!(waiting(&event), 1);
    event.send(1).unwrap();
    assert_eq!(waiter.wait().unwrap(), Ok(1));
}

/// FAULTS 53.
#[test]
fn fault_53_a_killed_waiter_takes_nothing_from_the_others() {
    let (event, census) = (Rc::new(Event::new()), Census::new());
    let [before, after, stays] = [(); 3].map(|()| start(&event, |event| drop(event.wait())));
    before.kill();
    assert_eq!(waiting(&event), 2);
    event.send(Rc::new(census.one())).unwrap();
    after.kill();
    event.reset();
    assert!(!stays.is_finished());
    stays.wait().unwrap();
    assert!(matches!(before.wait(), Err(Died::Killed)));
    assert!(matches!(after.wait(), Err(Died::Killed)));
    assert_eq!(census.alive(), 0);
}

#[test]
fn the_last_one_gets_the_value_itself_and_nothing_is_left() {
    struct Tracked(Rc<Cell<u32>>);
    impl Clone for Tracked {
        fn clone(&self) -> Self {
            self.0.set(self.0.get() + 1);
            Self(Rc::clone(&self.0))
        }
    }
    let (event, clones) = (Rc::new(Event::new()), Rc::new(Cell::new(0)));
    let waiters = [(); 3].map(|()| start(&event, |event| drop(event.wait())));
    event.send(Tracked(Rc::clone(&clones))).ok().unwrap();
    event.reset();
    waiters.into_iter().for_each(|waiter| waiter.wait().unwrap());
    assert_eq!((clones.get(), Rc::strong_count(&clones)), (2, 1));
}

/// A clone is code of users, and is made where the event is not borrowed.
#[test]
fn clones_may_panic_park_and_use_the_event() {
    enum What {
        Panics,
        Parks,
    }
    struct Awkward(What, Rc<Event<Self>>);
    impl Clone for Awkward {
        fn clone(&self) -> Self {
            match self.0 {
                What::Panics => panic!("on purpose"),
                What::Parks => {
                    self.1.reset();
                    yield_now();
                    Self(What::Parks, Rc::clone(&self.1))
                }
            }
        }
    }
    let event = Rc::new(Event::new());
    let waiters = [(); 2].map(|()| start(&event, |event| drop(event.wait())));
    event.send(Awkward(What::Panics, Rc::clone(&event))).ok().unwrap();
    assert!(waiters.into_iter().all(|waiter| waiter.wait().is_err()));
    event.reset();
    let waiters = [(); 2].map(|()| start(&event, |event| drop(event.wait())));
    event.send(Awkward(What::Parks, Rc::clone(&event))).ok().unwrap();
    assert!(waiters.into_iter().all(|waiter| waiter.wait().is_ok()));
    assert!(!event.ready());
}

#[test]
fn the_destructor_of_a_value_may_use_the_event() {
    struct Uses(Rc<Event<Self>>, Rc<Cell<Option<bool>>>);
    impl Drop for Uses {
        fn drop(&mut self) {
            self.1.set(Some(self.0.ready()));
        }
    }
    let (event, seen) = (Rc::new(Event::new()), Rc::default());
    event.send(Uses(Rc::clone(&event), Rc::clone(&seen))).ok().unwrap();
    event.reset();
    assert_eq!(seen.get(), Some(false));
}
