//! The pool of `evy_patched::redis`: what is handed on, what is cleaned, and what is dropped.

#[path = "util/redis.rs"]
mod redis_server;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use evy_green_net::TcpStream;
use evy_green_net::tls::{TlsAcceptor, TlsStream};
use evy_patched::redis::{
    self, Client, Commands, Connection, ConnectionLike, Pool, RedisError, TlsCertificates,
};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use redis_server::{greeted, server};

/// A little more than a pool takes a connection for good without asking. It goes by the clock, so only time
/// shows what it does then; none of it is a bound that a slow machine could miss.
const LONG_IDLE: Duration = Duration::from_millis(1050);

const LIMIT: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(50);
/// For a pool that is to give something up, and has to connect in the same time.
const A_WHILE: Duration = Duration::from_secs(1);

fn pool(url: &str, max: usize) -> Pool {
    Client::open(url).unwrap().pool_builder(LIMIT).max(max).build().unwrap()
}

/// A server that answers each command with `+OK`, each `RESET` as it should, and each `GET` with the number
/// of the connection; and what it was told, after the first words.
fn telling_server() -> (String, Receiver<String>) {
    let (sender, told) = channel::<String>();
    let url = greeted(move |number, peer| {
        loop {
            let command = peer.command()?.join(" ");
            sender.send(command.clone()).map_err(io::Error::other)?;
            match &*command {
                "RESET" => peer.say("+RESET\r\n")?,
                "PING" => peer.say("+PONG\r\n")?,
                "GET number" => peer.say(&format!(":{number}\r\n"))?,
                "GET never" => {}
                _ => peer.say("+OK\r\n")?,
            }
        }
    });
    (url, told)
}

fn number(pool: &Pool) -> usize {
    pool.get().unwrap().get("number").unwrap()
}

#[test]
fn a_clean_connection_is_handed_on_without_a_word() {
    let (url, told) = telling_server();
    let pool = pool(&url, 1);
    for _ in 0..3 {
        assert_eq!(number(&pool), 0);
    }
    drop(pool);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["GET number"; 3]);
}

#[test]
fn what_a_user_has_left_is_undone_before_the_next_one() {
    for leave in
        ["MULTI", "WATCH", "SELECT", "CLIENT", "HELLO", "AUTH", "READONLY", "multi", "Watch"]
    {
        let (url, told) = telling_server();
        let pool = pool(&url, 1);
        redis::cmd(leave).arg("x").exec(&mut *pool.get().unwrap()).unwrap();
        assert_eq!(number(&pool), 0);
        let words: Vec<_> = told.try_iter().collect();
        assert_eq!(words[..2], [format!("{leave} x"), "RESET".to_owned()]);
        assert!(words[2].starts_with("CLIENT SETINFO LIB-NAME"), "{words:?}");
        assert_eq!(words[4..], ["GET number"]);
    }
}

#[test]
fn a_transaction_that_has_ended_needs_no_undoing() {
    let url = greeted(|number, peer| {
        for answer in ["+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n", "+OK\r\n"] {
            peer.answer(answer)?;
        }
        peer.answer(&format!(":{number}\r\n"))?;
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    let one: (i32,) =
        redis::transaction(&mut *pool.get().unwrap(), &["key"], |connection, pipe| {
            pipe.incr("key", 1).query(connection)
        })
        .unwrap();
    assert_eq!(one, (1,));
    assert_eq!(number(&pool), 0);
}

/// Where the server says no to one of these commands, it may or may not have done what came before.
#[test]
fn a_refusal_in_a_transaction_is_undone() {
    let url = greeted(|_, peer| {
        peer.answer("-ERR no\r\n")?;
        assert_eq!(peer.answer("+RESET\r\n")?, ["RESET"]);
        peer.greet()?;
        peer.answer(":0\r\n")?;
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    redis::cmd("UNWATCH").exec(&mut *pool.get().unwrap()).unwrap_err();
    assert_eq!(number(&pool), 0);
}

#[test]
fn a_server_that_does_not_know_reset_has_its_connection_dropped() {
    let url = greeted(|number, peer| {
        if number == 0 {
            peer.answer("+OK\r\n")?;
            peer.answer("-ERR unknown command 'RESET'\r\n")?;
            peer.greet()?;
        }
        peer.answer(&format!(":{number}\r\n"))?;
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    redis::cmd("MULTI").exec(&mut *pool.get().unwrap()).unwrap();
    assert_eq!(number(&pool), 1);
}

#[test]
fn a_reset_that_is_not_answered_is_given_up() {
    let (url, _told) = {
        let (sender, told) = channel::<()>();
        let url = greeted(move |number, peer| {
            peer.answer(&format!(":{number}\r\n"))?;
            peer.wait_for_end()?;
            sender.send(()).map_err(io::Error::other)
        });
        (url, told)
    };
    let pool = Client::open(url).unwrap().pool_builder(A_WHILE).max(1).build().unwrap();
    let mut connection = pool.get().unwrap();
    redis::cmd("SELECT").arg(1).query::<i32>(&mut *connection).unwrap();
    let start = Instant::now();
    drop(connection);
    assert_eq!(number(&pool), 1);
    assert!(start.elapsed() >= A_WHILE && start.elapsed() < LIMIT);
}

#[test]
fn fault_07_a_connection_whose_call_was_interrupted_is_not_handed_on() {
    let interruptions: [fn(&Pool); 3] = [
        |pool| {
            let mut connection = pool.get().unwrap();
            let call = || connection.get::<_, i32>("never");
            assert!(timeout(SOON, call).is_err());
        },
        |pool| {
            let mut connection = pool.get().unwrap();
            connection.set_read_timeout(Some(SOON)).unwrap();
            assert!(connection.get::<_, i32>("never").unwrap_err().is_timeout());
        },
        |pool| {
            let pool = pool.clone();
            let user = spawn(move || pool.get().unwrap().get::<_, i32>("never"));
            yield_now();
            sleep(Duration::from_millis(5));
            user.kill();
        },
    ];
    for interrupt in interruptions {
        let (url, _told) = telling_server();
        let pool = pool(&url, 1);
        assert_eq!(number(&pool), 0);
        interrupt(&pool);
        assert_eq!((pool.size(), pool.idle()), (0, 0));
        assert_eq!(number(&pool), 1);
    }
}

#[test]
fn a_connection_that_the_server_has_closed_while_idle_is_not_handed_out() {
    let (sender, closed) = channel();
    let url = greeted(move |number, peer| {
        peer.answer(&format!(":{number}\r\n"))?;
        if number == 0 {
            peer.stream.shutdown(std::net::Shutdown::Both)?;
            return sender.send(()).map_err(io::Error::other);
        }
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    assert_eq!(number(&pool), 0);
    closed.recv_timeout(LIMIT).unwrap();
    assert_eq!(number(&pool), 1);
}

/// The socket below is still open, and nobody asks the server.
#[test]
fn a_connection_whose_tls_the_server_has_ended_while_idle_is_not_handed_out() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, secret) = (key.cert.pem(), key.signing_key.serialize_pem());
    let acceptor = TlsAcceptor::from_pem(&chain, &secret).unwrap();
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (end, ended) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let server = spawn({
        let (end, ended) = (Rc::clone(&end), Rc::clone(&ended));
        move || {
            let accept = || acceptor.accept(listener.accept().unwrap().0).unwrap();
            let mut first = accept();
            answer(&mut first, concat!(env!("CARGO_PKG_VERSION"), "\r\n"), "+OK\r\n+OK\r\n");
            for _ in 0..2 {
                answer(&mut first, "number\r\n", ":0\r\n");
            }
            while !end.get() {
                yield_now();
            }
            first.shutdown().unwrap();
            ended.set(true);
            let mut second = accept();
            answer(&mut second, concat!(env!("CARGO_PKG_VERSION"), "\r\n"), "+OK\r\n+OK\r\n");
            answer(&mut second, "number\r\n", ":1\r\n");
        }
    });
    let certificates =
        TlsCertificates { client_tls: None, root_cert: Some(chain.clone().into_bytes()) };
    let url = format!("rediss://localhost:{port}/");
    let client = Client::build_with_tls(url, certificates).unwrap();
    let pool = client.pool_builder(LIMIT).max(1).build().unwrap();
    // Nothing has happened to it.
    assert_eq!([number(&pool), number(&pool)], [0, 0]);
    end.set(true);
    while !ended.get() {
        yield_now();
    }
    assert_eq!(number(&pool), 1);
    server.wait().unwrap();
}

/// Reads until something has come that ends so, and answers it.
fn answer(peer: &mut TlsStream<TcpStream>, end: &str, answer: &str) {
    let mut words = Vec::new();
    while !words.ends_with(end.as_bytes()) {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        words.extend(byte);
    }
    peer.write_all(answer.as_bytes()).unwrap();
}

/// Bytes that nobody has asked for would be the next user's answer.
#[test]
fn a_connection_with_something_unread_is_not_handed_out() {
    // Together with the answer, and behind it.
    for (together, behind) in [("+EXTRA\r\n", ""), ("", "+EXTRA\r\n"), ("+EX", "TRA\r\n")] {
        let (sender, sent) = channel();
        let url = greeted(move |number, peer| {
            if number == 0 {
                peer.answer(&format!(":{number}\r\n{together}"))?;
                peer.say(behind)?;
                sender.send(()).map_err(io::Error::other)?;
            } else {
                peer.answer(&format!(":{number}\r\n"))?;
            }
            peer.wait_for_end()
        });
        let pool = pool(&url, 1);
        assert_eq!(number(&pool), 0);
        sent.recv_timeout(LIMIT).unwrap();
        assert_eq!(number(&pool), 1);
    }
}

/// Several commands sent as one have answers that nobody reads, and those may come late.
#[test]
fn a_connection_with_answers_that_nobody_has_read_is_not_handed_on() {
    let (url, _told) = telling_server();
    let pool = pool(&url, 1);
    let mut connection = pool.get().unwrap();
    let three = redis::pipe().get("number").get("never").get("never").get_packed_pipeline();
    let _ = connection.req_packed_command(&three).unwrap();
    drop(connection);
    assert_eq!(pool.size(), 0);
    assert_eq!(number(&pool), 1);
}

#[test]
fn one_that_was_idle_for_long_is_asked_whether_it_is_there() {
    let (url, told) = telling_server();
    let pool = pool(&url, 1);
    assert_eq!(number(&pool), 0);
    sleep(LONG_IDLE);
    assert_eq!(number(&pool), 0);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["GET number", "PING", "GET number"]);
}

#[test]
fn one_that_was_made_ahead_long_ago_is_asked_too() {
    let (url, told) = telling_server();
    let pool = Client::open(url).unwrap().pool_builder(LIMIT).min(1).max(1).build().unwrap();
    sleep(LONG_IDLE);
    assert_eq!(number(&pool), 0);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["PING", "GET number"]);
}

#[test]
fn one_that_does_not_answer_any_more_is_replaced_in_time() {
    let url = greeted(|number, peer| {
        peer.answer(&format!(":{number}\r\n"))?;
        peer.wait_for_end()
    });
    let pool = Client::open(url).unwrap().pool_builder(A_WHILE).max(1).build().unwrap();
    assert_eq!(number(&pool), 0);
    sleep(LONG_IDLE);
    assert_eq!(number(&pool), 1);
}

#[test]
fn timeouts_and_senders_of_pushes_are_not_handed_on() {
    let url = greeted(|_, peer| {
        for _ in 0..2 {
            let _ = never().recv_timeout(Duration::from_millis(30));
            peer.answer("+PONG\r\n")?;
        }
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    let (sender, pushes) = channel();
    let mut connection = pool.get().unwrap();
    connection.set_push_sender(sender);
    assert!(connection.check_connection());
    connection.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    drop(connection);
    assert!(pool.get().unwrap().check_connection());
    drop(pool);
    assert!(pushes.recv().is_err());
}

/// A user's timeout is for that user's calls, not for what cleans the connection.
#[test]
fn a_timeout_does_not_hold_for_the_cleaning() {
    let url = greeted(|number, peer| {
        peer.answer("+OK\r\n")?;
        let _ = never().recv_timeout(Duration::from_millis(30));
        peer.answer("+RESET\r\n")?;
        peer.greet()?;
        peer.answer(&format!(":{number}\r\n"))?;
        peer.wait_for_end()
    });
    let pool = pool(&url, 1);
    let mut connection = pool.get().unwrap();
    redis::cmd("SELECT").arg(1).exec(&mut *connection).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    drop(connection);
    assert_eq!(pool.size(), 1);
    assert_eq!(number(&pool), 0);
}

fn never() -> Receiver<()> {
    let (sender, never): (Sender<()>, _) = channel();
    std::mem::forget(sender);
    never
}

/// Each failure is told to the call whose turn it was, and the next call tries again.
#[test]
fn a_pool_needs_nothing_when_the_server_is_back() {
    let url = server(|number, peer| match number {
        0 | 2 => peer.say("-LOADING Redis is loading the dataset in memory\r\n"),
        1 => Ok(()),
        _ => {
            peer.greet()?;
            peer.answer(&format!(":{number}\r\n"))?;
            peer.wait_for_end()
        }
    });
    let pool = pool(&url, 2);
    let failures: Vec<RedisError> = (0..3).map(|_| pool.get().unwrap_err()).collect();
    assert!(failures[0].to_string().contains("loading the dataset"), "{}", failures[0]);
    assert!(failures[1].is_connection_dropped());
    assert_eq!(pool.size(), 0);
    assert_eq!(number(&pool), 3);
}

#[test]
fn a_pool_hands_its_connections_to_all_in_turn() {
    let (url, _told) = telling_server();
    let pool = pool(&url, 3);
    let users: Vec<_> = (0..30)
        .map(|_| {
            let pool = pool.clone();
            spawn(move || number(&pool))
        })
        .collect();
    for user in users {
        assert!(user.wait().unwrap() < 3);
    }
    assert_eq!((pool.size(), pool.idle()), (3, 3));
}

/// What is written for one connection takes a pooled one as well.
#[test]
fn a_pooled_connection_is_one() {
    fn takes(connection: &mut impl ConnectionLike) -> usize {
        connection.get("number").unwrap()
    }
    let (url, _told) = telling_server();
    let pool = pool(&url, 1);
    let mut pooled = pool.get().unwrap();
    assert_eq!(takes(&mut pooled), 0);
    let mut own: Connection = pooled.detach();
    assert_eq!(takes(&mut own), 0);
    assert_eq!(pool.size(), 0);
}
