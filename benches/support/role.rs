//! One executable, several processes: starts this bench again as a server or as the load generator.
//!
//! A process in a role runs on a core of its own, dies with the bench that started it, and ends after a
//! given time at the latest. A server prints its port and process number and then serves until it is
//! ended; the load generator opens its connections and then gives load whenever a line asks for it.

use super::args::Args;
use super::churn::Churn;
#[cfg(feature = "http")]
use super::http_hello;
use super::late::{self, Lateness, Mix};
use super::load::{Load, Report, Requests, Stretch, Target};
#[cfg(feature = "tls")]
use super::tls_echo;
use super::{cpu, evy_echo, raw_echo, sys, udp_echo};
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

/// The argument that turns the executable into another process: `ROLE name core seconds …`.
const ROLE: &str = "--role";

/// What a usual client of HTTP sends, if it is brief.
const HTTP_REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// What a process gets in addition to the time that it is expected to take.
const GRACE: Duration = Duration::from_secs(120);

/// Which echo server to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Hand-written epoll.
    Raw,
    /// The same, never asleep.
    RawAwake,
    /// Green threads.
    Evy,
    /// Hand-written epoll, over UDP.
    RawUdp,
    /// A green thread, over UDP.
    EvyUdp,
    /// Green threads that `evy::Server` starts.
    EvyServer,
    /// hyper on tokio's current-thread runtime.
    HyperTokio,
    /// `evy::http`.
    EvyHttp,
    /// Hand-written epoll with rustls.
    RawTls,
    /// Green threads, over TLS.
    EvyTls,
}

impl ServerKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RawAwake => "raw-awake",
            Self::Evy => "evy",
            Self::RawUdp => "raw-udp",
            Self::EvyUdp => "evy-udp",
            Self::EvyServer => "evy-server",
            Self::HyperTokio => "hyper-tokio",
            Self::EvyHttp => "evy-http",
            Self::RawTls => "raw-tls",
            Self::EvyTls => "evy-tls",
        }
    }
}

/// The `main` of a bench: plays the role that this process was started for, or else runs the bench.
pub(crate) fn main(bench: impl FnOnce(Args) -> io::Result<()>) -> ExitCode {
    let result = match play() {
        Ok(false) => bench(Args::from_env()),
        Ok(true) => Ok(()),
        Err(e) => Err(e),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the role that this process was started for; returns `false` if it was started for none.
fn play() -> io::Result<bool> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [flag, name, core, seconds, rest @ ..] = args.as_slice() else { return Ok(false) };
    if flag != ROLE {
        return Ok(false);
    }
    sys::die_with_parent()?;
    sys::die_after(Duration::from_secs(number(seconds)?));
    cpu::pin(number(core)? as usize)?;
    sys::raise_descriptor_limit()?;
    match name.as_str() {
        "raw" => raw_echo::serve(announce)?,
        "raw-awake" => raw_echo::serve_awake(announce)?,
        "evy" => evy_echo::serve(announce)?,
        "raw-udp" => udp_echo::serve_raw(announce)?,
        "evy-udp" => udp_echo::serve_evy(announce)?,
        "evy-server" => evy_echo::serve_well(announce)?,
        #[cfg(feature = "http")]
        "hyper-tokio" => http_hello::serve_tokio(announce)?,
        #[cfg(feature = "http")]
        "evy-http" => http_hello::serve_evy(announce)?,
        #[cfg(feature = "tls")]
        "raw-tls" => tls_echo::serve_raw(announce)?,
        #[cfg(feature = "tls")]
        "evy-tls" => tls_echo::serve_evy(announce)?,
        #[cfg(feature = "tls")]
        "load-tls" => play_tls_load(rest)?,
        "load" => play_load(rest)?,
        "http-load" => play_http_load(rest)?,
        "churn" => play_churn(rest)?,
        "late-evy" => tell_lateness(late::serve_evy(Mix::from_args(rest).ok_or_else(malformed)?))?,
        "late-tokio" => {
            tell_lateness(late::serve_tokio(Mix::from_args(rest).ok_or_else(malformed)?))?
        }
        "late-clients" => play_late_clients(rest)?,
        "late-flood" => play_flood(rest)?,
        "program" => return Err(play_program(rest)),
        _ => return Err(io::Error::other(format!("no role {name}"))),
    }
    Ok(true)
}

/// Loads by requests on connections that stay open.
fn play_load(args: &[String]) -> io::Result<()> {
    let target = target(args)?;
    let mut load = Load::connect(target, Requests::echo(target.size))?;
    answer_orders(|stretch| load.run(target.server, stretch))
}

/// Loads by requests of HTTP on connections that are kept.
fn play_http_load(args: &[String]) -> io::Result<()> {
    let target = target(args)?;
    let requests = Requests::fixed(target.port, HTTP_REQUEST, b"HTTP/1.1 200 OK\r\n")?;
    let mut load = Load::connect(target, requests)?;
    load.stay_awake();
    answer_orders(|stretch| load.run(target.server, stretch))
}

/// The same over TLS.
#[cfg(feature = "tls")]
fn play_tls_load(args: &[String]) -> io::Result<()> {
    let target = target(args)?;
    let mut load = tls_echo::load(target)?;
    answer_orders(|stretch| load.run(target.server, stretch))
}

/// Loads by connections that come and go.
fn play_churn(args: &[String]) -> io::Result<()> {
    let target = target(args)?;
    let mut churn = Churn::new(target.port, target.connections)?;
    answer_orders(|stretch| churn.run(target.server, stretch))
}

/// Asks evenly, and says how late the answers were.
fn play_late_clients(args: &[String]) -> io::Result<()> {
    let [port, clients, rate, millis] = args else { return Err(malformed()) };
    let time = Duration::from_millis(number(millis)?);
    tell_lateness(late::echo(number(port)? as u16, number(clients)?, number(rate)?, time))
}

/// Floods a server until this process is ended.
fn play_flood(args: &[String]) -> io::Result<()> {
    let [port] = args else { return Err(malformed()) };
    late::flood(number(port)? as u16)
}

fn tell_lateness(lateness: io::Result<Lateness>) -> io::Result<()> {
    println!("{}", lateness?);
    Ok(())
}

/// Becomes another program, which stays on this core; returns only why it could not.
fn play_program(args: &[String]) -> io::Error {
    let [program, args @ ..] = args else { return malformed() };
    Command::new(program).args(args).exec()
}

fn target(args: &[String]) -> io::Result<Target> {
    Target::from_args(args).ok_or_else(malformed)
}

/// Says by an empty line that it is ready, and answers each line that asks for load by its report.
fn answer_orders(mut run: impl FnMut(Stretch) -> io::Result<Report>) -> io::Result<()> {
    println!();
    for line in io::stdin().lines() {
        let stretch = Stretch::from_line(&line?).ok_or_else(malformed)?;
        println!("{}", run(stretch)?.to_line());
    }
    Ok(())
}

fn malformed() -> io::Error {
    io::Error::other("malformed orders for the load generator")
}

/// Tells the bench where the server is.
fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{port} {}", std::process::id())?;
    out.flush()
}

/// A running echo server; ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// The process that was started: the server, or the strace that watches it.
    child: Child,
    /// The server's own process.
    pub(crate) pid: u32,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server that is to serve for about `time`. It inherits the environment, so `EVY_SPIN`
    /// given to the bench reaches it.
    pub(crate) fn start(kind: ServerKind, time: Duration) -> io::Result<Self> {
        let (core, _) = cpu::cores()?;
        Self::launch(command(kind.name(), core, time)?)
    }

    /// Starts a server under `strace -c`, which writes its counts to `output` once the server has ended.
    pub(crate) fn start_traced(
        kind: ServerKind,
        spin: bool,
        output: &Path,
        time: Duration,
    ) -> io::Result<Self> {
        let (core, _) = cpu::cores()?;
        let server = command(kind.name(), core, time)?;
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f", "-o"]).arg(output);
        strace.arg(server.get_program()).args(server.get_args());
        if spin {
            strace.env_remove("EVY_SPIN");
        } else {
            strace.env("EVY_SPIN", "0");
        }
        Self::launch(strace)
    }

    fn launch(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("the pipe was asked for");
        let mut server = Self { pid: child.id(), child, port: 0 };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let (port, pid) = line
            .trim()
            .split_once(' ')
            .ok_or_else(|| io::Error::other("the server ended before it listened"))?;
        server.port = number(port)? as u16;
        server.pid = number(pid)? as u32;
        Ok(server)
    }

    /// Ends the server and waits for its end, and for that of a strace around it.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        sys::terminate(self.pid)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` both do nothing. A traced server dies with its strace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running load generator with its open connections; ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct LoadProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl LoadProcess {
    /// Starts a process that opens the connections, and returns when they are open; it is to give load
    /// for about `time`.
    pub(crate) fn start(target: Target, time: Duration) -> io::Result<Self> {
        Self::start_as("load", target, time)
    }

    /// Starts one that asks by HTTP.
    pub(crate) fn start_http(target: Target, time: Duration) -> io::Result<Self> {
        Self::start_as("http-load", target, time)
    }

    /// Starts one whose connections are under TLS.
    pub(crate) fn start_tls(target: Target, time: Duration) -> io::Result<Self> {
        Self::start_as("load-tls", target, time)
    }

    /// Starts one that opens its connections only when it is to give load, and closes each again.
    pub(crate) fn start_churn(target: Target, time: Duration) -> io::Result<Self> {
        Self::start_as("churn", target, time)
    }

    fn start_as(role: &str, target: Target, time: Duration) -> io::Result<Self> {
        let (_, core) = cpu::cores()?;
        let mut command = command(role, core, time)?;
        command.args(target.to_args()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let orders = child.stdin.take().expect("the pipe was asked for");
        let answers = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        let mut process = Self { child, orders, answers };
        process.answer()?;
        Ok(process)
    }

    /// Has it load the server, and returns what it saw.
    pub(crate) fn run(&mut self, stretch: Stretch) -> io::Result<Report> {
        writeln!(self.orders, "{}", stretch.to_line())?;
        self.answer()?.parse()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the load generator has failed")),
            _ => Ok(line),
        }
    }
}

impl Drop for LoadProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that is to run on the client's core, for about `time`, and to end with this bench; its own
/// arguments can be added.
pub(crate) fn client_program(program: &Path, time: Duration) -> io::Result<Command> {
    let (_, core) = cpu::cores()?;
    let mut command = command("program", core, time)?;
    command.arg(program);
    Ok(command)
}

/// This executable in a role, on a core, for about `time`; the role's own arguments can be added.
pub(crate) fn command(role: &str, core: usize, time: Duration) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    let seconds = (time + GRACE).as_secs();
    command.args([ROLE, role, &core.to_string(), &seconds.to_string()]);
    Ok(command)
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not a number")))
}
