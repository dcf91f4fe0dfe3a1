//! The semaphore between OS threads: never too many at once, in order, and no permit is lost.

mod sides;
#[path = "../../runtime/tests/util/mod.rs"]
mod util;

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, sleep, spawn, timeout, yield_now};
use evy_sync::shared::{Permit, Semaphore};
use evy_sync::{TimedOut, WouldBlock};
use sides::{SIDES, Side, until, until_waiting};
use util::{HOUR, OnDrop, Watchdog, panic_of, rounds};

const MOMENT: Duration = Duration::from_millis(2);

/// A green thread that waits for a permit now, and takes it for good.
fn taking(semaphore: &Arc<Semaphore>) -> GreenThread<()> {
    let thread = spawn({
        let semaphore = Arc::clone(semaphore);
        move || semaphore.acquire().forget()
    });
    yield_now();
    thread
}

/// Semantics E 97: at most so many at once, on all OS threads together.
#[test]
fn there_are_never_more_permits_out_than_there_are() {
    let _watchdog = Watchdog::new("a semaphore between OS threads");
    for permits in [1, 3] {
        let semaphore = Arc::new(Semaphore::new(permits));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = rounds(5_000);
        let threads: Vec<_> = [SIDES, SIDES]
            .concat()
            .into_iter()
            .map(|side| {
                let semaphore = Arc::clone(&semaphore);
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                side.run(move || {
                    for n in 0..count {
                        let _permit = semaphore.acquire();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        if n % 8 == 0 {
                            yield_now();
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!((1..=permits).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(semaphore.balance(), permits as isize);
    }
}

/// Semantics C 63.
#[test]
fn permits_go_to_those_who_wait_in_the_order_in_which_they_came() {
    let _watchdog = Watchdog::new("a line at a semaphore");
    let semaphore = Arc::new(Semaphore::new(0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiting: Vec<_> = SIDES
        .into_iter()
        .cycle()
        .take(7)
        .enumerate()
        .map(|(place, side)| {
            let (mine, order) = (Arc::clone(&semaphore), Arc::clone(&order));
            let thread = side.run(move || {
                let permit = mine.acquire();
                order.lock().unwrap().push(place);
                permit.forget();
            });
            until_waiting(&semaphore, place + 1);
            thread
        })
        .collect();
    for (place, thread) in waiting.into_iter().enumerate() {
        assert_eq!(semaphore.balance(), place as isize - 7);
        semaphore.release();
        // It is the first one's: there is none for who comes now.
        assert_eq!(semaphore.try_acquire().unwrap_err(), WouldBlock);
        thread.join().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6]);
}

/// Semantics C 64: who releases and acquires at once goes behind who waits.
#[test]
fn two_in_a_loop_take_turns() {
    let _watchdog = Watchdog::new("two who take turns");
    let semaphore = Arc::new(Semaphore::new(0));
    let turns = Arc::new(Mutex::new(Vec::new()));
    let count = 100;
    let threads = [Side::Os, Side::Green].map(|side| {
        let (semaphore, turns) = (Arc::clone(&semaphore), Arc::clone(&turns));
        side.run(move || {
            for _ in 0..count {
                let _permit = semaphore.acquire();
                turns.lock().unwrap().push(side);
                // Not before the other one stands in line.
                until(|| semaphore.balance() < 0 || turns.lock().unwrap().len() + 1 >= 2 * count);
            }
        })
    });
    until_waiting(&semaphore, 2);
    semaphore.release();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let turns = turns.lock().unwrap();
    assert_eq!(turns.len(), 2 * count);
    assert!(turns.windows(2).all(|two| two[0] != two[1]), "{turns:?}");
}

/// Semantics C 66.
#[test]
fn it_says_at_once_or_in_time_that_there_is_none() {
    let _watchdog = Watchdog::new("timeouts of a semaphore");
    for side in SIDES {
        let semaphore = Arc::new(Semaphore::default());
        let permit = semaphore.try_acquire().unwrap();
        assert!(semaphore.locked());
        let other = Arc::clone(&semaphore);
        side.run(move || {
            assert_eq!(other.try_acquire().unwrap_err(), WouldBlock);
            assert_eq!(other.acquire_timeout(Duration::ZERO).unwrap_err(), TimedOut);
            let start = Instant::now();
            assert_eq!(other.acquire_timeout(MOMENT).unwrap_err(), TimedOut);
            assert!(start.elapsed() >= MOMENT);
            assert_eq!(other.balance(), 0);
        })
        .join()
        .unwrap();
        let other = Arc::clone(&semaphore);
        let waits = side.run(move || drop(other.acquire_timeout(HOUR).unwrap()));
        until_waiting(&semaphore, 1);
        drop(permit);
        waits.join().unwrap();
        assert_eq!((semaphore.balance(), semaphore.locked()), (1, false));
    }
}

/// Handed over by one OS thread just as the time is over on another.
#[test]
fn fault_53_a_permit_that_comes_when_the_time_is_over_is_not_lost() {
    let _watchdog = Watchdog::new("a permit was lost");
    for side in SIDES {
        let semaphore = Arc::new(Semaphore::new(0));
        let count = rounds(20_000);
        let takes = side.run({
            let semaphore = Arc::clone(&semaphore);
            move || {
                // Each is tried for until it is there, so one that is lost is waited for in vain.
                for n in 0..count {
                    let limit = Duration::from_micros(n as u64 % 8);
                    let permit = loop {
                        if let Ok(permit) = semaphore.acquire_timeout(limit) {
                            break permit;
                        }
                    };
                    drop(permit);
                }
            }
        });
        semaphore.release();
        for n in 0..count {
            semaphore.acquire().forget();
            let start = Instant::now();
            while start.elapsed() < Duration::from_nanos(n as u64 * 37 % 10_000) {
                std::hint::spin_loop();
            }
            semaphore.release();
        }
        takes.join().unwrap();
        assert_eq!(semaphore.balance(), 1, "{side:?}");
    }
}

/// FAULTS row 53: handed over, then killed before it goes on.
#[test]
fn fault_53_a_killed_waiter_does_not_lose_the_permit() {
    let semaphore = Arc::new(Semaphore::new(0));
    let [first, second, third] = [(); 3].map(|()| taking(&semaphore));
    semaphore.release();
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    second.wait().unwrap();
    third.kill();
    assert!(matches!(third.wait(), Err(Died::Killed)));
    assert_eq!(semaphore.balance(), 0);
    semaphore.release();
    assert_eq!(semaphore.balance(), 1);
    let fourth = taking(&semaphore);
    fourth.wait().unwrap();
    let fifth = taking(&semaphore);
    semaphore.release();
    fifth.kill();
    assert_eq!(semaphore.balance(), 1);
    drop(fifth);
}

/// Kills and timeouts at random, while another OS thread has permits too.
#[test]
fn fault_53_kills_and_timeouts_at_random_lose_no_permit() {
    let _watchdog = Watchdog::new("a permit was lost");
    let semaphore = Arc::new(Semaphore::new(2));
    let count = rounds(20_000);
    let other = Side::Os.run({
        let semaphore = Arc::clone(&semaphore);
        move || (0..count).for_each(|_| drop(semaphore.acquire()))
    });
    let mut random = 1_u32;
    for n in 0..count / 4 {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                spawn(move || {
                    let _ = timeout(Duration::from_micros(n as u64 % 30), || {
                        let _permit = semaphore.acquire();
                        yield_now();
                        let _another = semaphore.acquire_timeout(Duration::from_micros(5));
                        yield_now();
                    });
                })
            })
            .collect();
        for taker in takers {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for _ in 0..random >> 30 {
                yield_now();
            }
            if random >> 29 & 1 == 0 {
                taker.kill();
            }
            let _ = taker.wait();
        }
    }
    other.join().unwrap();
    assert_eq!(semaphore.balance(), 2);
}

#[test]
fn those_on_an_os_thread_that_has_ended_are_passed_over() {
    let semaphore = Arc::new(Semaphore::new(0));
    thread::spawn({
        let semaphore = Arc::clone(&semaphore);
        move || drop(taking(&semaphore))
    })
    .join()
    .unwrap();
    let alive = taking(&semaphore);
    assert_eq!(semaphore.balance(), -2);
    semaphore.release();
    alive.wait().unwrap();
    semaphore.release();
    assert_eq!(semaphore.balance(), 1);
}

/// Acquired here, released there.
#[test]
fn a_permit_goes_back_from_any_os_thread() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.acquire();
    thread::scope(|scope| {
        let waits = scope.spawn(|| drop(semaphore.acquire()));
        until_waiting(&semaphore, 1);
        scope.spawn(move || drop(permit));
        waits.join().unwrap();
    });
    assert_eq!(semaphore.balance(), 1);
    semaphore.acquire().forget();
    assert!(semaphore.locked());
}

/// FAULTS row 6.
#[test]
fn fault_06_a_destructor_may_wait_for_a_permit_while_its_green_thread_unwinds() {
    let _watchdog = Watchdog::new("a semaphore in a destructor");
    let (semaphore, done) = (Arc::new(Semaphore::new(0)), Rc::new(Cell::new(false)));
    let killed = spawn({
        let (semaphore, done) = (Arc::clone(&semaphore), Rc::clone(&done));
        move || {
            let _guard = OnDrop(|| {
                semaphore.acquire().forget();
                done.set(true);
            });
            sleep(HOUR);
        }
    });
    yield_now();
    killed.kill();
    assert!(!killed.is_finished());
    thread::spawn(move || semaphore.release());
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert!(done.get());
}

#[test]
fn it_goes_everywhere_and_counts_no_further_than_it_can() {
    fn everywhere<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    everywhere::<Semaphore>();
    everywhere::<Permit<'static>>();
    let semaphore = Semaphore::new(usize::MAX);
    assert_eq!(panic_of(|| semaphore.release()), "so many permits cannot be counted");
    assert_eq!(semaphore.balance(), isize::MAX);
    drop(semaphore.acquire());
    assert_eq!(format!("{:?}", Semaphore::new(2)), "Semaphore { free: 2, waiting: 0 }");
}
