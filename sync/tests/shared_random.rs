//! Kills and timeouts at random on both sides of a shared channel, on several OS threads.

mod sides;
#[path = "../../runtime/tests/util/mod.rs"]
mod util;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use evy_runtime::{join_all, spawn, timeout, yield_now};
use evy_sync::shared::{Receiver, Sender, bounded, unbounded};
use evy_sync::{RecvTimeoutError, SendTimeoutError, TrySendError};
use sides::{Census, Counted, Side};
use util::{Watchdog, rounds};

/// Numbers that look as if nobody had chosen them.
#[derive(Clone)]
struct Random(u64);

impl Random {
    /// One below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What all OS threads of a run share.
#[derive(Clone)]
struct Run {
    census: Census,
    /// The next item's number.
    next: Arc<AtomicUsize>,
    /// How many were received, by number.
    received: Arc<Vec<AtomicUsize>>,
    /// Those that were sent: the call said so.
    sent: Arc<Vec<AtomicBool>>,
}

impl Run {
    fn new(items: usize) -> Self {
        Self {
            census: Census::default(),
            next: Arc::default(),
            received: Arc::new((0..items).map(|_| AtomicUsize::new(0)).collect()),
            sent: Arc::new((0..items).map(|_| AtomicBool::new(false)).collect()),
        }
    }

    /// An item that was not sent yet, while there are any.
    fn item(&self) -> Option<Counted> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        (number < self.sent.len()).then(|| self.census.one(number))
    }

    fn was_sent(&self, number: usize) {
        self.sent[number].store(true, Ordering::SeqCst);
    }

    fn was_received(&self, item: &Counted) {
        self.received[item.number].fetch_add(1, Ordering::SeqCst);
    }

    /// Sends one item in one of several ways; `false` when there are no more.
    fn send(&self, sender: &Sender<Counted>, random: &mut Random) -> bool {
        let Some(item) = self.item() else { return false };
        let number = item.number;
        let sent = match random.below(3) {
            0 => sender.send(item).map_err(|_| ()),
            1 => sender.try_send(item).or_else(|error| match error {
                TrySendError::Full(item) => sender.send(item).map_err(|_| ()),
                TrySendError::Disconnected(_) => Err(()),
            }),
            _ => {
                let limit = Duration::from_micros(random.below(40));
                sender.send_timeout(item, limit).map_err(|error| match error {
                    SendTimeoutError::Timeout(item) => drop(item),
                    SendTimeoutError::Disconnected(_) => panic!("there are receivers"),
                })
            }
        };
        if sent.is_ok() {
            self.was_sent(number);
        }
        true
    }

    /// Receives one item in one of several ways; `false` at the end.
    fn receive(&self, receiver: &Receiver<Counted>, random: &mut Random) -> bool {
        let item = match random.below(3) {
            0 => receiver.recv().ok(),
            1 => match receiver.try_recv() {
                Err(error) if error.is_empty() => return true,
                item => item.ok(),
            },
            _ => match receiver.recv_timeout(Duration::from_micros(random.below(40))) {
                Err(RecvTimeoutError::Timeout) => return true,
                item => item.ok(),
            },
        };
        item.inspect(|item| self.was_received(item)).is_some()
    }
}

/// A hub on which green threads do `step` until one is told that it was the last; some are killed, some cut
/// off by a `timeout` around several steps, and others take their places.
fn hub(seed: u64, step: impl Fn(&mut Random) -> bool + Send + Sync + 'static) -> JoinHandle<()> {
    let step = Arc::new(step);
    Side::Green.run(move || {
        let random = Rc::new(RefCell::new(Random(seed)));
        let is_over = Rc::new(RefCell::new(false));
        while !*is_over.borrow() {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let (step, is_over) = (Arc::clone(&step), Rc::clone(&is_over));
                    let mut own = Random(random.borrow_mut().below(u64::MAX));
                    spawn(move || {
                        let limit = Duration::from_micros(20 + own.below(200));
                        let work = || (0..20).all(|_| step(&mut own));
                        if let Ok(false) = timeout(limit, work) {
                            *is_over.borrow_mut() = true;
                        }
                    })
                })
                .collect();
            for worker in &workers {
                let turns = random.borrow_mut().below(8);
                (0..turns).for_each(|_| yield_now());
                if random.borrow_mut().below(2) == 0 {
                    worker.kill();
                }
            }
            join_all(workers);
        }
    })
}

/// FAULTS row 53: no item is lost or doubled, each is dropped once.
#[test]
fn fault_53_kills_and_timeouts_at_random_lose_no_item() {
    let _watchdog = Watchdog::new("kills and timeouts at a shared channel");
    for (round, capacity) in [Some(0), Some(1), Some(5), None].into_iter().enumerate() {
        let items = rounds(100_000);
        let run = Run::new(items);
        let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
        let seed = 2 * round as u64 + 1;
        let sending = {
            let step = |run: &Run, sender: &Sender<Counted>| {
                let (run, sender) = (run.clone(), sender.clone());
                move |random: &mut Random| run.send(&sender, random)
            };
            let plain = step(&run, &sender);
            let plain = Side::Os.run(move || {
                let mut random = Random(seed);
                while plain(&mut random) {}
            });
            [plain, hub(seed + 100, step(&run, &sender))]
        };
        drop(sender);
        let receiving = {
            let step = |run: &Run, receiver: &Receiver<Counted>| {
                let (run, receiver) = (run.clone(), receiver.clone());
                move |random: &mut Random| run.receive(&receiver, random)
            };
            let plain = step(&run, &receiver);
            let plain = Side::Os.run(move || {
                let mut random = Random(seed + 200);
                while plain(&mut random) {}
            });
            [plain, hub(seed + 300, step(&run, &receiver))]
        };
        sending.into_iter().chain(receiving).for_each(|thread| thread.join().unwrap());
        assert_eq!((receiver.len(), run.census.alive()), (0, 0), "{capacity:?}");
        let mut lost = 0;
        for (number, received) in run.received.iter().enumerate() {
            let (received, sent) = (received.load(Ordering::SeqCst), &run.sent[number]);
            assert!(received <= 1, "{number} came out twice, {capacity:?}");
            assert!(
                received == 1 || !sent.load(Ordering::SeqCst),
                "{number} is lost, {capacity:?}"
            );
            lost += 1 - received;
        }
        println!("{capacity:?}: {lost} of {items} were taken back by kills and timeouts");
        assert!(lost < items, "most go through");
    }
}
