//! What a server can listen on.
//!
//! A listener of another kind joins by an `impl` of [`Listener`]: it makes its system call through
//! [`Door::accept`], which lets connections in only while there is room, and wraps what that gives.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net as unix;

use evy_runtime::io::Direction;

use super::connection::Handled;
use super::core::Core;
use crate::green_io::sys::inet;
use crate::green_io::{GreenIo, sys};
use crate::{TcpListener, TcpStream, UnixListener, UnixStream};

pub(super) mod sealed {
    #[expect(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
}

/// What a [`Server`](crate::Server) can listen on.
///
/// ```
/// use evy_green_net::{Listener, RunningServer, Server, listen};
///
/// /// Serves nothing to everybody, whatever it listens on.
/// fn refuse_all<L: Listener>(listener: L) -> std::io::Result<RunningServer<L::Addr>> {
///     Server::new(listener, |_client, _addr| Ok(())).start()
/// }
/// let server = refuse_all(listen("127.0.0.1:0")?)?;
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Listener: sealed::Sealed + 'static {
    /// What it accepts.
    type Stream: 'static;

    /// Addresses of its peers, and its own.
    type Addr: Clone + fmt::Debug + 'static;

    /// Lets the next connection in.
    #[doc(hidden)]
    fn admit(&self, door: &Door<'_>) -> io::Result<(Self::Stream, Self::Addr)>;

    /// Lets no connection begin any more, where nobody else listens with this socket. Those that have
    /// begun can be let in.
    #[doc(hidden)]
    fn turn_away(&self);

    /// The address that it listens on.
    #[doc(hidden)]
    fn own_addr(&self) -> io::Result<Self::Addr>;
}

impl sealed::Sealed for TcpListener {}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn admit(&self, door: &Door<'_>) -> io::Result<(TcpStream, SocketAddr)> {
        let (io, peer) = door.accept(self.io(), sys::accept_or_fail)?;
        Ok((self.stream(io), peer))
    }

    fn turn_away(&self) {
        if self.io().is_private() {
            inet::turn_away(self.io().as_fd());
        }
    }

    fn own_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl sealed::Sealed for UnixListener {}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Addr = unix::SocketAddr;

    fn admit(&self, door: &Door<'_>) -> io::Result<(UnixStream, unix::SocketAddr)> {
        let (io, peer) = door.accept(self.io(), sys::unix::accept)?;
        Ok((UnixStream::new(io), peer))
    }

    fn turn_away(&self) {
        if self.io().is_private() {
            // Those in the queue stay there. An error only means that somebody may come in between.
            let _ = inet::shutdown(self.io().as_fd(), Shutdown::Read);
        }
    }

    fn own_addr(&self) -> io::Result<unix::SocketAddr> {
        self.local_addr()
    }
}

/// Where connections come in, one at a time.
#[expect(unnameable_types, reason = "only listeners of this crate get one")]
pub struct Door<'a> {
    core: &'a Core,
    /// Whether to wait for a connection.
    waits: bool,
    /// The last call found no room.
    was_full: Cell<bool>,
    /// What stands for the handler of the one that was let in last.
    handled: RefCell<Option<Handled>>,
}

impl<'a> Door<'a> {
    /// One where connections are waited for.
    pub(super) fn new(core: &'a Core) -> Self {
        Self { core, waits: true, was_full: Cell::new(false), handled: RefCell::default() }
    }

    /// One that lets in only who waits already.
    pub(super) fn without_waiting(core: &'a Core) -> Self {
        Self { waits: false, ..Self::new(core) }
    }

    /// Accepts from `listener` by `accept`, and makes the connection one of the server's. An error means
    /// that nobody has come in.
    pub(crate) fn accept<A>(
        &self,
        listener: &GreenIo,
        mut accept: impl FnMut(BorrowedFd<'_>) -> io::Result<(OwnedFd, A)>,
    ) -> io::Result<(GreenIo, A)> {
        self.was_full.set(false);
        // Taken when there is a connection: while this waited, another listener may have let in the last
        // one that there was room for.
        let accept = |fd: BorrowedFd<'_>| {
            let Some(place) = self.core.ledger.limit.enter() else {
                self.was_full.set(true);
                return Err(io::ErrorKind::QuotaExceeded.into());
            };
            let accepted = accept(fd)?;
            place.keep();
            Ok(accepted)
        };
        let (fd, peer) = if self.waits {
            listener.call_in_turn(Direction::Read, accept)?
        } else {
            listener.try_call(accept)?
        };
        let (handled, handle) = self.core.new_connection(fd.as_raw_fd());
        *self.handled.borrow_mut() = Some(handled);
        Ok((GreenIo::served(fd, handle), peer))
    }

    /// Whether the last call has failed because there was no room.
    pub(super) fn was_full(&self) -> bool {
        self.was_full.get()
    }

    pub(super) fn take_handled(&self) -> Option<Handled> {
        self.handled.borrow_mut().take()
    }
}

impl fmt::Debug for Door<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("waits", &self.waits).finish_non_exhaustive()
    }
}
