//! The clients of a server whose lateness is watched. They are green threads for both servers.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::{sleep, spawn_n};

use super::super::histogram::Histogram;
use super::super::sys;
use super::{Lateness, WARM_UP};

/// How many clients connect at once.
const CONNECTING: u64 = 50;

const BYTES: usize = 64;

/// Has `clients` ask `rate` times a second, all together and evenly; returns how late the answers were.
/// It counts from the time at which a request was due, so a server that is late makes nobody ask less.
pub(crate) fn echo(port: u16, clients: u64, rate: u64, time: Duration) -> io::Result<Lateness> {
    let late = Rc::new(RefCell::new(Histogram::new()));
    let period = Duration::from_secs(1) * clients as u32 / rate as u32;
    let begin = Instant::now() + WARM_UP;
    for n in 0..clients {
        if n % CONNECTING == 0 {
            sleep(Duration::from_millis(5));
        }
        let late = Rc::clone(&late);
        let first = begin + period * n as u32 / clients as u32;
        spawn_n(move || ask(port, first, period, &late));
    }
    sleep(begin.saturating_duration_since(Instant::now()) + time);
    Lateness::of(&late.borrow())
}

fn ask(port: u16, first: Instant, period: Duration, late: &RefCell<Histogram>) -> io::Result<()> {
    let mut server = evy::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut buffer = [7; BYTES];
    let mut due = first;
    loop {
        sleep(due.saturating_duration_since(Instant::now()));
        server.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
        late.borrow_mut().record(due.elapsed());
        due += period;
    }
}

/// Writes as much as it can, with what processor time others leave, until it is ended.
pub(crate) fn flood(port: u16) -> io::Result<()> {
    sys::give_way()?;
    let mut server = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let bytes = vec![7; 64 * 1024];
    loop {
        server.write_all(&bytes)?;
    }
}
