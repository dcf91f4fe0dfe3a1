//! Sends back what it is sent, under TLS.
//!
//! ```text
//! cargo run --example tls_echo --features tls
//! openssl s_client -quiet -connect 127.0.0.1:6443
//! cargo run --example tls_echo --features tls -- 0.0.0.0:6443 chain.pem key.pem
//! ```
//!
//! Without files of its own it makes a certificate for localhost, which nobody trusts, and prints it.

use std::io;

use evy::listen;
use evy::tls::{TlsAcceptor, TlsListener, TlsStream};

/// A certificate for localhost and its key, made up on the spot.
fn made_up() -> io::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    print!("{}", made.cert.pem());
    TlsAcceptor::from_pem(made.cert.pem(), made.signing_key.serialize_pem())
}

fn echo(client: &TlsStream<evy::net::TcpStream>) -> io::Result<()> {
    // The handshake is done by the first read, here and not in the loop of `main`: a client that
    // connects and stays silent delays nobody, and is sent away after 10 s.
    io::copy(&mut { client }, &mut { client })?;
    client.shutdown()
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, acceptor) = match arguments.as_slice() {
        [] => ("127.0.0.1:6443", made_up()?),
        [address] => (address.as_str(), made_up()?),
        [address, chain, key] => (address.as_str(), TlsAcceptor::from_files(chain, key)?),
        _ => return Err(io::Error::other("usage: tls_echo [ADDR [CHAIN.pem KEY.pem]]")),
    };
    let server = TlsListener::new(listen(address)?, acceptor);
    println!("listening on {}", server.local_addr()?);
    loop {
        let (client, peer) = server.accept()?;
        evy::spawn_n(move || {
            if let Err(error) = echo(&client) {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
