//! The feed scraper against nginx: what `curl` gets of it, while others are served; a hundred feeds in one
//! delay; a thousand requests at once in memory that is bounded.
#![cfg(all(feature = "http", feature = "patched"))]

mod nginx;
#[path = "../benches/support/mod.rs"]
mod support;
mod upstream;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::patched::ureq::{self, Agent};
use nginx::{Nginx, free_ports, new_folder};
use support::cpu::Memory;
use support::sys::raise_descriptor_limit;
use upstream::{Answer, Upstream, example};

/// What a feed takes.
const DELAY: Duration = Duration::from_millis(100);

/// Hosts of feeds.
const HOSTS: usize = 100;

/// nginx on a port for each host; behind it, a server that thinks about each feed.
struct Feeds {
    _nginx: Nginx,
    ports: [u16; HOSTS],
    server: Upstream,
}

impl Feeds {
    fn start() -> Self {
        let server = Upstream::start(|path| match path {
            "/quick" => Answer::page(feed(path)),
            path if path.starts_with("/late") => Answer::page(feed(path)).after(20 * DELAY),
            path if path.starts_with("/missing") => Answer::not_found().after(DELAY),
            path => Answer::page(feed(path)).after(DELAY),
        });
        let ports = free_ports();
        let listen = ports.map(|port| format!("listen 127.0.0.1:{port} backlog=4096;\n")).concat();
        let configuration = format!(
            "upstream app {{ server {}; keepalive 2000; }}\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nkeepalive_requests 1000000;\n\
             server {{ {listen} location / {{ proxy_pass http://app; }} }}\n",
            server.address
        );
        let _nginx = Nginx::start(new_folder("feeds"), &configuration, &ports);
        Self { _nginx, ports, server }
    }

    /// One feed of each host.
    fn urls(&self, path: &str) -> Vec<String> {
        let url = |port: &u16| format!("http://127.0.0.1:{port}{path}{port}");
        self.ports.iter().map(url).collect()
    }

    fn titles(&self, path: &str) -> String {
        self.ports.iter().map(|port| format!("this is {path}{port}\n")).collect()
    }
}

fn feed(path: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>this is {path}</title>\
         <link>http://example.com/</link><description>about it</description></channel></rss>"
    )
}

struct Scraper {
    process: Child,
    url: String,
}

impl Scraper {
    fn start(concurrency: usize) -> Self {
        let mut process = Command::new(example("feed_scraper"))
            .args(["127.0.0.1:0", "--timeout", "60", "--concurrency", &concurrency.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the scraper starts");
        let output = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its first line");
        let address = line.trim_end().strip_prefix("listening on ").expect("its address");
        Self { process, url: format!("http://{address}/") }
    }

    fn memory(&self) -> Memory {
        Memory::of(self.process.id()).expect("it runs")
    }

    fn titles(&self, urls: &[String]) -> String {
        let mut response = ureq::post(&self.url).send(urls.join("\n")).expect("an answer");
        response.body_mut().read_to_string().expect("titles")
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "acceptance: needs nginx and curl"]
fn curl_gets_titles_in_order_while_others_are_served() {
    let feeds = Feeds::start();
    let scraper = Scraper::start(200);
    let mut urls = feeds.urls("/late/");
    urls[50] = format!("http://127.0.0.1:{}/missing", feeds.ports[50]);
    let folder = new_folder("curl");
    fs::write(folder.join("urls.txt"), urls.join("\n") + "\n").expect("the folder is writable");
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--data-binary", "@urls.txt"])
        .arg(&scraper.url)
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    let mut served = 0;
    while curl.try_wait().expect("it is our child").is_none() {
        let quick = [format!("http://127.0.0.1:{}/quick", feeds.ports[0])];
        assert_eq!(scraper.titles(&quick), "this is /quick\n");
        served += 1;
    }
    let output = curl.wait_with_output().expect("curl ends");
    let _ = fs::remove_dir_all(folder);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let late = feeds.titles("/late/");
    for (index, (line, title)) in text.lines().zip(late.lines()).enumerate() {
        assert_eq!(line, if index == 50 { "error: http status: 404" } else { title });
    }
    assert_eq!(text.lines().count(), HOSTS);
    println!(
        "{served} requests of others were answered while curl waited for {HOSTS} feeds of 2 s"
    );
    assert!(served > 10, "{served}");
}

#[test]
#[ignore = "acceptance: needs nginx"]
fn a_hundred_feeds_take_one_delay() {
    let feeds = Feeds::start();
    let scraper = Scraper::start(200);
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let titles = scraper.titles(&feeds.urls("/feed/"));
        best = best.min(start.elapsed());
        assert_eq!(titles, feeds.titles("/feed/"));
    }
    println!("{HOSTS} feeds of {DELAY:?} on {HOSTS} hosts: {best:.1?} at best; the goal is 110 ms");
    assert!(best >= DELAY, "{best:?}");
    // One after the other they would take 10 s.
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
#[ignore = "acceptance: needs nginx, and a minute"]
fn a_thousand_requests_at_once_are_bounded_by_the_pool() {
    const REQUESTS: usize = 1_000;
    const FEEDS: usize = 10;

    raise_descriptor_limit().expect("limits can be raised");
    let feeds = Feeds::start();
    let scraper = Scraper::start(1_000);
    // A first request, so that what every process has once is there.
    scraper.titles(&feeds.urls("/feed/"));
    let before = (feeds.server.requests(), scraper.memory());

    let agent = Agent::new_with_defaults();
    let scraper = Rc::new(scraper);
    let start = Instant::now();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let (agent, url) = (agent.clone(), scraper.url.clone());
            let ports = &feeds.ports;
            let paths = (0..FEEDS).map(|n| (ports[(number + n) % HOSTS], format!("/{number}/{n}")));
            let (urls, titles): (String, String) = paths
                .map(|(port, path)| {
                    (format!("http://127.0.0.1:{port}{path}\n"), format!("this is {path}\n"))
                })
                .unzip();
            evy::spawn(move || {
                let mut response = agent.post(url).send(urls).expect("an answer");
                assert_eq!(response.body_mut().read_to_string().expect("titles"), titles);
            })
        })
        .collect();
    for request in requests {
        request.wait().expect("it gets its titles");
    }
    let elapsed = start.elapsed();
    let after = scraper.memory();
    assert_eq!(feeds.server.requests() - before.0, REQUESTS * FEEDS);

    let bound = DELAY * (REQUESTS * FEEDS / 1_000) as u32;
    let each = (after.resident_peak - before.1.resident) / 1_000;
    println!(
        "{REQUESTS} requests for {FEEDS} feeds each, through a pool of 1,000: {elapsed:.2?}, the bound that \
         it sets is {bound:?}; memory {} MiB before, {} MiB at most, {} KiB for each place in the pool",
        before.1.resident >> 20,
        after.resident_peak >> 20,
        each >> 10
    );
    assert!(elapsed >= bound, "{elapsed:?}");
    assert!(elapsed < 30 * bound, "{elapsed:?}");
    assert!(after.resident_peak < 192 << 20, "{after:?}");
}
