//! `Queue`: SEMANTICS 3 C, rows 52 to 63, and that no item is ever lost.

mod util;

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, current, sleep, spawn, timeout, yield_now};
use evy_sync::{GetError, PutError, Queue};
use util::{
    Census, LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end,
    panic_of, settle, start, yields,
};

fn getter<T: 'static>(queue: &Rc<Queue<T>>) -> GreenThread<Result<T, GetError>> {
    start(queue, Queue::get)
}

fn putter<T: 'static>(queue: &Rc<Queue<T>>, item: T) -> GreenThread<Result<(), PutError<T>>> {
    start(queue, move |queue| queue.put(item))
}

fn counts<T>(queue: &Queue<T>) -> (usize, usize, usize) {
    (queue.len(), queue.getting(), queue.putting())
}

/// What can be got now.
fn drain<T>(queue: &Queue<T>) -> Vec<T> {
    queue.try_iter().collect()
}

fn new<T>(queue: Queue<T>) -> Rc<Queue<T>> {
    Rc::new(queue)
}

/// Row 52.
#[test]
fn the_third_put_into_a_queue_of_two_waits_for_a_get() {
    let (queue, log) = (new(Queue::bounded(2)), Log::new());
    let putter = start(&queue, {
        let log = log.clone();
        move |queue| {
            for n in 0..3 {
                queue.put(n).unwrap();
                log.add(n.to_string());
            }
        }
    });
    settle();
    assert_eq!(log.take(), ["0", "1"]);
    assert_eq!(counts(&queue), (2, 0, 1));
    assert_eq!(queue.get(), Ok(0));
    assert_eq!(counts(&queue), (2, 0, 0));
    putter.wait().unwrap();
    assert_eq!((log.take(), drain(&queue)), (vec!["2".to_owned()], vec![1, 2]));
}

/// Row 53.
#[test]
fn a_rendezvous_put_returns_only_after_the_get() {
    let queue = new(Queue::bounded(0));
    let putter = putter(&queue, "hi");
    settle();
    assert!(!putter.is_finished());
    assert!(queue.is_empty() && queue.is_full());
    assert_eq!(counts(&queue), (0, 0, 1));
    assert_eq!(queue.get(), Ok("hi"));
    assert_eq!(putter.wait().unwrap(), Ok(()));
}

/// Row 53: upstream's `test_channel_send`.
#[test]
fn a_rendezvous_lets_the_getter_go_on_first() {
    let (queue, log) = (new(Queue::bounded(0)), Log::new());
    drop(spawn({
        let (queue, log) = (Rc::clone(&queue), log.clone());
        move || queue.iter().for_each(|item: &str| log.add(item))
    }));
    log.add("sending");
    queue.put("hello").unwrap();
    log.add("sent hello");
    queue.put("world").unwrap();
    log.add("sent world");
    assert_eq!(log.take(), ["sending", "hello", "sent hello", "world", "sent world"]);
}

/// Row 53: upstream's `test_channel_wait`.
#[test]
fn a_rendezvous_getter_that_comes_first_goes_on_first() {
    let (queue, log) = (new(Queue::bounded(0)), Log::new());
    drop(spawn({
        let (queue, log) = (Rc::clone(&queue), log.clone());
        move || {
            log.add("sending");
            queue.put("hello").unwrap();
            log.add("sent hello");
            queue.put("world").unwrap();
            log.add("sent world");
        }
    }));
    log.add("waiting");
    log.add(queue.get().unwrap());
    log.add(queue.get().unwrap());
    settle();
    let expected = ["waiting", "sending", "hello", "sent hello", "world", "sent world"];
    assert_eq!(log.take(), expected);
}

/// Row 54.
#[test]
fn a_rendezvous_put_that_times_out_takes_its_item_back() {
    let queue = new(Queue::bounded(0));
    let begun = Instant::now();
    assert_eq!(queue.put_timeout("late", SOON), Err(PutError::Full("late")));
    assert!(begun.elapsed() >= SOON);
    assert!(timeout(SOON, || queue.put("later")).is_err());
    assert_eq!(counts(&queue), (0, 0, 0));
    assert_eq!(queue.try_get(), Err(GetError::Empty));
    assert_eq!(queue.get_timeout(SOON), Err(GetError::Empty));
    assert_nothing_is_registered();
}

/// Row 55.
#[test]
fn getters_and_putters_of_a_rendezvous_pair_up_in_order() {
    let queue = new(Queue::bounded(0));
    let getters = [(); 3].map(|()| getter(&queue));
    let putters = [1, 2, 3].map(|n| putter(&queue, n));
    assert_eq!(getters.map(|getter| getter.wait().unwrap().unwrap()), [1, 2, 3]);
    let others = [4, 5, 6].map(|n| putter(&queue, n));
    let getters = [(); 3].map(|()| getter(&queue));
    assert_eq!(getters.map(|getter| getter.wait().unwrap().unwrap()), [4, 5, 6]);
    assert!(putters.into_iter().chain(others).all(|putter| putter.wait().unwrap().is_ok()));
    assert_eq!(counts(&queue), (0, 0, 0));
}

/// Row 56: upstream's `test_two_waiters_one_dies`, `test_two_bogus_waiters`, `test_waiters_that_cancel`.
#[test]
fn fault_53_a_getter_that_gave_up_swallows_no_item() {
    for capacity in [0, 1, usize::MAX] {
        let queue = new(Queue::bounded(capacity));
        let bogus = start(&queue, |queue| timeout(SOON, || queue.get()).is_err());
        let late = start(&queue, |queue| queue.get_timeout(SOON));
        let killed = getter(&queue);
        let good = getter(&queue);
        killed.kill();
        assert_eq!(queue.getting(), 3);
        sleep(2 * SOON);
        assert!(bogus.wait().unwrap());
        assert_eq!(late.wait().unwrap(), Err(GetError::Empty));
        assert_eq!(queue.getting(), 1);
        queue.put("item").unwrap();
        assert_eq!(good.wait().unwrap(), Ok("item"));
        assert!(matches!(killed.wait(), Err(Died::Killed)));
        // All have given up: a later get has the item.
        let bogus = [(); 2].map(|()| getter(&queue));
        bogus.iter().for_each(GreenThread::kill);
        let later = putter(&queue, "later");
        assert_eq!(queue.get(), Ok("later"));
        later.wait().unwrap().unwrap();
    }
}

/// Row 57.
#[test]
fn fault_53_ten_puts_reach_ten_good_getters_beside_ten_killed_ones() {
    let queue = new(Queue::bounded(0));
    let rounds: Vec<_> = (0..10).map(|_| (getter(&queue), getter(&queue))).collect();
    rounds.iter().for_each(|(_, bad)| bad.kill());
    for n in 0..10 {
        assert_eq!(queue.try_put(n), Ok(()));
    }
    assert_eq!(queue.try_put(10), Err(PutError::Full(10)));
    for (n, (good, bad)) in rounds.into_iter().enumerate() {
        assert_eq!(good.wait().unwrap(), Ok(n));
        assert!(matches!(bad.wait(), Err(Died::Killed)));
    }
}

/// FAULTS 53, D9: eventlet keeps it, gevent loses it.
#[test]
fn fault_53_the_item_of_a_getter_killed_after_the_hand_off_goes_to_the_next() {
    for capacity in [0, 1, usize::MAX] {
        let queue = new(Queue::bounded(capacity));
        let [first, second, third] = [(); 3].map(|()| getter(&queue));
        assert_eq!((queue.try_put("a"), queue.try_put("b")), (Ok(()), Ok(())));
        // Both are handed over; the third is next in line.
        first.kill();
        assert_eq!(counts(&queue), (0, 0, 0));
        assert_eq!(second.wait().unwrap(), Ok("b"));
        assert_eq!(third.wait().unwrap(), Ok("a"));
    }
}

/// FAULTS 53, D9.
#[test]
fn fault_53_the_item_of_a_getter_killed_after_the_hand_off_goes_back_to_the_front() {
    let queue = new(Queue::bounded(1));
    let killed = getter(&queue);
    queue.try_put("a").unwrap();
    queue.try_put("b").unwrap();
    let waits = putter(&queue, "c");
    // The yield of `putter` let the getter go on: hand over once more.
    assert_eq!(killed.wait().unwrap(), Ok("a"));
    assert_eq!(drain(&queue), ["b", "c"]);
    waits.wait().unwrap().unwrap();

    let killed = getter(&queue);
    queue.try_put("a").unwrap();
    queue.try_put("b").unwrap();
    killed.kill();
    assert_eq!(counts(&queue), (2, 0, 0), "over its capacity");
    assert!(queue.is_full());
    let waits = putter(&queue, "c");
    assert_eq!(queue.get(), Ok("a"));
    assert_eq!(counts(&queue), (1, 0, 1), "no room for the putter yet");
    assert_eq!(queue.get(), Ok("b"));
    assert_eq!(queue.get(), Ok("c"));
    waits.wait().unwrap().unwrap();
}

/// FAULTS 53: a rendezvous holds nothing, but for this.
#[test]
fn fault_53_a_rendezvous_keeps_the_item_of_a_killed_getter() {
    let queue = new(Queue::bounded(0));
    let killed = getter(&queue);
    assert_eq!(queue.try_put(1), Ok(()));
    killed.kill();
    assert_eq!(counts(&queue), (1, 0, 0));
    let putter = putter(&queue, 2);
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(counts(&queue), (0, 0, 1));
    assert_eq!(queue.get(), Ok(2));
    putter.wait().unwrap().unwrap();
}

/// FAULTS 53: whatever the order in which the getters are killed.
#[test]
fn fault_53_items_that_come_back_stand_where_they_stood() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        for (queue, expected) in
            [(Queue::unbounded(), [0, 1, 2, 3]), (Queue::unbounded().lifo(), [3, 2, 1, 0])]
        {
            let queue = new(queue);
            let getters = [(); 3].map(|()| getter(&queue));
            (0..4).for_each(|n| queue.try_put(n).unwrap());
            order.into_iter().for_each(|at| getters[at].kill());
            assert_eq!(drain(&queue), expected, "{order:?}");
        }
        let queue = new(Queue::unbounded().by_priority());
        let getters = [(); 3].map(|()| getter(&queue));
        for item in [Pair(2, 'a'), Pair(1, 'b'), Pair(2, 'c'), Pair(2, 'd'), Pair(0, 'e')] {
            queue.try_put(item).unwrap();
        }
        order.into_iter().for_each(|at| getters[at].kill());
        let names: String = queue.try_iter().map(|Pair(_, name)| name).collect();
        assert_eq!(names, "ebacd", "{order:?}");
    }
}

/// Ordered by the number alone.
#[derive(Debug)]
struct Pair(u32, char);

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// FAULTS 53: the deadline and the put in one turn.
#[test]
fn fault_53_an_item_put_in_the_turn_of_the_deadline_is_got() {
    let queue = new(Queue::unbounded());
    let getter = start(&queue, |queue| queue.get_timeout(PATIENCE));
    let_patience_end();
    assert_eq!(queue.getting(), 1, "it is queued, and has not gone on");
    queue.put(1).unwrap();
    assert_eq!(getter.wait().unwrap(), Ok(1));
    assert!(queue.is_empty());
}

/// FAULTS 53: likewise on the other side.
#[test]
fn fault_53_an_item_got_in_the_turn_of_the_putters_deadline_is_put() {
    let queue = new(Queue::bounded(0));
    let putter = start(&queue, |queue| queue.put_timeout(1, PATIENCE));
    let_patience_end();
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(putter.wait().unwrap(), Ok(()));
}

/// FAULTS 53.
#[test]
fn fault_53_a_killed_putter_takes_its_item_with_it() {
    let (queue, census) = (new(Queue::bounded(1)), Census::new());
    queue.put(census.one()).unwrap();
    let [killed, late, stays] = [
        putter(&queue, census.one()),
        start(&queue, {
            let item = census.one();
            move |queue| queue.put_timeout(item, SOON)
        }),
        putter(&queue, census.one()),
    ];
    assert_eq!((counts(&queue), census.alive()), ((1, 0, 3), 4));
    killed.kill();
    assert_eq!((counts(&queue), census.alive()), ((1, 0, 2), 3));
    assert!(matches!(late.wait().unwrap(), Err(PutError::Full(_))));
    assert_eq!((counts(&queue), census.alive()), ((1, 0, 1), 2));
    drop(queue.get().unwrap());
    assert_eq!(counts(&queue), (1, 0, 0));
    // Its item is in the queue already: it cannot be taken back.
    stays.kill();
    assert_eq!((counts(&queue), census.alive()), ((1, 0, 0), 1));
    drop(queue);
    assert_eq!(census.alive(), 0);
}

/// Row 58.
#[test]
fn resizing_up_frees_putters_in_order() {
    let queue = new(Queue::bounded(0));
    let putters = [1, 2, 3, 4].map(|n| putter(&queue, n));
    settle();
    queue.resize(1);
    settle();
    let is_finished = |putter: &GreenThread<_>| putter.is_finished();
    assert_eq!(putters.each_ref().map(is_finished), [true, false, false, false]);
    queue.resize(2);
    settle();
    assert_eq!(putters.each_ref().map(is_finished), [true, true, false, false]);
    queue.resize(None);
    assert_eq!(queue.capacity(), None);
    settle();
    assert_eq!(putters.each_ref().map(is_finished), [true; 4]);
    assert_eq!(drain(&queue), [1, 2, 3, 4]);
}

/// Row 58.
#[test]
fn resizing_down_keeps_the_items() {
    let queue = new(Queue::bounded(4));
    (0..4).for_each(|n| queue.put(n).unwrap());
    queue.resize(1);
    assert_eq!(queue.capacity(), Some(1));
    let putter = putter(&queue, 4);
    assert_eq!([(); 3].map(|()| queue.get().unwrap()), [0, 1, 2]);
    settle();
    assert!(!putter.is_finished());
    assert_eq!([(); 2].map(|()| queue.get().unwrap()), [3, 4]);
    putter.wait().unwrap().unwrap();
}

/// Row 59.
#[test]
fn getting_and_putting_count_who_waits() {
    let queue = new(Queue::bounded(0));
    assert_eq!(counts(&queue), (0, 0, 0));
    let getters = [(); 2].map(|()| getter(&queue));
    assert_eq!(counts(&queue), (0, 2, 0));
    queue.put(1).unwrap();
    assert_eq!(counts(&queue), (0, 1, 0));
    queue.put(2).unwrap();
    let putters = [3, 4].map(|n| putter(&queue, n));
    assert_eq!(counts(&queue), (0, 0, 2));
    assert_eq!(queue.get(), Ok(3));
    assert_eq!(counts(&queue), (0, 0, 1));
    putters[1].kill();
    assert_eq!(counts(&queue), (0, 0, 0));
    drop((getters, putters));
}

/// Row 60.
#[test]
fn try_put_and_try_get_never_wait() {
    let queue = new(Queue::bounded(1));
    assert_eq!(queue.try_get(), Err(GetError::Empty));
    assert_eq!(queue.try_put(1), Ok(()));
    assert_eq!(queue.try_put(2), Err(PutError::Full(2)));
    assert!(!yields(|| queue.try_put(2)));
    // A putter waits: its item moves up, and it goes on.
    let putter = putter(&queue, 2);
    assert_eq!(queue.try_get(), Ok(1));
    assert_eq!(putter.wait().unwrap(), Ok(()));
    assert_eq!(queue.try_get(), Ok(2));
    assert!(!yields(|| queue.try_get()));
    let rendezvous = new(Queue::bounded(0));
    let getter = getter(&rendezvous);
    assert!(!yields(|| rendezvous.try_put(3)));
    assert_eq!(getter.wait().unwrap(), Ok(3));
    let putter = start(&rendezvous, |queue| queue.put(4));
    assert_eq!(rendezvous.try_get(), Ok(4));
    putter.wait().unwrap().unwrap();
}

/// Row 60: upstream's are called from the hub; here that may be a hook or a destructor in an unwind.
#[test]
fn try_put_and_try_get_work_in_hooks_and_destructors() {
    let queue = new(Queue::bounded(0));
    let waits = getter(&queue);
    let ends = spawn(|| ());
    ends.on_exit({
        let queue = Rc::clone(&queue);
        move |_| queue.try_put("hook").unwrap()
    });
    assert_eq!(waits.wait().unwrap(), Ok("hook"));
    let waits = getter(&queue);
    let dies = start(&queue, |queue| {
        let queue = OnDrop(|| queue.try_put("drop").unwrap());
        sleep(LONG);
        drop(queue);
    });
    dies.kill();
    assert_eq!(waits.wait().unwrap(), Ok("drop"));
    let puts = putter(&queue, "item");
    let got = Rc::new(RefCell::new(None));
    let dies = start(&queue, {
        let got = Rc::clone(&got);
        move |queue| {
            let _get = OnDrop(|| *got.borrow_mut() = Some(queue.try_get()));
            sleep(LONG);
        }
    });
    dies.kill();
    assert_eq!(got.take(), Some(Ok("item")));
    puts.wait().unwrap().unwrap();
}

/// FAULTS 2.2: a queue has no error to give, so it suspends in an unwind.
#[test]
fn put_and_get_wait_while_they_unwind() {
    let queue = new(Queue::bounded(0));
    let got = Rc::new(RefCell::new(None));
    let dies = spawn({
        let (queue, got) = (Rc::clone(&queue), Rc::clone(&got));
        move || {
            let _get = OnDrop(|| *got.borrow_mut() = Some(queue.get()));
            let _put = OnDrop(|| queue.put("in an unwind").unwrap());
            panic!("on purpose");
        }
    });
    assert_eq!(queue.get(), Ok("in an unwind"));
    queue.put("answer").unwrap();
    assert!(dies.wait().is_err());
    assert_eq!(got.take(), Some(Ok("answer")));
    assert!(!std::thread::panicking());
}

/// Row 61.
#[test]
fn a_join_of_a_new_queue_returns_at_once() {
    let queue = Queue::<u32>::unbounded();
    assert!(!yields(|| queue.join()));
}

/// Row 61.
#[test]
fn join_waits_for_the_task_done_of_every_item() {
    let queue = new(Queue::bounded(1));
    queue.put(0).unwrap();
    let waits = putter(&queue, 1);
    let joins = [(); 2].map(|()| start(&queue, Queue::join));
    for n in 0..2 {
        assert_eq!(queue.get(), Ok(n));
        settle();
        assert!(joins.iter().all(|join| !join.is_finished()));
        queue.task_done();
    }
    joins.into_iter().for_each(|join| join.wait().unwrap());
    waits.wait().unwrap().unwrap();
    assert!(!yields(|| queue.join()));
    // Items that are handed over directly count, too.
    let getter = getter(&queue);
    queue.put(2).unwrap();
    getter.wait().unwrap().unwrap();
    assert!(timeout(Duration::ZERO, || queue.join()).is_err());
    queue.task_done();
    queue.join();
}

/// Row 61.
#[test]
fn one_task_done_too_many_panics() {
    let queue = Queue::unbounded();
    assert!(panic_of(|| queue.task_done()).contains("more often than items were put"));
    queue.put(1).unwrap();
    queue.task_done();
    assert!(panic_of(|| queue.task_done()).contains("more often than items were put"));
    queue.join();
}

/// Row 61: an item that a putter took back is not waited for.
#[test]
fn join_does_not_count_what_was_not_put() {
    let queue = new(Queue::bounded(0));
    assert!(queue.put_timeout(1, Duration::ZERO).is_err());
    putter(&queue, 2).kill();
    assert!(!yields(|| queue.join()));
}

/// Row 62.
#[test]
fn by_priority_the_least_comes_first_and_equal_ones_in_order() {
    let queue = Queue::unbounded().by_priority();
    for item in [Pair(3, 'd'), Pair(1, 'a'), Pair(3, 'e'), Pair(2, 'c'), Pair(1, 'b')] {
        queue.put(item).unwrap();
    }
    let names: String = queue.try_iter().map(|Pair(_, name)| name).collect();
    assert_eq!(names, "abcde");
    let queue = Queue::unbounded().by_priority();
    (0..100).for_each(|n| queue.put(Reverse(n * 37 % 100)).unwrap());
    let numbers: Vec<_> = queue.try_iter().map(|Reverse(n)| n).collect();
    assert_eq!(numbers, (0..100).rev().collect::<Vec<_>>());
}

/// Row 62.
#[test]
fn lifo_gives_the_last_first() {
    let queue = new(Queue::bounded(3).lifo());
    (0..3).for_each(|n| queue.put(n).unwrap());
    let putter = putter(&queue, 3);
    // What moves up came last.
    assert_eq!([(); 4].map(|()| queue.get().unwrap()), [2, 3, 1, 0]);
    putter.wait().unwrap().unwrap();
}

#[test]
fn an_order_can_be_given_to_a_queue_that_has_items() {
    let filled = || {
        let queue = Queue::unbounded();
        [2, 3, 1].into_iter().for_each(|n| queue.put(n).unwrap());
        queue
    };
    assert_eq!(drain(&filled().lifo()), [1, 3, 2]);
    assert_eq!(drain(&filled().by_priority()), [1, 2, 3]);
    let sorted = filled().by_priority();
    assert_eq!(sorted.get(), Ok(1));
    sorted.put(0).unwrap();
    assert_eq!(drain(&sorted.lifo()), [0, 3, 2]);
}

/// Row 63, D8.
#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let queue = new(Queue::bounded(0));
    let getters: Vec<_> = (0..10).map(|_| getter(&queue)).collect();
    (0..10).for_each(|n| queue.try_put(n).unwrap());
    for (n, getter) in getters.into_iter().enumerate() {
        assert_eq!(getter.wait().unwrap(), Ok(n));
    }
    let putters: Vec<_> = (0..10).map(|n| putter(&queue, n)).collect();
    assert_eq!((0..10).map(|_| queue.get().unwrap()).collect::<Vec<_>>(), Vec::from_iter(0..10));
    putters.into_iter().for_each(|putter| putter.wait().unwrap().unwrap());
}

/// D8: nobody comes between the hand-off and the resume.
#[test]
fn nobody_takes_what_was_handed_to_another() {
    let queue = new(Queue::unbounded());
    let waits = getter(&queue);
    queue.put("item").unwrap();
    assert_eq!(queue.try_get(), Err(GetError::Empty));
    assert_eq!(waits.wait().unwrap(), Ok("item"));
    let queue = new(Queue::bounded(1));
    queue.put("first").unwrap();
    let waits = putter(&queue, "second");
    assert_eq!(queue.get(), Ok("first"));
    assert_eq!(queue.try_put("barges"), Err(PutError::Full("barges")));
    waits.wait().unwrap().unwrap();
    assert_eq!(queue.get(), Ok("second"));
}

#[test]
fn closing_gives_putters_their_items_back() {
    let queue = new(Queue::bounded(1));
    queue.put(0).unwrap();
    let waits = putter(&queue, 1);
    let late = start(&queue, |queue| queue.put_timeout(2, LONG));
    queue.close();
    queue.close();
    assert!(queue.is_closed());
    assert_eq!(waits.wait().unwrap(), Err(PutError::Closed(1)));
    assert_eq!(late.wait().unwrap(), Err(PutError::Closed(2)));
    assert_eq!(queue.put(3), Err(PutError::Closed(3)));
    assert_eq!(queue.try_put(4), Err(PutError::Closed(4)));
    assert_eq!(queue.get(), Ok(0));
    assert_eq!(queue.get(), Err(GetError::Closed));
    assert_eq!(queue.try_get(), Err(GetError::Closed));
    assert_eq!(queue.get_timeout(LONG), Err(GetError::Closed));
    assert_nothing_is_registered();
}

#[test]
fn closing_ends_the_getters_that_wait() {
    for capacity in [0, 1, usize::MAX] {
        let queue = new(Queue::<u32>::bounded(capacity));
        let waits = [getter(&queue), start(&queue, |queue| queue.get_timeout(LONG))];
        let iterates = start(&queue, |queue| queue.iter().count());
        queue.close();
        for getter in waits {
            assert_eq!(getter.wait().unwrap(), Err(GetError::Closed));
        }
        assert_eq!(iterates.wait().unwrap(), 0);
    }
}

/// FAULTS 53.
#[test]
fn fault_53_an_item_that_comes_back_after_the_close_can_be_got() {
    let queue = new(Queue::unbounded());
    let killed = getter(&queue);
    queue.put(1).unwrap();
    queue.close();
    killed.kill();
    assert_eq!(queue.iter().collect::<Vec<_>>(), [1]);
    // And one that was told of the end does not keep it for itself.
    let queue = new(Queue::<u32>::unbounded());
    let [killed, other] = [(); 2].map(|()| getter(&queue));
    queue.close();
    killed.kill();
    assert_eq!(other.wait().unwrap(), Err(GetError::Closed));
}

#[test]
fn iteration_ends_when_the_queue_is_closed_and_empty() {
    let queue = new(Queue::bounded(2));
    let producer = start(&queue, |queue| {
        (0..10).for_each(|n| queue.put(n).unwrap());
        queue.close();
    });
    let mut sum = 0;
    for item in &*queue {
        sum += item;
    }
    assert_eq!(sum, 45);
    producer.wait().unwrap();
}

#[test]
fn each_item_is_dropped_exactly_once() {
    let census = Census::new();
    for queue in [Queue::unbounded(), Queue::bounded(3), Queue::unbounded().lifo()] {
        let queue = new(queue);
        (0..3).for_each(|_| queue.put(census.one()).unwrap());
        drop(queue.get().unwrap());
        assert_eq!(census.alive(), 2);
        drop(queue);
        assert_eq!(census.alive(), 0);
    }
}

/// An item's destructor is code of users.
#[test]
fn destructors_of_items_may_use_the_queue() {
    struct Uses(Option<Rc<Queue<Self>>>, Rc<Cell<usize>>);
    impl Drop for Uses {
        fn drop(&mut self) {
            if let Some(queue) = self.0.take() {
                self.1.set(self.1.get() + 1);
                let _ = queue.try_put(Self(None, Rc::clone(&self.1)));
                drop(queue.try_get());
            }
        }
    }
    let (queue, dropped) = (new(Queue::bounded(1)), Rc::new(Cell::new(0)));
    let uses = || Uses(Some(Rc::clone(&queue)), Rc::clone(&dropped));
    queue.put(uses()).unwrap();
    drop(queue.get().unwrap());
    drop(queue.try_put(uses()));
    drop(queue.try_put(uses()));
    queue.put(uses()).unwrap();
    assert!(dropped.get() >= 2);
    while queue.try_get().is_ok() {}
    assert!(queue.is_empty());
}

/// Compares as it is told to.
struct Odd {
    number: u32,
    what: Rc<dyn Fn()>,
    _counted: util::Counted,
}

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Odd {}

impl PartialOrd for Odd {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Odd {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.what)();
        self.number.cmp(&other.number)
    }
}

/// A comparison that panics does so in the call that takes an item out, wherever in it.
#[test]
fn comparisons_that_panic_lose_no_item_and_no_order() {
    for fatal in 1..=10 {
        let (census, left) = (Census::new(), Rc::new(Cell::new(fatal)));
        let what: Rc<dyn Fn()> = Rc::new({
            let left = Rc::clone(&left);
            move || {
                left.set(left.get() - 1);
                if left.get() == 0 {
                    panic!("on purpose");
                }
            }
        });
        let queue = Queue::unbounded().by_priority();
        for number in [5, 3, 8, 1, 9, 2] {
            let odd = Odd { number, what: Rc::clone(&what), _counted: census.one() };
            queue.put(odd).unwrap();
        }
        let mut numbers = Vec::new();
        while !queue.is_empty() {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.try_get())) {
                Ok(item) => numbers.push(item.unwrap().number),
                Err(_) => assert_eq!(queue.len(), 6 - numbers.len()),
            }
        }
        assert!(left.get() <= 0, "it has panicked");
        assert_eq!(numbers, [1, 2, 3, 5, 8, 9], "{fatal}");
        assert_eq!(census.alive(), 0);
    }
}

/// Whoever comes while items are compared finds them when they are back.
#[test]
fn comparisons_that_park_hold_nobody_up_for_ever() {
    let census = Census::new();
    let queue = new(Queue::bounded(4).by_priority());
    let parks: Rc<dyn Fn()> = Rc::new(yield_now);
    let odd = |number| Odd { number, what: Rc::clone(&parks), _counted: census.one() };
    (0..4).for_each(|n| queue.put(odd(4 - n)).unwrap());
    let putter = putter(&queue, odd(0));
    let getters = [(); 4].map(|()| start(&queue, |queue| queue.get().map(|odd| odd.number)));
    assert!(queue.getting() > 0, "they found it empty");
    let mut numbers = getters.map(|getter| getter.wait().unwrap().unwrap()).to_vec();
    numbers.push(queue.get().unwrap().number);
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    putter.wait().unwrap().ok().unwrap();
    assert_eq!((counts(&queue), census.alive()), ((0, 0, 0), 0));
}

/// FAULTS 53: killed in the middle of a comparison.
#[test]
fn fault_53_a_getter_killed_while_it_compares_puts_everything_back() {
    let census = Census::new();
    let parking = Rc::new(Cell::new(true));
    let queue = new(Queue::unbounded().by_priority());
    let parks: Rc<dyn Fn()> = Rc::new({
        let parking = Rc::clone(&parking);
        move || {
            if parking.get() {
                sleep(LONG);
            }
        }
    });
    for number in [2, 1] {
        let odd = Odd { number, what: Rc::clone(&parks), _counted: census.one() };
        queue.put(odd).unwrap();
    }
    let killed = getter(&queue);
    let [waits, ends] = [(); 2].map(|()| start(&queue, |queue| queue.get().map(|odd| odd.number)));
    assert_eq!((counts(&queue), killed.is_finished()), ((2, 2, 0), false));
    parking.set(false);
    killed.kill();
    // Who waits is served at once, with any of them.
    assert_eq!(counts(&queue), (0, 0, 0));
    let mut numbers = [waits, ends].map(|getter| getter.wait().unwrap().unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(census.alive(), 0);
}

/// The end is told to those who found the queue empty while its items were compared.
#[test]
fn a_queue_closed_while_items_are_compared_ends_all_getters() {
    let queue = new(Queue::unbounded().by_priority());
    let census = Census::new();
    let parks: Rc<dyn Fn()> = Rc::new(yield_now);
    for number in [2, 1] {
        let odd = Odd { number, what: Rc::clone(&parks), _counted: census.one() };
        queue.put(odd).unwrap();
    }
    let getters = [(); 3].map(|()| start(&queue, |queue| queue.get().map(|odd| odd.number)));
    assert!(queue.getting() > 0);
    queue.close();
    let mut ends = getters.map(|getter| getter.wait().unwrap().ok());
    ends.sort_unstable();
    assert_eq!(ends, [None, Some(1), Some(2)]);
}

#[test]
fn comparisons_may_use_the_queue_that_they_are_made_by() {
    let census = Census::new();
    let queue = new(Queue::unbounded().by_priority());
    let used = Rc::new(Cell::new(0));
    let uses: Rc<dyn Fn()> = Rc::new({
        let (queue, used) = (Rc::downgrade(&queue), Rc::clone(&used));
        move || {
            let queue: Rc<Queue<Odd>> = queue.upgrade().unwrap();
            used.set(used.get() + 1);
            if used.get() < 10 {
                assert!(!queue.is_empty());
                drop(queue.try_get());
            }
        }
    });
    for number in [3, 1, 2] {
        let odd = Odd { number, what: Rc::clone(&uses), _counted: census.one() };
        queue.put(odd).unwrap();
    }
    assert_eq!(queue.get().unwrap().number, 1);
    assert!(used.get() > 0);
    assert_eq!(queue.len() as isize, census.alive());
    drop(queue);
    assert_eq!(census.alive(), 0);
}

/// Who waits is on its own stack: an item needs no `Send`, and may know its green thread.
#[test]
fn items_are_got_by_the_green_threads_that_ask_for_them() {
    let queue = new(Queue::bounded(1));
    let getters = [(); 3].map(|()| {
        start(&queue, |queue| {
            let item: Rc<u32> = queue.get().unwrap();
            (current(), *item)
        })
    });
    (0..3).for_each(|n| queue.put(Rc::new(n)).unwrap());
    for (n, getter) in getters.into_iter().enumerate() {
        let id = getter.id();
        assert_eq!(getter.wait().unwrap(), (id, n as u32));
    }
}
