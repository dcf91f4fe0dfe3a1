//! A server on all cores: answers each line with its letters in upper case, and says which core did it.
//!
//! ```text
//! cargo run --release --example cores -- 127.0.0.1:6001
//! nc 127.0.0.1 6001
//! ```
//!
//! Each core has a hub and a listener of its own; the kernel spreads the connections over them. What the
//! cores share has to be `Sync`, here a counter; what one core's green threads share need not be.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evy::GreenPool;
use evy::cores::{self, SharedAddress};
use evy::net::TcpStream;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6001".to_owned());
    let address = SharedAddress::bind(address)?;
    let listening = AtomicUsize::new(0);
    let ends = cores::run(0, |core| {
        let listener = address.listen()?;
        if listening.fetch_add(1, Ordering::SeqCst) + 1 == core.count() {
            println!("listening on {} with {} cores", address.local_addr()?, core.count());
        }
        let pool = GreenPool::new(10_000);
        let lines = Rc::new(Cell::new(0_u64));
        loop {
            let (client, _) = listener.accept()?;
            let (lines, index) = (Rc::clone(&lines), core.index());
            pool.spawn_n(move || answer(&client, index, &lines));
        }
    });
    ends.into_iter().collect()
}

fn answer(client: &TcpStream, core: usize, lines: &Cell<u64>) -> io::Result<()> {
    let mut writer = client;
    for line in BufReader::new(client).lines() {
        lines.set(lines.get() + 1);
        let text = line?.to_uppercase();
        writeln!(writer, "core {core}, line {}: {text}", lines.get())?;
    }
    Ok(())
}
