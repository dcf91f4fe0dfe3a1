//! `evy_patched::redis`: what goes out and what is made of what comes, with servers that follow a script.
//! `redis_faults.rs` has what goes wrong, `redis_pool.rs` the pool, and `tests/acceptance_redis.rs` of the
//! workspace the real server.

#[path = "util/redis.rs"]
mod redis_server;

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evy_patched::redis::{
    self, Client, Commands, Connection, ConnectionLike, ControlFlow, ErrorKind, IntoConnectionInfo,
    PubSubCommands, PushKind, ServerErrorKind, Value,
};
use evy_runtime::{join_all, spawn};
use redis_server::{Peer, greeted, saying, server};

fn connect(url: &str) -> Connection {
    Client::open(url).unwrap().get_connection().unwrap()
}

/// What a client says first when it is opened with that URL, apart from host and port.
fn first_words(user: &str, rest: &str) -> Vec<String> {
    let (sender, words) = mpsc::channel();
    let url = server(move |_, peer| {
        loop {
            // Nothing when the client has left.
            let words = peer.answer("+OK\r\n").ok().map(|words| words.join(" "));
            let is_end = words.is_none();
            sender.send(words).expect("the test is there");
            if is_end {
                return Ok(());
            }
        }
    });
    let url = url.replace("redis://", &format!("redis://{user}")) + rest;
    drop(connect(&url));
    words.iter().map_while(|words| words).collect()
}

#[test]
fn a_connection_says_who_it_is_before_anything_else() {
    let name = [
        "CLIENT SETINFO LIB-NAME evy-patched".to_owned(),
        format!("CLIENT SETINFO LIB-VER {}", env!("CARGO_PKG_VERSION")),
    ];
    let said = |first: &[&str]| {
        first.iter().map(|&words| words.to_owned()).chain(name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(first_words("", ""), said(&[]));
    assert_eq!(first_words("", "7"), said(&["SELECT 7"]));
    assert_eq!(first_words(":secret@", ""), said(&["AUTH secret"]));
    assert_eq!(first_words("me:secret@", "1"), said(&["AUTH me secret", "SELECT 1"]));
    assert_eq!(first_words("", "?protocol=resp3"), said(&["HELLO 3"]));
    assert_eq!(first_words(":pw@", "?protocol=resp3"), said(&["HELLO 3 AUTH default pw"]));
    assert_eq!(first_words("me:pw@", "2?protocol=3"), said(&["HELLO 3 AUTH me pw", "SELECT 2"]));
}

#[test]
fn a_connection_has_the_name_it_is_given_or_none() {
    let url = server(|number, peer| {
        if number == 0 {
            assert_eq!(peer.answer("+OK\r\n")?[3], "mine");
            assert_eq!(peer.answer("-ERR no such subcommand\r\n")?[3], "1.2");
        }
        assert_eq!(peer.answer("+PONG\r\n")?, ["PING"]);
        peer.wait_for_end()
    });
    let info = url.into_connection_info().unwrap();
    let settings = info.redis_settings().clone();
    for settings in [settings.clone().set_lib_name("mine", "1.2"), settings.set_skip_set_lib_name()]
    {
        let client = Client::open(info.clone().set_redis_settings(settings)).unwrap();
        assert!(client.get_connection().unwrap().check_connection());
    }
}

#[test]
fn a_server_that_knows_no_users_gets_the_password_alone() {
    let url = server(|_, peer| {
        assert_eq!(
            peer.answer("-ERR wrong number of arguments for 'auth' command\r\n")?,
            ["AUTH", "me", "secret"]
        );
        peer.greet()?;
        assert_eq!(peer.answer("+OK\r\n")?, ["AUTH", "secret"]);
        peer.greet()?;
        peer.answer("+PONG\r\n")?;
        peer.wait_for_end()
    });
    assert!(connect(&url.replace("redis://", "redis://me:secret@")).check_connection());
}

#[test]
fn what_is_wrong_with_the_first_words_is_said() {
    for (rest, answer, kind, text) in [
        (":x@", "-WRONGPASS invalid\r\n", ErrorKind::AuthenticationFailed, "invalid"),
        (":x@", ":1\r\n", ErrorKind::UnexpectedReturnType, "int(1)"),
        ("", "-ERR unknown command `HELLO`, with\r\n", ErrorKind::RESP3NotSupported, "HELLO"),
        ("", "-NOAUTH HELLO must be called\r\n", ErrorKind::Extension, "NOAUTH"),
    ] {
        let url = server(move |_, peer| {
            peer.answer(answer)?;
            peer.greet()?;
            peer.wait_for_end()
        });
        let protocol = if rest.is_empty() { "?protocol=resp3" } else { "" };
        let url = url.replace("redis://", &format!("redis://{rest}")) + protocol;
        let error = Client::open(url).unwrap().get_connection().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let url = server(|_, peer| {
        peer.answer("-ERR DB index is out of range\r\n")?;
        peer.greet()?;
        peer.wait_for_end()
    });
    let error = Client::open(url + "99").unwrap().get_connection().unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
    for url in ["http://localhost/", "redis://localhost/x", "redis://0.0.0.0/", "redis:///"] {
        let error = Client::open(url).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClientConfig, "{url}");
    }
}

#[test]
fn a_pipeline_is_one_write() {
    let url = greeted(|_, peer| {
        let mut count = 0;
        let bytes = peer.bytes()?;
        assert_eq!(String::from_utf8_lossy(&bytes).matches("GET").count(), 50);
        while count < 50 {
            count += 1;
            peer.say("$1\r\n7\r\n")?;
        }
        peer.wait_for_end()
    });
    let mut pipeline = redis::pipe();
    for _ in 0..50 {
        pipeline.get("key");
    }
    let values: Vec<i32> = pipeline.query(&mut connect(&url)).unwrap();
    assert_eq!(values, [7; 50]);
}

/// The server reads on only when its answers are read, as some proxies do; redis-server does not.
#[test]
fn fault_16_a_pipeline_larger_than_all_buffers_is_answered_while_it_is_written() {
    const LENGTH: usize = 100_000;
    const COUNT: usize = 300;
    let url = greeted(|_, peer| {
        loop {
            let [_, text] = &peer.command()?[..] else { panic!("ECHO has one argument") };
            write!(peer.stream, "${}\r\n{text}\r\n", text.len())?;
        }
    });
    let mut connection = connect(&url);
    let text = "x".repeat(LENGTH);
    let mut pipeline = redis::pipe();
    for _ in 0..COUNT {
        pipeline.cmd("ECHO").arg(&text);
    }
    let limit = Duration::from_secs(20);
    let echoes: Vec<String> = evy_runtime::timeout(limit, || pipeline.query(&mut connection))
        .expect("no deadlock")
        .unwrap();
    assert!(echoes.len() == COUNT && echoes.iter().all(|echo| *echo == text));
    assert_eq!(redis::cmd("ECHO").arg("on").query::<String>(&mut connection).unwrap(), "on");
}

#[test]
fn fault_16_a_server_that_reads_nothing_is_a_write_timeout() {
    let url = greeted(|_, peer| {
        let (_sender, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(Duration::from_secs(20));
        peer.wait_for_end()
    });
    let large = "x".repeat(32 << 20);
    let mut pipeline = redis::pipe();
    pipeline.set("key", &large).get("key");
    for call in [
        &|connection: &mut Connection| connection.set::<_, _, ()>("key", &large).unwrap_err(),
        &|connection: &mut Connection| pipeline.exec(connection).unwrap_err(),
    ] as [&dyn Fn(&mut Connection) -> redis::RedisError; 2]
    {
        let mut connection = connect(&url);
        connection.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let start = Instant::now();
        let error = call(&mut connection);
        assert!(error.is_timeout(), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(!connection.is_open());
    }
}

#[test]
fn calls_of_many_green_threads_overlap() {
    const DELAY: Duration = Duration::from_millis(300);
    let url = greeted(|_, peer| {
        loop {
            peer.command()?;
            let (_sender, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(DELAY);
            peer.say("*2\r\n$4\r\nlist\r\n$1\r\n1\r\n")?;
        }
    });
    let connections: Vec<_> = (0..10).map(|_| connect(&url)).collect();
    let start = Instant::now();
    let calls = connections.into_iter().map(|mut connection| {
        spawn(move || connection.blpop::<_, (String, i32)>("list", 0.0).unwrap())
    });
    for result in join_all(calls.collect::<Vec<_>>()) {
        assert_eq!(result.unwrap(), ("list".to_owned(), 1));
    }
    let elapsed = start.elapsed();
    // One after the other would be 10 times as long.
    assert!(elapsed >= DELAY && elapsed < 8 * DELAY, "{elapsed:?}");
}

#[test]
fn pushes_between_answers_are_none_and_go_to_their_sender() {
    let url = server(|_, peer| {
        peer.answer("%0\r\n")?;
        peer.greet()?;
        let push = ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n";
        peer.answer(&format!("{push}+OK\r\n"))?;
        peer.command()?;
        peer.answer(&format!(":1\r\n{push}:2\r\n{push}"))?;
        peer.answer(":3\r\n")?;
        Ok(())
    });
    let mut connection = connect(&(url + "?protocol=resp3"));
    let (sender, pushes) = mpsc::channel();
    connection.set_push_sender(sender);
    let () = connection.set("key", 0).unwrap();
    let counts: (i32, i32) =
        redis::pipe().incr("key", 1).incr("key", 1).query(&mut connection).unwrap();
    assert_eq!(counts, (1, 2));
    assert_eq!(connection.incr::<_, _, i32>("key", 1).unwrap(), 3);
    // The server has left.
    assert!(connection.get::<_, Value>("key").unwrap_err().is_connection_dropped());
    let kinds: Vec<_> = pushes.try_iter().map(|push| push.kind).collect();
    assert_eq!(kinds[..3], [PushKind::Message, PushKind::Message, PushKind::Message]);
    assert_eq!(kinds[3..], [PushKind::Disconnection]);
}

#[test]
fn an_aborted_transaction_says_which_commands_were_refused() {
    let url = greeted(|_, peer| {
        for answer in ["+OK\r\n", "+QUEUED\r\n", "-ERR unknown command 'X'\r\n", "-EXECABORT\r\n"] {
            peer.answer(answer)?;
        }
        for answer in ["-NOAUTH first\r\n", "-NOAUTH second\r\n", "-NOAUTH third\r\n"] {
            peer.answer(answer)?;
        }
        for answer in ["+OK\r\n", "+QUEUED\r\n", "*-1\r\n"] {
            peer.answer(answer)?;
        }
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let error = redis::pipe().atomic().get("a").cmd("X").exec(&mut connection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ExecAbort));
    assert_eq!(error.code(), Some("EXECABORT"));
    let text = error.to_string();
    assert!(text.contains("Index 1") && text.contains("unknown command 'X'"), "{text}");

    let error = redis::pipe().atomic().get("a").exec(&mut connection).unwrap_err();
    assert_eq!(error.code(), Some("NOAUTH"));
    // A watched key has changed.
    let nothing: Option<(i32,)> = redis::pipe().atomic().get("a").query(&mut connection).unwrap();
    assert_eq!(nothing, None);
    assert!(connection.is_open());
}

const SUBSCRIBED: &str = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n";

/// Reads the commands that end all subscriptions, and answers them.
fn unsubscribe(peer: &mut Peer) -> std::io::Result<()> {
    ended(peer, &format!("{MESSAGE}{}{NO_PATTERNS}", confirmation("unsubscribe", "news", 0)))
}

/// Reads the commands that end all subscriptions, and answers the last one behind these confirmations.
fn ended(peer: &mut Peer, confirmations: &str) -> std::io::Result<()> {
    assert_eq!(peer.command()?, ["UNSUBSCRIBE"]);
    assert_eq!(peer.command()?, ["PUNSUBSCRIBE"]);
    let [ping, last] = &peer.command()?[..] else { panic!("PING has one argument") };
    assert_eq!(ping, "PING");
    peer.say(&format!("{confirmations}${}\r\n{last}\r\n", last.len()))
}

fn confirmation(kind: &str, channel: &str, left: usize) -> String {
    format!("*3\r\n${}\r\n{kind}\r\n${}\r\n{channel}\r\n:{left}\r\n", kind.len(), channel.len())
}

const NO_CHANNELS: &str = "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n";
const NO_PATTERNS: &str = "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n";

#[test]
fn messages_that_come_before_an_answer_are_kept() {
    let url = greeted(|_, peer| {
        assert_eq!(peer.answer(SUBSCRIBED)?, ["SUBSCRIBE", "news"]);
        let pong = "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n";
        assert_eq!(peer.answer(&format!("{MESSAGE}{MESSAGE}{pong}"))?, ["PING", "hi"]);
        unsubscribe(peer)?;
        assert_eq!(peer.answer("$1\r\n7\r\n")?, ["GET", "key"]);
        peer.answer(&format!("{SUBSCRIBED}{MESSAGE}"))?;
        unsubscribe(peer)?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe("news").unwrap();
    assert_eq!(pubsub.ping_message::<(String, String)>("hi").unwrap().1, "hi");
    for _ in 0..2 {
        assert_eq!(pubsub.get_message().unwrap().get_payload::<String>().unwrap(), "hello");
    }
    drop(pubsub);
    assert_eq!(connection.get::<_, i32>("key").unwrap(), 7);
    let text = connection
        .subscribe("news", |message| ControlFlow::Break(message.get_payload::<String>().unwrap()));
    assert_eq!(text.unwrap(), "hello");
    assert!(connection.is_open());
}

#[test]
fn every_channel_of_several_is_confirmed_before_the_next_call() {
    let url = greeted(|_, peer| {
        let second = "*3\r\n$9\r\nsubscribe\r\n$4\r\nmore\r\n:2\r\n";
        let words = peer.answer(&format!("{SUBSCRIBED}{MESSAGE}{second}"))?;
        assert_eq!(words, ["SUBSCRIBE", "news", "more"]);
        peer.answer("*2\r\n$4\r\npong\r\n$2\r\nhi\r\n")?;
        unsubscribe(peer)?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe(&["news", "more"]).unwrap();
    // redis takes the second confirmation for the answer.
    assert_eq!(pubsub.ping_message::<(String, String)>("hi").unwrap().1, "hi");
    assert_eq!(pubsub.get_message().unwrap().get_payload::<String>().unwrap(), "hello");
}

/// Subscriptions were ended by name, or by an empty list, before the rest is ended by the drop: whatever is
/// confirmed by then, and however often, nothing of it is the answer to the next call.
#[test]
fn no_confirmation_is_left_for_the_next_call() {
    type Script = fn(&mut Peer) -> std::io::Result<()>;
    let scripts: [(&str, Script); 4] = [
        ("", |peer| {
            peer.answer(
                &(confirmation("punsubscribe", "a", 1) + &confirmation("punsubscribe", "b", 0)),
            )?;
            ended(peer, &format!("{NO_CHANNELS}{NO_PATTERNS}"))
        }),
        // One of them twice.
        ("", |peer| {
            peer.answer(&confirmation("punsubscribe", "a", 1))?;
            let late = confirmation("punsubscribe", "b", 0);
            peer.say(&late)?;
            ended(peer, &format!("{NO_CHANNELS}{late}{NO_PATTERNS}"))
        }),
        // Valkey's.
        ("", |peer| {
            peer.answer("-NOSUB 'punsubscribe' command executed not in subscribed mode\r\n")?;
            let refusal = "-NOSUB 'unsubscribe' command executed not in subscribed mode\r\n";
            ended(peer, &format!("{refusal}{}", refusal.replace("'un", "'pun")))
        }),
        ("?protocol=resp3", |peer| {
            let a = confirmation("punsubscribe", "a", 1).replacen('*', ">", 1);
            let b = confirmation("punsubscribe", "b", 0).replacen('*', ">", 1);
            // Pushes that have nothing to do with it do not count.
            let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n";
            peer.answer(&format!("{push}{a}{push}{b}"))?;
            ended(peer, &format!(">{}>{}", &NO_CHANNELS[1..], &NO_PATTERNS[1..]))
        }),
    ];
    for (protocol, script) in scripts {
        let url = server(move |_, peer| {
            let mark = if protocol.is_empty() { "*" } else { ">" };
            if mark == ">" {
                peer.answer("%0\r\n")?;
            }
            peer.greet()?;
            for (pattern, number) in [("a", 1), ("b", 2)] {
                peer.answer(&confirmation("psubscribe", pattern, number).replacen('*', mark, 1))?;
            }
            script(peer)?;
            assert_eq!(peer.answer("$1\r\n7\r\n")?, ["GET", "key"]);
            peer.wait_for_end()
        });
        let mut connection = connect(&(url + protocol));
        let mut pubsub = connection.as_pubsub();
        pubsub.psubscribe("a").unwrap();
        pubsub.psubscribe("b").unwrap();
        let _ = pubsub.punsubscribe(&["a", "b"]);
        drop(pubsub);
        assert_eq!(connection.get::<_, i32>("key").unwrap(), 7);
    }
}

/// How many there are is not known here.
#[test]
fn confirmations_of_an_end_of_all_are_no_answer_to_a_ping() {
    let url = greeted(|_, peer| {
        peer.answer(&(SUBSCRIBED.to_owned() + &confirmation("subscribe", "more", 2)))?;
        let (news, more) =
            (confirmation("unsubscribe", "news", 1), confirmation("unsubscribe", "more", 0));
        assert_eq!(peer.answer(&(news + &more))?, ["UNSUBSCRIBE"]);
        assert_eq!(peer.answer("$2\r\nhi\r\n")?, ["PING", "hi"]);
        ended(peer, &format!("{NO_CHANNELS}{NO_PATTERNS}"))?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe(&["news", "more"]).unwrap();
    pubsub.unsubscribe(&[] as &[&str]).unwrap();
    assert_eq!(pubsub.ping_message::<String>("hi").unwrap(), "hi");
    drop(pubsub);
    assert!(connection.is_open());
}

/// The connection is not closed for it.
#[test]
fn a_user_who_may_not_ping_may_end_subscriptions() {
    let url = greeted(|_, peer| {
        peer.answer(SUBSCRIBED)?;
        peer.command()?;
        peer.command()?;
        let refusal = "-NOPERM User app has no permissions to run the 'ping' command\r\n";
        peer.answer(&format!("{}{NO_PATTERNS}{refusal}", confirmation("unsubscribe", "news", 0)))?;
        peer.answer("$1\r\n7\r\n")?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    connection.as_pubsub().subscribe("news").unwrap();
    assert_eq!(connection.get::<_, i32>("key").unwrap(), 7);
}

#[test]
fn a_message_that_does_not_come_in_time_comes_later() {
    let (go, gone) = mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let url = greeted(move |_, peer| {
        peer.answer(SUBSCRIBED)?;
        // Half of it, and the rest when the read has timed out.
        let (half, rest) = MESSAGE.split_at(20);
        peer.say(half)?;
        gone.lock().unwrap().recv().unwrap();
        peer.say(rest)?;
        unsubscribe(peer)?;
        peer.answer("+PONG\r\n")?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe("news").unwrap();
    pubsub.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(pubsub.get_message().unwrap_err().is_timeout());
    assert!(pubsub.get_message().unwrap_err().is_timeout());
    go.send(()).unwrap();
    pubsub.set_read_timeout(None).unwrap();
    assert_eq!(pubsub.get_message().unwrap().get_payload::<String>().unwrap(), "hello");
    drop(pubsub);
    assert!(connection.check_connection());
}

#[test]
fn a_refused_subscription_is_an_error_and_leaves_nothing_behind() {
    let url = greeted(|_, peer| {
        peer.answer("-NOPERM no\r\n")?;
        assert_eq!(peer.answer("+PONG\r\n")?, ["PING"]);
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    let error = connection.as_pubsub().subscribe("news").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm));
    assert!(connection.check_connection());
}

#[test]
fn values_of_all_kinds_are_read() {
    for (answer, expected) in [
        ("$-1\r\n", "nil"),
        ("_\r\n", "nil"),
        ("*-1\r\n", "nil"),
        ("*0\r\n", "array([])"),
        ("$0\r\n\r\n", "bulk-string('\"\"')"),
        (":-5\r\n", "int(-5)"),
        ("#t\r\n", "boolean(true)"),
        (",1.5\r\n", "double(1.5)"),
        ("%1\r\n+a\r\n:1\r\n", "map([(simple-string(\"a\"), int(1))])"),
        ("~1\r\n:1\r\n", "set([int(1)])"),
        ("=5\r\ntxt:a\r\n", "verbatim-string(Text,\"a\")"),
    ] {
        let value: Value = redis::cmd("ANY").query(&mut connect(&saying(answer))).unwrap();
        assert_eq!(format!("{value:?}"), expected, "{answer:?}");
    }
}

#[test]
fn a_large_answer_is_read_whole_however_it_is_cut() {
    let text: String = (0..300_000).map(|number| char::from(b'a' + (number % 26) as u8)).collect();
    let answer = format!("*2\r\n${}\r\n{text}\r\n:1\r\n", text.len());
    let url = greeted(move |_, peer| {
        peer.command()?;
        for piece in answer.as_bytes().chunks(7_777) {
            peer.stream.write_all(piece)?;
        }
        peer.wait_for_end()
    });
    let (first, second): (String, i32) = redis::cmd("ANY").query(&mut connect(&url)).unwrap();
    assert!(first == text);
    assert_eq!(second, 1);
}

#[test]
fn a_client_is_a_connection_for_each_call() {
    let url = greeted(|number, peer| {
        peer.answer(&format!(":{number}\r\n"))?;
        peer.wait_for_end()
    });
    let mut client = Client::open(url).unwrap();
    for number in 0..3 {
        assert_eq!(redis::cmd("ANY").query::<usize>(&mut client).unwrap(), number);
    }
    assert!(client.is_open());
}

#[test]
fn a_connection_can_go_to_another_os_thread() {
    let url = greeted(|_, peer| {
        peer.answer("+PONG\r\n")?;
        peer.answer("+PONG\r\n")?;
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    assert!(connection.check_connection());
    let other = std::thread::spawn(move || connection.check_connection());
    assert!(evy_runtime::unblock(move || other.join().unwrap()));
}

#[test]
fn monitor_is_read_value_by_value() {
    let url = greeted(|_, peer| {
        assert_eq!(peer.answer("+OK\r\n+first\r\n+second\r\n")?, ["MONITOR"]);
        peer.wait_for_end()
    });
    let mut connection = connect(&url);
    connection.send_packed_command(&redis::cmd("MONITOR").get_packed_command()).unwrap();
    assert_eq!(connection.recv_response().unwrap(), Value::Okay);
    for line in ["first", "second"] {
        assert_eq!(connection.recv_response().unwrap(), Value::SimpleString(line.to_owned()));
    }
    assert_eq!(connection.send_packed_command(b"").unwrap_err().kind(), ErrorKind::Client);
    assert!(connection.is_open());
}

#[test]
fn a_file_serves_as_an_address() {
    let folder = std::env::temp_dir().join(format!("evy-patched-redis-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = evy_green_net::UnixListener::bind(&path).unwrap();
    let peer = spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"+OK\r\n+OK\r\n+PONG\r\n").unwrap();
        peer.read_to_end(&mut Vec::new()).unwrap();
    });
    let mut connection = connect(&format!("unix://{}", path.display()));
    assert!(connection.check_connection());
    drop(connection);
    peer.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
