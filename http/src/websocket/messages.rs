//! The messages of a WebSocket, one by one.

use std::io;
use std::iter::FusedIterator;

use super::{Message, WebSocket};

/// The messages that come by a [`WebSocket`], until it ends. An error is the last.
///
/// ```
/// use evy_http::websocket::WebSocket;
///
/// fn count(socket: &WebSocket) -> usize {
///     socket.messages().filter(Result::is_ok).count()
/// }
/// # let _ = count;
/// ```
#[derive(Debug)]
#[must_use = "an iterator does nothing by itself"]
pub struct Messages<'a> {
    socket: &'a WebSocket,
    is_over: bool,
}

impl<'a> Messages<'a> {
    pub(super) fn new(socket: &'a WebSocket) -> Self {
        Self { socket, is_over: false }
    }
}

impl Iterator for Messages<'_> {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<io::Result<Message>> {
        if self.is_over {
            return None;
        }
        let message = self.socket.recv().transpose();
        self.is_over = !matches!(message, Some(Ok(_)));
        message
    }
}

impl FusedIterator for Messages<'_> {}
