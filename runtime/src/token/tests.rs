//! The token under the interleavings of its OS threads, with up to three preemptions and all that the
//! memory model allows. `make loom` runs this; a parker that sleeps where it should not is a deadlock to
//! loom, which reports it.

use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use super::*;

/// Tries the interleavings of `f`.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(f);
}

/// A token, and the sleep of its parker: being told ends it, or the next one.
struct Wait {
    token: Token,
    told: Mutex<bool>,
    changed: Condvar,
    /// What the unparkers did before they gave the token.
    done: AtomicUsize,
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Token,
    /// Nobody can give it any more.
    Deadlock,
}

impl Wait {
    fn new(unparkers: usize) -> Arc<Self> {
        let token = Token::new();
        (0..unparkers).for_each(|_| token.add_unparker());
        let (told, changed) = (Mutex::new(false), Condvar::new());
        Arc::new(Self { token, told, changed, done: AtomicUsize::new(0) })
    }

    fn tell(&self, is_due: bool) {
        if is_due {
            *self.told.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }

    fn give(&self) {
        self.done.fetch_add(1, Relaxed);
        self.tell(self.token.give());
    }

    fn give_and_leave(&self) {
        self.done.fetch_add(1, Relaxed);
        self.tell(self.token.give_and_leave());
    }

    fn leave(&self) {
        self.tell(self.token.leave());
    }

    fn park(&self) -> Ended {
        loop {
            if self.token.take() {
                return Ended::Token;
            }
            if !self.token.can_come() {
                return Ended::Deadlock;
            }
            let mut told = self.told.lock().unwrap();
            while !*told {
                told = self.changed.wait(told).unwrap();
            }
            *told = false;
        }
    }

    /// Parks again and again, until nobody is left; returns how often there was a token.
    fn park_until_nobody_is_left(&self) -> usize {
        (0..).find(|_| self.park() == Ended::Deadlock).expect("it ends")
    }
}

fn unparker(wait: &Arc<Wait>, f: impl FnOnce(&Wait) + 'static) -> JoinHandle<()> {
    let wait = Arc::clone(wait);
    thread::spawn(move || f(&wait))
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Also: who takes the token sees what was done before it was given.
#[test]
fn loom_a_token_that_is_given_is_taken_and_the_end_of_the_unparkers_is_seen() {
    model(|| {
        let wait = Wait::new(1);
        let thread = unparker(&wait, |wait| {
            wait.give();
            wait.leave();
        });
        assert_eq!(wait.park(), Ended::Token);
        assert_eq!(wait.done.load(Relaxed), 1);
        assert_eq!(wait.park(), Ended::Deadlock);
        join([thread]);
    });
}

#[test]
fn loom_who_gives_and_leaves_at_once_is_taken_for_no_deadlock() {
    model(|| {
        let wait = Wait::new(1);
        let thread = unparker(&wait, Wait::give_and_leave);
        assert_eq!(wait.park(), Ended::Token);
        assert_eq!(wait.done.load(Relaxed), 1);
        assert_eq!(wait.park(), Ended::Deadlock);
        join([thread]);
    });
}

#[test]
fn loom_one_that_leaves_does_not_hide_the_token_of_another() {
    model(|| {
        let wait = Wait::new(2);
        let threads = [unparker(&wait, Wait::leave), unparker(&wait, Wait::give_and_leave)];
        assert_eq!(wait.park_until_nobody_is_left(), 1);
        join(threads);
    });
}

/// Two are one token where the parker has not come in between, and all that was done is seen.
#[test]
fn loom_two_that_give_are_one_token_or_two() {
    model(|| {
        let wait = Wait::new(2);
        let threads = [
            unparker(&wait, Wait::give_and_leave),
            unparker(&wait, |wait| {
                wait.give();
                wait.leave();
            }),
        ];
        let tokens = wait.park_until_nobody_is_left();
        assert!((1..=2).contains(&tokens), "{tokens}");
        assert_eq!(wait.done.load(Relaxed), 2);
        join(threads);
    });
}

#[test]
fn loom_the_last_of_two_that_leave_at_once_is_seen() {
    model(|| {
        let wait = Wait::new(2);
        let threads = [unparker(&wait, Wait::leave), unparker(&wait, Wait::leave)];
        assert_eq!(wait.park(), Ended::Deadlock);
        join(threads);
    });
}

/// A clone is made by one that is there.
#[test]
fn loom_a_clone_gives_after_the_first_has_left() {
    model(|| {
        let wait = Wait::new(1);
        let thread = unparker(&wait, |wait| {
            wait.token.add_unparker();
            wait.leave();
            wait.give_and_leave();
        });
        assert_eq!(wait.park_until_nobody_is_left(), 1);
        join([thread]);
    });
}
