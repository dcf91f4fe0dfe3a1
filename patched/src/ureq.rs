//! The HTTP client [`ureq`](https://docs.rs/ureq/3.5) on green sockets: `use evy::patched::ureq;` replaces
//! `use ureq;`.
//!
//! All types but [`Agent`] are ureq's own. Requests of many green threads overlap on one OS thread:
//!
//! ```
//! # use std::io::{Read, Write};
//! use evy_patched::ureq;
//!
//! # let listener = evy_green_net::listen("127.0.0.1:0")?;
//! # let url = format!("http://{}/", listener.local_addr()?);
//! # evy_runtime::spawn_n(move || {
//! #     evy_green_net::serve(listener, |mut peer, _| {
//! #         peer.read(&mut [0; 1024])?;
//! #         peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
//! #     })
//! # });
//! let fetch = |url: String| ureq::get(url).call()?.body_mut().read_to_string();
//! let fetches = (0..3).map(|_| evy_runtime::spawn({
//!     let url = url.clone();
//!     move || fetch(url)
//! }));
//! for body in evy_runtime::join_all(fetches) {
//!     assert_eq!(body??, "hello");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Timeouts, redirects, the pool of connections, TLS by rustls and its configuration, proxies (HTTP and
//! HTTPS by `CONNECT`, SOCKS 4, 4a and 5), `gzip` and the errors are as ureq documents them. A fetch that
//! is killed, or that [`evy_runtime::timeout`] ends, closes its connection.
//!
//! # Features
//!
//! `gzip` is on by default, as in ureq. Others are features of `evy` by the names that they have there:
//! `brotli`, `charset`, `cookies`, `json`, `multipart`, `platform-verifier`. SOCKS proxies need none.
//!
//! # Notes
//!
//! Where it differs from the original:
//!
//! * An agent is made from a configuration by [`Agent::new_with_config`] or `.into()`.
//!   [`Config::new_agent`](config::Config::new_agent) is ureq's own and makes an agent that blocks the OS
//!   thread.
//! * `RequestExt` is missing, as its default agent would block: [`run`] and an agent's
//!   [`run`](::ureq::Agent::run) take the same requests, its
//!   [`configure_request`](::ureq::Agent::configure_request) configures them.
//! * [`Agent::shutdown`] makes every read that waits fail, also that of a body without a length.
//! * Green threads have stacks of a fixed size. The default one is enough for TLS; a handshake without
//!   optimisation takes about 128 KiB.
//! * Of a host's several addresses the first that answers is taken, as in
//!   [`evy_green_net::connect`]; ureq tries them one after the other.
//! * There is no `native-tls`: a request that is configured for it is [`Error::TlsRequired`].
//! * A `CookieJar` is to be dropped before its green thread waits for
//!   anything: others that use the agent meanwhile would block the OS thread.
//!
//! As in the original, an agent looks at all its idle connections with each request, once for each of
//! their hosts: where there are many hosts, a
//! [`max_idle_connections`](config::ConfigBuilder::max_idle_connections) of a hundred is much.

mod agent;
mod connector;
mod requests;
mod resolver;
mod socks;

pub use ::ureq::{
    AsSendBody, Body, BodyBuilder, BodyReader, BodyWithConfig, Error, Proxy, ProxyBuilder,
    ProxyProtocol, RequestBuilder, ResponseExt, SendBody, Timeout, config, http, middleware, tls,
    typestate, unversioned,
};

#[cfg(feature = "cookies")]
pub use ::ureq::{Cookie, CookieJar};

pub use agent::Agent;
pub use connector::{GreenConnector, GreenTransport};
pub use requests::{agent, connect, delete, get, head, options, patch, post, put, run, trace};
pub use resolver::GreenResolver;
pub use socks::GreenSocksConnector;
