//! Green threads for Rust, after Python's Evy: plain blocking-style code, many at once.
//!
//! [Making a crate green]: guide::making_a_crate_green
//! [What it costs]: guide::what_it_costs
// Its plots are files beside it, which the documentation has in `guide::what_it_costs`.
#![doc = "<style>img[src^='docs/plots/'] { display: none; }</style>\n"]
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

/// Crates that others wrote, by their names: the same in all respects, but that they use green sockets.
#[cfg(any(feature = "postgres", feature = "redis", feature = "ureq", feature = "websocket"))]
pub mod patched {
    #[cfg(any(feature = "postgres", feature = "redis", feature = "ureq"))]
    pub use evy_patched::*;

    #[cfg(feature = "websocket")]
    pub mod tungstenite {
        //! WebSockets by [tungstenite](https://docs.rs/tungstenite): the client of [`evy::http::websocket`], by
        //! the names that tungstenite has for its parts.
        //!
        //! ```
        //! use evy::patched::tungstenite::{Message, connect};
        //!
        //! # let listener = evy::listen("127.0.0.1:0")?;
        //! # let echo = |request| evy::http::websocket::accept(request, |socket| {
        //! #     for message in &socket {
        //! #         socket.send(message?)?;
        //! #     }
        //! #     Ok(())
        //! # });
        //! # let server = evy::http::Server::new(listener, echo).start()?;
        //! # let address = server.local_addr();
        //! let socket = connect(&format!("ws://{address}/"))?;
        //! socket.send(Message::from("hello"))?;
        //! assert_eq!(socket.recv()?, Some(Message::from("hello")));
        //! # Ok::<(), std::io::Error>(())
        //! ```
        //!
        //! It is no word-for-word replacement. Frames and handshake are tungstenite's; what is around them is
        //! for green threads, of which several use one WebSocket at once:
        //!
        //! | tungstenite | here |
        //! |---|---|
        //! | `connect(url)?`: a WebSocket and the response | [`connect`]: a WebSocket; a response that refuses it is [`Refused`], in the error |
        //! | `socket.read()?`, `&mut` | [`recv`](WebSocket::recv), by `&`, or an iterator: `for message in &socket` |
        //! | `Message::{Ping, Pong, Close}` to be looked at | answered and seen to; a [`Message`] is a text or bytes |
        //! | `socket.send(Message::text("hello"))?` | `socket.send("hello")?`, by `&` |
        //! | `socket.close(frame)?`, then `read` up to `ConnectionClosed` | [`close`](WebSocket::close), which does it all |
        //! | `Utf8Bytes`, `CloseFrame` | [`Text`], [`Closed`] |
        //! | `WebSocketConfig`, a request with headers | [`Options`] |
        //! | `Error` | [`std::io::Error`]; what the peer did wrong is [`Violation`], in it |
        //!
        //! Servers have [`evy::http::websocket::accept`], which answers a request of HTTP. tungstenite itself
        //! needs no adapter, where its own shape is wanted: its `client` and `accept` take any stream, a green
        //! one too, as the [guide](crate::guide::making_a_crate_green) shows.
        //!
        //! [`evy::http::websocket`]: crate::http::websocket
        //! [`evy::http::websocket::accept`]: crate::http::websocket::accept

        #[doc(alias = "CloseFrame")]
        pub use evy_http::websocket::Closed;
        #[doc(alias = "WebSocketConfig")]
        pub use evy_http::websocket::Options;
        #[doc(alias = "Utf8Bytes")]
        pub use evy_http::websocket::Text;
        pub use evy_http::websocket::{
            CloseCode, Message, Messages, Refused, Violation, WebSocket, connect,
        };
    }
}

pub mod guide;
