//! Redirects: which are followed, how, and for how long.

mod util;

use std::net::TcpListener;

use evy_patched::ureq::config::RedirectAuthHeaders;
use evy_patched::ureq::{self, Agent, Error, ResponseExt};
use util::{HttpServer, Request, answer, answer_with};

fn serve(request: &Request) -> String {
    let path = request.path();
    let count = path.strip_prefix("/count/").and_then(|count| count.parse::<u32>().ok());
    match (path, count) {
        (_, Some(0)) => answer("200 OK", &request.line),
        (_, Some(count)) => answer_with("302 Found", &format!("Location: {}\r\n", count - 1)),
        ("/for-ever", _) => answer_with("302 Found", "Location: /for-ever\r\n"),
        ("/nowhere", _) => answer_with("302 Found", ""),
        ("/elsewhere", _) => answer_with("302 Found", "Location: gopher://127.0.0.1/\r\n"),
        _ => match path.strip_prefix("/status/") {
            Some(status) => answer_with(status, "Location: /count/0\r\n"),
            None => answer("200 OK", &request.line),
        },
    }
}

#[test]
fn as_many_are_followed_as_are_allowed() {
    let server = HttpServer::start(serve);
    let agent = ureq::agent();
    let mut response = agent.get(server.url("/count/10")).call().unwrap();
    assert_eq!(response.get_uri().path(), "/count/0");
    assert_eq!(response.body_mut().read_to_string().unwrap(), "GET /count/0 HTTP/1.1");
    // One connection for all of them.
    assert_eq!(server.connections(), 1);
    for path in ["/count/11", "/for-ever"] {
        let error = agent.get(server.url(path)).call().unwrap_err();
        assert!(matches!(error, Error::TooManyRedirects), "{error:?}");
    }
    let agent: Agent = Agent::config_builder().max_redirects(0).build().into();
    assert_eq!(agent.get(server.url("/count/1")).call().unwrap().status(), 302);
}

#[test]
fn the_method_changes_where_the_status_says_so() {
    let server = HttpServer::start(serve);
    for (status, becomes) in [("301", "GET"), ("302", "GET"), ("303", "GET")] {
        let mut response = ureq::post(server.url(&format!("/status/{status}"))).send("x").unwrap();
        let line = response.body_mut().read_to_string().unwrap();
        assert_eq!(line, format!("{becomes} /count/0 HTTP/1.1"), "{status}");
    }
    // These would need the body again.
    for status in ["307", "308"] {
        let response = ureq::post(server.url(&format!("/status/{status}"))).send("x");
        assert!(matches!(response, Err(Error::RedirectFailed)), "{response:?}");
        let mut response = ureq::get(server.url(&format!("/status/{status}"))).call().unwrap();
        let line = response.body_mut().read_to_string().unwrap();
        assert_eq!(line, "GET /count/0 HTTP/1.1", "{status}");
    }
}

#[test]
fn the_way_is_remembered_if_wanted() {
    let server = HttpServer::start(serve);
    let agent: Agent = Agent::config_builder().save_redirect_history(true).build().into();
    let response = agent.get(server.url("/count/2")).call().unwrap();
    let way = response.get_redirect_history().unwrap();
    let way: Vec<_> = way.iter().map(|uri| uri.path().to_owned()).collect();
    assert_eq!(way, ["/count/2", "/count/1", "/count/0"]);
}

#[test]
fn credentials_stay_with_their_host() {
    let other = HttpServer::start(|request| {
        answer("200 OK", request.header("authorization").unwrap_or("nothing"))
    });
    let away = format!("Location: http://localhost:{}/\r\n", other.address.port());
    let server = HttpServer::start(move |request| match request.path() {
        "/away" => answer_with("302 Found", &away),
        "/here" => answer_with("302 Found", "Location: /end\r\n"),
        _ => answer("200 OK", request.header("authorization").unwrap_or("nothing")),
    });
    let config = Agent::config_builder().redirect_auth_headers(RedirectAuthHeaders::SameHost);
    let agent: Agent = config.build().into();
    for (path, expected) in [("/here", "secret"), ("/away", "nothing")] {
        let request = agent.get(server.url(path)).header("Authorization", "secret");
        let text = request.call().unwrap().body_mut().read_to_string().unwrap();
        assert_eq!(text, expected, "{path}");
    }
}

#[test]
fn a_redirect_to_nowhere_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = format!("Location: http://{}/\r\n", listener.local_addr().unwrap());
    drop(listener);
    let server = HttpServer::start(move |request| match request.path() {
        "/refused" => answer_with("302 Found", &refused),
        _ => serve(request),
    });
    for path in ["/nowhere", "/elsewhere", "/refused"] {
        assert!(ureq::get(server.url(path)).call().is_err(), "{path}");
    }
}
