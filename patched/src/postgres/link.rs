//! What a client shares with who moves its bytes.
//!
//! tokio-postgres splits a connection in two: a client, whose calls only queue what is to be sent and wait
//! for the answer, and a future that reads and writes the socket. That future runs in the background, with
//! those of all other connections of the OS thread, on one green thread ([`spawn_future`]):
//!
//! ```text
//!   green threads with clients                 in the background
//!   call: queue a request, park   ───────────► write it
//!   take the answer, go on        ◄─────────── read the answer, find the request that it belongs to
//!                                              notices, notifications ──► kept in the link
//! ```
//!
//! *A call that is cut short* (killed, timed out) leaves its request: the future behind reads the answer and
//! throws it away, so the next call gets its own. Whether that may take long is what [`Link::is_settled`]
//! says; the drop of a client, and the pool, look at it.
//!
//! *A copy that fails* may leave an answer too many: tokio-postgres ends a statement and the copy of its data
//! each in its own way, and the server answers both if it fails in between. So a question is sent behind it
//! whose answer cannot be mistaken, and the next call looks at that first; see [`Copying`].
//!
//! *Code of users* never runs in the background, where it would hold up all connections: a notice wakes the
//! call that waits, or is kept for the next one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evy_runtime::{Alarm, block_on, spawn_future};
use futures_util::Stream;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Notification, SimpleQueryStream};

use super::failure;
use super::watched::Standing;

/// How long a connection whose client is gone may take to end in good order.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How many notices are kept; of more, the last.
const NOTICES: usize = 1024;

/// After how many messages those who wait for them have a turn.
const BATCH: usize = 64;

pub(super) type NoticeCallback = Arc<dyn Fn(DbError) + Send + Sync>;

/// Shared by a client, what borrows from it, and its connection in the background.
pub(super) struct Link {
    /// What the server said last; see [`Watched`](super::watched::Watched).
    standing: Rc<Cell<Standing>>,
    /// No answer is outstanding but such as come at once.
    is_settled: Cell<bool>,
    phase: Cell<Phase>,
    /// What has ended the connection, as long as nobody has been told.
    failure: Cell<Option<Error>>,
    /// What has the connection looked at in the background, where nothing of its own does.
    driver: Cell<Option<Waker>>,
    /// What was asked behind a copy that has failed.
    doubt: RefCell<Option<Pin<Box<SimpleQueryStream>>>>,
    notifications: RefCell<VecDeque<Notification>>,
    notices: RefCell<VecDeque<DbError>>,
    notice_callback: NoticeCallback,
    /// Who waits for a message, or for the end; see [`listen`](Link::listen).
    listener: Cell<Option<Waker>>,
}

/// How far a connection is. There is no way back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It takes requests.
    Open,
    /// There is no client any more: it has [a time](FAREWELL) to end in good order.
    Left,
    /// It has ended, or has been broken off. What is in the background still has it, and its calls.
    Over,
    /// Nothing is in the background any more.
    Gone,
}

impl Link {
    pub(super) fn new(standing: Rc<Cell<Standing>>, notice_callback: NoticeCallback) -> Rc<Self> {
        Rc::new(Self {
            standing,
            is_settled: Cell::new(true),
            phase: Cell::new(Phase::Open),
            failure: Cell::new(None),
            driver: Cell::new(None),
            doubt: RefCell::default(),
            notifications: RefCell::default(),
            notices: RefCell::default(),
            notice_callback,
            listener: Cell::new(None),
        })
    }

    /// Has the connection driven in the background, to its end.
    pub(super) fn drive<S, T>(self: &Rc<Self>, connection: Connection<S, T>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut connection = connection;
        let driven = Driven(Rc::clone(self));
        spawn_future(async move {
            let mut farewell = None;
            let end = poll_fn(|context| {
                driven.0.poll_connection(&mut connection, &mut farewell, context)
            });
            let end = end.await;
            // It is known before the connection drops what calls wait with.
            driven.0.end(end.err());
        });
    }

    fn poll_connection<S, T>(
        &self,
        connection: &mut Connection<S, T>,
        farewell: &mut Option<Alarm>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if self.is_over() {
            // It was broken off.
            return Poll::Ready(Ok(()));
        }
        keep_waker(&self.driver, context);
        let mut count = 0;
        while count < BATCH {
            match connection.poll_message(context) {
                Poll::Ready(Some(Ok(message))) => self.receive(message),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
            count += 1;
        }
        if count == BATCH {
            context.waker().wake_by_ref();
        }
        if self.phase.get() != Phase::Left {
            return Poll::Pending;
        }
        let farewell = farewell.get_or_insert_with(|| Alarm::after(FAREWELL));
        Pin::new(farewell).poll(context).map(Ok)
    }

    fn receive(&self, message: AsyncMessage) {
        match message {
            AsyncMessage::Notice(notice) => {
                let mut notices = self.notices.borrow_mut();
                if notices.len() == NOTICES {
                    notices.pop_front();
                }
                notices.push_back(notice);
                drop(notices);
                self.wake_listener();
            }
            AsyncMessage::Notification(notification) => {
                self.notifications.borrow_mut().push_back(notification);
                self.wake_listener();
            }
            _ => {}
        }
    }

    fn wake_listener(&self) {
        if let Some(waker) = self.listener.take() {
            waker.wake();
        }
    }

    /// Makes a call, and waits for all of its answer.
    pub(super) fn call<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = self.begin(answer);
        if result.is_ok() {
            self.settle();
        }
        result
    }

    /// Makes a call of which more is to come: by [`more`](Self::more), until [`settle`](Self::settle).
    ///
    /// One that fails by itself leaves it open what was sent, and what is still to come.
    pub(super) fn begin<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.resolve_doubt();
        if self.is_over() {
            self.wait_until_gone();
        }
        self.is_settled.set(false);
        let result = self.wait(answer);
        if let Err(error) = &result {
            self.take_in(error);
        }
        self.deliver_notices();
        result.map_err(|error| self.explain(error))
    }

    fn take_in(&self, error: &Error) {
        if error.as_db_error().is_some() {
            // It has all earlier answers before it.
            self.settle();
        } else if is_unexpected(error) {
            // Nobody knows what the server and tokio-postgres take each other's words for.
            self.break_off(None);
        }
    }

    /// The next piece of an answer that was [begun](Self::begin).
    pub(super) fn more<S, T>(&self, mut stream: Pin<&mut S>) -> Option<Result<T, Error>>
    where
        S: Stream<Item = Result<T, Error>>,
    {
        // Before a piece is taken: it would be lost if that is cut short.
        self.deliver_notices();
        let piece = self.wait(stream.next());
        match &piece {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.take_in(error),
            None => self.settle(),
        }
        if !matches!(piece, Some(Ok(_))) {
            self.deliver_notices();
        }
        Some(piece?.map_err(|error| self.explain(error)))
    }

    /// All answers are there.
    pub(super) fn settle(&self) {
        self.is_settled.set(true);
    }

    /// Whether no answer is outstanding but such as come at once.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.get()
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// Something was sent for whose answer nobody waits.
    pub(super) fn forget_standing(&self) {
        self.standing.set(Standing::Unknown);
    }

    /// The client goes. While a request is being written, nothing but this tells the future behind.
    pub(super) fn leave(&self) {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Left);
        }
        self.wake_driver();
    }

    fn wake_driver(&self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Ends the connection, whatever is under way.
    fn break_off(&self, failure: Option<Error>) {
        if self.end(failure) {
            self.wake_driver();
        }
    }

    /// The connection is over, because of that; whether it was not so before.
    fn end(&self, failure: Option<Error>) -> bool {
        let is_first = !self.is_over();
        if is_first {
            self.failure.set(failure);
            self.phase.set(Phase::Over);
        }
        is_first
    }

    /// Waits until a connection that is over takes no more requests.
    fn wait_until_gone(&self) {
        self.listen(|_| match self.phase.get() {
            Phase::Gone => Poll::Ready(()),
            _ => Poll::Pending,
        });
    }

    /// Waits until `poll` has what it wants, which is asked at each message and at the end of the connection.
    pub(super) fn listen<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        // The runtime uses what a waker stands for again once nobody has one, so none stays behind.
        let _listening = Listening(self);
        block_on(poll_fn(|context| {
            let ready = poll(context);
            if ready.is_pending() {
                keep_waker(&self.listener, context);
            }
            ready
        }))
    }

    /// A copy has failed: asks behind it. The next call looks at the answer.
    fn doubt(&self, client: &Client) {
        if self.is_in_doubt() {
            // That call never came to send anything.
            return;
        }
        let context = &mut Context::from_waker(Waker::noop());
        // It only sends, and does not wait. It fails if the connection has ended.
        if let Poll::Ready(Ok(answer)) = pin!(client.simple_query_raw("")).poll(context) {
            *self.doubt.borrow_mut() = Some(Box::pin(answer));
        }
    }

    /// Whether a copy has failed since the last call.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.borrow().is_some()
    }

    /// Waits for what was asked behind a copy. Cut short, the next call does so again.
    fn resolve_doubt(&self) {
        if !self.is_in_doubt() {
            return;
        }
        let answer = self.wait(poll_fn(|context| match &mut *self.doubt.borrow_mut() {
            Some(answer) => answer.as_mut().poll_next(context),
            None => Poll::Ready(None),
        }));
        *self.doubt.borrow_mut() = None;
        let is_its_own = match answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.is_closed() || error.as_db_error().is_some(),
            None => false,
        };
        if !is_its_own {
            let text = "a copy that was refused has left one answer too many";
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, text);
            self.break_off(Some(failure::of_io(error)));
        }
    }

    /// Whether the connection has ended, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase.get(), Phase::Over | Phase::Gone)
    }

    /// Waits for the end.
    pub(super) fn wait_for_end(&self) -> Result<(), Error> {
        self.listen(|_| if self.is_over() { Poll::Ready(()) } else { Poll::Pending });
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Says of a closed connection what closed it, to the first who asks.
    fn explain(&self, error: Error) -> Error {
        if error.is_closed() { self.failure.take().unwrap_or(error) } else { error }
    }

    /// Waits for something, and delivers the notices that come meanwhile.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let ready = self.listen(|context| match future.as_mut().poll(context) {
                Poll::Ready(ready) => Poll::Ready(Some(ready)),
                Poll::Pending if !self.notices.borrow().is_empty() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(ready) = ready {
                return ready;
            }
            self.deliver_notices();
        }
    }

    /// Calls code of the user.
    fn deliver_notices(&self) {
        loop {
            let Some(notice) = self.notices.borrow_mut().pop_front() else { return };
            (self.notice_callback)(notice);
        }
    }

    /// How many notifications wait to be taken.
    pub(super) fn pending_notifications(&self) -> usize {
        self.notifications.borrow().len()
    }

    pub(super) fn next_notification(&self) -> Option<Notification> {
        self.notifications.borrow_mut().pop_front()
    }

    /// The next notification; without one, `None` at the end of the connection.
    ///
    /// Who gets neither [listens](Self::listen).
    pub(super) fn poll_notification(&self) -> Poll<Option<Result<Notification, Error>>> {
        if let Some(notification) = self.next_notification() {
            return Poll::Ready(Some(Ok(notification)));
        }
        if self.is_over() {
            return Poll::Ready(self.failure.take().map(Err));
        }
        Poll::Pending
    }

    /// Drops what came for an earlier user.
    pub(super) fn forget_messages(&self) {
        let notifications = mem::take(&mut *self.notifications.borrow_mut());
        let notices = mem::take(&mut *self.notices.borrow_mut());
        drop((notifications, notices));
    }
}

/// Whether it is about a message that has no place where it came.
fn is_unexpected(error: &Error) -> bool {
    // It has no other mark; a test would tell if the words changed.
    error.to_string() == "unexpected message from server"
}

/// A `COPY … FROM STDIN`, from before it is sent until it is well.
///
/// tokio-postgres sends one `Sync` with the statement, and another one with the end of the data. The server
/// ignores the first if it reads it as a part of the copy. If it refuses the statement, or a trigger fails
/// before the data, it answers both, and the second answer would be taken for that of the next call.
pub(super) struct Copying<'a> {
    link: &'a Link,
    client: &'a Client,
    is_well: bool,
}

impl<'a> Copying<'a> {
    pub(super) fn new(link: &'a Link, client: &'a Client) -> Self {
        Self { link, client, is_well: false }
    }

    pub(super) fn link(&self) -> &'a Link {
        self.link
    }

    /// The copy has its end.
    pub(super) fn finish(
        &mut self,
        answer: impl Future<Output = Result<u64, Error>>,
    ) -> Result<u64, Error> {
        let result = self.link.call(answer);
        self.is_well = result.is_ok();
        result
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if !self.is_well {
            self.link.doubt(self.client);
        }
    }
}

/// The connection is in the background. However that ends, whoever waits for it is told.
struct Driven(Rc<Link>);

impl Drop for Driven {
    fn drop(&mut self) {
        let Self(link) = self;
        link.phase.set(Phase::Gone);
        drop(link.driver.take());
        link.wake_listener();
    }
}

/// Somebody waits with the listener's waker, until this is dropped: however the wait ends.
struct Listening<'a>(&'a Link);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        drop(self.0.listener.take());
    }
}

/// Keeps the waker of `context` there, where it is not that already: most polls have the one of the last.
fn keep_waker(slot: &Cell<Option<Waker>>, context: &Context<'_>) {
    let kept = match slot.take() {
        Some(kept) if kept.will_wake(context.waker()) => kept,
        _ => context.waker().clone(),
    };
    slot.set(Some(kept));
}

#[cfg(test)]
mod tests {
    use evy_runtime::timeout;

    use super::*;

    fn link() -> Rc<Link> {
        Link::new(Rc::new(Cell::new(Standing::Unknown)), Arc::new(|_| ()))
    }

    #[test]
    fn no_waker_stays_behind_when_a_wait_is_over() {
        let link = link();
        let mut is_second = false;
        link.listen(|context| {
            if mem::replace(&mut is_second, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(is_second && link.listener.take().is_none());
        // However it ends.
        let cut_short = timeout(Duration::from_millis(1), || link.listen(|_| Poll::<()>::Pending));
        assert!(cut_short.is_err() && link.listener.take().is_none());
    }

    #[test]
    fn the_waker_that_is_kept_is_that_of_the_last_poll() {
        let slot = Cell::new(None);
        let [first, second] = [(); 2].map(|()| Arc::new(Nobody));
        let [one, other] = [&first, &second].map(|nobody| Waker::from(Arc::clone(nobody)));
        for _ in 0..3 {
            keep_waker(&slot, &Context::from_waker(&one));
            assert_eq!(Arc::strong_count(&first), 3);
        }
        keep_waker(&slot, &Context::from_waker(&other));
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (2, 3));
        assert!(slot.take().is_some_and(|kept| kept.will_wake(&other)));
    }

    struct Nobody;

    impl std::task::Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
}
