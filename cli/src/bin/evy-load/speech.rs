//! What is spoken with the server: how requests look, and what makes an answer.
//!
//! The one place that knows which protocols there are. A client has a [`Script`] of each of its
//! connections, and [`Answers`]; when it sends and how it waits is the same in all of them.

use std::rc::Rc;

use crate::echo::Echoes;
use crate::failure::Failure;
use crate::found::Found;
use crate::http::HttpAnswers;
use crate::options::Options;
use crate::pattern::Pattern;
use crate::script::Script;
use crate::tally::Tally;

/// The read buffer's size, if answers are that large; the longest head of an answer by HTTP.
pub(crate) const LARGEST_BUFFER: usize = 64 << 10;
/// How large it is at first where nobody knows how large answers are. Those of thousands of connections
/// are to find room in the processor's caches.
const FIRST_BUFFER: usize = 1 << 10;

/// What all connections have in common.
pub(crate) struct Speech {
    /// What requests begin with.
    head: Rc<[u8]>,
    /// Bytes of each that follow.
    size: usize,
    pattern: Rc<Pattern>,
    protocol: Protocol,
}

#[derive(Clone, Copy)]
enum Protocol {
    Echo,
    Http { is_echoed: bool },
}

impl Speech {
    pub(crate) fn new(options: &Options) -> Self {
        let (head, protocol) = match options.http_head() {
            Some(head) => (head.into_bytes(), Protocol::Http { is_echoed: options.echo }),
            None => (Vec::new(), Protocol::Echo),
        };
        let size = options.size();
        let pattern = Rc::new(Pattern::new(size));
        Self { head: head.into(), size, pattern, protocol }
    }

    /// Bytes of a request.
    pub(crate) fn request(&self) -> usize {
        self.head.len() + self.size
    }

    /// The buffer for what comes where so many requests are in flight.
    pub(crate) fn buffer(&self, requests: usize) -> Box<[u8]> {
        let size = match self.protocol {
            // A byte more than can be in flight shows that there was one too many.
            Protocol::Echo => self.size.saturating_mul(requests).saturating_add(1),
            Protocol::Http { .. } => FIRST_BUFFER,
        };
        vec![0; size.min(LARGEST_BUFFER)].into()
    }

    /// What is said on a connection, and what is to come of it, where that client has sent so many
    /// requests before.
    pub(crate) fn begin(&self, client: usize, sent: u64) -> (Script, Answers) {
        let mut start = self.pattern.start(client);
        // Goes on where the last connection's requests ended, that no two of them are the same.
        self.pattern.skip(&mut start, (sent as usize).wrapping_mul(self.size));
        let pattern = || Rc::clone(&self.pattern);
        let answers = match self.protocol {
            Protocol::Echo => Answers::Echo(Echoes::new(pattern(), start, self.size)),
            Protocol::Http { is_echoed } => {
                let echoes = is_echoed.then(|| Echoes::new(pattern(), start, self.size));
                Answers::Http(HttpAnswers::new(echoes))
            }
        };
        (Script::new(Rc::clone(&self.head), self.size, pattern(), start), answers)
    }
}

/// The answers of one connection, as they come.
pub(crate) enum Answers {
    Echo(Echoes),
    Http(HttpAnswers),
}

impl Answers {
    /// Looks at what came, where so many requests are unanswered.
    pub(crate) fn check(&mut self, came: &[u8], in_flight: usize, tally: &Tally) -> Found {
        match self {
            Self::Echo(echoes) => echoes.check(came, in_flight),
            Self::Http(answers) => answers.check(came, in_flight, tally),
        }
    }

    /// The server has ended its side. That may be what completes an answer; it is an error else.
    pub(crate) fn end(&mut self, tally: &Tally) -> Result<(), Failure> {
        match self {
            Self::Echo(_) => Err(Failure::Closed),
            Self::Http(answers) => answers.end(tally),
        }
    }

    /// The server has said that it answers no more on this connection.
    pub(crate) fn are_over(&self) -> bool {
        match self {
            Self::Echo(_) => false,
            Self::Http(answers) => answers.are_over(),
        }
    }
}
