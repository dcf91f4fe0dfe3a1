//! The channel between OS threads: in every direction, in order, and nothing is lost.

mod sides;
#[path = "../../runtime/tests/util/mod.rs"]
mod util;

use std::cell::Cell;
use std::fmt::Debug;
use std::fs;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, sleep, spawn, spawn_n, timeout, yield_now};
use evy_sync::shared::{Receiver, Sender, bounded, channel, unbounded};
use evy_sync::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use sides::{Census, Counted, SIDES, Side, directions, until, until_waiting};
use util::{Child, HOUR, OnDrop, Watchdog, assert_nothing_is_registered, is_child, rounds};

const MOMENT: Duration = Duration::from_millis(2);

/// Holds this OS thread up.
fn hog(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A green thread that receives, and waits for an item now.
fn receiving<T: 'static>(receiver: &Receiver<T>) -> GreenThread<Result<T, RecvError>> {
    let before = waiting(receiver);
    let thread = spawn({
        let receiver = receiver.clone();
        move || receiver.recv()
    });
    until_waiting(receiver, before + 1);
    thread
}

/// A green thread that sends, and waits for room now.
fn sending<T: 'static>(sender: &Sender<T>, item: T) -> GreenThread<Result<(), SendError<T>>> {
    let before = waiting(sender);
    let thread = spawn({
        let sender = sender.clone();
        move || sender.send(item)
    });
    until_waiting(sender, before + 1);
    thread
}

/// How many wait at a channel.
fn waiting(end: &impl Debug) -> usize {
    let text = format!("{end:?}");
    let number = text.split("waiting: ").nth(1).and_then(|rest| rest.split(',').next());
    number.and_then(|number| number.parse().ok()).expect("it says so")
}

/// Semantics E 97, C 63: in every direction, for every kind of channel.
#[test]
fn items_arrive_once_and_in_order_in_every_direction() {
    let _watchdog = Watchdog::new("a channel between OS threads");
    for (from, to) in directions() {
        for capacity in [Some(0), Some(1), Some(7), Some(1000), None] {
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            let is_small = capacity.is_some_and(|capacity| capacity < 1_000);
            let count = rounds(if is_small { 2_000 } else { 50_000 });
            let sends = from.run(move || (0..count).try_for_each(|n| sender.send(n)));
            let receives = to.run(move || {
                let mut next = 0;
                for item in receiver {
                    assert_eq!(item, next, "{from:?} to {to:?}, {capacity:?}");
                    next += 1;
                }
                next
            });
            assert_eq!(sends.join().unwrap(), Ok(()));
            assert_eq!(receives.join().unwrap(), count);
        }
    }
}

/// Each waits for the other's answer, so every item finds the other side asleep or on its way there.
#[test]
fn no_wake_is_lost_in_a_round_trip_in_any_direction() {
    let _watchdog = Watchdog::new("a round trip between OS threads");
    for (here, there) in directions() {
        let ((ping, pings), (pong, pongs)) = (bounded(1), channel());
        let count = rounds(5_000);
        let echo = there.run(move || pings.iter().try_for_each(|n: usize| pong.send(n)));
        let asks = here.run(move || {
            for n in 0..count {
                // So that the answer comes at every point of the way to sleep.
                for _ in 0..n % 200 {
                    std::hint::spin_loop();
                }
                ping.send(n).unwrap();
                assert_eq!(pongs.recv(), Ok(n));
            }
        });
        asks.join().unwrap();
        assert_eq!(echo.join().unwrap(), Ok(()));
    }
}

/// Several senders and receivers on all kinds of OS threads.
#[test]
fn many_to_many_each_item_comes_out_once_and_each_senders_in_order() {
    const ENDS: usize = 4;
    let _watchdog = Watchdog::new("several senders and receivers");
    for capacity in [Some(0), Some(3), None] {
        let count = rounds(if capacity.is_some() { 2_000 } else { 50_000 });
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let sides = || SIDES.into_iter().cycle().take(ENDS).enumerate();
        let senders: Vec<_> = sides()
            .map(|(from, side)| {
                let sender = sender.clone();
                side.run(move || (0..count).try_for_each(|n| sender.send((from, n))))
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = sides()
            .map(|(_, side)| {
                let receiver = receiver.clone();
                side.run(move || receiver.iter().collect::<Vec<_>>())
            })
            .collect();
        drop(receiver);
        assert!(senders.into_iter().all(|sender| sender.join().unwrap().is_ok()));
        let mut seen = vec![vec![false; count]; ENDS];
        for items in receivers.into_iter().map(|receiver| receiver.join().unwrap()) {
            let mut last = [None; ENDS];
            for (from, n) in items {
                assert!(last[from] < Some(n), "the items of {from} are in order");
                last[from] = Some(n);
                assert!(!std::mem::replace(&mut seen[from][n], true), "({from}, {n}) comes twice");
            }
        }
        assert!(seen.into_iter().flatten().all(|seen| seen), "all came out");
    }
}

/// A plain OS thread blocks by itself: `shared::*` is no reason to make a hub for it.
#[test]
fn no_hub_is_made_for_an_os_thread_that_waits() {
    const NAME: &str = "no_hub_is_made_for_an_os_thread_that_waits";
    // In a process of its own: other tests make hubs.
    if !is_child(NAME) {
        assert!(Child::new(NAME).run().status.success());
        return;
    }
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let (sender, receiver) = bounded(1);
    let other = thread::spawn(move || {
        for n in 0..100 {
            hog(Duration::from_micros(n));
            sender.send(n).unwrap();
        }
    });
    assert_eq!(receiver.iter().sum::<u64>(), 4950);
    other.join().unwrap();
    assert_eq!(receiver.recv_timeout(MOMENT), Err(RecvTimeoutError::Disconnected));
    let (sender, _receiver) = bounded(0);
    assert_eq!(sender.send_timeout(1, MOMENT), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(descriptors(), before);
    yield_now();
    assert!(descriptors() > before, "a hub has descriptors");
}

/// Semantics C 63. The ones that wait are of several OS threads.
#[test]
fn receivers_are_served_in_the_order_in_which_they_came() {
    let _watchdog = Watchdog::new("receivers in line");
    let (sender, receiver) = channel();
    let sides = SIDES.into_iter().cycle().take(7);
    let waiting: Vec<_> = sides
        .enumerate()
        .map(|(place, side)| {
            let receiver = receiver.clone();
            let thread = side.run(move || receiver.recv());
            until_waiting(&sender, place + 1);
            thread
        })
        .collect();
    (0..7).for_each(|n| sender.send(n).unwrap());
    for (place, thread) in waiting.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), Ok(place));
    }
}

#[test]
fn senders_are_served_in_the_order_in_which_they_came_and_nobody_barges() {
    let _watchdog = Watchdog::new("senders in line");
    for capacity in [0, 1, 2] {
        let (sender, receiver) = bounded(capacity);
        (0..capacity).for_each(|n| sender.send(n).unwrap());
        let waiting: Vec<_> = SIDES
            .into_iter()
            .cycle()
            .take(7)
            .enumerate()
            .map(|(place, side)| {
                let sender = sender.clone();
                let thread = side.run(move || sender.send(capacity + place));
                until_waiting(&receiver, place + 1);
                thread
            })
            .collect();
        // There is room now, but it is the first one's.
        assert_eq!(receiver.recv(), Ok(0));
        assert_eq!(sender.try_send(100), Err(TrySendError::Full(100)));
        assert_eq!(receiver.len(), capacity);
        for n in 1..capacity + 7 {
            assert_eq!(receiver.recv(), Ok(n));
        }
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap().is_ok()));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

/// Semantics C 53: the sender goes on only when its item is taken.
#[test]
fn a_rendezvous_is_one() {
    let _watchdog = Watchdog::new("a rendezvous");
    for (from, to) in directions() {
        let (sender, receiver) = bounded(0);
        assert!(sender.is_empty() && sender.is_full());
        let taken = Arc::new(AtomicUsize::new(0));
        let sends = from.run({
            let (sender, taken) = (sender.clone(), Arc::clone(&taken));
            move || {
                for n in 0..10 {
                    sender.send(n).unwrap();
                    // The receiver counts an item before it takes it.
                    assert!(taken.load(Ordering::SeqCst) > n);
                }
            }
        });
        let receives = to.run(move || {
            for n in 0..10 {
                taken.fetch_add(1, Ordering::SeqCst);
                assert_eq!(receiver.recv(), Ok(n));
            }
        });
        sends.join().unwrap();
        receives.join().unwrap();
        assert_eq!(sender.try_send(1), Err(TrySendError::Disconnected(1)));
    }
}

/// Semantics C 60.
#[test]
fn try_calls_meet_who_waits_on_the_other_side() {
    let (sender, receiver) = bounded(0);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let receives = receiving(&receiver);
    assert_eq!(sender.try_send(2), Ok(()));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receives.wait().unwrap(), Ok(2));
    let sends = sending(&sender, 4);
    assert_eq!(receiver.try_recv(), Ok(4));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sends.wait().unwrap(), Ok(()));
}

/// Semantics C 56; FAULTS row 53: handed over, then killed before it goes on.
#[test]
fn fault_53_an_item_of_a_killed_receiver_goes_to_the_next() {
    for capacity in [Some(0), Some(1), None] {
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let [first, second] = [(); 2].map(|()| receiving(&receiver));
        sender.send("apple").unwrap();
        first.kill();
        assert!(matches!(first.wait(), Err(Died::Killed)));
        assert_eq!(second.wait().unwrap(), Ok("apple"));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn fault_53_an_item_of_a_killed_receiver_goes_back_to_the_front() {
    let (sender, receiver) = bounded(2);
    let first = receiving(&receiver);
    for n in 0..3 {
        sender.send(n).unwrap();
    }
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    // One more than there is room for, until one is taken.
    assert_eq!(receiver.len(), 3);
    let last = sending(&sender, 3);
    assert_eq!(receiver.recv(), Ok(0));
    assert!(!last.is_finished());
    assert_eq!((receiver.recv(), receiver.len()), (Ok(1), 2));
    assert_eq!(last.wait().unwrap(), Ok(()));
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(2), Ok(3)));
    // Also before what another receiver has made room for.
    let first = receiving(&receiver);
    (4..7).for_each(|n| sender.send(n).unwrap());
    assert_eq!(receiver.recv(), Ok(5));
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(4), Ok(6)));
}

#[test]
fn fault_53_an_item_that_is_given_back_takes_its_place_again() {
    let (sender, receiver) = bounded(2);
    let first = receiving(&receiver);
    sender.send(1).unwrap();
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    assert_eq!((sender.try_send(2), sender.try_send(3)), (Ok(()), Err(TrySendError::Full(3))));
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    assert_eq!((sender.try_send(4), sender.try_send(5)), (Ok(()), Ok(())));
    assert_eq!(sender.try_send(6), Err(TrySendError::Full(6)));
}

/// What was given back is no reason to let a sender go whose item nobody has.
#[test]
fn fault_53_a_rendezvous_stays_one_after_an_item_was_given_back() {
    let (sender, receiver) = bounded(0);
    let first = receiving(&receiver);
    sender.send(1).unwrap();
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    let sends = sending(&sender, 2);
    assert_eq!(receiver.recv(), Ok(1));
    yield_now();
    assert!(!sends.is_finished());
    assert_eq!(receiver.recv(), Ok(2));
    assert_eq!(sends.wait().unwrap(), Ok(()));
}

/// A `timeout` around it that is over in the turn in which the item comes.
#[test]
fn fault_53_a_timeout_around_a_receiver_loses_no_item() {
    let _watchdog = Watchdog::new("an item was lost to a timeout");
    let (sender, receiver) = channel();
    let mut cut_off = 0;
    for n in 0..rounds(2_000).max(50) {
        let receives = spawn({
            let receiver = receiver.clone();
            move || timeout(Duration::from_micros(50), || receiver.recv())
        });
        let sends = thread::spawn({
            let sender = sender.clone();
            move || {
                hog(Duration::from_micros(40 + n as u64 % 40));
                sender.send(n).unwrap();
            }
        });
        match receives.wait().unwrap() {
            Ok(item) => assert_eq!(item, Ok(n)),
            Err(_) => {
                cut_off += 1;
                assert_eq!(receiver.recv(), Ok(n));
            }
        }
        sends.join().unwrap();
        assert!(receiver.is_empty());
    }
    println!("{cut_off} were cut off");
}

/// Semantics C 54, 56: by its own timeout, on every side.
#[test]
fn who_times_out_leaves_the_line_and_takes_its_item_with_it() {
    let _watchdog = Watchdog::new("timeouts");
    for side in SIDES {
        let (sender, receiver) = bounded(0);
        let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
        side.run(move || {
            let start = Instant::now();
            assert_eq!(receiver.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
            assert!(start.elapsed() >= MOMENT);
            let start = Instant::now();
            assert_eq!(sender.send_timeout(1, MOMENT), Err(SendTimeoutError::Timeout(1)));
            assert!(start.elapsed() >= MOMENT);
        })
        .join()
        .unwrap();
        assert_eq!(waiting(&other_sender), 0);
        assert_eq!(other_sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(other_receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

/// An item that comes in time is worth more than a deadline.
#[test]
fn a_call_that_times_out_later_gets_what_comes_before() {
    let _watchdog = Watchdog::new("timeouts");
    for (from, to) in directions() {
        let (sender, receiver) = bounded(0);
        let receives = to.run(move || receiver.recv_timeout(HOUR));
        let sends = from.run(move || sender.send_timeout("in time", HOUR));
        assert_eq!(receives.join().unwrap(), Ok("in time"));
        assert_eq!(sends.join().unwrap(), Ok(()));
    }
    let (sender, receiver) = channel();
    sender.send(1).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1));
    sender.send_timeout(2, Duration::ZERO).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(2));
}

/// Those behind it are served as if it had not been there.
#[test]
fn a_killed_sender_takes_its_item_with_it() {
    let census = Census::default();
    let (sender, receiver) = bounded(1);
    sender.send(census.one(0)).unwrap();
    let [first, second, third] = [1, 2, 3].map(|n| sending(&sender, census.one(n)));
    second.kill();
    assert!(matches!(second.wait(), Err(Died::Killed)));
    assert_eq!(census.alive(), 3);
    for n in [0, 1, 3] {
        assert_eq!(receiver.recv().unwrap().number, n);
    }
    assert!(first.wait().unwrap().is_ok() && third.wait().unwrap().is_ok());
    assert_eq!((census.alive(), receiver.len()), (0, 0));
    // Nobody waits any more, and nobody holds what could wake them.
    assert_nothing_is_registered();
}

/// Killed after its item was taken: that was delivered.
#[test]
fn a_sender_that_is_killed_when_its_item_is_taken_has_sent_it() {
    let (sender, receiver) = bounded(0);
    let sends = sending(&sender, "apple");
    assert_eq!(receiver.try_recv(), Ok("apple"));
    sends.kill();
    assert!(matches!(sends.wait(), Err(Died::Killed)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

/// The last end that goes wakes everybody on the other side, wherever they are.
#[test]
fn all_who_wait_learn_of_the_end() {
    let _watchdog = Watchdog::new("the end of a channel");
    for capacity in [0, 1] {
        let (sender, receiver) = bounded::<usize>(capacity);
        let receivers: Vec<_> = SIDES
            .into_iter()
            .map(|side| {
                let receiver = receiver.clone();
                side.run(move || receiver.recv())
            })
            .collect();
        until_waiting(&sender, 3);
        drop(sender.clone());
        until_waiting(&sender, 3);
        drop(sender);
        assert!(receivers.into_iter().all(|thread| thread.join().unwrap() == Err(RecvError)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.recv_timeout(HOUR), Err(RecvTimeoutError::Disconnected));

        let (sender, receiver) = bounded(capacity);
        (0..capacity).for_each(|n| sender.send(n).unwrap());
        let senders: Vec<_> = SIDES
            .into_iter()
            .enumerate()
            .map(|(n, side)| {
                let sender = sender.clone();
                (n, side.run(move || sender.send(n)))
            })
            .collect();
        until_waiting(&receiver, 3);
        drop(receiver);
        for (n, thread) in senders {
            assert_eq!(thread.join().unwrap(), Err(SendError(n)));
        }
        assert_eq!(sender.try_send(7), Err(TrySendError::Disconnected(7)));
        assert_eq!(sender.send_timeout(8, HOUR), Err(SendTimeoutError::Disconnected(8)));
    }
}

#[test]
fn what_was_sent_before_the_end_still_comes_out() {
    let (sender, receiver) = channel();
    (0..3).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(receiver.try_iter().next(), None);
    assert_eq!(receiver.into_iter().next(), None);
}

/// A receiver was handed the last item and is killed: who was told of the end meanwhile gets it.
#[test]
fn an_item_that_is_given_back_at_the_end_comes_out_too() {
    let (sender, receiver) = channel();
    let [first, second] = [(); 2].map(|()| receiving(&receiver));
    sender.send("apple").unwrap();
    drop(sender);
    first.kill();
    assert!(matches!(first.wait(), Err(Died::Killed)));
    assert_eq!(second.wait().unwrap(), Ok("apple"));
    assert_eq!(receiver.recv(), Err(RecvError));
}

/// With the last receiver go the items, each once, and those of senders that wait go back to them.
#[test]
fn what_nobody_receives_is_dropped() {
    let census = Census::default();
    let (sender, receiver) = bounded(3);
    for n in 0..3 {
        sender.send(census.one(n)).unwrap();
    }
    // One half has been looked at by a receiver.
    drop(receiver.recv());
    sender.send(census.one(3)).unwrap();
    let waits = sending(&sender, census.one(4));
    drop(receiver.clone());
    assert_eq!(census.alive(), 4);
    drop(receiver);
    assert_eq!(census.alive(), 1);
    let SendError(item) = waits.wait().unwrap().unwrap_err();
    assert_eq!(item.number, 4);
    drop(item);
    assert!(sender.send(census.one(5)).is_err());
    assert_eq!(census.alive(), 0);
}

/// Destructors of items are code of users: they may use the channel.
#[test]
fn destructors_of_items_run_outside_of_the_locks() {
    let _watchdog = Watchdog::new("a lock is held in a destructor");
    struct Uses(Sender<Self>, Arc<AtomicUsize>);

    impl Drop for Uses {
        fn drop(&mut self) {
            // Waits for ever if a lock is held.
            assert!(self.0.len() <= 2);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    let (sender, receiver) = bounded(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let item = || Uses(sender.clone(), Arc::clone(&dropped));
    sender.send(item()).unwrap();
    drop(receiver.recv());
    assert!(sender.send(item()).is_ok() && sender.send(item()).is_ok());
    let waits = sending(&sender, item());
    waits.kill();
    drop(receiver);
    drop(sender.try_send(item()));
    assert_eq!(dropped.load(Ordering::SeqCst), 5);
}

/// An OS thread that ends leaks its green threads; they stay in line, and are passed over.
#[test]
fn receivers_on_an_os_thread_that_has_ended_are_passed_over() {
    let (sender, receiver) = bounded(0);
    thread::spawn({
        let receiver = receiver.clone();
        move || {
            for _ in 0..3 {
                drop(receiving(&receiver));
            }
        }
    })
    .join()
    .unwrap();
    assert_eq!(waiting(&sender), 3);
    let alive = receiving(&receiver);
    sender.try_send("apple").unwrap();
    assert_eq!(alive.wait().unwrap(), Ok("apple"));
    assert_eq!(sender.try_send("pear"), Err(TrySendError::Full("pear")));
    assert_eq!(waiting(&sender), 0);
}

/// Semantics D12: a receiver that never finds the channel empty lets its neighbours run.
#[test]
fn a_green_thread_in_a_stream_of_items_lets_the_others_run() {
    let _watchdog = Watchdog::new("a stream of items starves a hub");
    for capacity in [Some(64), None] {
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let stop = Arc::new(AtomicBool::new(false));
        let source = thread::spawn({
            let (sender, stop) = (sender.clone(), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // Without bound it would fill the memory.
                    if sender.len() < 10_000 {
                        sender.send(1_u8).unwrap();
                    }
                }
            }
        });
        let received = Rc::new(Cell::new(0_u64));
        let receives = spawn({
            let received = Rc::clone(&received);
            move || receiver.iter().for_each(|_| received.set(received.get() + 1))
        });
        until(|| received.get() > 1_000);
        for _ in 0..10 {
            // Each is a turn, and in the midst of the stream.
            let before = received.get();
            until(|| received.get() > before + 1_000);
        }
        stop.store(true, Ordering::Relaxed);
        drop(sender);
        receives.wait().unwrap();
        source.join().unwrap();
    }
    // The same for who always finds room.
    let (sender, receiver) = channel();
    let turns = Rc::new(Cell::new(0));
    let neighbour = spawn({
        let turns = Rc::clone(&turns);
        move || {
            for _ in 0..3 {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    (0..1_000).for_each(|n| sender.send(n).unwrap());
    assert_eq!(turns.get(), 3);
    drop(neighbour);
    assert_eq!(receiver.len(), 1_000);
}

/// FAULTS row 6: in a destructor of one that unwinds, it waits as ever.
#[test]
fn fault_06_a_destructor_may_send_and_receive_while_its_green_thread_unwinds() {
    let _watchdog = Watchdog::new("a channel in a destructor");
    let ((ask, asks), (answer, answers)) = (bounded(0), bounded(0));
    let echo = Side::Green.run(move || {
        let item: u32 = asks.recv().unwrap();
        answer.send(item + 1).unwrap();
    });
    let got = Rc::new(Cell::new(0));
    let killed = spawn({
        let got = Rc::clone(&got);
        move || {
            let _guard = OnDrop(|| {
                ask.send(1).unwrap();
                got.set(answers.recv().unwrap());
            });
            sleep(HOUR);
        }
    });
    yield_now();
    killed.kill();
    assert!(matches!(killed.wait(), Err(Died::Killed)));
    assert_eq!(got.get(), 2);
    echo.join().unwrap();
}

/// Bounded means bounded, whatever is where: neither half is forgotten.
#[test]
fn there_are_never_more_items_than_room() {
    let _watchdog = Watchdog::new("a bounded channel");
    let (sender, receiver) = bounded(5);
    let alive = Arc::new(AtomicUsize::new(0));
    let count = rounds(100_000);
    let sends = Side::Green.run({
        let alive = Arc::clone(&alive);
        move || {
            for n in 0..count {
                // This one, and five in the channel, and one that the receiver has not counted yet.
                assert!(alive.fetch_add(1, Ordering::SeqCst) < 7);
                sender.send(n).unwrap();
                assert!(sender.len() <= 5);
            }
        }
    });
    let receives = Side::Os.run(move || {
        for n in 0..count {
            if n % 64 == 0 {
                until(|| receiver.is_full() || n + 5 > count);
            }
            assert_eq!(receiver.recv(), Ok(n));
            alive.fetch_sub(1, Ordering::SeqCst);
        }
    });
    sends.join().unwrap();
    receives.join().unwrap();
}

/// All that a channel says of itself.
#[test]
fn it_knows_its_length_and_room() {
    let (sender, receiver) = bounded(2);
    assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert!(sender.is_full() && receiver.is_full() && !sender.is_empty());
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!((sender.len(), receiver.len()), (1, 1));
    let text = format!("{receiver:?}");
    assert_eq!(
        text,
        "Receiver { capacity: Some(2), len: 1, waiting: 0, senders: 1, receivers: 1 }"
    );
    let (other, _receiver) = unbounded::<u32>();
    assert_eq!(other.capacity(), None);
    assert!(!other.is_full() && other.is_empty());
    assert!(sender.same_channel(&sender.clone()) && !other.same_channel(&sender));
    assert!(receiver.same_channel(&receiver.clone()));
}

#[test]
fn its_ends_go_everywhere() {
    fn everywhere<T: Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    everywhere::<Sender<Cell<u8>>>();
    everywhere::<Receiver<Cell<u8>>>();
    // A green thread may also use one that belongs to its hub alone: no hand-off crosses threads.
    let (sender, receiver) = channel();
    spawn_n(move || sender.send(Rc::new(7)));
    assert_eq!(*receiver.recv().unwrap(), 7);
}

/// Kills, at random, of the only receiver: nothing is lost, and nothing comes out of order.
#[test]
fn fault_53_kills_of_the_only_receiver_never_change_the_order() {
    let _watchdog = Watchdog::new("kills of a receiver");
    for capacity in [Some(0), Some(4), None] {
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let count = rounds(20_000);
        let census = Census::default();
        let sends = Side::Os.run({
            let census = census.clone();
            move || (0..count).try_for_each(|n| sender.send(census.one(n)).map_err(|_| n))
        });
        let next = Rc::new(Cell::new(0));
        let mut kills = 0;
        while next.get() < count {
            let receives = spawn({
                let (receiver, next) = (receiver.clone(), Rc::clone(&next));
                move || {
                    while let Ok(Counted { number, .. }) = receiver.recv() {
                        assert_eq!(number, next.get());
                        next.set(number + 1);
                    }
                }
            });
            for _ in 0..kills % 50 {
                yield_now();
            }
            kills += 1;
            receives.kill();
            assert!(!matches!(receives.wait(), Err(Died::Panicked(_))));
        }
        assert_eq!(sends.join().unwrap(), Ok(()));
        assert_eq!((receiver.len(), census.alive()), (0, 0));
    }
}
