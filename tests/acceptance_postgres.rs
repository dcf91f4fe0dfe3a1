//! PostgreSQL: the client, the pool, and what becomes of both when the server goes.
#![cfg(feature = "postgres")]

mod postgres_server;

use postgres_server::PostgresServer;

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_query_gives_its_rows() {
    let server = PostgresServer::start();
    let mut client = server.client();
    let row = client.query_one("SELECT $1::int + 1, $2::text", &[&41_i32, &"hello"]).unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "hello"));
    client.close().unwrap();
}
