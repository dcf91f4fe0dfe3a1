//! What hyper asks of a runtime: `rt::Read` and `rt::Write`, an executor, a timer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evy_runtime::{Alarm, block_on, spawn_n};
use hyper::rt::{self, Read, ReadBufCursor, Sleep, Write};

use super::{Async, Socket};

impl<S: Socket + Unpin> Read for Async<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: `Socket::poll_read` writes bytes that are initialised, and nothing else; the trait is
        // sealed.
        let unfilled = unsafe { buffer.as_mut() };
        let count = ready!(Self::poll_read(self.get_mut(), context, unfilled))?;
        // SAFETY: as `Socket::poll_read` says, so many bytes at the beginning are initialised.
        unsafe { buffer.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket + Unpin> Write for Async<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), context, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), context)
    }
}

/// hyper's way to run futures in the background: each on a green thread of its own.
///
/// They need not be `Send`, and may block in the green way. HTTP/2 wants one: each request becomes such a
/// future.
///
/// ```
/// use evy_green_net::adapt::Executor;
/// use hyper::rt::Executor as _;
///
/// Executor.execute(async { evy_runtime::sleep(std::time::Duration::from_millis(1)) });
/// ```
///
/// # Panics
///
/// Where there is no memory for a stack, as `evy::spawn`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F: Future<Output: 'static> + 'static> rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        spawn_n(move || block_on(future));
    }
}

/// hyper's way to wait for a time: an `evy::Alarm`.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::adapt::Timer;
/// use hyper::server::conn::http1;
///
/// let mut builder = http1::Builder::new();
/// builder.timer(Timer).header_read_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Alarm::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Alarm::at(deadline)))
    }

    /// Keeps the box, where it is one of ours.
    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleeping>() {
            Some(sleeping) => sleeping.get_mut().0.reset(new_deadline),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// An alarm as hyper holds it.
struct Sleeping(Alarm);

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll(context)
    }
}

impl Sleep for Sleeping {}
