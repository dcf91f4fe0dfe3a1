//! The body of an answer as hyper takes it.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::Exchange;
use crate::pipe::Pipe;

/// The most that HTTP/2 is given at once. It takes each piece as soon as there is room for one byte of it,
/// and what it has taken is out of sight: nobody would see how slowly the client takes that.
const PIECE: usize = 64 * 1024;

/// A body on its way. When it is dropped, its request is over.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What is there; never empty.
    rest: Option<Bytes>,
    /// Where more comes from.
    pipe: Option<Rc<Pipe>>,
    /// There is a piece that hyper is to send, or has taken and may not be able to send: it takes one ahead
    /// of the room for it. It counts as unsent.
    is_unsent: bool,
    exchange: Rc<Exchange>,
}

impl Outgoing {
    pub(crate) fn empty(exchange: &Rc<Exchange>) -> Self {
        Self { rest: None, pipe: None, is_unsent: false, exchange: Rc::clone(exchange) }
    }

    pub(crate) fn full(exchange: &Rc<Exchange>, bytes: Bytes) -> Self {
        let mut outgoing = Self::empty(exchange);
        outgoing.get(bytes);
        outgoing
    }

    pub(crate) fn piped(exchange: &Rc<Exchange>, pipe: &Rc<Pipe>) -> Self {
        let mut outgoing = Self::empty(exchange);
        outgoing.pipe = Some(Rc::clone(pipe));
        outgoing
    }

    fn get(&mut self, bytes: Bytes) {
        self.rest = Some(bytes);
        self.is_unsent = true;
        self.exchange.add_unsent();
    }

    /// hyper asks for the next piece, or for no more: it is through with the last one.
    fn let_go(&mut self) {
        if mem::replace(&mut self.is_unsent, false) {
            self.exchange.remove_unsent();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.rest.is_none() {
            self.let_go();
            let Some(pipe) = &self.pipe else { return Poll::Ready(None) };
            match ready!(pipe.poll_next(context)) {
                Some(Ok(piece)) => self.get(piece),
                Some(Err(_cut_off)) => {
                    let error = std::io::Error::other("the handler has cut its answer off");
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
        let is_http2 = self.exchange.connection().pulse().is_http2.get();
        let piece = match &mut self.rest {
            Some(rest) if is_http2 && rest.len() > PIECE => rest.split_to(PIECE),
            rest => rest.take().expect("there is something"),
        };
        self.exchange.count_bytes(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.pipe.as_ref().is_none_or(|pipe| pipe.has_ended())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.pipe {
            None => SizeHint::with_exact(self.rest.as_ref().map_or(0, |rest| rest.len() as u64)),
            Some(_) => SizeHint::default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.let_go();
        if let Some(pipe) = &self.pipe {
            pipe.leave();
        }
        self.exchange.end();
    }
}
