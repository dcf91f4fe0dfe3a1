//! What works between OS threads: a [`channel`], an [`Event`], a [`Semaphore`].
//!
//! All of them are `Send` and `Sync`, and take and give in every direction between green threads of
//! whichever hub and plain OS threads. Each side waits in its own way: a green thread parks, and the
//! others of its hub run on; an OS thread without a hub blocks, and no hub is made for it.
//!
//! ```
//! use evy_sync::shared;
//!
//! let (sender, receiver) = shared::bounded(16);
//! // An OS thread without a hub …
//! std::thread::spawn(move || {
//!     for n in 0..100 {
//!         sender.send(n).unwrap();
//!     }
//! });
//! // … and a green thread.
//! let sum = evy_runtime::spawn(move || receiver.iter().sum::<u32>());
//! assert_eq!(sum.wait().unwrap(), 4950);
//! ```
//!
//! Who waits is served in the order in which it came, and directly. A green thread that is killed or cut
//! off by a `timeout` leaves its line; what it was handed and has not taken passes to the next, or goes
//! back. What costs least between green threads of one OS thread is in the crate's root.
//!
//! # Deadlocks
//!
//! Whether anybody can still wake who waits here, evy cannot know: the other OS threads could. A wait of
//! an OS thread's own stack is therefore no deadlock, and not reported as one, while a green thread of
//! its hub waits in one of these. A channel whose other ends are all dropped ends the wait.
//!
//! # The end of an OS thread
//!
//! Green threads that wait here when their OS thread ends are leaked, as all are. Those who come after
//! them in line are served in their stead; but the ends of channels and the permits that they hold stay
//! theirs. [`kill_all`](evy_runtime::kill_all) before the end is the clean way.

mod channel;
mod event;
mod line;
mod patience;
mod semaphore;

pub use channel::{IntoIter, Iter, Receiver, Sender, TryIter, bounded, channel, unbounded};
pub use event::Event;
pub use semaphore::{Permit, Semaphore};
