//! Parkers, and unparkers that wake them from whichever OS thread.

mod storm;
mod util;

use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use evy_runtime::{
    Died, GreenThread, Parker, TimedOut, Unparker, linger, sleep, spawn, spawn_n, timeout,
    yield_now,
};
use util::{
    Child, HOUR, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered, is_child, line,
    panic_of, rounds, wait_in,
};

const MOMENT: Duration = Duration::from_millis(2);

fn park(parker: &Parker) {
    parker.park(SOMETHING, None).expect("there is no deadline");
}

/// A parker of this OS thread's own stack, which has a hub.
fn on_a_hub() -> Parker {
    yield_now();
    Parker::new()
}

/// Makes a parker there, and gives its unparker to this one.
fn parked<T: 'static>(then: impl FnOnce(Parker) -> T + 'static) -> (GreenThread<T>, Unparker) {
    let (give, take) = mpsc::channel();
    let thread = spawn(move || {
        let parker = Parker::new();
        give.send(parker.unparker()).unwrap();
        park(&parker);
        then(parker)
    });
    yield_now();
    (thread, take.recv().unwrap())
}

/// An OS thread with a hub whose green thread parks `times` times.
fn other_hub(times: usize) -> (JoinHandle<()>, Unparker) {
    let (give, take) = mpsc::channel();
    let thread = thread::spawn(move || {
        let parks = spawn(move || {
            let parker = Parker::new();
            give.send(parker.unparker()).unwrap();
            (0..times).for_each(|_| park(&parker));
        });
        parks.wait().unwrap();
    });
    (thread, take.recv().unwrap())
}

/// On an OS thread without a hub, on one's own stack, and on a green thread.
fn everywhere(f: impl Fn() + Copy + Send + 'static) {
    let on_hub = move || {
        yield_now();
        f();
        spawn(f).wait().unwrap();
        assert_nothing_is_registered();
    };
    thread::spawn(f).join().unwrap();
    thread::spawn(on_hub).join().unwrap();
}

#[test]
fn a_token_that_is_there_ends_the_park_at_once() {
    everywhere(|| {
        let parker = Parker::new();
        parker.unparker().unpark();
        park(&parker);
        parker.unparker().unpark_once();
        park(&parker);
        assert!(!parker.try_take());
    });
}

#[test]
fn there_is_at_most_one_token() {
    everywhere(|| {
        let parker = Parker::new();
        let unparker = parker.unparker();
        unparker.unpark();
        unparker.unpark();
        unparker.clone().unpark_once();
        assert!(parker.try_take());
        assert!(!parker.try_take());
        assert_eq!(parker.park(SOMETHING, Some(Instant::now())), Err(TimedOut));
    });
}

#[test]
fn it_is_woken_from_every_os_thread() {
    let _watchdog = Watchdog::new("an unparker from another OS thread");
    everywhere(|| {
        let parker = Parker::new();
        for n in 0..rounds(2_000) {
            let unparker = parker.unparker();
            let other = thread::spawn(move || {
                if n % 2 == 0 {
                    // With a hub there, too.
                    yield_now();
                }
                unparker.unpark();
            });
            park(&parker);
            other.join().unwrap();
        }
    });
}

#[test]
fn it_is_woken_by_its_neighbour() {
    let (thread, unparker) = parked(|_| 7);
    assert!(!thread.is_finished());
    spawn_n(move || unparker.unpark());
    assert_eq!(thread.wait().unwrap(), 7);
}

/// Semantics E 97: between two hubs, both asleep in turns.
#[test]
fn two_hubs_wake_each_other() {
    let _watchdog = Watchdog::new("two hubs that wake each other");
    let rounds = rounds(20_000);
    let here = Parker::new();
    let back = here.unparker();
    let (give, take) = mpsc::channel();
    let other = thread::spawn(move || {
        let thread = spawn(move || {
            let there = Parker::new();
            give.send(there.unparker()).unwrap();
            for _ in 0..rounds {
                park(&there);
                back.unpark();
            }
        });
        thread.wait().unwrap();
    });
    let there = take.recv().unwrap();
    for _ in 0..rounds {
        there.unpark();
        park(&here);
    }
    other.join().unwrap();
}

#[test]
fn it_times_out_and_a_token_in_time_wins() {
    everywhere(|| {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let start = Instant::now();
        assert_eq!(parker.park(SOMETHING, Some(start + MOMENT)), Err(TimedOut));
        assert!(start.elapsed() >= MOMENT);
        unparker.unpark();
        assert_eq!(parker.park(SOMETHING, Some(start)), Ok(()));
        thread::spawn(move || unparker.unpark());
        assert_eq!(parker.park(SOMETHING, Some(start + HOUR)), Ok(()));
    });
}

/// Both fall due in one turn, and the first to run unparks the second.
#[test]
fn fault_23_a_token_that_comes_with_the_deadline_wins() {
    let deadline = Instant::now() + MOMENT;
    let (give, take) = mpsc::channel::<Unparker>();
    let first = spawn(move || {
        let parker = Parker::new();
        assert_eq!(parker.park(SOMETHING, Some(deadline)), Err(TimedOut));
        take.recv().unwrap().unpark();
    });
    let second = spawn(move || {
        let parker = Parker::new();
        give.send(parker.unparker()).unwrap();
        parker.park(SOMETHING, Some(deadline))
    });
    yield_now();
    while Instant::now() < deadline {
        std::hint::spin_loop();
    }
    assert_eq!(second.wait().unwrap(), Ok(()));
    first.wait().unwrap();
}

/// FAULTS row 21: what comes late comes to nothing, whoever has the stack now, and whatever the green
/// thread waits for now.
#[test]
fn fault_21_a_late_token_wakes_nobody_out_of_another_wait() {
    let (killed, late) = parked(|_| ());
    killed.kill();
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    let (waiting, list) = line();
    // It has the stack of the killed one.
    let stranger = spawn({
        let list = Rc::clone(&list);
        move || wait_in(&list)
    });
    // It goes on by itself, and waits for something else.
    let (moved_on, too_late) = parked({
        let list = Rc::clone(&list);
        move |parker| {
            assert_eq!(parker.park(SOMETHING, Some(Instant::now() + MOMENT)), Err(TimedOut));
            wait_in(&list);
            assert!(parker.try_take(), "the token is there all the same");
        }
    });
    too_late.unpark();
    while waiting.len() < 2 {
        yield_now();
    }
    thread::spawn(move || {
        late.unpark();
        too_late.unpark();
    })
    .join()
    .unwrap();
    // Messages are taken in a turn.
    sleep(MOMENT);
    assert_eq!(waiting.len(), 2);
    assert!(!stranger.is_finished() && !moved_on.is_finished());
    waiting.wake_all();
    stranger.wait().unwrap();
    moved_on.wait().unwrap();
    assert_nothing_is_registered();
}

/// A message that is under way when its park ends finds the next park of the same parker: that goes on
/// only with a token.
#[test]
fn an_old_message_does_not_end_the_next_park() {
    let parker = on_a_hub();
    let unparker = parker.unparker();
    for _ in 0..rounds(200) {
        thread::spawn({
            let unparker = unparker.clone();
            move || unparker.unpark()
        })
        .join()
        .unwrap();
        // The token is taken, and the message is still in the mailbox.
        assert!(parker.try_take());
        let start = Instant::now();
        let deadline = start + Duration::from_micros(50);
        assert_eq!(parker.park(SOMETHING, Some(deadline)), Err(TimedOut));
        assert!(start.elapsed() >= Duration::from_micros(50));
    }
}

#[test]
fn a_kill_or_a_timeout_ends_the_park() {
    let (killed, unparker) = parked(|_| unreachable!("it is killed"));
    killed.kill();
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    let parker = Parker::new();
    assert!(timeout(MOMENT, || park(&parker)).is_err());
    // Its token is not lost by that.
    parker.unparker().unpark();
    park(&parker);
    drop(unparker);
    assert_nothing_is_registered();
}

/// FAULTS row 6.
#[test]
fn fault_06_it_parks_in_a_destructor_while_its_green_thread_unwinds() {
    let _watchdog = Watchdog::new("a park in a destructor");
    let (give, take) = mpsc::channel();
    let killed = spawn(move || {
        let _guard = OnDrop(|| {
            let parker = Parker::new();
            give.send(parker.unparker()).unwrap();
            park(&parker);
        });
        sleep(HOUR);
    });
    yield_now();
    killed.kill();
    assert!(!killed.is_finished());
    let unparker = take.recv().unwrap();
    thread::spawn(move || unparker.unpark_once());
    assert!(matches!(killed.wait(), Err(Died::Killed)));
}

/// FAULTS row 30: not while an unparker is left anywhere, and at once when none is, also if the hub
/// sleeps then.
#[test]
fn fault_30_a_park_is_a_deadlock_when_the_last_unparker_is_gone() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    let parker = on_a_hub();
    let unparkers = [parker.unparker(), parker.unparker(), parker.unparker().clone()];
    let (waits, is_waiting) = mpsc::channel();
    let other = thread::spawn(move || {
        is_waiting.recv().unwrap();
        let start = Instant::now();
        for unparker in unparkers {
            while start.elapsed() < 5 * MOMENT {
                std::hint::spin_loop();
            }
            drop(unparker);
        }
        start
    });
    spawn_n(move || waits.send(()).unwrap());
    let text = panic_of(|| park(&parker));
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(other.join().unwrap().elapsed() >= 5 * MOMENT, "not before");
    assert!(!parker.has_unparkers());
    // Nobody came to harm.
    parker.unparker().unpark();
    park(&parker);
}

/// Two that go at once: each must see whether it is the last. Where both saw the other one, the hub slept
/// for ever.
#[test]
fn fault_30_unparkers_that_go_at_the_same_time_hide_no_deadlock() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    let parker = on_a_hub();
    let gate = Arc::new(Barrier::new(2));
    let (give, take): (Vec<_>, Vec<_>) = [(); 2].map(|()| mpsc::channel()).into_iter().unzip();
    let droppers: Vec<_> = take
        .into_iter()
        .map(|take| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                for unparker in take {
                    gate.wait();
                    drop::<Unparker>(unparker);
                }
            })
        })
        .collect();
    for _ in 0..rounds(1_000) {
        let unparkers = [parker.unparker(), parker.unparker()];
        give.iter().zip(unparkers).for_each(|(give, unparker)| give.send(unparker).unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| park(&parker))).is_err());
    }
    drop(give);
    droppers.into_iter().for_each(|dropper| dropper.join().unwrap());
}

/// Given and gone in one step: no deadlock before the token is taken, and one after it.
#[test]
fn fault_30_the_last_token_is_no_deadlock() {
    let _watchdog = Watchdog::new("a token was lost, or a deadlock was not seen");
    let parker = on_a_hub();
    for round in 0..rounds(1_000) {
        let unparker = parker.unparker();
        let other = thread::spawn(move || {
            for _ in 0..round % 300 {
                std::hint::spin_loop();
            }
            if round % 2 == 0 { unparker.unpark_once() } else { unparker.unpark() }
        });
        park(&parker);
        let text = panic_of(|| park(&parker));
        assert!(text.starts_with("deadlock: "), "{text}");
        other.join().unwrap();
    }
}

/// Dropped by a green thread of the same hub, which then waits for ever itself.
#[test]
fn fault_30_an_unparker_that_a_neighbour_drops_is_seen_to_be_gone() {
    let parker = on_a_hub();
    let unparker = parker.unparker();
    spawn_n(move || {
        yield_now();
        drop(unparker);
    });
    let text = panic_of(|| park(&parker));
    assert!(text.starts_with("deadlock: "), "{text}");
}

#[test]
fn who_has_unparkers_knows_it() {
    let parker = Parker::new();
    assert!(!parker.has_unparkers());
    let unparker = parker.unparker();
    let clone = unparker.clone();
    drop(unparker);
    assert!(parker.has_unparkers());
    clone.unpark_once();
    assert!(!parker.has_unparkers());
    assert_eq!(format!("{parker:?} {:?}", parker.unparker()), {
        "Parker { token: true, .. } Unparker { token: true, .. }"
    });
}

/// It is not `Send`, but a neighbour can reach it.
#[test]
fn a_parker_belongs_to_its_green_thread() {
    let shared = Rc::new(RefCell::new(None));
    spawn_n({
        let shared = Rc::clone(&shared);
        move || *shared.borrow_mut() = Some(Parker::new())
    });
    yield_now();
    let parker = shared.take().unwrap();
    assert_eq!(panic_of(|| park(&parker)), "a parker belongs to its green thread");
    // With a token there is nothing to wait for.
    parker.unparker().unpark();
    park(&parker);
}

/// Were it to block the OS thread, it could keep the one from running that unparks it.
#[test]
fn a_parker_that_is_older_than_the_hub_says_so() {
    let parker = Parker::new();
    let unparker = parker.unparker();
    spawn_n(move || unparker.unpark());
    let text = panic_of(|| park(&parker));
    assert_eq!(text, "a parker that is older than its OS thread's hub cannot park");
    yield_now();
    park(&parker);
}

/// What is sent to a hub that has ended goes nowhere, and harms nobody.
#[test]
fn an_unparker_may_outlive_the_hub() {
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        drop(parked(move |_| ()).0);
        let (thread, unparker) = parked(|_| ());
        assert!(!unparker.has_ended());
        give.send(unparker).unwrap();
        drop(thread);
    })
    .join()
    .unwrap();
    let unparker = take.recv().unwrap();
    assert!(unparker.has_ended());
    unparker.clone().unpark();
    unparker.unpark_once();
    assert!(!Parker::new().unparker().has_ended());
    // An OS thread without a hub does not say; nobody can be parked there any more.
    let (give, take) = mpsc::channel();
    thread::spawn(move || give.send(Parker::new().unparker()).unwrap()).join().unwrap();
    let unparker: Unparker = take.recv().unwrap();
    unparker.unpark();
    assert!(!unparker.has_ended());
}

#[test]
fn no_hub_is_made_for_an_os_thread_that_parks() {
    const NAME: &str = "no_hub_is_made_for_an_os_thread_that_parks";
    // In a process of its own: other tests make hubs.
    if !is_child(NAME) {
        assert!(Child::new(NAME).run().status.success());
        return;
    }
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let parker = Parker::new();
    let unparker = parker.unparker();
    thread::spawn(move || unparker.unpark_once());
    park(&parker);
    assert_eq!(parker.park(SOMETHING, Some(Instant::now() + MOMENT)), Err(TimedOut));
    assert!(!linger(10, || false));
    assert_eq!(descriptors(), before);
    yield_now();
    assert!(descriptors() > before, "a hub has descriptors");
}

/// `linger`: it looks, gives the neighbours their turns, and ends soon.
#[test]
fn to_linger_lets_the_neighbours_run() {
    assert!(linger(0, || true) || !evy_hub::may_spin());
    assert!(!linger(1_000, || false));
    if !evy_hub::may_spin() {
        return;
    }
    let done = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let done = Rc::clone(&done);
        spawn_n(move || {
            yield_now();
            done.set(done.get() + 1);
        });
    }
    assert!(linger(100, || done.get() == 3));
    // However many turns the neighbours take.
    let (stop, stops) = line();
    let busy = spawn({
        let list = Rc::clone(&stops);
        move || {
            while list.is_empty() {
                yield_now();
            }
        }
    });
    assert!(!linger(100, || false));
    let stopper = spawn(move || wait_in(&stops));
    busy.wait().unwrap();
    stop.wake_one();
    stopper.wait().unwrap();
}

/// FAULTS rows 21 and 22. `tests/acceptance_wakes.rs` tries ten times as many.
#[test]
fn fault_21_of_eight_times_a_million_wakes_none_is_lost() {
    let _watchdog = Watchdog::new("a wake was lost");
    let wakes = rounds(1_000_000);
    assert!(storm::storm(wakes) <= 8 * wakes);
    assert_nothing_is_registered();
}

/// Also towards a hub that has just begun, and one that ends meanwhile.
#[test]
fn fault_22_a_wake_of_a_hub_that_falls_asleep_or_ends_is_not_lost_and_harms_nobody() {
    let _watchdog = Watchdog::new("a wake was lost");
    for round in 0..rounds(1_000) {
        let (other, unparker) = other_hub(1);
        for _ in 0..round % 100 {
            std::hint::spin_loop();
        }
        unparker.unpark();
        // These race its end.
        (0..3).for_each(|_| unparker.unpark());
        other.join().unwrap();
    }
}
