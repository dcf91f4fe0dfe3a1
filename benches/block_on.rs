//! Futures on green threads, each operation beside the same one on tokio's current-thread runtime.
//!
//! ```text
//! cargo bench --bench block_on                  # the whole table, about 5 seconds
//! cargo bench --bench block_on -- --rounds 100 --only notify
//! ```
//!
//! Everything runs on one core. "There and back" is two wakes and two polls, by tokio's own `Notify`, which
//! needs no runtime: only who runs the futures differs. tokio's partner is a task, evy's a green thread.

mod micro;

use evy::{Alarm, block_on, spawn_n};
use micro::args::Args;
use micro::operation::time;
use micro::stopwatch::Stopwatch;
use micro::{bare, cpu};
use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

const FAR: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    args.end()?;
    cpu::pin(cpu::cores()?.0)?;

    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_time().build()?);
    let mut stopwatch = Stopwatch::new(only);
    stopwatch.add("the bare pair again", None, || Box::new(bare::switch_there_and_back()));

    stopwatch.baseline("tokio block_on", {
        let runtime = Rc::clone(&runtime);
        Box::new(move |n| time(n, || runtime.block_on(ready(black_box(7)))))
    });
    stopwatch.add("block_on of what is ready", None, || {
        Box::new(|n| time(n, || block_on(ready(black_box(7)))))
    });

    stopwatch.baseline("tokio yield_now", {
        let runtime = Rc::clone(&runtime);
        Box::new(move |n| runtime.block_on(repeat(n, tokio::task::yield_now)))
    });
    stopwatch
        .add("a future that wakes itself", None, || Box::new(|n| block_on(repeat(n, yield_once))));

    stopwatch.baseline("tokio Notify, task", Box::new(on_tokio(Rc::clone(&runtime))));
    stopwatch.add("notify, there and back", None, || Box::new(on_green_threads()));

    stopwatch.baseline("tokio sleep", {
        let runtime = Rc::clone(&runtime);
        Box::new(move |n| runtime.block_on(repeat(n, || polled_once(tokio::time::sleep(FAR)))))
    });
    stopwatch.add("an alarm that is not needed", None, || {
        Box::new(|n| block_on(repeat(n, || polled_once(Alarm::after(FAR)))))
    });

    stopwatch.run(rounds);
    println!("futures, {rounds} rounds\n\n{}", stopwatch.table());
    std::process::exit(0)
}

/// Runs `n` futures one after the other, and returns how long that took.
async fn repeat<F: Future>(n: u64, mut future: impl FnMut() -> F) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        black_box(future().await);
    }
    start.elapsed()
}

/// What tokio's `yield_now` is, without its runtime.
fn yield_once() -> impl Future<Output = ()> {
    let mut polled = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Polls a future, which is pending, and drops it.
async fn polled_once(future: impl Future) {
    let mut future = pin!(future);
    let is_pending = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending()));
    assert!(is_pending.await);
}

/// One of two who wake each other.
#[derive(Clone, Default)]
struct Side {
    own: Arc<Notify>,
    other: Arc<Notify>,
}

impl Side {
    fn pair() -> [Self; 2] {
        let here = Self::default();
        let there = Self { own: Arc::clone(&here.other), other: Arc::clone(&here.own) };
        [here, there]
    }

    async fn there_and_back(&self) {
        self.other.notify_one();
        self.own.notified().await;
    }

    async fn answer_for_ever(self) {
        loop {
            self.own.notified().await;
            self.other.notify_one();
        }
    }
}

fn on_tokio(runtime: Rc<Runtime>) -> impl FnMut(u64) -> Duration {
    let [here, there] = Side::pair();
    runtime.spawn(there.answer_for_ever());
    move |n| runtime.block_on(repeat(n, || here.there_and_back()))
}

fn on_green_threads() -> impl FnMut(u64) -> Duration {
    let [here, there] = Side::pair();
    spawn_n(move || block_on(there.answer_for_ever()));
    move |n| block_on(repeat(n, || here.there_and_back()))
}
