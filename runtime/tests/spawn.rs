//! Spawn, wait and the end: order, results of every shape, hooks, ids, locals, lines.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use evy_runtime::{
    Builder, Died, GreenThread, GreenThreadId, WaitList, current, green_local, join_all, spawn,
    spawn_n, yield_now,
};
use util::{Census, Log, OnDrop, assert_nothing_is_registered, line, wait_in};

/// Semantics B 33.
#[test]
fn it_runs_not_before_its_spawner_yields_and_then_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let threads: Vec<_> = (0..10)
        .map(|n| {
            let order = Rc::clone(&order);
            spawn(move || order.borrow_mut().push(n))
        })
        .collect();
    assert!(order.borrow().is_empty());
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    yield_now();
    assert_eq!(order.take(), (0..10).collect::<Vec<_>>());
    assert!(threads.iter().all(GreenThread::is_finished));
}

/// DESIGN 3, fairness: the ready queue is first in first out, however many there are.
#[test]
fn a_ring_of_yields_keeps_its_order_while_the_queue_grows() {
    let order = Rc::new(RefCell::new(Vec::new()));
    for n in 0..500 {
        let order = Rc::clone(&order);
        spawn_n(move || {
            for _ in 0..3 {
                order.borrow_mut().push(n);
                yield_now();
            }
        });
    }
    for _ in 0..4 {
        yield_now();
    }
    let expected: Vec<i32> = (0..3).flat_map(|_| 0..500).collect();
    assert_eq!(order.take(), expected);
}

/// A long queue in which very many are killed before they run does not grow without bound, and loses
/// nobody.
#[test]
fn kills_in_the_middle_of_a_long_queue_keep_its_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let stays = |n| {
        let order = Rc::clone(&order);
        spawn_n(move || order.borrow_mut().push(n));
    };
    for n in 0..50 {
        stays(n);
        for _ in 0..util::rounds(2_000).max(40) {
            spawn(|| unreachable!("killed")).kill();
        }
    }
    yield_now();
    assert_eq!(order.take(), (0..50).collect::<Vec<_>>());
}

/// Results that lie in the control block, that are boxed, aligned, empty, or dropped unseen.
#[test]
fn results_of_every_size_and_alignment_come_out_as_they_went_in() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(32))]
    struct Align32(u8);
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(64))]
    struct Align64([u8; 70]);
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(4096))]
    struct AlignPage(u64);

    fn check<T: Copy + PartialEq + std::fmt::Debug + 'static>(value: T) {
        // As a result, and as what the closure captures; waited for before and after the end.
        assert_eq!(spawn(move || value).wait().unwrap(), value);
        let early = spawn(move || {
            assert!((&raw const value).addr().is_multiple_of(align_of::<T>()));
            yield_now();
            value
        });
        yield_now();
        yield_now();
        assert!(early.is_finished());
        assert_eq!(early.wait().unwrap(), value);
        drop(spawn(move || value));
        let unseen = spawn(move || value);
        yield_now();
        drop(unseen);
    }

    check(());
    check([0_u64; 0]);
    check(1_u8);
    check([2_u8; 63]);
    check([3_u8; 64]);
    check([4_u8; 65]);
    check([5_u64; 8]);
    check(6_u128);
    check(Some(7_u128));
    check([8_u8; 192]);
    check([8_u8; 193]);
    check([9_u8; 1_024]);
    check([10_u8; 1_025]);
    check([11_u64; 1_000]);
    check(Align32(12));
    check(Align64([13; 70]));
    check([Align64([14; 70]); 20]);
    check(AlignPage(15));
    check("text");
}

/// FAULTS row 7's measure for plain ends: every value is dropped exactly once.
#[test]
fn closures_and_results_are_dropped_exactly_once() {
    fn check<const N: usize>() {
        let census = Census::new();
        let make = || {
            let (captured, result) = (census.one(), (census.one(), [0_u8; N]));
            let padding = [0_u8; N];
            spawn(move || {
                let _captured = (captured, padding);
                result
            })
        };
        let waited = make().wait().unwrap();
        assert_eq!(census.alive(), 1);
        drop(waited);
        assert_eq!(census.alive(), 0);
        drop(make());
        assert_eq!(census.alive(), 2);
        yield_now();
        assert_eq!(census.alive(), 0);
        let finished = make();
        yield_now();
        assert_eq!(census.alive(), 1);
        drop(finished);
        assert_eq!(census.alive(), 0);
        spawn_n({
            let (captured, result) = (census.one(), census.one());
            move || {
                let _captured = captured;
                result
            }
        });
        yield_now();
        assert_eq!(census.alive(), 0);
    }
    check::<0>();
    check::<60>();
    check::<200>();
    check::<3_000>();
}

/// Semantics B 34. There is one who waits; others learn of it by hooks.
#[test]
fn wait_gives_the_outcome_before_and_after_the_end() {
    let early = spawn(|| 1);
    assert_eq!(early.wait().unwrap(), 1);
    let late = spawn(|| 2);
    yield_now();
    assert!(late.is_finished());
    assert_eq!(late.wait().unwrap(), 2);
    let failed = spawn(|| panic!("on purpose"));
    yield_now();
    let Err(Died::Panicked(payload)) = failed.wait() else { panic!("it panicked") };
    assert_eq!(util::text(&*payload), "on purpose");
    let results = join_all((0..5).map(|n| {
        spawn(move || {
            for _ in n..5 {
                yield_now();
            }
            assert_ne!(n, 3, "on purpose");
            n
        })
    }));
    let results: Vec<_> = results.into_iter().map(Result::ok).collect();
    assert_eq!(results, [Some(0), Some(1), Some(2), None, Some(4)]);
    assert!(join_all(Vec::<GreenThread<()>>::new()).is_empty());
}

#[test]
fn to_wait_for_oneself_is_refused() {
    let own: Rc<RefCell<Option<GreenThread<()>>>> = Rc::default();
    let thread = spawn({
        let own = Rc::clone(&own);
        move || {
            let own = own.take().unwrap();
            let _ = own.wait();
        }
    });
    let result = Rc::new(RefCell::new(None));
    thread.on_exit({
        let result = Rc::clone(&result);
        move |outcome| *result.borrow_mut() = outcome.err().map(ToString::to_string)
    });
    *own.borrow_mut() = Some(thread);
    yield_now();
    let text = result.take().unwrap();
    assert!(text.ends_with("a green thread cannot wait for its own end"), "{text}");
}

/// Semantics B 44.
#[test]
fn hooks_run_in_order_before_wait_returns() {
    let log = Log::new();
    let thread = Rc::new(spawn({
        let log = log.clone();
        move || {
            let _guard = log.on_drop("ends");
            yield_now();
        }
    }));
    let id = thread.id();
    for n in 0..3 {
        let log = log.clone();
        let captured = format!("hook {n}");
        thread.on_exit(move |outcome| {
            assert!(outcome.is_ok());
            assert_eq!(current(), id, "on that green thread");
            log.add(captured);
        });
    }
    // One made in a hook runs after the others.
    thread.on_exit({
        let (log, thread) = (log.clone(), Rc::clone(&thread));
        move |_| {
            log.add("hook 3");
            thread.on_exit(move |outcome| log.add(format!("made in a hook: {outcome:?}")));
        }
    });
    yield_now();
    yield_now();
    assert_eq!(
        log.take(),
        ["ends", "hook 0", "hook 1", "hook 2", "hook 3", "made in a hook: Ok(())"]
    );
    // After the end it is called at once.
    thread.on_exit({
        let log = log.clone();
        move |outcome| log.add(format!("late: {outcome:?}, on {}", current()))
    });
    assert_eq!(log.take(), ["late: Ok(()), on the OS thread's own stack"]);
    Rc::into_inner(thread).unwrap().wait().unwrap();
}

/// Semantics B 44: with every outcome.
#[test]
fn hooks_are_told_how_it_ended() {
    let log = Log::new();
    let told = |thread: &GreenThread<()>| {
        let log = log.clone();
        thread.on_exit(move |outcome| {
            log.add(outcome.err().map_or_else(|| "ended".into(), Died::to_string))
        });
    };
    let threads = [
        spawn(|| ()),
        spawn(|| panic!("a {}", "text")),
        spawn(|| std::panic::panic_any(7)),
        spawn(wait_for_ever),
    ];
    threads.iter().for_each(told);
    yield_now();
    threads[3].kill();
    threads.iter().for_each(told);
    let expected = [
        "ended",
        "green thread panicked: a text",
        "green thread panicked",
        "green thread was killed",
    ];
    assert_eq!(log.take(), [expected, expected].concat());
}

fn wait_for_ever() {
    wait_in(&WaitList::new());
}

/// Semantics B 44, D16: one that panics does not stop the others, nor does it change the outcome.
#[test]
fn a_hook_that_panics_stops_no_other() {
    let log = Log::new();
    let thread = spawn(|| 7);
    for n in 0..3 {
        let log = log.clone();
        thread.on_exit(move |_| {
            log.add(format!("{n}"));
            assert_ne!(n, 1, "on purpose");
        });
    }
    assert_eq!(thread.wait().unwrap(), 7);
    assert_eq!(log.take(), ["0", "1", "2"]);
}

/// Hooks run on a green thread, so they may park, and a kill does not cut them short.
#[test]
fn hooks_may_park_and_are_not_killed() {
    let log = Log::new();
    let (gate, line) = line();
    let thread = spawn(|| 7);
    thread.on_exit({
        let log = log.clone();
        move |_| {
            wait_in(&line);
            yield_now();
            log.add("to its end");
        }
    });
    yield_now();
    assert!(!thread.is_finished());
    thread.kill();
    thread.kill();
    assert_eq!(gate.len(), 1);
    gate.wake_one();
    assert_eq!(thread.wait().unwrap(), 7);
    assert_eq!(log.take(), ["to its end"]);
    assert_nothing_is_registered();
}

/// Whatever is made while it ends is run or dropped, too: hooks in destructors of locals, locals in
/// hooks and in the destructor of a result that nobody wants.
#[test]
fn what_is_made_while_it_ends_is_not_lost() {
    green_local! {
        static FIRST: RefCell<Option<OnDrop<Box<dyn FnMut()>>>> = RefCell::new(None);
        static SECOND: RefCell<Option<util::Counted>> = RefCell::new(None);
    }

    let log = Log::new();
    let census = Census::new();
    let handle: Rc<RefCell<Option<GreenThread<()>>>> = Rc::default();
    let thread = spawn({
        let (log, census, handle) = (log.clone(), census.clone(), Rc::clone(&handle));
        move || {
            let in_drop: Box<dyn FnMut()> = Box::new(move || {
                SECOND.with(|second| *second.borrow_mut() = Some(census.one()));
                let log = log.clone();
                let census = census.clone();
                handle.borrow().as_ref().unwrap().on_exit(move |_| {
                    SECOND.with(|second| *second.borrow_mut() = Some(census.one()));
                    log.add("hook of a local's destructor");
                });
            });
            FIRST.with(|first| *first.borrow_mut() = Some(OnDrop(in_drop)));
        }
    });
    *handle.borrow_mut() = Some(thread);
    yield_now();
    assert_eq!(log.take(), ["hook of a local's destructor"]);
    assert_eq!(census.alive(), 0);
    handle.take().unwrap().wait().unwrap();

    let kept = census.clone();
    spawn_n(move || ());
    drop(spawn(move || {
        OnDrop(move || SECOND.with(|second| *second.borrow_mut() = Some(kept.one())))
    }));
    yield_now();
    assert_eq!(census.alive(), 0);
}

/// Semantics 68.
#[test]
fn locals_are_each_ones_own_and_dropped_at_its_end() {
    thread_local! { static MADE: Cell<u32> = const { Cell::new(0) }; }
    green_local! {
        static COUNT: Cell<u32> = { MADE.set(MADE.get() + 1); Cell::new(0) };
        static COUNTED: RefCell<Option<util::Counted>> = const { RefCell::new(None) };
    }

    let census = Census::new();
    let threads: Vec<_> = (0..10)
        .map(|n| {
            let counted = census.one();
            spawn(move || {
                COUNTED.with(|own| *own.borrow_mut() = Some(counted));
                for _ in 0..n {
                    COUNT.with(|count| count.set(count.get() + 1));
                    yield_now();
                }
                COUNT.with(Cell::get)
            })
        })
        .collect();
    let killed = spawn({
        let counted = census.one();
        move || {
            COUNTED.with(|own| *own.borrow_mut() = Some(counted));
            wait_for_ever();
        }
    });
    yield_now();
    killed.kill();
    let counts: Vec<_> = join_all(threads).into_iter().map(Result::unwrap).collect();
    assert_eq!(counts, (0..10).collect::<Vec<_>>());
    assert_eq!(MADE.get(), 10);
    assert_eq!(census.alive(), 0);
}

/// Its result's destructor may do as it likes, and the one who drops the handle may be killed there.
#[test]
fn a_kill_in_the_drop_of_a_handle_comes_afterwards() {
    let log = Log::new();
    let (gate, line) = line();
    let finished = spawn(move || OnDrop(move || wait_in(&line)));
    yield_now();
    let drops = spawn({
        let log = log.clone();
        move || {
            drop(finished);
            log.add("dropped");
            yield_now();
            log.add("went on");
        }
    });
    yield_now();
    drops.kill();
    assert_eq!(gate.len(), 1);
    gate.wake_one();
    assert!(matches!(drops.wait(), Err(Died::Killed)));
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn ids_are_unique_for_ever_and_names_are_kept() {
    let mut ids: HashSet<GreenThreadId> = HashSet::from([current()]);
    let count = util::rounds(100_000);
    for _ in 0..count {
        let thread = spawn(current);
        let id = thread.id();
        assert_eq!(thread.wait().unwrap(), id);
        assert!(ids.insert(id));
    }
    assert_eq!(ids.len(), count + 1);

    let named = Builder::new().name("worker").spawn(|| ()).unwrap();
    assert_eq!(named.name(), Some("worker"));
    let text = format!("{named:?}");
    assert!(text.contains("worker") && text.contains("is_finished: false"), "{text}");
    yield_now();
    assert_eq!(named.name(), Some("worker"), "also when it has ended");
    assert_eq!(spawn(|| ()).name(), None);
    assert_eq!(current().to_string(), "the OS thread's own stack");
}

/// DESIGN 3, fairness: lines are first in first out with direct hand-off: nobody barges.
#[test]
fn who_is_woken_has_it_and_the_waker_queues_behind() {
    // A lock, as crates above make one: held, or handed over by the one who lets go.
    struct Lock {
        held: Cell<bool>,
        line: WaitList,
    }

    impl Lock {
        fn acquire(&self) {
            if self.held.replace(true) {
                wait_in(&self.line);
            }
        }

        fn release(&self) {
            if !self.line.wake_one() {
                self.held.set(false);
            }
        }
    }

    let lock = Rc::new(Lock { held: Cell::new(false), line: WaitList::new() });
    let order = Rc::new(RefCell::new(Vec::new()));
    for n in 0..4 {
        let (lock, order) = (Rc::clone(&lock), Rc::clone(&order));
        spawn_n(move || {
            for _ in 0..3 {
                lock.acquire();
                order.borrow_mut().push(n);
                yield_now();
                // The next acquire of this one comes behind those who wait.
                lock.release();
            }
        });
    }
    while order.borrow().len() < 12 {
        yield_now();
    }
    assert_eq!(order.take(), [0, 1, 2, 3].repeat(3));
}

/// FAULTS row 28: no code of users runs on the stack of the scheduler's loop, so each of these may
/// park: closures, destructors of captures, results and payloads, hooks, locals.
#[test]
fn fault_28_user_code_may_park_wherever_it_runs() {
    green_local! { static LOCAL: RefCell<Option<Parks>> = const { RefCell::new(None) }; }

    #[derive(Clone)]
    struct Parks(Log, &'static str);

    impl Drop for Parks {
        fn drop(&mut self) {
            yield_now();
            evy_runtime::sleep(std::time::Duration::from_micros(1));
            assert_eq!(spawn(|| 7).wait().unwrap(), 7);
            self.0.add(self.1);
        }
    }

    let log = Log::new();
    let parks = |what| Parks(log.clone(), what);
    let thread = spawn({
        let (local, captured, result) = (parks("local"), parks("captured"), parks("result"));
        move || {
            LOCAL.with(|own| *own.borrow_mut() = Some(local));
            drop(captured);
            result
        }
    });
    thread.on_exit({
        let hook = parks("hook");
        move |_| drop(hook)
    });
    drop(thread);
    drop(spawn({
        let payload = std::sync::Mutex::new(());
        move || std::panic::panic_any(payload)
    }));
    while log.len() < 4 {
        yield_now();
    }
    let mut ran = log.take();
    ran.sort();
    assert_eq!(ran, ["captured", "hook", "local", "result"]);
    assert_nothing_is_registered();
}
