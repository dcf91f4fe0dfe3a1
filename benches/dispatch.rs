//! A server that is a client of others: how long it takes for the titles of feeds that take 100 ms each.
//!
//! ```text
//! cargo bench --bench dispatch --features http,patched      # half a minute
//! ```
//!
//! The baseline is what the feeds and the pool allow: one delay where there is room for all of them, and
//! so many more as it takes turns. Server and client are green threads of one hub on a core of its own;
//! the feeds, on a port for each of 100 hosts, have a hub on the other. Each round is one request, or as
//! many as are sent at once. The time that the hub has spent on its core tells how much of a round was
//! work, and how much somebody else had the core.

mod micro;

use evy::http::{self, Request};
use evy::patched::ureq::Agent;
use evy::{GreenPile, GreenPool, Server, join_all, listen, spawn};
use micro::args::Args;
use micro::cpu::{self, Memory};
use micro::report::{Series, Table, thousands};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const HOSTS: usize = 100;
const DELAY: Duration = Duration::from_millis(100);

/// Requests at once, feeds of each, room in the pool, rounds, and what the issue asks for.
const CASES: [(usize, usize, usize, usize, &str); 4] = [
    (1, 1, 1_000, 20, ""),
    (1, 100, 1_000, 20, "1.10"),
    (100, 10, 1_000, 10, ""),
    (1_000, 10, 1_000, 5, ""),
];

fn main() -> Result<(), Box<dyn Error>> {
    Args::from_env().end()?;
    let (ours, theirs) = cpu::cores()?;
    let hosts = start_hosts(theirs)?;
    cpu::pin(ours)?;

    let mut table = Table::new(&[
        "requests at once",
        "feeds each",
        "pool",
        "ms",
        "bound ms",
        "ms / bound",
        "goal",
        "on the core ms",
        "µs a feed",
        "RSS MiB at most",
    ]);
    for (requests, feeds, room, rounds, goal) in CASES {
        let server = start_dispatcher(room)?;
        let bound = DELAY * (requests * feeds).div_ceil(room) as u32;
        let list = |number: usize| {
            let url = |n| format!("http://{}/{n}\n", hosts[(number + n) % HOSTS]);
            (0..feeds).map(url).collect::<String>()
        };
        // The first of all has everything to make.
        ask_all(&server.url, requests, list)?;
        let before = on_core()?;
        let times = (0..rounds).map(|_| ask_all(&server.url, requests, list));
        let times = times.collect::<Result<Series, _>>()?;
        let work = (on_core()? - before) / rounds as f64;
        let bounds = (0..rounds).map(|_| bound.as_secs_f64() * 1e3).collect::<Series>();
        table.row([
            thousands(requests as f64),
            thousands(feeds as f64),
            thousands(room as f64),
            format!("{:.1}", times.median()),
            format!("{:.0}", bound.as_secs_f64() * 1e3),
            Series::ratio(&times, &bounds).with_quartiles(),
            goal.to_owned(),
            format!("{work:.1}"),
            format!("{:.0}", work * 1e3 / (requests * feeds) as f64),
            format!("{}", Memory::of(std::process::id())?.resident_peak >> 20),
        ]);
    }
    println!("titles of feeds that take 100 ms each, on 100 hosts\n\n{table}");
    Ok(())
}

/// Milliseconds that this OS thread has been on its core so far.
fn on_core() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = text.split(' ').next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanos / 1e6)
}

/// An agent whose connections have buffers for what is said here.
fn agent() -> Agent {
    Agent::config_builder().input_buffer_size(32 << 10).output_buffer_size(4 << 10).build().into()
}

/// Sends that many requests at once; returns the milliseconds until the last is answered.
fn ask_all(
    url: &str,
    requests: usize,
    list: impl Fn(usize) -> String,
) -> Result<f64, Box<dyn Error>> {
    let agent = agent();
    let start = Instant::now();
    let asked = (0..requests).map(|number| {
        let (agent, url, list) = (agent.clone(), url.to_owned(), list(number));
        spawn(move || -> Result<(), Box<dyn Error>> {
            let feeds = list.lines().count();
            let titles = agent.post(url).send(list)?.body_mut().read_to_string()?;
            assert_eq!(titles.lines().filter(|title| *title == "a feed").count(), feeds);
            Ok(())
        })
    });
    for answer in join_all(asked) {
        answer.expect("nothing panics")?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Stops when it is dropped.
struct Dispatcher {
    url: String,
    _server: http::RunningServer,
}

/// The server that is measured.
fn start_dispatcher(room: usize) -> io::Result<Dispatcher> {
    let pool = GreenPool::new(room);
    let agent = agent();
    let app = move |request: Request| -> io::Result<String> {
        let pile = GreenPile::with_pool(&pool);
        for url in request.into_body().lines() {
            let (agent, url) = (agent.clone(), url?);
            pile.spawn(move || title(&agent, &url).unwrap_or_else(|error| error.to_string()));
        }
        Ok(pile.map(|title| title + "\n").collect())
    };
    let server = http::Server::new(listen("127.0.0.1:0")?, app).start()?;
    Ok(Dispatcher { url: format!("http://{}/", server.local_addr()), _server: server })
}

fn title(agent: &Agent, url: &str) -> Result<String, Box<dyn Error>> {
    let feed = agent.get(url).call()?.body_mut().read_to_vec()?;
    Ok(feed_rs::parser::parse(&feed[..])?.title.ok_or("no title")?.content)
}

/// The feeds, on a core of their own.
fn start_hosts(core: usize) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
    let (sender, receiver) = channel();
    thread::spawn(move || -> io::Result<()> {
        cpu::pin(core)?;
        let listeners =
            (0..HOSTS).map(|_| listen("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(|listener| listener.local_addr());
        sender.send(addresses.collect::<io::Result<Vec<_>>>()?).expect("main waits");
        let mut listeners = listeners.into_iter();
        let first = listeners.next().expect("there are some");
        Server::new(first, |peer, _| serve(&peer)).listeners(listeners).run()
    });
    Ok(receiver.recv()?)
}

fn serve(peer: &evy::net::TcpStream) -> io::Result<()> {
    const FEED: &str = "<rss version=\"2.0\"><channel><title>a feed</title>\
        <link>http://example.com/</link><description>about it</description></channel></rss>";

    let mut reader = BufReader::with_capacity(1024, peer);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{FEED}", FEED.len());
    let mut line = String::new();
    loop {
        line.clear();
        // A line of 1 KiB is no request of ours.
        match reader.by_ref().take(1024).read_line(&mut line)? {
            0 => return Ok(()),
            _ if line != "\r\n" => {}
            _ => {
                evy::sleep(DELAY);
                (&mut &*peer).write_all(answer.as_bytes())?;
            }
        }
    }
}
