//! One connection: from its first bytes to its last.
//!
//! ```text
//!   first bytes ─┬─► HTTP/1.1 ─┬─ upgrade ──► a green thread has the stream
//!                │             ├─ clean ────► closed
//!                │             └─ unclean ──► lingers: what still comes is thrown away, for a while
//!                └─► HTTP/2 ────────────────► closed
//! ```
//!
//! It lingers because to close a socket with unread data resets the connection, and the peer then loses
//! what it has not read yet: the answer that says what was wrong.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evy_runtime::Alarm;
use hyper::rt::{Read, ReadBuf, Write};

use crate::core::Core;
use crate::exchange::Exchange;
use crate::io::Io;
use crate::limits::Limits;
use crate::pulse::{Over, Pulse, Watched};
use crate::service::Service;
use crate::stream::Shared;
use crate::upgrade::OnUpgrade;
use crate::{Stream, Upgraded};

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most that is read of it ahead of hyper.
const FIRST: usize = 4096;

/// What a client that was too slow with its request is told.
const TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How long a connection lingers.
const LINGER: Duration = Duration::from_secs(2);

/// How long one that is being shut down by HTTP/2 has for that.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known of the connection by which a request came: see
/// [`RequestBody::connection`](crate::RequestBody::connection).
///
/// ```
/// fn whoami(request: evy_http::Request) -> String {
///     format!("{:?}\n", request.body().connection().peer_addr)
/// }
/// # let _ = whoami;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The client's address; `None` for a Unix socket.
    pub peer_addr: Option<SocketAddr>,
    /// Whether it is under TLS.
    pub is_tls: bool,
}

impl ConnectionInfo {
    pub(crate) fn of(stream: &Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => Self { peer_addr: stream.peer_addr().ok(), is_tls: false },
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Self { peer_addr: stream.peer_addr().ok(), is_tls: true },
            Stream::Unix(_) => Self::default(),
        }
    }
}

/// What a connection is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    None,
    /// To end with the answers that are under way.
    Finish,
    /// To end now, for a time is over.
    Cut(Over),
}

pub(crate) struct Connection {
    core: Rc<Core>,
    info: ConnectionInfo,
    pulse: Rc<Pulse>,
    pub(crate) watched: RefCell<Watched>,
    order: Cell<Order>,
    /// Its future's.
    waker: Cell<Option<Waker>>,
    upgrade: Cell<Option<OnUpgrade>>,
    /// Only its handlers are left.
    is_left: Cell<bool>,
    /// What it runs over, for those who look.
    stream: RefCell<Option<Shared>>,
    /// Its last exchange, to be used again. It has this connection in turn: it goes when that ends.
    exchange: Cell<Option<Rc<Exchange>>>,
    /// Handlers that run for it.
    pub(crate) handlers: Cell<u32>,
}

impl Connection {
    pub(crate) fn new(core: &Rc<Core>, info: ConnectionInfo) -> Rc<Self> {
        Rc::new(Self {
            core: Rc::clone(core),
            info,
            pulse: Rc::default(),
            watched: RefCell::new(Watched::new(Instant::now())),
            order: Cell::new(Order::None),
            waker: Cell::default(),
            upgrade: Cell::default(),
            is_left: Cell::new(false),
            stream: RefCell::default(),
            exchange: Cell::default(),
            handlers: Cell::new(0),
        })
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        self.info
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// An exchange that nobody has any more.
    pub(crate) fn spare_exchange(&self) -> Option<Rc<Exchange>> {
        self.exchange.take().filter(|exchange| Rc::strong_count(exchange) == 1)
    }

    /// Keeps an exchange for the next request.
    pub(crate) fn keep_exchange(&self, exchange: &Rc<Exchange>) {
        self.exchange.set(Some(Rc::clone(exchange)));
    }

    /// Whether its first request is still to come, or to end.
    pub(crate) fn is_new(&self) -> bool {
        self.pulse.requests.get() == 0
    }

    /// Ends it with the answers that are under way: now, where there are none.
    pub(crate) fn finish(&self) {
        match self.is_in_a_head() {
            true => self.order(Order::Cut(Over::Head)),
            false => self.order(Order::Finish),
        }
    }

    /// Whether some of a request has come, and not all of its head.
    pub(crate) fn is_in_a_head(&self) -> bool {
        self.pulse.is_in_a_head()
    }

    pub(crate) fn order(&self, order: Order) {
        match self.order.get() {
            Order::Cut(_) => return,
            old if old == order => return,
            _ => self.order.set(order),
        }
        self.wake();
    }

    /// The end of a request's body was read, or nobody has it any more.
    pub(crate) fn body_has_ended(&self) {
        self.pulse.close_body();
        // A stop may wait for that.
        if self.order.get() != Order::None {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Has the connection go on by `upgrade` when its answer is sent.
    pub(crate) fn upgrade(&self, upgrade: OnUpgrade) {
        self.upgrade.set(Some(upgrade));
    }

    /// Its whole life.
    pub(crate) async fn serve(self: Rc<Self>, stream: Stream) {
        stream.finish_itself(true);
        let core = Rc::clone(&self.core);
        let key = core.connections.borrow_mut().insert(Rc::clone(&self));
        let _listed = Listed { core: &core, key };
        core.arrivals.wake_all();
        self.note_waker().await;
        let stream = Shared::new(stream);
        *self.stream.borrow_mut() = Some(stream.clone());
        let mut io = Io::new(stream, Rc::clone(&self.pulse));
        match self.unless_ended(read_first(&mut io)).await {
            Some(Ok(first)) if first.is_empty() => {}
            Some(Ok(first)) => {
                let is_http2 = first.starts_with(PREFACE);
                io.unread(first);
                match is_http2 {
                    true => self.serve_http2(io).await,
                    false => self.serve_http1(io).await,
                }
            }
            Some(Err(_)) => {}
            None if self.pulse.bytes_read.get() > 0 => {
                tell_timeout(&mut io).await;
                self.close(&mut io, true).await;
            }
            None => {}
        }
        self.wait_for_handlers().await;
        // Handlers may have this connection for longer; its client has not.
        drop(self.stream.take());
    }

    /// A client that goes leaves its handlers behind. It counts as one until they have ended: else it could
    /// come again, and leave more.
    async fn wait_for_handlers(&self) {
        if self.handlers.get() == 0 {
            return;
        }
        self.is_left.set(true);
        if let Some(stream) = &*self.stream.borrow() {
            stream.shut_down();
        }
        poll_fn(|_| if self.handlers.get() == 0 { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// A handler that ran for it has ended.
    pub(crate) fn handler_has_ended(&self) {
        self.handlers.set(self.handlers.get() - 1);
        if self.is_left.get() && self.handlers.get() == 0 {
            self.wake();
        }
    }

    /// Whether the client is gone, which a handler that waits for something else would not notice.
    pub(crate) fn is_reset(&self) -> bool {
        self.stream.borrow().as_ref().is_some_and(Shared::is_reset)
    }

    async fn note_waker(&self) {
        poll_fn(|context| {
            self.waker.set(Some(context.waker().clone()));
            Poll::Ready(())
        })
        .await;
    }

    /// What `future` gives; `None` if the connection is to end before it has.
    async fn unless_ended<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| match (future.as_mut().poll(context), self.order.get()) {
            (Poll::Ready(value), _) => Poll::Ready(Some(value)),
            (Poll::Pending, Order::None) => Poll::Pending,
            (Poll::Pending, _) => Poll::Ready(None),
        })
        .await
    }

    async fn serve_http1(self: &Rc<Self>, io: Io) {
        let mut http = self.core.http1.serve_connection(io, Service(Rc::clone(self)));
        let mut is_told = false;
        let end = poll_fn(|context| {
            match self.order.get() {
                Order::None => {}
                Order::Finish if is_told => {}
                // hyper would close at once where the answer has said that the connection closes.
                Order::Finish if self.pulse.is_only_read() => {}
                Order::Finish => {
                    is_told = true;
                    // The next request may be there already.
                    if self.pulse.is_in_a_request() {
                        self.pulse.is_unclean.set(true);
                    }
                    Pin::new(&mut http).graceful_shutdown();
                }
                Order::Cut(over) => return Poll::Ready(Err(over)),
            }
            // It ends with a shutdown, for hyper flushes before that one alone.
            Pin::new(&mut http).poll(context).map(Ok)
        })
        .await;
        let parts = http.into_parts();
        let mut io = parts.io;
        match (end, self.upgrade.take()) {
            (Ok(Ok(())), Some(upgrade)) => self.go_on(io, parts.read_buf, upgrade),
            (Ok(result), _) => {
                let is_unclean = result.is_err() || self.pulse.is_unclean.get();
                self.close(&mut io, is_unclean).await;
            }
            // In the middle of an answer it would be taken for a part of that.
            (Err(Over::Body), _) if self.pulse.is_answered.get() => {}
            (Err(Over::Head | Over::Body), _) => {
                drop(parts.service);
                tell_timeout(&mut io).await;
                self.pulse.is_unclean.set(true);
                self.close(&mut io, true).await;
            }
            // What the client has not taken would stay with the system, for minutes.
            (Err(Over::Answer), _) => io.reset_when_closed(),
            (Err(Over::Idle | Over::Gone), _) => {}
        }
    }

    /// Has `upgrade` use the connection in another protocol: for a server that stops, it is one like any
    /// other then.
    fn go_on(&self, io: Io, read_buf: Bytes, upgrade: OnUpgrade) {
        let (stream, ahead) = io.into_parts();
        debug_assert!(ahead.is_empty(), "hyper has read it");
        drop(self.stream.take());
        let stream = stream.into_stream().expect("nobody else has it");
        stream.finish_itself(false);
        let upgraded = Upgraded::new(Rc::clone(&self.core), stream, read_buf);
        self.core.spawn_handler(move || upgrade(upgraded));
    }

    /// Closes the connection, and not before what was sent has had time to arrive.
    async fn close(&self, io: &mut Io, is_unclean: bool) {
        io.look_no_more();
        let mut goodbye = pin!(Alarm::after(LINGER));
        let closing = async {
            if poll_fn(|context| Pin::new(&mut *io).poll_shutdown(context)).await.is_err() {
                return;
            }
            if !is_unclean {
                return;
            }
            let mut buffer = vec![0; FIRST];
            while !self.pulse.saw_end.get() && read(io, &mut buffer).await.is_ok() {}
        };
        let mut closing = pin!(closing);
        poll_fn(|context| {
            if closing.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            goodbye.as_mut().poll(context)
        })
        .await;
    }

    async fn serve_http2(self: &Rc<Self>, mut io: Io) {
        io.look_no_more();
        self.pulse.is_http2.set(true);
        let service = Service(Rc::clone(self));
        let mut http = pin!(self.core.http2.serve_connection(io, service));
        let mut farewell: Option<Pin<Box<Alarm>>> = None;
        let mut is_told = false;
        poll_fn(|context| {
            let order = self.order.get();
            if matches!(order, Order::Cut(over) if over != Over::Idle) {
                return Poll::Ready(());
            }
            if order != Order::None && !is_told {
                is_told = true;
                http.as_mut().graceful_shutdown();
            }
            // Who does not answer to that is not waited for.
            let is_idle = !self.pulse.is_in_a_request() && self.pulse.unsent.get() == 0;
            let is_to_go = match order {
                Order::Cut(Over::Idle) => true,
                order => order == Order::Finish && is_idle,
            };
            if is_to_go && farewell.is_none() {
                farewell = Some(Box::pin(Alarm::after(FAREWELL)));
            }
            if let Some(farewell) = &mut farewell
                && farewell.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(());
            }
            http.as_mut().poll(context).map(drop)
        })
        .await;
    }
}

/// A connection is in its server's list, until this is dropped.
struct Listed<'a> {
    core: &'a Core,
    key: usize,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let connection = self.core.connections.borrow_mut().remove(self.key);
        // There is no future any more that could be woken, and what is kept refers to the connection.
        if let Some(connection) = connection {
            connection.waker.take();
            connection.exchange.take();
            connection.upgrade.take();
        }
    }
}

/// Reads what comes first; nothing at the end of the stream. More than one read is needed where a client
/// of HTTP/2 sends the preface in pieces.
async fn read_first(io: &mut Io) -> io::Result<Bytes> {
    // On the heap: in the future it would stay for as long as the connection.
    let mut first = vec![0; FIRST];
    let mut length = 0;
    loop {
        let count = read(io, &mut first[length..]).await?;
        length += count;
        if count == 0 || length >= PREFACE.len() || !PREFACE.starts_with(&first[..length]) {
            first.truncate(length);
            return Ok(first.into());
        }
    }
}

async fn read(io: &mut Io, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|context| Pin::new(&mut *io).poll_read(context, buffer.unfilled())).await?;
    Ok(buffer.filled().len())
}

/// Says, if there is room, why the connection ends.
async fn tell_timeout(io: &mut Io) {
    poll_fn(|context: &mut Context<'_>| {
        let _ = Pin::new(&mut *io).poll_write(context, TIMED_OUT);
        Poll::Ready(())
    })
    .await;
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("info", &self.info).finish_non_exhaustive()
    }
}
