//! Jobs on other OS threads: results, panics, and those whose green thread does not wait for them.

mod util;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use evy_runtime::{
    GreenThread, is_unblocked, join_all, spawn, timeout, unblock, unblock_n, yield_now,
};
use util::{HOUR, OnDrop, Watchdog, assert_nothing_is_registered, line, panic_of, wait_in};

/// More than the OS threads of the pool.
const MANY: usize = 50;

/// Semantics E 99.
#[test]
fn the_result_comes_back_from_another_os_thread() {
    let here = std::thread::current().id();
    let (there, name) = unblock(|| {
        let thread = std::thread::current();
        (thread.id(), thread.name().map(str::to_owned))
    });
    assert_ne!(here, there);
    assert_eq!(name.as_deref(), Some("evy-unblock"));
    assert_nothing_is_registered();
}

/// Semantics E 99; FAULTS row 40: panic.
#[test]
fn fault_40_a_panic_of_the_job_goes_to_its_caller() {
    assert_eq!(panic_of(|| unblock(|| panic!("in the job"))), "in the job");
    let caught = spawn(|| unblock(|| std::panic::panic_any(7_u8))).wait().unwrap_err();
    let evy_runtime::Died::Panicked(payload) = caught else { panic!("{caught}") };
    assert_eq!(payload.downcast_ref(), Some(&7_u8));
    assert_eq!(unblock(|| 8), 8);
}

/// Semantics E 99: the others run meanwhile.
#[test]
fn the_other_green_threads_run_while_it_waits() {
    let (sender, receiver) = mpsc::channel();
    let waits = spawn(move || unblock(move || receiver.recv().unwrap()));
    let turns = Rc::new(Cell::new(0));
    let other = spawn({
        let turns = Rc::clone(&turns);
        move || {
            for _ in 0..100 {
                turns.set(turns.get() + 1);
                yield_now();
            }
            sender.send("sent by the other").unwrap();
        }
    });
    assert_eq!(waits.wait().unwrap(), "sent by the other");
    assert_eq!(turns.get(), 100);
    other.wait().unwrap();
}

/// Semantics E 99: nested. All OS threads of the pool are busy with jobs that want another one.
#[test]
fn a_job_can_have_jobs_of_its_own_however_busy_the_pool_is() {
    let _watchdog = Watchdog::new("jobs within jobs");
    let jobs =
        (0..MANY).map(|n| spawn(move || unblock(move || unblock(move || unblock(move || n + 1)))));
    let results: Vec<_> = join_all(jobs).into_iter().map(Result::unwrap).collect();
    assert_eq!(results, (1..=MANY).collect::<Vec<_>>());
    assert_eq!(panic_of(|| unblock(|| unblock(|| panic!("innermost")))), "innermost");
}

/// A job may use green threads: it has a hub of its own then.
#[test]
fn a_job_can_spawn_and_sleep() {
    let sum = unblock(|| {
        let threads = (0..10).map(|n| {
            spawn(move || {
                evy_runtime::sleep(Duration::from_millis(1));
                n
            })
        });
        join_all(threads).into_iter().map(Result::unwrap).sum::<i32>()
    });
    assert_eq!(sum, 45);
}

/// Semantics E 99: contention.
#[test]
fn a_thousand_at_once_all_get_their_own_result() {
    let count = util::rounds(10_000).clamp(100, 1_000);
    let jobs = (0..count).map(|n| spawn(move || unblock(move || n)));
    let results: Vec<_> = join_all(jobs).into_iter().map(Result::unwrap).collect();
    assert_eq!(results, (0..count).collect::<Vec<_>>());
    assert_nothing_is_registered();
}

/// Semantics E 99: killed with results outstanding. The late wake hits nobody.
#[test]
fn fault_21_the_late_answer_for_a_killed_one_wakes_nobody_else() {
    let gate = Arc::new(Barrier::new(6));
    let (begun, is_begun) = mpsc::channel();
    let killed: Vec<GreenThread<()>> = (0..5)
        .map(|_| {
            let (gate, begun) = (Arc::clone(&gate), begun.clone());
            spawn(move || {
                unblock(move || {
                    begun.send(()).unwrap();
                    gate.wait();
                });
            })
        })
        .collect();
    yield_now();
    assert_eq!(is_begun.iter().take(5).count(), 5);
    for thread in &killed {
        thread.kill();
        assert!(thread.is_finished());
    }
    drop(killed);
    // These take the stacks of the killed ones, and wait for what does not come.
    let (waiting, line) = line();
    let strangers: Vec<_> = (0..5)
        .map(|_| {
            let line = Rc::clone(&line);
            spawn(move || wait_in(&line))
        })
        .collect();
    yield_now();
    gate.wait();
    // Later answers come after the late ones: the queue of messages is in order, but the jobs are
    // not. A few rounds of the pool give them time.
    for _ in 0..100 {
        unblock(|| ());
    }
    assert!(strangers.iter().all(|stranger| !stranger.is_finished()));
    assert_eq!(waiting.len(), 5);
    waiting.wake_all();
    assert!(join_all(strangers).iter().all(Result::is_ok));
    assert_nothing_is_registered();
}

/// FAULTS row 40: what nobody waits for any more is dropped on the pool's OS thread, and a panic there
/// does not cost the pool that thread.
#[test]
fn fault_40_a_result_that_panics_in_its_drop_does_not_use_up_the_pool() {
    let _watchdog = Watchdog::new("the pool has lost its OS threads");
    for _ in 0..MANY {
        let (sender, receiver) = mpsc::channel::<()>();
        let (begun, is_begun) = mpsc::channel();
        let (gone, is_gone) = mpsc::channel();
        let leaves = spawn(move || {
            drop(unblock(move || {
                begun.send(()).unwrap();
                let _ = receiver.recv();
                OnDrop(move || {
                    gone.send(()).unwrap();
                    panic!("in the drop of a result that nobody waits for");
                })
            }));
        });
        yield_now();
        is_begun.recv().unwrap();
        leaves.kill();
        drop(sender);
        is_gone.recv().unwrap();
    }
    assert_eq!(unblock(|| 7), 7);
    let jobs = join_all((0..MANY).map(|n| spawn(move || unblock(move || n))));
    assert!(jobs.iter().all(Result::is_ok));
}

/// FAULTS row 40: nobody waits for it, so its panic has nobody to go to and harms nobody.
#[test]
fn fault_40_a_job_that_nobody_waits_for_ends_by_itself() {
    let (sender, receiver) = mpsc::channel();
    for n in 0..MANY {
        let sender = sender.clone();
        unblock_n(move || {
            sender.send((n, is_unblocked())).unwrap();
            panic!("nobody waits for this");
        })
        .unwrap();
    }
    let mut seen: Vec<_> = (0..MANY).map(|_| receiver.recv_timeout(HOUR).unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..MANY).map(|n| (n, true)).collect::<Vec<_>>());
    assert!(!is_unblocked());
    assert_eq!(unblock(|| 7), 7);
}

/// It queues like any other, also when a job starts it.
#[test]
fn a_job_can_start_another_and_does_not_wait_for_it() {
    let (sender, receiver) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    unblock(move || {
        unblock_n(move || {
            wait.recv().unwrap();
            sender.send(8).unwrap();
        })
        .unwrap();
    });
    assert!(receiver.try_recv().is_err());
    go.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(HOUR), Ok(8));
}

/// FAULTS row 21: several hubs, whose jobs end in any order.
#[test]
fn fault_21_answers_find_their_hub_and_their_green_thread() {
    let hubs: Vec<_> = (0..8)
        .map(|hub| {
            std::thread::spawn(move || {
                let count = util::rounds(20_000).clamp(50, 500);
                for round in 0..count {
                    let jobs = (0..4).map(|n| spawn(move || unblock(move || (hub, round, n))));
                    for (n, result) in join_all(jobs).into_iter().enumerate() {
                        assert_eq!(result.unwrap(), (hub, round, n));
                    }
                }
            })
        })
        .collect();
    for hub in hubs {
        hub.join().unwrap();
    }
}

/// FAULTS row 22: a wake that is sent while the hub falls asleep, at every point of its way there.
#[test]
fn fault_22_no_wake_is_lost_on_the_way_to_sleep() {
    let _watchdog = Watchdog::new("a wake from another OS thread was lost");
    for round in 0..util::rounds(200_000) {
        let spins = round % 200;
        let result = unblock(move || {
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            round
        });
        assert_eq!(result, round);
    }
}

/// In a destructor of one that unwinds, the job runs there.
#[test]
fn fault_06_while_its_caller_unwinds_the_job_runs_in_place() {
    let same = Rc::new(Cell::new(false));
    let here = std::thread::current().id();
    let panics = spawn({
        let same = Rc::clone(&same);
        move || {
            let _guard = OnDrop(|| same.set(unblock(move || std::thread::current().id() == here)));
            panic!("on purpose");
        }
    });
    assert!(panics.wait().is_err());
    assert!(same.get());
}

/// A job that has begun runs to its end though nobody waits for it any more, and its captures are dropped
/// once.
#[test]
fn the_begun_job_of_a_killed_one_ends_by_itself() {
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let (begun, is_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let target = spawn({
        let counted = Counted(Arc::clone(&dropped));
        move || {
            unblock(move || {
                begun.send(()).unwrap();
                may_go.recv().unwrap();
                drop(counted);
                done.send(()).unwrap();
                panic!("nobody waits for this");
            });
        }
    });
    yield_now();
    is_begun.recv_timeout(HOUR).unwrap();
    target.kill();
    assert!(target.is_finished());
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    go.send(()).unwrap();
    is_done.recv_timeout(HOUR).unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    // Its panic had nobody to go to, and harmed nobody.
    let caught = catch_unwind(AssertUnwindSafe(|| unblock(|| 9)));
    assert_eq!(caught.unwrap(), 9);
}

/// Semantics E 74: a timeout comes while its green thread waits for a job.
#[test]
fn a_timeout_ends_the_wait_for_a_job_and_leaves_the_job_alone() {
    let (begun, is_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let late = timeout(Duration::from_millis(20), || {
        unblock(move || {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            done.send("done").unwrap();
        });
    });
    assert!(late.is_err());
    // Where the machine was too slow for the job to begin, it was dropped.
    if is_begun.recv().is_ok() {
        go.send(()).unwrap();
        assert_eq!(is_done.recv(), Ok("done"));
    }
    assert_nothing_is_registered();
}

/// Semantics E 99: a timeout within the job is the job's own, and comes back as its result.
#[test]
fn a_timeout_of_the_job_comes_back_as_its_result() {
    let slow = unblock(|| timeout(Duration::from_millis(1), || evy_runtime::sleep(HOUR)));
    assert!(slow.is_err());
}
