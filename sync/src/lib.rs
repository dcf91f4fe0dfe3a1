//! What green threads of one OS thread talk to each other by: events, queues, locks and channels.
//!
//! Use the crate `evy`, which re-exports what is here as `evy::sync`.
//!
//! | to | use |
//! |---|---|
//! | send items from some to others | [`channel`], [`bounded`]; [`Queue`], which also sorts, resizes and joins |
//! | tell many something once | [`Event`] |
//! | wait for the first of several things | [`select!`] |
//! | share a value | [`Mutex`], [`RwLock`]; with [`Condvar`] to wait for a change of it |
//! | make a value once | [`OnceCell`], [`Lazy`] |
//! | do at most so much at once | [`Semaphore`], [`BoundedSemaphore`], [`CappedSemaphore`] |
//! | wait for each other, or for all | [`Barrier`], [`WaitGroup`] |
//!
//! All of them serve those who wait in the order in which they came, and directly: what is released is
//! handed to the first in line, and nobody comes between. A green thread that is killed or cut off by a
//! `timeout` leaves its line; if it was handed something and has not gone on, that passes to the next.
//! Nothing is lost, and nothing is poisoned. None of them is `Send`; what works between OS threads is in
//! [`shared`].
//!
//! ```
//! let (sender, receiver) = evy_sync::channel();
//! for n in 0..3 {
//!     let sender = sender.clone();
//!     evy_runtime::spawn_n(move || sender.send(n * 10));
//! }
//! drop(sender);
//! assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 10, 20]);
//! ```
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod already_sent;
mod barrier;
mod bounded_semaphore;
mod capped_semaphore;
mod channel;
mod channel_error;
mod condvar;
mod event;
mod exchange;
mod lazy;
mod mutex;
mod once_cell;
mod queue;
mod rw_lock;
mod select;
mod semaphore;
pub mod shared;
mod store;
mod wait_group;
mod would_block;

pub use already_sent::AlreadySent;
pub use barrier::{Barrier, BarrierWaitResult};
pub use bounded_semaphore::{BoundedPermit, BoundedSemaphore, TooManyReleases};
pub use capped_semaphore::CappedSemaphore;
pub use channel::{IntoIter, Iter, Receiver, Sender, TryIter, bounded, channel, unbounded};
pub use channel_error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use evy_runtime::{Selection, TimedOut};
pub use lazy::Lazy;
pub use mutex::{Mutex, MutexGuard};
pub use once_cell::OnceCell;
pub use queue::{GetError, PutError, Queue, QueueIter, QueueTryIter};
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::{
    Case, Ready, Receive, Receiving, Sending, Transmit, select, select_timeout, try_select,
};
pub use semaphore::{Permit, Semaphore};
pub use wait_group::WaitGroup;
pub use would_block::WouldBlock;
