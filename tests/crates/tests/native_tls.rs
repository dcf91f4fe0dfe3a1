//! native-tls, by OpenSSL, on green sockets as they are: it takes whatever reads and writes.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use evy::net::TcpStream;
use evy::tls::TlsAcceptor;
use evy_test_crates::{CLIENTS, Events, Watchdog, at_once, certificate, serve};
use native_tls::{Certificate, Identity, TlsConnector};

fn connector(roots: &str) -> TlsConnector {
    let root = Certificate::from_pem(roots.as_bytes()).unwrap();
    TlsConnector::builder().add_root_certificate(root).build().unwrap()
}

fn ask(connector: &TlsConnector, address: SocketAddr, question: &str) -> io::Result<String> {
    let socket = evy::connect(address)?;
    let mut stream = connector.connect("localhost", socket).map_err(io::Error::other)?;
    stream.write_all(question.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A server of TLS that answers once all have asked.
fn start_server(chain: &str, key: &str) -> SocketAddr {
    let acceptor = TlsAcceptor::from_pem(chain, key).unwrap();
    serve(move |socket, together| {
        let mut client = acceptor.accept(socket)?;
        let mut asked = [0; 5];
        client.read_exact(&mut asked)?;
        together.wait();
        client.write_all(&asked)?;
        client.shutdown()
    })
}

#[test]
fn clients_of_native_tls_overlap() {
    let (chain, key) = certificate();
    let address = start_server(&chain, &key);
    let connector = connector(&chain);
    let answers = at_once(move |number| ask(&connector, address, &format!("ask {number}")));
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("ask {number}"));
    }
}

/// OpenSSL keeps its errors in a list of the OS thread. Handshakes that fail and succeed by turns on one OS
/// thread must each come to their own result.
#[test]
fn each_handshake_comes_to_its_own_result() {
    let (chain, key) = certificate();
    let acceptor = TlsAcceptor::from_pem(&chain, &key).unwrap();
    let address = serve(move |socket, together| {
        // All are in the middle of it at once.
        together.wait();
        let mut client = acceptor.accept(socket)?;
        client.write_all(b"ok")?;
        client.shutdown()
    });
    let (right, wrong) = (connector(&chain), connector(&certificate().0));
    let results = at_once(move |number| {
        let connector = if number % 2 == 0 { &right } else { &wrong };
        let mut text = String::new();
        let mut stream = connector
            .connect("localhost", evy::connect(address).unwrap())
            .map_err(|error| error.to_string())?;
        stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok::<String, String>(text)
    });
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(text) => assert!(number % 2 == 0 && text == "ok", "{number}: {text}"),
            Err(error) => {
                assert!(number % 2 == 1 && error.contains("certificate"), "{number}: {error}");
            }
        }
    }
}

#[test]
fn a_server_of_native_tls_serves_all_at_once() {
    let (chain, key) = certificate();
    let identity = Identity::from_pkcs8(chain.as_bytes(), key.as_bytes()).unwrap();
    let acceptor = native_tls::TlsAcceptor::new(identity).unwrap();
    let address = serve(move |socket, together| {
        let mut client = acceptor.accept(socket).map_err(io::Error::other)?;
        together.wait();
        client.write_all(b"hello")?;
        client.shutdown()
    });
    let connector = evy::tls::TlsConnector::builder().roots_pem(chain).build().unwrap();
    let answers = at_once(move |_| {
        let mut stream = connector.connect("localhost", evy::connect(address)?)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    });
    assert_eq!(answers.len(), CLIENTS);
    assert!(answers.into_iter().all(|answer| answer.unwrap() == "hello"));
}

/// A socket that says when it is dropped.
#[derive(Debug)]
struct Told(TcpStream, Events);

impl Read for Told {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.1.add("closed");
    }
}

/// The kill is an unwind that begins inside of a function that OpenSSL calls: the frames of C between are
/// left well, and all that the green thread had is dropped.
#[test]
fn one_that_is_killed_inside_of_openssl_closes_its_socket() {
    let _watchdog = Watchdog::start();
    let (chain, key) = certificate();
    let acceptor = TlsAcceptor::from_pem(&chain, &key).unwrap();
    let address = serve(move |socket, _| {
        let mut client = acceptor.accept(socket)?;
        client.write_all(b"hello")?;
        // Until the client goes.
        let _ = client.read(&mut [0]);
        Ok(())
    });
    let events = Events::default();
    let (seen, ready) = (events.clone(), Rc::new(evy::sync::Event::new()));
    let (connector, waits) = (connector(&chain), Rc::clone(&ready));
    let client = evy::spawn(move || {
        let socket = Told(evy::connect(address).unwrap(), seen.clone());
        let mut stream = connector.connect("localhost", socket).unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        waits.send(()).unwrap();
        let _ = stream.read(&mut [0]);
        seen.add("not killed");
    });
    ready.wait();
    evy::yield_now();
    client.kill();
    assert_eq!(events.all(), ["closed"]);
    // The library is as good as before.
    let (chain, key) = certificate();
    let address = start_server(&chain, &key);
    let connector = self::connector(&chain);
    let answers = at_once(move |_| ask(&connector, address, "again"));
    assert!(answers.into_iter().all(|answer| answer.unwrap() == "again"));
}
