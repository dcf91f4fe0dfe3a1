//! What is done about an error: the user's decision.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use evy_runtime::{HandOver, Killed, Reason};

use super::shortage::is_shortage;

const TURN: Reason = Reason::new(&"the decision about another error of its server");

type Decide<A> = Box<dyn FnMut(&io::Error, Option<&A>) -> ControlFlow<()>>;

/// Asks the user's closure about each error, one after the other: it may park.
pub(super) struct Policy<A> {
    /// `None` while it is asked.
    decide: Cell<Option<Decide<A>>>,
    /// Who waits to ask.
    line: HandOver<Decide<A>>,
}

impl<A: fmt::Debug> Policy<A> {
    pub(super) fn new(
        decide: impl FnMut(&io::Error, Option<&A>) -> ControlFlow<()> + 'static,
    ) -> Self {
        Self { decide: Cell::new(Some(Box::new(decide))), line: HandOver::new() }
    }

    /// Asks what to do about an error, of the client at `addr` if it was one's.
    pub(super) fn ask(&self, error: &io::Error, addr: Option<&A>) -> ControlFlow<()> {
        let decide = self.decide.take().unwrap_or_else(|| {
            let handed = self.line.receive(TURN, None, |decide| self.give_back(decide));
            handed.expect("there is no deadline")
        });
        let mut turn = Turn { policy: self, decide: Some(decide) };
        let decide = turn.decide.as_mut().expect("it is there until the drop");
        match catch_unwind(AssertUnwindSafe(|| decide(error, addr))) {
            Ok(decision) => decision,
            Err(payload) if payload.is::<Killed>() => resume_unwind(payload),
            // It is reported as any panic, and must not end the loop that accepts.
            Err(_) => ControlFlow::Continue(()),
        }
    }

    fn give_back(&self, decide: Decide<A>) {
        if let Err(decide) = self.line.hand(decide) {
            self.decide.set(Some(decide));
        }
    }
}

/// The closure while it is asked; it goes to the next one however that ends.
struct Turn<'a, A: fmt::Debug> {
    policy: &'a Policy<A>,
    decide: Option<Decide<A>>,
}

impl<A: fmt::Debug> Drop for Turn<'_, A> {
    fn drop(&mut self) {
        if let Some(decide) = self.decide.take() {
            self.policy.give_back(decide);
        }
    }
}

/// The decision that is made where the user has said nothing: a line on standard error, and on.
pub(super) fn report<A: fmt::Debug>(error: &io::Error, addr: Option<&A>) -> ControlFlow<()> {
    let mut errors = io::stderr();
    // A closed standard error must not make a panic of it.
    let _ = match addr {
        Some(addr) => writeln!(errors, "evy: the client {addr:?} was not served: {error}"),
        None if is_shortage(error) => {
            writeln!(errors, "evy: no new clients until something is free: {error}")
        }
        None => writeln!(errors, "evy: a listener has failed: {error}"),
    };
    ControlFlow::Continue(())
}
