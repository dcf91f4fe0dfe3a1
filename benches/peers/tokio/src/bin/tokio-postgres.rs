//! PostgreSQL by tokio-postgres on tokio's current-thread runtime: takes and prints what `evy-postgres` does.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_postgres::{Client, NoTls};

#[path = "../on_cpu.rs"]
mod on_cpu;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments.next().ok_or("the configuration is missing")?;
    let connections: usize = arguments.next().ok_or("the connections are missing")?.parse()?;
    let seconds = arguments.next().ok_or("the seconds are missing")?.parse()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut clients = Vec::new();
        for _ in 0..connections {
            let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
            spawn_local(connection);
            clients.push(client);
        }
        if seconds == 0.0 {
            sleep(clients).await
        } else {
            query(clients, Duration::from_secs_f64(seconds)).await
        }
    })
}

async fn sleep(clients: Vec<Client>) -> Result<(), Failure> {
    // A server process reads much at its first query.
    for client in &clients {
        client.execute("SELECT pg_sleep(0)", &[]).await?;
    }
    let start = Instant::now();
    let sleeping = clients.into_iter().map(|client| {
        spawn_local(
            async move { client.execute("SELECT pg_sleep(0.1)", &[]).await.map(|_| client) },
        )
    });
    let sleeping: Vec<_> = sleeping.collect();
    let mut slept = Vec::new();
    for one in sleeping {
        slept.push(one.await??);
    }
    println!("{}", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

async fn query(clients: Vec<Client>, duration: Duration) -> Result<(), Failure> {
    let count = Rc::new(Cell::new(0_u64));
    let stop = Rc::new(Cell::new(false));
    let users = clients.into_iter().map(|client| {
        let (count, stop) = (count.clone(), stop.clone());
        spawn_local(async move {
            let statement = client.prepare("SELECT 1").await?;
            while !stop.get() {
                client.query_one(&statement, &[]).await?;
                count.set(count.get() + 1);
            }
            Ok::<(), tokio_postgres::Error>(())
        })
    });
    let users: Vec<_> = users.collect();
    // The server has its caches full by then.
    tokio::time::sleep(duration / 4).await;
    let (before, start, cpu) = (count.get(), Instant::now(), on_cpu::nanos()?);
    tokio::time::sleep(duration).await;
    let (elapsed, cpu) = (start.elapsed(), on_cpu::nanos()? - cpu);
    let queries = (count.get() - before) as f64;
    stop.set(true);
    println!("{} {}", queries / elapsed.as_secs_f64(), cpu as f64 / queries);
    for user in users {
        user.await??;
    }
    Ok(())
}
