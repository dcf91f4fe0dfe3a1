//! A service of HTTP that uses Redis and PostgreSQL, while each of them is killed under its load and comes
//! back.
#![cfg(all(feature = "http", feature = "patched"))]

mod postgres_server;
mod redis;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::http::{Request, Server, StatusCode};
use evy::patched::postgres::{self, NoTls, PoolBuilder};
use evy::patched::redis::{self as green_redis, Client, Commands};
use evy::patched::ureq;
use evy::{join_all, sleep, spawn};
use postgres_server::PostgresServer;
use redis::RedisServer;

const CLIENTS: usize = 20;

/// The most that a request may take, whatever the servers behind the service do.
const LIMIT: Duration = Duration::from_secs(3);

/// How long the service may need to be whole again.
const SOON: Duration = Duration::from_secs(30);

/// What a handler needs.
struct Service {
    redis: green_redis::Pool,
    postgres: postgres::Pool,
}

impl Service {
    fn new(redis: &RedisServer, postgres: &PostgresServer) -> Self {
        let client = Client::open(redis.url()).expect("a URL");
        let redis = client.pool_builder(LIMIT / 3).max(5).build().expect("nothing is made ahead");
        let mut config = postgres.config();
        config.connect_timeout(LIMIT / 3);
        let postgres = PoolBuilder::new(config, NoTls).max(5).build();
        Self { redis, postgres: postgres.expect("nothing is made ahead") }
    }

    /// Counts a visit in Redis, and writes it down in PostgreSQL.
    fn visit(&self) -> Result<String, Box<dyn std::error::Error>> {
        let count: i64 = self.redis.get()?.incr("visits", 1)?;
        let mut client = self.postgres.get()?;
        let mut transaction = client.transaction()?;
        transaction.execute("INSERT INTO visits VALUES ($1)", &[&count])?;
        transaction.commit()?;
        Ok(count.to_string())
    }
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    /// How often each status came.
    statuses: RefCell<BTreeMap<u16, usize>>,
    slowest: Cell<Duration>,
    is_over: Cell<bool>,
}

impl Seen {
    fn count(&self, status: StatusCode) -> usize {
        self.statuses.borrow().get(&status.as_u16()).copied().unwrap_or(0)
    }

    /// Asks again and again.
    fn ask(&self, url: &str) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        while !self.is_over.get() {
            let start = Instant::now();
            let status = agent.get(url).call().expect("the service is there").status().as_u16();
            self.slowest.set(self.slowest.get().max(start.elapsed()));
            *self.statuses.borrow_mut().entry(status).or_default() += 1;
            if status != 200 {
                sleep(Duration::from_millis(10));
            }
        }
    }

    /// Waits for some more answers of a status.
    fn wait_for(&self, status: StatusCode) {
        let (start, before) = (Instant::now(), self.count(status));
        while self.count(status) < before + 2 * CLIENTS {
            assert!(start.elapsed() < SOON, "no more {status}: {:?}", self.statuses.borrow());
            sleep(Duration::from_millis(5));
        }
    }
}

#[test]
#[ignore = "acceptance: needs redis-server and PostgreSQL"]
fn a_service_that_uses_both_survives_the_kill_of_each_under_load() {
    let (mut redis, mut postgres) = (RedisServer::start(), PostgresServer::start());
    postgres.client().batch_execute("CREATE TABLE visits (count bigint)").unwrap();
    let service = Service::new(&redis, &postgres);
    let handler = move |_: Request| match service.visit() {
        Ok(count) => (StatusCode::OK, count),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    let server = Server::new(evy::listen("127.0.0.1:0").unwrap(), handler).start().unwrap();
    let url = format!("http://{}/", server.local_addr());
    let seen = Rc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (seen, url) = (Rc::clone(&seen), url.clone());
            spawn(move || seen.ask(&url))
        })
        .collect();

    for _ in 0..2 {
        seen.wait_for(StatusCode::OK);
        redis.kill();
        seen.wait_for(StatusCode::SERVICE_UNAVAILABLE);
        redis.restart();
        seen.wait_for(StatusCode::OK);
        postgres.kill_all();
        seen.wait_for(StatusCode::SERVICE_UNAVAILABLE);
        postgres.restart();
        seen.wait_for(StatusCode::OK);
    }
    seen.is_over.set(true);
    for client in join_all(clients) {
        client.unwrap();
    }
    server.stop(LIMIT);

    println!("{:?}, the slowest {:.0?}", seen.statuses.borrow(), seen.slowest.get());
    assert_eq!(seen.statuses.borrow().len(), 2, "{:?}", seen.statuses.borrow());
    assert!(seen.slowest.get() < LIMIT, "{:?}", seen.slowest.get());
    let mut client = postgres.client();
    // What was answered was written. The end of a connection may hide that a transaction is committed.
    let written: i64 = client.query_one("SELECT count(*) FROM visits", &[]).unwrap().get(0);
    assert!(written >= seen.count(StatusCode::OK) as i64, "{written}");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    assert_eq!(client.query_one(open, &[]).unwrap().get::<_, i64>(0), 0);
}
