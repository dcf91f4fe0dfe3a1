//! What comes from a server, one value after the other.

use std::io::{self, Read};
use std::sync::mpsc::Sender;

use ::redis::{Parser, PushInfo, PushKind, RedisError, RedisResult, ServerError, Value};

use super::stream::Stream;

/// redis's parser, which keeps what was read beyond one value for the next; and who hears of pushes.
///
/// A read that is cut off loses nothing: the parser takes bytes over only when the socket has given them.
pub(super) struct Incoming {
    parser: Parser,
    pushes: Option<Sender<PushInfo>>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { parser: Parser::new(), pushes: None }
    }

    /// The next value, be it an answer or a push. The latter was passed on.
    pub(super) fn read(&mut self, stream: &Stream) -> RedisResult<Value> {
        let value = self.parser.parse_value(stream)?;
        if let (Value::Push { kind, data }, Some(pushes)) = (&value, &self.pushes) {
            // Nobody may listen any more.
            let _ = pushes.send(PushInfo { kind: kind.clone(), data: data.clone() });
        }
        Ok(value)
    }

    /// The next answer: pushes come whenever the server likes.
    pub(super) fn answer(&mut self, stream: &Stream) -> RedisResult<Value> {
        loop {
            match self.read(stream)? {
                Value::Push { .. } => {}
                answer => return Ok(answer),
            }
        }
    }

    /// An error that the server sent before it closed the connection.
    pub(super) fn last_words(&mut self, stream: &Stream) -> Option<RedisError> {
        match self.parser.parse_value(Arrived(stream)) {
            Ok(Value::ServerError(error)) => Some(ServerError::into(error)),
            _ => None,
        }
    }

    pub(super) fn pass_pushes_to(&mut self, pushes: Option<Sender<PushInfo>>) {
        self.pushes = pushes;
    }

    pub(super) fn tell_disconnected(&self) {
        if let Some(pushes) = &self.pushes {
            let _ = pushes.send(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
        }
    }
}

/// Reads only what is there already.
struct Arrived<'a>(&'a Stream);

impl Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(buffer)
    }
}
