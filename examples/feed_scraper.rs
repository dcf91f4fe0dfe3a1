//! A server that is a client of others: it is sent the addresses of feeds, and answers with their titles.
//!
//! ```text
//! cargo run --release --example feed_scraper --features http,patched -- 127.0.0.1:9010
//! curl --data-binary @urls.txt http://127.0.0.1:9010/
//! ```
//!
//! There is a line in the answer for each line of the request, in the same order: the feed's title, or
//! what is wrong with it. All feeds of a request are fetched at once, and those of other requests beside
//! them, as far as the pool has room.

use std::error::Error;
use std::io::{self, BufRead};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use evy::http::{Request, Router, Server};
use evy::patched::ureq::Agent;
use evy::{GreenPile, GreenPool};

/// Answers lists of feeds, one URL a line, with the titles of the feeds.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:9010")]
    address: String,

    /// How many feeds to fetch at once, for all requests together
    #[arg(long, value_name = "N", default_value = "200")]
    concurrency: NonZeroUsize,

    /// Give a feed up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// The longest list of feeds, the largest feed, and the longest title, in bytes and characters.
const LONGEST_LIST: u64 = 1 << 20;
const LARGEST_FEED: u64 = 2 << 20;
const LONGEST_TITLE: usize = 200;

fn fetch_title(agent: &Agent, url: &str) -> Result<String, Box<dyn Error>> {
    let mut response = agent.get(url).call()?;
    let feed = response.body_mut().with_config().limit(LARGEST_FEED).read_to_vec()?;
    let title = feed_rs::parser::parse(&feed[..])?.title.ok_or("the feed has no title")?;
    Ok(one_line(&title.content))
}

fn titles(pool: &GreenPool, agent: &Agent, request: Request) -> io::Result<String> {
    // It collects what its green threads return, in the order in which they were spawned.
    let pile = GreenPile::with_pool(pool);
    for url in request.into_body().lines() {
        let (agent, url) = (agent.clone(), url?);
        pile.spawn(move || {
            fetch_title(&agent, &url).unwrap_or_else(|e| one_line(&format!("error: {e}")))
        });
    }
    Ok(pile.map(|title| title + "\n").collect())
}

/// A text without line ends, which is not too long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_TITLE).collect()
}

fn main() -> io::Result<()> {
    let Arguments { address, concurrency, timeout } = Arguments::parse();
    let listener = evy::listen(address)?;
    println!("listening on {}", listener.local_addr()?);
    let pool = GreenPool::new(concurrency.get());
    // Each connection has these buffers, which are 128 KiB elsewhere.
    let (input, output) = (32 << 10, 4 << 10);
    let config = Agent::config_builder().timeout_global(Some(timeout));
    let config = config.input_buffer_size(input).output_buffer_size(output);
    let agent = Agent::from(config.build());
    let app = Router::new().post("/", move |request| titles(&pool, &agent, request));
    Server::new(listener, app).max_body(LONGEST_LIST).run()
}
