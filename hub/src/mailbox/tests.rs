//! The handshake under every interleaving of its OS threads, with up to three preemptions and all that
//! the memory model allows. `make loom` runs this; a hub that sleeps with a message pending is a
//! deadlock to loom, which reports it.

use std::sync::atomic::AtomicUsize as Counter;

use loom::model::Builder;
use loom::sync::{Arc, Condvar};
use loom::thread;

use super::*;

/// Tries the interleavings of `f`.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(f);
}

/// What the OS does: a wake ends the wait, or the next one.
struct Os {
    woken: Mutex<bool>,
    changed: Condvar,
    /// Not a part of the model.
    wakes: Counter,
}

impl Os {
    fn new() -> Self {
        Self { woken: Mutex::new(false), changed: Condvar::new(), wakes: Counter::new(0) }
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, SeqCst);
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// A mailbox, and the OS that its hub sleeps in.
struct Post<M> {
    mailbox: Mailbox<M>,
    os: Os,
}

impl<M> Post<M> {
    fn new() -> Arc<Self> {
        Arc::new(Self { mailbox: Mailbox::new(), os: Os::new() })
    }

    fn send(&self, message: M) {
        if self.mailbox.send(message) {
            self.os.wake();
        }
    }

    /// The hub's loop: sleeps until there are `count` messages. It wakes no more often than it falls
    /// asleep.
    fn receive(&self, count: usize) -> Vec<M> {
        let (mut all, mut batch, mut sleeps) = (Vec::new(), Vec::new(), 0);
        while all.len() < count {
            if !self.mailbox.has_messages() {
                sleeps += 1;
                if self.mailbox.fall_asleep() {
                    self.os.wait();
                    self.mailbox.wake_up();
                }
            }
            if self.mailbox.has_messages() {
                self.mailbox.take(&mut batch);
                all.append(&mut batch);
            }
        }
        assert!(self.os.wakes.load(SeqCst) <= sleeps, "one system call a sleep");
        all
    }
}

fn join<const N: usize, T>(threads: [thread::JoinHandle<T>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn loom_two_senders_and_a_hub_lose_no_message_and_no_wake() {
    model(|| {
        let post = Post::new();
        let senders = [1, 2].map(|message| {
            let post = Arc::clone(&post);
            thread::spawn(move || post.send(message))
        });
        let mut messages = post.receive(2);
        messages.sort_unstable();
        assert_eq!(messages, [1, 2]);
        join(senders);
    });
}

#[test]
fn loom_three_senders_and_a_hub_lose_no_message_and_no_wake() {
    model(|| {
        let post = Post::new();
        let senders = [1, 2, 3].map(|message| {
            let post = Arc::clone(&post);
            thread::spawn(move || post.send(message))
        });
        let mut messages = post.receive(3);
        messages.sort_unstable();
        assert_eq!(messages, [1, 2, 3]);
        join(senders);
    });
}

#[test]
fn loom_the_messages_of_one_sender_keep_their_order() {
    model(|| {
        let post = Post::new();
        let sender = thread::spawn({
            let post = Arc::clone(&post);
            move || (1..=3).for_each(|message| post.send(message))
        });
        assert_eq!(post.receive(3), [1, 2, 3]);
        join([sender]);
    });
}

/// Those that are taken out between the turns leave the handshake as it was.
#[test]
fn loom_what_is_left_when_some_were_taken_out_still_wakes() {
    model(|| {
        let post = Post::new();
        let sender = thread::spawn({
            let post = Arc::clone(&post);
            move || [1, 2].map(|message| post.send(message))
        });
        let odd = post.mailbox.take_if(|message| *message % 2 == 1);
        let rest = post.receive(2 - odd.len());
        assert!(odd.iter().chain(&rest).eq(&[1, 2]), "{odd:?} {rest:?}");
        join([sender]);
    });
}

/// Each message is dropped once, and none is kept for as long as there are senders.
#[test]
fn loom_what_is_sent_while_the_hub_ends_is_dropped_at_once() {
    struct Counted(std::sync::Arc<Counter>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    model(|| {
        let (post, drops) = (Post::new(), std::sync::Arc::new(Counter::new(0)));
        let senders = [(); 2].map(|()| {
            let (post, drops) = (Arc::clone(&post), std::sync::Arc::clone(&drops));
            thread::spawn(move || post.send(Counted(drops)))
        });
        drop(post.mailbox.end());
        assert!(post.mailbox.has_ended());
        join(senders);
        assert_eq!(drops.load(SeqCst), 2);
    });
}
