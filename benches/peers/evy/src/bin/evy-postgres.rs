//! PostgreSQL by `evy::patched::postgres`: `evy-postgres CONFIG CONNECTIONS SECONDS` prints how many prepared
//! `SELECT 1` a second the connections make together, and the nanoseconds that this process was on a CPU for
//! one; with 0 seconds, the milliseconds that one `pg_sleep(0.1)` on each of them takes.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::patched::postgres::{Client, NoTls};

#[path = "../../../tokio/src/on_cpu.rs"]
mod on_cpu;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let config = arguments.next().ok_or("the configuration is missing")?;
    let connections: usize = arguments.next().ok_or("the connections are missing")?.parse()?;
    let seconds = arguments.next().ok_or("the seconds are missing")?.parse()?;
    let connect = || Client::connect(&config, NoTls);
    let clients = (0..connections).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    if seconds == 0.0 { sleep(clients) } else { query(clients, Duration::from_secs_f64(seconds)) }
}

fn sleep(mut clients: Vec<Client>) -> Result<(), Box<dyn Error>> {
    // A server process reads much at its first query.
    for client in &mut clients {
        client.execute("SELECT pg_sleep(0)", &[])?;
    }
    let start = Instant::now();
    let sleeping = clients.into_iter().map(|mut client| {
        evy::spawn(move || client.execute("SELECT pg_sleep(0.1)", &[]).map(|_| client))
    });
    let sleeping: Vec<_> = sleeping.collect();
    // They are closed after the measurement.
    let slept: Vec<_> = evy::join_all(sleeping).into_iter().collect();
    println!("{}", start.elapsed().as_secs_f64() * 1e3);
    for client in slept {
        client.expect("it does not panic")?;
    }
    Ok(())
}

fn query(clients: Vec<Client>, duration: Duration) -> Result<(), Box<dyn Error>> {
    let count = Rc::new(Cell::new(0_u64));
    let stop = Rc::new(Cell::new(false));
    let users: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (count, stop) = (count.clone(), stop.clone());
            evy::spawn(move || {
                let statement = client.prepare("SELECT 1")?;
                while !stop.get() {
                    client.query_one(&statement, &[])?;
                    count.set(count.get() + 1);
                }
                client.close()
            })
        })
        .collect();
    // The server has its caches full by then.
    evy::sleep(duration / 4);
    let (before, start, cpu) = (count.get(), Instant::now(), on_cpu::nanos()?);
    evy::sleep(duration);
    let (elapsed, cpu) = (start.elapsed(), on_cpu::nanos()? - cpu);
    let queries = (count.get() - before) as f64;
    stop.set(true);
    println!("{} {}", queries / elapsed.as_secs_f64(), cpu as f64 / queries);
    for user in evy::join_all(users) {
        user.expect("it does not panic")?;
    }
    Ok(())
}
