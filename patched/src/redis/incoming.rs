//! What comes from a server, one value after the other.

use std::io::{self, Read};
use std::mem;
use std::sync::mpsc::Sender;

use ::redis::{ErrorKind, Parser, PushInfo, PushKind, RedisError, RedisResult, ServerError, Value};
use evy_runtime::{Builder, nursery};

use super::nesting::Nesting;
use super::stream::Stream;

/// Answers of so many levels are parsed on the stack of who waits for them.
const SHALLOW: usize = 5;

/// Enough for all the levels that are parsed at all, without optimisation.
const DEEP_STACK: usize = 1 << 20;

/// redis's conversions call themselves for each level, too, and that on the caller's stack.
const DEEPEST: usize = 32;

/// redis's parser, which keeps what was read beyond one value for the next; and who hears of pushes.
///
/// A read that is cut off loses nothing: the parser takes bytes over only when the socket has given them.
pub(super) struct Incoming {
    parser: Parser,
    nesting: Nesting,
    /// How many values the parser has given, of those that `nesting` has seen.
    parsed: u64,
    /// Read, but not yet given to the parser, as they go deep.
    held: Vec<u8>,
    /// Whether anything that the parser has, or that is held, goes deep.
    deep: bool,
    /// Whether it goes deeper than anybody can take.
    too_deep: bool,
    pushes: Option<Sender<PushInfo>>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            parser: Parser::new(),
            nesting: Nesting::new(),
            parsed: 0,
            held: Vec::new(),
            deep: false,
            too_deep: false,
            pushes: None,
        }
    }

    /// The next value, be it an answer or a push. The latter was passed on.
    pub(super) fn read(&mut self, stream: &Stream) -> RedisResult<Value> {
        let value = self.parse(stream)?;
        if let (Value::Push { kind, data }, Some(pushes)) = (&value, &self.pushes) {
            // Nobody may listen any more.
            let _ = pushes.send(PushInfo { kind: kind.clone(), data: data.clone() });
        }
        Ok(value)
    }

    fn parse(&mut self, stream: &Stream) -> RedisResult<Value> {
        if !self.deep {
            let result = self.parse_here(stream);
            if !self.deep {
                return result;
            }
        }
        let result = self.parse_deep(stream);
        if self.too_deep {
            let text = "an answer has more levels of arrays within arrays than can be read";
            return Err((ErrorKind::Parse, text, format!("{DEEPEST}")).into());
        }
        // Until the parser has nothing left that came along.
        self.deep = self.has_more();
        result
    }

    /// Whether more was read than has been asked for.
    pub(super) fn has_more(&self) -> bool {
        !self.nesting.is_between_values() || self.parsed < self.nesting.ended()
    }

    /// Parses on the stack of a green thread that has room for it.
    fn parse_deep(&mut self, stream: &Stream) -> RedisResult<Value> {
        nursery(|nursery| {
            let builder = Builder::new().stack_size(DEEP_STACK);
            let parsing = builder.spawn_scoped(nursery, || self.parse_here(stream))?;
            parsing.wait().unwrap_or_else(|died| Err(io::Error::other(died.to_string()).into()))
        })
    }

    fn parse_here(&mut self, stream: &Stream) -> RedisResult<Value> {
        let Self { parser, nesting, held, deep, too_deep, .. } = self;
        let has_room = *deep;
        let value =
            parser.parse_value(Watched { stream, nesting, held, deep, too_deep, has_room })?;
        self.parsed += 1;
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

impl Drop for Incoming {
    /// What the parser holds of an answer that goes deep takes as much stack to drop as to parse.
    fn drop(&mut self) {
        if self.deep {
            let parser = mem::take(&mut self.parser);
            // If there is no stack for it, it stays.
            let _ = Builder::new().stack_size(DEEP_STACK).spawn(move || drop(parser));
        }
    }
}

/// Reads, and looks how deep it goes before the parser does.
struct Watched<'a> {
    stream: &'a Stream,
    nesting: &'a mut Nesting,
    held: &'a mut Vec<u8>,
    deep: &'a mut bool,
    too_deep: &'a mut bool,
    /// Whether the stack has room for any depth.
    has_room: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.too_deep {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !self.held.is_empty() {
            let length = self.held.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.held[..length]);
            self.held.drain(..length);
            return Ok(length);
        }
        let length = { self.stream }.read(buffer)?;
        let levels = self.nesting.follow(&buffer[..length]);
        *self.deep |= levels > SHALLOW;
        *self.too_deep |= levels > DEEPEST;
        if *self.too_deep {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if *self.deep && !self.has_room {
            self.held.extend_from_slice(&buffer[..length]);
            return Err(io::Error::other("an answer that goes deep"));
        }
        Ok(length)
    }
}

/// Reads only what is there already.
struct Arrived<'a>(&'a Stream);

impl Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(buffer)
    }
}
