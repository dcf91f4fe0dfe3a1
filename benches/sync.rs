//! Channels, queues and locks of green threads, each beside a baseline of the same run.
//!
//! ```text
//! cargo bench --bench sync                    # the whole table, about 20 seconds
//! cargo bench --bench sync -- --rounds 100 --only channel
//! ```
//!
//! Everything runs on one core, the OS threads of the baselines too. "Round trip" is two green threads
//! that send to each other and wait for the answer; all else is done by one, so that nobody waits.

mod micro;

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::{self, mpsc};
use std::time::Duration;

use evy::spawn;
use evy::sync::{
    Event, Mutex, OnceCell, Queue, Receiver, RwLock, Semaphore, Sender, bounded, channel, select,
};
use evy_runtime::{Reason, WaitList};
use micro::args::Args;
use micro::cpu;
use micro::operation::{Operation, time};
use micro::stopwatch::Stopwatch;

const TURN: Reason = Reason::new(&"its turn");

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    args.end()?;
    cpu::pin(cpu::cores()?.0)?;

    let mut stopwatch = Stopwatch::new(only);
    round_trips(&mut stopwatch);
    items(&mut stopwatch);
    locks(&mut stopwatch);

    stopwatch.run(rounds);
    println!("channels, queues and locks, {rounds} rounds\n\n{}", stopwatch.table());
    std::process::exit(0)
}

/// Two who wait for each other.
fn round_trips(stopwatch: &mut Stopwatch<'_>) {
    stopwatch.add("park and wake, round trip", None, || Box::new(park_and_wake()));
    stopwatch.baseline("std mpsc, OS threads", Box::new(os_threads()));
    stopwatch.add("channel, round trip", Some(30.0), || Box::new(channels(channel(), channel())));
    stopwatch.add("channel of 1, round trip", None, || Box::new(channels(bounded(1), bounded(1))));
    stopwatch.add("channel of 0, round trip", None, || Box::new(channels(bounded(0), bounded(0))));
    stopwatch.add("Queue, round trip", None, || Box::new(queues(usize::MAX)));
    stopwatch.add("Queue of 0, round trip", None, || Box::new(queues(0)));
    stopwatch.add("select! of two channels, round trip", None, || Box::new(selects()));
    stopwatch.add("Semaphore, round trip", None, || Box::new(semaphores()));
}

/// An item in and out again.
fn items(stopwatch: &mut Stopwatch<'_>) {
    let mut deque = VecDeque::new();
    let vec_deque = move |n| {
        time(n, || {
            deque.push_back(black_box(1u64));
            deque.pop_front()
        })
    };
    let (sender, receiver) = mpsc::channel();
    let mpsc = move |n| {
        time(n, || {
            sender.send(black_box(1u64)).expect("there is room");
            receiver.recv().expect("it was sent")
        })
    };
    stopwatch.baseline("VecDeque push + pop", Box::new(vec_deque));
    let queue = |queue: Queue<u64>| {
        move |n| {
            time(n, || {
                queue.put(black_box(1)).expect("there is room");
                queue.get().expect("it was put")
            })
        }
    };
    stopwatch.add("Queue put + get", None, || Box::new(queue(Queue::unbounded())));
    stopwatch.add("Queue put + get, lifo", None, || Box::new(queue(Queue::unbounded().lifo())));
    let by_priority = || Box::new(queue(Queue::unbounded().by_priority())) as Operation<'_>;
    stopwatch.add("Queue put + get, by priority", None, by_priority);
    stopwatch.baseline("std mpsc send + recv", Box::new(mpsc));
    stopwatch.add("channel send + recv", None, || {
        let (sender, receiver) = channel();
        Box::new(move |n| {
            time(n, || {
                sender.send(black_box(1u64)).expect("there is room");
                receiver.recv().expect("it was sent")
            })
        })
    });
    stopwatch.add("channel send + select! of two", None, || {
        let (sender, receiver) = channel();
        let (_other, others) = channel::<u64>();
        Box::new(move |n| {
            time(n, || {
                sender.send(black_box(1u64)).expect("there is room");
                select! {
                    recv(receiver) -> item => item,
                    recv(others) -> item => item,
                }
            })
        })
    });
    stopwatch.add("Event new + send + wait", None, || {
        Box::new(|n| {
            time(n, || {
                let event = Event::new();
                event.send(black_box(1u64)).expect("it is new");
                event.wait()
            })
        })
    });
}

/// Locks that nobody else wants.
fn locks(stopwatch: &mut Stopwatch<'_>) {
    let std_mutex = sync::Mutex::new(1u64);
    let lock = move |n| time(n, || *black_box(&std_mutex).lock().expect("nobody panics") += 1);
    stopwatch.baseline("std Mutex lock + unlock", Box::new(lock));
    stopwatch.add("Mutex lock + unlock", None, || {
        let mutex = Mutex::new(1u64);
        Box::new(move |n| time(n, || *black_box(&mutex).lock() += 1))
    });
    stopwatch.add("Semaphore acquire + release", None, || {
        let semaphore = Semaphore::new(1);
        Box::new(move |n| time(n, || drop(black_box(&semaphore).acquire())))
    });

    let std_lock = Rc::new(sync::RwLock::new(1u64));
    let read_lock = Rc::clone(&std_lock);
    let read = move |n| time(n, || *black_box(&read_lock).read().expect("nobody panics"));
    stopwatch.baseline("std RwLock read + unlock", Box::new(read));
    stopwatch.add("RwLock read + unlock", None, || {
        let lock = RwLock::new(1u64);
        Box::new(move |n| time(n, || *black_box(&lock).read()))
    });
    let write = move |n| time(n, || *black_box(&std_lock).write().expect("nobody panics") += 1);
    stopwatch.baseline("std RwLock write + unlock", Box::new(write));
    stopwatch.add("RwLock write + unlock", None, || {
        let lock = RwLock::new(1u64);
        Box::new(move |n| time(n, || *black_box(&lock).write() += 1))
    });

    let std_cell = sync::OnceLock::from(1u64);
    let get = move |n| time(n, || *black_box(&std_cell).get_or_init(|| 2));
    stopwatch.baseline("std OnceLock get_or_init", Box::new(get));
    stopwatch.add("OnceCell get_or_init", None, || {
        let cell = OnceCell::from(1u64);
        Box::new(move |n| time(n, || *black_box(&cell).get_or_init(|| 2)))
    });
}

fn park_and_wake() -> impl FnMut(u64) -> Duration {
    let (here, there) = (Rc::new(WaitList::new()), Rc::new(WaitList::new()));
    let wait = |list: &WaitList| list.wait(TURN, None, || ()).expect("there is no deadline");
    partner({
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        move || {
            wait(&there);
            here.wake_one();
        }
    });
    move |n| {
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        on_a_green_thread(n, move || {
            there.wake_one();
            wait(&here);
        })
    }
}

fn os_threads() -> impl FnMut(u64) -> Duration {
    let (ping, pings) = mpsc::channel();
    let (pong, pongs) = mpsc::channel();
    std::thread::spawn(move || pings.iter().try_for_each(|n: u64| pong.send(n)));
    move |n| {
        time(n, || {
            ping.send(1).expect("the other one lives");
            pongs.recv().expect("the other one lives");
        })
    }
}

type Ends = (Sender<u64>, Receiver<u64>);

fn channels((ping, pings): Ends, (pong, pongs): Ends) -> impl FnMut(u64) -> Duration {
    partner(move || {
        let item = pings.recv().expect("the other one lives");
        pong.send(item).expect("the other one lives");
    });
    move |n| {
        let (ping, pongs) = (ping.clone(), pongs.clone());
        on_a_green_thread(n, move || {
            ping.send(1).expect("the other one lives");
            pongs.recv().expect("the other one lives");
        })
    }
}

fn queues(capacity: usize) -> impl FnMut(u64) -> Duration {
    let [ping, pong] = [(); 2].map(|()| Rc::new(Queue::bounded(capacity)));
    partner({
        let (ping, pong) = (Rc::clone(&ping), Rc::clone(&pong));
        move || {
            let item: u64 = ping.get().expect("it is open");
            pong.put(item).expect("it is open");
        }
    });
    move |n| {
        let (ping, pong) = (Rc::clone(&ping), Rc::clone(&pong));
        on_a_green_thread(n, move || {
            ping.put(1).expect("it is open");
            pong.get().expect("it is open");
        })
    }
}

fn selects() -> impl FnMut(u64) -> Duration {
    let ((ping, pings), (pong, pongs)) = (channel::<u64>(), channel::<u64>());
    let (other, others) = channel::<u64>();
    let partner_others = others.clone();
    partner(move || {
        let item = select! {
            recv(pings) -> item => item.expect("the other one lives"),
            recv(partner_others) -> item => item.expect("the other one lives"),
        };
        pong.send(item).expect("the other one lives");
    });
    move |n| {
        let (ping, pongs, others) = (ping.clone(), pongs.clone(), others.clone());
        let _open = &other;
        on_a_green_thread(n, move || {
            ping.send(1).expect("the other one lives");
            select! {
                recv(pongs) -> item => item.expect("the other one lives"),
                recv(others) -> item => item.expect("the other one lives"),
            }
        })
    }
}

fn semaphores() -> impl FnMut(u64) -> Duration {
    let [ping, pong] = [(); 2].map(|()| Rc::new(Semaphore::new(0)));
    partner({
        let (ping, pong) = (Rc::clone(&ping), Rc::clone(&pong));
        move || {
            ping.acquire().forget();
            pong.release();
        }
    });
    move |n| {
        let (ping, pong) = (Rc::clone(&ping), Rc::clone(&pong));
        on_a_green_thread(n, move || {
            ping.release();
            pong.acquire().forget();
        })
    }
}

/// A green thread that does `f` again and again, and has begun.
fn partner(f: impl Fn() + 'static) {
    let begun = Rc::new(Cell::new(false));
    evy::spawn_n({
        let begun = Rc::clone(&begun);
        move || {
            begun.set(true);
            loop {
                f();
            }
        }
    });
    while !begun.get() {
        evy::yield_now();
    }
}

/// Times `n` runs of `f` on a green thread of its own, as switches from the OS thread's own stack cost
/// more.
fn on_a_green_thread<R>(n: u64, f: impl FnMut() -> R + 'static) -> Duration {
    spawn(move || time(n, f)).wait().expect("it does not panic")
}
