//! Futures in the background, which one green thread polls; and green threads that run at once.

mod util;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use evy_runtime::{
    Alarm, Died, current, kill, kill_all, sleep, spawn, spawn_eager, spawn_future, spawn_n,
    timeout, yield_now,
};
use util::{Census, Log, Watchdog, assert_nothing_is_registered, line, panic_of, wait_in};

/// A future that is ready when its waker was called once, and leaves the waker in `place`.
async fn wait_for_a_wake(place: Arc<Mutex<Option<Waker>>>) {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::replace(&mut is_first, false) {
            *place.lock().unwrap() = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

async fn yield_once() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::replace(&mut is_first, false) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

#[test]
fn many_futures_share_one_green_thread_and_all_end() {
    let ids = Rc::new(RefCell::new(Vec::new()));
    for n in 0..2000_u64 {
        let ids = Rc::clone(&ids);
        spawn_future(async move {
            Alarm::after(Duration::from_micros(n)).await;
            ids.borrow_mut().push(current());
        });
    }
    while ids.borrow().len() < 2000 {
        sleep(Duration::from_millis(1));
    }
    let first = ids.borrow()[0];
    assert!(ids.borrow().iter().all(|id| *id == first));
    assert_ne!(first, current());
    yield_now();
    assert_nothing_is_registered();
}

#[test]
fn futures_are_polled_in_the_order_in_which_they_were_woken() {
    let log = Log::new();
    let places: Vec<_> = (0..3).map(|_| Arc::new(Mutex::new(None))).collect();
    for (n, place) in places.iter().enumerate() {
        let (log, place) = (log.clone(), Arc::clone(place));
        spawn_future(async move {
            wait_for_a_wake(place).await;
            log.add(n.to_string());
        });
    }
    yield_now();
    for n in [2, 0, 1] {
        places[n].lock().unwrap().take().unwrap().wake();
    }
    yield_now();
    assert_eq!(log.take(), ["2", "0", "1"]);
}

#[test]
fn who_is_ready_runs_between_two_passes() {
    let log = Log::new();
    for name in ["a", "b"] {
        let log = log.clone();
        spawn_future(async move {
            for _ in 0..2 {
                log.add(name);
                yield_once().await;
            }
        });
    }
    let other = log.clone();
    spawn_n(move || {
        for _ in 0..3 {
            other.add("thread");
            yield_now();
        }
    });
    while log.len() < 7 {
        yield_now();
    }
    assert_eq!(log.take(), ["a", "b", "thread", "a", "b", "thread", "thread"]);
}

#[test]
fn fault_22_a_wake_from_another_os_thread_is_not_lost() {
    let _watchdog = Watchdog::new("a wake was lost");
    for _ in 0..util::rounds(2000) {
        let place = Arc::new(Mutex::new(None::<Waker>));
        let done = Rc::new(Cell::new(false));
        let (theirs, ours) = (Arc::clone(&place), Rc::clone(&done));
        spawn_future(async move {
            wait_for_a_wake(theirs).await;
            ours.set(true);
        });
        yield_now();
        let waker = place.lock().unwrap().take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
        });
        while !done.get() {
            yield_now();
        }
    }
}

#[test]
fn fault_04_a_future_that_panics_harms_no_other() {
    let census = Census::new();
    let done = Rc::new(Cell::new(0));
    for n in 0..10 {
        let (counted, done) = (census.one(), Rc::clone(&done));
        spawn_future(async move {
            yield_once().await;
            assert!(n % 2 == 0, "this future panics on purpose");
            done.set(done.get() + 1);
            drop(counted);
        });
    }
    while census.alive() > 0 {
        yield_now();
    }
    assert_eq!(done.get(), 5);
}

#[test]
fn fault_07_kill_all_drops_every_future_and_the_next_one_works() {
    let census = Census::new();
    for _ in 0..10 {
        let counted = census.one();
        spawn_future(async move {
            let _counted = counted;
            pending::<()>().await;
        });
    }
    yield_now();
    // One that was never polled, too.
    let counted = census.one();
    spawn_future(async move { drop(counted) });
    kill_all();
    assert_eq!(census.alive(), 0);
    let done = Rc::new(Cell::new(false));
    let ours = Rc::clone(&done);
    spawn_future(async move { ours.set(true) });
    yield_now();
    assert!(done.get());
    assert_nothing_is_registered();
}

#[test]
fn fault_07_a_driver_that_is_killed_in_the_middle_of_a_poll_drops_them_all() {
    let census = Census::new();
    let driver = Rc::new(Cell::new(None));
    for _ in 0..3 {
        let (counted, driver) = (census.one(), Rc::clone(&driver));
        spawn_future(async move {
            let _counted = counted;
            driver.set(Some(current()));
            sleep(util::HOUR);
        });
    }
    yield_now();
    assert!(kill(driver.get().unwrap()));
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

#[test]
fn a_future_spawned_by_the_destructor_of_another_is_polled() {
    struct SpawnOnDrop(Rc<Cell<bool>>);

    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            let done = Rc::clone(&self.0);
            spawn_future(async move { done.set(true) });
        }
    }

    let done = Rc::new(Cell::new(false));
    let bomb = SpawnOnDrop(Rc::clone(&done));
    spawn_future(async move {
        let _bomb = bomb;
        pending::<()>().await;
    });
    yield_now();
    kill_all();
    yield_now();
    assert!(done.get());
}

#[test]
fn fault_30_futures_that_nobody_can_wake_are_no_hope() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    spawn_future(pending());
    let (theirs, _ours) = line();
    let text = panic_of(|| wait_in(&theirs));
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(text.contains("the wakers of futures in the background"), "{text}");
}

#[test]
fn fault_30_a_future_whose_waker_another_os_thread_has_is_one() {
    let _watchdog = Watchdog::new("a wake was lost");
    let place = Arc::new(Mutex::new(None::<Waker>));
    let (theirs, line) = line();
    let there = Arc::clone(&place);
    spawn_future(async move {
        wait_for_a_wake(there).await;
        line.wake_one();
    });
    yield_now();
    let waker = place.lock().unwrap().take().unwrap();
    let other = std::thread::spawn(move || {
        util::pause(Duration::from_millis(5));
        waker.wake();
    });
    wait_in(&theirs);
    other.join().unwrap();
}

#[test]
fn an_eager_green_thread_runs_before_its_spawner_goes_on_and_before_all_others() {
    let log = Log::new();
    let other = log.clone();
    spawn_n(move || other.add("other"));
    let theirs = log.clone();
    let thread = spawn_eager(move || {
        theirs.add("eager");
        yield_now();
        theirs.add("eager again");
    });
    log.add("spawner");
    assert!(!thread.is_finished());
    thread.wait().unwrap();
    assert_eq!(log.take(), ["eager", "spawner", "other", "eager again"]);
    assert_eq!(spawn_eager(|| spawn_eager(|| 7).wait().unwrap()).wait().unwrap(), 7);
}

#[test]
fn fault_07_a_spawner_that_is_killed_meanwhile_leaves_its_eager_child_alone() {
    let done = Rc::new(Cell::new(false));
    let ours = Rc::clone(&done);
    let spawner = spawn(move || {
        let spawner = current();
        let _detached = spawn_eager(move || {
            kill(spawner);
            yield_now();
            ours.set(true);
        });
        unreachable!("it was killed");
    });
    assert!(matches!(spawner.wait(), Err(Died::Killed)));
    yield_now();
    assert!(done.get());
}

#[test]
fn fault_23_a_timeout_of_the_spawner_is_not_one_of_its_eager_child() {
    let child = Rc::new(Cell::new(None));
    let ours = Rc::clone(&child);
    let result = timeout(Duration::from_millis(2), move || {
        ours.set(Some(spawn_eager(|| {
            sleep(Duration::from_millis(5));
            8
        })));
        sleep(util::HOUR);
    });
    assert!(result.is_err());
    assert_eq!(child.take().unwrap().wait().unwrap(), 8);
}

#[test]
fn fault_15_a_future_that_always_wakes_itself_does_not_stop_the_hub() {
    let _watchdog = Watchdog::new("a timer was not seen");
    let done = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&done);
    spawn_future(async move {
        while !theirs.get() {
            yield_once().await;
        }
    });
    sleep(Duration::from_millis(1));
    done.set(true);
    yield_now();
}
