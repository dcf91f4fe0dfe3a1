//! Waiting for the first of several things.
//!
//! ```text
//!   1. each case tries, in random order         one can: done
//!   2. each case stands in its line, by calls inside one another, and the innermost parks
//!   3. whoever serves one of the lines claims the selection; the others pass it over
//!   4. the calls return, and each case leaves its line; the one that was served has its result
//! ```
//!
//! A descriptor that becomes ready, a refused send and a deadline decide nothing by themselves: the
//! cases try again then. Between the tries and the park nobody else runs, so nothing is missed.
//!
//! Code of users that parks while others still hold the selection's lines (the destructor of an item
//! that is not sent, in a kill) must not be woken by them. So the selection is claimed by a line of its
//! own when the park is over, and descriptors, which wake without asking, are the first to be left.
//!
//! If the green thread is killed in step 4, what a line handed to it is passed on as by a wait in that
//! line alone.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, is_ready, ready_in};
use evy_runtime::{Reason, Selection, TimedOut, WaitList};

use crate::channel::{Receiver, Sender};
use crate::channel_error::{RecvError, SendError};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::queue::{GetError, PutError, Queue};
use crate::store::Store;

const SEVERAL: Reason = Reason::new(&"one of several things in a select");

/// One of the things that [`select`] waits for. It keeps what became of it.
///
/// [`Receiving`], [`Sending`] and [`Ready`] are cases; [`select!`](crate::select!) makes them.
///
/// ```
/// use evy_sync::{Case, Receiving};
///
/// let (sender, receiver) = evy_sync::channel();
/// let mut case = Receiving::new(&receiver);
/// assert!(!case.try_now());
/// sender.send(1).unwrap();
/// assert!(case.try_now());
/// assert_eq!(case.into_result(), Some(Ok(1)));
/// ```
pub trait Case {
    /// Does it, if that needs no wait; whether it did.
    ///
    /// # Yields
    ///
    /// Never by itself.
    fn try_now(&mut self) -> bool;

    /// Stands in line for it while `inside` runs, as one of the lines of `selection`; whether it was
    /// done there. Without `inside` if it fails before, which counts as done.
    ///
    /// # Yields
    ///
    /// Not by itself.
    fn stand_in_line(&mut self, selection: &Selection, inside: &mut dyn FnMut()) -> bool;

    /// Whether it stands in line by [`ready_in`]. While it does, any park of the green thread may end
    /// early; so such cases stand innermost, where nothing else parks: no destructor, no clone.
    ///
    /// # Yields
    ///
    /// Never.
    fn wakes_early(&self) -> bool {
        false
    }
}

/// What can be received from, in a [`select!`](crate::select!): a [`Receiver`], a [`Queue`], an
/// [`Event`], or a reference to one.
///
/// ```
/// use evy_sync::{Event, Receive};
///
/// let event = Event::new();
/// assert_eq!(event.try_receive(), None);
/// event.send(1).unwrap();
/// assert_eq!(event.try_receive(), Some(1));
/// ```
pub trait Receive {
    /// What an arm gets.
    type Output;

    /// Receives, if that needs no wait.
    ///
    /// # Yields
    ///
    /// Never by itself.
    fn try_receive(&self) -> Option<Self::Output>;

    /// Waits in line while `inside` runs, as one of the lines of `selection`.
    ///
    /// # Yields
    ///
    /// Not by itself.
    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<Self::Output>;
}

/// What a `T` can be sent into, in a [`select!`](crate::select!): a [`Sender`], a [`Queue`], or a
/// reference to one.
///
/// ```
/// use evy_sync::{Queue, Transmit};
///
/// let queue = Queue::bounded(1);
/// assert_eq!(queue.try_transmit(1), Ok(Ok(())));
/// assert_eq!(queue.try_transmit(2), Err(2));
/// ```
pub trait Transmit<T> {
    /// What an arm gets where it cannot be sent any more.
    type Error;

    /// Sends, if that needs no wait.
    ///
    /// # Errors
    ///
    /// Gives `item` back if it would have to wait.
    ///
    /// # Yields
    ///
    /// Never by itself.
    fn try_transmit(&self, item: T) -> Result<Result<(), Self::Error>, T>;

    /// Offers `item` while `inside` runs, in one of the lines of `selection`.
    ///
    /// # Errors
    ///
    /// Gives `item` back if nobody took it.
    ///
    /// # Yields
    ///
    /// Not by itself.
    fn transmit_in(
        &self,
        selection: &Selection,
        item: T,
        inside: &mut dyn FnMut(),
    ) -> Result<(), T>;
}

/// Waits until one of the cases is done, and does no other. Among several that can be done at once, each
/// is as likely as the others; they are in another order then.
///
/// [`select!`](crate::select!) is the shorter way where the cases are known beforehand. The cases wait
/// by calls inside one another: a green thread's stack of the default size has room for 600 of them, in
/// a debug build for 100.
///
/// ```
/// use evy_sync::{Receiving, Sending, select};
///
/// let (sender, receiver) = evy_sync::bounded(1);
/// let mut sending = Sending::new(&sender, "hello");
/// let mut receiving = Receiving::new(&receiver);
/// select(&mut [&mut sending, &mut receiving]);
/// assert_eq!(sending.into_result(), Some(Ok(())));
/// assert_eq!(receiving.into_result(), None);
/// ```
///
/// # Yields
///
/// While none can be done.
pub fn select(cases: &mut [&mut dyn Case]) {
    wait(cases, None).expect("there is no deadline");
}

/// [`select`] that does not wait; whether a case is done.
///
/// ```
/// use evy_sync::{Receiving, try_select};
///
/// let (_sender, receiver) = evy_sync::channel::<u32>();
/// assert!(!try_select(&mut [&mut Receiving::new(&receiver)]));
/// ```
///
/// # Yields
///
/// Never by itself.
pub fn try_select(cases: &mut [&mut dyn Case]) -> bool {
    shuffle(cases);
    cases.iter_mut().any(|case| case.try_now())
}

/// [`select`] that waits up to `timeout`.
///
/// ```
/// use std::time::Duration;
/// use evy_sync::{Receiving, TimedOut, select_timeout};
///
/// let (_sender, receiver) = evy_sync::channel::<u32>();
/// let cases = &mut [&mut Receiving::new(&receiver) as _];
/// assert_eq!(select_timeout(cases, Duration::from_millis(1)), Err(TimedOut));
/// ```
///
/// # Errors
///
/// [`TimedOut`]; no case is done then.
///
/// # Yields
///
/// As [`select`].
pub fn select_timeout(cases: &mut [&mut dyn Case], timeout: Duration) -> Result<(), TimedOut> {
    // One too far away to be counted is never.
    wait(cases, Instant::now().checked_add(timeout))
}

fn wait(cases: &mut [&mut dyn Case], deadline: Option<Instant>) -> Result<(), TimedOut> {
    let mut waited = Ok(());
    loop {
        if try_select(cases) {
            return Ok(());
        }
        waited?;
        cases.sort_unstable_by_key(|case| case.wakes_early());
        let (selection, innermost) = (Selection::new(), WaitList::new());
        let mut park = || {
            let park = || {
                let _ended = Ended(&innermost);
                waited = selection.park(SEVERAL, deadline);
            };
            innermost.wait_in(&selection, || (), park);
        };
        if stand_in_lines(cases, &selection, &mut park) {
            return Ok(());
        }
    }
}

/// Stands in line for all of them, one inside the other, and parks in the innermost call.
fn stand_in_lines(
    cases: &mut [&mut dyn Case],
    selection: &Selection,
    park: &mut dyn FnMut(),
) -> bool {
    let Some((first, rest)) = cases.split_first_mut() else {
        park();
        return false;
    };
    let mut is_done = false;
    first.stand_in_line(selection, &mut || is_done = stand_in_lines(rest, selection, park))
        || is_done
}

/// Serves the innermost line when the park is over: if no other line has decided by then, none does.
/// The cases' lines are left one after the other, and in between code of users may park.
struct Ended<'a>(&'a WaitList);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.wake_one();
    }
}

/// Puts the cases into random order.
fn shuffle(cases: &mut [&mut dyn Case]) {
    for at in (1..cases.len()).rev() {
        cases.swap(at, random_below(at + 1));
    }
}

/// xorshift64*, the same in each run.
fn random_below(limit: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
    }
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
}

/// The case of receiving an item.
///
/// ```
/// use evy_sync::{Queue, Receiving, select};
///
/// let queue = Queue::unbounded();
/// queue.put(1).unwrap();
/// let mut receiving = Receiving::new(&queue);
/// select(&mut [&mut receiving]);
/// assert_eq!(receiving.into_result(), Some(Ok(1)));
/// ```
pub struct Receiving<'a, R: Receive + ?Sized> {
    line: &'a R,
    result: Option<R::Output>,
}

impl<'a, R: Receive + ?Sized> Receiving<'a, R> {
    /// Receiving from `line`.
    ///
    /// ```
    /// let (_sender, receiver) = evy_sync::channel::<u32>();
    /// assert_eq!(evy_sync::Receiving::new(&receiver).into_result(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(line: &'a R) -> Self {
        Self { line, result: None }
    }

    /// What was received, if it is done.
    ///
    /// ```
    /// let (_sender, receiver) = evy_sync::channel::<u32>();
    /// assert_eq!(evy_sync::Receiving::new(&receiver).into_result(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_result(self) -> Option<R::Output> {
        self.result
    }
}

impl<R: Receive + ?Sized> Case for Receiving<'_, R> {
    fn try_now(&mut self) -> bool {
        self.result = self.line.try_receive();
        self.result.is_some()
    }

    fn stand_in_line(&mut self, selection: &Selection, inside: &mut dyn FnMut()) -> bool {
        self.result = self.line.receive_in(selection, inside);
        self.result.is_some()
    }
}

impl<R: Receive + ?Sized> fmt::Debug for Receiving<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("done", &self.result.is_some()).finish_non_exhaustive()
    }
}

/// The case of sending an item.
///
/// ```
/// use evy_sync::{Sending, try_select};
///
/// let (sender, _receiver) = evy_sync::bounded(0);
/// let mut sending = Sending::new(&sender, "hello");
/// assert!(!try_select(&mut [&mut sending]));
/// assert_eq!(sending.into_item(), Some("hello"));
/// ```
pub struct Sending<'a, S: Transmit<T> + ?Sized, T> {
    line: &'a S,
    /// `None` once it is sent.
    item: Option<T>,
    result: Option<Result<(), S::Error>>,
}

impl<'a, S: Transmit<T> + ?Sized, T> Sending<'a, S, T> {
    /// Sending `item` into `line`.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::channel();
    /// assert_eq!(evy_sync::Sending::new(&sender, 1).into_result(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(line: &'a S, item: T) -> Self {
        Self { line, item: Some(item), result: None }
    }

    /// What became of it, if it is done.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::channel();
    /// assert_eq!(evy_sync::Sending::new(&sender, 1).into_result(), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_result(self) -> Option<Result<(), S::Error>> {
        self.result
    }

    /// The item, if it is not done.
    ///
    /// ```
    /// let (sender, _receiver) = evy_sync::channel();
    /// assert_eq!(evy_sync::Sending::new(&sender, 1).into_item(), Some(1));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_item(self) -> Option<T> {
        self.item
    }
}

impl<S: Transmit<T> + ?Sized, T> Case for Sending<'_, S, T> {
    fn try_now(&mut self) -> bool {
        let Some(item) = self.item.take() else { return self.result.is_some() };
        match self.line.try_transmit(item) {
            Ok(result) => self.result = Some(result),
            Err(item) => self.item = Some(item),
        }
        self.result.is_some()
    }

    fn stand_in_line(&mut self, selection: &Selection, inside: &mut dyn FnMut()) -> bool {
        let Some(item) = self.item.take() else { return self.result.is_some() };
        match self.line.transmit_in(selection, item, inside) {
            Ok(()) => self.result = Some(Ok(())),
            Err(item) => self.item = Some(item),
        }
        self.result.is_some()
    }
}

impl<S: Transmit<T> + ?Sized, T> fmt::Debug for Sending<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("done", &self.result.is_some()).finish_non_exhaustive()
    }
}

/// The case of a descriptor's becoming ready: that of a socket of evy, of std, or of others.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use evy_sync::{Ready, select};
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// let (mut readable, mut writable) = (Ready::to_read(&ours), Ready::to_write(&ours));
/// select(&mut [&mut readable, &mut writable]);
/// assert!(readable.into_result().is_none());
/// assert!(writable.into_result().is_some_and(|result| result.is_ok()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Ready<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    result: Option<io::Result<()>>,
}

impl<'a> Ready<'a> {
    /// Waiting until a read would not block.
    ///
    /// ```
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// assert!(evy_sync::Ready::to_read(&ours).into_result().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn to_read(fd: &'a (impl AsFd + ?Sized)) -> Self {
        Self { fd: fd.as_fd(), direction: Direction::Read, result: None }
    }

    /// Waiting until a write would not block.
    ///
    /// ```
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// assert!(evy_sync::Ready::to_write(&ours).into_result().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn to_write(fd: &'a (impl AsFd + ?Sized)) -> Self {
        Self { fd: fd.as_fd(), direction: Direction::Write, result: None }
    }

    /// `Ok` when it is ready, which it also is where the call would fail; `Err` when it cannot be waited
    /// for.
    ///
    /// ```
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// assert!(evy_sync::Ready::to_read(&ours).into_result().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn into_result(self) -> Option<io::Result<()>> {
        self.result
    }
}

impl Case for Ready<'_> {
    fn try_now(&mut self) -> bool {
        self.result = match is_ready(self.fd, self.direction) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        self.result.is_some()
    }

    fn wakes_early(&self) -> bool {
        true
    }

    fn stand_in_line(&mut self, selection: &Selection, inside: &mut dyn FnMut()) -> bool {
        // Whether it is ready is seen by the next try.
        self.result = ready_in(selection, self.fd, self.direction, inside).err().map(Err);
        self.result.is_some()
    }
}

impl<R: Receive + ?Sized> Receive for &R {
    type Output = R::Output;

    fn try_receive(&self) -> Option<R::Output> {
        (**self).try_receive()
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<R::Output> {
        (**self).receive_in(selection, inside)
    }
}

impl<R: Receive + ?Sized> Receive for Rc<R> {
    type Output = R::Output;

    fn try_receive(&self) -> Option<R::Output> {
        (**self).try_receive()
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<R::Output> {
        (**self).receive_in(selection, inside)
    }
}

impl<T> Receive for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn try_receive(&self) -> Option<Self::Output> {
        Some(try_get(self.exchange())?.map_err(|_| RecvError))
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<Self::Output> {
        Some(self.exchange().get_in(selection, inside)?.map_err(|_| RecvError))
    }
}

impl<T> Receive for Queue<T> {
    type Output = Result<T, GetError>;

    fn try_receive(&self) -> Option<Self::Output> {
        try_get(&self.exchange)
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<Self::Output> {
        self.exchange.get_in(selection, inside)
    }
}

/// An item, or the end; `None` while neither is there.
fn try_get<T, S: Store<T>>(exchange: &Exchange<T, S>) -> Option<Result<T, GetError>> {
    Some(exchange.try_get()).filter(|got| !matches!(got, Err(GetError::Empty)))
}

impl<T: Clone> Receive for Event<T> {
    type Output = T;

    fn try_receive(&self) -> Option<T> {
        self.try_get()
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<T> {
        self.wait_in(selection, inside)
    }
}

impl<T, S: Transmit<T> + ?Sized> Transmit<T> for &S {
    type Error = S::Error;

    fn try_transmit(&self, item: T) -> Result<Result<(), S::Error>, T> {
        (**self).try_transmit(item)
    }

    fn transmit_in(
        &self,
        selection: &Selection,
        item: T,
        inside: &mut dyn FnMut(),
    ) -> Result<(), T> {
        (**self).transmit_in(selection, item, inside)
    }
}

impl<T, S: Transmit<T> + ?Sized> Transmit<T> for Rc<S> {
    type Error = S::Error;

    fn try_transmit(&self, item: T) -> Result<Result<(), S::Error>, T> {
        (**self).try_transmit(item)
    }

    fn transmit_in(
        &self,
        selection: &Selection,
        item: T,
        inside: &mut dyn FnMut(),
    ) -> Result<(), T> {
        (**self).transmit_in(selection, item, inside)
    }
}

impl<T> Transmit<T> for Sender<T> {
    type Error = SendError<T>;

    fn try_transmit(&self, item: T) -> Result<Result<(), SendError<T>>, T> {
        match self.exchange().try_put(item) {
            Ok(()) => Ok(Ok(())),
            Err(PutError::Full(item)) => Err(item),
            Err(PutError::Closed(item)) => Ok(Err(SendError(item))),
        }
    }

    fn transmit_in(
        &self,
        selection: &Selection,
        item: T,
        inside: &mut dyn FnMut(),
    ) -> Result<(), T> {
        self.exchange().offer_in(selection, item, inside)
    }
}

impl<T> Transmit<T> for Queue<T> {
    type Error = PutError<T>;

    fn try_transmit(&self, item: T) -> Result<Result<(), PutError<T>>, T> {
        match self.try_put(item) {
            Err(PutError::Full(item)) => Err(item),
            done => Ok(done),
        }
    }

    fn transmit_in(
        &self,
        selection: &Selection,
        item: T,
        inside: &mut dyn FnMut(),
    ) -> Result<(), T> {
        self.exchange.offer_in(selection, item, inside)
    }
}

/// Waits for the first of several things, and runs its arm; `select!` is what that arm is.
///
/// | arm | waits for | its value |
/// |---|---|---|
/// | `recv(line) -> result => …` | an item, or the end, of a [`Receiver`], [`Queue`] or [`Event`] | what its `recv`, `get` or `wait` gives |
/// | `send(line, item) -> result => …` | room in a [`Sender`]'s channel or a [`Queue`] | what its `send` or `put` gives |
/// | `readable(socket) -> result => …` | data, the peer's end or an error on anything that is `AsFd` | `io::Result<()>` |
/// | `writable(socket) -> result => …` | room to write, or an error | `io::Result<()>` |
/// | `default => …` | nothing: taken if no other arm can be, now | |
/// | `default(timeout) => …` | that [`Duration`]: taken if no other arm could be | |
///
/// The syntax is crossbeam's. Of several arms that can be taken, each is as likely as the others. What
/// stands in the parentheses is evaluated once, at the start; so the item of a `send` that is not taken
/// is dropped. To have it back, use [`Sending`] with [`select`](fn@crate::select). The arms run in the
/// function that they stand in: `?`, `break`, `continue` and `return` work.
///
/// ```
/// use std::time::Duration;
/// use evy_sync::{bounded, select};
///
/// let (sender, numbers) = bounded(0);
/// let (quit, quits) = bounded(0);
/// evy_runtime::spawn_n(move || {
///     let sum = (0..10).map(|_| numbers.recv().unwrap()).sum::<u32>();
///     quit.send(sum).unwrap();
/// });
/// let mut next = 0;
/// let sum = loop {
///     select! {
///         send(sender, next) -> sent => {
///             sent.unwrap();
///             next += 1;
///         }
///         recv(quits) -> sum => break sum.unwrap(),
///         default(Duration::from_secs(10)) => panic!("nobody is there"),
///     }
/// };
/// assert_eq!(sum, 45);
/// ```
///
/// With a socket:
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
/// use evy_sync::{Event, select};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let stop = Event::<()>::new();
/// ours.write_all(b"hello")?;
/// let is_data = select! {
///     readable(theirs) -> result => {
///         result?;
///         true
///     }
///     recv(stop) -> () => false,
/// };
/// assert!(is_data);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Yields
///
/// While no arm can be taken; never with a `default` without time.
#[macro_export]
macro_rules! select {
    ($($arms:tt)+) => {
        $crate::__select!(@arms [] [] $($arms)+)
    };
}

/// The parts of [`select!`]: `@arms` sorts the arms, `@cases` makes a case of each and waits, `@run` runs
/// the arm that was taken. Each step makes an identifier `case` of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // All arms are sorted: [{case, kind, arguments, pattern, arm}…] [default].
    (@arms [$({ $case:ident $kind:ident $args:tt [$item:pat] [$arm:expr] })+] [$($default:tt)*]) => {{
        let ($($case,)+) = $crate::__select!(@cases [$($case $kind $args)+] [] [$($default)*]);
        $crate::__select!(@run [$({ $case [$item] [$arm] })+] [$($default)*])
    }};
    (@arms [] $default:tt) => {
        compile_error!("select! needs an arm that waits for something")
    };

    (@arms $cases:tt [] default => $arm:block $(,)? $($rest:tt)*) => {
        $crate::__select!(@arms $cases [[] [$arm]] $($rest)*)
    };
    (@arms $cases:tt [] default => $arm:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@arms $cases [[] [$arm]] $($($rest)*)?)
    };
    (@arms $cases:tt [] default($timeout:expr $(,)?) => $arm:block $(,)? $($rest:tt)*) => {
        $crate::__select!(@arms $cases [[$timeout] [$arm]] $($rest)*)
    };
    (@arms $cases:tt [] default($timeout:expr $(,)?) => $arm:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@arms $cases [[$timeout] [$arm]] $($($rest)*)?)
    };
    (@arms $cases:tt [$($first:tt)+] default $($rest:tt)*) => {
        compile_error!("select! has two default arms")
    };
    (@arms [$($cases:tt)*] $default:tt
        $kind:ident($($args:tt)*) -> $item:pat => $arm:block $(,)? $($rest:tt)*) => {
        $crate::__select!(
            @arms [$($cases)* { case $kind [$($args)*] [$item] [$arm] }] $default $($rest)*
        )
    };
    (@arms [$($cases:tt)*] $default:tt
        $kind:ident($($args:tt)*) -> $item:pat => $arm:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(
            @arms [$($cases)* { case $kind [$($args)*] [$item] [$arm] }] $default $($($rest)*)?
        )
    };
    (@arms $cases:tt $default:tt $($rest:tt)*) => {
        compile_error!(
            "an arm of select! is `recv(line) -> result => …`, `send(line, item) -> result => …`, \
             `readable(socket) -> result => …`, `writable(socket) -> result => …`, `default => …` or \
             `default(timeout) => …`"
        )
    };

    // A `match` keeps what its expression borrows from until it ends.
    (@cases [$case:ident recv [$line:expr $(,)?] $($more:tt)*] [$($ready:tt)*] $default:tt) => {
        match $line {
            ref line => {
                let mut $case = $crate::Receiving::new(line);
                $crate::__select!(@cases [$($more)*] [$($ready)* $case] $default)
            }
        }
    };
    (@cases [$case:ident send [$line:expr, $item:expr $(,)?] $($more:tt)*] [$($ready:tt)*] $default:tt) => {
        match $line {
            ref line => {
                let mut $case = $crate::Sending::new(line, $item);
                $crate::__select!(@cases [$($more)*] [$($ready)* $case] $default)
            }
        }
    };
    (@cases [$case:ident readable [$socket:expr $(,)?] $($more:tt)*] [$($ready:tt)*] $default:tt) => {
        match $socket {
            ref socket => {
                let mut $case = $crate::Ready::to_read(socket);
                $crate::__select!(@cases [$($more)*] [$($ready)* $case] $default)
            }
        }
    };
    (@cases [$case:ident writable [$socket:expr $(,)?] $($more:tt)*] [$($ready:tt)*] $default:tt) => {
        match $socket {
            ref socket => {
                let mut $case = $crate::Ready::to_write(socket);
                $crate::__select!(@cases [$($more)*] [$($ready)* $case] $default)
            }
        }
    };
    (@cases [] [$($case:ident)+] []) => {{
        $crate::select(&mut [$(&mut $case),+]);
        ($($case.into_result(),)+)
    }};
    (@cases [] [$($case:ident)+] [[] [$arm:expr]]) => {{
        $crate::try_select(&mut [$(&mut $case),+]);
        ($($case.into_result(),)+)
    }};
    (@cases [] [$($case:ident)+] [[$timeout:expr] [$arm:expr]]) => {{
        let _ = $crate::select_timeout(&mut [$(&mut $case),+], $timeout);
        ($($case.into_result(),)+)
    }};
    (@cases [$case:ident $kind:ident $($rest:tt)*] $ready:tt $default:tt) => {
        compile_error!(concat!(
            "`", stringify!($kind), "` is no arm of select!, or not with these arguments: there are \
             `recv(line)`, `send(line, item)`, `readable(socket)` and `writable(socket)`"
        ))
    };

    (@run [{ $case:ident [$item:pat] [$arm:expr] } $($more:tt)*] $default:tt) => {
        if let ::core::option::Option::Some(result) = $case {
            match result {
                $item => $arm,
            }
        } else {
            $crate::__select!(@run [$($more)*] $default)
        }
    };
    (@run [] [$timeout:tt [$arm:expr]]) => {
        $arm
    };
    (@run [] []) => {
        ::core::unreachable!("select! waits until one arm can be taken")
    };
}
