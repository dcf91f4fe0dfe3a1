//! Requests over TLS: certificates are checked, and a bad one fails its own request alone.

mod util;

use std::io::{self, Read};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evy_patched::ureq::tls::{Certificate, RootCerts, TlsConfig};
use evy_patched::ureq::{Agent, Error, Timeout};
use evy_runtime::{join_all, spawn};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use util::{answer, converse, pause};

const DELAY: Duration = Duration::from_millis(200);

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// An HTTPS server with that certificate, one OS thread for each connection; returns its port.
fn https_server(key: &CertifiedKey<KeyPair>) -> u16 {
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || -> io::Result<()> {
                let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                let stream = StreamOwned::new(connection, stream?);
                let shared = &std::cell::RefCell::new(stream);
                converse(Shared(shared), Shared(shared), |request| {
                    pause(DELAY);
                    answer("200 OK", request.path())
                })
            });
        }
    });
    port
}

/// Both halves of one TLS stream.
struct Shared<'a, T>(&'a std::cell::RefCell<T>);

impl<T: Read> Read for Shared<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl<T: io::Write> io::Write for Shared<'_, T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

fn agent_that_trusts(key: &CertifiedKey<KeyPair>) -> Agent {
    let root = Certificate::from_der(key.cert.der()).to_owned();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    Agent::config_builder().tls_config(tls).build().into()
}

#[test]
fn ten_requests_over_tls_take_about_one_delay() {
    let key = certificate("localhost");
    let port = https_server(&key);
    let agent = agent_that_trusts(&key);
    let start = Instant::now();
    let fetches = (0..10).map(|number| {
        let agent = agent.clone();
        let url = format!("https://localhost:{port}/{number}");
        spawn(move || agent.get(url).call()?.body_mut().read_to_string())
    });
    for (number, body) in join_all(fetches).into_iter().enumerate() {
        assert_eq!(body.unwrap().unwrap(), format!("/{number}"));
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= DELAY, "{elapsed:?}");
    // One after the other they would take 10 delays.
    assert!(elapsed < 6 * DELAY, "{elapsed:?}");
}

#[test]
fn an_unknown_issuer_and_a_wrong_name_fail_alone() {
    let (good, stranger) = (certificate("localhost"), certificate("localhost"));
    let (good_port, strange_port) = (https_server(&good), https_server(&stranger));
    let agent = agent_that_trusts(&good);
    let urls = [
        format!("https://localhost:{good_port}/"),
        format!("https://localhost:{strange_port}/"),
        // The certificate is for localhost, not for the address.
        format!("https://127.0.0.1:{good_port}/"),
        format!("https://localhost:{good_port}/"),
    ];
    let fetches = urls.map(|url| {
        let agent = agent.clone();
        spawn(move || agent.get(url).call()?.body_mut().read_to_string())
    });
    let results: Vec<_> = join_all(fetches).into_iter().map(Result::unwrap).collect();
    assert_eq!(results[0].as_ref().unwrap(), "/");
    for bad in &results[1..3] {
        let text = bad.as_ref().unwrap_err().to_string();
        assert!(text.contains("invalid peer certificate"), "{text}");
    }
    let text = results[2].as_ref().unwrap_err().to_string();
    assert!(text.contains("not valid for name"), "{text}");
    assert_eq!(results[3].as_ref().unwrap(), "/");
}

#[test]
fn a_server_that_shakes_no_hands_is_a_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let limit = Some(Duration::from_millis(50));
    let agent: Agent = Agent::config_builder().timeout_connect(limit).build().into();
    let error = agent.get(url).call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Connect)), "{error}");
}

#[test]
fn a_server_that_speaks_no_tls_is_an_error() {
    let server = util::HttpServer::start(|_| answer("400 Bad Request", ""));
    let error = Agent::new_with_defaults().get(format!("https://{}/", server.address)).call();
    assert!(error.is_err());
}
