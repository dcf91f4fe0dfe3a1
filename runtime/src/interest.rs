//! Descriptors for futures: the calls of a [`GreenFd`] that leave a waker instead of parking.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::thread::panicking;

use evy_hub::{Direction, SourceKey};

use crate::bells::{Bell, describe_future};
use crate::io::{GreenFd, Known, already_waiting, closed, settle};
use crate::scheduler::{Scheduler, Unwinding, try_scheduler};

/// A future's stake in one direction of a descriptor: where it leaves its waker while a call would block.
///
/// It goes with the descriptor for as long as that is used by futures, one for each direction; to poll
/// costs no allocation, and a wait costs the same however many others there are. Only the waker of the
/// newest poll is called.
///
/// It is `Send`: a future may move to another OS thread between two polls. On an OS thread whose hub is not
/// the descriptor's owner each wait takes a copy of the descriptor, and more system calls.
///
/// ```
/// use std::future::poll_fn;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use evy_runtime::block_on;
/// use evy_runtime::io::{Direction, GreenFd, Interest};
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let (green, mut interest) = (GreenFd::new(ours.try_clone()?.into()), Interest::new());
/// evy_runtime::spawn_n(move || theirs.write_all(b"hello"));
/// let mut buffer = [0; 8];
/// let count = block_on(poll_fn(|context| {
///     interest.poll_call(context, &green, Direction::Read, |_| (&ours).read(&mut buffer))
/// }))?;
/// assert_eq!(&buffer[..count], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Interest {
    /// Made at the first wait.
    bell: Option<Bell>,
}

impl Interest {
    /// One that does not wait.
    ///
    /// ```
    /// let interest = evy_runtime::io::Interest::new();
    /// assert_eq!(format!("{interest:?}"), "Interest { .. }");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub const fn new() -> Self {
        Self { bell: None }
    }

    /// Makes `call` unless it is known that it would block, and is pending where it would. The waker of
    /// `context` is called when it is worth another try.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::task::{Context, Waker};
    /// use evy_runtime::io::{Direction, GreenFd, Interest};
    ///
    /// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// # socket.set_nonblocking(true)?;
    /// # let green = GreenFd::new(socket.try_clone()?.into());
    /// let (mut interest, mut context) = (Interest::new(), Context::from_waker(Waker::noop()));
    /// let poll = interest.poll_call(&mut context, &green, Direction::Read, |_| {
    ///     (&socket).read(&mut [0; 8])
    /// });
    /// assert!(poll.is_pending());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `call` gives; `NotConnected` after [`close`](GreenFd::close); `ResourceBusy` when somebody
    /// else waits for the same direction; `WouldBlock` where it would have to wait while the green thread
    /// unwinds; those of the registration with the hub.
    ///
    /// # Panics
    ///
    /// With a panic of `call` or of the waker's clone.
    ///
    /// # Yields
    ///
    /// Never. After 128 calls without a park or yield of the green thread it is pending, and has called
    /// the waker: [`block_on`](crate::block_on) yields then.
    #[inline]
    pub fn poll_call<T>(
        &mut self,
        context: &mut Context<'_>,
        fd: &GreenFd,
        direction: Direction,
        call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_call_draining(context, fd, direction, call, |_| false)
    }

    /// [`poll_call`](Self::poll_call), where `drained` tells from a result that the next call would
    /// block, as for [`GreenFd::call_draining`].
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write};
    /// use evy_runtime::io::{Direction, GreenFd, Interest};
    ///
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let mut peer = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (socket, _) = listener.accept()?;
    /// # socket.set_nonblocking(true)?;
    /// # let (green, mut interest) = (GreenFd::new(socket.try_clone()?.into()), Interest::new());
    /// peer.write_all(b"hello")?;
    /// let mut buffer = [0; 8];
    /// let count = evy_runtime::block_on(poll_fn(|context| {
    ///     let read = |_: std::os::fd::BorrowedFd<'_>| (&socket).read(&mut buffer);
    ///     interest.poll_call_draining(context, &green, Direction::Read, read, |count| *count < 8)
    /// }))?;
    /// assert_eq!(count, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll_call`](Self::poll_call).
    ///
    /// # Panics
    ///
    /// As [`poll_call`](Self::poll_call).
    ///
    /// # Yields
    ///
    /// As [`poll_call`](Self::poll_call).
    #[inline]
    pub fn poll_call_draining<T>(
        &mut self,
        context: &mut Context<'_>,
        fd: &GreenFd,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        let scheduler = try_scheduler()?;
        let result = loop {
            if fd.is_closed() {
                break Err(closed());
            }
            let known = fd.known_to(scheduler);
            if let Known::Here(key) = known
                && !scheduler.hub.borrow().readiness(key).intersects(direction.bit())
            {
                match self.wait_here(scheduler, context, key, direction) {
                    Ok(Wait::Begun) => return Poll::Pending,
                    Ok(Wait::LookAgain) => continue,
                    Err(error) => break Err(error),
                }
            }
            if !scheduler.may_operate() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Known::Here(key) = known {
                let bit = direction.bit();
                scheduler.hub.borrow_mut().clear_readiness(key, bit);
                let result = call(fd.as_fd());
                match settle(scheduler, key, bit, result, &drained) {
                    Some(result) => break result,
                    None => continue,
                }
            }
            match call(fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match known {
                    Known::Unregistered => fd.register(scheduler, direction)?,
                    _ => match self.wait_elsewhere(scheduler, context, fd, direction) {
                        Ok(()) => return Poll::Pending,
                        Err(error) => break Err(error),
                    },
                },
                result => break result,
            }
        };
        if let Some(bell) = &self.bell
            && bell.is_here(scheduler)
        {
            bell.leave(scheduler);
        }
        Poll::Ready(result)
    }

    /// Waits on the owner hub.
    fn wait_here(
        &mut self,
        scheduler: &Scheduler,
        context: &Context<'_>,
        key: SourceKey,
        direction: Direction,
    ) -> io::Result<Wait> {
        refuse_while_unwinding(scheduler)?;
        let bell = Bell::of(&mut self.bell, scheduler);
        let waker = bell.waker(scheduler, context);
        // To get it may have run code of users, and that may have parked.
        if scheduler.hub.borrow().readiness(key).intersects(direction.bit()) {
            return Ok(Wait::LookAgain);
        }
        match bell.stand_in_line(scheduler, key, direction, waker) {
            Ok(()) => Ok(Wait::Begun),
            Err(busy) => {
                let second = describe_future(scheduler.current());
                Err(already_waiting(scheduler, busy.holder, &second, direction))
            }
        }
    }

    /// Waits with a one-shot registration in this OS thread's hub, of a copy: whoever has the descriptor
    /// may close it meanwhile.
    #[cold]
    fn wait_elsewhere(
        &mut self,
        scheduler: &Scheduler,
        context: &Context<'_>,
        fd: &GreenFd,
        direction: Direction,
    ) -> io::Result<()> {
        refuse_while_unwinding(scheduler)?;
        let copy = fd.as_fd().try_clone_to_owned()?;
        let bell = Bell::of(&mut self.bell, scheduler);
        let waker = bell.waker(scheduler, context);
        bell.stand_alone(scheduler, copy, direction, waker)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interest").finish_non_exhaustive()
    }
}

/// What became of an attempt to wait.
enum Wait {
    Begun,
    /// It is ready meanwhile.
    LookAgain,
}

/// I/O that would wait is an error then, as for calls that park.
#[inline]
fn refuse_while_unwinding(scheduler: &Scheduler) -> io::Result<()> {
    if panicking() && scheduler.unwinding(scheduler.current()) == Unwinding::Yes {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}
