//! A storm of wakes from other OS threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use evy_runtime::{Parker, Reason, Unparker, join_all, spawn};

/// OS threads that wake.
const OTHERS: u32 = 8;

const WAKE: Reason = Reason::new(&"a wake from another OS thread");

/// What an OS thread and its green thread have in common.
#[derive(Clone, Default)]
struct Pair {
    /// The wakes so far.
    sent: Arc<AtomicUsize>,
    /// As far as the green thread has seen.
    seen: Arc<AtomicUsize>,
}

/// Eight OS threads send `wakes` wakes each to a green thread of their own here, all on one hub; returns how
/// often these were woken. After each burst an OS thread waits until the last wake of it has been seen, so
/// that everybody waits for ever if that one is lost.
pub(crate) fn storm(wakes: usize) -> usize {
    let (give, take) = mpsc::channel();
    let others: Vec<_> = (0..OTHERS)
        .map(|seed| {
            let give = give.clone();
            thread::spawn(move || {
                let (here, pair) = (Parker::new(), Pair::default());
                let (answer, there) = mpsc::channel();
                give.send((here.unparker(), pair.clone(), answer)).unwrap();
                send(wakes, seed, &here, &there.recv().unwrap(), &pair);
            })
        })
        .collect();
    let answering = (0..OTHERS).map(|_| {
        let (back, pair, answer) = take.recv().unwrap();
        spawn(move || {
            let here = Parker::new();
            answer.send(here.unparker()).unwrap();
            receive(wakes, &here, &back, &pair)
        })
    });
    let parks = join_all(answering).into_iter().map(Result::unwrap).sum();
    others.into_iter().for_each(|other| other.join().unwrap());
    parks
}

fn send(wakes: usize, seed: u32, here: &Parker, there: &Unparker, pair: &Pair) {
    let mut random = seed * 2 + 1;
    for n in 1..=wakes {
        pair.sent.store(n, Ordering::Relaxed);
        there.unpark();
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let is_end_of_burst = random >> 26 == 0 || n == wakes;
        while is_end_of_burst && pair.seen.load(Ordering::Relaxed) < n {
            here.park(WAKE, None).expect("there is no deadline");
        }
    }
}

fn receive(wakes: usize, here: &Parker, back: &Unparker, pair: &Pair) -> usize {
    let mut parks = 0;
    while pair.seen.load(Ordering::Relaxed) < wakes {
        here.park(WAKE, None).expect("there is no deadline");
        parks += 1;
        pair.seen.store(pair.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        back.unpark();
    }
    parks
}
