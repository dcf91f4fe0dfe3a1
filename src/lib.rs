//! Green threads for Rust, after Python's Evy: plain blocking-style code, many at once.
//!
#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

pub use evy_green_net::{StopServe, connect, is_shortage, listen, serve};
pub use evy_pool::{GreenPile, GreenPool, Imap};
pub use evy_runtime::{
    Builder, Died, Elapsed, GreenLocal, GreenThread, GreenThreadId, Killed, current, green_local,
    join_all, kill, kill_all, resume_unwind, sleep, spawn, spawn_after, spawn_after_local, spawn_n,
    timeout, unblock, wait_readable, wait_writable, yield_now,
};

/// Sockets: `std::net`'s, but that their calls park the green thread.
pub mod net {
    pub use evy_green_net::{Incoming, TcpListener, TcpStream, ToSocketAddrs, lookup_host};
}

/// Copying between green sockets.
pub mod io {
    pub use evy_green_net::{GreenRead, GreenWrite, copy};
}

/// What green threads of one OS thread talk to each other by: events, queues, locks and channels.
pub mod sync {
    pub use evy_sync::{
        AlreadySent, Barrier, BarrierWaitResult, BoundedPermit, BoundedSemaphore, CappedSemaphore,
        Case, Condvar, Event, GetError, IntoIter, Iter, Lazy, Mutex, MutexGuard, OnceCell, Permit,
        PutError, Queue, QueueIter, QueueTryIter, Ready, Receive, Receiver, Receiving, RecvError,
        RecvTimeoutError, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SendError,
        SendTimeoutError, Sender, Sending, TimedOut, TooManyReleases, Transmit, TryIter,
        TryRecvError, TrySendError, WaitGroup, WaitTimeoutResult, WouldBlock, bounded, channel,
        select, select_timeout, try_select, unbounded,
    };
}

/// Adapters for crates that others wrote: the same in all respects, but that they use green sockets.
#[cfg(feature = "patched")]
pub mod patched {
    pub use evy_patched::*;
}
