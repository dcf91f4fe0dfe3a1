//! Servers that are bad for `evy_patched::redis`: each is a clear error for the call, in time, and nobody is
//! given the answer of another call.

#[path = "util/redis.rs"]
mod redis_server;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evy_patched::redis::{
    self, Client, Commands, Connection, ConnectionLike, ErrorKind, RedisError, ServerErrorKind,
    Value,
};
use evy_runtime::{spawn, timeout, yield_now};
use redis_server::{greeted, saying, server};

/// For a call that is to end by itself.
const LIMIT: Duration = Duration::from_secs(10);
/// For one that is not.
const SOON: Duration = Duration::from_millis(50);

fn connect(url: &str) -> Connection {
    Client::open(url).unwrap().get_connection().unwrap()
}

fn refuses_all_calls(connection: &mut Connection) {
    assert!(!connection.is_open());
    assert!(!connection.check_connection());
    let error = connection.get::<_, Value>("key").unwrap_err();
    assert!(error.is_connection_dropped() && error.is_unrecoverable_error(), "{error}");
    assert!(error.to_string().contains("an earlier call on it failed"), "{error}");
    assert!(redis::pipe().get("a").get("b").exec(connection).is_err());
    assert!(connection.recv_response().is_err());
    assert!(connection.as_pubsub().get_message().is_err());
}

/// What becomes of a call that a server answers with this, and then says no more.
fn answered_with(answer: &[u8]) -> (RedisError, Connection) {
    let mut connection = connect(&saying(answer));
    connection.set_read_timeout(Some(SOON)).unwrap();
    let error = connection.get::<_, Value>("key").unwrap_err();
    (error, connection)
}

#[test]
fn another_protocol_is_a_parse_error() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail.example.org ESMTP\r\n",
        "\x15\x03\x03\x00\x02\x02\x50",
        "\0\0\0\0",
    ] {
        let (error, mut connection) = answered_with(answer.as_bytes());
        assert_eq!(error.kind(), ErrorKind::Parse, "{answer:?}: {error}");
        refuses_all_calls(&mut connection);
    }
}

/// The same where it comes in answer to the first words.
#[test]
fn another_protocol_is_an_error_when_connecting() {
    let url = server(|_, peer| {
        peer.bytes()?;
        peer.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    });
    let error = Client::open(url).unwrap().get_connection().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse, "{error}");
}

#[test]
fn lengths_that_cannot_be_are_parse_errors() {
    for answer in [
        "$99999999999999999999\r\n",
        "*99999999999999999999\r\n",
        "$abc\r\n",
        "*\r\n",
        ":\r\n",
        ":1.5\r\n",
        "$3\r\nhello\r\n",
        "%9223372036854775808\r\n",
        "#maybe\r\n",
        ",one\r\n",
    ] {
        let (error, mut connection) = answered_with(answer.as_bytes());
        assert_eq!(error.kind(), ErrorKind::Parse, "{answer:?}: {error}");
        refuses_all_calls(&mut connection);
    }
}

/// They might be true, so the rest is waited for, but neither for ever nor with memory for all of it.
#[test]
fn lengths_that_are_not_fulfilled_are_timeouts() {
    for answer in [
        "$9223372036854775807\r\n",
        "*9223372036854775807\r\n",
        "~2147483647\r\n:1\r\n",
        "%9223372036854775807\r\n",
        "=-1\r\n",
        "*2\r\n:1\r\n",
        "$10\r\nhel",
        "+O",
        "$5",
    ] {
        let (error, mut connection) = answered_with(answer.as_bytes());
        assert!(error.is_timeout(), "{answer:?}: {error}");
        refuses_all_calls(&mut connection);
    }
}

#[test]
fn fault_08_arrays_within_arrays_do_not_overflow_the_stack() {
    let deep = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth));
    let call = |answer: String| spawn(move || answered_with(answer.as_bytes()).0).wait().unwrap();
    for depth in [33, 100, 100_000] {
        let error = call(deep(depth));
        assert_eq!(error.kind(), ErrorKind::Parse, "{error}");
    }
    // Deep ones, then a usual one, in one piece and in many.
    let answers = format!("{}{}+OK\r\n", deep(32), deep(6));
    for size in [answers.len(), 7] {
        let answers = answers.clone();
        let url = greeted(move |_, peer| {
            peer.bytes()?;
            for piece in answers.as_bytes().chunks(size) {
                peer.stream.write_all(piece)?;
            }
            peer.wait_for_end()
        });
        let query = move || {
            let mut pipeline = redis::pipe();
            pipeline.get("a").get("b").get("c").query::<Vec<Value>>(&mut connect(&url))
        };
        let values = spawn(query).wait().unwrap().unwrap();
        let levels: Vec<_> = values.iter().map(levels).collect();
        assert_eq!(levels, [32, 6, 0]);
    }
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + levels(&values[0]),
        _ => 0,
    }
}

#[test]
fn errors_of_the_server_are_of_one_call_only() {
    for (answer, kind) in [
        ("-LOADING in memory", ErrorKind::Server(ServerErrorKind::BusyLoading)),
        ("-MASTERDOWN link", ErrorKind::Server(ServerErrorKind::MasterDown)),
        ("-READONLY you cannot", ErrorKind::Server(ServerErrorKind::ReadOnly)),
        ("-NOAUTH Authentication required.", ErrorKind::Extension),
        ("-MISCONF cannot save", ErrorKind::Extension),
        ("-OOM command not allowed", ErrorKind::Extension),
        ("-ERR no", ErrorKind::Server(ServerErrorKind::ResponseError)),
    ] {
        let url = greeted(move |_, peer| {
            peer.answer(&format!("{answer}\r\n"))?;
            peer.answer("+PONG\r\n")?;
            peer.wait_for_end()
        });
        let mut connection = connect(&url);
        let error = connection.get::<_, Value>("key").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(connection.is_open() && connection.check_connection());
    }
}

#[test]
fn a_server_that_is_full_is_an_error_with_that_text() {
    const FULL: &str = "-ERR max number of clients reached\r\n";
    let at_once = server(|_, peer| peer.say(FULL));
    let late = server(|_, peer| {
        peer.bytes()?;
        peer.say(FULL)
    });
    for url in [at_once.clone(), at_once + "?protocol=resp3", late.clone(), late + "5"] {
        for _ in 0..20 {
            let error = Client::open(&*url).unwrap().get_connection().unwrap_err();
            assert!(error.to_string().contains("max number of clients"), "{url}: {error}");
        }
    }
}

#[test]
fn a_server_that_leaves_in_the_middle_of_an_answer_is_an_unexpected_end() {
    for answer in ["", "+O", "$5\r\nhel", "*2\r\n:1\r\n", "*1\r\n$3\r\nabc"] {
        let url = greeted(move |_, peer| {
            peer.answer(answer)?;
            Ok(())
        });
        let mut connection = connect(&url);
        let error = connection.get::<_, Value>("key").unwrap_err();
        assert!(error.is_connection_dropped() && !error.is_timeout(), "{answer:?}: {error}");
        refuses_all_calls(&mut connection);
    }
}

#[test]
fn a_server_that_leaves_between_the_answers_of_a_pipeline_fails_it_at_once() {
    let url = greeted(|_, peer| {
        peer.answer(":1\r\n:2\r\n")?;
        Ok(())
    });
    let mut connection = connect(&url);
    let mut pipeline = redis::pipe();
    for _ in 0..1000 {
        pipeline.get("key");
    }
    let error = timeout(LIMIT, || pipeline.exec(&mut connection)).unwrap().unwrap_err();
    assert!(error.is_connection_dropped(), "{error}");
    refuses_all_calls(&mut connection);
}

#[test]
fn fault_11_a_reset_is_an_error_of_the_call() {
    let url = greeted(|_, peer| {
        peer.answer("$5\r\nhel")?;
        let socket = socket2::SockRef::from(&peer.stream);
        socket.set_linger(Some(Duration::ZERO))
    });
    for _ in 0..20 {
        let mut connection = connect(&url);
        let error = connection.get::<_, Value>("key").unwrap_err();
        assert!(error.is_connection_dropped(), "{error}");
        refuses_all_calls(&mut connection);
    }
}

#[test]
fn fault_38_nobody_listens_or_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::open(format!("redis://{address}/")).unwrap();
    let start = Instant::now();
    assert!(client.get_connection_with_timeout(SOON).unwrap_err().is_timeout());
    assert!(timeout(SOON, || client.get_connection()).is_err());
    assert!(start.elapsed() < LIMIT);
    drop(listener);
    let error = client.get_connection().unwrap_err();
    assert!(error.is_connection_refusal(), "{error}");
    let error = Client::open("unix:///no/such/socket").unwrap().get_connection().unwrap_err();
    assert!(error.is_connection_refusal(), "{error}");
}

/// Each byte is in time for a read timeout; all together are not for the call's deadline.
#[test]
fn fault_17_a_server_that_trickles_does_not_outlast_a_deadline() {
    let url = server(|_, peer| {
        loop {
            for byte in "+OK\r\n".chars() {
                let (_sender, never) = mpsc::channel::<()>();
                let _ = never.recv_timeout(Duration::from_millis(20));
                peer.say(&byte.to_string())?;
            }
        }
    });
    let client = Client::open(&*url).unwrap();
    let start = Instant::now();
    assert!(client.get_connection_with_timeout(SOON).unwrap_err().is_timeout());
    let mut connection = client.get_connection().unwrap();
    let ask = || connection.set::<_, _, ()>("key", 1);
    assert!(timeout(SOON, ask).is_err());
    refuses_all_calls(&mut connection);
    assert!(start.elapsed() < LIMIT);
}

/// A server whose answer to the first call comes only when the second one was sent.
fn late_server() -> String {
    greeted(|number, peer| {
        if number == 0 {
            peer.command()?;
            let _ = peer.command();
            peer.say("$5\r\nfirst\r\n$6\r\nsecond\r\n")?;
        } else {
            peer.answer("$5\r\nright\r\n")?;
        }
        peer.wait_for_end()
    })
}

#[test]
fn fault_07_no_call_gets_the_answer_of_one_that_was_interrupted() {
    let interruptions: [fn(Connection) -> Connection; 4] = [
        |mut connection| {
            assert!(timeout(SOON, || connection.get::<_, String>("first")).is_err());
            connection
        },
        |mut connection| {
            connection.set_read_timeout(Some(SOON)).unwrap();
            assert!(connection.get::<_, String>("first").unwrap_err().is_timeout());
            connection.set_read_timeout(None).unwrap();
            connection
        },
        |connection| {
            let connection = std::rc::Rc::new(std::cell::RefCell::new(connection));
            let caller = spawn({
                let connection = std::rc::Rc::clone(&connection);
                move || connection.borrow_mut().get::<_, String>("first")
            });
            yield_now();
            caller.kill();
            assert!(caller.wait().is_err());
            std::rc::Rc::into_inner(connection).unwrap().into_inner()
        },
        |mut connection| {
            let mut pipeline = redis::pipe();
            let pipeline = pipeline.get("first").get("second").get("third");
            assert!(timeout(SOON, || pipeline.exec(&mut connection)).is_err());
            connection
        },
    ];
    for interrupt in interruptions {
        let mut connection = interrupt(connect(&late_server()));
        refuses_all_calls(&mut connection);
    }
}

/// The writer of a pipeline's rest is another green thread, which ends with the call.
#[test]
fn fault_07_a_large_pipeline_that_is_killed_leaves_no_writer() {
    let url = greeted(|_, peer| {
        let (_sender, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(Duration::from_secs(20));
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let large = "x".repeat(16 << 20);
    let mut pipeline = redis::pipe();
    pipeline.set("a", &large).set("b", &large);
    let start = Instant::now();
    assert!(timeout(SOON, || pipeline.exec(&mut connection)).is_err());
    refuses_all_calls(&mut connection);
    assert!(start.elapsed() < LIMIT);
}

#[test]
fn fault_06_subscriptions_that_unwind_close_their_connection_and_wait_for_nothing() {
    let url = greeted(|_, peer| {
        peer.answer("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let start = Instant::now();
    let listen = || {
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe("news").unwrap();
        pubsub.get_message()
    };
    assert!(timeout(SOON, listen).is_err());
    assert!(start.elapsed() < LIMIT);
    refuses_all_calls(&mut connection);
}

#[test]
fn fault_02_a_connection_that_breaks_has_closed_its_socket() {
    let (sender, ends) = mpsc::channel();
    let url = greeted(move |_, peer| {
        peer.answer("nonsense\r\n")?;
        peer.wait_for_end()?;
        sender.send(()).map_err(std::io::Error::other)
    });
    let mut connection = connect(&url);
    assert!(connection.get::<_, Value>("key").is_err());
    // The server has seen it, though the connection is still there.
    ends.recv_timeout(LIMIT).unwrap();
    refuses_all_calls(&mut connection);
}

/// A type that is not the one asked for is the caller's mistake, and breaks nothing.
#[test]
fn an_answer_of_another_type_is_an_error_and_the_connection_goes_on() {
    let url = greeted(|_, peer| {
        peer.answer("$5\r\nhello\r\n")?;
        peer.answer("+PONG\r\n")?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let error = connection.get::<_, i32>("key").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse, "{error}");
    assert!(connection.check_connection());
}

/// By a Unix socket a write fails as soon as the server has left; what it said before can still be read.
#[test]
fn the_last_words_of_a_server_are_told_where_a_write_fails() {
    let folder =
        std::env::temp_dir().join(format!("evy-patched-redis-words-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = evy_green_net::UnixListener::bind(&path).unwrap();
    let server = spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut words = [0; 1024];
        let mut length = 0;
        while !words[..length].ends_with(concat!(env!("CARGO_PKG_VERSION"), "\r\n").as_bytes()) {
            length += peer.read(&mut words[length..]).unwrap();
        }
        peer.write_all(b"+OK\r\n+OK\r\n-ERR go away\r\n").unwrap();
    });
    let client = Client::open(format!("unix://{}", path.display())).unwrap();
    let mut connection = client.get_connection().unwrap();
    server.wait().unwrap();
    let error = connection.get::<_, Value>("key").unwrap_err();
    assert!(error.to_string().contains("go away"), "{error}");
    refuses_all_calls(&mut connection);
    std::fs::remove_dir_all(&folder).unwrap();
}
