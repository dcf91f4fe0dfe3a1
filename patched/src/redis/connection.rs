//! A connection: commands out, answers in.
//!
//! ```text
//!   intact ──► a call begins ──► not intact ──► all its answers are there ──► intact
//!                                    │
//!                                    └─ an error of the socket or the protocol, a read timeout,
//!                                       a kill, a panic ──► closed, for good
//! ```
//!
//! So no call can be given the answer of another one, whatever ended that. redis instead counts the answers
//! that nobody waits for any more and skips them when they come, which trusts that each does.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use ::redis::{
    Cmd, ConnectionLike, ControlFlow, ErrorKind, HotkeysCommands, Msg, ProtocolVersion,
    PubSubCommands, PushInfo, RedisConnectionInfo, RedisError, RedisResult, ServerError,
    ServerErrorKind, ToRedisArgs, Value, cmd,
};
use evy_runtime::nursery;

use super::incoming::Incoming;
use super::pubsub::{self, PubSub};
use super::session::Session;
use super::setup::set_up;
use super::stream::Stream;

/// A connection to a Redis server: [`redis::Connection`](::redis::Connection), but that its calls park the
/// green thread. [`Client::get_connection`](super::Client::get_connection) makes it.
///
/// Commands are the methods of [`Commands`](::redis::Commands) or [`TypedCommands`](::redis::TypedCommands), or
/// are built by [`cmd`](::redis::cmd) and [`pipe`](::redis::pipe):
///
/// ```
#[doc = answers!(r"+OK\r\n:2\r\n$1\r\n2\r\n")]
/// use evy_patched::redis::{self, Client, Commands};
///
/// let mut connection = Client::open(url)?.get_connection()?;
/// let () = connection.set("count", 1)?;
/// let (count, text): (i32, String) =
///     redis::pipe().incr("count", 1).get("count").query(&mut connection)?;
/// assert_eq!((count, text.as_str()), (2, "2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A call that does not come to its end closes the connection ([the module](super#interrupted-calls)):
///
/// ```
#[doc = answers!(r"")]
/// use std::time::Duration;
///
/// use evy_patched::redis::{Client, Commands, ConnectionLike};
///
/// let mut connection = Client::open(url)?.get_connection()?;
/// let limit = Duration::from_millis(5);
/// let late = evy_runtime::timeout(limit, || connection.get::<_, String>("key"));
/// assert!(late.is_err() && !connection.is_open());
/// assert!(connection.get::<_, String>("key").unwrap_err().is_connection_dropped());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Yields
///
/// Each call parks until its answer is there, and while the socket has no room for the request.
pub struct Connection {
    stream: Stream,
    incoming: Incoming,
    /// How it was set up, and is again after a `RESET`.
    info: RedisConnectionInfo,
    /// Whether everything that was asked has been answered.
    intact: bool,
    /// Subscribed, because a [`PubSub`] is or was in use and its end failed or did not come.
    subscribed: bool,
    session: Session,
    /// When it was made, or a pool's user gave it back.
    idle_since: Instant,
}

impl Connection {
    /// Sets up a connection with a server at the other end of `stream`.
    pub(super) fn new(stream: Stream, info: RedisConnectionInfo) -> RedisResult<Self> {
        let mut connection = Self {
            stream,
            incoming: Incoming::new(),
            info,
            intact: true,
            subscribed: false,
            session: Session::default(),
            idle_since: Instant::now(),
        };
        set_up(&mut connection, false)?;
        connection.session = Session::default();
        connection.idle_since = Instant::now();
        Ok(connection)
    }

    /// Sends a packed command and does not wait for the answer, which [`recv_response`](Self::recv_response)
    /// reads. It is for commands as `MONITOR`, that have many. A call in between takes the answer for its own.
    ///
    /// ```
    #[doc = answers!(r"+OK\r\n+1 [0 127.0.0.1:1] 'ping'\r\n")]
    /// use evy_patched::redis::{self, Client, Value};
    ///
    /// let mut connection = Client::open(url)?.get_connection()?;
    /// connection.send_packed_command(&redis::cmd("MONITOR").get_packed_command())?;
    /// assert_eq!(connection.recv_response()?, Value::Okay);
    /// assert!(matches!(connection.recv_response()?, Value::SimpleString(line) if line.ends_with("'ping'")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Client` for an empty one; `Io`, and the connection is closed.
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    pub fn send_packed_command(&mut self, cmd: &[u8]) -> RedisResult<()> {
        if cmd.is_empty() {
            return Err((ErrorKind::Client, "empty command").into());
        }
        self.session.get_out_of_step();
        self.call(|connection| connection.send(cmd))
    }

    /// Reads one value: an answer, or a push of RESP3. See [`send_packed_command`](Self::send_packed_command).
    ///
    /// # Errors
    ///
    /// `Io`, a read timeout included, or `Parse`; the connection is closed.
    ///
    /// # Yields
    ///
    /// Until the value is there.
    pub fn recv_response(&mut self) -> RedisResult<Value> {
        self.call(|connection| connection.incoming.read(&connection.stream))
    }

    /// How long a write may wait for room; `None`, as at first, is for ever. A call that it ends closes the
    /// connection.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero, as `Io`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> RedisResult<()> {
        Ok(self.stream.set_write_timeout(dur)?)
    }

    /// How long a read may wait for the server; `None`, as at first, is for ever. A call that it ends closes the
    /// connection, but for [`PubSub::get_message`].
    ///
    /// ```
    #[doc = answers!(r"")]
    /// use std::time::Duration;
    ///
    /// use evy_patched::redis::{Client, Commands, ConnectionLike};
    ///
    /// let mut connection = Client::open(url)?.get_connection()?;
    /// connection.set_read_timeout(Some(Duration::from_millis(5)))?;
    /// assert!(connection.get::<_, String>("key").unwrap_err().is_timeout());
    /// assert!(!connection.is_open());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero, as `Io`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> RedisResult<()> {
        Ok(self.stream.set_read_timeout(dur)?)
    }

    /// Uses the connection for subscriptions, until what this returns is dropped.
    ///
    /// # Yields
    ///
    /// Never; its drop does, if it was subscribed to anything.
    pub fn as_pubsub(&mut self) -> PubSub<'_> {
        PubSub::new(self)
    }

    /// Has every push of the server (RESP3) sent there, and a last one when the connection is closed.
    ///
    /// Pushes are read along with answers. Who waits for nothing else reads them by
    /// [`recv_response`](Self::recv_response); to wait at the other end of the channel would block the OS
    /// thread.
    ///
    /// ```
    #[doc = answers!(r"*1\r\n+OK\r\n>3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n+PONG\r\n")]
    /// # let url = format!("{url}?protocol=resp3");
    /// use evy_patched::redis::{Client, ConnectionLike, PushKind};
    ///
    /// let mut connection = Client::open(url)?.get_connection()?;
    /// let (sender, pushes) = std::sync::mpsc::channel();
    /// connection.set_push_sender(sender);
    /// assert!(connection.check_connection());
    /// assert_eq!(pushes.try_recv()?.kind, PushKind::Message);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn set_push_sender(&mut self, sender: Sender<PushInfo>) {
        self.incoming.pass_pushes_to(Some(sender));
    }

    /// Subscribes to a channel, or several, of which messages come as pushes
    /// ([`set_push_sender`](Self::set_push_sender)).
    ///
    /// # Errors
    ///
    /// `InvalidClientConfig` where the connection does not speak RESP3; those of a call.
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    pub fn subscribe_resp3<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.send_resp3("SUBSCRIBE", channel)
    }

    /// [`subscribe_resp3`](Self::subscribe_resp3) for patterns.
    ///
    /// # Errors
    ///
    /// As [`subscribe_resp3`](Self::subscribe_resp3).
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    pub fn psubscribe_resp3<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.send_resp3("PSUBSCRIBE", pchannel)
    }

    /// Ends what [`subscribe_resp3`](Self::subscribe_resp3) has begun.
    ///
    /// # Errors
    ///
    /// As [`subscribe_resp3`](Self::subscribe_resp3).
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    pub fn unsubscribe_resp3<T: ToRedisArgs>(&mut self, channel: T) -> RedisResult<()> {
        self.send_resp3("UNSUBSCRIBE", channel)
    }

    /// Ends what [`psubscribe_resp3`](Self::psubscribe_resp3) has begun.
    ///
    /// # Errors
    ///
    /// As [`subscribe_resp3`](Self::subscribe_resp3).
    ///
    /// # Yields
    ///
    /// While the socket has no room.
    pub fn punsubscribe_resp3<T: ToRedisArgs>(&mut self, pchannel: T) -> RedisResult<()> {
        self.send_resp3("PUNSUBSCRIBE", pchannel)
    }

    /// A command that is answered by pushes.
    fn send_resp3(&mut self, name: &str, channels: impl ToRedisArgs) -> RedisResult<()> {
        if self.info.protocol() == ProtocolVersion::RESP2 {
            return Err(
                (ErrorKind::InvalidClientConfig, "RESP3 is required for this command").into()
            );
        }
        cmd(name).arg(channels).set_no_response(true).exec(self)
    }

    pub(super) fn info(&self) -> &RedisConnectionInfo {
        &self.info
    }

    /// Whether whoever uses it next finds it as a new one.
    pub(super) fn is_clean(&self) -> bool {
        self.intact && !self.subscribed && self.session.is_clean()
    }

    /// Makes it as a new one, by `RESET` if need be. Returns whether it is.
    pub(super) fn clean(&mut self) -> RedisResult<bool> {
        if !self.intact || self.session.is_out_of_step() {
            return Ok(false);
        }
        if self.subscribed {
            pubsub::unsubscribe_all(self)?;
        }
        if !self.session.is_clean() {
            set_up(self, true)?;
            self.session = Session::default();
        }
        Ok(true)
    }

    /// Takes off what a pool's user has set here. Before it is cleaned: their timeouts are not for that.
    pub(super) fn rest(&mut self) -> RedisResult<()> {
        self.incoming.pass_pushes_to(None);
        self.set_read_timeout(None)?;
        self.set_write_timeout(None)?;
        self.idle_since = Instant::now();
        Ok(())
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Whether the server has left, or has said what nobody asked for, while nobody used it.
    pub(super) fn is_spoilt(&self) -> bool {
        self.incoming.has_more() || self.stream.is_spoilt()
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    pub(super) fn set_subscribed(&mut self, subscribed: bool) {
        self.subscribed = subscribed;
    }

    /// Sends a request, and hands each of its answers to `each`.
    pub(super) fn request(
        &mut self,
        packed: &[u8],
        answers: usize,
        mut each: impl FnMut(Value),
    ) -> RedisResult<()> {
        if packed.is_empty() {
            return Err((ErrorKind::Client, "empty command").into());
        }
        self.check()?;
        if self.subscribed {
            // What a `PubSub` that was never dropped has left behind.
            pubsub::unsubscribe_all(self)?;
        }
        let concerned = self.session.note(packed, answers);
        let mut refused = false;
        self.request_raw(packed, answers, |answer| {
            refused |= matches!(answer, Value::ServerError(_));
            each(answer);
        })?;
        if concerned && refused {
            self.session.change();
        }
        Ok(())
    }

    /// [`request`](Self::request), whatever state the connection is in or comes into.
    pub(super) fn request_raw(
        &mut self,
        packed: &[u8],
        answers: usize,
        each: impl FnMut(Value),
    ) -> RedisResult<()> {
        self.call(|connection| connection.exchange(packed, answers, each))
    }

    /// Sends commands, and reads until `each` has found what it wants among the answers and pushes.
    pub(super) fn converse<T>(
        &mut self,
        packed: &[u8],
        mut each: impl FnMut(Value) -> RedisResult<Option<T>>,
    ) -> RedisResult<T> {
        self.call(|connection| {
            connection.send(packed)?;
            loop {
                if let Some(found) = each(connection.incoming.read(&connection.stream)?)? {
                    return Ok(found);
                }
            }
        })
    }

    /// The next message or push. A read that times out, or is cut off, has not broken anything.
    pub(super) fn read_message(&mut self) -> RedisResult<Value> {
        self.check()?;
        let result = self.incoming.read(&self.stream);
        if result.as_ref().is_err_and(|error| !error.is_timeout()) {
            self.break_off();
        }
        result
    }

    /// Runs a part of the conversation. If it does not come to its end the connection has.
    fn call<T>(&mut self, body: impl FnOnce(&mut Self) -> RedisResult<T>) -> RedisResult<T> {
        self.check()?;
        self.intact = false;
        let call = Call(self);
        let result = body(call.0)?;
        call.0.intact = true;
        Ok(result)
    }

    fn check(&self) -> RedisResult<()> {
        if self.intact {
            return Ok(());
        }
        let text = "this connection is closed: an earlier call on it failed or was interrupted";
        Err(io::Error::new(io::ErrorKind::NotConnected, text).into())
    }

    fn break_off(&mut self) {
        self.intact = false;
        self.stream.close();
        self.incoming.tell_disconnected();
    }

    fn send(&mut self, packed: &[u8]) -> RedisResult<()> {
        (&self.stream).write_all(packed).map_err(|error| self.why_unsent(error))
    }

    /// Where the server has closed the connection, it may have said why.
    fn why_unsent(&mut self, error: io::Error) -> RedisError {
        let gone =
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        let last_words = if gone { self.incoming.last_words(&self.stream) } else { None };
        last_words.unwrap_or_else(|| error.into())
    }

    fn exchange(
        &mut self,
        packed: &[u8],
        answers: usize,
        mut each: impl FnMut(Value),
    ) -> RedisResult<()> {
        if answers < 2 {
            self.send(packed)?;
        } else {
            let sent = self.stream.write_now(packed).map_err(|error| self.why_unsent(error))?;
            if sent < packed.len() {
                return self.exchange_at_once(&packed[sent..], answers, each);
            }
        }
        for _ in 0..answers {
            each(self.incoming.answer(&self.stream)?);
        }
        Ok(())
    }

    /// Reads answers while the rest of the request is still being written. A server that waits for its
    /// answers to be read before it reads on would otherwise wait for us, and we for it.
    fn exchange_at_once(
        &mut self,
        rest: &[u8],
        answers: usize,
        mut each: impl FnMut(Value),
    ) -> RedisResult<()> {
        let Self { stream, incoming, .. } = self;
        let stream = &*stream;
        nursery(|nursery| {
            let writer = nursery.spawn(move || {
                let result = { stream }.write_all(rest);
                if result.is_err() {
                    // There will be no answers to wait for.
                    stream.close();
                }
                result
            });
            let read = (0..answers).try_for_each(|_| {
                each(incoming.answer(stream)?);
                Ok(())
            });
            if read.is_err() {
                stream.close();
            }
            match writer.wait() {
                // Which of them was first: closing gives the other one this.
                Ok(Err(error)) if error.kind() != io::ErrorKind::NotConnected => Err(error.into()),
                _ => read,
            }
        })
    }
}

/// A call under way. If it is dropped before its end, what comes next from the server belongs to nobody.
struct Call<'a>(&'a mut Connection);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.0.intact {
            self.0.break_off();
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        let mut answer = Value::Nil;
        self.request(cmd, 1, |value| answer = value)?;
        Ok(answer)
    }

    fn req_packed_commands(
        &mut self,
        cmd: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut answers = Vec::with_capacity(count);
        let mut refused = Vec::new();
        let mut index = 0;
        self.request(cmd, offset + count, |answer| {
            match answer {
                answer if index >= offset => answers.push(answer),
                Value::ServerError(error) => refused.push((index, error)),
                // `MULTI` was done, or a command is in the queue.
                _ => {}
            }
            index += 1;
        })?;
        if refused.is_empty() { Ok(answers) } else { Err(aborted(refused)) }
    }

    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let packed = cmd.get_packed_command();
        if !cmd.is_no_response() {
            return self.req_packed_command(&packed);
        }
        self.request(&packed, 0, drop)?;
        Ok(Value::Nil)
    }

    fn get_db(&self) -> i64 {
        self.info.db()
    }

    fn check_connection(&mut self) -> bool {
        cmd("PING").query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.intact
    }
}

/// The error of a transaction some of whose commands the server did not put in the queue.
fn aborted(refused: Vec<(usize, ServerError)>) -> RedisError {
    if let [(0, error), ..] = &*refused {
        // `MULTI` itself.
        return error.clone().into();
    }
    // The first one is `MULTI`.
    let list: Vec<_> = refused
        .iter()
        .map(|(index, error)| format!("(Index {}, error: {error})", index - 1))
        .collect();
    let kind = ErrorKind::Server(ServerErrorKind::ExecAbort);
    (kind, "Transaction aborted", format!("[{}]", list.join(", "))).into()
}

impl PubSubCommands for Connection {
    fn subscribe<C, F, U>(&mut self, channels: C, func: F) -> RedisResult<U>
    where
        F: FnMut(Msg) -> ControlFlow<U>,
        C: ToRedisArgs,
    {
        let mut pubsub = self.as_pubsub();
        pubsub.subscribe(channels)?;
        pubsub.listen(func)
    }

    fn psubscribe<P, F, U>(&mut self, patterns: P, func: F) -> RedisResult<U>
    where
        F: FnMut(Msg) -> ControlFlow<U>,
        P: ToRedisArgs,
    {
        let mut pubsub = self.as_pubsub();
        pubsub.psubscribe(patterns)?;
        pubsub.listen(func)
    }
}

impl HotkeysCommands for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("db", &self.info.db())
            .field("is_open", &self.intact)
            .finish_non_exhaustive()
    }
}
