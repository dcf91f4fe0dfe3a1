//! What the acceptance tests of PostgreSQL share beside the server: what they ask it, and how they wait.

use std::error::Error as _;
use std::io;
use std::time::{Duration, Instant};

use evy::patched::postgres::{Client, Error, NoTls, Pool, PoolBuilder};
use evy::sleep;

use crate::postgres_server::PostgresServer;

/// Well beyond what a call takes that is refused at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The number that a query asks for.
pub(crate) fn count(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

/// How many sessions of others are in that state.
pub(crate) fn sessions(client: &mut Client, state: &str) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state LIKE $1";
    client.query_one(query, &[&state]).unwrap().get(0)
}

/// Waits until something has come about.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "{what} did not come about");
        sleep(Duration::from_millis(5));
    }
}

/// The kind of the I/O error that an error is about.
pub(crate) fn kind(error: &Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// A pool of so many connections at most.
pub(crate) fn pool(server: &PostgresServer, max: usize) -> Pool {
    PoolBuilder::new(server.config(), NoTls).max(max).build().unwrap()
}
