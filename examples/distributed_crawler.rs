//! A crawler whose work lies in Redis: any number of processes, on any machines, share it.
//!
//! ```text
//! cargo run --release --example distributed_crawler --features redis,ureq -- --add urls.txt
//! cargo run --release --example distributed_crawler --features redis,ureq
//! cargo run --release --example distributed_crawler --features redis,ureq
//! ```
//!
//! The first puts URLs, one a line, into the job and ends. Each of the others fetches them, prints one line
//! for each that it has completed, and ends when no URL is left, with nobody. Exit code 1 when some were
//! given up here, 3 when Redis failed. SIGTERM and Ctrl-C: it finishes what is under way, leaves the rest
//! to others and ends; a second one ends it at once.
//!
//! # What is promised
//!
//! Each URL is *fetched at least once, or given up, and completed exactly once*. A page is asked for more
//! than once when a crawler was killed, or cut off from Redis, in the middle of it; but of all who have
//! fetched it only the first one's result counts: it is recorded in one step with the end of the work on
//! that URL (`COMPLETE`, a script), and a second completion is refused. This holds as far as Redis keeps
//! what it has answered: with `appendonly yes` and `appendfsync always` also when Redis itself is killed.
//!
//! # How
//!
//! The URLs are entries of a stream, which its consumer group hands out, each to one crawler. An entry is
//! *pending* with that crawler until it is completed, and then deleted: a stream of length 0 is the end.
//!
//! ```text
//!                XREADGROUP                           COMPLETE
//!   in the stream ──────────► pending with a crawler ──────────► deleted, with a record
//!                               │              ▲
//!      it died, or its fetch    ▼              │ XCLAIM
//!      failed: nobody renews ► idle for --claim-after
//! ```
//!
//! A crawler renews what it has under way, however long that takes, so that nobody else claims it. What has
//! failed it does not renew: that is tried again later, by whoever comes first. A URL is given up, and
//! recorded with its error, after `--attempts`, also if it is the crawlers that die of it; whenever it is
//! handed out counts as one. `distributed_crawler/crawl.rs` does all that, `distributed_crawler/job.rs` has
//! what Redis does for it.
//!
//! What there is in Redis, for a job named `crawl`:
//!
//! * `{crawl}:urls`: the stream, with one group, `crawlers`. It has only what is not completed.
//! * `{crawl}:records`: a hash of URLs and what came of each, which is empty until it is completed. A URL
//!   that is in there is not added again. Records are short, and only the newest `--keep` stay.
//! * `{crawl}:finished`: a list of the URLs in the order in which they were completed, for that.
//!
//! Needs Redis 6.2 or later. When it is away, the crawlers say so and wait for it, for `--patience`. Its
//! clock decides what is left behind: where somebody sets it back, nothing is claimed or tried again until it
//! is where it was.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, mem};

use clap::Parser;
use evy::patched::redis::{Client, RedisError, RedisResult};
use evy::signal::{self, SIGINT, SIGTERM, Signals};
use url::Url;

#[path = "distributed_crawler/crawl.rs"]
mod crawl;
#[path = "distributed_crawler/job.rs"]
mod job;

use crawl::Crawl;
use job::Job;

/// Fetches the URLs of a job in Redis, together with all others that do so.
#[derive(Parser)]
struct Arguments {
    /// Where Redis is
    #[arg(long, value_name = "URL", default_value = "redis://127.0.0.1/", value_parser = client)]
    redis: Client,

    /// Which job, of those that are in this Redis
    #[arg(long, value_name = "NAME", default_value = "crawl")]
    job: String,

    /// Put the URLs of this file, one a line, into the job, and end; - is standard input
    #[arg(long, value_name = "FILE")]
    add: Option<PathBuf>,

    /// How many URLs to fetch at once
    #[arg(long, value_name = "N", default_value = "100")]
    concurrency: NonZeroUsize,

    /// Take over what nobody has renewed, and try again what has failed, after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = lease)]
    claim_after: Duration,

    /// Give a URL up after so many attempts
    #[arg(long, value_name = "N", default_value = "3")]
    attempts: NonZeroUsize,

    /// Let an attempt take so many seconds at most
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// Wait for a Redis that is away for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    patience: Duration,

    /// Keep the records of so many URLs, the newest ones
    #[arg(long, value_name = "N", default_value = "1000000")]
    keep: NonZeroUsize,
}

type BoxError = Box<dyn Error + Send + Sync>;

fn client(text: &str) -> RedisResult<Client> {
    Client::open(text)
}

fn seconds(text: &str) -> Result<Duration, BoxError> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn lease(text: &str) -> Result<Duration, BoxError> {
    let duration = seconds(text)?;
    if duration < SHORTEST_LEASE {
        return Err("nobody could renew in time what is claimed after less than a second".into());
    }
    Ok(duration)
}

/// A round that comes later than half of it puts all claims off: it is not to be the usual thing.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How many URLs are added in one step.
const BATCH: usize = 500;

/// Bytes of a URL, so that what lies in Redis is short.
const LONGEST_URL: usize = 2048;

/// The exit code when Redis failed.
const REDIS_FAILED: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        if !error.is::<RedisError>() {
            note(format_args!("distributed_crawler: {error}"));
            return ExitCode::FAILURE;
        }
        let address = arguments.redis.get_connection_info().addr();
        note(format_args!("distributed_crawler: redis at {address}: {error}"));
        ExitCode::from(REDIS_FAILED)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, BoxError> {
    let job = Job::open(arguments)?;
    let all_is_well = match &arguments.add {
        Some(file) => add(&job, file)?,
        None => crawl(job, arguments)?,
    };
    Ok(if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Standard error may be closed; that is no reason to end.
fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Standard output may be closed; the records in Redis are what counts.
fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Puts the URLs of a file into the job. Returns whether all lines were URLs.
fn add(job: &Job, file: &Path) -> Result<bool, BoxError> {
    // No other green thread has anything to do meanwhile: files and standard input may block.
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    let (mut added, mut known, mut bad) = (0, 0, 0);
    let mut batch = Vec::new();
    let mut put = |batch: Vec<String>| {
        let new = job.add(&batch)?;
        added += new;
        known += batch.len() - new;
        RedisResult::Ok(())
    };
    for (index, line) in BufReader::new(input).split(b'\n').enumerate() {
        match parse(&line?) {
            Ok(url) => batch.extend(url),
            Err(error) => {
                note(format_args!("line {}: {error}", index + 1));
                bad += 1;
            }
        }
        if batch.len() == BATCH {
            put(mem::take(&mut batch))?;
        }
    }
    put(batch)?;
    say(format_args!("{added} URLs added, {known} known already, {bad} left out"));
    Ok(bad == 0)
}

/// The URL in a line, if there is anything, in the one form in which all others are.
fn parse(line: &[u8]) -> Result<Option<String>, BoxError> {
    let line = str::from_utf8(line)?.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let mut url = Url::parse(line)?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        return Err("neither http nor https".into());
    }
    if url.as_str().len() > LONGEST_URL {
        return Err("too long".into());
    }
    Ok(Some(url.into()))
}

/// Fetches until there is nothing left, or a signal comes. Returns whether no URL was given up here.
fn crawl(job: Job, arguments: &Arguments) -> Result<bool, BoxError> {
    let signals = Signals::new([SIGINT, SIGTERM])?;
    note(format_args!("this is crawler {}", job.me()));
    let crawl = Rc::new(Crawl::new(job, arguments));
    evy::spawn_n({
        let crawl = Rc::clone(&crawl);
        move || stop_at(signals, &crawl)
    });

    let result = crawl.run();
    let (completed, failed) = (crawl.completed(), crawl.failed());
    say(format_args!("{completed} URLs completed here, {failed} of them given up"));
    result?;
    Ok(failed == 0)
}

fn stop_at(mut signals: Signals, crawl: &Crawl) -> io::Result<()> {
    signals.wait()?;
    note("finishing what is under way");
    crawl.stop();
    signal::default_action(signals.wait()?)
}
