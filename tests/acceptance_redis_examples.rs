//! The examples that use Redis, against redis-server: crawlers that share their work, while one of them or
//! Redis itself dies, stops or is asked to end; a chat whose rooms are spread over processes.
#![cfg(all(feature = "redis", feature = "signal", feature = "ureq"))]

mod programs;
#[path = "redis/mod.rs"]
mod server;
mod upstream;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evy::patched::redis::{Client, Commands, Connection, cmd, pipe};
use programs::{Folder, PATIENCE, Process, eventually, lines};
use server::RedisServer;
use upstream::{Answer, Upstream, example, refused_port};

/// With these, what Redis has answered outlives its death.
const DURABLE: [&str; 2] = ["appendonly yes", "appendfsync always"];

/// A web server that counts how often each of its paths is asked for.
struct Site {
    upstream: Upstream,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Site {
    /// Answers as `answer` does, which is also told which request for that path it is.
    fn start(answer: impl Fn(&str, usize) -> Answer + Send + Clone + 'static) -> Self {
        let counts = Arc::new(Mutex::new(HashMap::new()));
        let counter = Arc::clone(&counts);
        let upstream = Upstream::start(move |path| {
            let count = {
                let mut counts = counter.lock().expect("nobody panics with it");
                let count: &mut usize = counts.entry(path.to_owned()).or_default();
                *count += 1;
                *count
            };
            answer(path, count)
        });
        Self { upstream, counts }
    }

    /// One whose pages take as long as their first letter says.
    fn of_pages() -> Self {
        Self::start(|path, _| {
            let delay = match path.as_bytes().get(1) {
                Some(b'q') => 5,
                Some(b's') => 300,
                Some(b'l') => 2500,
                Some(b'h') => 6000,
                _ => 0,
            };
            Answer::page(format!("this is {path}")).after(Duration::from_millis(delay))
        })
    }

    fn url(&self, path: &str) -> String {
        self.upstream.url(path)
    }

    /// How often this URL has been asked for.
    fn count(&self, url: &str) -> usize {
        let path = url.strip_prefix(&self.url("")).expect("a URL of this site");
        self.counts.lock().expect("nobody panics with it").get(path).copied().unwrap_or(0)
    }
}

/// The job `test` in a Redis.
struct Job<'a> {
    server: &'a RedisServer,
    connection: Connection,
}

impl<'a> Job<'a> {
    fn new(server: &'a RedisServer) -> Self {
        let client = Client::open(server.url()).expect("a URL");
        Self { server, connection: client.get_connection().expect("it listens") }
    }

    /// Puts URLs in, and returns what is said of it.
    fn add(&self, urls: &[String]) -> String {
        let mut process = Command::new(example("distributed_crawler"))
            .args(["--redis", &self.server.url(), "--job", "test", "--add", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut input = process.stdin.take().expect("it is piped");
        input.write_all(urls.join("\n").as_bytes()).expect("it reads its input");
        drop(input);
        let output = process.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// URLs that are not completed.
    fn left(&mut self) -> usize {
        self.connection.xlen("{test}:urls").expect("it answers")
    }

    /// What is pending: ids, and with whom.
    fn pending(&mut self) -> Vec<(String, String)> {
        let pending: Vec<(String, String, u64, u64)> = cmd("XPENDING")
            .arg(&["{test}:urls", "crawlers", "-", "+", "100000"])
            .query(&mut self.connection)
            .expect("it answers");
        pending.into_iter().map(|(id, owner, _, _)| (id, owner)).collect()
    }

    /// The names that are in the group.
    fn consumers(&mut self) -> Vec<String> {
        let consumers: Vec<HashMap<String, String>> = cmd("XINFO")
            .arg(&["CONSUMERS", "{test}:urls", "crawlers"])
            .query(&mut self.connection)
            .expect("it answers");
        consumers.into_iter().map(|mut consumer| consumer.remove("name").expect("a name")).collect()
    }

    /// The URLs that are pending with this crawler.
    fn pending_with(&mut self, crawler: &Crawler) -> Vec<String> {
        let prefix = format!("{}-", crawler.process.id());
        let pending = self.pending();
        let own = pending.into_iter().filter(|(_, owner)| owner.starts_with(&prefix));
        own.filter_map(|(id, _)| self.url_of(&id)).collect()
    }

    /// `None` if it has been completed meanwhile.
    fn url_of(&mut self, id: &str) -> Option<String> {
        let entries: Vec<(String, (String, String))> = cmd("XRANGE")
            .arg(&["{test}:urls", id, id])
            .query(&mut self.connection)
            .expect("it answers");
        entries.into_iter().next().map(|(_, (_, url))| url)
    }

    /// What came of each URL.
    fn records(&mut self) -> HashMap<String, String> {
        self.connection.hgetall("{test}:records").expect("it answers")
    }

    /// The URLs in the order of their completion: one that was completed twice would be in it twice.
    fn finished(&mut self) -> Vec<String> {
        self.connection.lrange("{test}:finished", 0, -1).expect("it answers")
    }

    /// These and no others were completed, each once, and nothing is left.
    fn assert_all_completed_once(&mut self, urls: &[String]) {
        let (finished, records) = (self.finished(), self.records());
        let all: HashSet<_> = urls.iter().collect();
        assert_eq!(finished.len(), urls.len());
        assert_eq!(finished.iter().collect::<HashSet<_>>(), all);
        assert_eq!(records.keys().collect::<HashSet<_>>(), all);
        assert_eq!(records.values().find(|record| record.is_empty()), None);
        assert_eq!((self.left(), self.pending()), (0, Vec::new()));
    }
}

struct Crawler {
    process: Process,
    output: Receiver<String>,
    errors: Receiver<String>,
}

/// What a crawler has said, and how it ended.
struct Ended {
    status: ExitStatus,
    output: Vec<String>,
    errors: Vec<String>,
}

impl Crawler {
    fn start(server: &RedisServer, arguments: &[&str]) -> Self {
        let mut command = Command::new(example("distributed_crawler"));
        command.args(["--redis", &server.url(), "--job", "test"]).args(arguments);
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = lines(process.0.stdout.take().expect("it is piped"));
        let errors = lines(process.0.stderr.take().expect("it is piped"));
        Self { process, output, errors }
    }

    fn finish(mut self) -> Ended {
        // Their ends are those of the process, so that nothing is missing.
        let [output, errors] = [self.output, self.errors].map(|lines| {
            let next = || match lines.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) => panic!("it neither ends nor says anything"),
                line => line.ok(),
            };
            std::iter::from_fn(next).collect()
        });
        Ended { status: self.process.wait(), output, errors }
    }
}

impl Ended {
    /// The URLs of which it says that it has completed them.
    fn completed(&self) -> Vec<&str> {
        let urls = self.output.iter().filter(|line| line.starts_with("http"));
        urls.map(|line| line.split(": ").next().expect("there is a first part")).collect()
    }

    /// It says itself how many these are, and that all went well.
    fn assert_well(&self) {
        assert!(self.status.success(), "{:?}, {:?}", self.status, self.errors);
        let sum = format!("{} URLs completed here, 0 of them given up", self.completed().len());
        assert_eq!(self.output.last(), Some(&sum));
    }

    fn has_said(&self, text: &str) -> bool {
        self.errors.iter().any(|line| line.contains(text))
    }
}

fn strings(urls: &[&str]) -> HashSet<String> {
    urls.iter().map(|&url| url.to_owned()).collect()
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn three_crawlers_share_the_work_and_one_killed_in_the_middle_loses_none_of_it() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    // Some take longer than the time after which they would be claimed from a dead one.
    let urls: Vec<_> = (0..2400)
        .map(|number| {
            let kind = match number {
                _ if number % 100 == 17 => "huge",
                _ if number % 10 == 3 => "slow",
                _ => "quick",
            };
            site.url(&format!("/{kind}/{number}"))
        })
        .collect();
    assert_eq!(job.add(&urls), "2400 URLs added, 0 known already, 0 left out\n");
    assert_eq!(job.add(&urls[..7]), "0 URLs added, 7 known already, 0 left out\n");

    let arguments = ["--concurrency", "20", "--claim-after", "5"];
    let [victim, second, third] = [(); 3].map(|()| Crawler::start(&redis, &arguments));
    eventually("a third is done", || (job.left() < 1600).then_some(()));
    let held = eventually("the victim is in the middle of something", || {
        // It stands still while we look, and afterwards has no time for anything.
        victim.process.signal(libc::SIGSTOP);
        let held = job.pending_with(&victim);
        if held.len() >= 5 {
            victim.process.signal(libc::SIGKILL);
            return Some(held);
        }
        victim.process.signal(libc::SIGCONT);
        None
    });
    assert!(job.left() > 500, "it is not the middle");
    let victim = victim.finish();
    assert!(!victim.status.success());
    let (second, third) = (second.finish(), third.finish());

    job.assert_all_completed_once(&urls);
    second.assert_well();
    third.assert_well();
    // What the victim has completed it may not have said. The rest was done by the other two.
    let (second_did, third_did) = (strings(&second.completed()), strings(&third.completed()));
    assert_eq!(
        second_did.len() + third_did.len(),
        second.completed().len() + third.completed().len()
    );
    assert!(second_did.is_disjoint(&third_did));
    let by_others =
        urls.iter().filter(|url| !second_did.contains(*url) && !third_did.contains(*url));
    let by_victim: HashSet<_> = by_others.cloned().collect();
    assert!(strings(&victim.completed()).is_subset(&by_victim));
    for did in [&by_victim, &second_did, &third_did] {
        assert!(did.len() > 100, "{} are not a share", did.len());
    }
    // All that the victim had was claimed from it, and nothing else was fetched twice: pages that took
    // long were not claimed from the living.
    let claimed =
        |ended: &Ended| ended.errors.iter().filter(|l| l.contains("claimed from")).count();
    assert_eq!(claimed(&second) + claimed(&third), held.len());
    let twice: Vec<_> = urls.iter().filter(|url| site.count(url) != 1).collect();
    assert!(twice.iter().all(|url| held.contains(url) && site.count(url) == 2), "{twice:?}");
    println!(
        "2400 URLs: {}, {} and {}; {} pending with the one that was killed, {} of them fetched twice",
        by_victim.len(),
        second_did.len(),
        third_did.len(),
        held.len(),
        twice.len()
    );
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn one_that_is_asked_to_end_finishes_what_it_has_and_leaves_the_rest_to_others() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls: Vec<_> = (0..60).map(|number| site.url(&format!("/slow/{number}"))).collect();
    job.add(&urls);

    for (signal, left) in [(libc::SIGTERM, 60), (libc::SIGINT, 40)] {
        let crawler = Crawler::start(&redis, &["--concurrency", "10"]);
        eventually("it has 10", || (job.pending_with(&crawler).len() == 10).then_some(()));
        eventually("it has completed some", || (job.left() < left - 5).then_some(()));
        crawler.process.signal(signal);
        let crawler = crawler.finish();
        crawler.assert_well();
        assert!(crawler.has_said("finishing what is under way"));
        let did = crawler.completed().len();
        assert!((10..=30).contains(&did), "{did}");
        assert_eq!(job.pending(), Vec::new());
        // It has not left its name behind either.
        assert_eq!(job.consumers(), Vec::<String>::new());
    }
    assert!(job.left() > 0);
    // The rest is there for others at once.
    let start = Instant::now();
    Crawler::start(&redis, &[]).finish().assert_well();
    assert!(start.elapsed() < Duration::from_secs(20));
    job.assert_all_completed_once(&urls);
    assert_eq!(urls.iter().find(|url| site.count(url) != 1), None);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_redis_that_dies_in_the_middle_and_comes_back_loses_nothing() {
    let site = Site::of_pages();
    let mut redis = RedisServer::start_with(&DURABLE);
    let urls: Vec<_> = (0..600)
        .map(|number| site.url(&format!("/{}/{number}", ["quick", "slow"][number % 2])))
        .collect();
    Job::new(&redis).add(&urls);
    let arguments = ["--concurrency", "20", "--claim-after", "2"];
    let crawlers = [(); 2].map(|()| Crawler::start(&redis, &arguments));
    for left in [400, 200] {
        let mut job = Job::new(&redis);
        eventually("it is in the middle", || (job.left() < left).then_some(()));
        drop(job);
        redis.kill();
        for crawler in &crawlers {
            let next = || crawler.errors.recv_timeout(PATIENCE).expect("it says that it waits");
            while !next().contains("waiting for it") {}
        }
        // All that is under way becomes idle for longer than what is left by dead ones may be.
        evy::sleep(Duration::from_millis(2500));
        redis.restart();
        for crawler in &crawlers {
            let line = crawler.errors.recv_timeout(PATIENCE).expect("it goes on");
            assert!(line.contains("redis is back after "), "{line}");
        }
    }
    let ends = crawlers.map(Crawler::finish);
    for ended in &ends {
        ended.assert_well();
    }
    let mut job = Job::new(&redis);
    job.assert_all_completed_once(&urls);
    // Each knows what it did, also where the answer of Redis was lost.
    let did: Vec<_> = ends.iter().flat_map(Ended::completed).collect();
    assert_eq!((did.len(), strings(&did).len()), (600, 600));
    let requests: usize = urls.iter().map(|url| site.count(url)).sum();
    assert_eq!(requests, 600);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn what_is_under_way_while_redis_is_away_is_not_claimed_when_it_is_back() {
    let site = Site::of_pages();
    let mut redis = RedisServer::start_with(&DURABLE);
    let mut urls: Vec<_> = (0..10).map(|number| site.url(&format!("/huge/{number}"))).collect();
    urls.push(site.url("/long/10"));
    let job = Job::new(&redis);
    job.add(&urls[5..]);
    // It takes no more than this, and has room again when the one that is not so long has come.
    let first = Crawler::start(&redis, &["--claim-after", "2", "--concurrency", "6"]);
    eventually("the first has its part", || (site.upstream.requests() == 6).then_some(()));
    job.add(&urls[..5]);
    let second = Crawler::start(&redis, &["--claim-after", "2"]);
    eventually("all are under way", || (site.upstream.requests() == 11).then_some(()));
    redis.kill();
    evy::sleep(Duration::from_millis(2500));
    // By now everything has been idle for too long. The second one comes later.
    second.process.signal(libc::SIGSTOP);
    redis.restart();
    eventually("the first is back", || {
        first.errors.try_iter().find(|line| line.contains("redis is back after"))
    });
    evy::sleep(Duration::from_secs(1));
    second.process.signal(libc::SIGCONT);
    for (ended, count) in [(first.finish(), 6), (second.finish(), 5)] {
        ended.assert_well();
        assert_eq!(ended.completed().len(), count);
        assert!(!ended.has_said("claimed"), "{:?}", ended.errors);
    }
    Job::new(&redis).assert_all_completed_once(&urls);
    assert_eq!(site.upstream.requests(), 11);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn one_that_has_just_started_claims_what_nobody_has_and_lets_the_living_renew_the_rest() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls = [site.url("/quick/living"), site.url("/quick/dead"), site.url("/quick/left")];
    job.add(&urls);
    // All of it is idle for long, as after an outage of Redis. One of these has an owner who lives.
    let mut ids = Vec::new();
    for owner in ["living", "dead", "nobody"] {
        cmd("XREADGROUP")
            .arg(&["GROUP", "crawlers", owner, "COUNT", "1", "STREAMS", "{test}:urls", ">"])
            .exec(&mut job.connection)
            .unwrap();
        ids.extend(job.pending().into_iter().filter(|(_, name)| name == owner).map(|(id, _)| id));
    }
    let claim = |connection: &mut Connection, owner: &str, id: &str, idle: &str| {
        let mut command = cmd("XCLAIM");
        command.arg(&["{test}:urls", "crawlers", owner, "0", id, "IDLE", idle, "JUSTID"]);
        command.exec(connection).unwrap();
    };
    for (owner, id) in ["living", "dead", "nobody"].into_iter().zip(&ids) {
        claim(&mut job.connection, owner, id, "3600000");
    }
    let crawler = Crawler::start(&redis, &["--claim-after", "5"]);
    // It has looked at what there is to claim.
    eventually("it has what nobody had", || (site.count(&urls[2]) == 1).then_some(()));
    claim(&mut job.connection, "living", &ids[0], "0");
    eventually("it has what the dead one had", || {
        // The living one renews its own.
        claim(&mut job.connection, "living", &ids[0], "0");
        (site.count(&urls[1]) == 1).then_some(())
    });
    eventually("nothing else is left", || (job.left() == 1).then_some(()));
    assert_eq!(job.pending(), [(ids[0].clone(), "living".to_owned())]);
    // Now that one has completed it.
    let _: usize = job.connection.xack("{test}:urls", "crawlers", &[&ids[0]]).unwrap();
    let _: usize = job.connection.xdel("{test}:urls", &[&ids[0]]).unwrap();
    let crawler = crawler.finish();
    crawler.assert_well();
    assert_eq!(crawler.completed().len(), 2);
    assert!(!crawler.has_said("claimed from living"), "{:?}", crawler.errors);
    assert_eq!(site.count(&urls[0]), 0);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_redis_that_stands_still_for_a_while_loses_nothing() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls: Vec<_> = (0..400).map(|number| site.url(&format!("/slow/{number}"))).collect();
    job.add(&urls);
    let crawlers =
        [(); 2].map(|()| Crawler::start(&redis, &["--concurrency", "20", "--claim-after", "1"]));
    eventually("it is in the middle", || (job.left() < 250).then_some(()));
    // The second time for longer than an answer may take: calls are cut off, and Redis does afterwards what
    // nobody waits for any more.
    for (seconds, left) in [(3, 200), (6, 0)] {
        redis.freeze();
        evy::sleep(Duration::from_secs(seconds));
        redis.thaw();
        eventually("it goes on", || (job.left() <= left).then_some(()));
    }
    let ends = crawlers.map(Crawler::finish);
    ends.iter().for_each(Ended::assert_well);
    job.assert_all_completed_once(&urls);
    let requests: usize = urls.iter().map(|url| site.count(url)).sum();
    println!("400 URLs took {requests} requests");
    // At most what was under way when a claim had been sent already.
    assert!(requests <= 440, "{requests}");
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_redis_that_stays_away_is_given_up_after_a_while() {
    let mut redis = RedisServer::start();
    let site = Site::of_pages();
    Job::new(&redis).add(&[site.url("/long/1"), site.url("/quick/2")]);
    let crawler = Crawler::start(&redis, &["--patience", "1"]);
    eventually("it fetches", || (site.upstream.requests() == 2).then_some(()));
    redis.kill();
    let start = Instant::now();
    let crawler = crawler.finish();
    assert_eq!(crawler.status.code(), Some(3), "{:?}", crawler.errors);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(crawler.has_said("waiting for it"), "{:?}", crawler.errors);
    let last = crawler.errors.last().expect("it says why");
    assert!(last.starts_with("distributed_crawler: ") && last.contains("refused"), "{last}");
    assert!(crawler.output.last().expect("the sum").contains("URLs completed here"));
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_job_that_is_gone_is_an_error_and_not_the_end_of_the_work() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    job.add(&[site.url("/long/1")]);
    let crawler = Crawler::start(&redis, &[]);
    eventually("it fetches", || (site.upstream.requests() == 1).then_some(()));
    cmd("FLUSHALL").exec(&mut job.connection).unwrap();
    let crawler = crawler.finish();
    assert_eq!(crawler.status.code(), Some(3));
    assert!(crawler.has_said("NOGROUP"), "{:?}", crawler.errors);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_url_that_fails_each_time_is_given_up_and_recorded_with_its_error() {
    let redis = RedisServer::start();
    let site = Site::start(|path, count| match path {
        "/broken" => Answer { status: "500 Internal Server Error", ..Answer::page("no") },
        "/shaky" if count < 3 => {
            Answer { status: "503 Service Unavailable", ..Answer::page("later") }
        }
        "/missing" => Answer::not_found(),
        _ => Answer::page("yes"),
    });
    let mut job = Job::new(&redis);
    let refused = format!("http://127.0.0.1:{}/", refused_port());
    let urls = [
        site.url("/broken"),
        site.url("/shaky"),
        site.url("/missing"),
        site.url("/deadly"),
        refused.clone(),
    ];
    job.add(&urls[3..4]);
    // Three crawlers have died of this one.
    let mut group = || {
        let mut command = cmd("XREADGROUP");
        command.arg(&["GROUP", "crawlers", "dead", "STREAMS", "{test}:urls", ">"]);
        command.exec(&mut job.connection).unwrap();
    };
    group();
    let (id, _) = job.pending().pop().unwrap();
    for name in ["dead2", "dead3"] {
        cmd("XCLAIM")
            .arg(&["{test}:urls", "crawlers", name, "0", &id])
            .exec(&mut job.connection)
            .unwrap();
    }
    job.add(&urls);

    let arguments = ["--attempts", "3", "--claim-after", "1"];
    let crawler = Crawler::start(&redis, &arguments).finish();
    assert_eq!(crawler.status.code(), Some(1), "{:?}", crawler.errors);
    assert_eq!(crawler.output.last().unwrap(), "5 URLs completed here, 3 of them given up");
    job.assert_all_completed_once(&urls);
    let records = job.records();
    for (url, start, end, requests) in [
        (&urls[0], "error: http status: 500", "attempt 3", Some(3)),
        (&urls[1], "200, 3 bytes", "attempt 3", Some(3)),
        (&urls[2], "404, 12 bytes", "attempt 1", Some(1)),
        (&urls[3], "error: the last of 3 attempts was not finished", "attempt 4", Some(0)),
        (&refused, "error: ", "attempt 3", None),
    ] {
        let record = &records[url];
        let is_right = record.starts_with(start) && record.contains(&format!(", {end}, by "));
        assert!(is_right, "{url}: {record}");
        if let Some(requests) = requests {
            assert_eq!(site.count(url), requests, "{url}");
        }
    }
    assert!(records[&refused].contains("refused"), "{records:?}");
    assert!(crawler.has_said("/broken: attempt 2: http status: 500"), "{:?}", crawler.errors);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn what_has_failed_with_one_that_has_ended_since_is_tried_again_at_once() {
    let redis = RedisServer::start();
    let site = Site::start(|_, count| match count {
        1 => Answer { status: "500 Internal Server Error", ..Answer::page("no") },
        _ => Answer::page("yes"),
    });
    let mut job = Job::new(&redis);
    let urls = [site.url("/shaky")];
    job.add(&urls);
    let first = Crawler::start(&redis, &[]);
    eventually("it has failed", || {
        first.errors.try_iter().find(|line| line.contains("attempt 1: http status: 500"))
    });
    first.process.signal(libc::SIGTERM);
    first.finish().assert_well();
    assert_eq!((job.left(), job.pending().len()), (1, 1));
    let start = Instant::now();
    let second = Crawler::start(&redis, &[]).finish();
    second.assert_well();
    assert!(start.elapsed() < Duration::from_secs(20));
    job.assert_all_completed_once(&urls);
    let record = job.records().remove(&urls[0]).unwrap();
    assert!(record.contains(", attempt 2, by "), "{record}");
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn of_two_that_have_fetched_a_url_one_completes_it() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls = [site.url("/long/1")];
    job.add(&urls);
    let sleeper = Crawler::start(&redis, &["--claim-after", "1"]);
    eventually("it fetches", || (site.count(&urls[0]) == 1).then_some(()));
    sleeper.process.signal(libc::SIGSTOP);
    let other = Crawler::start(&redis, &["--claim-after", "1"]);
    eventually("the other one fetches, too", || (site.count(&urls[0]) == 2).then_some(()));
    other.process.signal(libc::SIGSTOP);
    // Both have the page, and nobody renews anything.
    evy::sleep(Duration::from_secs(3));
    sleeper.process.signal(libc::SIGCONT);
    other.process.signal(libc::SIGCONT);
    let (sleeper, other) = (sleeper.finish(), other.finish());
    sleeper.assert_well();
    other.assert_well();
    assert_eq!(sleeper.completed().len() + other.completed().len(), 1);
    job.assert_all_completed_once(&urls);
    // It has seen so when it came to complete it, or before, when it came to renew it.
    let loser = if sleeper.completed().is_empty() { &sleeper } else { &other };
    let notes = ["somebody else has completed it", "somebody else has claimed it"];
    let notes = notes.map(|text| format!("{}: {text}", urls[0]));
    let said: Vec<_> = loser.errors.iter().filter(|line| notes.contains(line)).collect();
    assert_eq!(said.len(), 1, "{:?} {:?}", sleeper.errors, other.errors);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn one_whose_url_was_claimed_meanwhile_breaks_its_fetch_off() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls = [site.url("/huge/1")];
    job.add(&urls);
    let sleeper = Crawler::start(&redis, &["--claim-after", "1"]);
    eventually("it fetches", || (site.count(&urls[0]) == 1).then_some(()));
    sleeper.process.signal(libc::SIGSTOP);
    let other = Crawler::start(&redis, &["--claim-after", "1"]);
    eventually("the other one fetches, too", || (site.count(&urls[0]) == 2).then_some(()));
    sleeper.process.signal(libc::SIGCONT);
    let (sleeper, other) = (sleeper.finish(), other.finish());
    sleeper.assert_well();
    other.assert_well();
    assert!(sleeper.has_said("somebody else has claimed it"), "{:?}", sleeper.errors);
    // It would have been the first to have the page.
    assert_eq!((sleeper.completed().len(), other.completed().len()), (0, 1));
    job.assert_all_completed_once(&urls);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn only_the_newest_records_are_kept_and_the_stream_is_empty_in_the_end() {
    let (redis, site) = (RedisServer::start(), Site::of_pages());
    let mut job = Job::new(&redis);
    let urls: Vec<_> = (0..300).map(|number| site.url(&format!("/page/{number}"))).collect();
    job.add(&urls);
    let crawler = Crawler::start(&redis, &["--keep", "50"]).finish();
    crawler.assert_well();
    assert_eq!(crawler.completed().len(), 300);
    assert_eq!((job.records().len(), job.finished().len(), job.left()), (50, 50, 0));
    // Whose record is gone may be crawled again, and nobody else.
    assert_eq!(job.add(&urls), "250 URLs added, 50 known already, 0 left out\n");
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn the_names_of_dead_ones_go_after_a_while() {
    let redis = RedisServer::start();
    let site = Site::start(|_, _| Answer::page("at last").after(Duration::from_secs(14)));
    let mut job = Job::new(&redis);
    let urls = [site.url("/page")];
    job.add(&urls);
    // One that has died when it had nothing.
    cmd("XGROUP")
        .arg(&["CREATECONSUMER", "{test}:urls", "crawlers", "dead"])
        .exec(&mut job.connection)
        .unwrap();
    let crawler = Crawler::start(&redis, &["--claim-after", "1", "--concurrency", "2"]);
    eventually("the dead one's name is gone", || {
        (!job.consumers().contains(&"dead".to_owned())).then_some(())
    });
    assert_eq!(job.consumers().len(), 1);
    crawler.finish().assert_well();
    job.assert_all_completed_once(&urls);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn lines_that_are_no_urls_are_left_out_and_named() {
    let redis = RedisServer::start();
    let folder = Folder::new("distributed-crawler");
    let file = folder.path("urls");
    let long = format!("http://localhost/{}", "x".repeat(3000));
    let text =
        format!("http://localhost/a\n\nnonsense\nftp://localhost/\n{long}\nHTTP://LOCALHOST/a#b\n");
    fs::write(&file, text).unwrap();
    let add = |file: &str| {
        Command::new(example("distributed_crawler"))
            .args(["--redis", &redis.url(), "--job", "test", "--add", file])
            .output()
            .unwrap()
    };
    let output = add(file.to_str().unwrap());
    assert_eq!(output.status.code(), Some(1));
    // One URL in two forms is one.
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "1 URLs added, 1 known already, 3 left out\n");
    let errors = String::from_utf8(output.stderr).unwrap();
    for text in ["line 3: relative URL", "line 4: neither http nor https", "line 5: too long"] {
        assert!(errors.contains(text), "{errors}");
    }
    let output = add("/no/such/file");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/no/such/file: "));
}

struct ChatServer {
    _process: Process,
    address: String,
    errors: Receiver<String>,
}

impl ChatServer {
    fn start(redis: &RedisServer) -> Self {
        let mut command = Command::new(example("redis_chat"));
        command.args(["127.0.0.1:0", "--redis", &redis.url()]);
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = lines(process.0.stdout.take().expect("it is piped"));
        let errors = lines(process.0.stderr.take().expect("it is piped"));
        let line = output.recv_timeout(PATIENCE).expect("it starts");
        let address = line.strip_prefix("listening on ").expect("that is all it says").to_owned();
        Self { _process: process, address, errors }
    }

    fn wait_for_error(&self, text: &str) {
        while !self.errors.recv_timeout(PATIENCE).expect("it says so").contains(text) {}
    }
}

struct Participant(BufReader<TcpStream>);

impl Participant {
    /// One that is in the lobby.
    fn join(server: &ChatServer) -> Self {
        let mut participant = Self::connect(server);
        assert_eq!(participant.hear(), "* you are in lobby");
        participant
    }

    fn connect(server: &ChatServer) -> Self {
        let stream = TcpStream::connect(&server.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self(BufReader::new(stream))
    }

    fn address(&self) -> String {
        self.0.get_ref().local_addr().expect("an address").to_string()
    }

    fn say(&self, text: &str) {
        let mut stream = self.0.get_ref();
        stream.write_all(format!("{text}\r\n").as_bytes()).expect("it is connected");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_room_is_shared_by_processes_and_lines_come_in_order() {
    let redis = RedisServer::start();
    let servers = [ChatServer::start(&redis), ChatServer::start(&redis)];
    let mut first = Participant::join(&servers[0]);
    let mut near = Participant::join(&servers[0]);
    let mut far = Participant::join(&servers[1]);
    for number in 0..500 {
        first.say(&format!("line {number}"));
    }
    let author = first.address();
    for other in [&mut near, &mut far] {
        for number in 0..500 {
            assert_eq!(other.hear(), format!("{author}: line {number}"));
        }
    }
    // Its own lines did not come to itself: the next thing is somebody else's.
    far.say("hello");
    let hello = format!("{}: hello", far.address());
    assert_eq!((first.hear(), near.hear()), (hello.clone(), hello));

    // Another room is another matter, and nobody else hears of it.
    near.say("/join den");
    assert_eq!(near.hear(), "* you are in den");
    far.say("/join den");
    assert_eq!(far.hear(), "* you are in den");
    near.say("psst");
    assert_eq!(far.hear(), format!("{}: psst", near.address()));
    far.say("/join no such room");
    assert!(far.hear().starts_with("* a room's name has letters"));
    // Others may publish, too.
    let mut connection = Client::open(redis.url()).unwrap().get_connection().unwrap();
    let receivers: usize = connection.publish("chat:lobby", "hello from outside").unwrap();
    assert_eq!(receivers, 1);
    assert_eq!(first.hear(), "hello from outside");

    // In rooms that are empty here, this process is not.
    near.say("/quit");
    assert_eq!(near.hear(), "");
    far.say("/quit");
    assert_eq!(far.hear(), "");
    first.say("/join elsewhere");
    assert_eq!(first.hear(), "* you are in elsewhere");
    eventually("the first process has left both", || {
        let rooms: Vec<String> =
            cmd("PUBSUB").arg(&["CHANNELS", "chat:*"]).query(&mut connection).unwrap();
        (!rooms.iter().any(|room| room == "chat:lobby")).then_some(())
    });
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn all_are_told_when_redis_dies_and_go_on_when_it_is_back() {
    let mut redis = RedisServer::start();
    let servers = [ChatServer::start(&redis), ChatServer::start(&redis)];
    let mut participants: Vec<_> = servers.iter().map(Participant::join).collect();
    participants[1].say("/join den");
    assert_eq!(participants[1].hear(), "* you are in den");
    for _ in 0..2 {
        redis.kill();
        for participant in &mut participants {
            assert_eq!(participant.hear(), "* redis is away; nobody hears you");
            participant.say("hello?");
            assert_eq!(participant.hear(), "* not said: redis is away");
        }
        // Who comes now is told, too, and is let in later.
        let mut late = Participant::connect(&servers[0]);
        assert_eq!(late.hear(), "* redis is away; nobody hears you");
        late.say("/join den");
        assert_eq!(late.hear(), "* redis is away; nobody hears you");
        redis.restart();
        assert_eq!(participants[0].hear(), "* you are in lobby");
        assert_eq!(participants[1].hear(), "* you are in den");
        assert_eq!(late.hear(), "* you are in den");
        late.say("here again");
        assert_eq!(participants[1].hear(), format!("{}: here again", late.address()));
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_redis_that_stands_still_is_noticed_and_waited_for() {
    let redis = RedisServer::start();
    let server = ChatServer::start(&redis);
    let mut participants = [Participant::join(&server), Participant::join(&server)];
    redis.freeze();
    // A heartbeat and the time for its answer.
    for participant in &mut participants {
        assert_eq!(participant.hear(), "* redis is away; nobody hears you");
    }
    redis.thaw();
    for participant in &mut participants {
        assert_eq!(participant.hear(), "* you are in lobby");
    }
    participants[0].say("hello");
    assert_eq!(participants[1].hear(), format!("{}: hello", participants[0].address()));
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn one_that_does_not_read_is_dropped_and_nobody_waits_for_it() {
    let redis = RedisServer::start();
    let servers = [ChatServer::start(&redis), ChatServer::start(&redis)];
    let mut slow = Participant::join(&servers[0]);
    let mut quick = Participant::join(&servers[0]);
    let talker = Participant::join(&servers[1]);
    // More than sockets and channels hold, each line of them to be read by the quick one.
    let text = "x".repeat(4000);
    let expected = format!("{}: {text}", talker.address());
    let address = slow.address();
    let mut count = 0;
    let dropped = loop {
        talker.say(&text);
        assert_eq!(quick.hear(), expected);
        count += 1;
        if let Some(line) = servers[0].errors.try_iter().find(|line| line.contains("dropped")) {
            break line;
        }
        assert!(count < 20_000, "nobody is dropped");
    };
    assert_eq!(dropped, format!("{address}: dropped, it does not read"));
    println!("dropped after {count} lines of 4,000 bytes");
    talker.say("still here");
    assert_eq!(quick.hear(), format!("{}: still here", talker.address()));
    // What lay ready comes, then why there is no more, then the end.
    let mut rest = String::new();
    slow.0.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.lines().last(), Some("* you do not read fast enough, and are dropped"));
    assert!(rest.lines().count() <= count);
    assert!(!rest.contains("still here"));
    // One that never reads again keeps nothing: its socket is given up, too.
    let deaf = Participant::join(&servers[0]);
    for _ in 0..count {
        talker.say(&text);
        assert_eq!(quick.hear(), expected);
    }
    servers[0].wait_for_error(&format!("{}: dropped", deaf.address()));
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn of_a_burst_nothing_is_lost_for_one_that_reads() {
    const LINES: usize = 5_000;
    let redis = RedisServer::start();
    let server = ChatServer::start(&redis);
    let mut reader = Participant::join(&server);
    let mut connection = Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut burst = pipe();
    for number in 0..LINES {
        burst.publish("chat:lobby", format!("line {number}")).ignore();
    }
    burst.exec(&mut connection).unwrap();
    for number in 0..LINES {
        assert_eq!(reader.hear(), format!("line {number}"));
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn nothing_is_said_in_a_room_that_is_not_open_yet() {
    let redis = RedisServer::start();
    let server = ChatServer::start(&redis);
    let mut talker = Participant::join(&server);
    // It comes to the room and speaks before the process can be subscribed to it: Redis stands still.
    redis.freeze();
    talker.say("/join den");
    talker.say("too early");
    let heard = talker.hear();
    redis.thaw();
    assert_eq!(heard, "* not said: the room is not open yet");
}
