//! Several addresses at once: Happy Eyeballs, version 2 (RFC 8305).
//!
//! The families take turns, beginning with that of the first address. An attempt that has not come to an
//! end after the attempt delay gets company by the next; one that fails makes room for the next at once.
//! The first to be connected wins, and the sockets of all others are closed.
//!
//! ```text
//!   0 ms        250 ms      500 ms
//!   [2001:db8::1] ··························· dropped
//!               192.0.2.1 ── refused
//!                      [2001:db8::2] ── connected
//! ```
//!
//! What the RFC says of names (to ask for both families at once, and to begin with the addresses of one
//! while the other's are on their way) is the resolver's business here: `getaddrinfo` asks for both at
//! once, and gives all addresses when it has both answers.
//!
//! All of it runs on the caller's own green thread, which waits for all sockets at once; so whatever ends
//! it closes them all.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::vec;

use evy_runtime::io::{Direction, ready_in};
use evy_runtime::{Reason, Selection};

use super::{begin, outcome};
use crate::ConnectOptions;
use crate::green_io::GreenIo;
use crate::resolve::Tried;

/// Attempts at a time. A name server that lies cannot make us knock on any number of doors at once.
const MOST: usize = 32;

const ANSWER: Reason = Reason::new(&"one of several addresses to answer");

/// Connects to the first of `addresses` that answers, within `timeout`.
pub(super) fn race(
    addresses: &[SocketAddr],
    options: &ConnectOptions,
    timeout: Option<Duration>,
) -> io::Result<GreenIo> {
    let now = Instant::now();
    let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
    let mut race = Race {
        options,
        waiting: interleaved(addresses).into_iter(),
        pending: Vec::new(),
        next: now,
        tried: Tried::default(),
    };
    loop {
        if let Some(winner) = race.begin_what_is_due()? {
            return Ok(winner);
        }
        if race.pending.is_empty() {
            return Err(race.tried.into_error());
        }
        race.wait(deadline)?;
        if let Some(winner) = race.look()? {
            return Ok(winner);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(race.late());
        }
    }
}

/// The families take turns; within each the order stays.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = |address: &&SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let mut ours = addresses.iter().filter(first);
    let mut others = addresses.iter().filter(|address| !first(address));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(ours.next());
        order.extend(others.next());
    }
    order
}

struct Race<'a> {
    options: &'a ConnectOptions,
    /// Addresses that have not been tried.
    waiting: vec::IntoIter<SocketAddr>,
    /// Attempts without an outcome, oldest first.
    pending: Vec<Attempt>,
    /// When the next attempt begins beside those.
    next: Instant,
    tried: Tried,
}

struct Attempt {
    address: SocketAddr,
    /// It is never waited for by itself, so no hub has it.
    green: GreenIo,
}

impl Race<'_> {
    /// Begins attempts until one has to be waited for; returns one that is connected at once.
    fn begin_what_is_due(&mut self) -> io::Result<Option<GreenIo>> {
        while self.is_next_due() {
            let Some(address) = self.waiting.next() else { break };
            match begin(address, self.options) {
                Ok((green, true)) => return Ok(Some(green)),
                Ok((green, false)) => {
                    self.pending.push(Attempt { address, green });
                    self.next = Instant::now() + self.options.delay();
                }
                Err(error) => self.tried.add(address, error)?,
            }
        }
        Ok(None)
    }

    fn is_next_due(&self) -> bool {
        self.pending.is_empty() || (self.pending.len() < MOST && self.next <= Instant::now())
    }

    /// Parks until there is something new: an outcome, or the time for the next attempt, or the end.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<()> {
        let has_next = self.pending.len() < MOST && self.waiting.len() > 0;
        let until = [has_next.then_some(self.next), deadline].into_iter().flatten().min();
        wait_for_any(&Selection::new(), &self.pending, until)
    }

    /// Looks what has come of the attempts; returns the first that is connected.
    fn look(&mut self) -> io::Result<Option<GreenIo>> {
        let mut index = 0;
        while let Some(attempt) = self.pending.get(index) {
            match outcome(attempt.green.as_fd()) {
                Ok(()) => return Ok(Some(self.pending.remove(index).green)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => index += 1,
                Err(error) => {
                    let attempt = self.pending.remove(index);
                    self.tried.add(attempt.address, error)?;
                    self.next = Instant::now();
                }
            }
        }
        Ok(None)
    }

    fn late(&self) -> io::Error {
        let addresses: Vec<_> =
            self.pending.iter().map(|attempt| attempt.address.to_string()).collect();
        let text = format!("no answer in time from {}", addresses.join(", "));
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

/// Waits for all of them, one inside the other, and parks in the innermost wait.
fn wait_for_any(
    selection: &Selection,
    attempts: &[Attempt],
    until: Option<Instant>,
) -> io::Result<()> {
    let Some((attempt, others)) = attempts.split_first() else {
        // Whether it is an event or the time: the callers look.
        let _ = selection.park(ANSWER, until);
        return Ok(());
    };
    let mut inside = Ok(());
    ready_in(selection, &attempt.green, Direction::Write, || {
        inside = wait_for_any(selection, others, until);
    })?;
    inside
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_next_attempt_is_due_when_one_fails_while_others_are_pending() {
        let options = ConnectOptions::new();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let attempt = |socket: OwnedFd| Attempt { address, green: GreenIo::new(socket) };
        // A socket that is not connected yet, and one of which that is not to be expected.
        let pending = attempt(options.socket(address).unwrap());
        let failed = attempt(UnixStream::pair().unwrap().0.into());
        let mut race = Race {
            options: &options,
            waiting: vec![address].into_iter(),
            pending: vec![pending, failed],
            next: Instant::now() + Duration::from_secs(3600),
            tried: Tried::default(),
        };
        assert!(!race.is_next_due());
        assert!(race.look().unwrap().is_none());
        assert_eq!(race.pending.len(), 1);
        assert!(race.is_next_due());
        assert_eq!(race.tried.into_error().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_families_take_turns_beginning_with_that_of_the_first() {
        let order = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let order = interleaved(&addresses);
            order.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (a, b, c) = ("[::a]:1", "[::b]:1", "[::c]:1");
        let (x, y) = ("1.1.1.1:1", "1.1.1.2:1");
        assert_eq!(order(&[a, b, x, y]), format!("{a} {x} {b} {y}"));
        assert_eq!(order(&[x, y, a]), format!("{x} {a} {y}"));
        assert_eq!(order(&[a, b, c, x]), format!("{a} {x} {b} {c}"));
        assert_eq!(order(&[y, x]), format!("{y} {x}"));
    }
}
