//! PostgreSQL: what becomes of the client and the pool when the server ends, is full, or stands still.
#![cfg(feature = "postgres")]

mod postgres_client;
mod postgres_server;

use std::cell::Cell;
use std::error::Error as _;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::patched::postgres::error::SqlState;
use evy::patched::postgres::{Error, NoTls, Pool, PoolBuilder};
use evy::{join_all, sleep, spawn, timeout};
use postgres_client::{SOON, count, kind, pool, sessions, until};
use postgres_server::{MAX_CONNECTIONS, PostgresServer, signal};

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_pool_drops_what_the_server_has_ended_or_stopped() {
    let server = PostgresServer::start();
    let mut observer = server.client();
    // Ended by the server while nobody looked: the connection says so by itself.
    let pool = pool(&server, 3);
    let three = [pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap()];
    drop(three);
    let end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    assert_eq!(count(&mut observer, end_all), 3);
    until("their end", || sessions(&mut observer, "%") == 0);
    sleep(Duration::from_millis(1));
    for _ in 0..3 {
        assert_eq!(count(&mut pool.get().unwrap(), "SELECT 1::bigint"), 1);
    }
    // In use: a clear error for that call alone.
    let mut client = pool.get().unwrap();
    // Typed: there is no statement to be closed, whose answer the server's last words would be.
    let id: i32 = client.query_typed_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    observer.execute("SELECT pg_terminate_backend($1)", &[&id]).unwrap();
    until("the end", || client.is_closed());
    let error = client.query_one("SELECT 1", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    let error = client.query_one("SELECT 1", &[]).unwrap_err();
    assert!(error.is_closed());
    drop(client);
    assert_eq!(count(&mut pool.get().unwrap(), "SELECT 1::bigint"), 1);

    // A sign of life is asked for, if it was idle for long enough, in its time.
    let quick = Duration::from_millis(50);
    let wary = PoolBuilder::new(server.config(), NoTls)
        .validate_after(Duration::ZERO)
        .answer_timeout(quick);
    let wary = wary.build().unwrap();
    let id: i32 = wary.get().unwrap().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    signal(id as u32, libc::SIGSTOP);
    let other: i32 = wary.get().unwrap().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    signal(id as u32, libc::SIGCONT);
    assert_ne!(id, other);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_full_server_says_so_and_the_pool_goes_on_when_there_is_room() {
    let server = PostgresServer::start();
    let mut others = Vec::new();
    let refused = loop {
        match server.config().connect(NoTls) {
            Ok(client) => others.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{refused:?}");
    assert_eq!(others.len(), MAX_CONNECTIONS);
    let pool = pool(&server, 5);
    for _ in 0..10 {
        let error = pool.get().unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
    }
    drop(others);
    until("room", || pool.get().is_ok());
    assert_eq!(count(&mut pool.get().unwrap(), "SELECT 1::bigint"), 1);
}

fn is_closed_or_told(error: &Error) -> bool {
    error.is_closed() || error.code().is_some() || kind(error).is_some()
}

/// Transfers between accounts by many green threads, and what came of each.
struct Load {
    pool: Pool,
    stop: Rc<Cell<bool>>,
    users: Vec<evy::GreenThread<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    good: usize,
    errors: Vec<String>,
    slowest: Duration,
}

const ACCOUNTS: i32 = 20;
const CALL_LIMIT: Duration = Duration::from_secs(5);

impl Load {
    fn start(server: &PostgresServer) -> Self {
        let mut client = server.client();
        let accounts = format!(
            "CREATE TABLE accounts AS SELECT n AS id, 100 AS money FROM generate_series(1, {ACCOUNTS}) n"
        );
        client.batch_execute(&accounts).unwrap();
        let mut config = server.config();
        config.connect_timeout(Duration::from_secs(2));
        let pool = PoolBuilder::new(config, NoTls).max(10).build().unwrap();
        let stop = Rc::new(Cell::new(false));
        let users = (0..30)
            .map(|number| {
                let (pool, stop) = (pool.clone(), stop.clone());
                spawn(move || Self::user(number, &pool, &stop))
            })
            .collect();
        Self { pool, stop, users }
    }

    fn user(number: i32, pool: &Pool, stop: &Cell<bool>) -> Outcome {
        let mut outcome = Outcome::default();
        for round in 0.. {
            if stop.get() {
                break;
            }
            let (from, to) =
                ((number + round) % ACCOUNTS + 1, (number * 7 + round * 3 + 1) % ACCOUNTS + 1);
            let start = Instant::now();
            let result = timeout(CALL_LIMIT, || Self::transfer(pool, from, to));
            outcome.slowest = outcome.slowest.max(start.elapsed());
            match result {
                Ok(Ok(())) => outcome.good += 1,
                Ok(Err(error)) => {
                    assert!(is_closed_or_told(&error), "{error:?}");
                    outcome
                        .errors
                        .push(format!("{error}: {:?}", error.source().map(ToString::to_string)));
                    sleep(Duration::from_millis(20));
                }
                Err(_elapsed) => outcome.errors.push("timed out".to_owned()),
            }
        }
        outcome
    }

    fn transfer(pool: &Pool, from: i32, to: i32) -> Result<(), Error> {
        let mut client = pool.get()?;
        let mut transaction = client.transaction()?;
        // In one order, so that there is no deadlock.
        for account in [from.min(to), from.max(to)] {
            let change = if account == from { -1 } else { 1 };
            let update = "UPDATE accounts SET money = money + $1 WHERE id = $2";
            transaction.execute(update, &[&change, &account])?;
            if from == to {
                return transaction.rollback();
            }
        }
        transaction.commit()
    }

    fn works(&self) -> impl Fn() -> bool + use<> {
        let pool = self.pool.clone();
        move || pool.get().and_then(|mut client| client.query_one("SELECT 1", &[])).is_ok()
    }

    /// Ends the load and checks that nothing is left open and no money is lost.
    fn finish(self, server: &PostgresServer) -> Outcome {
        self.stop.set(true);
        let mut sum = Outcome::default();
        for outcome in join_all(self.users) {
            let outcome = outcome.unwrap();
            sum.good += outcome.good;
            sum.slowest = sum.slowest.max(outcome.slowest);
            sum.errors.extend(outcome.errors);
        }
        let mut observer = server.client();
        until("rest", || {
            sessions(&mut observer, "active") + sessions(&mut observer, "idle in%") == 0
        });
        assert_eq!(count(&mut observer, "SELECT count(*) FROM pg_prepared_xacts"), 0);
        let money = count(&mut observer, "SELECT sum(money) FROM accounts");
        assert_eq!(money, i64::from(ACCOUNTS) * 100);
        assert_eq!(self.pool.size(), self.pool.idle());
        sum
    }
}

fn report(what: &str, outcome: &Outcome) {
    let mut kinds: Vec<_> = outcome.errors.clone();
    kinds.sort();
    kinds.dedup();
    println!(
        "{what}: {} transfers, {} errors, the slowest call {:.0?}:\n  {}",
        outcome.good,
        outcome.errors.len(),
        outcome.slowest,
        kinds.join("\n  ")
    );
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_backend_that_is_killed_takes_the_calls_of_its_moment_along_and_no_others() {
    let server = PostgresServer::start();
    let load = Load::start(&server);
    let works = load.works();
    // So that there are calls of before, and of afterwards: how long is nothing that is checked.
    sleep(Duration::from_millis(200));
    // The server ends all others with it, and starts anew.
    let id: i32 =
        load.pool.get().unwrap().query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    signal(id as u32, libc::SIGKILL);
    sleep(Duration::from_millis(100));
    until("the pool's recovery", works);
    sleep(Duration::from_millis(200));
    let outcome = load.finish(&server);
    report("kill -9 of a backend", &outcome);
    assert!(outcome.good > 0 && !outcome.errors.is_empty());
    assert!(outcome.slowest < CALL_LIMIT, "{:?}", outcome.slowest);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_server_that_is_killed_under_load_and_comes_back_has_its_users_back() {
    let mut server = PostgresServer::start();
    let load = Load::start(&server);
    let works = load.works();
    for _ in 0..2 {
        // So that it is killed under load, and that its users meet one that is away.
        sleep(Duration::from_millis(200));
        server.kill_all();
        sleep(Duration::from_millis(200));
        assert!(!works());
        server.restart();
        until("the pool's recovery", &works);
    }
    // And in good order.
    server.stop();
    assert!(!works());
    server.restart();
    until("the pool's recovery", &works);
    let outcome = load.finish(&server);
    report("kill -9 of the server, and a shutdown", &outcome);
    assert!(outcome.good > 0 && !outcome.errors.is_empty());
    assert!(outcome.slowest < CALL_LIMIT, "{:?}", outcome.slowest);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_server_that_is_frozen_holds_nobody_beyond_a_deadline() {
    let server = PostgresServer::start();
    let mut client = server.client();
    let limit = Duration::from_millis(300);
    let mut config = server.config();
    config.connect_timeout(limit);
    let pool =
        PoolBuilder::new(config.clone(), NoTls).max(2).answer_timeout(limit).build().unwrap();
    drop(pool.get().unwrap());
    server.freeze(true);
    let start = Instant::now();
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::TimedOut), "{error:?}");
    assert!(timeout(limit, || client.query_one("SELECT 1", &[])).is_err());
    let error = client.is_valid(limit).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::TimedOut));
    let users: Vec<_> = (0..10)
        .map(|_| {
            let pool = pool.clone();
            spawn(move || timeout(limit, || pool.get()?.query_one("SELECT 1", &[])))
        })
        .collect();
    for user in join_all(users) {
        match user.unwrap() {
            Err(_elapsed) => {}
            Ok(result) => assert_eq!(kind(&result.unwrap_err()), Some(io::ErrorKind::TimedOut)),
        }
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    // Clients that go now do not wait for it.
    drop(client);
    pool.clear();
    server.freeze(false);
    until("the pool's recovery", || {
        pool.get().and_then(|mut c| c.query_one("SELECT 1", &[])).is_ok()
    });
    let mut observer = server.client();
    until("rest", || sessions(&mut observer, "active") == 0);
}
