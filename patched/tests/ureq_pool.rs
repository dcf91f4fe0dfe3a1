//! The agent's pool of connections: how many it keeps, and for how long.

mod util;

use std::time::Duration;

use evy_patched::ureq::{Agent, Error};
use evy_runtime::{join_all, spawn};
use util::{HttpServer, answer, pause};

/// Fetches that many pages at once.
fn fetch_at_once(agent: &Agent, server: &HttpServer, count: usize) {
    let fetches = (0..count).map(|_| {
        let (agent, url) = (agent.clone(), server.url("/"));
        spawn(move || agent.get(url).call()?.body_mut().read_to_string())
    });
    for body in join_all(fetches) {
        assert_eq!(body.unwrap().unwrap(), "/");
    }
}

fn slow_server() -> HttpServer {
    HttpServer::start(|request| {
        pause(Duration::from_millis(50));
        answer("200 OK", request.path())
    })
}

#[test]
fn it_keeps_as_many_connections_as_it_is_told() {
    let server = slow_server();
    let config = Agent::config_builder().max_idle_connections(20).max_idle_connections_per_host(20);
    let agent: Agent = config.build().into();
    for _ in 0..3 {
        fetch_at_once(&agent, &server, 20);
    }
    assert_eq!(server.connections(), 20);
}

#[test]
fn it_closes_what_it_has_no_room_for() {
    let server = slow_server();
    let config = Agent::config_builder().max_idle_connections(5).max_idle_connections_per_host(5);
    let agent: Agent = config.build().into();
    fetch_at_once(&agent, &server, 20);
    fetch_at_once(&agent, &server, 5);
    assert_eq!(server.connections(), 20);
    fetch_at_once(&agent, &server, 20);
    assert_eq!(server.connections(), 35);
}

#[test]
fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let config = Agent::config_builder().max_idle_age(Duration::ZERO);
    let agent: Agent = config.build().into();
    for expected in [1, 2, 3] {
        fetch_at_once(&agent, &server, 1);
        assert_eq!(server.connections(), expected);
    }
}

#[test]
fn a_connection_that_the_server_wants_closed_is_not_used_again() {
    let server = HttpServer::start(|_| {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n/".to_owned()
    });
    let agent = Agent::new_with_defaults();
    fetch_at_once(&agent, &server, 1);
    fetch_at_once(&agent, &server, 1);
    assert_eq!(server.connections(), 2);
}

/// What lies behind the announced length belongs to no request.
#[test]
fn a_connection_with_bytes_that_nobody_asked_for_is_not_used_again() {
    let server = HttpServer::start(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n/HTTP/1.1 200 OK\r\n\r\nforged".to_owned()
    });
    let agent = Agent::new_with_defaults();
    for _ in 0..3 {
        match agent.get(server.url("/")).call() {
            Ok(mut response) => assert_eq!(response.body_mut().read_to_string().unwrap(), "/"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_body_that_is_shorter_than_announced_is_an_error() {
    let server = HttpServer::start(|request| match request.path() {
        "/close" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_owned(),
        // The empty answer closes the connection.
        _ => String::new(),
    });
    let agent = Agent::config_builder().timeout_global(Some(Duration::from_millis(100))).build();
    let mut response = Agent::from(agent).get(server.url("/close")).call().unwrap();
    assert!(response.body_mut().read_to_string().is_err());
    let error = Agent::new_with_defaults().get(server.url("/empty")).call().unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}
