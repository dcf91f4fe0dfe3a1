//! The answers of a server of HTTP/1.1.
//!
//! ```text
//!   Head ─┬─► Length ───┐
//!         ├─► Chunks ───┼─► an answer ─► Head, or the connection's end
//!         └─► Rest ─────┘                (of Rest, always)
//! ```

mod chunks;
mod framing;

use crate::echo::Echoes;
use crate::failure::Failure;
use crate::found::Found;
use crate::tally::Tally;

use chunks::Chunks;
use framing::{Body, Head};

/// What is to come next.
enum Part {
    Head,
    /// So many bytes of a body.
    Length(u64),
    Chunks(Chunks),
    /// The body is what comes until the server ends its side.
    Rest,
}

/// The answers of one connection.
pub(crate) struct HttpAnswers {
    part: Part,
    /// Of the answer whose body comes.
    status: u16,
    /// What successful answers are to carry, if that is known.
    echoes: Option<Echoes>,
    /// No answer follows the one that comes.
    is_last: bool,
    are_over: bool,
}

impl HttpAnswers {
    pub(crate) fn new(echoes: Option<Echoes>) -> Self {
        Self { part: Part::Head, status: 0, echoes, is_last: false, are_over: false }
    }

    /// Looks at what came. A head that is not complete is left for the next time.
    pub(crate) fn check(&mut self, came: &[u8], in_flight: usize, tally: &Tally) -> Found {
        let mut found = Found::default();
        found.failure = self.take(came, in_flight, tally, &mut found).err();
        found
    }

    fn take(
        &mut self,
        came: &[u8],
        in_flight: usize,
        tally: &Tally,
        found: &mut Found,
    ) -> Result<(), Failure> {
        while found.taken < came.len() {
            if found.answers == in_flight || self.are_over {
                return Err(Failure::Surplus);
            }
            let Some(bytes) = self.take_part(&came[found.taken..])? else { break };
            found.taken += bytes;
            if self.is_complete() {
                self.finish(tally)?;
                found.answers += 1;
            }
        }
        Ok(())
    }

    /// Takes what belongs to the part that is to come, and says how much that was; nothing if more of it
    /// has to be there first.
    fn take_part(&mut self, came: &[u8]) -> Result<Option<usize>, Failure> {
        let bytes = match &mut self.part {
            Part::Head => return self.take_head(came),
            Part::Length(left) => {
                let bytes = came.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes as u64;
                self.check_body(&came[..bytes])?;
                bytes
            }
            Part::Chunks(chunks) => {
                let (bytes, body) = chunks.take(came)?;
                self.check_body(&came[body])?;
                bytes
            }
            Part::Rest => {
                self.check_body(came)?;
                came.len()
            }
        };
        Ok(Some(bytes))
    }

    fn take_head(&mut self, came: &[u8]) -> Result<Option<usize>, Failure> {
        let Some(head) = Head::parse(came)? else { return Ok(None) };
        if head.is_interim() {
            return Ok(Some(head.bytes));
        }
        self.status = head.status;
        self.is_last = head.closes;
        self.part = match head.body {
            Body::Length(bytes) => Part::Length(bytes),
            Body::Chunks => Part::Chunks(Chunks::new()),
            Body::Rest => Part::Rest,
        };
        Ok(Some(head.bytes))
    }

    fn check_body(&mut self, came: &[u8]) -> Result<(), Failure> {
        match &mut self.echoes {
            Some(echoes) if is_success(self.status) => echoes.check_piece(came),
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        match &self.part {
            Part::Length(left) => *left == 0,
            Part::Chunks(chunks) => chunks.are_over(),
            Part::Head | Part::Rest => false,
        }
    }

    fn finish(&mut self, tally: &Tally) -> Result<(), Failure> {
        self.part = Part::Head;
        match &mut self.echoes {
            Some(echoes) if is_success(self.status) => echoes.check_end()?,
            Some(echoes) => echoes.skip(),
            None => {}
        }
        tally.status(self.status);
        self.are_over = self.is_last;
        Ok(())
    }

    /// The server has ended its side.
    pub(crate) fn end(&mut self, tally: &Tally) -> Result<(), Failure> {
        match self.part {
            Part::Rest => self.finish(tally),
            _ => Err(Failure::Closed),
        }
    }

    pub(crate) fn are_over(&self) -> bool {
        self.are_over
    }
}

/// What is no success is no echo.
pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

#[cfg(test)]
mod tests;
