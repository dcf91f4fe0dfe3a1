//! Looks many names up at once, and stops after two seconds with what it has by then.
//!
//! ```text
//! cargo run --example dns_mass_resolve -- localhost example.com example.org
//! seq --format=%.0f.com 10 1010 | cargo run --example dns_mass_resolve
//! ```

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use evy::net::lookup_host;
use evy::{GreenPool, timeout};

const LIMIT: Duration = Duration::from_secs(2);

/// The addresses of a name, or what is wrong with it, in one line.
fn look_up(name: &str) -> String {
    match lookup_host((name, 0)) {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
            format!("{name}: {}", addresses.join(" "))
        }
        // It names the name.
        Err(error) => error.to_string(),
    }
}

fn main() -> io::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = io::stdin().lines().collect::<io::Result<_>>()?;
    }

    let all = names.len();
    let done = Rc::new(Cell::new(0));
    let pool = GreenPool::new(100);
    // Two seconds for all of it: for those that wait for a place in the pool, too.
    let _ = timeout(LIMIT, || {
        for name in names {
            let done = Rc::clone(&done);
            pool.spawn_n(move || {
                println!("{}", look_up(&name));
                done.set(done.get() + 1);
            });
        }
        pool.waitall();
    });
    println!("{} of {all} names within {LIMIT:?}", done.get());
    Ok(())
}
