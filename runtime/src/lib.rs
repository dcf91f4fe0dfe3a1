//! The green threads of evy: switch, stacks, park, spawn, kill and time.
//!
//! Use the crate `evy`, which re-exports what is here. This crate is what the other crates of evy are
//! built on; beside the public calls it offers them one way to wait ([`WaitList`], and [`io`] for
//! descriptors).
//!
//! ```
//! let workers = (0..3).map(|n| evy_runtime::spawn(move || n * 10));
//! let results = evy_runtime::join_all(workers);
//! assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 10, 20]);
//! ```
#![doc(test(attr(deny(warnings))))]

#[cfg(panic = "abort")]
compile_error!(
    "evy needs panic = \"unwind\": kills and timeouts are unwinds, and a panic ends one green thread"
);

mod alarm;
mod bell;
mod bells;
mod block_on;
mod control;
pub mod cores;
mod deadlock;
mod deputy;
mod errands;
mod fork;
mod green_thread;
mod hand_over;
mod interest;
pub mod io;
mod kill;
mod local;
mod on_exit;
mod overflow;
mod pace;
mod panic_hook;
mod park;
mod poll_many;
mod pump;
mod ready_queue;
mod remote;
mod room;
mod scheduler;
mod scope;
mod select;
mod spawn;
mod spin;
mod stack;
mod switch_hook;
mod tasks;
pub mod threadpool;
mod time;
mod token;
#[cfg(feature = "tracing")]
mod tracing;
mod unblock;
mod unpark;
mod wait_list;

pub use alarm::Alarm;
pub use bell::{Bell, Listening};
pub use block_on::block_on;
pub use evy_hub::Generation;
pub use green_thread::{Died, GreenThread, GreenThreadId, current, join_all};
pub use hand_over::{HandOver, Untaken};
pub use io::{wait_readable, wait_writable};
pub use kill::{Killed, kill, kill_all, resume_unwind};
pub use local::GreenLocal;
pub use park::Reason;
pub use poll_many::poll_many;
pub use remote::{Remote, RemoteThread};
pub use scope::{Scope, ScopedGreenThread, nursery, scope};
pub use select::Selection;
pub use spawn::{Builder, spawn, spawn_after, spawn_after_local, spawn_eager, spawn_n};
pub use spin::linger;
pub use switch_hook::{SwitchHook, add_switch_hook};
pub use tasks::spawn_future;
pub use time::{Elapsed, sleep, timeout, yield_now};
pub use unblock::{is_unblocked, unblock, unblock_n};
pub use unpark::{Parker, Unparker};
pub use wait_list::{TimedOut, WaitList};
