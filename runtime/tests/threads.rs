//! Several OS threads, each with its hub, and what happens at the end of one.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use evy_runtime::{
    Builder, GreenThread, GreenThreadId, current, green_local, join_all, kill, kill_all, sleep,
    spawn, spawn_n, timeout, unblock, wait_readable, yield_now,
};
use util::{Child, HOUR, OnDrop, is_child, panic_of};

fn on_another_os_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(f).join().unwrap()
}

/// Semantics E 97.
#[test]
fn two_os_threads_work_apart() {
    let work = |seed: usize| {
        move || {
            let threads = (0..100).map(|n| {
                spawn(move || {
                    for _ in 0..n % 7 {
                        yield_now();
                    }
                    sleep(Duration::from_micros(10));
                    seed + n
                })
            });
            join_all(threads).into_iter().map(Result::unwrap).sum::<usize>()
        }
    };
    let others = [1_000, 2_000].map(|seed| std::thread::spawn(work(seed)));
    assert_eq!(work(0)(), 4_950);
    let sums = others.map(|other| other.join().unwrap());
    assert_eq!(sums, [104_950, 204_950]);
}

/// The ids of another OS thread mean nothing here.
#[test]
fn a_green_thread_of_another_os_thread_is_out_of_reach() {
    let (ids, get_id) = mpsc::channel::<GreenThreadId>();
    let (done, is_done) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        let thread = spawn(|| 7);
        ids.send(thread.id()).unwrap();
        is_done.recv().unwrap();
        thread.wait().unwrap()
    });
    let id = get_id.recv().unwrap();
    assert!(!kill(id), "without a hub");
    // Now one in the same place of this hub's table.
    let same_place = spawn(|| 8);
    assert!(!kill(id));
    assert_ne!(same_place.id(), id);
    done.send(()).unwrap();
    assert_eq!(other.join().unwrap(), 7);
    assert_eq!(same_place.wait().unwrap(), 8);
}

/// FAULTS 2.1, S3: at the end of an OS thread its green threads are leaked: to unwind them would let
/// them use thread-locals that are gone.
#[test]
fn s3_green_threads_that_live_at_the_end_of_their_os_thread_are_leaked_silently() {
    thread_local! { static BORROWED: RefCell<String> = RefCell::new("borrowed".into()); }

    let dropped = Arc::new(AtomicU32::new(0));
    on_another_os_thread({
        let dropped = Arc::clone(&dropped);
        move || {
            let count = |dropped: &Arc<AtomicU32>| {
                let dropped = Arc::clone(dropped);
                OnDrop(move || {
                    dropped.fetch_add(1, Ordering::SeqCst);
                })
            };
            for n in 0..10 {
                let (guard, unstarted) = (count(&dropped), count(&dropped));
                spawn_n(move || {
                    let _guard = guard;
                    BORROWED.with_borrow(|text| {
                        match n % 3 {
                            0 => sleep(HOUR),
                            1 => sleep(Duration::MAX),
                            _ => yield_now(),
                        }
                        text.len()
                    })
                });
                if n == 9 {
                    yield_now();
                    spawn_n(move || drop(unstarted));
                } else {
                    std::mem::forget(unstarted);
                }
            }
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
}

/// The clean way: nothing is leaked, all destructors run.
#[test]
fn kill_all_before_the_end_runs_all_destructors() {
    let dropped = Arc::new(AtomicU32::new(0));
    on_another_os_thread({
        let dropped = Arc::clone(&dropped);
        move || {
            for _ in 0..10 {
                let dropped = Arc::clone(&dropped);
                spawn_n(move || {
                    let _guard = OnDrop(|| {
                        dropped.fetch_add(1, Ordering::SeqCst);
                    });
                    sleep(HOUR);
                });
            }
            yield_now();
            kill_all();
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
}

/// A green local of the OS thread's own stack is dropped with its green threads.
#[test]
fn the_locals_of_the_own_stack_are_dropped_at_the_end() {
    thread_local! { static OUTCOME: RefCell<Option<Arc<AtomicU32>>> = const { RefCell::new(None) }; }

    struct Counts(Arc<AtomicU32>);

    impl Drop for Counts {
        fn drop(&mut self) {
            // There is no hub any more: a clear panic, contained, after which the rest goes on.
            let text = panic_of(yield_now);
            assert!(text.contains("has ended with the thread"), "{text}");
            assert!(Builder::new().spawn(|| ()).is_err());
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    green_local! { static LOCAL: RefCell<Option<Counts>> = const { RefCell::new(None) }; }

    for leaks in [false, true] {
        let dropped = Arc::new(AtomicU32::new(0));
        on_another_os_thread({
            let dropped = Arc::clone(&dropped);
            move || {
                LOCAL.with(|local| *local.borrow_mut() = Some(Counts(dropped)));
                if leaks {
                    spawn_n(|| sleep(HOUR));
                    yield_now();
                }
            }
        });
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }
}

/// FAULTS row 28: handles in thread-locals outlive the hub, or go before it. Either is harmless.
#[test]
fn fault_28_handles_in_thread_locals_may_outlive_the_hub() {
    type Handles = RefCell<Vec<GreenThread<OnDrop<Box<dyn FnMut()>>>>>;
    thread_local! {
        static EARLY: Handles = const { RefCell::new(Vec::new()) };
        static LATE: Handles = const { RefCell::new(Vec::new()) };
    }

    let dropped = Arc::new(AtomicU32::new(0));
    on_another_os_thread({
        let dropped = Arc::clone(&dropped);
        move || {
            // Destructors of thread-locals run in the order of first use, or the other way round,
            // as std likes: one on each side of the hub's.
            EARLY.with(|_| ());
            let result = || {
                let dropped = Arc::clone(&dropped);
                let count: Box<dyn FnMut()> = Box::new(move || {
                    dropped.fetch_add(1, Ordering::SeqCst);
                });
                OnDrop(count)
            };
            for handles in [&EARLY, &LATE] {
                let finished = result();
                let (parked, unstarted) = (result(), result());
                handles.with_borrow_mut(|handles| {
                    handles.push(spawn(move || finished));
                    handles.push(spawn(move || {
                        sleep(HOUR);
                        parked
                    }));
                });
                yield_now();
                handles.with_borrow_mut(|handles| handles.push(spawn(move || unstarted)));
            }
            // That the unstarted one of EARLY has run by now is by the way.
        }
    });
    // The finished ones: two of EARLY, one or two of LATE. Neither a parked one's result nor that of
    // one that never ran is dropped.
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

/// FAULTS row 28: calls from the destructor of a thread-local, before and after the end of the hub: an
/// answer, an error or a clear panic, never anything else.
#[test]
fn fault_28_calls_in_destructors_of_thread_locals_are_answered_clearly() {
    struct Calls(Arc<AtomicBool>, Cell<Option<GreenThread<()>>>);

    impl Drop for Calls {
        fn drop(&mut self) {
            let clear = |f: &mut dyn FnMut()| {
                let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { return };
                let text = util::text(&*payload);
                assert!(text.contains("the hub of this OS thread has ended"), "{text}");
            };
            clear(&mut yield_now);
            clear(&mut || sleep(Duration::from_micros(1)));
            clear(&mut || drop(spawn(|| ())));
            clear(&mut || spawn_n(|| ()));
            clear(&mut || _ = current());
            clear(&mut || _ = timeout(HOUR, || ()));
            clear(&mut || unblock(|| ()));
            clear(&mut kill_all);
            clear(&mut evy_runtime::io::count);
            if let Err(error) = Builder::new().spawn(|| ()) {
                assert!(error.to_string().contains("has ended"), "{error}");
            }
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let deadline = Some(std::time::Instant::now());
            assert!(wait_readable(&ours, deadline).is_err());
            if let Some(thread) = self.1.take() {
                let id = thread.id();
                assert!(thread.is_finished());
                thread.kill();
                assert!(!thread.cancel());
                assert!(!kill(id));
                thread.on_exit(|outcome| assert!(outcome.is_ok()));
                thread.wait().unwrap();
            }
            self.0.store(true, Ordering::SeqCst);
        }
    }

    thread_local! {
        static BEFORE: RefCell<Option<Calls>> = const { RefCell::new(None) };
        static AFTER: RefCell<Option<Calls>> = const { RefCell::new(None) };
    }

    for uses_hub in [false, true] {
        let flags = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        on_another_os_thread({
            let flags = flags.clone();
            move || {
                BEFORE.with(|_| ());
                let thread = || {
                    let thread = uses_hub.then(|| spawn(|| ()));
                    if uses_hub {
                        yield_now();
                    }
                    Cell::new(thread)
                };
                BEFORE.set(Some(Calls(Arc::clone(&flags[0]), thread())));
                AFTER.set(Some(Calls(Arc::clone(&flags[1]), thread())));
            }
        });
        assert!(flags.iter().all(|flag| flag.load(Ordering::SeqCst)));
    }
}

/// A handle of one that still lives, used after the end of the hub.
#[test]
fn fault_28_a_handle_of_a_leaked_one_gives_a_clear_panic() {
    struct Uses(Cell<Option<GreenThread<()>>>, Arc<AtomicBool>);

    impl Drop for Uses {
        fn drop(&mut self) {
            let thread = self.0.take().unwrap();
            assert!(!thread.is_finished());
            let has_ended = Builder::new().spawn(|| ()).is_err();
            if has_ended {
                // It is leaked: nobody is there to be killed.
                thread.kill();
                assert!(!thread.is_finished());
                let text = panic_of(|| thread.wait());
                assert!(text.contains("the hub of this OS thread has ended"), "{text}");
            }
            self.1.store(true, Ordering::SeqCst);
        }
    }

    thread_local! { static USES: RefCell<Option<Uses>> = const { RefCell::new(None) }; }

    for first in [false, true] {
        let ran = Arc::new(AtomicBool::new(false));
        on_another_os_thread({
            let ran = Arc::clone(&ran);
            move || {
                if first {
                    USES.with(|_| ());
                }
                let thread = spawn(|| sleep(HOUR));
                yield_now();
                USES.set(Some(Uses(Cell::new(Some(thread)), ran)));
            }
        });
        assert!(ran.load(Ordering::SeqCst));
    }
}

/// Hubs come and go with their OS threads; descriptors and mappings go with them.
#[test]
fn very_many_hubs_in_a_row_leave_nothing_behind() {
    fn descriptors_and_mappings() -> (usize, usize) {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        (descriptors, maps.lines().count())
    }

    const NAME: &str = "very_many_hubs_in_a_row_leave_nothing_behind";
    // In a process of its own: other tests open and close descriptors meanwhile.
    if is_child(NAME) {
        let hub = || {
            on_another_os_thread(|| {
                join_all((0..10).map(|_| spawn(yield_now)));
            });
        };
        for _ in 0..10 {
            hub();
        }
        let (descriptors, mappings) = descriptors_and_mappings();
        for _ in 0..200 {
            hub();
        }
        let (descriptors_after, mappings_after) = descriptors_and_mappings();
        assert_eq!(descriptors_after, descriptors);
        assert!(mappings_after <= mappings + 10, "{mappings} -> {mappings_after}");
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
}

/// FAULTS row 8 of the handles: nothing of a green thread is kept alive by the end of another.
#[test]
fn an_rc_shared_by_green_threads_is_freed_with_the_last() {
    let shared = Rc::new(());
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let shared = Rc::clone(&shared);
            spawn(move || {
                yield_now();
                drop(shared);
            })
        })
        .collect();
    yield_now();
    assert_eq!(Rc::strong_count(&shared), 11);
    join_all(threads);
    assert_eq!(Rc::strong_count(&shared), 1);
}
