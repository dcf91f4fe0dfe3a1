//! WebSockets: servers by upgrade of a request, and clients. RFC 6455, by tungstenite.
//!
//! A handler [`accept`](accept())s a request and gets a [`WebSocket`]; a client [`connect`](connect())s.
//! From then on both sides are alike.
//!
//! ```
//! use evy_http::websocket::{self, CloseCode};
//! use evy_http::{Request, Server};
//!
//! let listener = evy_green_net::listen("127.0.0.1:0")?;
//! let server = Server::new(listener, |request: Request| {
//!     websocket::accept(request, |socket| {
//!         for message in &socket {
//!             socket.send(message?)?;
//!         }
//!         Ok(())
//!     })
//! })
//! .start()?;
//!
//! let socket = websocket::connect(&format!("ws://{}/echo", server.local_addr()))?;
//! socket.send("hello")?;
//! assert_eq!(socket.recv()?, Some("hello".into()));
//! socket.close(CloseCode::NORMAL, "")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Extensions, such as compression, are not offered and not taken.

mod accept;
mod close_code;
mod closed;
mod connect;
mod end;
mod head;
mod message;
mod messages;
mod options;
mod pinger;
mod refused;
mod session;
mod socket;
mod target;
mod text;
mod token;
mod violation;
mod wire;

use std::io;

pub use close_code::CloseCode;
pub use closed::Closed;
pub use message::Message;
pub use messages::Messages;
pub use options::Options;
pub use refused::Refused;
pub use socket::WebSocket;
pub use text::Text;
pub use violation::Violation;

use crate::{Request, Response};

/// The answer to a request for a WebSocket: `101 Switching Protocols`, after which `proceed` gets it, on a
/// green thread of its own. When that returns, the WebSocket is closed, whoever else has a handle.
///
/// A request that asks for nothing of the kind, or not by the rules, is answered `400 Bad Request`; one for
/// another version than 13, `426 Upgrade Required`.
///
/// An error of `proceed` is reported on standard error, and the client told 1011, if it is not one of the
/// WebSocket itself. A panic tells it 1011, too; a kill, 1001. When the server stops it closes its
/// WebSockets, with 1001.
///
/// Any web page may have its visitor's browser ask for a WebSocket, with the visitor's cookies. A server that
/// trusts these looks at the request's `Origin` first.
///
/// ```
/// use evy_http::{Request, Response, StatusCode, IntoResponse, header, websocket};
///
/// fn echo(request: Request) -> Response {
///     if request.headers().get(header::ORIGIN).is_some_and(|origin| origin != "https://example.org") {
///         return StatusCode::FORBIDDEN.into_response();
///     }
///     websocket::accept(request, |socket| {
///         for message in &socket {
///             socket.send(message?)?;
///         }
///         Ok(())
///     })
/// }
/// # let _ = echo;
/// ```
///
/// # Yields
///
/// Never.
pub fn accept(
    request: Request,
    proceed: impl FnOnce(WebSocket) -> io::Result<()> + 'static,
) -> Response {
    Options::new().accept(request, proceed)
}

/// Connects to a server: `ws://host:port/path`, or `wss://` with the feature `tls`, trusting whom the
/// system trusts. [`Options`] has what is not as usual.
///
/// ```no_run
/// use evy_http::websocket;
///
/// let socket = websocket::connect("ws://localhost:7000/echo")?;
/// socket.send("hello")?;
/// println!("{:?}", socket.recv()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for a URL that is none of a WebSocket. `ConnectionRefused` with a [`Refused`] inside for an
/// answer other than `101 Switching Protocols`; `InvalidData` for one that breaks the rules; `TimedOut` if all
/// that took longer than [`Options::handshake_timeout`]. Those of [`evy_green_net::connect`].
///
/// # Yields
///
/// Until the server has answered.
pub fn connect(url: &str) -> io::Result<WebSocket> {
    Options::new().connect(url)
}
