//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::address::Address;

/// Echo server: sends every client's bytes back to it.
///
/// It says `listening on ADDR`, a line for each address, when clients can come.
#[derive(Debug, Parser)]
#[command(name = "evy-echo", version, max_term_width = 100, after_long_help = MORE)]
pub(crate) struct Options {
    /// Where to listen: IP:PORT, tls:IP:PORT, udp:IP:PORT or unix:PATH
    ///
    /// As many as you like. A name may stand for IP; port 0 lets the system choose a free one, which the
    /// line `listening on ADDR` shows. unix:@NAME is a name in no directory (Linux). Without any ADDR it
    /// takes the sockets that systemd has opened for it (LISTEN_FDS), or else 127.0.0.1:6000.
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<Address>,

    /// Processor cores to use, each with its own hub and its share of the TCP clients; 0 means all
    ///
    /// Unix and UDP sockets are served on the first core.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) cores: usize,

    /// Clients that are served at once; more wait until one leaves
    ///
    /// TCP, TLS and Unix clients of all cores count together. Each client takes a descriptor: the program
    /// raises its soft limit of open files (`ulimit -n`) to the hard one, and where that is not enough,
    /// more clients wait, too.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub(crate) max_clients: usize,

    /// Send away clients that are silent for so long; without it they may stay silent for ever
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Speak HTTP/1.1 and HTTP/2: the answer to a request is its body, with its content-type
    ///
    /// On TCP, TLS and Unix addresses; which of the two versions it is, the client says, under TLS by
    /// ALPN. Bodies of any length are answered while they come: a client has to read its answer while it
    /// sends. A GET without a body gets a text that says how to ask. It says `listening on
    /// http://IP:PORT`, or https: under TLS. Without --idle-timeout, a connection may be without a request
    /// for 75 seconds.
    #[arg(long)]
    pub(crate) http: bool,

    /// Certificate for tls: addresses, with those above it, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Write a line about the work to standard error every so often
    ///
    /// It says how many clients there are and how many have come in all; requests (what one read gives, or
    /// those of HTTP) and MiB sent back per second; and what 99 of 100 turns did not take longer than: how
    /// late a timer of 10 ms came, because the hub was busy with others.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) stats: Option<Duration>,

    /// How long clients may take to finish after SIGTERM or SIGINT
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = seconds_or_none)]
    pub(crate) grace: Duration,

    /// Write a line to standard error when a client comes and when it leaves, with its address and bytes
    ///
    /// With --http, a line for each request: the client, the time, the request, the answer's status, bytes
    /// and seconds.
    #[arg(long)]
    pub(crate) log: bool,
}

const MORE: &str = "\
Signals:
  SIGTERM or SIGINT (Ctrl-C) stops it: it listens no more, answers what it has been sent, ends the
  connections, and exits with 0 when all clients have left or the grace is over. A second one ends it at
  once, with 143 (SIGTERM) or 130 (SIGINT).

Examples:
  evy-echo                                    then, in another terminal: nc 127.0.0.1 6000
  evy-echo 0.0.0.0:7 udp:0.0.0.0:7            the echo service of old
  evy-echo tls:[::]:6443 --tls-cert chain.pem --tls-key key.pem
  evy-echo --http                             then: curl --data hello http://127.0.0.1:6000/
  evy-echo --cores 0 --stats 1 127.0.0.1:0 unix:/tmp/echo

Sockets of systemd: a TCP socket with FileDescriptorName=tls speaks TLS.

Exit codes: 0 after a stop, 1 for an error, 2 for a wrong command line.";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one client has to be served".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Seconds with or without a fraction, more than none.
fn seconds(text: &str) -> Result<Duration, String> {
    match seconds_or_none(text)? {
        Duration::ZERO => Err("more than 0 seconds are wanted".to_owned()),
        time => Ok(time),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| format!("{error}"))
}
