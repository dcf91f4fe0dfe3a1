//! Coming in: servers that refuse, are full, stall at each step, or speak something else.

#[path = "util/scripted_postgres.rs"]
mod scripted_postgres;

use std::error::Error as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use evy_patched::postgres::config::{LoadBalanceHosts, SslMode, TargetSessionAttrs};
use evy_patched::postgres::error::SqlState;
use evy_patched::postgres::tls::TlsConnector;
use evy_patched::postgres::{Client, Config, Error, NoTls};
use evy_runtime::{spawn, timeout};
use scripted_postgres::{Session, start};

/// For what is to take too long.
const LIMIT: Duration = Duration::from_millis(50);

/// For what is not to.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(address: SocketAddr) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(address.port()).user("me").connect_timeout(PATIENCE);
    config
}

fn kind(error: &Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}

fn connector() -> TlsConnector {
    TlsConnector::builder().webpki_roots().build().unwrap()
}

/// Reads until the client leaves.
fn stall(mut session: Session) -> io::Result<()> {
    io::copy(&mut session.0, &mut io::sink()).map(drop)
}

#[test]
fn a_client_comes_in_and_asks() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.serve()
    });
    let mut client = config(address).connect(NoTls).unwrap();
    let messages = client.simple_query("hello").unwrap();
    assert!(format!("{messages:?}").contains("hello"));
    client.close().unwrap();
}

#[test]
fn a_refusal_says_where_it_came_from() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = config(address).connect(NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::ConnectionRefused));
    assert!(error.source().unwrap().to_string().contains(&address.to_string()));
    let error = Client::connect("host=/no/such/folder user=me", NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::NotFound));
}

#[test]
fn a_configuration_that_cannot_be_is_invalid_input() {
    for text in ["user=me", "host=a,b port=1,2,3 user=me", "host=a,b hostaddr=127.0.0.1 user=me"] {
        let error = Client::connect(text, NoTls).unwrap_err();
        assert_eq!(kind(&error), Some(io::ErrorKind::InvalidInput), "{text}");
    }
    assert!("host=localhost nonsense=1".parse::<Config>().is_err());
}

#[test]
fn a_name_that_is_none_is_said_to_be_it() {
    let name = format!("{}.invalid", "x".repeat(64));
    let error = Client::connect(&format!("host={name} user=me"), NoTls).unwrap_err();
    assert!(error.source().unwrap().to_string().contains(&name), "{error:?}");
}

#[test]
fn a_server_that_is_full_says_so() {
    let address = start(|mut session, _| {
        session.read_first()?;
        session.fail("FATAL", "53300", "sorry, too many clients already")
    });
    let error = config(address).connect(NoTls).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
}

#[test]
fn a_server_that_speaks_something_else_is_an_error_at_once() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH\r\n", b"R\0\0\0\x03", b""]
    {
        let address = start(move |mut session, _| {
            session.read_first()?;
            session.0.write_all(answer)
        });
        assert!(config(address).connect(NoTls).is_err(), "{answer:?}");
    }
    // An authentication that nobody knows.
    let address = start(|mut session, _| {
        session.read_first()?;
        session.say(b'R', &[0, 0, 0, 99])?;
        stall(session)
    });
    assert!(config(address).connect(NoTls).is_err());
}

#[test]
fn a_server_that_stalls_is_given_up_in_time_wherever_it_stalls() {
    type Step = fn(&mut Session) -> io::Result<()>;
    let steps: [(&str, Step); 5] = [
        ("the socket", |_| Ok(())),
        ("the question for TLS", |session| session.read_first().map(drop)),
        ("the handshake", |session| {
            session.read_first()?;
            session.0.write_all(b"S")
        }),
        ("the authentication", |session| {
            session.read_first()?;
            session.0.write_all(b"N")?;
            session.read_first().map(drop)
        }),
        ("the begin of the session", |session| {
            session.read_first()?;
            session.0.write_all(b"N")?;
            session.read_first()?;
            session.say(b'R', &[0, 0, 0, 0])
        }),
    ];
    for (name, step) in steps {
        let (left, has_left) = channel();
        let address = start(move |mut session, _| {
            step(&mut session)?;
            stall(session)?;
            left.send(()).map_err(io::Error::other)
        });
        let mut config = config(address);
        let start = Instant::now();
        let error = config.connect_timeout(LIMIT).connect(connector()).unwrap_err();
        assert_eq!(kind(&error), Some(io::ErrorKind::TimedOut), "{name}: {error:?}");
        assert!(start.elapsed() < PATIENCE / 2, "{name}: {:?}", start.elapsed());
        has_left.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: the socket stays open"));

        // The same by a timeout around it.
        config.connect_timeout(PATIENCE);
        assert!(timeout(LIMIT, || config.connect(connector())).is_err(), "{name}");
        has_left.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: the socket stays open"));
    }
}

#[test]
fn of_several_hosts_the_first_that_will_do_is_taken() {
    let stalling = start(|session, _| stall(session));
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let read_only = start(|mut session, _| {
        session.let_in()?;
        session.read()?;
        session.row("on")?;
        session.serve()
    });
    let good = start(|mut session, _| {
        session.let_in()?;
        assert_eq!(session.read()?.sql(), "SHOW transaction_read_only");
        session.row("off")?;
        session.serve()
    });
    let mut config = Config::new();
    config
        .user("me")
        .connect_timeout(LIMIT * 4)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    for address in [stalling, refusing, read_only, good] {
        config.host("127.0.0.1").port(address.port());
    }
    let mut client = config.connect(NoTls).unwrap();
    client.batch_execute("SELECT 1").unwrap();
    config.load_balance_hosts(LoadBalanceHosts::Random);
    config.connect(NoTls).unwrap();

    let mut config = self::config(read_only);
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::PermissionDenied));
}

#[test]
fn a_host_that_has_its_address_with_it_is_not_looked_up() {
    let address = start(|mut session, _| session.let_in());
    let text = format!(
        "host=nowhere.invalid hostaddr=127.0.0.1 port={} user=me sslmode=disable",
        address.port()
    );
    Client::connect(&text, NoTls).unwrap();
}

#[test]
fn a_server_without_tls_is_taken_only_if_the_mode_allows_it() {
    let without = |mut session: Session, _| {
        session.read_first()?;
        session.0.write_all(b"N")?;
        session.let_in()?;
        session.serve()
    };
    let address = start(without);
    let mut config = config(address);
    config.connect(connector()).unwrap();
    let error = config.ssl_mode(SslMode::Require).connect(connector()).unwrap_err();
    assert_eq!(error.to_string(), "error performing TLS handshake");
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(error.to_string(), "error performing TLS handshake");

    // Nobody is asked for TLS who would not get it.
    let bare = start(|mut session, _| {
        session.let_in()?;
        session.serve()
    });
    self::config(bare).connect(NoTls).unwrap();
    self::config(bare).ssl_mode(SslMode::Disable).connect(connector()).unwrap();
}

#[test]
fn a_certificate_needs_a_host_that_it_is_for() {
    let address = start(|mut session, _| {
        session.read_first()?;
        session.0.write_all(b"S")?;
        stall(session)
    });
    let text = format!("hostaddr=127.0.0.1 port={} user=me connect_timeout=20", address.port());
    let error = Client::connect(&text, connector()).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::InvalidInput), "{error:?}");
}

#[test]
fn a_killed_connect_closes_its_socket() {
    let (came, has_come) = channel();
    let (left, has_left) = channel();
    let address = start(move |mut session, _| {
        session.read_first()?;
        came.send(()).map_err(io::Error::other)?;
        assert_eq!(session.0.read(&mut [0; 16])?, 0);
        left.send(()).map_err(io::Error::other)
    });
    let connecting = spawn(move || config(address).connect(NoTls).map(drop));
    evy_runtime::unblock(move || has_come.recv_timeout(PATIENCE).unwrap());
    connecting.kill();
    has_left.recv_timeout(PATIENCE).unwrap();
}
