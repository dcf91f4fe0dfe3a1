//! The body of an answer as hyper takes it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::Exchange;
use crate::pipe::Pipe;

/// A body on its way. When it is dropped, its request is over.
#[derive(Debug)]
pub(crate) struct Outgoing {
    content: Content,
    /// There is a piece that hyper is to send, or has taken and may not be able to send: it takes one ahead
    /// of the room for it. It counts as unsent.
    is_unsent: bool,
    exchange: Rc<Exchange>,
}

#[derive(Debug)]
enum Content {
    /// `None` once it was taken.
    Full(Option<Bytes>),
    Piped(Rc<Pipe>),
}

impl Outgoing {
    pub(crate) fn empty(exchange: &Rc<Exchange>) -> Self {
        Self { content: Content::Full(None), is_unsent: false, exchange: Rc::clone(exchange) }
    }

    pub(crate) fn full(exchange: &Rc<Exchange>, bytes: Bytes) -> Self {
        exchange.add_unsent();
        let content = Content::Full(Some(bytes));
        Self { content, is_unsent: true, exchange: Rc::clone(exchange) }
    }

    pub(crate) fn piped(exchange: &Rc<Exchange>, pipe: &Rc<Pipe>) -> Self {
        let content = Content::Piped(Rc::clone(pipe));
        Self { content, is_unsent: false, exchange: Rc::clone(exchange) }
    }

    /// hyper asks for the next piece, or for no more: it is through with the last one.
    fn let_go(&mut self) {
        if std::mem::replace(&mut self.is_unsent, false) {
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
        let this = &mut *self;
        if !matches!(this.content, Content::Full(Some(_))) {
            this.let_go();
        }
        let piece = match &mut this.content {
            Content::Full(bytes) => match bytes.take() {
                Some(bytes) => Ok(bytes),
                None => return Poll::Ready(None),
            },
            Content::Piped(pipe) => match ready!(pipe.poll_next(context)) {
                Some(piece) => {
                    this.exchange.add_unsent();
                    this.is_unsent = true;
                    piece
                }
                None => return Poll::Ready(None),
            },
        };
        Poll::Ready(Some(match piece {
            Ok(bytes) => {
                this.exchange.count_bytes(bytes.len());
                Ok(Frame::data(bytes))
            }
            Err(_cut_off) => Err(std::io::Error::other("the handler has cut its answer off")),
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Piped(pipe) => pipe.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Piped(_) => SizeHint::default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.let_go();
        if let Content::Piped(pipe) = &self.content {
            pipe.leave();
        }
        self.exchange.end();
    }
}
