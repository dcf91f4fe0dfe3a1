//! The echo servers: over TCP, TLS and Unix sockets.

use super::*;

#[test]
fn echo_server_echoes_to_several_clients_at_once() {
    // Its port is fixed, so that the program stays as short as it is: one such test at a time.
    let lock = File::create(std::env::temp_dir().join("evy-port-6000.lock")).unwrap();
    lock.lock().unwrap();
    if let Err(error) = TcpListener::bind("127.0.0.1:6000") {
        panic!("the example listens on port 6000, which somebody else has: {error}");
    }
    let mut server = Running(Command::new(example("echo_server")).spawn().unwrap());

    let start = Instant::now();
    let mut first = loop {
        match TcpStream::connect("127.0.0.1:6000") {
            Ok(client) => break client,
            Err(_) if start.elapsed() < Duration::from_secs(10) => {
                evy::sleep(Duration::from_millis(5))
            }
            Err(error) => panic!("{error}; the server: {:?}", server.0.try_wait()),
        }
    };
    let mut second = TcpStream::connect("127.0.0.1:6000").unwrap();
    let mut echoed = [0; 5];
    for text in [b"hello", b"again"] {
        for client in [&mut second, &mut first] {
            client.write_all(text).unwrap();
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, text);
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_echo_echoes_to_who_trusts_its_certificate_and_waits_for_nobody() {
    use evy::tls::TlsConnector;

    let mut server = Running(
        Command::new(example("tls_echo"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let (mut certificate, mut line) = (String::new(), String::new());
    let address = loop {
        line.clear();
        output.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("listening on ") {
            Some(address) => break address.to_owned(),
            None => certificate.push_str(&line),
        }
    };
    let _silent = TcpStream::connect(&address).unwrap();
    let connector = TlsConnector::builder().roots_pem(certificate).build().unwrap();
    let connect = || {
        let socket = evy::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connector.connect("localhost", socket).unwrap()
    };
    let mut clients = [connect(), connect()];
    let mut echoed = [0; 5];
    for text in [b"hello", b"again"] {
        for client in &mut clients {
            client.write_all(text).unwrap();
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(&echoed, text);
        }
    }
    // The end is answered by the end.
    clients[0].shutdown().unwrap();
    assert_eq!(clients[0].read(&mut echoed).unwrap(), 0);
    // Who speaks no TLS is reported.
    TcpStream::connect(&address).unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut report = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut report).unwrap();
    assert!(report.starts_with("127.0.0.1:") && report.contains("corrupt message"), "{report}");
    clients[1].write_all(b"still").unwrap();
    clients[1].read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"still");
}

#[cfg(feature = "tls")]
#[test]
fn tls_echo_takes_its_certificate_from_files_and_says_what_is_wrong_with_them() {
    let output = run("tls_echo", &["127.0.0.1:0", "/no/such/file", "/no/such/key"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/no/such/file"), "{message}");
}

#[test]
fn unix_echo_echoes_to_several_clients_at_once_and_starts_again_after_a_kill() {
    let path = std::env::temp_dir().join(format!("evy-example-{}.sock", std::process::id()));
    let path = path.to_str().unwrap();
    for _ in 0..2 {
        // The first time nothing is there, the second time what the first has left behind.
        let (_server, address, _) = listening("unix_echo", &[path]);
        assert_eq!(address, path);
        let mut clients = [UnixStream::connect(path).unwrap(), UnixStream::connect(path).unwrap()];
        let mut echoed = [0; 5];
        for text in [b"hello", b"again"] {
            for client in &mut clients {
                client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                client.write_all(text).unwrap();
                client.read_exact(&mut echoed).unwrap();
                assert_eq!(&echoed, text);
            }
        }
        // One that is there and answers is not pushed aside.
        let output = run("unix_echo", &[path]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("AddrInUse"), "{output:?}");
    }
    std::fs::remove_file(path).unwrap();
}
