//! A forward proxy of HTTP: clients ask it for pages of any host, or for a connection to one.
//!
//! ```text
//! cargo run --release --example web_proxy --features http,patched -- 127.0.0.1:3128
//! curl --proxy http://127.0.0.1:3128 http://example.com/ https://example.com/
//! ```
//!
//! Bodies are passed on as they come, in both directions, and none is held as a whole. A tunnel, which is
//! what `CONNECT` asks for, lives until both sides have ended, or one has broken off.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use clap::Parser;
use evy::http::http::uri::Authority;
use evy::http::{
    Body, HeaderMap, HeaderValue, IntoResponse, Method, Request, RequestBody, Response, StatusCode,
    Stream, Upgraded, Version, header, http, tunnel,
};
use evy::net::TcpStream;
use evy::patched::ureq::config::{AutoHeaderValue, Config};
use evy::patched::ureq::unversioned::transport::Connector;
use evy::patched::ureq::{self, Agent, GreenConnector, GreenResolver, SendBody};

/// Passes requests on to any host, and connects to hosts.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:3128")]
    address: String,

    /// Give a host up that keeps us waiting for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// What concerns one connection only (RFC 9110, 7.6.1), beside what `Connection` names.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

fn main() -> io::Result<()> {
    let Arguments { address, timeout } = Arguments::parse();
    let listener = evy::listen(address)?;
    let address = listener.local_addr()?;
    println!("listening on {address}");
    let proxy = Proxy::new(address, timeout);
    evy::http::serve(listener, move |request| proxy.answer(request))
}

struct Proxy {
    /// What it calls itself to those behind it.
    via: HeaderValue,
    config: Config,
    timeout: Duration,
}

/// Why there is no answer of a host.
type Refusal = (StatusCode, String);

impl Proxy {
    fn new(address: SocketAddr, timeout: Duration) -> Self {
        let limit = Some(timeout);
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .user_agent(AutoHeaderValue::None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .timeout_resolve(limit)
            .timeout_connect(limit)
            .timeout_recv_response(limit)
            .timeout_per_read(limit)
            .timeout_per_write(limit)
            .build();
        let via = HeaderValue::from_str(&format!("1.1 {address}")).expect("an address is visible");
        Self { via, config, timeout }
    }

    fn answer(&self, request: Request) -> Response {
        let result = match *request.method() {
            Method::CONNECT => connect(&request, self.timeout),
            _ => self.forward(request),
        };
        result.unwrap_or_else(|(status, text)| (status, text + "\n").into_response())
    }

    /// Passes a request on to the host that it is for, and the answer back.
    fn forward(&self, request: Request) -> Result<Response, Refusal> {
        let request = self.onward(request)?;
        // One agent for each request: cookies and connections of one client are not for another.
        let (config, sockets) = (self.config.clone(), ().chain(GreenConnector));
        let agent = Agent::with_parts(config, sockets, GreenResolver);
        let (mut head, body) = agent.run(request).map_err(unreachable_host)?.into_parts();

        remove_hop_by_hop(&mut head.headers);
        head.headers.append(header::VIA, self.via.clone());
        Ok(Response::from_parts(head, Body::reader(body.into_reader())))
    }

    /// The request as the host gets it.
    fn onward(&self, request: Request) -> Result<http::Request<SendBody<'static>>, Refusal> {
        let (mut head, body) = request.into_parts();
        let is_http = head.uri.scheme_str() == Some("http");
        let authority = head.uri.authority().filter(|it| is_http && is_target(it, Some(80)));
        if authority.is_none() {
            return Err(bad_target("ask for http://HOST/PATH, or CONNECT to HOST:PORT"));
        }
        if head.headers.get_all(header::VIA).iter().any(|via| via == self.via) {
            return Err((StatusCode::LOOP_DETECTED, "this request was here before".to_owned()));
        }
        remove_hop_by_hop(&mut head.headers);
        // That of the target is what counts, and ureq adds it.
        head.headers.remove(header::HOST);
        // A packed answer would be unpacked here.
        head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        head.headers.append(header::VIA, self.via.clone());
        head.version = Version::HTTP_11;
        Ok(http::Request::from_parts(head, passed_on(body)))
    }
}

fn passed_on(body: RequestBody) -> SendBody<'static> {
    match body.remaining() {
        Some(0) => SendBody::none(),
        _ => SendBody::from_owned_reader(body),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(',').map(|name| name.trim().to_owned()))
        .collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether it is a host, and has a port that can be connected to; nobody says who they are in it.
fn is_target(authority: &Authority, port: Option<u16>) -> bool {
    let has_user = authority.as_str().contains('@');
    let has_port = match authority.as_str().rsplit_once(':') {
        // What is no number is no port, though it looks like one.
        Some((_, text)) if !text.ends_with(']') => authority.port_u16() > Some(0),
        _ => port.is_some(),
    };
    !has_user && has_port && !authority.host().is_empty()
}

/// Connects to the host that a client asks for, and lets the two talk.
fn connect(request: &Request, timeout: Duration) -> Result<Response, Refusal> {
    let target = request.uri().authority().filter(|authority| is_target(authority, None));
    let target = target.ok_or_else(|| bad_target("ask for CONNECT HOST:PORT"))?;
    let server = evy::connect_timeout(target.as_str(), timeout)
        .map_err(|error| unreachable_host(error.into()))?;
    Ok(tunnel(move |client| {
        // Whoever is left sees that the other has broken off.
        let _ = talk(client, &server);
    }))
}

fn talk(client: Upgraded, mut server: &TcpStream) -> io::Result<()> {
    let (client, ahead) = client.into_parts();
    let Stream::Tcp(client) = client else { return Err(io::ErrorKind::Unsupported.into()) };
    server.write_all(&ahead)?;
    evy::scope(|scope| {
        scope.spawn(|| pass_on(&client, server));
        pass_on(server, &client);
    });
    Ok(())
}

/// Passes on what `from` says, and that it has ended.
fn pass_on(from: &TcpStream, to: &TcpStream) {
    let result = evy::io::copy(from, to).and_then(|_| to.shutdown(Shutdown::Write));
    if result.is_err() {
        // One that has broken off neither reads nor writes any more, and the other way is over, too.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn bad_target(text: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, text.to_owned())
}

/// What a client is told of a host that gave no answer.
fn unreachable_host(error: ureq::Error) -> Refusal {
    let is_late = match &error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        _ => false,
    };
    let status = if is_late { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    (status, error.to_string())
}
