//! Green threads for Rust, after Python's Evy: plain blocking-style code, many at once.
//!
#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

pub use evy_green_net::{
    RunningServer, Server, ServerCounters, StopServe, Stopped, connect, is_shortage, listen, serve,
};
pub use evy_pool::{GreenPile, GreenPool, Imap};
pub use evy_runtime::{
    Builder, Died, Elapsed, GreenLocal, GreenThread, GreenThreadId, Killed, Remote, RemoteThread,
    Scope, ScopedGreenThread, SwitchHook, add_switch_hook, current, green_local, join_all, kill,
    kill_all, nursery, resume_unwind, scope, sleep, spawn, spawn_after, spawn_after_local, spawn_n,
    timeout, unblock, wait_readable, wait_writable, yield_now,
};

/// Several hubs in one process, for more than one core.
pub mod cores {
    pub use evy_green_net::{HandOff, SharedAddress, listen_shared};
    pub use evy_runtime::cores::{Core, run};
}

/// Sockets: `std::net`'s, but that their calls park the green thread.
pub mod net {
    pub use evy_green_net::{
        Incoming, Inherited, InheritedSocket, Listener, TcpListener, TcpStream, ToSocketAddrs,
        listeners_from_env, lookup_host,
    };
}

/// Copying between green sockets.
pub mod io {
    pub use evy_green_net::{GreenRead, GreenWrite, copy};
}

/// Adapters for crates that others wrote: the same in all respects, but that they use green sockets.
#[cfg(feature = "patched")]
pub mod patched {
    pub use evy_patched::*;
}
