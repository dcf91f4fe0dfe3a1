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
//! Each URL is *fetched at least once and completed exactly once*. It is more than once that a page is
//! asked for when its crawler was killed or cut off from Redis in the middle; but of all who have fetched
//! it only the first one's result is taken, in one step with the end of the work on it (`COMPLETE` below).
//! This holds as far as Redis keeps what it has answered: with `appendonly yes` and `appendfsync always`
//! also across its own crash.
//!
//! # How
//!
//! The URLs are entries of a stream, which its consumer group hands out, each to one crawler. An entry is
//! *pending* with that crawler until it is completed, and then deleted: a stream of length 0 is the end.
//!
//! ```text
//!               XREADGROUP                    COMPLETE
//!   in the stream ──────► pending with a crawler ─────► deleted, with a record
//!                           ▲             │ the fetch failed
//!    CLAIM, when nobody has │             ▼
//!    renewed it for so long └── pending with nobody
//! ```
//!
//! A crawler renews what it is fetching, however long that takes, so that nobody else claims it. What a
//! dead one had is claimed after `--claim-after`. A fetch that failed is tried again after the same time,
//! by whoever comes first. A URL is given up after `--attempts`, also if it is the crawlers that die of it.
//!
//! What there is in Redis, for a job named `crawl`:
//!
//! * `{crawl}:urls`, the stream, with one group, `crawlers`. It has only what is not completed.
//! * `{crawl}:records`, a hash: URL → what came of it, or nothing as long as it is not completed. A URL
//!   that is in there is not added again. URLs and records are short, and only the newest `--keep` stay.
//! * `{crawl}:finished`, a list of the URLs in the order in which they were completed, for that.
//!
//! Needs Redis 6.2 or later. When it is away, the crawlers say so and wait for it, for `--patience`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use clap::Parser;
use evy::patched::redis::streams::{StreamReadOptions, StreamReadReply};
use evy::patched::redis::{
    Client, Commands, Connection, FromRedisValue, Pool, RedisError, RedisResult, Script,
    ScriptInvocation,
};
use evy::patched::ureq::{self, Agent};
use evy::signal::{self, SIGINT, SIGTERM, Signals};
use evy::sync::{Receiver, Sender, bounded};
use evy::{GreenPool, GreenThread};
use url::Url;

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
        return Err("nobody could renew anything in less than 0.1 seconds".into());
    }
    Ok(duration)
}

const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// The consumer group.
const GROUP: &str = "crawlers";

/// The consumer with which an entry is pending while it waits for its next attempt.
const NOBODY: &str = "nobody";

/// Connections to Redis of one process.
const CONNECTIONS: usize = 8;

/// How long Redis may take to connect and answer before it counts as away.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for entries in one call. A signal is noticed after so long.
const BLOCK: Duration = Duration::from_millis(500);

/// Between two attempts to reach a Redis that is away.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How many URLs are added in one step.
const BATCH: usize = 500;

/// Bytes of a URL, and characters of an error: so that records are short.
const LONGEST_URL: usize = 2048;
const LONGEST_ERROR: usize = 200;

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
    for (index, line) in BufReader::new(input).lines().enumerate() {
        match parse(line?.trim()) {
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
fn parse(line: &str) -> Result<Option<String>, BoxError> {
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
    let crawl = Rc::new(Crawl::new(job, arguments));
    note(format_args!("this is crawler {}", crawl.job.me));
    evy::spawn_n({
        let crawl = Rc::clone(&crawl);
        move || stop_at(signals, &crawl)
    });

    let result = hand_out(&crawl);
    let (completed, failed) = (crawl.completed.get(), crawl.failed.get());
    say(format_args!("{completed} URLs completed here, {failed} of them given up"));
    result?;
    Ok(failed == 0)
}

fn stop_at(mut signals: Signals, crawl: &Crawl) -> io::Result<()> {
    signals.wait()?;
    note("finishing what is under way");
    crawl.stopping.set(true);
    signal::default_action(signals.wait()?)
}

/// Takes entries and starts their fetches, as many as there is room for, until that is over.
fn hand_out(crawl: &Rc<Crawl>) -> RedisResult<()> {
    let mut rounds = Rounds::new(crawl.job.lease);
    loop {
        if let Some(error) = crawl.failure.take() {
            return Err(error);
        }
        if rounds.is_due() {
            crawl.renew()?;
            if rounds.may_claim() && !crawl.stopping.get() {
                crawl.claim()?;
            }
            rounds.has_ended();
        }
        let room = crawl.room();
        if crawl.stopping.get() && crawl.running.get() == 0 {
            break;
        }
        if crawl.stopping.get() || room == 0 {
            crawl.wait_for_an_end(rounds.left());
            continue;
        }
        let entries = crawl.job.take(room, rounds.left().min(BLOCK))?;
        // What others have under way may still come to us.
        if entries.is_empty() && crawl.running.get() == 0 && crawl.job.is_done()? {
            break;
        }
        entries.into_iter().for_each(|entry| crawl.start(entry));
    }
    crawl.job.leave()
}

/// When to renew and to claim: four times in the time after which others would claim.
///
/// Who has not got through for half of that time does not claim for all of it: Redis was away, the time
/// went on, and what the living have under way looks as if it were left behind. They renew it first.
struct Rounds {
    lease: Duration,
    next: Instant,
    last_end: Instant,
    claims_from: Instant,
}

impl Rounds {
    fn new(lease: Duration) -> Self {
        let now = Instant::now();
        Self { lease, next: now, last_end: now, claims_from: now }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Asked behind the renewal, which may have been what Redis was away for.
    fn may_claim(&self) -> bool {
        let now = Instant::now();
        now >= self.claims_from && !self.was_away(now)
    }

    fn has_ended(&mut self) {
        let now = Instant::now();
        if self.was_away(now) {
            self.claims_from = now + self.lease;
        }
        self.last_end = now;
        self.next = now + self.lease / 4;
    }

    fn was_away(&self, now: Instant) -> bool {
        now - self.last_end > self.lease / 2
    }

    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}

/// What one process does for the job.
struct Crawl {
    job: Job,
    agent: Agent,
    pool: GreenPool,
    concurrency: usize,
    attempts: usize,
    /// What is being fetched, by the entry's id. Who has fetched takes itself out before it says so to
    /// Redis: from then on it is not to be killed.
    fetching: RefCell<HashMap<String, GreenThread<()>>>,
    /// Entries that were taken and are not done with.
    running: Cell<usize>,
    /// Told when that becomes less.
    ended: (Sender<()>, Receiver<()>),
    completed: Cell<usize>,
    failed: Cell<usize>,
    stopping: Cell<bool>,
    /// Why a result could not be recorded. It ends the process: others go on with its work.
    failure: Cell<Option<RedisError>>,
}

impl Crawl {
    fn new(job: Job, arguments: &Arguments) -> Self {
        let concurrency = arguments.concurrency.get();
        let agent = Agent::config_builder()
            // A page that is missing is a result, too.
            .http_status_as_error(false)
            .timeout_global(Some(arguments.timeout))
            .max_idle_connections(concurrency.min(100))
            .build()
            .into();
        Self {
            job,
            agent,
            pool: GreenPool::new(concurrency),
            concurrency,
            attempts: arguments.attempts.get(),
            fetching: RefCell::default(),
            running: Cell::new(0),
            ended: bounded(1),
            completed: Cell::new(0),
            failed: Cell::new(0),
            stopping: Cell::new(false),
            failure: Cell::new(None),
        }
    }

    fn room(&self) -> usize {
        self.concurrency.saturating_sub(self.running.get())
    }

    fn wait_for_an_end(&self, limit: Duration) {
        // It may be over, or the end of one that came earlier: the caller looks again.
        let _ = self.ended.1.recv_timeout(limit);
    }

    /// Keeps others from claiming what is being fetched here.
    fn renew(&self) -> RedisResult<()> {
        let ids: Vec<_> = self.fetching.borrow().keys().cloned().collect();
        for id in self.job.renew(&ids)? {
            // It may have come to its end meanwhile.
            let fetch = self.fetching.borrow_mut().remove(&id);
            if let Some(fetch) = fetch {
                note(format_args!("{id}: somebody else has claimed it"));
                fetch.kill();
            }
        }
        Ok(())
    }

    /// Takes over what has been left behind, as far as there is room.
    fn claim(self: &Rc<Self>) -> RedisResult<()> {
        let room = self.room();
        if room == 0 {
            return Ok(());
        }
        for (entry, owner) in self.job.claim(room)? {
            if owner != NOBODY {
                note(format_args!("{}: claimed from {owner}", entry.url));
            }
            self.start(entry);
        }
        Ok(())
    }

    fn start(self: &Rc<Self>, entry: Entry) {
        if self.fetching.borrow().contains_key(&entry.id) {
            return;
        }
        let id = entry.id.clone();
        let place = Place::take(self, &id);
        let fetch = self.pool.spawn(move || place.crawl.work(entry));
        // It begins when we wait for something.
        self.fetching.borrow_mut().insert(id, fetch);
    }

    fn work(&self, entry: Entry) {
        let result = if entry.attempt > self.attempts {
            Err(format!("the last of {} attempts was not finished", self.attempts).into())
        } else {
            self.fetch(&entry.url)
        };
        self.fetching.borrow_mut().remove(&entry.id);
        let told = match result {
            Err(error) if entry.attempt < self.attempts => self.try_later(&entry, &*error),
            result => self.complete(&entry, result),
        };
        if let Err(error) = told {
            note(format_args!("{}: not recorded: {error}", entry.url));
            self.failure.set(Some(error));
        }
    }

    fn fetch(&self, url: &str) -> Result<Page, BoxError> {
        let start = Instant::now();
        let response = self.agent.get(url).call()?;
        let status = response.status();
        // Others are not to be had by asking again.
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            return Err(ureq::Error::StatusCode(status.as_u16()).into());
        }
        let bytes = io::copy(&mut response.into_body().into_reader(), &mut io::sink())?;
        Ok(Page { status: status.as_u16(), bytes, time: start.elapsed() })
    }

    fn try_later(&self, entry: &Entry, error: &dyn Error) -> RedisResult<()> {
        note(format_args!("{}: attempt {}: {error}", entry.url, entry.attempt));
        self.job.put_back(&entry.id)
    }

    fn complete(&self, entry: &Entry, result: Result<Page, BoxError>) -> RedisResult<()> {
        let outcome = match &result {
            Ok(page) => page.to_string(),
            Err(error) => {
                format!(
                    "error: {}",
                    error.to_string().chars().take(LONGEST_ERROR).collect::<String>()
                )
            }
        };
        if !self.job.complete(entry, &outcome)? {
            note(format_args!("{}: somebody else has completed it", entry.url));
            return Ok(());
        }
        self.completed.set(self.completed.get() + 1);
        self.failed.set(self.failed.get() + usize::from(result.is_err()));
        say(format_args!("{}: {outcome}", entry.url));
        Ok(())
    }
}

/// A place among those that may be under way at once, until it is dropped.
struct Place {
    crawl: Rc<Crawl>,
    id: String,
}

impl Place {
    fn take(crawl: &Rc<Crawl>, id: &str) -> Self {
        crawl.running.set(crawl.running.get() + 1);
        Self { crawl: Rc::clone(crawl), id: id.to_owned() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let crawl = &self.crawl;
        crawl.fetching.borrow_mut().remove(&self.id);
        crawl.running.set(crawl.running.get() - 1);
        // If there is a message already, that one does.
        let _ = crawl.ended.0.try_send(());
    }
}

/// What a URL's last attempt has given.
struct Page {
    status: u16,
    bytes: u64,
    time: Duration,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes, {} ms", self.status, self.bytes, self.time.as_millis())
    }
}

/// A URL in the stream.
struct Entry {
    id: String,
    url: String,
    /// 1 for the first.
    attempt: usize,
}

/// The job, as it lies in Redis.
struct Job {
    pool: Pool,
    /// Where Redis is, for people.
    address: String,
    urls: String,
    records: String,
    finished: String,
    /// The consumer that this process is.
    me: String,
    lease: Duration,
    keep: usize,
    patience: Duration,
    /// Since when Redis has been away.
    away: Cell<Option<Instant>>,
}

impl Job {
    /// Makes the stream and its group, if they are not there. Here, Redis is not waited for.
    fn open(arguments: &Arguments) -> RedisResult<Self> {
        let client = &arguments.redis;
        let name = &arguments.job;
        let job = Self {
            pool: client.pool_builder(ANSWER_LIMIT).max(CONNECTIONS).build()?,
            address: client.get_connection_info().addr().to_string(),
            // The braces keep the keys together in a cluster.
            urls: format!("{{{name}}}:urls"),
            records: format!("{{{name}}}:records"),
            finished: format!("{{{name}}}:finished"),
            // No two processes have the same, on whatever machines.
            me: format!(
                "{}-{:016x}",
                std::process::id(),
                RandomState::new().build_hasher().finish()
            ),
            lease: arguments.claim_after,
            keep: arguments.keep.get(),
            patience: arguments.patience,
            away: Cell::new(None),
        };
        let created: RedisResult<()> =
            job.ask_once(&|redis| redis.xgroup_create_mkstream(&job.urls, GROUP, 0));
        match created {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error),
            _ => Ok(job),
        }
    }

    /// Adds those that are not known, and returns how many.
    fn add(&self, urls: &[String]) -> RedisResult<usize> {
        self.run(ADD, |script| {
            script.arg(urls);
        })
    }

    /// New entries, at most so many, for which it waits for so long.
    fn take(&self, count: usize, limit: Duration) -> RedisResult<Vec<Entry>> {
        // 0 would be for ever.
        let limit = (limit.as_millis() as usize).max(1);
        let options = StreamReadOptions::default().group(GROUP, &self.me).count(count).block(limit);
        let reply: Option<StreamReadReply> =
            self.ask(|redis| redis.xread_options(&[&self.urls], &[">"], &options))?;
        let ids = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(ids
            .map(|id| Entry { url: id.get("url").unwrap_or_default(), id: id.id, attempt: 1 })
            .collect())
    }

    /// Makes these entries as if they had just been taken. Returns those that are no longer ours.
    fn renew(&self, ids: &[String]) -> RedisResult<Vec<String>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.run(RENEW, |script| {
            script.arg(&self.me).arg(ids);
        })
    }

    /// Entries that nobody has renewed for so long, at most so many, each with who had it.
    fn claim(&self, count: usize) -> RedisResult<Vec<(Entry, String)>> {
        let claimed: Vec<(String, String, usize, String)> = self.run(CLAIM, |script| {
            script.arg(&self.me).arg(self.lease_in_ms()).arg(count);
        })?;
        let entry = |(id, url, attempt, owner)| (Entry { id, url, attempt }, owner);
        Ok(claimed.into_iter().map(entry).collect())
    }

    /// Leaves an entry for a later attempt of whoever it is.
    fn put_back(&self, id: &str) -> RedisResult<()> {
        self.run(PUT_BACK, |script| {
            script.arg(&self.me).arg(NOBODY).arg(id);
        })
    }

    /// Records what came of a URL and ends the work on it. Returns whether this result is the one that
    /// counts.
    fn complete(&self, entry: &Entry, outcome: &str) -> RedisResult<bool> {
        // The name makes it ours also if the first answer is lost and this is asked again.
        let record = format!("{outcome}, attempt {}, by {}", entry.attempt, self.me);
        let recorded: Option<String> = self.run(COMPLETE, |script| {
            script.arg(&entry.id).arg(&entry.url).arg(&record).arg(self.keep);
        })?;
        Ok(recorded.as_ref() == Some(&record))
    }

    /// Whether every URL is completed.
    fn is_done(&self) -> RedisResult<bool> {
        let left: usize = self.ask(|redis| redis.xlen(&self.urls))?;
        Ok(left == 0)
    }

    /// Takes this process out of the group. What may still be pending with it can be claimed at once.
    fn leave(&self) -> RedisResult<()> {
        self.run(LEAVE, |script| {
            script.arg(&self.me).arg(NOBODY).arg(self.lease_in_ms());
        })
    }

    fn lease_in_ms(&self) -> u64 {
        self.lease.as_millis() as u64
    }

    /// Runs a script with all keys, the group, and what `add` adds.
    fn run<T: FromRedisValue>(
        &self,
        script: &str,
        add: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> RedisResult<T> {
        let script = Script::new(script);
        let mut invocation = script.prepare_invoke();
        invocation.key(&self.urls).key(&self.records).key(&self.finished).arg(GROUP);
        add(&mut invocation);
        self.ask(|redis| invocation.invoke(redis))
    }

    /// Asks until there is an answer, or Redis has been away for too long.
    ///
    /// What is asked may have been done although no answer came: all of it bears to be done twice.
    fn ask<T>(&self, call: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        loop {
            match self.ask_once(&call) {
                Err(error) if is_passing(&error) => self.wait_for_redis(error)?,
                result => {
                    self.has_answered();
                    return result;
                }
            }
        }
    }

    fn ask_once<T>(&self, call: &impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        evy::timeout(ANSWER_LIMIT, || call(&mut *self.pool.get()?))
            .unwrap_or_else(|elapsed| Err(io::Error::from(elapsed).into()))
    }

    fn wait_for_redis(&self, error: RedisError) -> RedisResult<()> {
        let since = self.away.get().unwrap_or_else(|| {
            note(format_args!("redis at {}: {error}; waiting for it", self.address));
            let now = Instant::now();
            self.away.set(Some(now));
            now
        });
        if since.elapsed() > self.patience {
            return Err(error);
        }
        evy::sleep(RETRY_AFTER);
        Ok(())
    }

    fn has_answered(&self) {
        if let Some(since) = self.away.take() {
            note(format_args!("redis is back after {:.1?}", since.elapsed()));
        }
    }
}

/// Whether it may be another answer if Redis is asked again.
fn is_passing(error: &RedisError) -> bool {
    let lost = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
    let full = error.detail().is_some_and(|text| text.contains("max number of clients"));
    lost || full || error.code().is_some_and(|code| PASSING.contains(&code))
}

/// Redis is loading its data, has no memory or disk, is busy with a script, or is changing its role; or the
/// stream is gone, and the next answer says so.
const PASSING: [&str; 10] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

// The scripts. Each is one step for Redis: nobody sees or does anything in between.
//
// KEYS: the stream, the records, the list of what is finished. ARGV[1] is the group.

/// ARGV: URLs. Returns how many were new.
const ADD: &str = r"
local added = 0
for i = 2, #ARGV do
    if redis.call('HSETNX', KEYS[2], ARGV[i], '') == 1 then
        redis.call('XADD', KEYS[1], '*', 'url', ARGV[i])
        added = added + 1
    end
end
return added
";

/// ARGV: consumer, ids. Returns those ids that are not pending with this consumer.
const RENEW: &str = r"
local lost = {}
for i = 3, #ARGV do
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
    if pending and pending[2] == ARGV[2] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    else
        table.insert(lost, ARGV[i])
    end
end
return lost
";

/// ARGV: consumer, milliseconds, how many. Returns id, URL, attempt and former consumer of each.
///
/// XAUTOCLAIM would not say the last two. Consumers that have had nothing for long are deleted: they are
/// dead, or come again by themselves.
const CLAIM: &str = r"
local claimed = {}
local left = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4])
for _, pending in ipairs(left) do
    local id, owner, deliveries = pending[1], pending[2], pending[4]
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], id)[1]
    if entry then
        table.insert(claimed, {id, entry[2][2], deliveries + 1, owner})
    else
        redis.call('XACK', KEYS[1], ARGV[1], id) -- Somebody has deleted it by hand.
    end
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local name, pending, idle = consumer[2], consumer[4], consumer[6]
    if pending == 0 and idle > 10 * ARGV[3] then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    end
end
return claimed
";

/// ARGV: consumer, the one that stands for nobody, id.
const PUT_BACK: &str = r"
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[4], 1)[1]
if pending and pending[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[4], 'JUSTID')
end
";

/// ARGV: id, URL, record, how many records to keep. Returns the record that there is now.
///
/// XACK gives 1 to the first who comes, whoever has claimed the entry meanwhile, and 0 to all others.
const COMPLETE: &str = r"
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
    redis.call('RPUSH', KEYS[3], ARGV[3])
    while redis.call('LLEN', KEYS[3]) > tonumber(ARGV[5]) do
        redis.call('HDEL', KEYS[2], redis.call('LPOP', KEYS[3]))
    end
end
return redis.call('HGET', KEYS[2], ARGV[3])
";

/// ARGV: consumer, the one that stands for nobody, milliseconds.
///
/// Redis may have handed out entries in an answer that was lost. Deleting the consumer would lose them.
const LEAVE: &str = r"
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000, ARGV[2])) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, pending[1], 'IDLE', ARGV[4], 'JUSTID')
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
";
