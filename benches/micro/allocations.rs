//! Counts heap allocations: the bench and the test of the same name print and check what it counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

/// The system's allocator, with a count for each OS thread.
pub(crate) struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` as it is; counting touches a thread-local that needs neither
// memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

/// How often an operation is done while it is counted.
pub(crate) const TIMES: u64 = 1_000;

/// How many allocations `f` makes on this OS thread, done [`TIMES`] times after as many to warm up.
pub(crate) fn count<R>(mut f: impl FnMut() -> R) -> u64 {
    let mut repeat = || (0..TIMES).for_each(|_| drop(black_box(f())));
    repeat();
    let before = COUNT.get();
    repeat();
    COUNT.get() - before
}

/// What is to allocate nothing once it is warm, and what it allocated.
pub(crate) fn operations() -> Vec<(&'static str, u64)> {
    use evy::{sleep, spawn, spawn_n, timeout, yield_now};
    use evy_runtime::{Reason, WaitList};
    use std::rc::Rc;
    use std::time::Duration;

    const TURN: Reason = Reason::new(&"its turn");

    let mut counts = Vec::new();
    let forever = spawn(|| {
        loop {
            yield_now();
        }
    });
    counts.push(("yield_now", count(yield_now)));
    forever.kill();

    let (here, there) = (Rc::new(WaitList::new()), Rc::new(WaitList::new()));
    let partner = spawn({
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        move || {
            loop {
                let _ = there.wait(TURN, None, || ());
                here.wake_one();
            }
        }
    });
    yield_now();
    let round_trip = || {
        there.wake_one();
        let _ = here.wait(TURN, None, || ());
    };
    counts.push(("park and wake, there and back", count(round_trip)));
    partner.kill();

    counts.push(("spawn and wait", count(|| spawn(|| 7).wait())));
    let captured = [7u8; 128];
    let large = || spawn(move || captured.len()).wait();
    counts.push(("spawn and wait, 128 bytes captured", count(large)));
    let detached = || {
        spawn_n(move || captured.len());
        yield_now();
    };
    counts.push(("spawn_n, 128 bytes captured", count(detached)));
    counts.push(("sleep", count(|| sleep(Duration::from_nanos(100)))));
    let in_time = || timeout(Duration::from_secs(60), || ());
    counts.push(("timeout that is not needed", count(in_time)));
    let waiting = || here.wait(TURN, Some(Duration::from_nanos(100)), || ());
    counts.push(("wait that times out", count(waiting)));
    counts.extend(futures());
    counts.extend(sync_operations());
    counts
}

/// The same for futures.
fn futures() -> Vec<(&'static str, u64)> {
    use evy::{Alarm, block_on, spawn};
    use evy_runtime::io::{Direction, GreenFd, Interest};
    use std::cell::RefCell;
    use std::future::{poll_fn, ready};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::task::{Poll, Waker};
    use std::time::Duration;

    let mut counts = vec![("block_on of what is ready", count(|| block_on(ready(7))))];

    // Each leaves its waker for the other and waits until that was called.
    let seat: Rc<RefCell<Option<Waker>>> = Rc::default();
    let swap = |seat: Rc<RefCell<Option<Waker>>>| {
        let mut left = false;
        poll_fn(move |context| {
            if std::mem::replace(&mut left, true) {
                return Poll::Ready(());
            }
            let other = seat.replace(Some(context.waker().clone()));
            if let Some(other) = other {
                other.wake();
            }
            Poll::Pending
        })
    };
    let partner = spawn({
        let seat = Rc::clone(&seat);
        move || {
            loop {
                block_on(swap(Rc::clone(&seat)));
            }
        }
    });
    evy::yield_now();
    counts.push(("futures that wake each other", count(|| block_on(swap(Rc::clone(&seat))))));
    partner.kill();

    let alarm = || block_on(Alarm::after(Duration::from_nanos(100)));
    counts.push(("alarm", count(alarm)));

    let (ours, mut theirs) = UnixStream::pair().expect("two descriptors");
    ours.set_nonblocking(true).expect("it is a socket");
    let fd = GreenFd::new(ours.try_clone().expect("a descriptor").into());
    let mut interest = Interest::new();
    let mut read_that_waits = || {
        let mut sent = false;
        block_on(poll_fn(|context| {
            let poll =
                interest.poll_call(context, &fd, Direction::Read, |_| (&ours).read(&mut [0; 8]));
            if !std::mem::replace(&mut sent, true) {
                theirs.write_all(b"x").expect("there is room");
            }
            poll
        }))
    };
    counts.push(("read by a future that waits", count(|| read_that_waits().expect("it reads"))));
    counts
}

/// What green threads talk to each other by.
fn sync_operations() -> Vec<(&'static str, u64)> {
    use evy::sync::{CappedSemaphore, Condvar, Mutex, Queue, RwLock, Semaphore, channel, select};
    use evy::{spawn, yield_now};
    use std::rc::Rc;

    let mut counts = Vec::new();
    let ((ping, pings), (pong, pongs)) = (channel(), channel());
    let (_other, others) = channel::<u64>();
    let partner = spawn(move || pings.iter().try_for_each(|item: u64| pong.send(item)));
    let round_trip = || {
        ping.send(1).expect("the partner lives");
        pongs.recv()
    };
    counts.push(("channel, round trip", count(round_trip)));
    let selects = || {
        ping.send(1).expect("the partner lives");
        select! {
            recv(pongs) -> item => item,
            recv(others) -> item => item,
        }
    };
    counts.push(("select! of two channels, round trip", count(selects)));
    partner.kill();

    for (name, queue) in [
        ("Queue put and get", Queue::unbounded()),
        ("Queue put and get, by priority", Queue::unbounded().by_priority()),
    ] {
        (0..10).for_each(|n| queue.put(n).expect("it is open"));
        let put_and_get = || {
            queue.put(5).expect("it is open");
            queue.get()
        };
        counts.push((name, count(put_and_get)));
    }
    let queue = Rc::new(Queue::bounded(0));
    let partner = spawn({
        let queue = Rc::clone(&queue);
        move || queue.iter().for_each(drop)
    });
    counts.push(("Queue of 0, put", count(|| queue.put(1))));
    partner.kill();

    let shared = Rc::new((Mutex::new(0), RwLock::new(0), Condvar::new(), Semaphore::new(1)));
    let contends = spawn({
        let shared = Rc::clone(&shared);
        move || {
            loop {
                let _permit = shared.3.acquire();
                let (mut mutex, mut lock) = (shared.0.lock(), shared.1.write());
                *mutex += 1;
                *lock += 1;
                shared.2.notify_one();
                yield_now();
            }
        }
    });
    yield_now();
    counts.push(("Mutex that is contended for", count(|| *shared.0.lock())));
    counts.push(("RwLock that is contended for", count(|| *shared.1.read())));
    counts.push(("Semaphore that is contended for", count(|| drop(shared.3.acquire()))));
    counts.push(("Condvar wait", count(|| *shared.2.wait(shared.0.lock()))));
    contends.kill();

    let semaphore = CappedSemaphore::new(1, 1);
    let there_and_back = || {
        semaphore.acquire();
        semaphore.release();
    };
    counts.push(("CappedSemaphore acquire and release", count(there_and_back)));
    counts
}
