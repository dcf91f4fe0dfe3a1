//! The forward proxy: what it passes on, how, and what it refuses.

use std::net::Shutdown;
use std::sync::mpsc::channel;

use evy::patched::ureq::{Agent, Proxy};

use super::*;

fn start() -> (Running, String) {
    let (server, address, _) = listening("web_proxy", &["127.0.0.1:0"]);
    (server, address)
}

/// A connection to the proxy, which has been sent this.
fn connect(address: &str, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(bytes.as_ref()).unwrap();
    client
}

/// The answer to a request without a body, on a connection of its own.
fn get(address: &str, url: &str) -> String {
    ask(address, &format!("GET {url} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"))
}

/// A tunnel to `target`.
fn tunnel(address: &str, target: std::net::SocketAddr) -> TcpStream {
    let client = connect(address, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    let head = read_head(&client).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client
}

#[test]
fn a_page_is_passed_on_and_what_concerns_one_connection_is_not() {
    let (_proxy, address) = start();
    let (news, heard) = channel();
    let target = scripted(move |stream| {
        news.send(read_head(&stream)?).unwrap();
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-Private: yes\r\n\
                    Connection: close, x-private\r\nKeep-Alive: timeout=5\r\nX-Kept: yes\r\n";
        (&stream).write_all(format!("{head}\r\nbody").as_bytes())
    });
    let answer = ask(
        &address,
        &format!(
            "GET http://{target}/path?query HTTP/1.1\r\nHost: elsewhere\r\nX-Kept: yes\r\nX-Private: yes\r\n\
             Proxy-Authorization: Basic eDp4\r\nConnection: close, x-private\r\n\r\n"
        ),
    );
    let request = heard.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /path?query http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {target}\r\n")), "{request}");
    assert!(request.contains("\r\nx-kept: yes\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nvia: 1.1 {address}\r\n")), "{request}");
    for name in ["x-private", "proxy-authorization", "user-agent", "elsewhere", "chunked"] {
        assert!(!request.contains(name), "{name}: {request}");
    }
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
    let answer = answer.to_lowercase();
    assert!(answer.contains("\r\nx-kept: yes\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 4\r\n"), "{answer}");
    assert!(!answer.contains("x-private") && !answer.contains("keep-alive"), "{answer}");
}

#[test]
fn several_requests_of_one_client_go_to_several_hosts() {
    let (_proxy, address) = start();
    let servers = ["one", "two"].map(|text| Upstream::start(move |_| Answer::page(text)));
    let mut client = connect(&address, "");
    for (server, text) in servers.iter().zip(["one", "two"]) {
        let url = server.url("/");
        write!(client, "GET {url} HTTP/1.1\r\nHost: me\r\n\r\n").unwrap();
        assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
        let mut body = [0; 3];
        client.read_exact(&mut body).unwrap();
        assert_eq!(body, text.as_bytes());
    }
}

#[test]
fn redirects_and_cookies_are_the_business_of_the_client() {
    let (_proxy, address) = start();
    let server = Upstream::start(|path| Answer {
        status: if path == "/old" { "302 Found" } else { "200 OK" },
        headers: "Location: /new\r\nSet-Cookie: secret=1\r\n".to_owned(),
        ..Answer::page("")
    });
    let answer = get(&address, &server.url("/old"));
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nset-cookie: secret=1\r\n"), "{answer}");
    assert_eq!(server.requests(), 1);
    // The next client has no cookie of the first.
    let (news, heard) = channel();
    let target = scripted(move |stream| {
        for _ in 0..2 {
            news.send(read_head(&stream)?).unwrap();
            (&stream)
                .write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    get(&address, &format!("http://{target}/"));
    assert!(!heard.recv().unwrap().to_lowercase().contains("\r\ncookie:"));
}

#[test]
fn an_answer_is_passed_on_as_it_comes() {
    let (_proxy, address) = start();
    let (go_on, wait) = channel();
    let target = scripted(move |stream| {
        read_head(&stream)?;
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        wait.recv().unwrap();
        (&stream).write_all(b"6\r\nsecond\r\n0\r\n\r\n")
    });
    let mut client =
        connect(&address, format!("GET http://{target}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
    let head = read_head(&client).unwrap().to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut chunk = [0; 10];
    client.read_exact(&mut chunk).unwrap();
    assert_eq!(&chunk, b"5\r\nfirst\r\n");
    go_on.send(()).unwrap();
    let mut rest = [0; 16];
    client.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"6\r\nsecond\r\n0\r\n\r\n");
}

/// The proxy asks for it plain; the header must not say what is no longer so.
#[test]
fn an_answer_that_comes_packed_all_the_same_is_passed_on_unpacked() {
    let (_proxy, address) = start();
    let target = scripted(|mut stream| {
        assert!(read_head(&stream)?.to_lowercase().contains("\r\naccept-encoding: identity\r\n"));
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 28\r\n\r\n",
        )?;
        stream.write_all(b"\x1f\x8b\x08\0\0\0\0\0\x02\x03+\xcd+HL\xceNM\x01\0\x96b/\xca\x08\0\0\0")
    });
    let answer = get(&address, &format!("http://{target}/"));
    assert!(answer.contains("unpacked"), "{answer}");
    let answer = answer.to_lowercase();
    assert!(!answer.contains("content-encoding") && !answer.contains("content-length"), "{answer}");
}

#[test]
fn a_body_is_passed_on_as_it_is_sent() {
    let (_proxy, address) = start();
    let (news, heard) = channel();
    let target = scripted(move |mut stream| {
        assert!(read_head(&stream)?.to_lowercase().contains("content-length: 11"));
        for length in [5, 6] {
            let mut part = vec![0; length];
            stream.read_exact(&mut part)?;
            news.send(part).unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let head = "Host: me\r\nContent-Length: 11\r\n\r\n";
    let mut client = connect(&address, format!("POST http://{target}/ HTTP/1.1\r\n{head}first"));
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"first");
    client.write_all(b"second").unwrap();
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"second");
    assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_body_in_chunks_arrives_in_chunks() {
    let (_proxy, address) = start();
    let target = scripted(move |mut stream| {
        assert!(read_head(&stream)?.to_lowercase().contains("transfer-encoding: chunked"));
        let mut body = [0; 15];
        stream.read_exact(&mut body)?;
        assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let head = "Host: me\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let answer = ask(&address, &format!("POST http://{target}/ HTTP/1.1\r\n{head}{body}"));
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[test]
fn an_answer_that_breaks_off_breaks_off() {
    let (_proxy, address) = start();
    let (break_off, wait) = channel();
    let target = scripted(move |mut stream| {
        read_head(&stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
        wait.recv().unwrap();
        Ok(())
    });
    let mut client =
        connect(&address, format!("GET http://{target}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
    let head = read_head(&client).unwrap().to_lowercase();
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    let mut body = [0; 5];
    client.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"short");
    break_off.send(()).unwrap();
    // An end or an error, but no more bytes.
    assert!(!client.read(&mut body).is_ok_and(|count| count > 0));
}

#[test]
fn a_tunnel_passes_all_bytes_on_and_each_end_by_itself() {
    let (_proxy, address) = start();
    let target = scripted(|mut stream| {
        // All that comes, and only then the answer.
        let mut count = Vec::new();
        stream.read_to_end(&mut count)?;
        stream.write_all(format!("{} bytes", count.len()).as_bytes())
    });
    let mut client = tunnel(&address, target);
    client.write_all(&vec![b'x'; 3_000_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "3000000 bytes");

    // The other way: the host has ended, and still hears.
    let (news, heard) = channel();
    let target = scripted(move |mut stream| {
        stream.write_all(b"goodbye")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        news.send(said).unwrap();
        Ok(())
    });
    let mut client = tunnel(&address, target);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "goodbye");
    client.write_all(b"wait!").unwrap();
    drop(client);
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), "wait!");
}

#[test]
fn what_is_sent_along_with_the_question_goes_through_the_tunnel() {
    let (_proxy, address) = start();
    let target = scripted(|mut stream| {
        let mut bytes = [0; 10];
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes.to_ascii_uppercase())
    });
    let question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly");
    let mut client = connect(&address, question);
    client.write_all(b"-late").unwrap();
    assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "EARLY-LATE");
}

#[test]
fn a_tunnel_ends_when_one_side_breaks_off() {
    let (_proxy, address) = start();
    let (news, heard) = channel();
    let target = scripted(move |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        news.send(()).unwrap();
        Ok(())
    });
    let client = tunnel(&address, target);
    // A reset, not an end.
    let option = libc::linger { l_onoff: 1, l_linger: 0 };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&client);
    // SAFETY: the descriptor is open, and the option is as large as is said.
    let result = unsafe {
        let (pointer, size) = ((&raw const option).cast(), size_of_val(&option) as u32);
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, pointer, size)
    };
    assert_eq!(result, 0);
    drop(client);
    heard.recv_timeout(Duration::from_secs(20)).expect("the host sees that it is over");
}

#[test]
fn bad_targets_are_refused() {
    let (_proxy, address) = start();
    for url in [
        "/",
        "*",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://me:secret@127.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http:///",
        "127.0.0.1:80",
    ] {
        let answer = get(&address, url);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{url}: {answer}");
    }
    for target in ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "me@127.0.0.1:1", "[::1]", ":80"]
    {
        let question =
            format!("CONNECT {target} HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n");
        let answer = ask(&address, &question);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
}

#[test]
fn hosts_that_do_not_answer_are_a_bad_gateway() {
    let (_proxy, address) = start();
    let refused = refused_port();
    let silent = scripted(|stream| read_head(&stream).map(drop));
    let nonsense = scripted(|mut stream| {
        read_head(&stream)?;
        stream.write_all(b"220 mail.example ESMTP\r\n\r\n")
    });
    let unknown = format!("{}.invalid", "x".repeat(64));
    for host in [format!("127.0.0.1:{refused}"), silent.to_string(), nonsense.to_string(), unknown]
    {
        let answer = get(&address, &format!("http://{host}/"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{host}: {answer}");
    }
    let question = "HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n";
    let answer = ask(&address, &format!("CONNECT 127.0.0.1:{refused} {question}"));
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("refused"), "{answer}");
}

#[test]
fn hosts_that_keep_us_waiting_are_a_gateway_timeout() {
    let mut command = Command::new(example("web_proxy"));
    command.args(["127.0.0.1:0", "--timeout", "0.2"]).stdout(Stdio::piped());
    let mut proxy = Running(command.spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").expect("its address");

    let hold = |mut stream: TcpStream| std::io::copy(&mut stream, &mut std::io::sink()).map(drop);
    let silent = scripted(hold);
    let answer = get(address, &format!("http://{silent}/"));
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    // Once it has begun, there is no other answer: it breaks off.
    let stalls = scripted(move |stream| {
        read_head(&stream)?;
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
        hold(stream)
    });
    let mut client = connect(address, format!("GET http://{stalls}/ HTTP/1.1\r\nHost: me\r\n\r\n"));
    assert!(read_head(&client).unwrap().starts_with("HTTP/1.1 200 "));
    let mut body = Vec::new();
    let _ = client.read_to_end(&mut body);
    assert_eq!(body, b"short");
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let (_proxy, address) = start();
    let answer = get(&address, &format!("http://{address}/"));
    // What it is itself sent is no absolute URL: it refuses that.
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let via = format!("Host: me\r\nVia: 1.1 {address}\r\nConnection: close\r\n\r\n");
    let answer = ask(&address, &format!("GET http://127.0.0.1:1/ HTTP/1.1\r\n{via}"));
    assert!(answer.starts_with("HTTP/1.1 508 "), "{answer}");
}

#[test]
fn the_client_of_evy_goes_through_it() {
    let (_proxy, address) = start();
    let server = Upstream::start(|path| Answer::page(path));
    let proxy = Proxy::new(&format!("http://{address}")).unwrap();
    let agent: Agent = Agent::config_builder().proxy(Some(proxy)).build().into();
    for path in ["/one", "/two"] {
        let mut response = agent.get(server.url(path)).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), path);
    }
}
