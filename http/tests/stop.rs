//! How a server stops: what has been asked is answered, what waits is closed, what hangs is killed.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::iter;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::TcpStream;
use evy_http::{Body, Handler, Request, Response, RunningServer};
use evy_runtime::{join_all, sleep, spawn, spawn_eager};
use util::{connect, drain, eventually, get, read_all, read_answer, start};

/// A grace that no test waits for.
const GRACE: Duration = Duration::from_secs(60);

/// A handler that takes a while, and says when it has begun.
struct Slow {
    time: Duration,
    begun: Rc<Cell<usize>>,
    ended: Rc<Cell<usize>>,
}

impl Slow {
    fn new(time: Duration) -> Self {
        Self { time, begun: Rc::default(), ended: Rc::default() }
    }

    fn counters(&self) -> (Rc<Cell<usize>>, Rc<Cell<usize>>) {
        (Rc::clone(&self.begun), Rc::clone(&self.ended))
    }
}

struct Count(Rc<Cell<usize>>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Handler for Slow {
    fn handle(&self, _request: Request) -> Response {
        self.begun.set(self.begun.get() + 1);
        let _ended = Count(Rc::clone(&self.ended));
        sleep(self.time);
        Response::new("done".into())
    }
}

/// A client whose connection was used, and is kept.
fn idle_client(server: &RunningServer) -> TcpStream {
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client).0, 200);
    client
}

/// The one that has sent no request yet has a second for it: it is the last.
#[test]
fn fault_46_idle_connections_close_at_once() {
    let server = start(|_: Request| "hello");
    let ended = Rc::new(RefCell::new(Vec::new()));
    // Whoever closed all at once would close it first.
    let silent = connect(server.local_addr());
    eventually("it is there", || server.counters().clients() == 1);
    let clients = iter::once(silent).chain((0..50).map(|_| idle_client(&server)));
    let reading: Vec<_> = clients
        .enumerate()
        .map(|(n, mut client)| {
            let ended = Rc::clone(&ended);
            spawn(move || {
                assert_eq!(read_all(&mut client), "");
                ended.borrow_mut().push(n);
            })
        })
        .collect();
    let stopped = server.stop(GRACE);
    assert_eq!((stopped.finished, stopped.killed), (51, 0));
    join_all(reading).into_iter().for_each(|reading| reading.unwrap());
    assert_eq!(ended.borrow().last(), Some(&0), "{ended:?}");
}

#[test]
fn fault_46_a_busy_connection_gets_its_answer_and_is_told_that_it_is_the_last() {
    let slow = Slow::new(Duration::from_millis(100));
    let (begun, _) = slow.counters();
    let server = start(slow);
    let mut client = connect(server.local_addr());
    // The second is not answered any more: the client may ask for it again, elsewhere.
    client.write_all(get("/").repeat(2).as_bytes()).unwrap();
    eventually("it has begun", || begun.get() == 1);
    let stopped = server.stop(GRACE);
    assert_eq!((stopped.finished, stopped.killed), (1, 0));
    let answer = read_all(&mut client);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ndone"),
        "{answer}"
    );
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1);
}

#[test]
fn fault_46_none_of_many_requests_under_way_is_lost() {
    let slow = Slow::new(Duration::from_millis(100));
    let (begun, _) = slow.counters();
    let server = start(slow);
    let addr = server.local_addr();
    let clients: Vec<_> = (0..500)
        .map(|_| {
            spawn(move || {
                let mut client = connect(addr);
                client.write_all(get("/").as_bytes()).unwrap();
                read_answer(&mut client)
            })
        })
        .collect();
    // In the middle of it: some have come to a handler, others have not been accepted.
    eventually("some have begun", || begun.get() >= 100);
    let stopped = server.stop(GRACE);
    assert_eq!(stopped.killed, 0);
    for answer in join_all(clients) {
        assert_eq!(answer.unwrap(), (200, "done".to_owned()));
    }
}

#[test]
fn fault_46_a_connection_that_was_accepted_just_before_gets_its_answer() {
    for head_start in [0, 1, 5] {
        let server = start(|_: Request| "hello");
        let mut client = connect(server.local_addr());
        let mut late = connect(server.local_addr());
        client.write_all(get("/").as_bytes()).unwrap();
        sleep(Duration::from_millis(head_start));
        let asking = spawn(move || {
            sleep(Duration::from_millis(20));
            late.write_all(get("/").as_bytes()).unwrap();
            read_all(&mut late)
        });
        let stopped = server.stop(GRACE);
        assert_eq!(stopped.killed, 0);
        for answer in [read_all(&mut client), asking.wait().unwrap()] {
            assert!(answer.ends_with("\r\n\r\nhello"), "{answer:?}");
        }
    }
}

#[test]
fn fault_46_who_says_nothing_or_half_of_it_is_not_waited_for_to_the_end_of_the_grace() {
    let server = start(|_: Request| "hello");
    let mut silent = connect(server.local_addr());
    let mut half = connect(server.local_addr());
    half.write_all(b"GET / HTTP/1.1\r\nHost: te").unwrap();
    let mut second = idle_client(&server);
    second.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    eventually("they are there", || server.counters().clients() == 3);
    let begun = Instant::now();
    let reading =
        spawn(move || [read_all(&mut silent), read_all(&mut half), read_all(&mut second)]);
    let stopped = server.stop(GRACE);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(stopped.killed, 0);
    let [silent, half, second] = reading.wait().unwrap();
    assert_eq!(silent, "");
    for answer in [half, second] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
}

#[test]
fn fault_46_the_rest_of_a_request_that_has_begun_is_waited_for() {
    let begun = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&begun);
    let server = start(move |mut request: Request| {
        theirs.set(true);
        request.body_mut().text(100)
    });
    let mut client = connect(server.local_addr());
    client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    eventually("it has begun", || begun.get());
    // It has begun to stop, and waits.
    let stopping = spawn_eager(move || server.stop(GRACE));
    assert!(!stopping.is_finished());
    client.write_all(b"world").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.ends_with("\r\n\r\nhelloworld"), "{answer:?}");
    assert_eq!(stopping.wait().unwrap().killed, 0);
}

#[test]
fn fault_46_an_answer_that_is_being_written_is_written_to_its_end() {
    let server = start(|_: Request| {
        Response::new(Body::writer(|client| {
            for n in 0..10 {
                writeln!(client, "line {n}")?;
                client.flush()?;
                sleep(Duration::from_millis(10));
            }
            Ok(())
        }))
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    let stopped = server.stop(GRACE);
    assert_eq!((stopped.finished, stopped.killed), (1, 0));
    let answer = read_all(&mut client);
    assert!(answer.ends_with("line 9\n\r\n0\r\n\r\n"), "{answer:?}");
}

#[test]
fn fault_46_a_long_answer_that_is_being_taken_is_sent_to_its_end() {
    const LENGTH: usize = 20 << 20;
    let server = start(|_: Request| Response::new(Body::from(vec![b'x'; LENGTH])));
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    let mut first = [0; 1000];
    client.read_exact(&mut first).unwrap();
    let reading = spawn(move || first.len() + drain(&mut client));
    assert_eq!(server.stop(GRACE).killed, 0);
    assert!(reading.wait().unwrap() > LENGTH);
}

#[test]
fn fault_46_what_hangs_is_killed_when_the_grace_is_over_and_counted_once() {
    let slow = Slow::new(Duration::MAX);
    let (begun, ended) = slow.counters();
    let server = start(slow);
    let mut clients: Vec<_> = (0..3).map(|_| connect(server.local_addr())).collect();
    for client in &mut clients {
        client.write_all(get("/").as_bytes()).unwrap();
    }
    let _idle = connect(server.local_addr());
    eventually("they have begun", || begun.get() == 3);
    let grace = Duration::from_millis(100);
    let start = Instant::now();
    let stopped = server.stop(grace);
    assert!(start.elapsed() >= grace && start.elapsed() < Duration::from_secs(5));
    assert_eq!((stopped.finished, stopped.killed), (1, 3));
    assert_eq!(ended.get(), 3, "their destructors have run");
    for client in &mut clients {
        assert_eq!(read_all(client), "");
    }
}

#[test]
fn fault_46_a_body_that_nobody_takes_is_cut_when_the_grace_is_over() {
    let server = start(|_: Request| {
        Response::new(Body::writer(|client| {
            loop {
                client.write_all(&[0; 1000])?;
            }
        }))
    });
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    let stopped = server.stop(Duration::from_millis(100));
    assert_eq!((stopped.finished, stopped.killed), (0, 1));
    drain(&mut client);
}

#[test]
fn a_grace_of_0_ends_all_at_once() {
    let slow = Slow::new(Duration::MAX);
    let (begun, ended) = slow.counters();
    let server = start(slow);
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("it has begun", || begun.get() == 1);
    let stopped = server.stop(Duration::ZERO);
    assert_eq!(stopped.killed, 1);
    assert_eq!(ended.get(), 1);
    assert_eq!(read_all(&mut client), "");
}

#[test]
fn a_server_that_is_dropped_ends_its_connections_and_handlers() {
    let slow = Slow::new(Duration::MAX);
    let (begun, ended) = slow.counters();
    let server = start(slow);
    let mut silent = connect(server.local_addr());
    let mut client = connect(server.local_addr());
    client.write_all(get("/").as_bytes()).unwrap();
    eventually("it has begun", || begun.get() == 1);
    drop(server);
    assert_eq!(ended.get(), 1);
    assert_eq!(read_all(&mut client), "");
    assert_eq!(read_all(&mut silent), "");
}

#[test]
fn nothing_of_a_server_stays_when_it_was_stopped() {
    struct Alive(Rc<Cell<usize>>);

    impl Handler for Alive {
        fn handle(&self, _request: Request) -> Response {
            Response::new("hello".into())
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    for grace in [GRACE, Duration::ZERO] {
        let dropped = Rc::new(Cell::new(0));
        let server = start(Alive(Rc::clone(&dropped)));
        let clients = [idle_client(&server), connect(server.local_addr())];
        server.stop(grace);
        drop(server);
        drop(clients);
        eventually("its handler has gone", || dropped.get() == 1);
    }
}

#[test]
fn an_upgraded_connection_has_the_grace() {
    let server = start(|request: Request| {
        let hangs = request.uri().path() == "/hang";
        evy_http::upgrade("shout", move |mut connection| {
            if hangs {
                sleep(Duration::MAX);
            }
            let mut bytes = [0; 5];
            connection.read_exact(&mut bytes).unwrap();
            connection.write_all(&bytes.to_ascii_uppercase()).unwrap();
        })
    });
    let mut client = connect(server.local_addr());
    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n";
    let mut hung = connect(server.local_addr());
    let other_request = request.replace("GET /", "GET /hang");
    for (client, request) in [(&mut client, request), (&mut hung, &other_request)] {
        client.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(client).0, 101);
    }
    // It has begun to stop, and waits.
    let stopping = spawn_eager(move || server.stop(Duration::from_secs(1)));
    assert!(!stopping.is_finished());
    client.write_all(b"hello").unwrap();
    assert_eq!(read_all(&mut client), "HELLO");
    let stopped = stopping.wait().unwrap();
    assert_eq!((stopped.finished, stopped.killed), (1, 1));
    drain(&mut hung);
}

#[cfg(feature = "tls")]
#[test]
fn fault_46_connections_under_tls_finish_likewise() {
    use evy_green_net::tls::TlsStream;

    let (acceptor, connector) = util::tls();
    let slow = Slow::new(Duration::from_millis(100));
    let (begun, _) = slow.counters();
    let server = util::server(slow).tls(acceptor).start().unwrap();
    let connect = || -> TlsStream<TcpStream> {
        connector.connect("localhost", connect(server.local_addr())).unwrap()
    };
    let mut idle = connect();
    idle.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_answer(&mut idle), (200, "done".to_owned()));
    let mut busy = connect();
    busy.write_all(get("/").as_bytes()).unwrap();
    eventually("it has begun", || begun.get() == 2);
    let mut shaking = util::connect(server.local_addr());
    shaking.write_all(b"\x16\x03\x01").unwrap();
    let start = Instant::now();
    let stopped = server.stop(GRACE);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!((stopped.finished, stopped.killed), (3, 0));
    // With the word of TLS that it is the end: anything else were an error.
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\ndone") && answer.contains("connection: close"), "{answer:?}");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

/// FAULTS row 46: it is a connection like any other then, whose quiet reader is told of the end.
#[test]
fn fault_46_an_upgraded_connection_is_told_of_the_end() {
    let server = start(|_: Request| {
        evy_http::upgrade("count", |mut connection| {
            let mut bytes = Vec::new();
            connection.read_to_end(&mut bytes).unwrap();
            write!(connection, "{}", bytes.len()).unwrap();
        })
    });
    let mut client = connect(server.local_addr());
    let request =
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: count\r\n\r\nfour";
    client.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let reading = spawn(move || read_all(&mut client));
    let begin = Instant::now();
    let stopped = server.stop(Duration::from_secs(30));
    assert_eq!(stopped.killed, 0);
    assert!(begin.elapsed() < Duration::from_secs(20), "not only at the end of the grace");
    assert!(reading.wait().unwrap().ends_with("\r\n\r\n4"));
}

#[test]
fn fault_46_the_green_thread_of_an_upgraded_connection_is_killed_at_the_end_of_the_grace() {
    let ended = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&ended);
    let server = start(move |_: Request| {
        struct OnDrop(Rc<Cell<bool>>);

        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }

        let bomb = OnDrop(Rc::clone(&theirs));
        evy_http::upgrade("sleep", move |_connection| {
            let _bomb = bomb;
            sleep(Duration::from_secs(3600));
        })
    });
    let mut client = connect(server.local_addr());
    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: sleep\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    server.stop(Duration::from_millis(50));
    assert!(ended.get());
}
