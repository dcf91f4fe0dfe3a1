//! Requests over plain connections: they overlap, and fail one by one, as ureq says.

mod util;

use std::io::{self, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use evy_patched::ureq::{self, Agent, Error, ResponseExt, SendBody, Timeout};
use evy_runtime::{join_all, spawn, timeout, unblock, yield_now};
use util::{HttpServer, answer, next, pause, read_request, silent_server};

const DELAY: Duration = Duration::from_millis(200);

fn agent_with_timeout(global: Duration) -> Agent {
    Agent::config_builder().timeout_global(Some(global)).build().into()
}

#[test]
fn ten_requests_to_a_slow_server_take_about_one_delay() {
    let server = HttpServer::start(|request| {
        pause(DELAY);
        answer("200 OK", request.path())
    });
    let start = Instant::now();
    let fetches = (0..10).map(|number| {
        let url = server.url(&format!("/{number}"));
        spawn(move || ureq::get(url).call()?.body_mut().read_to_string())
    });
    let bodies: Vec<_> = join_all(fetches).into_iter().map(|body| body.unwrap().unwrap()).collect();
    let elapsed = start.elapsed();

    assert_eq!(bodies, ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]);
    assert!(elapsed >= DELAY, "{elapsed:?}");
    // One after the other they would take 10 delays.
    assert!(elapsed < 4 * DELAY, "{elapsed:?}");
}

#[test]
fn a_post_carries_its_body() {
    let server = HttpServer::start(|request| {
        answer("200 OK", &format!("{} said {}", request.line, request.body))
    });
    let mut response = ureq::post(server.url("/echo")).send("something").unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    assert_eq!(text, "POST /echo HTTP/1.1 said something");
}

#[test]
fn a_large_chunked_body_arrives_whole() {
    let chunk = "x".repeat(1000);
    let server = HttpServer::start(move |_| {
        let mut text = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        text.extend((0..2000).map(|_| format!("3e8\r\n{chunk}\r\n")));
        text + "0\r\n\r\n"
    });
    let response = ureq::get(server.url("/")).call().unwrap();
    let copied = io::copy(&mut response.into_body().into_reader(), &mut io::sink()).unwrap();
    assert_eq!(copied, 2_000_000);
}

#[test]
fn redirects_are_followed() {
    let server = HttpServer::start(|request| match request.path() {
        "/old" => "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_owned(),
        path => answer("200 OK", path),
    });
    let mut response = ureq::get(server.url("/old")).call().unwrap();
    assert_eq!(response.get_uri().path(), "/new");
    assert_eq!(response.body_mut().read_to_string().unwrap(), "/new");
}

#[test]
fn a_404_is_an_error_unless_configured_otherwise() {
    let server = HttpServer::start(|_| answer("404 Not Found", "nothing here"));
    let error = ureq::get(server.url("/")).call().unwrap_err();
    assert!(matches!(error, Error::StatusCode(404)), "{error}");

    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.get(server.url("/")).call().unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.body_mut().read_to_string().unwrap(), "nothing here");
}

#[test]
fn a_refused_connection_and_an_unknown_host_are_errors_of_their_own() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = ureq::get(format!("http://127.0.0.1:{port}/")).call().unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused),
        "{error}"
    );
    let error = ureq::get("http://no-such-host.invalid/").call().unwrap_err();
    assert!(matches!(error, Error::Io(_) | Error::HostNotFound), "{error}");
    let error = ureq::get("gopher://127.0.0.1/").call().unwrap_err();
    assert!(matches!(error, Error::BadUri(_)), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    let (url, _news) = silent_server();
    let start = Instant::now();
    let error = agent_with_timeout(Duration::from_millis(50)).get(url).call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Global)), "{error}");
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(50), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

#[test]
fn each_timeout_keeps_its_name() {
    let limit = Some(Duration::from_millis(50));

    let (url, _news) = silent_server();
    let agent: Agent = Agent::config_builder().timeout_recv_response(limit).build().into();
    let error = agent.get(url).call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::RecvResponse)), "{error}");

    let (url, _news) = silent_server();
    let agent: Agent = Agent::config_builder().timeout_per_read(limit).build().into();
    let error = agent.get(url).call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::PerRead)), "{error}");

    // The head comes, of the body one byte.
    let server = HttpServer::start(|_| "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n!".to_owned());
    let agent: Agent = Agent::config_builder().timeout_recv_body(limit).build().into();
    let mut response = agent.get(server.url("/")).call().unwrap();
    let error = response.body_mut().read_to_string().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::RecvBody)), "{error}");
}

#[test]
fn a_server_that_does_not_read_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let limit = Some(Duration::from_millis(100));
    let agent: Agent = Agent::config_builder().timeout_send_body(limit).build().into();
    let endless = &mut io::repeat(b'x');
    let error = agent.post(url).send(SendBody::from_reader(endless)).unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::SendBody)), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_does_not_accept_is_a_connect_timeout() {
    use socket2::{Domain, SockAddr, Socket, Type};

    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&SockAddr::from(any)).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Linux drops further SYNs once the queue of accepted connections is full.
    let fillers: Vec<_> = (0..4)
        .map(|_| {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&SockAddr::from(address));
            filler
        })
        .collect();

    let limit = Some(Duration::from_millis(50));
    let agent: Agent = Agent::config_builder().timeout_connect(limit).build().into();
    let error = agent.get(format!("http://{address}/")).call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Connect)), "{error}");
    drop(fillers);
}

#[test]
fn a_name_that_is_not_looked_up_in_time_is_a_resolve_timeout() {
    // Whatever their number, the OS threads that look names up are all busy.
    let (release, busy) = channel::<()>();
    let busy = std::sync::Arc::new(std::sync::Mutex::new(busy));
    let jobs: Vec<_> = (0..200)
        .map(|_| {
            let busy = std::sync::Arc::clone(&busy);
            spawn(move || {
                unblock(move || drop(busy.lock().map(|receiver| receiver.recv())));
            })
        })
        .collect();
    yield_now();

    let limit = Some(Duration::from_millis(50));
    let agent: Agent = Agent::config_builder().timeout_resolve(limit).build().into();
    let error = agent.get("http://no-such-host.invalid:1/").call().unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Resolve)), "{error}");
    drop(release);
    join_all(jobs);
}

#[test]
fn an_agent_reuses_its_connection_once_the_body_is_read() {
    let server = HttpServer::start(|request| answer("200 OK", request.path()));
    let agent = ureq::agent();
    for path in ["/1", "/2", "/3"] {
        let mut response = agent.get(server.url(path)).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), path);
    }
    assert_eq!(server.connections(), 1);

    let unread = agent.get(server.url("/4")).call().unwrap();
    let mut response = agent.get(server.url("/5")).call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "/5");
    assert_eq!(server.connections(), 2);
    drop(unread);
}

#[test]
fn a_connection_that_the_server_closed_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (closed, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut BufReader::new(&stream)).unwrap();
            stream.write_all(answer("200 OK", "once").as_bytes()).unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let agent = ureq::agent();
    let mut receiver = receiver;
    for _ in 0..2 {
        let mut response = agent.get(&url).call().unwrap();
        assert_eq!(response.body_mut().read_to_string().unwrap(), "once");
        receiver = next(receiver).1;
    }
}

#[test]
fn a_killed_fetch_closes_its_connection() {
    let (url, news) = silent_server();
    let agent = ureq::agent();
    let fetch = spawn({
        let agent = agent.clone();
        move || agent.get(url).call().map(drop)
    });
    let (sent, news) = next(news);
    assert_eq!(sent, "request");
    fetch.kill();
    assert_eq!(next(news).0, "gone");

    // The agent is as good as before.
    let server = HttpServer::start(|_| answer("200 OK", "fine"));
    let mut response = agent.get(server.url("/")).call().unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "fine");
}

#[test]
fn a_fetch_that_a_timeout_ends_closes_its_connection() {
    let (url, news) = silent_server();
    let result = timeout(Duration::from_millis(50), || ureq::get(url).call().map(drop));
    assert!(result.is_err(), "{result:?}");
    let (sent, news) = next(news);
    assert_eq!(sent, "request");
    assert_eq!(next(news).0, "gone");
}

#[test]
fn a_shutdown_from_another_os_thread_ends_the_request() {
    let (url, news) = silent_server();
    let agent = ureq::agent();
    let stopper = agent.clone();
    let other = thread::spawn(move || {
        news.recv().unwrap();
        stopper.shutdown();
    });
    let error = agent.get(url).call().unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
    other.join().unwrap();
}

#[test]
fn a_connection_made_on_one_hub_serves_another() {
    let server = HttpServer::start(|request| {
        pause(Duration::from_millis(10));
        answer("200 OK", request.path())
    });
    let agent = ureq::agent();
    let fetch = |agent: &Agent, path: &str| {
        agent.get(server.url(path)).call().unwrap().body_mut().read_to_string().unwrap()
    };
    assert_eq!(fetch(&agent, "/here"), "/here");
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(fetch(&agent, "/there"), "/there"));
    });
    assert_eq!(fetch(&agent, "/back"), "/back");
    assert_eq!(server.connections(), 1);
}
