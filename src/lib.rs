//! Green threads for Rust, after Python's Evy: plain blocking-style code, many at once.
//!
#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

pub use evy_green_net::{
    ClientLimit, RunningServer, Server, ServerCounters, StopServe, Stopped, connect, connect_from,
    connect_timeout, is_shortage, listen, serve,
};
#[cfg(feature = "signal")]
pub use evy_green_os::signal;
pub use evy_green_os::{fs, pipe, process};
pub use evy_pool::{DagPool, GreenPile, GreenPool, Imap, ResourcePool};
pub use evy_runtime::{
    Alarm, Builder, Died, Elapsed, GreenLocal, GreenThread, GreenThreadId, Killed, Remote,
    RemoteThread, Scope, ScopedGreenThread, SwitchHook, add_switch_hook, block_on, current,
    green_local, join_all, kill, kill_all, nursery, resume_unwind, scope, sleep, spawn,
    spawn_after, spawn_after_local, spawn_eager, spawn_future, spawn_n, threadpool, timeout,
    unblock, wait_readable, wait_writable, yield_now,
};

pub use evy_runtime::{io::Direction, poll_many};

/// The pools, and what their calls give.
pub mod pool {
    pub use evy_pool::{
        Collision, DagInputs, DagPool, DagResults, GetError, GreenPile, GreenPool, Imap, Pooled,
        PropagateError, ResourcePool, ResourcePoolBuilder,
    };
}

/// Several hubs in one process, for more than one core.
pub mod cores {
    pub use evy_green_net::{HandOff, SharedAddress, listen_shared};
    pub use evy_runtime::cores::{Core, run};
}

/// Sockets: those of `std::net` and `std::os::unix::net`, but that their calls park the green thread.
pub mod net {
    pub use evy_green_net::{
        ConnectOptions, Incoming, Inherited, InheritedSocket, Keepalive, ListenOptions, Listener,
        TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixDatagram, UnixIncoming, UnixListener,
        UnixStream, listeners_from_env, lookup_host, lookup_host_timeout, socket_pair,
    };
}

/// Copying between green sockets; and descriptors of one's own that park, or that futures wait for.
pub mod io {
    pub use evy_green_net::{GreenRead, GreenWrite, copy, sendfile};
    pub use evy_runtime::io::{Attempt, Company, Direction, GreenFd, Interest};
}

/// Green sockets for async crates: `AsyncRead` and `AsyncWrite` of the futures crates and of tokio, and
/// what hyper asks of a runtime, each by the feature of its name.
#[cfg(any(feature = "futures", feature = "hyper", feature = "tokio"))]
pub mod adapt {
    pub use evy_green_net::adapt::*;
}

/// TLS over green sockets, by rustls with ring.
///
/// A client is [`tls::connect`] or a [`tls::TlsConnector`]; a server is a [`tls::TlsListener`] with a
/// [`tls::TlsAcceptor`]. The handshake is never done in the accept loop, and has a deadline.
#[cfg(feature = "tls")]
pub mod tls {
    pub use evy_green_net::tls::{
        TlsAcceptor, TlsAcceptorBuilder, TlsConnector, TlsConnectorBuilder, TlsListener, TlsStream,
        Transport, connect, rustls,
    };
}

/// What green threads of one OS thread talk to each other by: events, queues, locks and channels.
pub mod sync {
    pub use evy_sync::shared;
    pub use evy_sync::{
        AlreadySent, Barrier, BarrierWaitResult, BoundedPermit, BoundedSemaphore, CappedSemaphore,
        Case, Condvar, Event, GetError, IntoIter, Iter, Lazy, Mutex, MutexGuard, OnceCell, Permit,
        PutError, Queue, QueueIter, QueueTryIter, Ready, Receive, Receiver, Receiving, RecvError,
        RecvTimeoutError, RwLock, RwLockReadGuard, RwLockWriteGuard, Selection, Semaphore,
        SendError, SendTimeoutError, Sender, Sending, TimedOut, TooManyReleases, Transmit, TryIter,
        TryRecvError, TrySendError, WaitGroup, WaitTimeoutResult, WouldBlock, bounded, channel,
        select, select_timeout, try_select, unbounded,
    };
}

/// Servers of HTTP/1.1 and HTTP/2 with blocking-style handlers.
///
/// [`serve`](http::serve) is for the usual loop, [`http::Server`] for production. A handler is a function
/// from an [`http::Request`] to an [`http::Response`], or to anything that becomes one.
#[cfg(feature = "http")]
pub mod http {
    pub use evy_http::{
        Access, Body, BodyError, BodyWriter, ConnectionInfo, Handler, HeaderMap, HeaderName,
        HeaderValue, Html, IntoResponse, Method, PathParams, Request, RequestBody, Response,
        Router, RunningServer, Server, StatusCode, Stream, Upgraded, Uri, Version, header, http,
        serve, tunnel, upgrade,
    };

    #[cfg(feature = "websocket")]
    pub use evy_http::websocket;
}

/// Adapters for crates that others wrote: the same in all respects, but that they use green sockets.
#[cfg(any(feature = "postgres", feature = "redis", feature = "ureq"))]
pub mod patched {
    pub use evy_patched::*;
}
