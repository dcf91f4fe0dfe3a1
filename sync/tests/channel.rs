//! Channels: order, ends, hand-off, and what other libraries' suites check of theirs.

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use evy_runtime::{Died, GreenThread, join_all, sleep, spawn, spawn_n, timeout, yield_now};
use evy_sync::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, channel, unbounded,
};
use util::{
    Census, LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end,
    rounds, settle, yields,
};

/// A green thread that receives one item, and has begun.
fn receiver<T: 'static>(receiver: &Receiver<T>) -> GreenThread<Result<T, RecvError>> {
    let receiver = receiver.clone();
    let thread = spawn(move || receiver.recv());
    yield_now();
    thread
}

fn sender<T: 'static>(sender: &Sender<T>, item: T) -> GreenThread<Result<(), SendError<T>>> {
    let sender = sender.clone();
    let thread = spawn(move || sender.send(item));
    yield_now();
    thread
}

#[test]
fn items_come_out_in_the_order_in_which_they_went_in() {
    for (sender, receiver) in [channel(), unbounded(), bounded(0), bounded(1), bounded(3)] {
        let sends = spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        assert_eq!(receiver.iter().collect::<Vec<_>>(), Vec::from_iter(0..100));
        sends.wait().unwrap();
    }
}

#[test]
fn len_and_capacity_say_what_is_there() {
    let (sender, receiver) = bounded(2);
    assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
    for n in 0..2 {
        assert_eq!((sender.len(), receiver.len()), (n, n));
        assert!(!sender.is_full() && !receiver.is_full());
        sender.send(n).unwrap();
        assert!(!sender.is_empty() && !receiver.is_empty());
    }
    assert!(sender.is_full() && receiver.is_full());
    let (sender, receiver) = bounded::<u32>(0);
    assert_eq!((sender.capacity(), receiver.capacity()), (Some(0), Some(0)));
    assert!(sender.is_empty() && sender.is_full() && receiver.is_empty() && receiver.is_full());
    let (sender, receiver) = channel::<u32>();
    assert_eq!((sender.capacity(), receiver.capacity()), (None, None));
    assert!(!sender.is_full() && !receiver.is_full());
}

#[test]
fn handles_know_their_channel() {
    let ((sender, receiver), other) = (channel::<u32>(), channel::<u32>());
    assert!(sender.same_channel(&sender.clone()) && receiver.same_channel(&receiver.clone()));
    assert!(!sender.same_channel(&other.0) && !receiver.same_channel(&other.1));
    let text = "capacity: None, len: 0, senders: 1, receivers: 1 }";
    assert_eq!(format!("{sender:?}"), format!("Sender {{ {text}"));
    assert_eq!(format!("{receiver:?}"), format!("Receiver {{ {text}"));
}

#[test]
fn try_send_and_try_recv_never_wait() {
    let (sender, receiver) = bounded(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    assert!(!yields(|| sender.try_send(2)));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(!yields(|| receiver.try_recv()));
    drop(receiver);
    assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    let (sender, receiver) = channel::<u32>();
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn a_rendezvous_delivers_to_whoever_waits() {
    let (sender, receiver) = bounded(0);
    assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
    let waits = self::receiver(&receiver);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(waits.wait().unwrap(), Ok(1));
    let waits = self::sender(&sender, 2);
    assert!(!waits.is_finished());
    assert_eq!((sender.len(), receiver.len()), (0, 0));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(waits.wait().unwrap(), Ok(()));
}

#[test]
fn a_send_waits_while_there_is_no_room() {
    let (sender, receiver) = bounded(1);
    sender.send(0).unwrap();
    let waits = [1, 2].map(|n| self::sender(&sender, n));
    settle();
    assert!(waits.iter().all(|sends| !sends.is_finished()));
    assert_eq!(receiver.recv(), Ok(0));
    settle();
    assert!(waits[0].is_finished() && !waits[1].is_finished());
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    assert_eq!(join_all(waits).len(), 2);
}

#[test]
fn waits_time_out_and_give_items_back() {
    let (sender, receiver) = bounded(0);
    let begun = Instant::now();
    assert_eq!(sender.send_timeout(1, SOON), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    assert!(begun.elapsed() >= 2 * SOON);
    assert!(timeout(SOON, || sender.send(2)).is_err());
    assert!(timeout(SOON, || receiver.recv()).is_err());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let waits = self::sender(&sender, 3);
    assert_eq!(receiver.recv_timeout(LONG), Ok(3));
    waits.wait().unwrap().unwrap();
    let waits = self::receiver(&receiver);
    assert_eq!(sender.send_timeout(4, LONG), Ok(()));
    assert_eq!(waits.wait().unwrap(), Ok(4));
    drop(receiver);
    assert_eq!(sender.send_timeout(5, LONG), Err(SendTimeoutError::Disconnected(5)));
    let (sender, receiver) = channel::<u32>();
    drop(sender);
    assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    assert_nothing_is_registered();
}

#[test]
fn what_was_sent_before_the_last_sender_went_is_received() {
    let (sender, receiver) = channel();
    let clone = sender.clone();
    sender.send(1).unwrap();
    drop(sender);
    clone.send(2).unwrap();
    drop(clone);
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    for _ in 0..2 {
        assert_eq!(receiver.recv(), Err(RecvError));
    }
}

#[test]
fn receivers_that_wait_see_the_last_sender_go() {
    for (sender, receiver) in [channel::<u32>(), bounded(0), bounded(1)] {
        let clone = sender.clone();
        let waits = [(); 2].map(|()| self::receiver(&receiver));
        drop(sender);
        settle();
        assert!(waits.iter().all(|waiter| !waiter.is_finished()));
        drop(clone);
        assert!(waits.into_iter().all(|waiter| waiter.wait().unwrap() == Err(RecvError)));
    }
}

#[test]
fn senders_that_wait_see_the_last_receiver_go() {
    for (sender, receiver) in [bounded(0), bounded(1)] {
        let _ = sender.try_send(0);
        let clone = receiver.clone();
        let waits = [1, 2].map(|n| self::sender(&sender, n));
        drop(receiver);
        settle();
        assert!(waits.iter().all(|waiter| !waiter.is_finished()));
        drop(clone);
        for (n, waiter) in (1..).zip(waits) {
            assert_eq!(waiter.wait().unwrap(), Err(SendError(n)));
        }
        assert_eq!(sender.send(3), Err(SendError(3)));
        assert_eq!(sender.send(4), Err(SendError(4)));
    }
}

/// The last sender may go by the end of its green thread, whichever way.
#[test]
fn a_sender_that_panics_or_is_killed_has_gone() {
    let (sender, receiver) = channel::<u32>();
    let panics = spawn({
        let sender = sender.clone();
        move || {
            sender.send(1).unwrap();
            panic!("on purpose");
        }
    });
    let killed = spawn(move || {
        sender.send(2).unwrap();
        sleep(LONG);
    });
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    let waits = self::receiver(&receiver);
    killed.kill();
    assert_eq!(waits.wait().unwrap(), Err(RecvError));
    assert!(panics.wait().is_err());
}

#[test]
fn iterators_end_with_the_senders() {
    let (sender, receiver) = bounded(1);
    let sends = spawn(move || (0..6).for_each(|n| sender.send(n).unwrap()));
    let mut items = Vec::new();
    for item in &receiver {
        items.push(item);
        if item == 1 {
            break;
        }
    }
    items.extend(receiver.try_iter().take(1));
    items.extend(receiver);
    assert_eq!(items, [0, 1, 2, 3, 4, 5]);
    sends.wait().unwrap();
}

/// SEMANTICS row 63.
#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let (sender, receiver) = bounded(0);
    let waits: Vec<_> = (0..10).map(|_| self::receiver(&receiver)).collect();
    (0..10).for_each(|n| sender.send(n).unwrap());
    for (n, waiter) in waits.into_iter().enumerate() {
        assert_eq!(waiter.wait().unwrap(), Ok(n));
    }
    let waits: Vec<_> = (0..10).map(|n| self::sender(&sender, n)).collect();
    assert_eq!(receiver.iter().take(10).collect::<Vec<_>>(), Vec::from_iter(0..10));
    join_all(waits);
}

/// D8.
#[test]
fn nobody_takes_what_was_handed_to_another() {
    let (sender, receiver) = channel();
    let waits = self::receiver(&receiver);
    sender.send(1).unwrap();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(waits.wait().unwrap(), Ok(1));
}

/// FAULTS 53.
#[test]
fn fault_53_the_item_of_a_receiver_killed_after_the_hand_off_is_not_lost() {
    for (sender, receiver) in [channel(), bounded(0), bounded(1)] {
        let [waiting, handed, next] = [(); 3].map(|()| self::receiver(&receiver));
        waiting.kill();
        sender.try_send(1).unwrap();
        handed.kill();
        assert_eq!(next.wait().unwrap(), Ok(1));
        let last = self::receiver(&receiver);
        sender.try_send(2).unwrap();
        let _ = sender.try_send(3);
        last.kill();
        assert_eq!(receiver.recv(), Ok(2), "it stands where it stood");
        drop(sender);
        receiver.try_iter().for_each(|item| assert_eq!(item, 3));
        for killed in [waiting, handed, last] {
            assert!(matches!(killed.wait(), Err(Died::Killed)));
        }
    }
}

/// FAULTS 53: the last receiver but one takes it, or it is dropped with the channel.
#[test]
fn fault_53_items_are_dropped_exactly_once_whoever_is_killed() {
    let census = Census::new();
    for (sender, receiver) in [channel(), bounded(0), bounded(1)] {
        let handed = self::receiver(&receiver);
        sender.try_send(census.one()).unwrap();
        let sends = spawn({
            let (sender, items) = (sender.clone(), [(); 3].map(|()| census.one()));
            move || items.into_iter().for_each(|item| sender.send(item).unwrap())
        });
        handed.kill();
        yield_now();
        assert_eq!(census.alive(), 4);
        sends.kill();
        drop(receiver);
        assert_eq!(census.alive(), 0);
        assert!(sender.send(census.one()).is_err());
        assert_eq!(census.alive(), 0);
    }
}

/// FAULTS 53.
#[test]
fn fault_53_a_killed_sender_takes_its_item_with_it() {
    let (census, (sender, receiver)) = (Census::new(), bounded(0));
    let [killed, stays] = [(); 2].map(|()| self::sender(&sender, census.one()));
    killed.kill();
    assert_eq!(census.alive(), 1);
    drop(receiver.recv().unwrap());
    // It was taken: the kill comes too late for the item.
    stays.kill();
    assert_eq!(census.alive(), 0);
    assert!(receiver.try_recv().is_err());
}

/// FAULTS 53: deadlines and hand-offs in one turn.
#[test]
fn fault_53_what_is_handed_over_in_the_turn_of_the_deadline_counts() {
    let (sender, receiver) = bounded(0);
    let receives = spawn({
        let receiver = receiver.clone();
        move || receiver.recv_timeout(PATIENCE)
    });
    yield_now();
    let_patience_end();
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(receives.wait().unwrap(), Ok(1));
    let sends = spawn(move || sender.send_timeout(2, PATIENCE));
    yield_now();
    let_patience_end();
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(sends.wait().unwrap(), Ok(()));
}

/// FAULTS 2.2.
#[test]
fn channels_work_in_destructors_while_they_unwind() {
    let (sender, receiver) = bounded(0);
    let dies = spawn(move || {
        let _sends = OnDrop(|| sender.send("in an unwind").unwrap());
        sleep(LONG);
    });
    yield_now();
    dies.kill();
    assert_eq!(receiver.recv(), Ok("in an unwind"));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert!(matches!(dies.wait(), Err(Died::Killed)));
}

#[test]
fn what_nobody_receives_is_dropped_with_the_last_receiver() {
    let (census, (sender, receiver)) = (Census::new(), channel());
    (0..3).for_each(|_| sender.send(census.one()).unwrap());
    let clone = receiver.clone();
    drop(receiver);
    assert_eq!(census.alive(), 3);
    drop(clone);
    assert_eq!(census.alive(), 0);
    assert!(sender.is_empty());
    let (sender, receiver) = channel();
    sender.send(census.one()).unwrap();
    drop(sender);
    assert_eq!(census.alive(), 1);
    drop(receiver);
    assert_eq!(census.alive(), 0);
}

/// Items are code of users when they are dropped.
#[test]
fn items_may_hold_ends_of_their_own_channel() {
    struct Holds(RefCell<Vec<Sender<Self>>>, Rc<Cell<u32>>);
    impl Drop for Holds {
        fn drop(&mut self) {
            for sender in self.0.take() {
                assert!(sender.send(Self(RefCell::default(), Rc::clone(&self.1))).is_err());
            }
            self.1.set(self.1.get() + 1);
        }
    }
    let (dropped, (sender, receiver)) = (Rc::new(Cell::new(0)), channel());
    for _ in 0..3 {
        let senders = RefCell::new(vec![sender.clone()]);
        sender.send(Holds(senders, Rc::clone(&dropped))).ok().unwrap();
    }
    drop(sender);
    drop(receiver);
    assert_eq!(dropped.get(), 6);
}

/// crossbeam's `channel_through_channel`.
#[test]
fn channels_go_through_channels() {
    type Nested = Receiver<Box<dyn std::any::Any>>;
    let (sender, receiver) = bounded::<Box<dyn std::any::Any>>(1);
    let depth = 100;
    spawn_n(move || {
        let mut sender = sender;
        for _ in 0..depth {
            let (next, receiver) = bounded(1);
            sender.send(Box::new(receiver)).unwrap();
            sender = next;
        }
    });
    let mut receiver: Nested = receiver;
    for _ in 0..depth {
        receiver = *receiver.recv().unwrap().downcast::<Nested>().unwrap();
    }
    assert!(receiver.recv().is_err());
}

/// Go's `TestPseudoRandomSend` has a sieve of primes as its big brother.
#[test]
fn a_sieve_of_channels_finds_the_primes() {
    let (sender, mut numbers) = bounded(0);
    spawn_n(move || (2..).try_for_each(|n| sender.send(n)));
    let mut primes = Vec::new();
    for _ in 0..25 {
        let prime = numbers.recv().unwrap();
        primes.push(prime);
        let (sender, filtered) = bounded(0);
        spawn_n(move || {
            let not_divided = numbers.iter().filter(|n| n % prime != 0);
            not_divided.map(|n| sender.send(n)).take_while(Result::is_ok).count()
        });
        numbers = filtered;
    }
    assert_eq!(primes.last(), Some(&97));
    assert_eq!(primes.iter().sum::<u32>(), 1060);
}

/// std's `stress_shared`.
#[test]
fn many_senders_and_receivers_pass_everything_on_once() {
    for capacity in [0, 1, 10, usize::MAX] {
        let (sender, receiver) = bounded(capacity);
        let each = rounds(10_000);
        for base in 0..4 {
            let sender = sender.clone();
            spawn_n(move || {
                for n in 0..each {
                    sender.send(base * each + n).unwrap();
                    if n % 13 == 0 {
                        yield_now();
                    }
                }
            });
        }
        drop(sender);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.iter().collect::<Vec<_>>())
            })
            .collect();
        let lists: Vec<Vec<usize>> = join_all(receivers).into_iter().map(Result::unwrap).collect();
        for list in &lists {
            for base in 0..4 {
                let of_one = list.iter().filter(|n| **n / each == base);
                assert!(of_one.is_sorted(), "those of each sender come in order");
            }
        }
        let mut all = lists.concat();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..4 * each));
    }
}

/// crossbeam's `fairness`: whoever receives gets its share. (Not the same: the first of those who wait
/// is the first to be back, and may find the sender waiting.)
#[test]
fn receivers_that_wait_get_their_share() {
    let (sender, receiver) = bounded(0);
    let receivers: Vec<_> = (0..5)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(move || receiver.iter().count())
        })
        .collect();
    yield_now();
    (0..1000).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    let counts: Vec<_> = join_all(receivers).into_iter().map(Result::unwrap).collect();
    assert!(counts.iter().all(|count| *count >= 1000 / 5 / 2), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 1000);
}

/// std's `destroy_upgraded_shared_port_when_sender_still_active` and its like.
#[test]
fn a_send_that_waits_in_a_dropped_channel_ends() {
    let (sender, receiver) = bounded(0);
    let log = Log::new();
    let sends = spawn({
        let log = log.clone();
        move || {
            let SendError(item) = sender.send("item").unwrap_err();
            log.add(item);
        }
    });
    yield_now();
    drop(receiver);
    sends.wait().unwrap();
    assert_eq!(log.take(), ["item"]);
}

#[test]
fn errors_say_what_is_the_matter() {
    assert_eq!(SendError(1).to_string(), "the channel has no receiver any more");
    assert_eq!(format!("{:?}", SendError(1)), "SendError(..)");
    let full = TrySendError::Full(1);
    assert_eq!(
        (full.to_string(), format!("{full:?}")),
        ("the channel is full".into(), "Full(..)".into())
    );
    assert!(full.is_full() && !full.is_disconnected());
    let gone = TrySendError::from(SendError(2));
    assert_eq!(gone, TrySendError::Disconnected(2));
    assert_eq!((gone.to_string(), gone.into_inner()), (SendError(2).to_string(), 2));
    let late = SendTimeoutError::Timeout(1);
    assert_eq!((late.to_string(), late.into_inner()), ("the time was over".into(), 1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    let end = "the channel is empty and has no sender any more";
    assert_eq!(RecvError.to_string(), end);
    assert_eq!(TryRecvError::from(RecvError).to_string(), end);
    assert_eq!(RecvTimeoutError::from(RecvError).to_string(), end);
    assert_eq!(TryRecvError::Empty.to_string(), "the channel is empty");
    assert_eq!(RecvTimeoutError::Timeout.to_string(), "the time was over");
}

/// The other receiver had been told of the end while the last item was on its way to this one, and took
/// that for granted: the item came back to a channel that nobody looked at any more.
#[test]
fn the_last_item_of_a_killed_receiver_goes_to_one_that_was_told_of_the_end() {
    let (sender, receiver) = channel();
    let [first, second] = [(); 2].map(|()| self::receiver(&receiver));
    sender.send("last").unwrap();
    drop(sender);
    first.kill();
    assert_eq!(second.wait().unwrap(), Ok("last"));
    assert_eq!(receiver.recv(), Err(RecvError));
}
