//! HTTP servers with blocking-style handlers.
//!
//! A handler is a plain function from a [`Request`] to a [`Response`], and runs on a green thread of its
//! own: it may sleep, call other services and take locks, and everybody else goes on meanwhile.
//!
//! ```
//! use std::io::Read;
//! use evy_http::{Request, Response, Server};
//!
//! fn greet(request: Request) -> Response {
//!     Response::new(format!("hello from {}\n", request.uri().path()).into())
//! }
//!
//! let server = Server::new(evy_green_net::listen("127.0.0.1:0")?, greet).start()?;
//! # use std::io::Write;
//! let mut client = evy_green_net::connect(server.local_addr())?;
//! client.write_all(b"GET /here HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
//! assert!(answer.ends_with("hello from /here\n"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! HTTP/1.1 and HTTP/2 are spoken by hyper; the types of messages are those of the crate [`http`]. With the
//! feature `websocket` there are WebSockets, too: servers, by upgrade of a request, and clients.
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod access;
mod body;
mod body_writer;
mod connection;
mod core;
mod exchange;
mod handler;
mod into_response;
mod io;
mod limits;
mod look;
mod outgoing;
mod path_params;
mod pipe;
mod pulse;
mod request_body;
mod router;
mod server;
mod service;
mod slots;
mod stream;
mod upgrade;
mod watch;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use ::http;
pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};

pub use access::Access;
pub use body::Body;
pub use body_writer::BodyWriter;
pub use connection::ConnectionInfo;
pub use handler::Handler;
pub use into_response::{Html, IntoResponse};
pub use path_params::PathParams;
pub use request_body::{BodyError, RequestBody};
pub use router::Router;
pub use server::{RunningServer, Server, serve};
pub use stream::Stream;
pub use upgrade::{Upgraded, tunnel, upgrade};

/// A request: its head, and a body to read from.
pub type Request = ::http::Request<RequestBody>;

/// A response: its head, and a body.
pub type Response = ::http::Response<Body>;
