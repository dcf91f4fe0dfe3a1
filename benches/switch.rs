//! Switches, waits, spawns and kills, each beside a baseline of the same run.
//!
//! ```text
//! cargo bench --bench switch                    # the whole table, about 20 seconds
//! cargo bench --bench switch -- --rounds 100 --only yield
//! ```
//!
//! Everything runs on one core, the OS threads of the baselines too. "Through three frames" is a
//! `yield_now` in a function that is called by a function that is called by a function, none inlined:
//! a switch then mispredicts their returns, as it does in real programs.

mod micro;

use evy::{GreenThread, spawn, spawn_n, timeout, yield_now};
use evy_runtime::{Reason, WaitList};
use micro::args::Args;
use micro::operation::{Operation, time};
use micro::stopwatch::Stopwatch;
use micro::{bare, cpu};
use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const TURN: Reason = Reason::new(&"its turn");

/// Green threads that are spawned or killed in one go.
const BATCH: u64 = 1_000;

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    args.end()?;
    cpu::pin(cpu::cores()?.0)?;

    let mut stopwatch = Stopwatch::new(only);
    stopwatch.add("the bare pair again", None, || Box::new(bare::switch_there_and_back()));
    for (threads, goal) in [(2, 10.0), (1_000, 12.0)] {
        let ring = || Ring::new(threads, yield_now).operation();
        stopwatch.add(format!("yield_now, {threads}"), Some(goal), ring);
    }
    for threads in [2, 1_000] {
        let ring = || Ring::new(threads, through_three_frames).operation();
        stopwatch.add(format!("yield_now, {threads}, through three frames"), Some(45.0), ring);
    }
    stopwatch.add("timeout of nothing", None, || Box::new(timeouts()));

    stopwatch.baseline("a line of each of as many pages", Box::new(bare::walk(100_000)));
    stopwatch.add("yield_now, 100000", Some(30.0), || Ring::new(100_000, yield_now).operation());
    stopwatch.add("yield_now, 100000, through three frames", None, || {
        Ring::new(100_000, through_three_frames).operation()
    });

    stopwatch.baseline("mpsc, OS threads", Box::new(ping_pong()));
    stopwatch.add("park and wake, there and back", None, || Box::new(hand_over()));

    stopwatch.baseline("std spawn + join", Box::new(os_spawns));
    stopwatch.add("spawn + wait", Some(40.0), || Box::new(spawns::<0>));
    stopwatch.add("spawn + wait, 64 B captured", None, || Box::new(spawns::<64>));
    stopwatch.add("spawn + wait, 128 B captured", None, || Box::new(spawns::<128>));
    stopwatch.add("spawn + wait by a green thread", Some(40.0), || Box::new(green_spawns));
    stopwatch.add("spawn_n, 1,000 at once", None, || Box::new(batches));
    stopwatch.add("kill before the first run + wait", None, || Box::new(kills_unstarted));
    stopwatch.add("kill where it is parked + wait", None, || Box::new(kills_parked));

    stopwatch.baseline("mmap, guard, touch, munmap", Box::new(mappings));
    stopwatch.add("first spawn and run on a stack", Some(5_000.0), || Box::new(fresh_stacks));

    stopwatch.run(rounds);
    println!("operations of green threads, {rounds} rounds\n\n{}", stopwatch.table());
    std::process::exit(0)
}

/// Green threads that yield to each other, or all wait for the next sample.
struct Ring {
    threads: u64,
    /// What is left to do.
    laps: Cell<u64>,
    took: Cell<Duration>,
    gate: WaitList,
    done: WaitList,
}

impl Ring {
    fn new(threads: u64, step: impl Fn() + Copy + 'static) -> Rc<Self> {
        let ring = Rc::new(Self {
            threads,
            laps: Cell::new(0),
            took: Cell::new(Duration::ZERO),
            gate: WaitList::new(),
            done: WaitList::new(),
        });
        let leader = Rc::clone(&ring);
        spawn_n(move || leader.lead(step));
        for _ in 1..threads {
            let member = Rc::clone(&ring);
            spawn_n(move || member.follow(step));
        }
        yield_now();
        ring
    }

    fn lead(&self, step: impl Fn()) {
        loop {
            wait(&self.gate);
            let start = Instant::now();
            while self.laps.get() > 0 {
                self.laps.set(self.laps.get() - 1);
                step();
            }
            self.took.set(start.elapsed());
            self.done.wake_one();
        }
    }

    fn follow(&self, step: impl Fn()) {
        loop {
            wait(&self.gate);
            while self.laps.get() > 0 {
                step();
            }
        }
    }

    fn operation(self: Rc<Self>) -> Operation<'static> {
        Box::new(move |n| {
            let laps = n.div_ceil(self.threads);
            self.laps.set(laps);
            self.gate.wake_all();
            wait(&self.done);
            // So that those who still run see the end.
            yield_now();
            self.took.get().mul_f64(n as f64 / (laps * self.threads) as f64)
        })
    }
}

#[inline(always)]
fn wait(list: &WaitList) {
    let _ = list.wait(TURN, None, || ());
}

fn through_three_frames() {
    black_box(outer(black_box(1)));
}

#[inline(never)]
fn outer(n: u64) -> u64 {
    middle(n + 1) ^ 3
}

#[inline(never)]
fn middle(n: u64) -> u64 {
    inner(n * 3).rotate_left(1)
}

#[inline(never)]
fn inner(n: u64) -> u64 {
    yield_now();
    n + 5
}

fn timeouts() -> impl FnMut(u64) -> Duration {
    |n| time(n, || timeout(Duration::from_secs(60), || black_box(())))
}

/// Two green threads that wake each other.
fn hand_over() -> impl FnMut(u64) -> Duration {
    let (here, there) = (Rc::new(WaitList::new()), Rc::new(WaitList::new()));
    spawn_n({
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        move || {
            loop {
                wait(&there);
                here.wake_one();
            }
        }
    });
    yield_now();
    move |n| {
        let (here, there) = (Rc::clone(&here), Rc::clone(&there));
        on_a_green_thread(move || {
            time(n, || {
                there.wake_one();
                wait(&here);
            })
        })
    }
}

/// Two OS threads that send to each other.
fn ping_pong() -> impl FnMut(u64) -> Duration {
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

fn os_spawns(n: u64) -> Duration {
    time(n, || std::thread::spawn(|| black_box(7)).join())
}

#[inline(always)]
fn spawn_and_wait<const CAPTURED: usize>() {
    let captured = black_box([7u8; CAPTURED]);
    let thread = spawn(move || {
        black_box(&captured);
        7
    });
    let _ = black_box(thread.wait());
}

fn spawns<const CAPTURED: usize>(n: u64) -> Duration {
    time(n, spawn_and_wait::<CAPTURED>)
}

fn green_spawns(n: u64) -> Duration {
    on_a_green_thread(move || time(n, spawn_and_wait::<0>))
}

fn on_a_green_thread(f: impl FnOnce() -> Duration + 'static) -> Duration {
    spawn(f).wait().expect("it does not panic")
}

fn batches(n: u64) -> Duration {
    in_batches(n, |batch| {
        time(1, || {
            for _ in 0..batch {
                spawn_n(|| black_box(7));
            }
            yield_now();
        })
    })
}

fn kills_unstarted(n: u64) -> Duration {
    in_batches(n, |batch| {
        let threads: Vec<_> = (0..batch).map(|_| spawn(|| black_box(7))).collect();
        kill_and_wait(threads)
    })
}

fn kills_parked(n: u64) -> Duration {
    let list = Rc::new(WaitList::new());
    in_batches(n, |batch| {
        let parked = || {
            let list = Rc::clone(&list);
            spawn(move || wait(&list))
        };
        let threads: Vec<_> = (0..batch).map(|_| parked()).collect();
        yield_now();
        kill_and_wait(threads)
    })
}

fn kill_and_wait<T>(threads: Vec<GreenThread<T>>) -> Duration {
    let start = Instant::now();
    for thread in threads {
        thread.kill();
        let _ = thread.wait();
    }
    start.elapsed()
}

/// Calls `f` with 1,000 or what is left of `n`, and adds up what it returns.
fn in_batches(n: u64, mut f: impl FnMut(u64) -> Duration) -> Duration {
    let sizes = (0..n).step_by(BATCH as usize).map(|done| BATCH.min(n - done));
    sizes.map(&mut f).sum()
}

/// Spawns on stacks that were never used, on an OS thread whose hub is new.
fn fresh_stacks(n: u64) -> Duration {
    let spawn_all = move || {
        yield_now();
        time(1, || {
            for _ in 0..n {
                spawn_n(|| black_box(7));
            }
            yield_now();
        })
    };
    std::thread::spawn(spawn_all).join().expect("it does not panic")
}

/// What a stack with a guard costs by itself.
fn mappings(n: u64) -> Duration {
    const STACK: usize = 260 * 1024;
    const GUARD: usize = 64 * 1024;
    time(n, || {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the mapping is new, is written within its bounds above the guard, and goes again.
        unsafe {
            let address = libc::mmap(std::ptr::null_mut(), STACK, protection, flags, -1, 0);
            assert_ne!(address, libc::MAP_FAILED);
            libc::mprotect(address, GUARD, libc::PROT_NONE);
            address.cast::<u64>().byte_add(STACK - 8).write_volatile(1);
            libc::munmap(address, STACK);
        }
    })
}
