//! A host with several addresses: the first that answers is taken, and none waits for another for long.
#![cfg(target_os = "linux")]

mod util;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use evy_patched::ureq::config::Config;
use evy_patched::ureq::http::Uri;
use evy_patched::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use evy_patched::ureq::unversioned::transport::{Connector, NextTimeout};
use evy_patched::ureq::{Agent, Error, GreenConnector, Timeout};
use socket2::{Domain, SockAddr, Socket, Type};
use util::{HttpServer, answer};

/// Knows one host, with these addresses.
#[derive(Debug)]
struct Knows(Vec<SocketAddr>);

impl Resolver for Knows {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        for address in &self.0 {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

fn agent_that_knows(addresses: Vec<SocketAddr>, connect: Duration) -> Agent {
    let config = Agent::config_builder().timeout_connect(Some(connect)).build();
    Agent::with_parts(config, ().chain(GreenConnector), Knows(addresses))
}

/// An address that does not answer, for as long as the sockets are held.
fn silent_address() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut sockets = vec![listener];
    // Linux drops further SYNs once the queue of accepted connections is full.
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&SockAddr::from(address));
        sockets.push(filler);
    }
    (address, sockets)
}

fn refused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_address_that_does_not_answer_gets_company_by_the_next() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let (silent, _sockets) = silent_address();
    let agent = agent_that_knows(vec![silent, server.address], Duration::from_secs(60));
    let start = Instant::now();
    let mut response = agent.get("http://several.example/").call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "/");
    // One after the other, the silent one would have the better part of a minute to itself.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn an_address_that_refuses_makes_room_for_the_next() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let addresses = vec![refused_address(), refused_address(), server.address];
    let agent = agent_that_knows(addresses, Duration::from_secs(60));
    let mut response = agent.get("http://several.example/").call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "/");
}

#[test]
fn when_none_answers_the_error_says_why() {
    let agent =
        agent_that_knows(vec![refused_address(), refused_address()], Duration::from_secs(60));
    let error = agent.get("http://several.example/").call().unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

    let ((one, _its), (other, _others)) = (silent_address(), silent_address());
    let agent = agent_that_knows(vec![one, other], Duration::from_millis(50));
    let error = agent.get("http://several.example/").call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Connect)), "{error:?}");
}
