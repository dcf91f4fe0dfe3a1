//! A WebSocket, for those who use it.

use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::Frame;

use super::session::Session;
use super::{CloseCode, Closed, Message, Messages, Options, pinger};
use crate::Stream;

/// The longest payload of a frame that is no message.
const LONGEST_CONTROL: usize = 125;

/// A WebSocket: messages in both directions, on one connection.
///
/// All calls take it by reference, and a clone is another handle to the same connection: any green
/// threads of the hub can send and receive at once. Messages are sent one after the other in the order of
/// the calls; their frames never mix. Each message goes to one receiver, in the order of *their* calls.
///
/// Pings are answered, and fragments joined, while somebody receives; whoever only sends should have a
/// green thread that receives, too.
///
/// When its last handle is dropped, a WebSocket that is not closed says that it is going away (1001) and
/// closes in the background.
///
/// ```
/// use evy_http::{Request, Server, websocket};
///
/// let listener = evy_green_net::listen("127.0.0.1:0")?;
/// let server = Server::new(listener, |request: Request| {
///     websocket::accept(request, |socket| {
///         for message in &socket {
///             socket.send(message?)?;
///         }
///         Ok(())
///     })
/// })
/// .start()?;
/// let socket = websocket::connect(&format!("ws://{}/", server.local_addr()))?;
/// socket.send("hello")?;
/// assert_eq!(socket.recv()?, Some("hello".into()));
/// socket.close(websocket::CloseCode::NORMAL, "done")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// fn elsewhere(socket: evy_http::websocket::WebSocket) {
///     std::thread::spawn(move || socket.recv());
/// }
/// ```
#[derive(Clone)]
pub struct WebSocket {
    handle: Rc<Handle>,
}

/// What the clones share; the green threads in the background have the session without it.
struct Handle {
    session: Rc<Session>,
    protocol: Option<String>,
}

impl WebSocket {
    pub(super) fn new(
        stream: Stream,
        ahead: Bytes,
        role: Role,
        protocol: Option<String>,
        options: &Options,
    ) -> Self {
        let session = Session::new(stream, ahead, role, options);
        if let Some(interval) = options.ping_interval {
            pinger::start(&session, interval, options.pong_timeout);
        }
        Self { handle: Rc::new(Handle { session, protocol }) }
    }

    pub(super) fn session(&self) -> &Rc<Session> {
        &self.handle.session
    }

    /// Receives the next message; `None` once the WebSocket was closed by one of the sides.
    ///
    /// Nothing is lost when the green thread is killed or a [`timeout`](evy_runtime::timeout) ends the
    /// wait: the next call goes on where this one was.
    ///
    /// ```
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn print(socket: &WebSocket) -> std::io::Result<()> {
    ///     while let Some(message) = socket.recv()? {
    ///         println!("{message:?}");
    ///     }
    ///     println!("closed: {:?}", socket.closed());
    ///     Ok(())
    /// }
    /// # let _ = print;
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidData` if the peer has broken the rules and `FileTooLarge` if a message is too big, with a
    /// [`Violation`](super::Violation) inside; `UnexpectedEof` if the connection has ended without a
    /// farewell, or another error if it has failed; `TimedOut` if a ping was not answered, and where the
    /// stream was given a timeout for reads. But for the last, every further call gets it again.
    ///
    /// # Yields
    ///
    /// Until there is a message, or the end.
    #[doc(alias = "wait")]
    #[doc(alias = "read")]
    pub fn recv(&self) -> io::Result<Option<Message>> {
        self.session().receive()
    }

    /// The messages to come. It ends with the WebSocket, or behind an error.
    ///
    /// ```
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn texts(socket: &WebSocket) -> impl Iterator<Item = String> {
    ///     socket.messages().map_while(|message| Some(message.ok()?.as_text()?.to_owned()))
    /// }
    /// # let _ = texts;
    /// ```
    ///
    /// # Yields
    ///
    /// Never; its `next` does as [`recv`](Self::recv).
    pub fn messages(&self) -> Messages<'_> {
        Messages::new(self)
    }

    /// Sends a message, and waits until the socket has taken it.
    ///
    /// If the green thread is killed, or a [`timeout`](evy_runtime::timeout) ends the wait, the message is
    /// either not sent at all, as one that waits for another to be through, or it will be sent whole.
    ///
    /// ```
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn greet(socket: &WebSocket) -> std::io::Result<()> {
    ///     socket.send("a text")?;
    ///     socket.send(vec![1, 2, 3])
    /// }
    /// # let _ = greet;
    /// ```
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the WebSocket is closed; else those of [`recv`](Self::recv). `TimedOut` also if the
    /// peer takes nothing for a while, see [`Options::pong_timeout`].
    ///
    /// # Yields
    ///
    /// While others send, and while the socket has no room.
    pub fn send(&self, message: impl Into<Message>) -> io::Result<()> {
        self.session().send(message.into().into_frame())
    }

    /// Sends a ping: a sign of life for whoever is on the way. [`Options::ping_interval`] has it done, and
    /// looks for the answers, too.
    ///
    /// ```
    /// # use evy_http::websocket::WebSocket;
    /// fn ping(socket: &WebSocket) -> std::io::Result<()> {
    ///     socket.ping(b"still there?")
    /// }
    /// # let _ = ping;
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 125 bytes; those of [`send`](Self::send).
    ///
    /// # Yields
    ///
    /// As [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> io::Result<()> {
        if payload.len() > LONGEST_CONTROL {
            let text = format!("a ping has {LONGEST_CONTROL} bytes at most");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.session().send(Frame::ping(Bytes::copy_from_slice(payload)))
    }

    /// Closes the WebSocket: says farewell, waits until the peer has done so, too, for at most
    /// [`Options::close_timeout`], and closes the connection, for all handles. Messages that still come are
    /// thrown away; receivers get the end. Where it is closed already, nothing is done.
    ///
    /// ```
    /// use evy_http::websocket::{CloseCode, WebSocket};
    ///
    /// fn part(socket: &WebSocket) -> std::io::Result<()> {
    ///     socket.close(CloseCode::NORMAL, "done")
    /// }
    /// # let _ = part;
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a code that cannot be sent, or a reason of more than 123 bytes. `TimedOut` if the
    /// peer has not answered in time, or another error if the connection has failed before; it is closed
    /// then, too.
    ///
    /// # Yields
    ///
    /// Until the peer's answer.
    pub fn close(&self, code: CloseCode, reason: &str) -> io::Result<()> {
        if !code.can_be_sent() {
            let text = format!("{code} is no code that a WebSocket can be closed with");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if reason.len() > LONGEST_CONTROL - 2 {
            let text = format!("a reason has {} bytes at most", LONGEST_CONTROL - 2);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.session().close(code, reason)
    }

    /// What the peer said when it closed the WebSocket, or answered [`close`](Self::close); `None` before,
    /// and where it never said anything.
    ///
    /// ```
    /// use evy_http::websocket::{CloseCode, WebSocket};
    ///
    /// fn has_left_the_page(socket: &WebSocket) -> bool {
    ///     socket.closed().is_some_and(|closed| closed.code == CloseCode::GOING_AWAY)
    /// }
    /// # let _ = has_left_the_page;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn closed(&self) -> Option<Closed> {
        self.session().closed()
    }

    /// Whether it has ended, in whatever way: nothing more can be sent or received.
    ///
    /// ```
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn forget_the_gone(sockets: &mut Vec<WebSocket>) {
    ///     sockets.retain(|socket| !socket.is_closed());
    /// }
    /// # let _ = forget_the_gone;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn is_closed(&self) -> bool {
        self.session().is_over()
    }

    /// The sub-protocol that the two sides have agreed on, if any.
    ///
    /// ```
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn speaks_chat(socket: &WebSocket) -> bool {
    ///     socket.protocol() == Some("chat")
    /// }
    /// # let _ = speaks_chat;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn protocol(&self) -> Option<&str> {
        self.handle.protocol.as_deref()
    }

    /// The stream below, for its addresses and options. A timeout for its reads is one for
    /// [`recv`](Self::recv). One for its writes ends the WebSocket.
    ///
    /// ```
    /// use evy_http::Stream;
    /// use evy_http::websocket::WebSocket;
    ///
    /// fn is_plain(socket: &WebSocket) -> bool {
    ///     matches!(socket.get_ref(), Stream::Tcp(_))
    /// }
    /// # let _ = is_plain;
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_ref(&self) -> &Stream {
        self.session().stream()
    }
}

impl<'a> IntoIterator for &'a WebSocket {
    type Item = io::Result<Message>;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.messages()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("stream", self.get_ref())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.session.close_in_background(CloseCode::GOING_AWAY);
    }
}
