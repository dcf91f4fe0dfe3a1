//! An echo server: sends back what it is sent, to any number of clients at once.
//!
//! ```text
//! cargo run --release --bin evy-echo -- 127.0.0.1:6000
//! ```

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use evy::cores::{self, SharedAddress};
use evy::net::{TcpListener, TcpStream};
use evy::{GreenPool, is_shortage};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The first pause after descriptors or memory ran out; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Echo server: sends every client's bytes back to it. SIGINT or SIGTERM ends it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Options {
    /// Address to listen on, as IP:PORT or HOST:PORT; port 0 lets the system choose a free one. The
    /// first line of output says which it is
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:6000")]
    address: String,

    /// Clients that are served at once; more wait until one leaves
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    max_clients: usize,

    /// Processor cores to use, each with its own hub and its share of the clients; 0 means all
    #[arg(long, value_name = "N", default_value_t = 1)]
    cores: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one client has to be served".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evy-echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    end_by_signal()?;
    if options.cores == 1 {
        let server = evy::listen(&options.address).map_err(|error| unlistenable(options, error))?;
        announce(server.local_addr()?)?;
        return serve(&server, options.max_clients);
    }
    let address = SharedAddress::bind(&options.address);
    let address = address.map_err(|error| unlistenable(options, error))?;
    let listening = AtomicUsize::new(0);
    let ends = cores::run(options.cores, |core| {
        let server = address.listen()?;
        // A client may come as soon as the line is out: then every core listens.
        if listening.fetch_add(1, Ordering::SeqCst) + 1 == core.count() {
            announce(address.local_addr()?)?;
        }
        let served = serve(&server, options.max_clients.div_ceil(core.count()));
        // The others go on, so nobody else says it.
        served.inspect_err(|error| eprintln!("evy-echo: core {} ends: {error}", core.index()))
    });
    ends.into_iter().collect()
}

fn unlistenable(options: &Options, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.address))
}

/// Echoes to up to `clients` clients at once, for ever.
fn serve(server: &TcpListener, clients: usize) -> io::Result<()> {
    let pool = GreenPool::new(clients);
    let mut pause = FIRST_PAUSE;
    loop {
        let served =
            server.accept().and_then(|(client, _)| pool.try_spawn_n(move || echo(&client)));
        match served {
            Ok(()) => pause = FIRST_PAUSE,
            // Clients that are here keep their service; the next one waits.
            Err(error) if is_shortage(&error) => {
                eprintln!("evy-echo: no new clients for {} ms: {error}", pause.as_millis());
                evy::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Says where it listens, in one line that is out when this returns.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "listening on {address}")?;
    output.flush()
}

/// A client that resets or goes away ends its own echo and nothing else.
fn echo(client: &TcpStream) {
    let _ = evy::io::copy(client, client);
}

/// Ends the process, with success, on SIGINT and SIGTERM.
fn end_by_signal() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        let (notified, notifier) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal, notifier)?;
        evy::spawn_n(move || {
            if evy::wait_readable(&notified, None).is_ok() {
                std::process::exit(0);
            }
        });
    }
    Ok(())
}
