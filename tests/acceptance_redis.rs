//! `evy::patched::redis` against redis-server: what its users do with it, and what it does when the server
//! dies, is full, or stalls.
#![cfg(feature = "redis")]

#[path = "redis/mod.rs"]
mod server;

use evy::patched::redis::{self, Commands};
use server::RedisServer;

#[test]
#[ignore = "acceptance: needs redis-server"]
fn commands_and_pipelines_answer_as_in_redis() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let () = connection.set("key", 42).unwrap();
    assert_eq!(connection.get::<_, i32>("key").unwrap(), 42);
    assert_eq!(
        redis::cmd("GET").arg("none").query::<Option<String>>(&mut connection).unwrap(),
        None
    );
    let (first, second): (i32, Vec<i32>) = redis::pipe()
        .incr("key", 1)
        .set("other", 7)
        .ignore()
        .mget(&["key", "other"])
        .query(&mut connection)
        .unwrap();
    assert_eq!((first, second), (43, vec![43, 7]));
}
