//! Loads a server that says "hello" over HTTP, or one that echoes, and prints what was seen:
//! `peers-load PORT PID CONNECTIONS SECONDS [echo BYTES | idle BYTES]`.
//!
//! Hand-written epoll, with one request in flight on each connection; every answer is checked, and what
//! does not answer as it should ends the load. TCP_NODELAY is set. Printed are requests per second, the
//! nanoseconds that the threads of process PID were on a CPU for one request, and the microseconds within
//! which 50 and 99 of 100 answers came.
//!
//! With `idle`, each connection has one message echoed and then says nothing more. Printed are the bytes
//! that each connection adds to process PID: resident memory with page tables, the same by the process's
//! share of the pages (PSS), and the page tables alone. What the kernel keeps for a socket is in none.

#![forbid(unsafe_code)]

mod connection;
mod load;
mod process;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use connection::Request;
use load::Load;
use process::Memory;

/// Load that is not measured, before the load that is.
const WARM_UP: Duration = Duration::from_millis(200);

/// The same for each connection, where there are many: a few turns of all.
const WARM_UP_EACH: Duration = Duration::from_micros(20);

/// What is measured of each connection at least.
const TIME_EACH: Duration = Duration::from_micros(40);

/// Time for a server to go to sleep after the last echo.
const SETTLE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let result = Task::from_args(std::env::args().skip(1)).and_then(|task| task.run());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What this process is asked to do.
struct Task {
    port: u16,
    server: u32,
    connections: usize,
    time: Duration,
    request: Request,
    idle: bool,
}

impl Task {
    fn from_args(mut args: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut task = Self {
            port: argument(args.next())?,
            server: argument(args.next())?,
            connections: argument(args.next())?,
            time: Duration::from_secs_f64(argument(args.next())?),
            request: Request::hello(),
            idle: false,
        };
        if let Some(kind) = args.next() {
            task.idle = kind == "idle";
            if !task.idle && kind != "echo" {
                return Err(usage());
            }
            task.request = Request::echo(argument(args.next())?);
        }
        Ok(task)
    }

    fn run(self) -> io::Result<()> {
        if self.idle { self.measure_idle() } else { self.measure_load() }
    }

    fn measure_load(self) -> io::Result<()> {
        let connections = u32::try_from(self.connections).map_err(io::Error::other)?;
        let mut load = Load::new(self.port, self.request)?;
        load.connect(self.connections)?;
        load.ask_all()?;
        load.pump(WARM_UP.max(WARM_UP_EACH * connections))?;

        load.latencies.clear();
        let (start, cpu) = (Instant::now(), process::on_cpu_nanos(self.server)?);
        load.pump(self.time.max(TIME_EACH * connections))?;
        let (elapsed, cpu) = (start.elapsed(), process::on_cpu_nanos(self.server)? - cpu);
        let mut nanos = std::mem::take(&mut load.latencies);

        load.finish()?;
        if nanos.is_empty() {
            return Err(io::Error::other("no answer in the time that was measured"));
        }
        nanos.sort_unstable();
        let requests = nanos.len() as f64;
        let micros = |part: f64| nanos[((requests - 1.0) * part).round() as usize] as f64 / 1e3;
        let (rate, cpu) = (requests / elapsed.as_secs_f64(), cpu as f64 / requests);
        println!("{rate} {cpu} {} {}", micros(0.5), micros(0.99));
        Ok(())
    }

    fn measure_idle(self) -> io::Result<()> {
        let mut load = Load::new(self.port, self.request)?;
        // What the server makes for its first connection is none of the others'.
        load.connect(1)?;
        settle();
        let before = Memory::of(self.server)?;
        load.connect(self.connections)?;
        settle();
        let after = Memory::of(self.server)?;
        let each = |from: f64, to: f64| (to - from) / self.connections as f64;
        let page_tables = each(before.page_tables, after.page_tables);
        let resident = each(before.resident, after.resident) + page_tables;
        let share = each(before.share, after.share) + page_tables;
        println!("{resident} {share} {page_tables}");
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "there are no green threads in this process")]
fn settle() {
    thread::sleep(SETTLE);
}

fn argument<T: std::str::FromStr>(text: Option<String>) -> io::Result<T> {
    text.and_then(|text| text.parse().ok()).ok_or_else(usage)
}

fn usage() -> io::Error {
    io::Error::other("usage: peers-load PORT PID CONNECTIONS SECONDS [echo BYTES | idle BYTES]")
}
