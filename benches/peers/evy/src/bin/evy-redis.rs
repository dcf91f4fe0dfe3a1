//! GETs by `evy::patched::redis`: `evy-redis PORT CONNECTIONS BATCH SECONDS`. Each connection has a green
//! thread, which asks for so many at a time. Prints requests a second, and nanoseconds of CPU for each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use evy::patched::redis::{self, Client, RedisResult};

#[path = "../../../redis_client.rs"]
mod redis_client;

use redis_client::{Arguments, Measurement};

fn main() -> RedisResult<()> {
    let arguments = Arguments::from_env();
    let client = Client::open(("127.0.0.1", arguments.port))?;
    let connections = (0..arguments.connections).map(|_| client.get_connection());
    let connections = connections.collect::<RedisResult<Vec<_>>>()?;
    let count = Rc::new(Cell::new(0));
    let measurement = Measurement::start(arguments.seconds);
    let end = measurement.end;
    let users: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let count = Rc::clone(&count);
            let mut pipeline = redis::pipe();
            for _ in 0..arguments.batch {
                pipeline.get("key");
            }
            evy::spawn(move || -> RedisResult<()> {
                while Instant::now() < end {
                    if arguments.batch == 1 {
                        let value: Vec<u8> = redis::cmd("GET").arg("key").query(&mut connection)?;
                        assert_eq!(value.len(), 3);
                    } else {
                        let values: Vec<Vec<u8>> = pipeline.query(&mut connection)?;
                        assert_eq!(values.len(), arguments.batch);
                    }
                    count.set(count.get() + arguments.batch);
                }
                Ok(())
            })
        })
        .collect();
    for user in evy::join_all(users) {
        user.expect("it does not panic")?;
    }
    measurement.print(count.get());
    Ok(())
}
