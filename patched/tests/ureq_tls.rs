//! Requests over TLS: certificates are checked, and a bad one fails its own request alone.

mod util;

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evy_patched::ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use evy_patched::ureq::{Agent, Error, Proxy, Timeout};
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

impl<T: Write> Write for Shared<'_, T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

fn trust(key: &CertifiedKey<KeyPair>) -> TlsConfig {
    let root = Certificate::from_der(key.cert.der()).to_owned();
    TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build()
}

fn agent_that_trusts(key: &CertifiedKey<KeyPair>) -> Agent {
    Agent::config_builder().tls_config(trust(key)).build().into()
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

#[test]
fn a_request_that_is_configured_for_another_tls_is_not_sent_in_clear() {
    let server = util::HttpServer::start(|_| answer("200 OK", "in clear"));
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).build();
    let agent: Agent = Agent::config_builder().tls_config(tls).build().into();
    let error = agent.get(format!("https://{}/", server.address)).call().unwrap_err();
    assert!(matches!(error, Error::TlsRequired), "{error:?}");
}

/// TLS is with the host that is asked for, whatever lies between.
#[test]
fn a_proxy_sees_nothing_but_tls() {
    let key = certificate("secret.example");
    let port = https_server(&key);
    for scheme in ["http", "socks5h"] {
        let proxy = util::serve_one(move |mut client| {
            if scheme == "http" {
                util::read_request(&mut BufReader::new(&client))?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            } else {
                // A greeting of one method, and a question with that name and a port.
                client.read_exact(&mut [0; 3])?;
                client.write_all(&[5, 0])?;
                client.read_exact(&mut [0; 4 + 1 + "secret.example".len() + 2])?;
                client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
            }
            util::relay(&client, &TcpStream::connect(("127.0.0.1", port))?)
        });
        let proxy = Proxy::new(&format!("{scheme}://{proxy}")).unwrap();
        let config = Agent::config_builder().tls_config(trust(&key)).proxy(Some(proxy));
        let agent: Agent = config.build().into();
        let mut response = agent.get("https://secret.example/through").call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), "/through", "{scheme}");
    }
}
