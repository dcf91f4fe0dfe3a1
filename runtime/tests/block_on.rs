//! Futures on green threads: wakers from everywhere, what a kill does, and what is seen as a deadlock.
//! What waits for descriptors is in `interest.rs`.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use evy_runtime::{
    Alarm, Died, Remote, WaitList, block_on, join_all, sleep, spawn, timeout, unblock, yield_now,
};
use util::{
    Census, HOUR, Log, OnDrop, Watchdog, assert_nothing_is_registered, is_slow, line, panic_of,
    rounds, wait_in,
};

/// A flag that futures wait for, and that can be set from anywhere.
#[derive(Clone, Default)]
struct Flag(Arc<Mutex<(bool, Option<Waker>)>>);

impl Flag {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has_waiter(&self) -> bool {
        self.0.lock().unwrap().1.is_some()
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }

    async fn wait(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn forget_waiter(&self) {
        let waker = self.0.lock().unwrap().1.take();
        drop(waker);
    }
}

/// A waker that sets a flag.
struct Sets(Flag);

impl Wake for Sets {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

/// Ready at the second poll; wakes itself at the first.
fn once_again() -> impl Future<Output = ()> {
    let mut polled = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn a_ready_future_needs_no_wait() {
    assert_eq!(block_on(ready(7)), 7);
    assert_eq!(spawn(|| block_on(async { 7 })).wait().unwrap(), 7);
    assert_nothing_is_registered();
}

/// FAULTS row 22: the waker is called before there is a park.
#[test]
fn fault_22_a_wake_during_the_poll_is_seen() {
    let _watchdog = Watchdog::new("a wake during a poll was lost");
    block_on(once_again());
    spawn(|| block_on(once_again())).wait().unwrap();
    assert_nothing_is_registered();
}

#[test]
fn a_future_that_wakes_itself_lets_the_others_run() {
    let turns = Rc::new(Cell::new(0));
    let other = spawn({
        let turns = Rc::clone(&turns);
        move || {
            while turns.get() < 10 {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    block_on(async {
        while turns.get() < 10 {
            once_again().await;
        }
    });
    other.wait().unwrap();
}

#[test]
fn it_is_polled_once_for_each_time_that_it_was_woken() {
    let polls = Rc::new(Cell::new(0));
    let flag = Flag::default();
    let waiter = spawn({
        let (polls, flag) = (Rc::clone(&polls), flag.clone());
        move || {
            block_on(poll_fn(|context| {
                polls.set(polls.get() + 1);
                flag.poll(context)
            }));
        }
    });
    (0..10).for_each(|_| yield_now());
    assert_eq!(polls.get(), 1);
    // Three wakes before it runs are one.
    let waker = flag.0.lock().unwrap().1.clone().unwrap();
    waker.wake_by_ref();
    waker.wake_by_ref();
    waker.wake();
    (0..10).for_each(|_| yield_now());
    assert_eq!(polls.get(), 2);
    flag.set();
    waiter.wait().unwrap();
    assert_eq!(polls.get(), 3);
}

#[test]
fn another_green_thread_wakes_it() {
    let flag = Flag::default();
    let waiter = spawn({
        let flag = flag.clone();
        move || block_on(flag.wait())
    });
    yield_now();
    assert!(flag.has_waiter() && !waiter.is_finished());
    flag.set();
    waiter.wait().unwrap();
    // And the other way round, on the OS thread's own stack.
    let flag = Flag::default();
    evy_runtime::spawn_n({
        let flag = flag.clone();
        move || flag.set()
    });
    block_on(flag.wait());
    assert_nothing_is_registered();
}

/// FAULTS row 22.
#[test]
fn fault_22_another_os_thread_wakes_it() {
    let _watchdog = Watchdog::new("a wake from another OS thread was lost");
    for round in 0..rounds(2000) {
        let (go, started) = mpsc::channel();
        let flag = Flag::default();
        let other = std::thread::spawn({
            let flag = flag.clone();
            move || {
                started.recv().unwrap();
                flag.set();
            }
        });
        block_on(async {
            // Before the poll, while it is polled, or while it is parked.
            go.send(()).unwrap();
            (0..round % 50).for_each(|_| std::hint::spin_loop());
            flag.wait().await;
        });
        other.join().unwrap();
    }
    assert_nothing_is_registered();
}

/// FAULTS row 21: none is lost, and what was counted when a wake came is seen by the poll after it.
#[test]
fn fault_21_a_storm_of_wakes_from_four_os_threads() {
    let _watchdog = Watchdog::new("a wake of a storm was lost");
    const THREADS: usize = 4;
    let each = rounds(100_000);
    let (count, slot) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Waker>)));
    let senders: Vec<_> = (0..THREADS)
        .map(|n| {
            let (count, slot) = (Arc::clone(&count), Arc::clone(&slot));
            std::thread::spawn(move || {
                for round in 0..each {
                    count.fetch_add(1, Ordering::Relaxed);
                    // By reference, by value, and by a clone that is dropped.
                    let waker = slot.lock().unwrap().clone();
                    match (waker, (round + n) % 3) {
                        (Some(waker), 0) => waker.wake(),
                        (Some(waker), 1) => waker.wake_by_ref(),
                        (Some(waker), _) => {
                            drop(waker.clone());
                            waker.wake();
                        }
                        (None, _) => {}
                    }
                }
            })
        })
        .collect();
    block_on(poll_fn(|context| {
        *slot.lock().unwrap() = Some(context.waker().clone());
        if count.load(Ordering::Relaxed) == THREADS * each {
            return Poll::Ready(());
        }
        Poll::Pending
    }));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    slot.lock().unwrap().take();
    assert_nothing_is_registered();
}

/// A waker whose call has ended does nothing, also to a later call that stands in its place.
#[test]
fn a_late_waker_wakes_nobody() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = |context: &Context<'_>| kept.borrow_mut().push(context.waker().clone());
    for _ in 0..3 {
        block_on(poll_fn(|context| {
            keep(context);
            Poll::Ready(())
        }));
    }
    let polls = Rc::new(Cell::new(0));
    let flag = Flag::default();
    let waiter = spawn({
        let (polls, flag) = (Rc::clone(&polls), flag.clone());
        move || {
            block_on(poll_fn(|context| {
                polls.set(polls.get() + 1);
                flag.poll(context)
            }));
        }
    });
    yield_now();
    let late = kept.take();
    late.iter().for_each(Waker::wake_by_ref);
    let elsewhere = late.clone();
    std::thread::spawn(move || elsewhere.into_iter().for_each(Waker::wake)).join().unwrap();
    sleep(Duration::from_millis(1));
    assert_eq!(polls.get(), 1, "it was woken by the waker of another call");
    flag.set();
    waiter.wait().unwrap();
    drop(late);
    assert_nothing_is_registered();
}

/// A wake of the outer call while the inner one is parked stays for the outer one.
#[test]
fn calls_can_be_nested() {
    let (outer, inner) = (Flag::default(), Flag::default());
    let waiter = spawn({
        let (outer, inner) = (outer.clone(), inner.clone());
        move || {
            block_on(poll_fn(|context| {
                let poll = outer.poll(context);
                if poll.is_pending() {
                    block_on(inner.wait());
                }
                poll
            }));
        }
    });
    yield_now();
    outer.set();
    (0..5).for_each(|_| yield_now());
    assert!(inner.has_waiter() && !waiter.is_finished());
    inner.set();
    waiter.wait().unwrap();
    // A nest of many, each with a wait of its own.
    fn nest(depth: u32) -> u32 {
        block_on(async move {
            once_again().await;
            if depth == 0 { 0 } else { nest(depth - 1) + 1 }
        })
    }
    assert_eq!(spawn(|| nest(20)).wait().unwrap(), 20);
    assert_nothing_is_registered();
}

/// A poll is ordinary code: it may park by other means.
#[test]
fn a_poll_may_park_in_the_blocking_way() {
    let (line, others) = line();
    let waiter = spawn(move || {
        block_on(async {
            wait_in(&line);
            sleep(Duration::from_millis(1));
            once_again().await;
            unblock(|| 7)
        })
    });
    yield_now();
    others.wake_one();
    assert_eq!(waiter.wait().unwrap(), 7);
}

/// FAULTS row 22: the waker of a call wakes its green thread out of no other wait.
#[test]
fn fault_22_a_wake_during_another_wait_of_the_green_thread() {
    let (line, others) = line();
    let flag = Flag::default();
    let waiter = spawn({
        let flag = flag.clone();
        move || {
            block_on(async {
                // It has waited by its waker before.
                Alarm::after(Duration::from_micros(10)).await;
                poll_fn(|context| {
                    let poll = flag.poll(context);
                    if poll.is_pending() {
                        // A wake that nobody meant for this would be a timeout.
                        wait_in(&line);
                        unblock(|| sleep(Duration::from_millis(1)));
                    }
                    poll
                })
                .await;
            });
        }
    });
    while others.is_empty() {
        sleep(Duration::from_micros(10));
    }
    let wakers = flag.0.lock().unwrap().1.clone().unwrap();
    wakers.wake_by_ref();
    std::thread::spawn(move || wakers.wake()).join().unwrap();
    sleep(Duration::from_millis(1));
    assert!(!others.is_empty() && !waiter.is_finished());
    flag.set();
    (0..3).for_each(|_| yield_now());
    assert!(!others.is_empty() && !waiter.is_finished());
    others.wake_one();
    waiter.wait().unwrap();
    assert_nothing_is_registered();
}

/// FAULTS row 7.
#[test]
fn fault_07_a_kill_drops_the_future_once() {
    let census = Census::new();
    for wakes in [0, 1, 2] {
        let (log, flag) = (Log::new(), Flag::default());
        let waiter = spawn({
            let (dropped, one, flag) = (log.on_drop("dropped"), census.one(), flag.clone());
            move || {
                block_on(async move {
                    let _kept = (dropped, one);
                    flag.wait().await;
                    once_again().await;
                    pending::<()>().await;
                });
            }
        });
        yield_now();
        // Killed while it waits, woken but before it goes on, and after it went on.
        if wakes > 0 {
            flag.set();
        }
        if wakes > 1 {
            yield_now();
        }
        waiter.kill();
        assert!(matches!(waiter.wait(), Err(Died::Killed)));
        assert_eq!(log.take(), ["dropped"]);
    }
    assert_eq!(census.alive(), 0);
    assert_nothing_is_registered();
}

/// FAULTS row 23: and the next call is not hit by what was left over of this one.
#[test]
fn fault_23_a_timeout_drops_the_future_and_nothing_more() {
    let log = Log::new();
    let (dropped, flag) = (log.on_drop("dropped"), Flag::default());
    let late = timeout(Duration::from_millis(1), || {
        block_on(async {
            let _dropped = dropped;
            flag.wait().await;
        });
    });
    assert!(late.is_err());
    assert_eq!(log.take(), ["dropped"]);
    flag.set();
    let in_time = timeout(HOUR, || block_on(Alarm::after(Duration::from_millis(1))));
    assert!(in_time.is_ok());
    assert_nothing_is_registered();
}

/// FAULTS row 23: the waker and the timeout in one turn: one of them decides.
#[test]
fn fault_23_a_wake_and_a_timeout_at_once_have_one_outcome() {
    for _ in 0..rounds(500) {
        let flag = Flag::default();
        let waiter = spawn({
            let flag = flag.clone();
            move || {
                let outcome = timeout(Duration::from_micros(20), || block_on(flag.wait()));
                let again = Flag::default();
                again.set();
                block_on(again.wait());
                outcome.is_ok()
            }
        });
        yield_now();
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20) {}
        flag.set();
        waiter.wait().unwrap();
    }
    assert_nothing_is_registered();
}

/// FAULTS row 4.
#[test]
fn fault_04_a_panic_of_the_future_comes_out_of_the_call() {
    let log = Log::new();
    let dropped = log.on_drop("dropped");
    let text = panic_of(|| {
        block_on(async {
            let _dropped = dropped;
            once_again().await;
            panic!("in the future")
        })
    });
    assert_eq!(text, "in the future");
    assert_eq!(log.take(), ["dropped"]);
    block_on(once_again());
    assert_nothing_is_registered();
}

/// FAULTS row 6: a wait suspends as that of a lock does, and nobody else takes the panic for his.
#[test]
fn fault_06_a_call_in_a_destructor_during_an_unwind() {
    let _watchdog = Watchdog::new("a call while unwinding hangs");
    let (flag, seen) = (Flag::default(), Rc::new(Cell::new(false)));
    let unlucky = spawn({
        let flag = flag.clone();
        move || {
            let _on_drop = OnDrop(|| {
                block_on(async {
                    once_again().await;
                    flag.wait().await;
                    Alarm::after(Duration::from_millis(1)).await;
                });
            });
            panic!("and its destructor waits for a future");
        }
    });
    yield_now();
    assert!(flag.has_waiter());
    // A kill has to wait for the end of the unwind.
    unlucky.kill();
    assert!(!unlucky.is_finished());
    let other = spawn({
        let seen = Rc::clone(&seen);
        move || {
            yield_now();
            seen.set(true);
        }
    });
    other.wait().unwrap();
    flag.set();
    assert_eq!(
        unlucky.wait().unwrap_err().to_string(),
        "green thread panicked: and its destructor waits for a future"
    );
    assert!(seen.get());
    assert!(!std::thread::panicking());
    assert_nothing_is_registered();
}

/// FAULTS row 6: yields do nothing then, but a future that wakes itself is polled again.
#[test]
fn fault_06_a_future_that_wakes_itself_during_an_unwind_ends() {
    let polls = Rc::new(Cell::new(0));
    let unlucky = spawn({
        let polls = Rc::clone(&polls);
        move || {
            let _on_drop = OnDrop(|| {
                block_on(async {
                    for _ in 0..1000 {
                        polls.set(polls.get() + 1);
                        once_again().await;
                    }
                });
            });
            panic!("and its destructor runs a future");
        }
    });
    assert!(unlucky.wait().is_err());
    assert_eq!(polls.get(), 1000);
}

/// FAULTS row 30: no waker is left anywhere.
#[test]
fn fault_30_a_future_that_nobody_can_wake_is_a_deadlock() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    let text = panic_of(|| block_on(pending::<()>()));
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(text.contains("own stack waits for the waker of a future"), "{text}");
    // A timer that is never due is no hope either.
    let text = panic_of(|| block_on(Alarm::after(Duration::MAX)));
    assert!(text.starts_with("deadlock: "), "{text}");
    // Others are named.
    let stuck = spawn(|| block_on(pending::<()>()));
    let id = stuck.id();
    let text = panic_of(|| stuck.wait());
    assert!(text.contains(&format!("green thread {id}")), "{text}");
    assert!(text.contains("waits for the waker of a future, for 0."), "{text}");
    evy_runtime::kill_all();
    assert_nothing_is_registered();
}

/// FAULTS row 30: it is seen when the last waker goes, wherever that was.
#[test]
fn fault_30_the_last_waker_goes() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    // Another OS thread has it, and drops it.
    for waits in [false, true] {
        let flag = Flag::default();
        let other = std::thread::spawn({
            let flag = flag.clone();
            move || {
                while !flag.has_waiter() {
                    std::hint::spin_loop();
                }
                if waits {
                    util::pause(Duration::from_millis(5));
                }
                flag.forget_waiter();
            }
        });
        let text = panic_of(|| block_on(flag.wait()));
        assert!(text.starts_with("deadlock: "), "{text}");
        other.join().unwrap();
    }
    // Many have it, and drop it at once.
    for _ in 0..rounds(200) {
        let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
        let others: Vec<_> = (0..4)
            .map(|_| {
                let wakers = Arc::clone(&wakers);
                std::thread::spawn(move || {
                    loop {
                        let waker = wakers.lock().unwrap().pop();
                        if let Some(waker) = waker {
                            return drop(waker);
                        }
                    }
                })
            })
            .collect();
        let text = panic_of(|| {
            block_on(poll_fn(|context| -> Poll<()> {
                *wakers.lock().unwrap() = vec![context.waker().clone(); 4];
                Poll::Pending
            }));
        });
        assert!(text.starts_with("deadlock: "), "{text}");
        others.into_iter().for_each(|other| other.join().unwrap());
    }
    // A green thread of this OS thread has it, and drops it.
    let flag = Flag::default();
    evy_runtime::spawn_n({
        let flag = flag.clone();
        move || flag.forget_waiter()
    });
    let text = panic_of(|| block_on(flag.wait()));
    assert!(text.starts_with("deadlock: "), "{text}");
    assert_nothing_is_registered();
}

/// FAULTS row 30: a waker on another OS thread is hope, however long that takes.
#[test]
fn fault_30_a_waker_elsewhere_is_no_deadlock() {
    let flag = Flag::default();
    let other = std::thread::spawn({
        let flag = flag.clone();
        move || {
            while !flag.has_waiter() {
                std::hint::spin_loop();
            }
            util::pause(Duration::from_millis(20));
            flag.set();
        }
    });
    block_on(flag.wait());
    other.join().unwrap();
}

/// A task of a [`Crowd`]: its waker puts it into the line, and wakes the crowd.
struct Member {
    index: usize,
    line: Arc<Mutex<VecDeque<usize>>>,
    crowd: Arc<Mutex<Option<Waker>>>,
    queued: AtomicBool,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.line.lock().unwrap().push_back(self.index);
            let waker = self.crowd.lock().unwrap().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// A member, its waker, and its future until that has ended.
type Running<F> = (Arc<Member>, Waker, Option<Pin<Box<F>>>);

/// What `FuturesUnordered` is: many futures, each with a waker of its own, polled only when that was
/// called.
struct Crowd<F> {
    members: Vec<Running<F>>,
    line: Arc<Mutex<VecDeque<usize>>>,
    crowd: Arc<Mutex<Option<Waker>>>,
    polls: usize,
}

impl<F: Future<Output = ()>> Crowd<F> {
    fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let (line, crowd) =
            (Arc::<Mutex<VecDeque<_>>>::default(), Arc::<Mutex<Option<_>>>::default());
        let members = futures.into_iter().enumerate().map(|(index, future)| {
            line.lock().unwrap().push_back(index);
            let member = Arc::new(Member {
                index,
                line: Arc::clone(&line),
                crowd: Arc::clone(&crowd),
                queued: AtomicBool::new(true),
            });
            (Arc::clone(&member), Waker::from(member), Some(Box::pin(future)))
        });
        Self { members: members.collect(), line, crowd, polls: 0 }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        *self.crowd.lock().unwrap() = Some(context.waker().clone());
        loop {
            let next = self.line.lock().unwrap().pop_front();
            let Some(index) = next else { break };
            let (member, waker, future) = &mut self.members[index];
            member.queued.store(false, Ordering::SeqCst);
            let Some(running) = future else { continue };
            self.polls += 1;
            if running.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                *future = None;
            }
        }
        let all_ended = self.members.iter().all(|(_, _, future)| future.is_none());
        if all_ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn futures_with_wakers_of_their_own_are_polled_when_those_are_called() {
    let _watchdog = Watchdog::new("a future in a crowd is not woken");
    const MEMBERS: usize = 500;
    let flags: Vec<_> = (0..MEMBERS).map(|_| Flag::default()).collect();
    let waiter = spawn({
        let flags = flags.clone();
        move || {
            let futures = flags.into_iter().enumerate().map(|(n, flag)| async move {
                flag.wait().await;
                Alarm::after(Duration::from_micros(n as u64 % 50)).await;
                once_again().await;
            });
            let mut crowd = Crowd::new(futures);
            block_on(poll_fn(|context| crowd.poll(context)));
            crowd.polls
        }
    });
    yield_now();
    for (n, flag) in flags.into_iter().enumerate() {
        match n % 3 {
            0 => flag.set(),
            1 => evy_runtime::spawn_n(move || flag.set()),
            _ => _ = std::thread::spawn(move || flag.set()),
        }
    }
    // At the start, then for its flag, its alarm (unless that was over), and itself.
    let polls = waiter.wait().unwrap();
    assert!((3 * MEMBERS..=4 * MEMBERS).contains(&polls), "{polls}");
    assert_nothing_is_registered();
}

/// The alarm's waker is not `block_on`'s, so the loop may not call it.
#[test]
fn wakers_of_others_are_called_on_a_green_thread() {
    struct Parks(Flag);

    impl Wake for Parks {
        fn wake(self: Arc<Self>) {
            // Inside the loop this would abort the process.
            sleep(Duration::from_millis(1));
            self.0.set();
            panic!("a waker that panics harms nobody");
        }
    }

    for _ in 0..3 {
        let flag = Flag::default();
        let waker = Waker::from(Arc::new(Parks(flag.clone())));
        let mut alarm = pin!(Alarm::after(Duration::from_millis(1)));
        assert!(alarm.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        block_on(flag.wait());
        assert!(alarm.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
    assert_nothing_is_registered();
}

#[test]
fn an_alarm_is_not_early_and_rings_once_for_each_reset() {
    for duration in [0, 1, 100, 3000].map(Duration::from_micros) {
        let start = Instant::now();
        let mut alarm = Alarm::after(duration);
        block_on(&mut alarm);
        assert!(start.elapsed() >= duration);
        // It stays ready.
        block_on(&mut alarm);
        let again = Instant::now() + duration;
        alarm.reset(again);
        block_on(&mut alarm);
        assert!(Instant::now() >= again);
    }
    assert_nothing_is_registered();
}

#[test]
fn an_alarm_whose_time_has_passed_is_ready_at_once() {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(Alarm::after(Duration::ZERO)).poll(&mut context).is_ready());
    let passed = Instant::now();
    // A turn of the hub.
    sleep(Duration::from_nanos(1));
    assert!(pin!(Alarm::at(passed)).poll(&mut context).is_ready());
    assert_nothing_is_registered();
}

#[test]
fn an_alarm_that_is_reset_or_dropped_while_it_waits_leaves_nothing_behind() {
    let mut context = Context::from_waker(Waker::noop());
    let mut alarm = Alarm::after(HOUR);
    assert!(pin!(&mut alarm).poll(&mut context).is_pending());
    assert!(pin!(&mut alarm).poll(&mut context).is_pending());
    alarm.reset(Instant::now());
    block_on(&mut alarm);
    alarm.reset(Instant::now() + HOUR);
    assert!(pin!(&mut alarm).poll(&mut context).is_pending());
    drop(alarm);
    assert_nothing_is_registered();
    // Its waker goes at once.
    let flag = Flag::default();
    let waker = Waker::from(Arc::new(Sets(flag.clone())));
    let mut alarm = Alarm::after(HOUR);
    assert!(pin!(&mut alarm).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&flag.0), 2);
    alarm.reset(Instant::now() + HOUR);
    assert_eq!(Arc::strong_count(&flag.0), 1);
    // Sooner and later, while somebody waits for it.
    let alarm = Rc::new(RefCell::new(Alarm::after(HOUR)));
    let waiter = spawn({
        let alarm = Rc::clone(&alarm);
        move || block_on(poll_fn(|context| pin!(&mut *alarm.borrow_mut()).poll(context)))
    });
    yield_now();
    alarm.borrow_mut().reset(Instant::now() + Duration::from_millis(1));
    waiter.kill();
    block_on(poll_fn(|context| pin!(&mut *alarm.borrow_mut()).poll(context)));
    drop(alarm);
    assert_nothing_is_registered();
}

#[test]
fn very_many_alarms_ring_in_the_order_of_their_times() {
    let rung = Rc::new(RefCell::new(Vec::new()));
    let start = Instant::now() + Duration::from_millis(50);
    let mut order: Vec<u64> = (0..1000).collect();
    // Any order will do.
    order.sort_by_key(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let futures = order.into_iter().map(|n| {
        let rung = Rc::clone(&rung);
        async move {
            let mut alarm = Alarm::at(start + Duration::from_micros(n * 10));
            let is_late = poll_fn(|context| Poll::Ready(pin!(&mut alarm).poll(context).is_ready()));
            // On a machine that is very slow its time may have passed already.
            if !is_late.await {
                alarm.await;
                rung.borrow_mut().push(n);
            }
        }
    });
    let mut crowd = Crowd::new(futures);
    block_on(poll_fn(|context| crowd.poll(context)));
    assert!(rung.borrow().is_sorted());
    assert!(is_slow() || rung.borrow().len() > 900, "{}", rung.borrow().len());
    assert_nothing_is_registered();
}

/// An alarm is `Send`: it rings where it was polled last, and leaves the hub where it was before.
#[test]
fn an_alarm_may_move_to_another_os_thread() {
    let mut alarm = Box::pin(Alarm::after(Duration::from_millis(5)));
    assert!(alarm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let alarm = std::thread::spawn(move || {
        block_on(alarm.as_mut());
        alarm.reset(Instant::now() + HOUR);
        assert!(alarm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        alarm
    });
    // Its hub has ended while it was among the deadlines there.
    let mut alarm = alarm.join().unwrap();
    alarm.reset(Instant::now() + Duration::from_millis(1));
    block_on(alarm.as_mut());
    // Dropped there while it waits here.
    alarm.reset(Instant::now() + HOUR);
    assert!(alarm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    std::thread::spawn(move || drop(alarm)).join().unwrap();
    assert_nothing_is_registered();
}

/// The waker that a bell holds may be a user's own, whose drop is code of users.
#[test]
fn a_waker_that_is_left_in_an_alarm_elsewhere_is_dropped_on_a_green_thread() {
    struct Loud(Arc<AtomicBool>);

    impl Wake for Loud {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Loud {
        fn drop(&mut self) {
            // Inside the loop this would abort the process.
            yield_now();
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicBool::new(false));
    let waker = Waker::from(Arc::new(Loud(Arc::clone(&dropped))));
    let mut alarm = Box::pin(Alarm::after(HOUR));
    assert!(alarm.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    std::thread::spawn(move || drop(alarm)).join().unwrap();
    while !dropped.load(Ordering::SeqCst) {
        sleep(Duration::from_micros(100));
    }
    assert_nothing_is_registered();
}

#[test]
fn a_future_runs_on_a_hub_of_another_os_thread_too() {
    let flag = Flag::default();
    let (sender, receiver) = mpsc::channel();
    let other = std::thread::spawn({
        let flag = flag.clone();
        move || {
            sender.send(Remote::current()).unwrap();
            block_on(flag.wait());
        }
    });
    let remote = receiver.recv().unwrap();
    let answer = remote.spawn(|| block_on(async { Alarm::after(Duration::from_millis(1)).await }));
    answer.wait().unwrap();
    flag.set();
    other.join().unwrap();
}

fn waker_of_a_call() -> Waker {
    block_on(poll_fn(|context| Poll::Ready(context.waker().clone())))
}

/// Any number of calls at once, each woken by the one before.
#[test]
fn very_many_calls_wait_at_once() {
    const MANY: usize = 10_000;
    let flags: Vec<_> = (0..=MANY).map(|_| Flag::default()).collect();
    let threads: Vec<_> = (0..MANY)
        .map(|n| {
            let (own, next) = (flags[n].clone(), flags[n + 1].clone());
            spawn(move || {
                block_on(own.wait());
                next.set();
            })
        })
        .collect();
    yield_now();
    flags[0].set();
    block_on(flags[MANY].wait());
    join_all(threads).into_iter().for_each(|result| result.unwrap());
    // What comes after a burst starts with empty tables; a waker of the burst is nobody's.
    let late = waker_of_a_call();
    block_on(once_again());
    late.wake_by_ref();
    std::thread::spawn(move || late.wake()).join().unwrap();
    block_on(Alarm::after(Duration::from_micros(100)));
    assert_nothing_is_registered();
}

/// A green thread that waits by a future and one that waits in a line wake each other.
#[test]
fn blocking_and_polling_green_threads_work_together() {
    let line = Rc::new(WaitList::new());
    let turns = Rc::new(RefCell::new(None::<Waker>));
    let blocking = spawn({
        let (line, turns) = (Rc::clone(&line), Rc::clone(&turns));
        move || {
            for _ in 0..1000 {
                wait_in(&line);
                turns.borrow_mut().take().unwrap().wake();
            }
        }
    });
    yield_now();
    for _ in 0..1000 {
        let mut waited = false;
        block_on(poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            *turns.borrow_mut() = Some(context.waker().clone());
            line.wake_one();
            Poll::Pending
        }));
    }
    blocking.wait().unwrap();
    assert_nothing_is_registered();
}
