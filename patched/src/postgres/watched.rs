//! The stream of a connection, watched for what the server says of the session's transaction.
//!
//! Each answer of the server ends with `ReadyForQuery`, six bytes of which the last says whether the
//! session is in a transaction. tokio-postgres does not pass that on, so it is looked for where the bytes
//! go by: at the end of what was read. When the server has nothing more to say these are the last bytes,
//! unless a notice, a notification or a parameter came behind; then nothing is known. (None of those can be
//! taken for it: they end with a zero.) In the middle of an answer anything may look like it, so whoever
//! asks does so when the answer is complete.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// What the session is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Idle,
    /// A transaction, also one that has failed.
    InTransaction,
    /// The last bytes did not say.
    Unknown,
}

/// `ReadyForQuery` without its last byte.
const READY: [u8; 5] = [b'Z', 0, 0, 0, 5];

/// The last bytes that were read.
#[derive(Default)]
struct Tail([u8; READY.len() + 1]);

impl Tail {
    fn extend(&mut self, bytes: &[u8]) {
        let length = self.0.len();
        if bytes.len() >= length {
            self.0.copy_from_slice(&bytes[bytes.len() - length..]);
        } else {
            self.0.rotate_left(bytes.len());
            self.0[length - bytes.len()..].copy_from_slice(bytes);
        }
    }

    fn standing(&self) -> Standing {
        match self.0.split_last() {
            Some((b'I', ready)) if ready == READY => Standing::Idle,
            Some((b'T' | b'E', ready)) if ready == READY => Standing::InTransaction,
            _ => Standing::Unknown,
        }
    }
}

/// A stream that sets the standing with each read.
pub(super) struct Watched<S> {
    stream: S,
    tail: Tail,
    standing: Rc<Cell<Standing>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, standing: Rc<Cell<Standing>>) -> Self {
        Self { stream, tail: Tail::default(), standing }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            this.tail.extend(new);
            this.standing.set(this.tail.standing());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Runs TLS over the bare stream, and watches what comes out of it: what was below is ciphertext then.
pub(super) struct WatchedTls<T> {
    tls: T,
    standing: Rc<Cell<Standing>>,
}

impl<T> WatchedTls<T> {
    pub(super) fn new(tls: T, standing: Rc<Cell<Standing>>) -> Self {
        Self { tls, standing }
    }
}

impl<S, T> TlsConnect<Watched<S>> for WatchedTls<T>
where
    T: TlsConnect<S>,
    T::Future: 'static,
{
    type Stream = Watched<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>>>>;

    fn connect(self, stream: Watched<S>) -> Self::Future {
        let connect = self.tls.connect(stream.stream);
        Box::pin(async move { Ok(Watched::new(connect.await?, self.standing)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing_after(reads: &[&[u8]]) -> Standing {
        let mut tail = Tail::default();
        for read in reads {
            tail.extend(read);
        }
        tail.standing()
    }

    #[test]
    fn the_last_answer_says_whether_there_is_a_transaction() {
        assert_eq!(standing_after(&[b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I"]), Standing::Idle);
        assert_eq!(standing_after(&[b"Z\0\0\0\x05I", b"Z\0\0\0\x05T"]), Standing::InTransaction);
        assert_eq!(standing_after(&[b"Z\0\0\0\x05E"]), Standing::InTransaction);
    }

    #[test]
    fn an_answer_that_comes_in_pieces_is_read_as_one() {
        let answer = b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T";
        for cut in 1..answer.len() {
            let (first, second) = answer.split_at(cut);
            assert_eq!(standing_after(&[first, second]), Standing::InTransaction, "cut at {cut}");
            assert_eq!(standing_after(&[first]), Standing::Unknown, "cut at {cut}");
        }
        let single: Vec<&[u8]> = answer.chunks(1).collect();
        assert_eq!(standing_after(&single), Standing::InTransaction);
    }

    #[test]
    fn what_comes_behind_an_answer_makes_it_unknown() {
        let notification = b"A\0\0\0\x0b\0\0\0\x01c\0\0";
        assert_eq!(standing_after(&[b"Z\0\0\0\x05T", notification]), Standing::Unknown);
    }
}
