//! Fetches a page and, again and again, the pages of the same host that it links to, as
//! `recursive_crawler` does; but here the links go through a queue.
//!
//! ```text
//! cargo run --release --example producer_consumer --features patched -- http://localhost:8000/
//! ```
//!
//! The fetches produce URLs, and one loop consumes them: it starts a fetch for each that is new, until
//! the queue is empty and no fetch runs that may fill it again. Prints the URLs as they are fetched, and
//! at the end how many there were. Exit code 1 when some could not be fetched.

use std::cell::Cell;
use std::collections::HashSet;
use std::error::Error;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use evy::GreenPool;
use evy::patched::ureq::{self, Agent};
use evy::sync::Queue;
use url::Url;

/// Fetches a page and all pages of its host that can be reached from it, by way of a queue.
#[derive(Parser)]
struct Arguments {
    /// Where to begin
    #[arg(value_name = "URL")]
    start: Url,

    /// How many pages to fetch at once
    #[arg(long, value_name = "N", default_value = "100")]
    concurrency: NonZeroUsize,

    /// Give a page up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

struct Crawl {
    agent: Agent,
    limit: Duration,
    found: Queue<Url>,
    failures: Cell<usize>,
}

fn main() -> ExitCode {
    let Arguments { start, concurrency, timeout } = Arguments::parse();
    // A redirect may lead to another host: it is treated as a link, not followed blindly.
    let config = Agent::config_builder().max_redirects(0);
    let crawl = Rc::new(Crawl {
        agent: config.build().into(),
        limit: timeout,
        found: Queue::unbounded(),
        failures: Cell::new(0),
    });
    let pool = GreenPool::new(concurrency.get());
    let mut seen = HashSet::new();

    crawl.produce(start.clone());
    while !crawl.found.is_empty() {
        for url in crawl.found.try_iter() {
            if url.origin() == start.origin() && seen.insert(url.clone()) {
                let producer = Rc::clone(&crawl);
                pool.spawn_n(move || producer.fetch(&url));
            }
        }
        // Those that still run may find more.
        pool.waitall();
    }

    println!("{} pages, {} failed", seen.len(), crawl.failures.get());
    if crawl.failures.get() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Crawl {
    fn fetch(&self, url: &Url) {
        println!("fetching {url}");
        match evy::timeout(self.limit, || links_of(&self.agent, url)) {
            Ok(Ok(links)) => links.into_iter().for_each(|link| self.produce(link)),
            Ok(Err(error)) => self.failed(url, &error),
            Err(elapsed) => self.failed(url, &elapsed),
        }
    }

    fn produce(&self, url: Url) {
        self.found.put(url).expect("it is never closed");
    }

    fn failed(&self, url: &Url, error: &dyn Error) {
        println!("{url}: error: {error}");
        self.failures.set(self.failures.get() + 1);
    }
}

/// Where a page leads to.
fn links_of(agent: &Agent, url: &Url) -> Result<Vec<Url>, ureq::Error> {
    let mut response = agent.get(url.as_str()).call()?;
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    let mut links: Vec<_> = location.into_iter().filter_map(|link| resolve(url, link)).collect();
    let body = response.body_mut().read_to_string()?;
    links.extend(hrefs(&body).filter_map(|link| resolve(url, link)));
    Ok(links)
}

fn resolve(page: &Url, link: &str) -> Option<Url> {
    let mut url = page.join(link).ok()?;
    url.set_fragment(None);
    Some(url)
}

/// The values of what looks like `href="…"`. It is no parser of HTML.
fn hrefs(page: &str) -> impl Iterator<Item = &str> {
    page.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        rest[1..].split_once(quote).map(|(link, _)| link)
    })
}
