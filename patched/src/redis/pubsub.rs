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
#[doc = answers!(r"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n$3\r\nevy\r\n+PONG\r\n")]
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
///
/// # Yields
///
/// When it is dropped, if it was used, until the server has answered. With one that has stalled this is for
/// ever, unless there is a read timeout ([`set_read_timeout`](Self::set_read_timeout)), or the drop is inside
/// [`evy_runtime::timeout`].
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
    /// Until the server has confirmed it, each of several.
    pub fn subscribe<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.settle(PushKind::Subscribe, cmd("SUBSCRIBE").arg(channel))
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
        self.settle(PushKind::PSubscribe, cmd("PSUBSCRIBE").arg(pchannel))
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
        self.settle(PushKind::Unsubscribe, cmd("UNSUBSCRIBE").arg(channel))
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
        self.settle(PushKind::PUnsubscribe, cmd("PUNSUBSCRIBE").arg(pchannel))
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
        self.ask(cmd("PING").arg(message))
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
        self.ask(&cmd("PING"))
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
    fn settle(&mut self, kind: PushKind, command: &Cmd) -> RedisResult<()> {
        // Without any it is for all there are: the server says how many these were, and it is not waited for.
        let channels = command.args_iter().count() - 1;
        self.request(command, Some(kind), channels.max(1)).map(drop)
    }

    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        Ok(from_redis_value(self.request(command, None, 1)?)?)
    }

    /// Sends a command and waits for so many confirmations of a kind, or for what is none, as errors are.
    fn request(
        &mut self,
        command: &Cmd,
        kind: Option<PushKind>,
        mut missing: usize,
    ) -> RedisResult<Value> {
        let Self { connection, waiting } = self;
        let was_subscribed = connection.is_subscribed();
        connection.set_subscribed(true);
        let answer = connection.converse(&command.get_packed_command(), |value| {
            if let Some(message) = Msg::from_value(&value) {
                waiting.push_back(message);
                return Ok(None);
            }
            let found = push_kind(&value);
            missing -= usize::from(found == kind);
            Ok((missing == 0 || found.is_none()).then_some(value))
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

/// The argument of the `PING` behind which nothing comes by a subscription any more.
const LAST: &str = "evy";

/// Ends all subscriptions, and reads what still comes by them.
///
/// How many confirmations that is depends on what there was, and on the server. So they are not counted: a
/// `PING` is sent behind, and its answer is the last.
pub(super) fn unsubscribe_all(connection: &mut Connection) -> RedisResult<()> {
    let mut packed = cmd("UNSUBSCRIBE").get_packed_command();
    packed.extend(cmd("PUNSUBSCRIBE").get_packed_command());
    packed.extend(cmd("PING").arg(LAST).get_packed_command());
    connection.converse(&packed, |value| Ok(is_last(value)?.then_some(())))?;
    connection.set_subscribed(false);
    Ok(())
}

/// Whether it is the answer to that `PING`. Others are messages and confirmations.
fn is_last(value: Value) -> RedisResult<bool> {
    if push_kind(&value).is_some() || Msg::from_value(&value).is_some() {
        return Ok(false);
    }
    let is = |value: &Value, text: &str| matches!(value, Value::BulkString(bytes) if bytes == text.as_bytes());
    match value {
        Value::ServerError(error) => match error.kind() {
            // Valkey's answer where there are no subscriptions of a kind.
            Some(ServerErrorKind::NoSub) => Ok(false),
            // It has come, though this user may not have it answered.
            Some(ServerErrorKind::NoPerm)
                if error.details().is_some_and(|text| text.contains("'ping'")) =>
            {
                Ok(true)
            }
            _ => Err(error.into()),
        },
        value if is(&value, LAST) => Ok(true),
        // Where sharded subscriptions are left.
        Value::Array(items) if matches!(&*items, [pong, last] if is(pong, "pong") && is(last, LAST)) => {
            Ok(true)
        }
        value => {
            let text = "Unexpected unsubscribe response";
            Err((ErrorKind::Client, text, format!("{value:?}")).into())
        }
    }
}

/// What kind of push it is; in RESP2, which confirmation.
fn push_kind(value: &Value) -> Option<PushKind> {
    let items = match value {
        Value::Push { kind, .. } => return Some(kind.clone()),
        Value::Array(items) => items,
        _ => return None,
    };
    let Some(Value::BulkString(kind)) = items.first() else { return None };
    match &**kind {
        b"subscribe" => Some(PushKind::Subscribe),
        b"psubscribe" => Some(PushKind::PSubscribe),
        b"ssubscribe" => Some(PushKind::SSubscribe),
        b"unsubscribe" => Some(PushKind::Unsubscribe),
        b"punsubscribe" => Some(PushKind::PUnsubscribe),
        b"sunsubscribe" => Some(PushKind::SUnsubscribe),
        _ => None,
    }
}
