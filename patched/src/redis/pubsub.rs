//! Subscriptions to channels, and the messages that come by them.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use ::redis::{
    Cmd, ControlFlow, ErrorKind, FromRedisValue, Msg, PushKind, RedisResult, ServerErrorKind,
    ToRedisArgs, Value, cmd, from_redis_value,
};

use super::Connection;

/// A connection that is used for subscriptions: [`redis::PubSub`](::redis::PubSub), but that it parks the green
/// thread. Made by [`Connection::as_pubsub`].
///
/// ```
#[doc = answers!(r"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n+PONG\r\n")]
/// use evy_patched::redis::{Client, ConnectionLike};
///
/// let mut connection = Client::open(url)?.get_connection()?;
/// let mut pubsub = connection.as_pubsub();
/// pubsub.subscribe("news")?;
/// let message = pubsub.get_message()?;
/// assert_eq!(message.get_channel_name(), "news");
/// assert_eq!(message.get_payload::<String>()?, "hello");
/// drop(pubsub);
/// // The connection is as it was.
/// assert!(connection.check_connection());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it ends the subscriptions, and waits for the server to confirm that; messages that nobody has
/// read are gone. If that fails, or the green thread is unwinding, the connection is closed.
pub struct PubSub<'a> {
    connection: &'a mut Connection,
    /// Messages that came before the answer to a command.
    waiting: VecDeque<Msg>,
}

impl<'a> PubSub<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        Self { connection, waiting: VecDeque::new() }
    }

    /// Subscribes to a channel, or to several.
    ///
    /// # Errors
    ///
    /// The server's, where it refuses; those of a call.
    ///
    /// # Yields
    ///
    /// Until the server has confirmed it, of several the first.
    pub fn subscribe<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.settle(cmd("SUBSCRIBE").arg(channel))
    }

    /// Subscribes to the channels that match a pattern, or several.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Yields
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn psubscribe<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.settle(cmd("PSUBSCRIBE").arg(pchannel))
    }

    /// Ends the subscription to a channel, or to several.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Yields
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn unsubscribe<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.settle(cmd("UNSUBSCRIBE").arg(channel))
    }

    /// Ends the subscription to a pattern, or to several.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Yields
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn punsubscribe<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.settle(cmd("PUNSUBSCRIBE").arg(pchannel))
    }

    /// Asks the server to send something back. Messages that come before its answer are kept.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); `UnexpectedReturnType` where the answer is no `T`.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn ping_message<T: FromRedisValue>(&mut self, message: impl ToRedisArgs) -> RedisResult<T> {
        Ok(from_redis_value(self.request(cmd("PING").arg(message), 1)?)?)
    }

    /// Asks the server whether it is there. Messages that come before its answer are kept.
    ///
    /// # Errors
    ///
    /// As [`ping_message`](Self::ping_message).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn ping<T: FromRedisValue>(&mut self) -> RedisResult<T> {
        Ok(from_redis_value(self.request(&cmd("PING"), 1)?)?)
    }

    /// Waits for the next message.
    ///
    /// A read that times out ([`set_read_timeout`](Self::set_read_timeout)) loses nothing: call it again. A kill
    /// or [`evy_runtime::timeout`] ends the `PubSub` too if that is dropped on the way; then the connection is
    /// closed.
    ///
    /// ```
    #[doc = answers!(r"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")]
    /// use std::time::Duration;
    ///
    /// let mut connection = evy_patched::redis::Client::open(url)?.get_connection()?;
    /// let mut pubsub = connection.as_pubsub();
    /// pubsub.subscribe("news")?;
    /// pubsub.set_read_timeout(Some(Duration::from_millis(5)))?;
    /// assert!(pubsub.get_message().unwrap_err().is_timeout());
    /// # std::mem::forget(pubsub);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Io` or `Parse`, and the connection is closed; a timeout, and it is not.
    ///
    /// # Yields
    ///
    /// Until a message is there.
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

    /// [`Connection::set_read_timeout`].
    ///
    /// # Errors
    ///
    /// Those of [`Connection::set_read_timeout`].
    ///
    /// # Yields
    ///
    /// Never.
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

    /// Sends a command that the server confirms for each channel by itself, and waits for all of that.
    fn settle(&mut self, command: &Cmd) -> RedisResult<()> {
        let channels = command.args_iter().count() - 1;
        self.request(command, channels.max(1)).map(drop)
    }

    /// Sends a command and waits for as many answers, of which it returns the last.
    fn request(&mut self, command: &Cmd, answers: usize) -> RedisResult<Value> {
        let Self { connection, waiting } = self;
        let was_subscribed = connection.is_subscribed();
        connection.set_subscribed(true);
        let mut missing = answers;
        let answer = connection.converse(&command.get_packed_command(), |value| {
            if let Some(message) = Msg::from_value(&value) {
                waiting.push_back(message);
                return Ok(None);
            }
            missing -= 1;
            let is_last = missing == 0 || matches!(value, Value::ServerError(_));
            Ok(is_last.then_some(value))
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
