//! Proxies of HTTP: a connection through one is as good as one without, and what is wrong with a proxy is
//! the error of its request alone.

mod util;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use evy_patched::ureq::{Agent, Error, Proxy, ProxyProtocol, Timeout};
use util::{HttpServer, Request, answer, next, read_request, relay, serve_one, wait_for_end};

fn agent_through(proxy: Proxy) -> Agent {
    Agent::config_builder().proxy(Some(proxy)).build().into()
}

fn http_proxy(address: SocketAddr) -> Proxy {
    Proxy::new(&format!("http://{address}")).unwrap()
}

/// A proxy for one connection, and what it was asked for.
fn connect_proxy(target: SocketAddr) -> (SocketAddr, Receiver<Request>) {
    let (news, asked) = channel();
    let address = serve_one(move |mut client| {
        let request = read_request(&mut BufReader::new(&client))?.expect("a request");
        news.send(request).expect("the test waits");
        let upstream = TcpStream::connect(target)?;
        client.write_all(b"HTTP/1.1 200 Connection Established\r\nVia: me\r\n\r\n")?;
        relay(&client, &upstream)
    });
    (address, asked)
}

/// A proxy that says one thing, and then nothing more.
fn proxy_that_says(text: &'static str) -> SocketAddr {
    serve_one(move |mut client| {
        read_request(&mut BufReader::new(&client))?;
        client.write_all(text.as_bytes())?;
        Ok(())
    })
}

#[test]
fn requests_go_through_a_proxy_on_one_connection() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let (proxy, asked) = connect_proxy(server.address);
    let agent = agent_through(http_proxy(proxy));
    for path in ["/one", "/two"] {
        let mut response = agent.get(server.url(path)).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), path);
    }
    assert_eq!(server.connections(), 1);
    let (request, _) = next(asked);
    assert_eq!(request.line, format!("CONNECT {} HTTP/1.1", server.address));
    assert_eq!(request.header("proxy-authorization"), None);
}

#[test]
fn the_proxy_looks_the_name_up_and_is_told_who_asks() {
    let server = HttpServer::start(|request| answer("200 OK", request.header("host").unwrap()));
    let (proxy, asked) = connect_proxy(server.address);
    let agent = agent_through(Proxy::new(&format!("http://me:secret@{proxy}")).unwrap());
    let mut response = agent.get("http://no-such-host.invalid:81/").call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "no-such-host.invalid:81");
    let (request, _) = next(asked);
    assert_eq!(request.line, "CONNECT no-such-host.invalid:81 HTTP/1.1");
    assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn hosts_that_need_no_proxy_are_reached_without() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks5] {
        let proxy = Proxy::builder(protocol).host("127.0.0.1").port(1).no_proxy("127.0.0.1");
        let agent = agent_through(proxy.build().unwrap());
        let mut response = agent.get(server.url("/direct")).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), "/direct");
    }
}

#[test]
fn a_proxy_that_refuses_is_an_error_with_its_status() {
    for status in ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let proxy = proxy_that_says(text.leak());
        let error = agent_through(http_proxy(proxy)).get("http://127.0.0.1:1/").call().unwrap_err();
        let Error::ConnectProxyFailed(text) = &error else { panic!("{error}") };
        assert!(text.contains(&status[..3]), "{text}");
    }
}

#[test]
fn a_proxy_that_says_nothing_or_nonsense_is_an_error() {
    for text in ["", "HTTP/1.1 20", "220 mail.example ESMTP\r\n\r\n"] {
        let error = agent_through(http_proxy(proxy_that_says(text)))
            .get("http://127.0.0.1:1/")
            .call()
            .unwrap_err();
        assert!(
            matches!(error, Error::ConnectProxyFailed(_) | Error::Protocol(_) | Error::Io(_)),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_a_connect_timeout() {
    let (news, gone) = channel();
    let proxy = serve_one(move |client| {
        wait_for_end(&client);
        news.send(()).expect("the test waits");
        Ok(())
    });
    let config = Agent::config_builder()
        .proxy(Some(http_proxy(proxy)))
        .timeout_connect(Some(Duration::from_millis(50)));
    let agent: Agent = config.build().into();
    let error = agent.get("http://127.0.0.1:1/").call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Connect)), "{error:?}");
    // The connection to the proxy is not left behind.
    next(gone);
}

#[test]
fn a_proxy_of_https_that_speaks_no_tls_is_an_error() {
    let proxy = serve_one(|mut client| client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let proxy = Proxy::new(&format!("https://{proxy}")).unwrap();
    assert!(agent_through(proxy).get("http://127.0.0.1:1/").call().is_err());
}
