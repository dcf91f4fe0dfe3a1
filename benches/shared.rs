//! Channels between OS threads, each beside crossbeam-channel's of the same kind in the same run.
//!
//! ```text
//! cargo bench --bench shared                     # the whole table, about 20 seconds
//! cargo bench --bench shared -- --rounds 100 --only trip
//! EVY_SPIN=0 cargo bench --bench shared          # without the hub's spin before it sleeps
//! ```
//!
//! Sender and receiver are OS threads on cores of their own. "Hub" is a green thread of an OS thread with a
//! hub, "OS" an OS thread without one; the baselines run on the latter. "Round trip" is an item there and
//! one back, each waited for; all else is one-way, with the receiver as fast as it can.

mod micro;

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use evy_sync::shared;
use micro::args::Args;
use micro::cpu;
use micro::operation::{Operation, time};
use micro::stopwatch::Stopwatch;

/// The room of the bounded channels.
const ROOM: usize = 1024;

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 25.0)? as usize;
    let only = args.text("--only");
    args.end()?;

    let mut stopwatch = Stopwatch::new(only);
    let crossbeam = crossbeam_channel::bounded;
    stopwatch.baseline("crossbeam, bounded(1024)", one_way(Os, Os, crossbeam(ROOM)));
    stopwatch.add("bounded(1024), hub to hub", None, || one_way(Hub, Hub, shared::bounded(ROOM)));
    stopwatch.add("bounded(1024), OS to hub", None, || one_way(Os, Hub, shared::bounded(ROOM)));
    stopwatch.add("bounded(1024), hub to OS", None, || one_way(Hub, Os, shared::bounded(ROOM)));
    stopwatch.add("bounded(1024), OS to OS", None, || one_way(Os, Os, shared::bounded(ROOM)));
    stopwatch.add("std sync_channel(1024)", None, || one_way(Os, Os, mpsc::sync_channel(ROOM)));

    stopwatch.baseline("crossbeam, unbounded", one_way(Os, Os, crossbeam_channel::unbounded()));
    stopwatch.add("unbounded, hub to hub", None, || one_way(Hub, Hub, shared::unbounded()));
    stopwatch.add("unbounded, OS to OS", None, || one_way(Os, Os, shared::unbounded()));
    stopwatch.add("std channel", None, || one_way(Os, Os, mpsc::channel()));

    stopwatch.baseline("crossbeam, round trip", round_trip(Os, Os, || crossbeam(1)));
    stopwatch.add("round trip, hub and hub", None, || round_trip(Hub, Hub, || shared::bounded(1)));
    stopwatch.add("round trip, OS and hub", None, || round_trip(Os, Hub, || shared::bounded(1)));
    stopwatch.add("round trip, OS and OS", None, || round_trip(Os, Os, || shared::bounded(1)));
    stopwatch.add("round trip, std", None, || round_trip(Os, Os, || mpsc::sync_channel(1)));

    stopwatch.baseline("crossbeam, bounded(0)", one_way(Os, Os, crossbeam(0)));
    stopwatch.add("bounded(0), hub to hub", None, || one_way(Hub, Hub, shared::bounded(0)));
    stopwatch.add("bounded(0), OS to OS", None, || one_way(Os, Os, shared::bounded(0)));

    stopwatch.run(rounds);
    println!("channels between OS threads, {rounds} rounds\n\n{}", stopwatch.table());
    std::process::exit(0)
}

/// Where one side runs.
#[derive(Clone, Copy)]
enum Side {
    /// On a green thread.
    Hub,
    /// On an OS thread without a hub.
    Os,
}
use Side::{Hub, Os};

/// An OS thread that does `work` so many times when it is told to, and says how long that took.
struct Worker {
    tell: mpsc::Sender<u64>,
    took: mpsc::Receiver<Duration>,
}

impl Worker {
    fn new(side: Side, core: usize, work: impl Fn() + Send + 'static) -> Self {
        let (tell, times) = mpsc::channel();
        let (say, took) = mpsc::channel();
        let serve = move || times.iter().try_for_each(|n: u64| say.send(time(n, &work)));
        std::thread::spawn(move || {
            cpu::pin(core).expect("it is one of the cores");
            match side {
                Hub => drop(evy::spawn(serve).wait()),
                Os => drop(serve()),
            }
        });
        Self { tell, took }
    }

    /// Has `self` and `other` work, and returns how long that took `self`.
    fn time(&self, other: &Self, n: u64) -> Duration {
        other.tell.send(n).expect("it lives");
        self.tell.send(n).expect("it lives");
        other.took.recv().expect("it lives");
        self.took.recv().expect("it lives")
    }
}

/// Items from one side to the other, as fast as they go.
fn one_way<S: SendItem, R: RecvItem>(
    from: Side,
    to: Side,
    (send, recv): (S, R),
) -> Operation<'static> {
    let (first, second) = cpu::cores().expect("two cores");
    let sender = Worker::new(from, first, move || send.send_item(1));
    let receiver = Worker::new(to, second, move || assert_eq!(recv.recv_item(), 1));
    Box::new(move |n| receiver.time(&sender, n))
}

/// An item there, and one back.
fn round_trip<S: SendItem, R: RecvItem>(
    from: Side,
    to: Side,
    channel: impl Fn() -> (S, R),
) -> Operation<'static> {
    let (first, second) = cpu::cores().expect("two cores");
    let ((there, arrives), (back, returns)) = (channel(), channel());
    let here = Worker::new(from, first, move || {
        there.send_item(1);
        returns.recv_item();
    });
    let there = Worker::new(to, second, move || back.send_item(arrives.recv_item()));
    Box::new(move |n| here.time(&there, n))
}

/// The end that items go in at.
trait SendItem: Send + 'static {
    fn send_item(&self, item: u64);
}

/// The end that items come out at.
trait RecvItem: Send + 'static {
    fn recv_item(&self) -> u64;
}

macro_rules! ends {
    ($($sender:ty, $receiver:ty;)*) => {$(
        impl SendItem for $sender {
            #[inline(always)]
            fn send_item(&self, item: u64) {
                self.send(item).expect("the receiver lives");
            }
        }

        impl RecvItem for $receiver {
            #[inline(always)]
            fn recv_item(&self) -> u64 {
                self.recv().expect("the sender lives")
            }
        }
    )*};
}

ends! {
    shared::Sender<u64>, shared::Receiver<u64>;
    crossbeam_channel::Sender<u64>, crossbeam_channel::Receiver<u64>;
}

impl SendItem for mpsc::Sender<u64> {
    #[inline(always)]
    fn send_item(&self, item: u64) {
        self.send(item).expect("the receiver lives");
    }
}

ends! {
    mpsc::SyncSender<u64>, mpsc::Receiver<u64>;
}
