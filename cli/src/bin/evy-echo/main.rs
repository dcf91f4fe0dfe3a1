//! An echo server: sends back what it is sent, to any number of clients at once, over TCP, TLS, UDP and
//! Unix sockets; or, by HTTP, answers each request with its body.
//!
//! ```text
//! cargo run --release --bin evy-echo -- 127.0.0.1:6000
//! ```
//!
//! ```text
//!   options ─► Sockets ─┬─► core 0: Services ─┬─ Server of the plain TCP listeners ─► echo
//!                       │                     ├─ Server of the TLS listeners ───────► echo_tls
//!                       │                     ├─ Server of the Unix listeners ──────► echo
//!                       │                     │  (with --http, servers of HTTP ─────► http)
//!                       │                     └─ UdpService: Datagrams, one a socket
//!                       └─► core 1: Services …     each client is a Visit, counted in the core's Tally
//!   Signals ─► a Notice for each core ─► Services::stop
//! ```

#![forbid(unsafe_code)]

mod address;
mod datagrams;
mod echo;
mod http;
mod options;
mod service;
mod serving;
mod signals;
mod sockets;
mod stats;
mod terms;
mod visit;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use evy::cores;
use evy::tls::TlsAcceptor;
use evy::{ClientLimit, GreenThread};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use address::{Address, Url};
use options::Options;
use service::Services;
use signals::Signals;
use sockets::Sockets;
use stats::{Stats, Tally};
use terms::Terms;
use visit::Guestbook;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    raise_descriptor_limit();
    let signals = Signals::catch()?;
    let acceptor = acceptor(options)?;
    let echo = Echo {
        options,
        signals,
        sockets: open(options, acceptor.is_some())?,
        acceptor,
        clients: ClientLimit::new(options.max_clients),
        stats: Arc::default(),
        listening: AtomicUsize::new(0),
    };
    if options.cores == 1 {
        return echo.start(0, 1)?.wait();
    }
    let ends = cores::run(options.cores, |core| {
        // None serves when one cannot start: the others would wait for it in vain.
        let serving = echo.start(core.index(), core.count()).unwrap_or_else(|error| {
            say(format_args!("{error}"));
            std::process::exit(1)
        });
        // The others go on, so nobody else says it.
        serving.wait().inspect_err(|error| say(format_args!("core {} ends: {error}", core.index())))
    });
    ends.into_iter().collect()
}

/// As many descriptors as the process may have: the usual limit is for programs that know only `select`.
/// Where that is refused it stays as it is, and the server waits for free ones when it has none.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// A closed standard error is no reason to serve nobody.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "evy-echo: {line}");
}

/// The certificate and key of the command line.
fn acceptor(options: &Options) -> io::Result<Option<TlsAcceptor>> {
    let (Some(chain), Some(key)) = (&options.tls_cert, &options.tls_key) else { return Ok(None) };
    let acceptor = TlsAcceptor::builder().identity_files(chain, key);
    let acceptor = if options.http { acceptor.alpn(["h2", "http/1.1"]) } else { acceptor };
    match acceptor.build() {
        Ok(acceptor) => Ok(Some(acceptor)),
        Err(error) => {
            let (chain, key) = (chain.display(), key.display());
            let text = format!("cannot use the certificate {chain} with the key {key}: {error}");
            Err(io::Error::new(error.kind(), text))
        }
    }
}

fn open(options: &Options, has_certificate: bool) -> io::Result<Sockets> {
    let wrong = |addresses: &[Address]| {
        let mut wrong =
            addresses.iter().filter_map(|address| objection(address, options, has_certificate));
        wrong.next().map(|text| io::Error::new(io::ErrorKind::InvalidInput, text))
    };
    // Asked before any is opened: a mistake of the command line.
    if let Some(error) = wrong(&options.addresses) {
        return Err(error);
    }
    let sockets = Sockets::open(&options.addresses, options.cores)?;
    match wrong(sockets.names()) {
        Some(error) => Err(error),
        None => Ok(sockets),
    }
}

/// Why there can be no service on that address.
fn objection(address: &Address, options: &Options, has_certificate: bool) -> Option<String> {
    match address {
        Address::Tls(_) if !has_certificate => {
            Some(format!("{address} needs --tls-cert FILE and --tls-key FILE"))
        }
        Address::Udp(_) if options.http => {
            Some(format!("{address} cannot have --http: there is no HTTP over UDP here"))
        }
        _ => None,
    }
}

/// What all cores have in common.
struct Echo<'a> {
    options: &'a Options,
    signals: Signals,
    sockets: Sockets,
    acceptor: Option<TlsAcceptor>,
    /// Of all cores: the kernel does not give each of them the same number.
    clients: ClientLimit,
    stats: Arc<Stats>,
    /// How many cores listen.
    listening: AtomicUsize,
}

impl Echo<'_> {
    /// Starts to serve on this core.
    fn start(&self, index: usize, cores: usize) -> io::Result<OnCore> {
        let tally = Arc::new(Tally::default());
        let terms = Terms {
            clients: self.clients.clone(),
            idle_timeout: self.options.idle_timeout,
            acceptor: self.acceptor.clone(),
            http: self.options.http,
            book: Guestbook { tally: Arc::clone(&tally), log: self.options.log },
        };
        let services = Rc::new(Services::start(self.sockets.of_core(index)?, &terms)?);
        self.keep_stats(index, tally, &services);
        let notice = self.signals.listen()?;
        // A client may come as soon as the lines are out: then every core listens.
        if self.listening.fetch_add(1, Ordering::SeqCst) + 1 == cores {
            self.sockets.hand_over();
            announce(self.sockets.names(), self.options.http)?;
        }
        let (stopped, grace) = (Rc::clone(&services), self.options.grace);
        let stopping = evy::spawn(move || {
            notice.wait()?;
            Ok(stopped.stop(grace))
        });
        Ok(OnCore { services, stopping })
    }

    fn keep_stats(&self, index: usize, tally: Arc<Tally>, services: &Services) {
        let Some(period) = self.options.stats else { return };
        self.stats.add(Arc::clone(&tally), services.counters());
        evy::spawn_n(move || tally.measure_delays());
        if index == 0 {
            let stats = Arc::clone(&self.stats);
            evy::spawn_n(move || stats.report(period));
        }
    }
}

/// What goes on on one core.
struct OnCore {
    services: Rc<Services>,
    /// Gives the number of clients that were cut off.
    stopping: GreenThread<io::Result<usize>>,
}

impl OnCore {
    /// Waits until a signal or an error ends it.
    fn wait(self) -> io::Result<()> {
        self.services.wait()?;
        match self.stopping.wait().map_err(|died| io::Error::other(died.to_string()))?? {
            0 => {}
            clients => say(format_args!("clients cut off at the end of the grace: {clients}")),
        }
        Ok(())
    }
}

/// Says where it listens, in lines that are out when this returns.
fn announce(names: &[Address], http: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for name in names {
        match http {
            true => writeln!(output, "listening on {}", Url(name))?,
            false => writeln!(output, "listening on {name}")?,
        }
    }
    output.flush()
}
