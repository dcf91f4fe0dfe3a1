//! Proxies of SOCKS, against one that reads each question byte by byte.

mod util;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use evy_patched::ureq::unversioned::transport::Connector;
use evy_patched::ureq::{Agent, Error, GreenConnector, GreenResolver, Proxy, Timeout};
use util::{HttpServer, answer, next, relay, serve_one, wait_for_end};

/// What a proxy was asked for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    version: u8,
    user: String,
    password: String,
    /// An address, or a name.
    host: String,
    port: u16,
}

fn read<const N: usize>(mut stream: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_text(mut stream: &TcpStream) -> io::Result<String> {
    let mut bytes = vec![0; read::<1>(stream)?[0].into()];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes).expect("the tests send text"))
}

fn read_to_nul(stream: &TcpStream) -> io::Result<String> {
    let mut text = String::new();
    loop {
        match read::<1>(stream)? {
            [0] => return Ok(text),
            [byte] => text.push(byte.into()),
        }
    }
}

/// Version 4, after its first byte.
fn answer_4(mut client: &TcpStream) -> io::Result<Asked> {
    let [1] = read(client)? else { panic!("not a question to connect") };
    let port = u16::from_be_bytes(read(client)?);
    let address: [u8; 4] = read(client)?;
    let user = read_to_nul(client)?;
    let host = match address {
        [0, 0, 0, 1] => read_to_nul(client)?,
        address => IpAddr::from(address).to_string(),
    };
    client.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
    Ok(Asked { version: 4, user, host, port, ..Asked::default() })
}

/// Version 5, after its first byte. `bound` is what the proxy says of its own address.
fn answer_5(mut client: &TcpStream, bound: &[u8]) -> io::Result<Asked> {
    let mut asked = Asked { version: 5, ..Asked::default() };
    let methods = read_text(client)?;
    if methods.contains('\u{2}') {
        client.write_all(&[5, 2])?;
        assert_eq!(read(client)?, [1]);
        asked.user = read_text(client)?;
        asked.password = read_text(client)?;
        client.write_all(&[1, 0])?;
    } else {
        client.write_all(&[5, 0])?;
    }
    let [5, 1, 0, kind] = read(client)? else { panic!("not a question to connect") };
    asked.host = match kind {
        1 => IpAddr::from(read::<4>(client)?).to_string(),
        3 => read_text(client)?,
        4 => IpAddr::from(read::<16>(client)?).to_string(),
        kind => panic!("no address is of kind {kind}"),
    };
    asked.port = u16::from_be_bytes(read(client)?);
    // In two pieces: the answer need not come as one.
    client.write_all(&[5, 0])?;
    client.write_all(&[&[0], bound, &[0, 0]].concat())?;
    Ok(asked)
}

/// A proxy for one connection, which goes to `target` whatever it is asked for.
fn socks_proxy(target: SocketAddr, bound: &'static [u8]) -> (SocketAddr, Receiver<Asked>) {
    let (news, asked) = channel();
    let address = serve_one(move |client| {
        let question = match read(&client)? {
            [4] => answer_4(&client)?,
            [5] => answer_5(&client, bound)?,
            [version] => panic!("there is no version {version}"),
        };
        news.send(question).expect("the test waits");
        relay(&client, &TcpStream::connect(target)?)
    });
    (address, asked)
}

const ITS_IPV4: &[u8] = &[1, 127, 0, 0, 1];
const ITS_IPV6: &[u8] = &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ITS_NAME: &[u8] = &[3, 5, b'p', b'r', b'o', b'x', b'y'];

fn agent_through(proxy: &str) -> Agent {
    Agent::config_builder().proxy(Some(Proxy::new(proxy).unwrap())).build().into()
}

/// Fetches `url` by a proxy with that address before it, and returns what the proxy was asked for.
fn fetch(proxy: &str, url: &str, bound: &'static [u8]) -> Asked {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let (address, asked) = socks_proxy(server.address, bound);
    let agent = agent_through(&format!("{proxy}{address}"));
    // One connection to the proxy serves both.
    for path in ["/one", "/two"] {
        let mut response = agent.get(format!("{url}{path}")).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), path);
    }
    next(asked).0
}

fn asked(version: u8, host: &str, port: u16) -> Asked {
    Asked { version, host: host.to_owned(), port, ..Asked::default() }
}

#[test]
fn version_4_is_given_an_address_that_is_looked_up_here() {
    let question = fetch("socks4://", "http://127.0.0.2:81", ITS_IPV4);
    assert_eq!(question, asked(4, "127.0.0.2", 81));
    // localhost is ::1, too, for which this version has no words.
    let question = fetch("socks4://me@", "http://localhost", ITS_IPV4);
    assert_eq!(question, Asked { user: "me".to_owned(), ..asked(4, "127.0.0.1", 80) });
}

#[test]
fn version_4a_looks_names_up_itself() {
    let question = fetch("socks4a://", "http://no-such-host.invalid:81", ITS_IPV4);
    assert_eq!(question, asked(4, "no-such-host.invalid", 81));
    assert_eq!(fetch("socks4a://", "http://192.0.2.1", ITS_IPV4), asked(4, "192.0.2.1", 80));
}

#[test]
fn version_5_is_given_an_address_or_a_name() {
    for bound in [ITS_IPV4, ITS_IPV6, ITS_NAME] {
        assert_eq!(fetch("socks5://", "http://127.0.0.3", bound), asked(5, "127.0.0.3", 80));
        assert_eq!(
            fetch("socks5h://", "http://[2001:db8::1]:81", bound),
            asked(5, "2001:db8::1", 81)
        );
        let question = fetch("socks5h://", "http://no-such-host.invalid", bound);
        assert_eq!(question, asked(5, "no-such-host.invalid", 80));
    }
}

#[test]
fn version_5_is_told_who_asks() {
    let question = fetch("socks5://me:my%20secret@", "http://127.0.0.1", ITS_IPV4);
    let (user, password) = ("me".to_owned(), "my secret".to_owned());
    assert_eq!(question, Asked { user, password, ..asked(5, "127.0.0.1", 80) });
}

/// What comes of a proxy that says `text`, whatever it hears.
fn error_from(scheme: &str, text: &'static [u8]) -> io::Error {
    let address = serve_one(move |mut client| {
        client.write_all(text)?;
        client.shutdown(std::net::Shutdown::Write)?;
        wait_for_end(&client);
        Ok(())
    });
    let agent = agent_through(&format!("{scheme}{address}"));
    match agent.get("http://127.0.0.1:1/").call() {
        Err(Error::Io(error)) => error,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn a_proxy_that_refuses_says_why() {
    use io::ErrorKind::*;

    let cases: [(&str, &[u8], io::ErrorKind, &str); 9] = [
        ("socks4://", &[0, 91, 0, 0, 0, 0, 0, 0], ConnectionRefused, "refused or failed"),
        ("socks4://", &[0, 93, 0, 0, 0, 0, 0, 0], PermissionDenied, "the user"),
        ("socks5://", &[5, 0xff], PermissionDenied, "who one is"),
        ("socks5://a:b@", &[5, 2, 1, 1], PermissionDenied, "wrong user name or password"),
        ("socks5://", &[5, 0, 5, 1, 0, 1], Other, "failed"),
        ("socks5://", &[5, 0, 5, 2, 0, 1], PermissionDenied, "rules"),
        ("socks5://", &[5, 0, 5, 4, 0, 1], HostUnreachable, "host unreachable"),
        ("socks5://", &[5, 0, 5, 5, 0, 1], ConnectionRefused, "connection refused"),
        ("socks5://", &[5, 0, 5, 99], Other, "does not say why"),
    ];
    for (scheme, text, kind, words) in cases {
        let error = error_from(scheme, text);
        assert_eq!(error.kind(), kind, "{text:?}: {error}");
        assert!(error.to_string().contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_proxy_that_breaks_the_protocol_is_an_error() {
    let nonsense: [(&str, &[u8]); 6] = [
        ("socks4://", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("socks5://", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        // It chooses what it was not offered.
        ("socks5://", &[5, 2]),
        ("socks5://a:b@", &[5, 2, 9, 0]),
        ("socks5://", &[5, 0, 4, 0, 0, 1]),
        ("socks5://", &[5, 0, 5, 0, 0, 7]),
    ];
    for (scheme, text) in nonsense {
        let kind = error_from(scheme, text).kind();
        assert!(
            matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied),
            "{text:?}: {kind}"
        );
    }
    let short: [(&str, &[u8]); 5] = [
        ("socks4://", &[0, 90]),
        ("socks5://", &[5]),
        ("socks5://", &[5, 0, 5, 0]),
        ("socks5://", &[5, 0, 5, 0, 0, 1, 127]),
        ("socks5://", &[5, 0, 5, 0, 0, 3, 200, b'x']),
    ];
    for (scheme, text) in short {
        assert_eq!(error_from(scheme, text).kind(), io::ErrorKind::UnexpectedEof, "{text:?}");
    }
}

#[test]
fn what_the_protocol_has_no_words_for_is_not_sent() {
    let long = "x".repeat(256);
    let refused = format!("socks5://{long}:password@");
    for (proxy, url) in [
        ("socks4://", "http://[::1]:1/".to_owned()),
        ("socks4a://", "http://[::1]:1/".to_owned()),
        ("socks4a://a%00b@", "http://127.0.0.1:1/".to_owned()),
        ("socks5h://", format!("http://{long}/")),
    ] {
        let (address, _) = socks_proxy(SocketAddr::from(([127, 0, 0, 1], 1)), ITS_IPV4);
        let error = agent_through(&format!("{proxy}{address}")).get(url).call().unwrap_err();
        let Error::Io(error) = error else { panic!("{proxy}: {error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{proxy}: {error}");
    }
    // The proxy asks for a name that is too long for it.
    let address = serve_one(|mut client| {
        client.write_all(&[5, 2])?;
        wait_for_end(&client);
        Ok(())
    });
    let error = agent_through(&format!("{refused}{address}"))
        .get("http://127.0.0.1:1/")
        .call()
        .unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
}

#[test]
fn a_proxy_that_does_not_answer_is_a_connect_timeout() {
    // One is silent from the start, one after the first answer.
    let silences: [&[u8]; 2] = [&[], &[5, 0]];
    for text in silences {
        let (news, gone) = channel();
        let address = serve_one(move |mut client| {
            client.write_all(text)?;
            wait_for_end(&client);
            news.send(()).expect("the test waits");
            Ok(())
        });
        let proxy = Proxy::new(&format!("socks5://{address}")).unwrap();
        let limit = Some(Duration::from_millis(50));
        let agent: Agent =
            Agent::config_builder().proxy(Some(proxy)).timeout_connect(limit).build().into();
        let error = agent.get("http://127.0.0.1:1/").call().unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::Connect)), "{error:?}");
        next(gone);
    }
}

#[test]
fn a_chain_without_socks_does_not_go_around_the_proxy() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let proxy = Proxy::new("socks5://127.0.0.1:1").unwrap();
    let config = Agent::config_builder().proxy(Some(proxy)).build();
    let agent = Agent::with_parts(config, ().chain(GreenConnector), GreenResolver);
    let error = agent.get(server.url("/")).call().unwrap_err();
    let Error::Io(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(server.connections(), 0);
}
