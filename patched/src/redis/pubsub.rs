//! Subscriptions to channels, and the messages that come by them.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use ::redis::{
    Cmd, ControlFlow, ErrorKind, FromRedisValue, Msg, PushKind, RedisResult, ServerErrorKind,
    ToRedisArgs, Value, cmd, from_redis_value,
};

use super::Connection;

pub struct PubSub<'a> {
    connection: &'a mut Connection,
    /// Messages that came before the answer to a command.
    waiting: VecDeque<Msg>,
}

impl<'a> PubSub<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        Self { connection, waiting: VecDeque::new() }
    }

    pub fn subscribe<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.request(cmd("SUBSCRIBE").arg(channel)).map(drop)
    }

    pub fn psubscribe<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.request(cmd("PSUBSCRIBE").arg(pchannel)).map(drop)
    }

    pub fn unsubscribe<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.request(cmd("UNSUBSCRIBE").arg(channel)).map(drop)
    }

    pub fn punsubscribe<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.request(cmd("PUNSUBSCRIBE").arg(pchannel)).map(drop)
    }

    pub fn ping_message<T: FromRedisValue>(&mut self, message: impl ToRedisArgs) -> RedisResult<T> {
        Ok(from_redis_value(self.request(cmd("PING").arg(message))?)?)
    }

    pub fn ping<T: FromRedisValue>(&mut self) -> RedisResult<T> {
        Ok(from_redis_value(self.request(&cmd("PING"))?)?)
    }

    pub fn get_message(&mut self) -> RedisResult<Msg> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(message);
        }
        loop {
            // Others are confirmations of subscriptions.
            if let Some(message) = Msg::from_owned_value(self.connection.read_message()?) {
                return Ok(message);
            }
        }
    }

    pub fn set_read_timeout(&self, dur: Option<Duration>) -> RedisResult<()> {
        self.connection.set_read_timeout(dur)
    }

    pub(super) fn listen<U>(
        &mut self,
        mut each: impl FnMut(Msg) -> ControlFlow<U>,
    ) -> RedisResult<U> {
        loop {
            if let ControlFlow::Break(value) = each(self.get_message()?) {
                return Ok(value);
            }
        }
    }

    /// Sends a command and waits for its answer, of several confirmations the first.
    fn request(&mut self, command: &Cmd) -> RedisResult<Value> {
        let Self { connection, waiting } = self;
        let was_subscribed = connection.is_subscribed();
        connection.set_subscribed(true);
        let answer = connection.converse(&command.get_packed_command(), |value| {
            let message = Msg::from_value(&value);
            let is_answer = message.is_none();
            waiting.extend(message);
            Ok(is_answer.then_some(value))
        })?;
        match answer {
            Value::ServerError(error) => {
                connection.set_subscribed(was_subscribed);
                Err(error.into())
            }
            answer => Ok(answer),
        }
    }
}

impl Drop for PubSub<'_> {
    fn drop(&mut self) {
        if self.connection.is_subscribed() {
            // A connection on which this fails is closed.
            let _ = unsubscribe_all(self.connection);
        }
    }
}

impl fmt::Debug for PubSub<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// Ends all subscriptions, and reads what still comes by them.
///
/// Each one that ends is confirmed, with the number of those that are left, of both kinds together; where
/// there are none, each of the two commands is.
pub(super) fn unsubscribe_all(connection: &mut Connection) -> RedisResult<()> {
    let mut packed = cmd("UNSUBSCRIBE").get_packed_command();
    packed.extend(cmd("PUNSUBSCRIBE").get_packed_command());
    let mut ended = Ended::default();
    connection.converse(&packed, |value| {
        ended.note(value)?;
        Ok((ended.channels && ended.patterns && ended.left == 0).then_some(()))
    })?;
    connection.set_subscribed(false);
    Ok(())
}

/// What the confirmations have said so far.
#[derive(Default)]
struct Ended {
    channels: bool,
    patterns: bool,
    left: i64,
}

impl Ended {
    fn note(&mut self, value: Value) -> RedisResult<()> {
        match value {
            Value::Push { kind, data } => {
                let kind = match kind {
                    PushKind::Unsubscribe => "unsubscribe",
                    PushKind::PUnsubscribe => "punsubscribe",
                    _ => "",
                };
                self.confirm(kind.as_bytes(), data.get(1));
                Ok(())
            }
            Value::Array(items) => {
                if let Some(Value::BulkString(kind)) = items.first() {
                    self.confirm(kind, items.get(2));
                }
                Ok(())
            }
            // Valkey's answer where there are no subscriptions of that kind.
            Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoSub) => {
                let text = error.details().unwrap_or_default();
                self.channels |= text.starts_with("'unsub");
                self.patterns |= text.starts_with("'punsub");
                Ok(())
            }
            Value::ServerError(error) => Err(error.into()),
            value => {
                let text = "Unexpected unsubscribe response";
                Err((ErrorKind::Client, text, format!("{value:?}")).into())
            }
        }
    }

    /// Others are messages, and confirmations of earlier commands.
    fn confirm(&mut self, kind: &[u8], left: Option<&Value>) {
        match kind {
            b"unsubscribe" => self.channels = true,
            b"punsubscribe" => self.patterns = true,
            _ => return,
        }
        if let Some(Value::Int(left)) = left {
            self.left = *left;
        }
    }
}
