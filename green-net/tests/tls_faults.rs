//! What goes wrong under TLS: FAULTS row 42, and rows 2, 3, 11, 13 and 16 again. Each time the right error,
//! at both ends, and nobody else is disturbed.

mod tls_util;
mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::tls::rustls::{self, AlertDescription, CertificateError};
use evy_green_net::tls::{TlsAcceptor, TlsConnector, TlsStream};
use evy_green_net::{TcpStream, listen};
use evy_runtime::{GreenThread, sleep, spawn, spawn_n};
use rcgen::date_time_ymd;
use tls_util::{Authority, Identity, VERSIONS, Versions, configurations, tls_pair, tls_pair_of};
use util::{green_pair, let_all_park, pair, soon};

/// What rustls has to say in an error.
#[track_caller]
fn reason(error: &io::Error) -> rustls::Error {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.expect("it comes from rustls").clone()
}

/// A stream between two others of this OS thread, which has to go on whatever happens.
struct Bystander(TlsStream<TcpStream>);

impl Bystander {
    fn new() -> Self {
        let (server, client) = tls_pair();
        spawn_n(move || io::copy(&mut &server, &mut &server));
        Self(client)
    }

    fn is_undisturbed(&mut self) {
        let mut buffer = [0; 5];
        soon(|| {
            self.0.write_all(b"hello").unwrap();
            self.0.read_exact(&mut buffer).unwrap();
        });
        assert_eq!(&buffer, b"hello");
    }
}

/// A handshake between the two; returns what the server and the client say, who also reads once, for
/// with TLS 1.3 that is when it learns that it is turned away.
fn shake(acceptor: &TlsAcceptor, connector: &TlsConnector, name: &str) -> [io::Result<()>; 2] {
    let (server, client) = green_pair();
    let acceptor = acceptor.clone();
    let server = spawn(move || acceptor.accept(server)?.write_all(b"x"));
    let client = soon(|| connector.connect(name, client)?.read_exact(&mut [0]));
    [soon(|| server.wait()).unwrap(), client]
}

#[test]
fn fault_42_a_bad_certificate_is_named_for_what_it_is() {
    type Change = fn(&mut rcgen::CertificateParams);
    let past: Change = |params| params.not_after = date_time_ymd(2020, 1, 1);
    let future: Change = |params| params.not_before = date_time_ymd(2100, 1, 1);
    let mut bystander = Bystander::new();
    for versions in VERSIONS {
        let authority = Authority::new();
        let check = |identity: Identity, name: &str, expected: AlertDescription| {
            let server = TlsAcceptor::builder().identity_pem(identity.chain, identity.key);
            let client = TlsConnector::builder().roots_pem(authority.pem()).versions(versions);
            let [server, client] = shake(&server.build().unwrap(), &client.build().unwrap(), name);
            // With TLS 1.3 the server has written before it hears of it.
            if let Err(error) = server {
                assert_eq!(reason(&error), rustls::Error::AlertReceived(expected));
            }
            match reason(&client.unwrap_err()) {
                rustls::Error::InvalidCertificate(error) => error,
                other => panic!("{other}"),
            }
        };
        let expired = authority.identity_with("localhost", past);
        let error = check(expired, "localhost", AlertDescription::CertificateExpired);
        assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error}");
        let early = authority.identity_with("localhost", future);
        let error = check(early, "localhost", AlertDescription::CertificateExpired);
        assert!(matches!(error, CertificateError::NotValidYetContext { .. }), "{error}");
        let good = authority.identity("localhost");
        for name in ["another.example", "127.0.0.1"] {
            let error = check(good.clone(), name, AlertDescription::BadCertificate);
            assert!(matches!(error, CertificateError::NotValidForNameContext { .. }), "{error}");
        }
        let strange = Authority::new().identity("localhost");
        let error = check(strange, "localhost", AlertDescription::UnknownCA);
        assert!(matches!(error, CertificateError::UnknownIssuer), "{error}");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let own = Identity { chain: made.cert.pem(), key: made.signing_key.serialize_pem() };
        let error = check(own, "localhost", AlertDescription::UnknownCA);
        assert!(matches!(error, CertificateError::UnknownIssuer), "{error}");
        bystander.is_undisturbed();
    }
}

fn who_wants_certificates(authority: &Authority, versions: Versions) -> TlsAcceptor {
    let Identity { chain, key } = authority.identity("localhost");
    let builder = TlsAcceptor::builder().identity_pem(chain, key).versions(versions);
    builder.client_roots_pem(authority.pem()).build().unwrap()
}

#[test]
fn fault_42_a_client_without_the_certificate_that_is_wanted_is_turned_away() {
    let mut bystander = Bystander::new();
    for versions in VERSIONS {
        let authority = Authority::new();
        let acceptor = who_wants_certificates(&authority, versions);
        let [server, client] = shake(&acceptor, &authority.connector(), "localhost");
        assert_eq!(reason(&server.unwrap_err()), rustls::Error::NoCertificatesPresented);
        let alert = reason(&client.unwrap_err());
        assert!(matches!(alert, rustls::Error::AlertReceived(_)), "{alert}");

        let Identity { chain, key } = Authority::new().identity("a stranger");
        let builder = TlsConnector::builder().roots_pem(authority.pem()).identity_pem(chain, key);
        let [server, client] = shake(&acceptor, &builder.build().unwrap(), "localhost");
        let error = reason(&server.unwrap_err());
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(error, unknown);
        assert_eq!(
            reason(&client.unwrap_err()),
            rustls::Error::AlertReceived(AlertDescription::UnknownCA)
        );
        bystander.is_undisturbed();
    }
}

#[test]
fn fault_42_a_connection_that_is_cut_off_is_an_error_and_not_the_end() {
    let mut bystander = Bystander::new();
    for versions in VERSIONS {
        let (acceptor, connector) = tls_util::configurations_of(versions);
        let (mut server, mut client) = tls_pair_of(&acceptor, &connector);
        server.write_all(b"half a sent").unwrap();
        server.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        let error = soon(|| client.read_to_end(&mut text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(text, b"half a sent", "what came before counts");
        for _ in 0..3 {
            let error = soon(|| client.read(&mut [0; 8])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        bystander.is_undisturbed();
    }
}

#[test]
fn fault_42_a_record_that_is_cut_off_is_an_error_at_each_of_its_bytes() {
    let mut record = Vec::new();
    for length in 0.. {
        // One end is ours, the other plays a proxy that stops.
        let (acceptor, connector) = configurations();
        let (server, from_server) = pair();
        let (to_client, client) = green_pair();
        let relay = spawn(move || relay(from_server, to_client, length));
        let server = spawn(move || {
            let mut server = acceptor.accept(server).unwrap();
            server.write_all(b"one record").unwrap();
            server
        });
        let mut client = soon(|| connector.connect("localhost", client)).unwrap();
        let result = soon(|| client.read_exact(&mut [0; 10]));
        let server = soon(|| server.wait()).unwrap();
        let passed = soon(|| relay.wait()).unwrap();
        drop(server);
        match result {
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "at byte {length}"),
            Ok(()) => break,
        }
        record = passed;
        assert!(length < 100, "it never gets through");
    }
    assert!(record.len() > 10, "it was tried at every byte");
}

/// Passes the handshake on, both ways, and then so many bytes of what the server sends; returns those.
/// The server's first record of data is the only one that is not sent in answer to the client.
fn relay(server: std::net::TcpStream, client: TcpStream, length: usize) -> Vec<u8> {
    let server = TcpStream::from_std(server).unwrap();
    let (server, client) = (Rc::new(server), Rc::new(client));
    let up = spawn({
        let (server, client) = (Rc::clone(&server), Rc::clone(&client));
        move || evy_green_net::copy(&*client, &*server)
    });
    // Whole records, one at a time, so that it is known which one carries the data.
    let mut passed = Vec::new();
    while let Some((header, body)) = record(&server) {
        // What the server sends of its own accord: data, of 10 bytes, a type and a tag.
        if header[0] == 23 && body.len() == 27 {
            passed = [&header[..], &body].concat();
            passed.truncate(length);
            (&*client).write_all(&passed).unwrap();
            break;
        }
        (&*client).write_all(&[&header[..], &body].concat()).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    up.kill();
    passed
}

fn record(mut from: &TcpStream) -> Option<([u8; 5], Vec<u8>)> {
    let mut header = [0; 5];
    from.read_exact(&mut header).ok()?;
    let mut body = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
    from.read_exact(&mut body).ok()?;
    Some((header, body))
}

/// What a client says first.
fn hello() -> Vec<u8> {
    let (_, connector) = configurations();
    let (ours, theirs) = green_pair();
    let client = spawn(move || connector.connect("localhost", theirs).map(drop));
    let (header, body) = soon(|| record(&ours)).unwrap();
    client.kill();
    [&header[..], &body].concat()
}

#[test]
fn fault_42_a_hello_that_is_cut_off_is_an_error_at_each_of_its_bytes() {
    let (acceptor, _) = configurations();
    let hello = hello();
    let mut bystander = Bystander::new();
    for length in 0..=hello.len() {
        let (server, mut client) = pair();
        client.write_all(&hello[..length]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let error = soon(|| acceptor.accept(server)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "after {length} bytes: {error}");
    }
    bystander.is_undisturbed();
}

#[test]
fn fault_42_garbage_instead_of_a_hello_is_an_error_that_the_peer_hears_of() {
    let (acceptor, connector) = configurations();
    let mut bystander = Bystander::new();
    let noise = tls_util::noise(4096, 42);
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 64], &[0xff; 64], &noise]
    {
        let (server, mut client) = pair();
        client.write_all(garbage).unwrap();
        let error = soon(|| acceptor.accept(server)).unwrap_err();
        reason(&error);
        // An alert, or, where the server closed with data unread, a reset.
        let mut answer = [0; 7];
        if client.read_exact(&mut answer).is_ok() {
            assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert");
        }
        // The same from a server.
        let (mut server, client) = pair_reversed();
        server.write_all(garbage).unwrap();
        reason(&soon(|| connector.connect("localhost", client)).unwrap_err());
        bystander.is_undisturbed();
    }
}

/// The peer's end first.
fn pair_reversed() -> (std::net::TcpStream, TcpStream) {
    let (ours, theirs) = pair();
    (theirs, ours)
}

#[test]
fn fault_42_an_error_is_the_same_again_and_again() {
    let (acceptor, _) = configurations();
    let (server, mut client) = pair();
    client.write_all(b"this is no TLS at all").unwrap();
    let mut server = acceptor.wrap(server).unwrap();
    let errors = [
        soon(|| server.handshake()).unwrap_err(),
        soon(|| server.read(&mut [0; 8])).unwrap_err(),
        soon(|| server.write(b"x")).unwrap_err(),
    ];
    let reasons = errors.each_ref().map(reason);
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
}

#[test]
fn fault_42_a_changed_byte_is_found_and_the_other_end_hears_of_it() {
    let mut bystander = Bystander::new();
    for versions in VERSIONS {
        let (acceptor, connector) = tls_util::configurations_of(versions);
        let (mut server, mut client) = tls_pair_of(&acceptor, &connector);
        // Below TLS: a record of data that nobody has encrypted.
        let forged = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
        { server.get_ref() }.write_all(&forged).unwrap();
        assert_eq!(
            reason(&soon(|| client.read(&mut [0; 8])).unwrap_err()),
            rustls::Error::DecryptError
        );
        let alert = reason(&soon(|| server.read(&mut [0; 8])).unwrap_err());
        assert_eq!(alert, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
        bystander.is_undisturbed();
    }
}

/// Copies one byte at a time.
fn drip(from: &TcpStream, to: &TcpStream) {
    let mut byte = [0];
    while { from }.read(&mut byte).is_ok_and(|count| count == 1) {
        if { to }.write_all(&byte).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn fault_42_a_stream_that_comes_byte_by_byte_is_whole() {
    for versions in VERSIONS {
        let (acceptor, connector) = tls_util::configurations_of(versions);
        let [(server, near_server), (near_client, client)] = [green_pair(), green_pair()];
        let ends = [Rc::new(near_server), Rc::new(near_client)];
        let [one, other] = &ends;
        for (from, to) in [(one, other), (other, one)] {
            let (from, to) = (Rc::clone(from), Rc::clone(to));
            spawn_n(move || drip(&from, &to));
        }
        let server = spawn(move || {
            let mut server = acceptor.accept(server).unwrap();
            io::copy(&mut &server, &mut &server).unwrap();
            server.flush().unwrap();
        });
        let mut client = soon(|| connector.connect("localhost", client)).unwrap();
        let (text, mut echoed) = (tls_util::noise(20_000, 17), vec![0; 20_000]);
        soon(|| {
            client.write_all(&text).unwrap();
            client.read_exact(&mut echoed).unwrap();
        });
        assert!(echoed == text);
        client.shutdown().unwrap();
        assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0);
        soon(|| server.wait()).unwrap();
    }
}

/// The deadline is for the handshake as a whole: bytes that keep coming do not put it off.
#[test]
fn fault_42_a_client_that_drips_for_ever_meets_the_deadline_of_the_handshake() {
    let (acceptor, _) = configurations();
    let hello = hello();
    let (server, client) = green_pair();
    let dripping = spawn(move || {
        // The hello's last byte never comes.
        for byte in &hello[..hello.len() - 1] {
            if (&client).write_all(&[*byte]).is_err() {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        sleep(Duration::MAX);
    });
    let server = acceptor.wrap(server).unwrap();
    let limit = Duration::from_millis(50);
    server.set_handshake_timeout(Some(limit));
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let start = Instant::now();
    let error = soon(|| server.handshake()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("50ms"), "{error}");
    assert!(start.elapsed() >= limit);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((&server).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut, "for good");
    dripping.kill();
}

#[test]
fn fault_42_half_a_handshake_and_then_silence_meets_its_deadline() {
    let (acceptor, connector) = configurations();
    let hello = hello();
    let mut bystander = Bystander::new();
    let limit = Some(Duration::from_millis(20));
    for said in [&[][..], &hello[..10], &hello] {
        let (server, mut client) = pair();
        client.write_all(said).unwrap();
        let server = acceptor.wrap(server).unwrap();
        server.set_handshake_timeout(limit);
        let error = soon(|| (&server).read(&mut [0; 8])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        bystander.is_undisturbed();
    }
    // A server that accepts and says nothing.
    let (_server, client) = pair_reversed();
    let client = connector.wrap("localhost", client).unwrap();
    client.set_handshake_timeout(limit);
    let error = soon(|| (&client).write(b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    bystander.is_undisturbed();
}

#[test]
fn fault_42_nothing_in_common_is_said_to_both() {
    let authority = Authority::new();
    let Identity { chain, key } = authority.identity("localhost");
    let server = TlsAcceptor::builder().identity_pem(chain, key).versions(VERSIONS[0]);
    let client = TlsConnector::builder().roots_pem(authority.pem()).versions(VERSIONS[1]);
    let [server, client] = shake(&server.build().unwrap(), &client.build().unwrap(), "localhost");
    assert!(matches!(reason(&server.unwrap_err()), rustls::Error::PeerIncompatible(_)));
    let alert = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(reason(&client.unwrap_err()), alert);
}

fn spawn_on<T: 'static>(
    stream: &Rc<TlsStream<TcpStream>>,
    call: impl FnOnce(&TlsStream<TcpStream>) -> io::Result<T> + 'static,
) -> GreenThread<io::Result<T>> {
    let stream = Rc::clone(stream);
    spawn(move || call(&stream))
}

#[track_caller]
fn kind<T>(thread: GreenThread<io::Result<T>>) -> Option<ErrorKind> {
    soon(|| thread.wait()).unwrap().err().map(|error| error.kind())
}

#[test]
fn fault_02_a_close_wakes_the_reader_and_the_writer() {
    let (server, mut client) = tls_pair();
    let server = Rc::new(server);
    let reader = spawn_on(&server, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    server.close();
    assert_eq!(kind(reader), Some(ErrorKind::NotConnected));
    assert_eq!((&*server).read(&mut [0]).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!((&*server).write(&[0]).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(soon(|| client.read(&mut [0; 8])).unwrap(), 0, "the peer was told");

    let (server, _client) = tls_pair();
    let server = Rc::new(server);
    let reader = spawn_on(&server, |mut stream| stream.read(&mut [0; 8]));
    let writer = spawn_on(&server, |mut stream| stream.write_all(&vec![0; 64 << 20]));
    let_all_park();
    server.close();
    server.close();
    assert_eq!(kind(reader), Some(ErrorKind::NotConnected));
    assert_eq!(kind(writer), Some(ErrorKind::NotConnected));
}

#[test]
fn fault_02_a_close_in_the_middle_of_the_handshake_ends_it_for_all() {
    let (acceptor, _) = configurations();
    let (server, _client) = pair();
    let server = Rc::new(acceptor.wrap(server).unwrap());
    let waiting = [(); 3].map(|()| spawn_on(&server, TlsStream::handshake));
    let_all_park();
    server.close();
    for thread in waiting {
        assert_eq!(kind(thread), Some(ErrorKind::NotConnected));
    }
}

#[test]
fn fault_02_a_close_wins_over_data_of_the_same_turn() {
    for _ in 0..50 {
        let (server, mut client) = tls_pair();
        let server = Rc::new(server);
        let reader = spawn_on(&server, |mut stream| stream.read(&mut [0; 8]));
        let writer = spawn_on(&server, |mut stream| stream.write_all(&vec![0; 8 << 20]));
        let_all_park();
        client.write_all(b"data").unwrap();
        server.close();
        assert_eq!(kind(reader), Some(ErrorKind::NotConnected));
        assert_eq!(kind(writer), Some(ErrorKind::NotConnected));
    }
}

/// Ends the connection with a RST, without a word of TLS before it.
fn reset(stream: TlsStream<TcpStream>) {
    socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    let number = stream.get_ref().as_raw_fd();
    std::mem::forget(stream);
    // SAFETY: the stream that owned it is forgotten.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

#[test]
fn fault_11_a_reset_is_an_error_and_never_the_end() {
    let mut bystander = Bystander::new();
    let (server, client) = tls_pair();
    let server = Rc::new(server);
    let reader = spawn_on(&server, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    reset(client);
    assert_eq!(kind(reader), Some(ErrorKind::ConnectionReset));
    for _ in 0..3 {
        let error = soon(|| (&*server).read(&mut [0; 8])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "the reset was said once");
    }
    bystander.is_undisturbed();
}

#[test]
fn fault_11_a_reset_in_the_middle_of_the_handshake_is_one_too() {
    let (acceptor, _) = configurations();
    let (server, mut client) = pair();
    client.write_all(&hello()[..20]).unwrap();
    let server = spawn(move || acceptor.accept(server));
    let_all_park();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(kind(server), Some(ErrorKind::ConnectionReset));
}

#[test]
fn fault_11_a_reset_in_the_middle_of_a_write_ends_it() {
    for drained in [0, 100_000] {
        let (server, client) = tls_pair();
        let server = Rc::new(server);
        let writer = spawn_on(&server, |mut stream| stream.write_all(&vec![0; 64 << 20]));
        let_all_park();
        soon(|| (&client).read_exact(&mut vec![0; drained])).unwrap();
        let socket = socket2::SockRef::from(client.get_ref());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        // Data is unread, so that this is a reset in any case.
        drop(client);
        let kind = kind(writer).unwrap();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
    }
}

/// FAULTS row 12: neither a write nor the farewell of a drop.
#[test]
fn fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills() {
    util::alone("fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills", || {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (mut server, client) = tls_pair();
        reset(client);
        let error = soon(|| (0..).find_map(|_: u64| server.write_all(b"hello?").err())).unwrap();
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert_eq!(server.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(server.shutdown().unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(server);
    });
}

#[test]
fn fault_13_the_peer_ends_its_side_and_still_reads() {
    let (mut server, mut client) = tls_pair();
    client.write_all(b"question").unwrap();
    client.shutdown().unwrap();
    client.get_ref().shutdown(Shutdown::Write).unwrap();
    let mut text = Vec::new();
    soon(|| server.read_to_end(&mut text)).unwrap();
    assert_eq!(text, b"question");
    server.write_all(b"answer").unwrap();
    server.shutdown().unwrap();
    text.clear();
    soon(|| client.read_to_end(&mut text)).unwrap();
    assert_eq!(text, b"answer");
}

#[test]
fn fault_16_a_peer_that_stops_reading_parks_the_writer_and_nobody_else() {
    let mut bystander = Bystander::new();
    let (server, client) = tls_pair();
    let server = Rc::new(server);
    let written = Rc::new(std::cell::Cell::new(0));
    let writer = spawn_on(&server, {
        let written = Rc::clone(&written);
        move |mut stream| loop {
            let count = stream.write(&[0; 100_000])?;
            written.set(written.get() + count);
            if written.get() > 64 << 20 {
                return Ok(());
            }
        }
    });
    let_all_park();
    let before = written.get();
    assert!(before < 32 << 20, "{before} bytes are kept for it");
    bystander.is_undisturbed();
    assert_eq!(written.get(), before, "no more is taken");
    // The other direction goes on.
    (&client).write_all(b"still here").unwrap();
    soon(|| (&*server).read_exact(&mut [0; 10])).unwrap();
    assert!(!writer.is_finished());
    server.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
    writer.kill();
    assert_eq!((&*server).write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
    bystander.is_undisturbed();
}

/// FAULTS row 42, at a server: each of the bad clients, and good ones between them.
#[test]
fn fault_42_a_server_goes_on_through_all_of_it() {
    let (acceptor, connector) = configurations();
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        loop {
            let (stream, _) = listener.accept().unwrap();
            let stream = acceptor.wrap(stream).unwrap();
            stream.set_handshake_timeout(Some(Duration::from_millis(100)));
            spawn_n(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let hello = hello();
    let mut kept = Vec::new();
    for bad in [&[][..], &hello[..20], &hello, b"GET / HTTP/1.0\r\n\r\n", &[0xff; 100]] {
        for leaves in [true, false] {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(bad).unwrap();
            if !leaves {
                kept.push(client);
            }
        }
        let mut client = tls_util::client(&connector, address);
        soon(|| {
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut [0; 5]).unwrap();
        });
    }
    assert!(!server.is_finished());
    server.kill();
}

/// Code of the user's that rustls calls.
#[derive(Debug)]
struct Panics;

impl rustls::server::ResolvesServerCert for Panics {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        panic!("who chooses the certificate panics")
    }
}

impl rustls::KeyLog for Panics {
    fn log(&self, _: &str, _: &[u8], _: &[u8]) {
        panic!("the key log panics")
    }
}

/// It is told to the green thread in which it happens; the others of this stream get an error, now and
/// later, and nobody waits for a lock that is never given back.
#[test]
fn fault_42_a_panic_of_code_that_the_configuration_brings_ends_the_session_for_all() {
    let mut bystander = Bystander::new();
    let builder = || std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(builder())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(std::sync::Arc::new(Panics));
    let mut client = rustls::ClientConfig::builder_with_provider(builder())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    client.key_log = std::sync::Arc::new(Panics);
    let (acceptor, connector) = (TlsAcceptor::from_config(server.into()), configurations().1);
    let panicking_client = TlsConnector::from_config(client.into());

    let check = |panics: TlsStream<TcpStream>, other: TlsStream<TcpStream>| {
        let panics = Rc::new(panics);
        let users: Vec<_> = (0..4)
            .map(|n| {
                spawn_on(&panics, move |mut stream| match n {
                    0 | 1 => stream.handshake(),
                    2 => stream.read(&mut [0]).map(drop),
                    _ => stream.write(b"x").map(drop),
                })
            })
            .collect();
        let_all_park();
        let other = spawn(move || other.handshake());
        let ends: Vec<_> = users.into_iter().map(|user| soon(|| user.wait())).collect();
        let (panicked, told): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_err);
        assert!(matches!(panicked[..], [Err(evy_runtime::Died::Panicked(_))]), "{panicked:?}");
        for error in told.into_iter().map(|end| end.unwrap().unwrap_err()) {
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
            assert!(error.to_string().contains("has panicked"), "{error}");
        }
        let calls: [&dyn Fn() -> io::Result<()>; 3] =
            [&|| panics.handshake(), &|| (&*panics).read(&mut [0]).map(drop), &|| {
                (&*panics).write(b"x").map(drop)
            }];
        for error in calls.map(|call| soon(call).unwrap_err()) {
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
        }
        panics.close();
        drop(panics);
        assert!(soon(|| other.wait()).unwrap().is_err());
    };
    let (ours, theirs) = green_pair();
    check(acceptor.wrap(ours).unwrap(), connector.wrap("localhost", theirs).unwrap());
    let (ours, theirs) = green_pair();
    let acceptor = configurations().0;
    check(panicking_client.wrap("localhost", ours).unwrap(), acceptor.wrap(theirs).unwrap());
    bystander.is_undisturbed();
}

util::and_all_of_them_again!();
