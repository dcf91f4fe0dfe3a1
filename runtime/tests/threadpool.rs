//! The pool behind `unblock`: how many threads there are, what waits for them, and how they end.
//!
//! There is one pool in a process, so these tests take turns.

mod util;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use evy_runtime::threadpool::{self, Stats};
use evy_runtime::{Died, GreenThread, join_all, sleep, spawn, timeout, unblock, yield_now};
use util::{Child, Ended, HOUR, OnDrop, Watchdog, is_child, panic_of, text};

/// Long enough for a pool whose jobs end.
const GRACE: Duration = Duration::from_secs(50);

const AT_ONCE: Duration = Duration::from_millis(1);

/// The pool for one test alone, which must not hang: empty, and of that size.
fn pool_of(size: usize) -> (MutexGuard<'static, ()>, Watchdog) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let watchdog = Watchdog::new("a test of the pool");
    threadpool::set_size(size);
    threadpool::shutdown(GRACE).unwrap();
    assert_eq!(threadpool::stats(), stats(0, 0, 0));
    (turn, watchdog)
}

/// What is expected of the pool: threads, jobs that run, jobs that wait.
fn stats(threads: usize, running: usize, queued: usize) -> Stats {
    let mut stats = Stats::default();
    (stats.threads, stats.idle) = (threads, threads - running);
    (stats.running, stats.queued) = (running, queued);
    stats
}

/// Waits until the pool is as expected: its threads go their own ways.
#[track_caller]
fn wait_for(expected: Stats) {
    let start = Instant::now();
    while threadpool::stats() != expected {
        assert!(start.elapsed() < GRACE, "{:?} instead of {expected:?}", threadpool::stats());
        sleep(Duration::from_micros(200));
    }
}

/// Jobs that say when they begin, and wait until they may end.
struct Stalled {
    jobs: Vec<GreenThread<usize>>,
    /// One for each job, in their order.
    gates: Vec<Sender<()>>,
    begun: Receiver<usize>,
}

impl Stalled {
    /// So many of them, submitted in order.
    fn new(count: usize) -> Self {
        let (begins, begun) = mpsc::channel();
        let (mut jobs, mut gates) = (Vec::new(), Vec::new());
        for n in 0..count {
            let (gate, opened) = mpsc::channel();
            let begins = begins.clone();
            jobs.push(spawn(move || {
                unblock(move || {
                    begins.send(n).unwrap();
                    let _ = opened.recv();
                    n
                })
            }));
            gates.push(gate);
        }
        yield_now();
        Self { jobs, gates, begun }
    }

    /// Waits until so many more have begun, and says which.
    fn wait_for(&self, count: usize) -> Vec<usize> {
        let mut begun: Vec<_> =
            (0..count).map(|_| self.begun.recv_timeout(HOUR).unwrap()).collect();
        begun.sort_unstable();
        begun
    }

    /// Lets all end, and checks their results.
    fn finish(self) {
        drop(self.gates);
        let count = self.jobs.len();
        let results = join_all(self.jobs).into_iter().map(Result::unwrap);
        assert!(results.eq(0..count));
    }
}

/// FAULTS row 40: more jobs than threads.
#[test]
fn fault_40_more_jobs_than_threads_wait_in_line() {
    let _turn = pool_of(3);
    let stalled = Stalled::new(10);
    assert_eq!(threadpool::stats(), stats(3, 3, 7));
    assert_eq!(stalled.wait_for(3), [0, 1, 2]);
    // First come, first served, whichever thread has time.
    for n in [1, 2, 0] {
        stalled.gates[n].send(()).unwrap();
        let next = stalled.wait_for(1);
        assert!(next == [3] || next == [4] || next == [5], "{next:?}");
    }
    assert_eq!(threadpool::stats(), stats(3, 3, 4));
    stalled.finish();
    wait_for(stats(3, 0, 0));
}

#[test]
fn jobs_begin_in_the_order_in_which_they_came() {
    let _turn = pool_of(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let job = |n| {
        let order = Arc::clone(&order);
        spawn(move || unblock(move || order.lock().unwrap().push(n)))
    };
    let count = util::rounds(5_000);
    let jobs: Vec<_> = (0..count).map(job).collect();
    assert!(join_all(jobs).iter().all(Result::is_ok));
    assert!(order.lock().unwrap().iter().copied().eq(0..count));
}

/// Semantics E 99; who calls one after the other needs no second thread.
#[test]
fn one_job_after_another_is_done_by_one_thread() {
    let _turn = pool_of(20);
    let threads: Vec<ThreadId> = (0..1_000)
        .map(|_| {
            let thread = unblock(|| std::thread::current().id());
            assert_eq!(threadpool::stats(), stats(1, 0, 0));
            thread
        })
        .collect();
    assert!(threads.iter().all(|thread| *thread == threads[0]));
}

/// FAULTS row 40: every thread is stuck. Those that wait for one can give up, and the others go on.
#[test]
fn fault_40_a_stalled_pool_stalls_nobody_else() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(2);
    stalled.wait_for(2);
    let turns = Rc::new(Cell::new(0));
    let other = spawn({
        let turns = Rc::clone(&turns);
        move || {
            for _ in 0..100 {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    let ran = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let ran = Arc::clone(&ran);
            spawn(move || {
                timeout(AT_ONCE, || unblock(move || ran.fetch_add(1, Ordering::SeqCst))).is_err()
            })
        })
        .collect();
    assert!(join_all(waiting).into_iter().all(Result::unwrap));
    other.wait().unwrap();
    assert_eq!(turns.get(), 100);
    // What they gave up does not wait any more, and is not done later.
    assert_eq!(threadpool::stats(), stats(2, 2, 0));
    stalled.finish();
    assert_eq!(unblock(|| 7), 7);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

/// FAULTS row 40: panics cost no threads.
#[test]
fn fault_40_a_panic_costs_no_thread() {
    let _turn = pool_of(2);
    for _ in 0..20 {
        assert_eq!(panic_of(|| unblock(|| panic!("in the job"))), "in the job");
    }
    assert_eq!(threadpool::stats(), stats(1, 0, 0));
}

#[test]
fn a_job_that_has_not_begun_is_dropped_with_its_caller() {
    let _turn = pool_of(1);
    let stalled = Stalled::new(1);
    stalled.wait_for(1);
    let dropped = Rc::new(Cell::new(0));
    for round in 0..3 {
        let (gone, is_gone) = mpsc::channel();
        let target = spawn(move || {
            let captured = OnDrop(move || {
                gone.send(std::thread::current().id()).unwrap();
                match round {
                    0 => {}
                    1 => panic!("in the drop of what a killed one has captured"),
                    // It parks, while its green thread unwinds.
                    _ => drop(spawn(|| 1).wait()),
                }
            });
            unblock(move || {
                drop(captured);
                unreachable!("it must not be done");
            });
        });
        yield_now();
        assert_eq!(threadpool::stats(), stats(1, 1, 1));
        target.kill();
        while !target.is_finished() {
            yield_now();
        }
        assert!(matches!(target.wait(), Err(Died::Killed)));
        assert_eq!(threadpool::stats(), stats(1, 1, 0));
        assert_eq!(is_gone.try_recv(), Ok(std::thread::current().id()));
        dropped.set(dropped.get() + 1);
    }
    assert_eq!(dropped.get(), 3);
    stalled.finish();
}

#[test]
fn a_larger_size_starts_threads_for_what_is_queued() {
    let _turn = pool_of(1);
    let stalled = Stalled::new(5);
    assert_eq!(stalled.wait_for(1), [0]);
    assert_eq!(threadpool::stats(), stats(1, 1, 4));
    threadpool::set_size(3);
    assert_eq!(threadpool::size(), 3);
    assert_eq!(stalled.wait_for(2), [1, 2]);
    assert_eq!(threadpool::stats(), stats(3, 3, 2));
    threadpool::set_size(100);
    assert_eq!(stalled.wait_for(2), [3, 4]);
    // Only for what is queued.
    assert_eq!(threadpool::stats(), stats(5, 5, 0));
    stalled.finish();
}

#[test]
fn a_smaller_size_ends_idle_threads_now_and_busy_ones_after_their_job() {
    let _turn = pool_of(4);
    Stalled::new(4).finish();
    wait_for(stats(4, 0, 0));
    threadpool::set_size(3);
    assert_eq!(threadpool::stats(), stats(3, 0, 0));

    let stalled = Stalled::new(5);
    assert_eq!(stalled.wait_for(3), [0, 1, 2]);
    threadpool::set_size(1);
    assert_eq!(threadpool::stats(), stats(3, 3, 2));
    stalled.gates[0].send(()).unwrap();
    wait_for(stats(2, 2, 2));
    stalled.gates[1].send(()).unwrap();
    wait_for(stats(1, 1, 2));
    // The one that is left does what is left.
    stalled.gates[2].send(()).unwrap();
    assert_eq!(stalled.wait_for(1), [3]);
    stalled.finish();
    wait_for(stats(1, 0, 0));
}

#[test]
fn with_size_0_jobs_run_in_place_and_those_that_wait_are_done_elsewhere() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(4);
    stalled.wait_for(2);
    threadpool::set_size(0);
    let here = std::thread::current().id();
    assert_eq!(unblock(|| std::thread::current().id()), here);
    assert_eq!(panic_of(|| unblock(|| panic!("in place"))), "in place");
    assert_eq!(threadpool::stats(), stats(2, 2, 2));
    stalled.finish();
    wait_for(stats(0, 0, 0));
    threadpool::set_size(1);
    assert_ne!(unblock(|| std::thread::current().id()), here);
}

/// FAULTS row 40: an orderly shutdown.
#[test]
fn fault_40_a_shutdown_waits_for_all_jobs_and_all_threads() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(5);
    stalled.wait_for(2);
    let ended = spawn(|| threadpool::shutdown(GRACE));
    // It parks its green thread and nobody else, for as long as there is a job.
    for n in 0..5 {
        sleep(AT_ONCE);
        assert!(!ended.is_finished());
        stalled.gates[n].send(()).unwrap();
    }
    let start = Instant::now();
    ended.wait().unwrap().unwrap();
    // Nobody waits ten seconds for another job.
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(threadpool::stats(), stats(0, 0, 0));
    stalled.finish();
    // It can be begun again, and ended again.
    assert_eq!(unblock(|| 8), 8);
    assert_eq!(threadpool::stats(), stats(1, 0, 0));
    threadpool::shutdown(GRACE).unwrap();
    threadpool::shutdown(Duration::ZERO).unwrap();
    assert_eq!(threadpool::stats(), stats(0, 0, 0));
}

/// The OS threads themselves end.
#[test]
fn fault_40_after_a_shutdown_no_os_thread_of_the_pool_is_left() {
    fn os_threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.trim() == "evy-unblock").count()
    }

    let _turn = pool_of(7);
    Stalled::new(7).finish();
    assert_eq!(os_threads(), 7);
    threadpool::shutdown(GRACE).unwrap();
    let start = Instant::now();
    while os_threads() > 0 {
        // The pool is done with them; the system needs a moment to take them down.
        assert!(start.elapsed() < GRACE);
        sleep(AT_ONCE);
    }
}

/// FAULTS row 40: shutdown with work queued, and the time is over.
#[test]
fn fault_40_a_shutdown_out_of_time_drops_what_is_queued_and_leaves_what_runs() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(2);
    stalled.wait_for(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let queued: Vec<_> = (0..3)
        .map(|n| {
            let dropped = Arc::clone(&dropped);
            spawn(move || {
                let captured = OnDrop(move || {
                    dropped.fetch_add(1, Ordering::SeqCst);
                    match n {
                        0 => panic!("in the drop of what a dropped job has captured"),
                        // No lock is held.
                        1 => assert_eq!(threadpool::stats().queued, 0),
                        _ => assert_eq!(unblock(|| 5), 5),
                    }
                });
                unblock(move || {
                    drop(captured);
                    unreachable!("it must not be done");
                });
            })
        })
        .collect();
    yield_now();
    assert_eq!(threadpool::stats(), stats(2, 2, 3));

    let start = Instant::now();
    let unfinished = threadpool::shutdown(Duration::from_millis(20)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!((unfinished.running(), unfinished.dropped()), (2, 3));
    let text_of_it = unfinished.to_string();
    assert_eq!(text_of_it, "jobs on other OS threads that still run: 2; dropped: 3");
    assert_eq!(std::io::Error::from(unfinished).kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    for job in queued {
        let Err(Died::Panicked(payload)) = job.wait() else { panic!("its job was dropped") };
        assert_eq!(
            text(&*payload),
            "the pool of OS threads was shut down before this job had begun"
        );
    }
    // The two that are stuck are in nobody's way, and get their results when they come.
    assert_eq!(unblock(|| 6), 6);
    Stalled::new(2).finish();
    wait_for(stats(2, 0, 0));
    stalled.finish();
    assert_eq!(threadpool::stats(), stats(2, 0, 0));
}

/// No grace at all: what has ended has ended, and nothing else is waited for.
#[test]
fn fault_40_a_shutdown_without_grace_does_not_wait() {
    let _turn = pool_of(1);
    let stalled = Stalled::new(2);
    stalled.wait_for(1);
    let unfinished = threadpool::shutdown(Duration::ZERO).unwrap_err();
    assert_eq!((unfinished.running(), unfinished.dropped()), (1, 1));
    let Stalled { mut jobs, gates, .. } = stalled;
    assert!(jobs.pop().unwrap().wait().is_err());
    drop(gates);
    assert_eq!(jobs.pop().unwrap().wait().unwrap(), 0);
}

#[test]
fn a_job_that_comes_during_a_shutdown_is_done() {
    let _turn = pool_of(1);
    let stalled = Stalled::new(1);
    stalled.wait_for(1);
    let ended = spawn(|| threadpool::shutdown(GRACE));
    yield_now();
    let late = spawn(|| unblock(|| "late"));
    yield_now();
    stalled.finish();
    assert_eq!(late.wait().unwrap(), "late");
    ended.wait().unwrap().unwrap();
    assert_eq!(threadpool::stats(), stats(0, 0, 0));
}

#[test]
fn a_killed_shutdown_leaves_the_pool_as_it_is() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(1);
    stalled.wait_for(1);
    let ends = spawn(|| threadpool::shutdown(GRACE));
    yield_now();
    ends.kill();
    assert!(ends.is_finished());
    let late = timeout(AT_ONCE, || threadpool::shutdown(GRACE));
    assert!(late.is_err());
    assert_eq!(threadpool::stats(), stats(1, 1, 0));
    stalled.finish();
    // Nobody ends it now: its thread waits for the next job.
    wait_for(stats(1, 0, 0));
}

#[test]
fn several_can_wait_for_one_shutdown() {
    let _turn = pool_of(2);
    let stalled = Stalled::new(2);
    stalled.wait_for(2);
    let mut all: Vec<_> = (0..3).map(|_| spawn(|| threadpool::shutdown(GRACE))).collect();
    all.push(spawn(|| threadpool::shutdown(GRACE)));
    // On an OS thread without a hub it blocks that.
    let plain = std::thread::spawn(|| threadpool::shutdown(GRACE));
    yield_now();
    stalled.finish();
    assert!(join_all(all).into_iter().all(|ended| ended.unwrap().is_ok()));
    plain.join().unwrap().unwrap();
}

#[test]
fn a_job_cannot_shut_the_pool_down() {
    let _turn = pool_of(2);
    let text = panic_of(|| unblock(|| threadpool::shutdown(HOUR)));
    assert_eq!(text, "a job cannot wait for the end of all jobs");
}

/// FAULTS row 40: kills, timeouts, sizes and shutdowns at random, from several hubs. Every call gets its
/// own result or is told why not, and all that was captured is dropped once.
#[test]
fn fault_40_in_a_storm_nothing_is_lost() {
    let _turn = pool_of(4);
    let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hubs: Vec<_> = (0..4)
        .map(|seed| {
            let (made, dropped) = (Arc::clone(&made), Arc::clone(&dropped));
            std::thread::spawn(move || storm(seed, &made, &dropped))
        })
        .collect();
    let refused: usize = hubs.into_iter().map(|hub| hub.join().unwrap()).sum();
    threadpool::set_size(4);
    // A shutdown that ran out of time may have left jobs to themselves.
    let start = Instant::now();
    while made.load(Ordering::SeqCst) > dropped.load(Ordering::SeqCst) {
        assert!(start.elapsed() < GRACE);
        sleep(AT_ONCE);
    }
    assert_eq!(made.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
    println!("jobs: {}, refused: {refused}", made.load(Ordering::SeqCst));
    assert_eq!(unblock(|| 1), 1);
    threadpool::shutdown(GRACE).unwrap();
}

/// One hub's part of it; how many jobs were refused.
fn storm(seed: u64, made: &Arc<AtomicUsize>, dropped: &Arc<AtomicUsize>) -> usize {
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let mut state = seed * 2 + 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut refused = 0;
    for _ in 0..util::rounds(1_000).max(10) {
        let jobs: Vec<_> = (0..random(20))
            .map(|n| {
                made.fetch_add(1, Ordering::SeqCst);
                let captured = Counted(Arc::clone(dropped));
                let (spins, patience) = (random(2_000), Duration::from_micros(random(2_000)));
                spawn(move || {
                    let job = move || {
                        (0..spins).for_each(|_| std::hint::spin_loop());
                        drop(captured);
                        n
                    };
                    let result = timeout(patience, || unblock(job));
                    assert!(result.is_err() || result == Ok(n));
                })
            })
            .collect();
        match random(8) {
            0 => threadpool::set_size(random(6) as usize),
            1 => drop(threadpool::shutdown(Duration::from_micros(random(300)))),
            2 => jobs.iter().for_each(GreenThread::kill),
            3 => yield_now(),
            _ => {}
        }
        for job in jobs {
            match job.wait() {
                Ok(()) | Err(Died::Killed) => {}
                Err(Died::Panicked(payload)) => {
                    let text = text(&*payload);
                    assert!(text.starts_with("the pool of OS threads was shut down"), "{text}");
                    refused += 1;
                }
                Err(died) => panic!("{died}"),
            }
        }
    }
    refused
}

fn run_with(test: &str, size: &str) -> Ended {
    Child::new(test).env("EVY_THREADPOOL_SIZE", size).run()
}

/// Whether jobs run on another OS thread.
fn is_elsewhere() -> bool {
    let here = std::thread::current().id();
    unblock(|| std::thread::current().id()) != here
}

#[test]
fn the_environment_sets_the_size() {
    const TEST: &str = "the_environment_sets_the_size";
    if is_child(TEST) {
        assert_eq!(threadpool::size(), 3);
        let stalled = Stalled::new(5);
        assert_eq!(threadpool::stats(), stats(3, 3, 2));
        return stalled.finish();
    }
    for size in ["3", " 3 "] {
        let ended = run_with(TEST, size);
        assert!(ended.status.success() && !ended.stderr.contains("evy: "), "{ended:?}");
    }
}

/// Semantics E 99: 0 threads.
#[test]
fn size_0_in_the_environment_runs_jobs_in_place_and_says_so_once() {
    const TEST: &str = "size_0_in_the_environment_runs_jobs_in_place_and_says_so_once";
    if is_child(TEST) {
        assert!((0..10).all(|_| !is_elsewhere()));
        assert_eq!(threadpool::size(), 0);
        assert_eq!(threadpool::stats(), stats(0, 0, 0));
        return;
    }
    let ended = run_with(TEST, "0");
    let warning = "evy: EVY_THREADPOOL_SIZE is 0: jobs of `unblock` run where they are submitted, and \
                   block every green thread there\n";
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.matches(warning).count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.matches("evy: ").count(), 1, "{ended:?}");
}

#[test]
fn what_is_no_number_in_the_environment_is_said_once_and_left_alone() {
    const TEST: &str = "what_is_no_number_in_the_environment_is_said_once_and_left_alone";
    if is_child(TEST) {
        assert!((0..10).all(|_| is_elsewhere()));
        assert_eq!(threadpool::size(), 20);
        return;
    }
    for size in ["many", "-1", "", "3.5", "99999999999999999999"] {
        let ended = run_with(TEST, size);
        let warning = format!(
            "evy: EVY_THREADPOOL_SIZE is {size:?}, which is no number of OS threads: there will be 20\n"
        );
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stderr.matches(&warning).count(), 1, "{ended:?}");
        assert_eq!(ended.stderr.matches("evy: ").count(), 1, "{ended:?}");
    }
}

/// A program that sets the size hears nothing of the variable.
#[test]
fn what_the_program_sets_wins_over_the_environment() {
    const TEST: &str = "what_the_program_sets_wins_over_the_environment";
    if is_child(TEST) {
        threadpool::set_size(2);
        assert!(is_elsewhere());
        assert_eq!(threadpool::size(), 2);
        return;
    }
    let ended = run_with(TEST, "0");
    assert!(ended.status.success() && !ended.stderr.contains("evy: "), "{ended:?}");
}

/// FAULTS row 40: exhaustion of the system's threads, here by lack of address space for their stacks.
#[test]
fn fault_40_without_os_threads_the_call_panics_and_works_later() {
    const TEST: &str = "fault_40_without_os_threads_the_call_panics_and_works_later";
    if is_child(TEST) {
        // The hub is there already.
        yield_now();
        limit_address_space(true);
        let dropped = Arc::new(AtomicUsize::new(0));
        let text = panic_of(|| {
            let dropped = Arc::clone(&dropped);
            let captured = OnDrop(move || _ = dropped.fetch_add(1, Ordering::SeqCst));
            unblock(move || drop(captured));
        });
        assert!(text.starts_with("cannot start an OS thread for a blocking job: "), "{text}");
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert_eq!(threadpool::stats(), stats(0, 0, 0));
        limit_address_space(false);
        assert!(is_elsewhere());
        // With one thread the others wait for that.
        let stalled = Stalled::new(1);
        limit_address_space(true);
        let waits = spawn(|| unblock(|| 3));
        yield_now();
        assert_eq!(threadpool::stats(), stats(1, 1, 1));
        stalled.finish();
        assert_eq!(waits.wait().unwrap(), 3);
        return;
    }
    // Under these tools the address space is not ours to limit.
    if util::is_slow() {
        return;
    }
    let ended = Child::new(TEST).run();
    assert!(ended.status.success(), "{ended:?}");
}

/// Leaves no address space for a stack, or all of it.
fn limit_address_space(limited: bool) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let limit = if limited { (pages + 256) * 4096 } else { libc::RLIM_INFINITY };
    let limits = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct lives through the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limits) }, 0);
}
