//! `evy::patched::redis` against redis-server: what its users do with it, and what it does when the server
//! dies, is full, or stalls.
#![cfg(feature = "redis")]

#[path = "redis/mod.rs"]
mod server;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evy::patched::redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamReadOptions, StreamReadReply,
};
use evy::patched::redis::{
    self, Client, Connection, ConnectionLike, ControlFlow, ErrorKind, IntoConnectionInfo, Pool,
    ProtocolVersion, PubSubCommands, PushKind, RedisError, RedisResult, Script, ServerErrorKind,
    TypedCommands, Value,
};
use server::RedisServer;

/// Much more than anything here takes, and much less than for ever.
const LIMIT: Duration = Duration::from_secs(5);

fn connect(server: &RedisServer) -> Connection {
    Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn connect_resp3(server: &RedisServer) -> Connection {
    let info = server.url().into_connection_info().unwrap();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings)).unwrap().get_connection().unwrap()
}

fn pool(server: &RedisServer, max: usize) -> Pool {
    Client::open(server.url()).unwrap().pool_builder(LIMIT).max(max).build().unwrap()
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn commands_and_pipelines_answer_as_in_redis() {
    let server = RedisServer::start();
    let mut connection = connect(&server);
    let () = redis::Commands::set(&mut connection, "key", 42).unwrap();
    assert_eq!(redis::Commands::get::<_, i32>(&mut connection, "key").unwrap(), 42);
    assert_eq!(
        redis::cmd("GET").arg("none").query::<Option<String>>(&mut connection).unwrap(),
        None
    );
    let (first, second): (i32, Vec<i32>) = redis::pipe()
        .incr("key", 1)
        .set("other", 7)
        .ignore()
        .mget(&["key", "other"])
        .query(&mut connection)
        .unwrap();
    assert_eq!((first, second), (43, vec![43, 7]));

    connection.hset("hash", "field", "value").unwrap();
    let hash = connection.hgetall("hash").unwrap();
    assert_eq!(hash, HashMap::from([("field".to_owned(), "value".to_owned())]));

    for number in 0..1000 {
        connection.set(format!("scan:{number}"), number).unwrap();
    }
    let keys: RedisResult<Vec<String>> =
        redis::Commands::scan_match(&mut connection, "scan:*").unwrap().collect();
    assert_eq!(keys.unwrap().len(), 1000);

    let error = redis::Commands::incr::<_, _, i32>(&mut connection, "hash", 1).unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    let error = redis::cmd("NONSENSE").exec(&mut connection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
    let error =
        redis::pipe().get("key").incr("hash", 1).query::<Value>(&mut connection).unwrap_err();
    assert_eq!(error.into_server_errors().unwrap()[0].0, 1);
    assert!(connection.is_open());
    assert!(connection.check_connection());
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn another_database_is_where_the_url_says() {
    let server = RedisServer::start();
    let client = Client::open(format!("{}3", server.url())).unwrap();
    let mut third = client.get_connection().unwrap();
    assert_eq!(third.get_db(), 3);
    third.set("key", "third").unwrap();
    assert_eq!(connect(&server).get("key").unwrap(), None);
    let error = Client::open(format!("{}99", server.url())).unwrap().get_connection().unwrap_err();
    assert!(error.to_string().contains("refused to switch database"), "{error}");
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_large_pipeline_and_large_values_are_neither_slow_nor_stuck() {
    let server = RedisServer::start();
    let mut connection = connect(&server);
    let start = Instant::now();
    let mut pipeline = redis::pipe();
    for number in 0..100_000 {
        pipeline.set(format!("key{number}"), number).ignore();
    }
    for number in 0..100_000 {
        pipeline.get(format!("key{number}"));
    }
    let values: Vec<i32> = pipeline.query(&mut connection).unwrap();
    println!("a pipeline of 200,000 commands: {:.0?}", start.elapsed());
    assert!(values.into_iter().eq(0..100_000));

    let start = Instant::now();
    let large = vec![b'x'; 64 << 20];
    connection.set("large", &large[..]).unwrap();
    let back: Vec<u8> = redis::Commands::get(&mut connection, "large").unwrap();
    println!("64 MiB there and back: {:.0?}", start.elapsed());
    assert!(back == large);

    // More than all buffers in between hold, in both directions at once.
    let echo = vec![b'y'; 1 << 20];
    let mut pipeline = redis::pipe();
    for _ in 0..64 {
        pipeline.cmd("ECHO").arg(&echo[..]);
    }
    let start = Instant::now();
    let echoes: Vec<Vec<u8>> = pipeline.query(&mut connection).unwrap();
    println!("64 MiB there and back as a pipeline: {:.0?}", start.elapsed());
    assert!(echoes.iter().all(|one| *one == echo));
    assert_eq!(echoes.len(), 64);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_transaction_happens_as_a_whole_or_is_tried_again() {
    let server = RedisServer::start();
    let mut connection = connect(&server);
    let (one, two): (i32, i32) =
        redis::pipe().atomic().incr("a", 1).incr("a", 1).query(&mut connection).unwrap();
    assert_eq!((one, two), (1, 2));

    let runs = Rc::new(Cell::new(0));
    let incrementers: Vec<_> = (0..10)
        .map(|_| {
            let (mut connection, runs) = (connect(&server), Rc::clone(&runs));
            evy::spawn(move || {
                for _ in 0..10 {
                    let _: (i32,) =
                        redis::transaction(&mut connection, &["sum"], |connection, pipe| {
                            runs.set(runs.get() + 1);
                            let sum: Option<i32> = redis::Commands::get(connection, "sum")?;
                            pipe.set("sum", sum.unwrap_or(0) + 1)
                                .ignore()
                                .get("sum")
                                .query(connection)
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    evy::join_all(incrementers).into_iter().for_each(|result| result.unwrap());
    assert_eq!(connection.get_int("sum").unwrap(), Some(100));
    println!("100 transactions of 10 green threads on one key were run {} times", runs.get());
    assert!(runs.get() > 100, "they did not meet");

    let mut pipe = redis::pipe();
    let error =
        pipe.atomic().set("a", 1).cmd("NONSENSE").set("b", 2).exec(&mut connection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ExecAbort));
    assert!(
        error.to_string().contains("Index 1") && error.to_string().contains("NONSENSE"),
        "{error}"
    );
    // Nothing of it was done, and the connection goes on.
    assert_eq!(connection.get_int("a").unwrap(), Some(2));

    // One whose own command fails is done all the same; that is Redis' way.
    let error = redis::pipe().atomic().set("a", 5).lpush("a", 1).exec(&mut connection).unwrap_err();
    assert_eq!(error.code(), None, "{error}");
    assert_eq!(connection.get_int("a").unwrap(), Some(5));
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn messages_come_to_who_is_subscribed_and_the_connection_is_free_again_afterwards() {
    let server = RedisServer::start();
    for mut connection in [connect(&server), connect_resp3(&server)] {
        let mut publisher = connect(&server);
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe(&["news", "more"]).unwrap();
        pubsub.psubscribe("topic.*").unwrap();
        let sender = evy::spawn(move || {
            for (channel, text) in [("news", "one"), ("topic.a", "two"), ("more", "three")] {
                assert_eq!(publisher.publish(channel, text).unwrap(), 1);
            }
            publisher
        });
        let message = pubsub.get_message().unwrap();
        assert_eq!((message.get_channel_name(), message.from_pattern()), ("news", false));
        assert_eq!(message.get_payload::<String>().unwrap(), "one");
        let message = pubsub.get_message().unwrap();
        assert_eq!(message.get_channel_name(), "topic.a");
        assert_eq!(message.get_pattern::<String>().unwrap(), "topic.*");
        assert_eq!(message.get_payload_bytes(), b"two");
        assert_eq!(pubsub.get_message().unwrap().get_payload::<String>().unwrap(), "three");
        let mut publisher = sender.wait().unwrap();

        // Nothing comes, which breaks nothing.
        pubsub.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert!(pubsub.get_message().unwrap_err().is_timeout());
        pubsub.set_read_timeout(None).unwrap();
        pubsub.unsubscribe("more").unwrap();
        assert_eq!(publisher.publish("more", "four").unwrap(), 0);
        publisher.publish("news", "five").unwrap();
        assert_eq!(pubsub.get_message().unwrap().get_payload::<String>().unwrap(), "five");

        // Messages that nobody has read are no answers.
        publisher.publish("news", "six").unwrap();
        publisher.publish("topic.b", "seven").unwrap();
        drop(pubsub);
        assert_eq!(publisher.publish("news", "eight").unwrap(), 0);
        connection.set("key", "value").unwrap();
        assert_eq!(connection.get("key").unwrap().as_deref(), Some("value"));

        let counter = evy::spawn(move || {
            let mut count = 0;
            connection.subscribe("counted", |message| {
                count += message.get_payload::<i32>().unwrap();
                if count < 3 { ControlFlow::Continue } else { ControlFlow::Break(count) }
            })
        });
        while publisher.publish("counted", 1).unwrap() == 0 {
            evy::yield_now();
        }
        publisher.publish("counted", 2).unwrap();
        assert_eq!(counter.wait().unwrap().unwrap(), 3);
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn resp3_pushes_go_to_their_sender_and_are_no_answers() {
    let server = RedisServer::start();
    let mut connection = connect_resp3(&server);
    let (sender, pushes) = mpsc::channel();
    connection.set_push_sender(sender);
    connection.hset("hash", "a", 1).unwrap();
    let raw: Value = redis::cmd("HGETALL").arg("hash").query(&mut connection).unwrap();
    assert!(matches!(raw, Value::Map(_)), "{raw:?}");

    connection.subscribe_resp3("news").unwrap();
    // The answer to this comes behind the confirmation.
    connection.set("key", "value").unwrap();
    connect(&server).publish("news", "hello").unwrap();
    let (value, ping): (String, String) =
        redis::pipe().get("key").cmd("PING").query(&mut connection).unwrap();
    assert_eq!((value.as_str(), ping.as_str()), ("value", "PONG"));
    let kinds: Vec<_> = pushes.try_iter().map(|push| push.kind).collect();
    assert_eq!(kinds, [PushKind::Subscribe, PushKind::Message]);

    let error = connect(&server).subscribe_resp3("news").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidClientConfig);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_stream_is_shared_by_its_group_and_what_a_dead_one_left_is_claimed() {
    let server = RedisServer::start();
    let mut connection = connect(&server);
    let _: () =
        redis::Commands::xgroup_create_mkstream(&mut connection, "jobs", "workers", "$").unwrap();
    let read = |connection: &mut Connection, name: &str| {
        let options = StreamReadOptions::default().group("workers", name).block(10_000).count(1);
        let reply: Option<StreamReadReply> =
            redis::Commands::xread_options(connection, &["jobs"], &[">"], &options).unwrap();
        let entry = reply.expect("one comes in time").keys.remove(0).ids.remove(0);
        let number: usize = entry.get("number").unwrap();
        (entry.id, number)
    };
    // Ten green threads wait for jobs at the same time, one OS thread for all.
    let done = Rc::new(RefCell::new(Vec::new()));
    let workers: Vec<_> = (0..10)
        .map(|worker| {
            let (mut connection, done) = (connect(&server), Rc::clone(&done));
            evy::spawn(move || {
                for _ in 0..5 {
                    let (id, number) = read(&mut connection, &format!("worker{worker}"));
                    done.borrow_mut().push(number);
                    let _: () =
                        redis::Commands::xack(&mut connection, "jobs", "workers", &[id]).unwrap();
                }
            })
        })
        .collect();
    for number in 0..50 {
        let _: String =
            redis::Commands::xadd(&mut connection, "jobs", "*", &[("number", number)]).unwrap();
    }
    evy::join_all(workers).into_iter().for_each(|result| result.unwrap());
    done.borrow_mut().sort_unstable();
    assert_eq!(*done.borrow(), (0..50).collect::<Vec<_>>());

    let _: String = redis::Commands::xadd(&mut connection, "jobs", "*", &[("number", 50)]).unwrap();
    let (id, _) = read(&mut connect(&server), "dead");
    let options = StreamAutoClaimOptions::default().count(10);
    let reply: StreamAutoClaimReply = redis::Commands::xautoclaim_options(
        &mut connection,
        "jobs",
        "workers",
        "heir",
        0,
        "0",
        options,
    )
    .unwrap();
    assert_eq!(reply.claimed.len(), 1);
    assert_eq!(reply.claimed[0].id, id);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_script_is_loaded_when_the_server_does_not_have_it() {
    let server = RedisServer::start();
    let mut connection = connect(&server);
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for expected in [5, 10] {
        assert_eq!(script.key("sum").arg(5).invoke::<i32>(&mut connection).unwrap(), expected);
    }
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
    let error =
        redis::pipe().invoke_script(script.key("sum").arg(1)).exec(&mut connection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
    script.prepare_invoke().load(&mut connection).unwrap();
    let (sum,): (i32,) =
        redis::pipe().invoke_script(script.key("sum").arg(1)).query(&mut connection).unwrap();
    assert_eq!(sum, 11);
    let error = Script::new("error('no')").invoke::<()>(&mut connection).unwrap_err();
    assert!(error.to_string().contains("no"), "{error}");
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_unix_socket_serves_as_well() {
    let server = RedisServer::start();
    let client = Client::open(server.unix_url()).unwrap();
    let mut connection = client.get_connection_with_timeout(LIMIT).unwrap();
    connection.set("key", "by a file").unwrap();
    assert_eq!(connect(&server).get("key").unwrap().as_deref(), Some("by a file"));
    let scheme = server.unix_url().replace("redis+unix", "unix");
    assert!(
        Client::open(format!("{scheme}?db=2"))
            .unwrap()
            .get_connection()
            .unwrap()
            .check_connection()
    );
    let missing = Client::open("unix:///nowhere/redis.sock").unwrap();
    assert!(missing.get_connection().unwrap_err().is_connection_refusal());
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_password_is_asked_for_and_a_user_may_do_what_the_acl_says() {
    let server = RedisServer::start_with(&[
        "requirepass secret",
        "user reader on >password ~public:* +get +ping +client",
    ]);
    let port = server.port();
    let open = |user: &str, rest: &str| {
        Client::open(format!("redis://{user}127.0.0.1:{port}/{rest}")).unwrap().get_connection()
    };
    for protocol in ["", "?protocol=resp3"] {
        assert!(open(":secret@", protocol).unwrap().check_connection());
        let mut reader = open("reader:password@", protocol).unwrap();
        assert_eq!(reader.get("public:a").unwrap(), None);
        for error in [
            reader.get("private").unwrap_err(),
            reader.set("public:a", 1).unwrap_err(),
            reader.as_pubsub().subscribe("any").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm), "{error}");
        }
        assert_eq!(reader.get("public:a").unwrap(), None);
        let error = open("reader:wrong@", protocol).unwrap_err();
        assert!(error.to_string().contains("invalid username-password pair"), "{error}");
    }
    let error = open(":wrong@", "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailed);
    // Without any, the first command is refused.
    let mut nobody = open("", "").unwrap();
    let error = nobody.get("a").unwrap_err();
    assert_eq!(error.code(), Some("NOAUTH"), "{error}");
    let error = redis::pipe().atomic().get("a").exec(&mut nobody).unwrap_err();
    assert_eq!(error.code(), Some("NOAUTH"), "{error}");
    assert_eq!(open("", "?protocol=resp3").unwrap_err().code(), Some("NOAUTH"));
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn ten_blocking_calls_take_the_time_of_one() {
    let server = RedisServer::start();
    let connections: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    let start = Instant::now();
    let calls: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, mut connection)| {
            evy::spawn(move || {
                let key = format!("list{number}");
                redis::Commands::blpop::<_, Option<(String, String)>>(&mut connection, key, 0.3)
                    .unwrap()
            })
        })
        .collect();
    for result in evy::join_all(calls) {
        assert_eq!(result.unwrap(), None);
    }
    let elapsed = start.elapsed();
    println!("ten BLPOPs of 0.3 s: {elapsed:.0?}");
    // One after the other would be 3 s.
    assert!(
        elapsed >= Duration::from_millis(300) && elapsed < Duration::from_millis(2500),
        "{elapsed:?}"
    );
}

/// What a user may leave a connection in. With those in the middle, nobody knows what comes next from the
/// server.
const LEFTOVERS: [fn(&mut Connection); 11] = [
    |connection| redis::cmd("MULTI").exec(connection).unwrap(),
    |connection| redis::cmd("WATCH").arg("key").exec(connection).unwrap(),
    |connection| redis::cmd("SELECT").arg(1).exec(connection).unwrap(),
    |connection| {
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe(&["a", "b"]).unwrap();
        std::mem::forget(pubsub);
    },
    |connection| {
        let mut pubsub = connection.as_pubsub();
        pubsub.psubscribe("a*").unwrap();
        pubsub.psubscribe("b*").unwrap();
        pubsub.punsubscribe(&["a*", "b*"]).unwrap();
    },
    |connection| connection.as_pubsub().psubscribe("a*").unwrap(),
    |connection| redis::cmd("CLIENT").arg("SETNAME").arg("mine").exec(connection).unwrap(),
    |connection| {
        connection.send_packed_command(&redis::cmd("MONITOR").get_packed_command()).unwrap()
    },
    |connection| connection.send_packed_command(&redis::cmd("PING").get_packed_command()).unwrap(),
    |connection| connection.send_packed_command(b"*1\r\n$4\r\nPI").unwrap(),
    |connection| connection.set_read_timeout(Some(Duration::from_millis(1))).unwrap(),
];

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_pool_hands_on_no_connection_in_the_state_its_last_user_left_it_in() {
    let server = RedisServer::start_with(&["user app on >password ~* &* +@all"]);
    let port = server.port();
    let mut other = connect(&server);
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://app:password@127.0.0.1:{port}/2?protocol={protocol}");
        let pool = Client::open(url).unwrap().pool_builder(LIMIT).max(1).build().unwrap();
        let id = |connection: &mut Connection| connection.client_id().unwrap();
        for (number, leave) in LEFTOVERS.iter().enumerate() {
            let mut connection = pool.get().unwrap();
            let before = id(&mut connection);
            leave(&mut connection);
            drop(connection);
            let mut connection = pool.get().unwrap();
            let kept = id(&mut connection) == before;
            assert_eq!(kept, !(7..10).contains(&number), "{number} with {protocol}");
            // A WATCH that was left would make the transaction come to nothing, a MULTI all of it.
            other.set("key", number).unwrap();
            let (name, db_size): (Value, i32) = redis::pipe()
                .atomic()
                .cmd("CLIENT")
                .arg("GETNAME")
                .cmd("DBSIZE")
                .query(&mut *connection)
                .unwrap();
            assert!(name == Value::Nil || name == Value::BulkString(vec![]), "{number}: {name:?}");
            assert_eq!(db_size, 0, "{number}: another database");
            let user: String = redis::cmd("ACL").arg("WHOAMI").query(&mut *connection).unwrap();
            assert_eq!(user, "app", "{number}");
            let hash = redis::cmd("HGETALL").arg("none").query::<Value>(&mut *connection).unwrap();
            assert_eq!(matches!(hash, Value::Map(_)), protocol == "resp3", "{number}: {hash:?}");
            let nothing: Option<(String, String)> =
                redis::Commands::blpop(&mut *connection, "none", 0.05).unwrap();
            assert_eq!(nothing, None, "{number}: a timeout was left");
        }
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_connection_whose_call_was_interrupted_gives_nobody_the_wrong_answer() {
    let server = RedisServer::start();
    let interrupt: [fn(&mut Connection) -> bool; 3] = [
        |connection| {
            let blpop =
                || redis::Commands::blpop::<_, Option<(String, String)>>(connection, "list", 60.0);
            evy::timeout(Duration::from_millis(20), blpop).is_err()
        },
        |connection| {
            connection.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let blpop =
                redis::Commands::blpop::<_, Option<(String, String)>>(connection, "list", 60.0);
            blpop.unwrap_err().is_timeout()
        },
        |connection| {
            let mut pipe = redis::pipe();
            let blpop = pipe.cmd("PING").cmd("BLPOP").arg("list").arg(60).cmd("PING");
            evy::timeout(Duration::from_millis(20), || blpop.exec(connection)).is_err()
        },
    ];
    for interrupt in interrupt {
        let pool = pool(&server, 1);
        let mut connection = pool.get().unwrap();
        assert!(interrupt(&mut connection));
        assert!(!connection.is_open());
        connect(&server).rpush("list", "for nobody").unwrap();
        let error = connection.get("none").unwrap_err();
        assert!(error.is_connection_dropped() && error.is_unrecoverable_error(), "{error}");
        drop(connection);
        let mut connection = pool.get().unwrap();
        assert_eq!(connection.get("none").unwrap(), None);
        redis::cmd("DEL").arg("list").exec(&mut *connection).unwrap();
    }
}

/// What the users of a pool have seen so far.
#[derive(Debug, Default)]
struct Tally {
    successes: Cell<usize>,
    failures: RefCell<Vec<RedisError>>,
    slowest: Cell<Duration>,
}

impl Tally {
    fn user(self: &Rc<Self>, pool: &Pool, number: usize) -> evy::GreenThread<()> {
        let (tally, pool) = (Rc::clone(self), pool.clone());
        evy::spawn(move || {
            for round in 0_usize.. {
                let start = Instant::now();
                let value = number * 1_000_000 + round;
                let result = pool.get().and_then(|mut connection| {
                    redis::pipe()
                        .cmd("ECHO")
                        .arg(value)
                        .cmd("ECHO")
                        .arg(value)
                        .query::<(usize, usize)>(&mut *connection)
                });
                tally.slowest.set(tally.slowest.get().max(start.elapsed()));
                match result {
                    Ok(values) => {
                        assert_eq!(values, (value, value), "the answer of somebody else");
                        tally.successes.set(tally.successes.get() + 1);
                    }
                    Err(error) => {
                        tally.failures.borrow_mut().push(error);
                        evy::sleep(Duration::from_millis(1));
                    }
                }
            }
        })
    }

    /// Lets the users go on until so many more calls have succeeded.
    fn wait_for_successes(&self, count: usize) {
        let goal = self.successes.get() + count;
        let start = Instant::now();
        while self.successes.get() < goal {
            assert!(start.elapsed() < 4 * LIMIT, "{self:?}");
            evy::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_server_that_is_killed_under_load_fails_calls_at_once_and_the_pool_recovers() {
    let mut server = RedisServer::start();
    let pool = pool(&server, 8);
    let tally = Rc::new(Tally::default());
    let users: Vec<_> = (0..40).map(|number| tally.user(&pool, number)).collect();
    for _ in 0..5 {
        tally.wait_for_successes(1000);
        server.kill();
        let failed = tally.failures.borrow().len();
        let start = Instant::now();
        while tally.failures.borrow().len() < failed + 100 {
            assert!(start.elapsed() < LIMIT, "{tally:?}");
            evy::sleep(Duration::from_millis(1));
        }
        server.restart();
    }
    tally.wait_for_successes(1000);
    let slowest = tally.slowest.get();
    users.iter().for_each(evy::GreenThread::kill);
    let failures = tally.failures.borrow();
    println!(
        "{} calls succeeded and {} failed by 5 kills; the slowest took {slowest:.0?}",
        tally.successes.get(),
        failures.len()
    );
    for error in &*failures {
        assert!(error.is_connection_dropped(), "{error:?}");
    }
    assert!(slowest < LIMIT, "{slowest:?}");
    assert!(pool.size() <= 8);
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_server_that_is_full_says_so() {
    let server = RedisServer::start_with(&["maxclients 3"]);
    let held: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for url in [server.url(), server.unix_url(), format!("{}?protocol=resp3", server.url())] {
        let error = Client::open(url).unwrap().get_connection().unwrap_err();
        assert!(error.to_string().contains("max number of clients reached"), "{error}");
    }
    let pool = pool(&server, 4);
    assert!(pool.get().unwrap_err().to_string().contains("max number of clients reached"));
    drop(held);
    let start = Instant::now();
    while let Err(error) = pool.get() {
        assert!(start.elapsed() < LIMIT, "{error}");
        evy::sleep(Duration::from_millis(1));
    }
}

#[test]
#[ignore = "acceptance: needs redis-server"]
fn a_server_that_stalls_holds_nobody_beyond_the_deadline() {
    let server = RedisServer::start();
    // It has to be enough for a connection while the server is well.
    let limit = Duration::from_secs(1);
    let client = Client::open(server.url()).unwrap();
    let pool = client.pool_builder(limit).max(4).build().unwrap();
    drop([pool.get().unwrap(), pool.get().unwrap()]);
    let mut connection = pool.get().unwrap();
    connection.set_read_timeout(Some(limit)).unwrap();
    server.freeze();

    let in_time = |what: &str, call: &mut dyn FnMut() -> RedisError| {
        let start = Instant::now();
        let error = call();
        let elapsed = start.elapsed();
        assert!(error.is_timeout(), "{what}: {error}");
        assert!(elapsed >= limit / 2 && elapsed < LIMIT, "{what}: {elapsed:?}");
    };
    in_time("a call", &mut || connection.get("a").unwrap_err());
    in_time("a new connection", &mut || client.get_connection_with_timeout(limit).unwrap_err());
    in_time("by a Unix socket", &mut || {
        Client::open(server.unix_url()).unwrap().get_connection_with_timeout(limit).unwrap_err()
    });
    // The idle one looks well, until it has been idle for a while.
    evy::sleep(Duration::from_millis(1100));
    in_time("a pool's", &mut || pool.get().unwrap_err());
    server.thaw();
    drop(connection);
    assert!(pool.get().unwrap().check_connection());
    assert_eq!(pool.size(), 1);
}

#[cfg(feature = "tls")]
mod tls {
    use std::fs;

    use evy::patched::redis::{
        Client, ClientTlsConfig, ErrorKind, RedisResult, TlsCertificates, TypedCommands,
    };
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

    use super::server::{RedisServer, free_port, new_folder};
    use super::{LIMIT, redis};

    /// A server that speaks TLS too, and the PEM texts that its clients need.
    struct TlsServer {
        server: RedisServer,
        port: u16,
        root: String,
        identity: ClientTlsConfig,
    }

    impl TlsServer {
        fn start(clients: &str) -> Self {
            let issuer = KeyPair::generate().unwrap();
            let mut authority = CertificateParams::new([]).unwrap();
            authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
            authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(authority, issuer).unwrap();
            let signed = |name: &str| {
                let key = KeyPair::generate().unwrap();
                let params = CertificateParams::new([name.to_owned()]).unwrap();
                (params.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
            };
            let (folder, port) = (new_folder(), free_port());
            let (certificate, key) = signed("localhost");
            fs::write(folder.join("certificate"), certificate).unwrap();
            fs::write(folder.join("key"), key).unwrap();
            fs::write(folder.join("root"), authority.pem()).unwrap();
            let path = folder.display().to_string();
            let options = [
                format!("tls-port {port}"),
                format!("tls-cert-file {path}/certificate"),
                format!("tls-key-file {path}/key"),
                format!("tls-ca-cert-file {path}/root"),
                format!("tls-auth-clients {clients}"),
            ];
            let server = RedisServer::start_in(folder, &options.each_ref().map(String::as_str));
            let (client_cert, client_key) = signed("client");
            let identity = ClientTlsConfig {
                client_cert: client_cert.into_bytes(),
                client_key: client_key.into_bytes(),
            };
            Self { server, port, root: authority.pem(), identity }
        }

        fn client(&self, host: &str, identity: Option<ClientTlsConfig>) -> Client {
            let certificates =
                TlsCertificates { client_tls: identity, root_cert: Some(self.root.clone().into()) };
            Client::build_with_tls(format!("rediss://{host}:{}/", self.port), certificates).unwrap()
        }
    }

    fn set_and_get(client: &Client) -> RedisResult<()> {
        let mut connection = client.get_connection_with_timeout(LIMIT)?;
        let large = "x".repeat(1 << 20);
        connection.set("key", &large)?;
        let mut pipe = redis::pipe();
        for _ in 0..20 {
            pipe.get("key");
        }
        let back: Vec<String> = pipe.query(&mut connection)?;
        assert!(back.len() == 20 && back.iter().all(|text| *text == large));
        Ok(())
    }

    #[test]
    #[ignore = "acceptance: needs redis-server"]
    fn tls_is_for_whom_the_certificates_are() {
        let server = TlsServer::start("no");
        set_and_get(&server.client("localhost", None)).unwrap();

        let error = set_and_get(&server.client("127.0.0.1", None)).unwrap_err();
        assert!(error.is_io_error() && error.to_string().contains("certificate"), "{error}");
        // The system trusts no such authority.
        let url = format!("rediss://localhost:{}/", server.port);
        let error = set_and_get(&Client::open(&*url).unwrap()).unwrap_err();
        assert!(error.is_io_error() && error.to_string().contains("certificate"), "{error}");
        let insecure =
            Client::open(format!("rediss://127.0.0.1:{}/#insecure", server.port)).unwrap();
        set_and_get(&insecure).unwrap();

        // TLS to a port without, and the other way round.
        let port = server.server.port();
        let plain = Client::open(format!("rediss://localhost:{port}/#insecure")).unwrap();
        assert!(plain.get_connection_with_timeout(LIMIT).unwrap_err().is_io_error());
        let tls = Client::open(format!("redis://localhost:{}/", server.port)).unwrap();
        assert!(tls.get_connection_with_timeout(LIMIT).is_err());
        let certificates = TlsCertificates { client_tls: None, root_cert: None };
        let error = Client::build_with_tls(server.server.url(), certificates).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidClientConfig);
    }

    #[test]
    #[ignore = "acceptance: needs redis-server"]
    fn a_client_shows_its_certificate_where_the_server_asks_for_one() {
        let server = TlsServer::start("yes");
        set_and_get(&server.client("localhost", Some(server.identity.clone()))).unwrap();
        let error = set_and_get(&server.client("localhost", None)).unwrap_err();
        assert!(error.is_io_error(), "{error}");

        let pool = server.client("localhost", Some(server.identity.clone()));
        let pool = pool.pool_builder(LIMIT).max(2).build().unwrap();
        for _ in 0..3 {
            assert_eq!(pool.get().unwrap().get("none").unwrap(), None);
        }
        assert_eq!(pool.size(), 1);
    }
}
