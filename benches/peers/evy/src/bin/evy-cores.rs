//! Echo on several cores whose handler computes before it answers: `evy-cores CORES`, prints its port, and
//! serves until it is ended. Each hub has a listener of its own on the shared address; the kernel spreads
//! the connections.

use std::io::{self, Read, Write};

use evy::cores::{self, SharedAddress};
use evy::net::TcpStream;
use peers_common::{compute, numbers};

fn main() -> io::Result<()> {
    let [cores] = numbers();
    let address = SharedAddress::bind("127.0.0.1:0")?;
    println!("{}", address.local_addr()?.port());
    let hubs = cores::run(cores as usize, |_core| {
        let listener = address.listen()?;
        loop {
            let (client, _) = listener.accept()?;
            evy::spawn_n(move || answer(&client));
        }
    });
    hubs.into_iter().collect()
}

fn answer(mut client: &TcpStream) -> io::Result<()> {
    let mut request = [0; 64];
    loop {
        client.read_exact(&mut request)?;
        compute();
        client.write_all(&request)?;
    }
}
