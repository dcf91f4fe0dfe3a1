//! Cookies: an agent keeps them, and gives them back where they came from.

mod util;

use evy_patched::ureq::http::Uri;
use evy_patched::ureq::{self, Agent, Cookie};
use util::{HttpServer, Request, answer, answer_with};

/// Sets cookies at `/set`, and answers else with those that came.
fn serve(request: &Request) -> String {
    match request.path() {
        "/set" => answer_with(
            "200 OK",
            "Set-Cookie: plain=1\r\nSet-Cookie: deep=2; Path=/deep\r\n\
             Set-Cookie: old=3; Max-Age=0\r\n\
             Set-Cookie: strange=4; Domain=example.com\r\n",
        ),
        "/login" => answer_with("303 See Other", "Set-Cookie: user=me\r\nLocation: /home\r\n"),
        "/logout" => answer_with("200 OK", "Set-Cookie: plain=; Max-Age=0\r\n"),
        _ => answer("200 OK", request.header("cookie").unwrap_or_default()),
    }
}

fn get(agent: &Agent, url: String) -> String {
    agent.get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

#[test]
fn cookies_go_back_to_where_they_came_from() {
    let (server, other) = (HttpServer::start(serve), HttpServer::start(serve));
    let agent = ureq::agent();
    assert_eq!(get(&agent, server.url("/")), "");
    get(&agent, server.url("/set"));
    assert_eq!(get(&agent, server.url("/")), "plain=1");
    assert_eq!(get(&agent, server.url("/deep/er")).split("; ").count(), 2);
    // Ports are no part of where a cookie belongs (RFC 6265), hosts are.
    let port = other.address.port();
    assert_eq!(get(&agent, format!("http://127.0.0.1:{port}/")), "plain=1");
    assert_eq!(get(&agent, format!("http://localhost:{port}/")), "");
    // Another agent has none, a clone has the same.
    assert_eq!(get(&ureq::agent(), server.url("/")), "");
    assert_eq!(get(&agent.clone(), server.url("/")), "plain=1");
    get(&agent, server.url("/logout"));
    assert_eq!(get(&agent, server.url("/")), "");
}

#[test]
fn a_cookie_that_comes_with_a_redirect_goes_along() {
    let server = HttpServer::start(serve);
    assert_eq!(get(&ureq::agent(), server.url("/login")), "user=me");
}

#[test]
fn the_jar_is_filled_and_saved_by_hand() {
    let server = HttpServer::start(serve);
    let agent = ureq::agent();
    let uri: Uri = server.url("/").parse().unwrap();
    let cookie = Cookie::parse("mine=yes; Max-Age=3600", &uri).unwrap();
    agent.cookie_jar_lock().insert(cookie, &uri).unwrap();
    assert_eq!(get(&agent, server.url("/")), "mine=yes");

    let mut saved = Vec::new();
    agent.cookie_jar_lock().save_json(&mut saved).unwrap();
    let other = ureq::agent();
    other.cookie_jar_lock().load_json(&saved[..]).unwrap();
    assert_eq!(get(&other, server.url("/")), "mine=yes");
    other.cookie_jar_lock().clear();
    assert_eq!(get(&other, server.url("/")), "");
}
