//! Fetches any number of URLs, some at a time, and prints one line for each, in the order given.
//!
//! ```text
//! cargo run --release --example web_crawler --features patched -- https://example.com/ http://localhost:1/
//! cargo run --release --example web_crawler --features patched -- --concurrency 500 < urls.txt
//! ```
//!
//! ```text
//! https://example.com/: 200, 513 bytes, 87 ms
//! http://localhost:1/: error: io: Connection refused (os error 111)
//! ```
//!
//! The exit code is the number of URLs that failed, 125 standing for more. A list on standard input may
//! be endless: it is read as the fetches go on.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, error::ErrorKind};
use evy::GreenPool;
use evy::patched::ureq::Agent;
use evy::patched::ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use indicatif::{ProgressBar, ProgressStyle};

/// Fetches URLs, many at once; prints one line for each, in their order.
///
/// The exit code is the number of URLs that failed, 125 standing for more.
#[derive(Parser)]
struct Arguments {
    /// What to fetch; without any, one a line from standard input
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    /// How many to fetch at once
    #[arg(long, value_name = "N", default_value = "200")]
    concurrency: NonZeroUsize,

    /// Trust the certificates of this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Give a URL up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let agent = agent(&arguments).unwrap_or_else(|error| {
        Arguments::command().error(ErrorKind::InvalidValue, format!("--ca: {error}")).exit()
    });
    let bar = progress_bar(arguments.urls.len());
    let pool = GreenPool::new(arguments.concurrency.get());

    let mut failures = 0;
    for page in pool.imap(move |url| fetch(&agent, url), urls(arguments.urls)) {
        failures += usize::from(page.result.is_err());
        bar.inc(1);
        if bar.suspend(|| writeln!(io::stdout(), "{page}")).is_err() {
            break; // Nobody reads on.
        }
    }
    bar.finish_and_clear();
    ExitCode::from(failures.min(125) as u8)
}

/// What came of one URL.
struct Page {
    url: String,
    result: Result<Fetched, Box<dyn Error>>,
}

struct Fetched {
    status: u16,
    bytes: u64,
    time: Duration,
}

fn fetch(agent: &Agent, url: io::Result<String>) -> Page {
    let url = match url {
        Ok(url) => url,
        Err(error) => return Page { url: "standard input".into(), result: Err(error.into()) },
    };
    let get = || {
        let start = Instant::now();
        let response = agent.get(&url).call()?;
        let status = response.status().as_u16();
        let bytes = io::copy(&mut response.into_body().into_reader(), &mut io::sink())?;
        Ok(Fetched { status, bytes, time: start.elapsed() })
    };
    Page { result: get(), url }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(Fetched { status, bytes, time }) => {
                write!(f, "{}: {status}, {bytes} bytes, {} ms", self.url, time.as_millis())
            }
            Err(error) => write!(f, "{}: error: {error}", self.url),
        }
    }
}

/// The URLs in their order; those of standard input are read when they are asked for.
fn urls(arguments: Vec<String>) -> Box<dyn Iterator<Item = io::Result<String>>> {
    if !arguments.is_empty() {
        return Box::new(arguments.into_iter().map(Ok));
    }
    let mut broken = false;
    Box::new(
        std::iter::from_fn(move || {
            if broken {
                return None;
            }
            // Standard input may be a pipe that is idle: another OS thread waits for it.
            let line = evy::unblock(|| io::stdin().lock().split(b'\n').next())?;
            broken = line.is_err();
            Some(line.map(|line| String::from_utf8_lossy(line.trim_ascii()).into_owned()))
        })
        .filter(|url| !url.as_ref().is_ok_and(String::is_empty)),
    )
}

fn agent(arguments: &Arguments) -> Result<Agent, Box<dyn Error>> {
    let concurrency = arguments.concurrency.get();
    let mut tls = TlsConfig::builder();
    if let Some(file) = &arguments.ca {
        tls = tls.root_certs(certificates(file)?);
    }
    Ok(Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(arguments.timeout))
        .max_idle_connections(concurrency)
        .max_idle_connections_per_host(concurrency)
        .build()
        .into())
}

fn certificates(file: &Path) -> Result<RootCerts, Box<dyn Error>> {
    let name = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(format!("{name}: there is no certificate in it").into());
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// On a terminal; elsewhere it is hidden.
fn progress_bar(count: usize) -> ProgressBar {
    if count == 0 {
        let style = ProgressStyle::with_template("{pos} fetched, {per_sec}, {elapsed}");
        return ProgressBar::no_length().with_style(style.expect("a valid template"));
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left");
    ProgressBar::new(count as u64).with_style(style.expect("a valid template"))
}
