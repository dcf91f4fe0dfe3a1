//! GETs by redis on tokio's current_thread: `tokio-redis PORT CONNECTIONS BATCH SECONDS [shared]`. Each of so
//! many tasks has a connection of its own; with `shared` all have one, whose requests go out together as
//! they come. Prints requests a second, and nanoseconds of CPU for each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

#[path = "../../../redis_client.rs"]
mod redis_client;

use redis_client::{Arguments, Measurement};

fn main() -> RedisResult<()> {
    let arguments = Arguments::from_env();
    let shared = std::env::args().any(|argument| argument == "shared");
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(arguments, shared))
}

async fn run(arguments: Arguments, shared: bool) -> RedisResult<()> {
    let client = Client::open(("127.0.0.1", arguments.port))?;
    let mut connections = Vec::new();
    for _ in 0..if shared { 1 } else { arguments.connections } {
        // Without a timer for each request, as the others.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        connections.push(client.get_multiplexed_async_connection_with_config(&config).await?);
    }
    let count = Rc::new(Cell::new(0));
    let measurement = Measurement::start(arguments.seconds);
    let users: Vec<_> = (0..arguments.connections)
        .map(|user| {
            let connection = connections[user % connections.len()].clone();
            spawn_local(ask(connection, arguments, measurement.end, Rc::clone(&count)))
        })
        .collect();
    for user in users {
        user.await.expect("it does not panic")?;
    }
    measurement.print(count.get());
    Ok(())
}

async fn ask(
    mut connection: MultiplexedConnection,
    arguments: Arguments,
    end: Instant,
    count: Rc<Cell<usize>>,
) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    for _ in 0..arguments.batch {
        pipeline.get("key");
    }
    while Instant::now() < end {
        if arguments.batch == 1 {
            let value: Vec<u8> = redis::cmd("GET").arg("key").query_async(&mut connection).await?;
            assert_eq!(value.len(), 3);
        } else {
            let values: Vec<Vec<u8>> = pipeline.query_async(&mut connection).await?;
            assert_eq!(values.len(), arguments.batch);
        }
        count.set(count.get() + arguments.batch);
    }
    Ok(())
}
