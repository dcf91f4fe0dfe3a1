//! Many green threads share few connections to PostgreSQL, after Evy's `db_pool`.
//!
//! ```text
//! cargo run --release --example postgres_pool --features postgres -- \
//!     --connections 5 --jobs 200 postgresql://me:secret@localhost/shop
//! ```
//!
//! ```text
//! 200 jobs, 0 failed, in 458 ms
//! backend 4711: 40 jobs
//! …
//! ```
//!
//! Each job takes a connection for a transaction of some 10 ms. A connection that is given back in the middle
//! of one is rolled back, one that the server has closed is replaced. The exit code says whether all went
//! well.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use evy::patched::postgres::{Config, Error, NoTls, Pool, PoolBuilder};
use evy::{GreenPile, GreenPool, timeout};

/// Runs jobs on few connections to PostgreSQL, many at once.
#[derive(Parser)]
struct Arguments {
    /// The server and the database: postgresql://USER:PASSWORD@HOST/DATABASE, or host=… user=… dbname=…
    #[arg(value_name = "URL")]
    config: Config,

    /// How many connections there may be
    #[arg(long, value_name = "N", default_value = "5")]
    connections: usize,

    /// How many jobs there are, each on a green thread of its own
    #[arg(long, value_name = "N", default_value = "200")]
    jobs: i32,

    /// How many of them are at it at once
    #[arg(long, value_name = "N", default_value = "100")]
    at_once: usize,

    /// Give a job up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    timeout: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let pool = match connect(&arguments) {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("cannot connect: {}", in_words(&error));
            return ExitCode::FAILURE;
        }
    };
    let limit = Duration::from_secs(arguments.timeout);
    let start = Instant::now();
    let pile = GreenPile::with_pool(&GreenPool::new(arguments.at_once));
    for number in 0..arguments.jobs {
        let pool = pool.clone();
        pile.spawn(move || match timeout(limit, || job(&pool, number)) {
            Ok(result) => result.map_err(|error| in_words(&error)),
            Err(elapsed) => Err(elapsed.to_string()),
        });
    }
    let (mut by_backend, mut failures) = (BTreeMap::<i32, u32>::new(), 0);
    for result in pile {
        match result {
            Ok(backend) => *by_backend.entry(backend).or_default() += 1,
            Err(error) => {
                failures += 1;
                eprintln!("a job failed: {error}");
            }
        }
    }
    println!("{} jobs, {failures} failed, in {:.0?}", arguments.jobs, start.elapsed());
    for (backend, jobs) in by_backend {
        println!("backend {backend}: {jobs} jobs");
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The pool, with one connection that shows whether the server is there.
fn connect(arguments: &Arguments) -> Result<Pool, Error> {
    let mut config = arguments.config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    PoolBuilder::new(config, NoTls)
        .min(1)
        .max(arguments.connections)
        .max_idle(Duration::from_secs(60))
        .max_age(Duration::from_secs(3600))
        .build()
}

/// Returns which of the server's processes has done it.
fn job(pool: &Pool, number: i32) -> Result<i32, Error> {
    let mut client = pool.get()?;
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_sleep(0.01)", &[])?;
    let row = transaction.query_one("SELECT pg_backend_pid(), $1::int", &[&number])?;
    assert_eq!(row.get::<_, i32>(1), number, "the answer is another's");
    transaction.commit()?;
    Ok(row.get(0))
}

/// With what has led to it, where most of it is said.
fn in_words(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
