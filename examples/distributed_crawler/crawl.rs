//! What one process does for the job: it takes entries, fetches their URLs, and says what came of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use evy::patched::redis::{RedisError, RedisResult};
use evy::patched::ureq::{self, Agent};
use evy::sync::{Receiver, Sender, bounded};
use evy::{GreenPool, GreenThread};

use super::job::{Entry, Job, NOBODY, Round};
use super::{Arguments, BoxError, note, say};

/// How long to wait for entries in one call. A signal is noticed after so long.
const BLOCK: Duration = Duration::from_millis(500);

/// Idle connections to web servers: all of them are looked at with each fetch.
const IDLE_CONNECTIONS: usize = 100;

/// Characters of an error, so that records are short.
const LONGEST_ERROR: usize = 200;

/// What one process does for the job.
pub(crate) struct Crawl {
    job: Job,
    agent: Agent,
    pool: GreenPool,
    concurrency: usize,
    attempts: usize,
    /// What was taken and is not done with, by the entry's id. Where a page has been fetched, there is no
    /// `Fetch` any more: from then on it is not to be killed, as Redis may know the result already.
    under_way: RefCell<HashMap<String, Option<Fetch>>>,
    /// Told when that becomes less.
    ended: (Sender<()>, Receiver<()>),
    completed: Cell<usize>,
    failed: Cell<usize>,
    stopping: Cell<bool>,
    /// Why a result could not be recorded. It ends the process: others go on with its work.
    failure: Cell<Option<RedisError>>,
}

/// A page that is being fetched.
struct Fetch {
    url: String,
    thread: GreenThread<()>,
}

impl Crawl {
    pub(crate) fn new(job: Job, arguments: &Arguments) -> Self {
        let concurrency = arguments.concurrency.get();
        let idle = concurrency.min(IDLE_CONNECTIONS);
        let agent = Agent::config_builder()
            // A page that is missing is a result, too.
            .http_status_as_error(false)
            .timeout_global(Some(arguments.timeout))
            .max_idle_connections(idle)
            .max_idle_connections_per_host(idle)
            .build()
            .into();
        Self {
            job,
            agent,
            pool: GreenPool::new(concurrency),
            concurrency,
            attempts: arguments.attempts.get(),
            under_way: RefCell::default(),
            ended: bounded(1),
            completed: Cell::new(0),
            failed: Cell::new(0),
            stopping: Cell::new(false),
            failure: Cell::new(None),
        }
    }

    /// Takes entries and starts their fetches, as many as there is room for, until nothing is left with
    /// anybody, or until what is under way has ended after a [`stop`](Self::stop).
    pub(crate) fn run(self: &Rc<Self>) -> RedisResult<()> {
        let mut next_round = Instant::now();
        loop {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if Instant::now() >= next_round {
                self.round()?;
                // Several times before others would claim what is under way here.
                next_round = Instant::now() + self.job.lease() / 4;
            }
            let left = next_round.saturating_duration_since(Instant::now());
            let stopping = self.stopping.get();
            if stopping && self.is_idle() {
                break;
            }
            if stopping || self.room() == 0 {
                // It may be over, or the end of one that came earlier: we look again.
                let _ = self.ended.1.recv_timeout(left);
                continue;
            }
            let entries = self.job.take(self.room(), left.min(BLOCK))?;
            // What others have under way may still come to us.
            if entries.is_empty() && self.is_idle() && self.job.is_done()? {
                break;
            }
            entries.into_iter().for_each(|entry| self.start(entry));
        }
        self.job.leave()
    }

    /// Lets it take nothing more.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// How many URLs were completed here, the given up ones included.
    pub(crate) fn completed(&self) -> usize {
        self.completed.get()
    }

    /// How many URLs were given up here.
    pub(crate) fn failed(&self) -> usize {
        self.failed.get()
    }

    fn room(&self) -> usize {
        self.concurrency.saturating_sub(self.under_way.borrow().len())
    }

    fn is_idle(&self) -> bool {
        self.under_way.borrow().is_empty()
    }

    /// Keeps others from claiming what is under way here, and takes over what has been left behind, as far
    /// as there is room.
    fn round(self: &Rc<Self>) -> RedisResult<()> {
        let ids: Vec<_> = self.under_way.borrow().keys().cloned().collect();
        let room = if self.stopping.get() { 0 } else { self.room() };
        let Round { lost, claimed } = self.job.round(&ids, room)?;
        for id in lost {
            // It may have come to its end meanwhile.
            let fetch = self.under_way.borrow_mut().get_mut(&id).and_then(Option::take);
            if let Some(Fetch { url, thread }) = fetch {
                note(format_args!("{url}: somebody else has claimed it"));
                thread.kill();
            }
        }
        for (entry, owner) in claimed {
            if owner != self.job.me() && owner != NOBODY {
                note(format_args!("{}: claimed from {owner}", entry.url));
            }
            self.start(entry);
        }
        Ok(())
    }

    fn start(self: &Rc<Self>, entry: Entry) {
        let id = entry.id.clone();
        // It is ours already where Redis was away while we had it.
        let Some(place) = Place::take(self, &id) else { return };
        let url = entry.url.clone();
        let thread = self.pool.spawn(move || place.crawl.work(entry));
        // It begins when we wait for something.
        self.under_way.borrow_mut().insert(id, Some(Fetch { url, thread }));
    }

    fn work(&self, entry: Entry) {
        let result = if entry.attempt > self.attempts {
            Err(format!("the last of {} attempts was not finished", self.attempts).into())
        } else {
            self.fetch(&entry.url)
        };
        self.under_way.borrow_mut().insert(entry.id.clone(), None);
        match result {
            // Nobody renews it any more. Who claims it, this process or another, has the next attempt.
            Err(error) if entry.attempt < self.attempts => {
                note(format_args!("{}: attempt {}: {error}", entry.url, entry.attempt));
            }
            result => self.complete(&entry, result),
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

    fn complete(&self, entry: &Entry, result: Result<Page, BoxError>) {
        let outcome = match &result {
            Ok(page) => page.to_string(),
            Err(error) => format!("error: {:.LONGEST_ERROR$}", error.to_string()),
        };
        match self.job.complete(entry, &outcome) {
            Ok(true) => {
                self.completed.set(self.completed.get() + 1);
                self.failed.set(self.failed.get() + usize::from(result.is_err()));
                say(format_args!("{}: {outcome}", entry.url));
            }
            Ok(false) => note(format_args!("{}: somebody else has completed it", entry.url)),
            Err(error) => {
                note(format_args!("{}: not recorded: {error}", entry.url));
                self.failure.set(Some(error));
            }
        }
    }
}

/// A place among those that may be under way at once, until it is dropped.
struct Place {
    crawl: Rc<Crawl>,
    id: String,
}

impl Place {
    fn take(crawl: &Rc<Crawl>, id: &str) -> Option<Self> {
        let mut under_way = crawl.under_way.borrow_mut();
        if under_way.contains_key(id) {
            return None;
        }
        under_way.insert(id.to_owned(), None);
        Some(Self { crawl: Rc::clone(crawl), id: id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let crawl = &self.crawl;
        crawl.under_way.borrow_mut().remove(&self.id);
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
