//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::address::Address;
use crate::numbers::counted;
use crate::tls::Trust;
use crate::url::{self, Field};

/// The longest `--duration`: what is longer is a slip of the finger.
const LONGEST_SECONDS: f64 = 1e9;
const LARGEST_SIZE: usize = 1 << 30;
/// Bytes of a request to an echo server, unless something else is said.
const USUAL_SIZE: usize = 64;

/// Load generator for echo servers and for servers of HTTP/1.1: sends requests, checks the answers, and
/// says how many a second there were and how long they took. Exit code 1 when an answer was wrong or
/// missing.
///
/// Of an echo server every byte is checked. An answer by HTTP has to be complete, and its status has to
/// be 2xx; redirects are not followed.
///
/// Without --rate a connection sends its next request when an answer has come (as fast as the server
/// allows). With --rate requests are sent by the clock, and an answer's latency counts from the time at
/// which its request was to be sent, so that a server that stalls cannot hide it.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  evy-load 127.0.0.1:6000                            50 connections for 10 seconds
  evy-load 127.0.0.1:6000 --rate 20k --duration 60   20,000 requests a second for a minute
  evy-load 127.0.0.1:6000 --per-connection 1         a connection for every request
  evy-load 127.0.0.1:6000 --size 1M --pipeline 4     throughput
  evy-load tls:127.0.0.1:6443 --tls-insecure         TLS, with whatever certificate
  evy-load http://127.0.0.1:8080/path                GET by HTTP
  evy-load http://127.0.0.1:6000 --size 1k --echo    POST of 1 KiB to evy-echo --http

SIGINT (Ctrl-C) ends it early, with the figures so far."
)]
pub(crate) struct Options {
    /// The server: IP:PORT or HOST:PORT of an echo server, tls:IP:PORT (as evy-echo says it), which means
    /// --tls, or a URL with http:// or https://, which means --http
    #[arg(value_name = "ADDR")]
    pub(crate) address: Address,

    /// Connections that are open at once
    #[arg(long, short, value_name = "N", default_value = "50", value_parser = count)]
    pub(crate) connections: usize,

    /// Bytes of a request; k and M mean KiB and MiB [default: 64, and by HTTP a GET without a body]
    ///
    /// By HTTP, those of its body, which is sent by POST.
    #[arg(long, short, value_name = "BYTES", value_parser = size)]
    size: Option<usize>,

    /// Requests that a connection sends ahead of the answers
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = count)]
    pub(crate) pipeline: usize,

    /// Connect anew after so many requests [default: keep the connection]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) per_connection: Option<usize>,

    /// Seconds that it sends for, counted from when all connections are open
    #[arg(long, short, value_name = "SECS", default_value = "10", value_parser = seconds)]
    pub(crate) duration: Duration,

    /// Requests a second, of all connections together; k means thousands [default: as many as possible]
    #[arg(long, short, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Connections that are opened a second, at the start and after failures
    #[arg(long, value_name = "N/s", default_value = "2000", value_parser = rate)]
    pub(crate) ramp: f64,

    /// Seconds to wait for a connection, or for the next byte of an answer, before it is an error
    #[arg(long, short, value_name = "SECS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Speak HTTP/1.1; ADDR may have a path then
    #[arg(long)]
    http: bool,

    /// A field of each request by HTTP, in place of ours of that name; as often as you like
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    fields: Vec<Field>,

    /// By HTTP, what --size has posted has to come back: check it as that of an echo server
    #[arg(long, requires = "size")]
    pub(crate) echo: bool,

    /// Connect by TLS, trusting whom the system trusts; each connection does a whole handshake
    #[arg(long)]
    tls: bool,

    /// Trust the certificates in this PEM file, and no others; means --tls
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    tls_ca: Option<PathBuf>,

    /// Trust any certificate, such as a self-signed one for a test; means --tls
    #[arg(long)]
    tls_insecure: bool,

    /// The server's name in the certificate, also sent to it (SNI); means --tls [default: ADDR's host]
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,

    /// Print the figures as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// What this process was started with; ends it where that is nonsense.
    pub(crate) fn from_command_line() -> Self {
        Self::parse().settle().unwrap_or_else(|complaint| {
            Self::command().error(ErrorKind::ValueValidation, complaint).exit()
        })
    }

    /// Finds out what is meant where one option says something about another.
    fn settle(mut self) -> Result<Self, String> {
        if self.http && self.address.url.is_none() {
            let tls = self.tls().is_some();
            self.address = Address::of_url(tls, &self.address.name)?;
        }
        let is_http = self.address.url.is_some();
        if !is_http && (self.echo || !self.fields.is_empty()) {
            return Err("--echo and --header are for HTTP: see --http".to_owned());
        }
        if is_http && !self.address.tls && self.tls().is_some() {
            return Err("there is no TLS with http://: it is https:// then".to_owned());
        }
        Ok(self)
    }

    /// By HTTP, the head of each request.
    pub(crate) fn http_head(&self) -> Option<String> {
        let url = self.address.url.as_ref()?;
        Some(url::head(url, self.size, &self.fields))
    }

    /// What is asked for, for people.
    pub(crate) fn request(&self) -> String {
        let size = || counted(self.size() as u64, "byte");
        match (&self.address.url, self.size) {
            (None, _) => size(),
            (Some(_), None) => "GET".to_owned(),
            (Some(_), Some(_)) => format!("POST of {}", size()),
        }
    }

    pub(crate) fn is_http(&self) -> bool {
        self.address.url.is_some()
    }

    /// Bytes of a request, without its head.
    pub(crate) fn size(&self) -> usize {
        let usual = if self.is_http() { 0 } else { USUAL_SIZE };
        self.size.unwrap_or(usual)
    }

    /// Requests on one connection.
    pub(crate) fn per_connection(&self) -> usize {
        match self.fields.iter().any(Field::asks_to_close) {
            true => 1,
            false => self.per_connection.unwrap_or(usize::MAX),
        }
    }

    /// What is said by TLS about what is spoken over it.
    pub(crate) fn protocol(&self) -> Option<&'static [u8]> {
        self.is_http().then_some(b"http/1.1")
    }

    /// For TLS: whom to trust, and the server's name.
    pub(crate) fn tls(&self) -> Option<(Trust<'_>, &str)> {
        let trust = match &self.tls_ca {
            _ if self.tls_insecure => Some(Trust::All),
            ca => ca.as_deref().map(Trust::File),
        };
        let name = self.tls_name.as_deref();
        let wanted = self.tls || self.address.tls || trust.is_some() || name.is_some();
        let trust = trust.unwrap_or(Trust::System);
        wanted.then(|| (trust, name.unwrap_or_else(|| self.address.host())))
    }

    /// The address with everything that was said about it.
    pub(crate) fn shown_address(&self) -> Address {
        Address { tls: self.tls().is_some(), ..self.address.clone() }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it has to be 1 at least".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let bytes = count(digits)?.saturating_mul(unit);
    if bytes <= LARGEST_SIZE { Ok(bytes) } else { Err("it can be 1024M at most".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = positive(text.strip_suffix('s').unwrap_or(text))?;
    // A nanosecond less is nothing to wait for.
    if (1e-9..=LONGEST_SECONDS).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it has to be between a nanosecond and 1,000,000,000 seconds".to_owned())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = match number.strip_suffix(['k', 'K']) {
        Some(thousands) => positive(thousands)? * 1e3,
        None => positive(number)?,
    };
    // Less than one in eleven days, or more than one in a nanosecond, makes no sense and no Duration.
    if (1e-6..=1e9).contains(&rate) {
        Ok(rate)
    } else {
        Err("it has to be between 0.000001 and 1,000,000,000 a second".to_owned())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 => Ok(number),
        Ok(_) => Err("it has to be more than 0".to_owned()),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_seconds_take_their_units() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("1M"), Ok(1 << 20));
        assert_eq!(rate("100"), Ok(100.0));
        assert_eq!(rate("1.5k/s"), Ok(1500.0));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("2s"), Ok(Duration::from_secs(2)));
    }

    fn options(args: &str) -> Options {
        Options::parse_from(format!("evy-load {args}").split(' '))
    }

    #[test]
    fn tls_is_wanted_by_each_of_its_options_and_by_the_address() {
        assert!(options("localhost:1").tls().is_none());
        for args in ["tls:localhost:1", "--tls localhost:1", "--tls tls:localhost:1"] {
            assert!(matches!(options(args).tls(), Some((Trust::System, "localhost"))), "{args}");
            assert_eq!(options(args).shown_address().to_string(), "tls:localhost:1");
        }
        let options_of = options("--tls-name x.org 1.2.3.4:1");
        assert!(matches!(options_of.tls(), Some((Trust::System, "x.org"))));
        let options_of = options("--tls-insecure [::1]:1");
        assert!(matches!(options_of.tls(), Some((Trust::All, "::1"))));
        let options_of = options("--tls-ca file 1.2.3.4:1");
        assert!(matches!(options_of.tls(), Some((Trust::File(_), "1.2.3.4"))));
    }

    fn settled(args: &str) -> Result<Options, String> {
        options(args).settle()
    }

    #[test]
    fn http_is_wanted_by_its_option_and_by_a_url() {
        for (args, shown, name) in [
            ("http://h:1/x", "http://h:1/x", "h:1"),
            ("--http h:1/x", "http://h:1/x", "h:1"),
            ("--http h", "http://h/", "h:80"),
            ("--http --tls-insecure h", "https://h/", "h:443"),
            ("--http tls:h:1", "https://h:1/", "h:1"),
            ("--http https://h/", "https://h/", "h:443"),
        ] {
            let options = settled(args).unwrap();
            assert_eq!(options.shown_address().to_string(), shown, "{args}");
            assert!(options.is_http() && options.address.name == name, "{args}");
            assert_eq!(options.tls().is_some(), shown.starts_with("https"), "{args}");
            assert_eq!((options.size(), options.request()), (0, "GET".to_owned()));
        }
        let of_echo = settled("h:1").unwrap();
        assert!(!of_echo.is_http() && of_echo.size() == 64);
        assert_eq!(settled("http://h --size 5").unwrap().request(), "POST of 5 bytes");
        assert_eq!(settled("http://h -H connection:close").unwrap().per_connection(), 1);
        for args in ["h:1 --echo --size 1", "h:1 -H a:b", "http://h --tls", "--http :1"] {
            assert!(settled(args).is_err(), "{args}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0", "-1", "x", "k", "99999999999999999999"] {
            assert!(size(text).is_err() && count(text).is_err(), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "x"] {
            assert!(seconds(text).is_err() && rate(text).is_err(), "{text}");
        }
    }
}
