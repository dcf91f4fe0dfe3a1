//! The pool of clients: what is asked of the server between two users, and what is not.

#[path = "util/scripted_postgres.rs"]
mod scripted_postgres;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evy_patched::postgres::{Config, NoTls, PoolBuilder, SimpleQueryMessage};
use evy_runtime::{sleep, spawn, timeout, unblock};
use scripted_postgres::{Session, start};

/// For what is to take too long.
const LIMIT: Duration = Duration::from_millis(100);

/// For what is not to.
const PATIENCE: Duration = Duration::from_secs(20);

fn builder(address: SocketAddr) -> PoolBuilder {
    let mut config = Config::new();
    config.host("127.0.0.1").port(address.port()).user("me").connect_timeout(PATIENCE);
    PoolBuilder::new(config, NoTls).max(1).validate_after(PATIENCE)
}

/// What clients have sent, each with the number of its session: queries by their text, syncs as `sync`.
struct Heard(Arc<Mutex<Receiver<(usize, String)>>>);

impl Heard {
    fn next(&self) -> (usize, String) {
        let receiver = Arc::clone(&self.0);
        unblock(move || receiver.lock().unwrap().recv_timeout(PATIENCE).unwrap())
    }

    fn texts<const N: usize>(&self) -> [String; N] {
        std::array::from_fn(|_| self.next().1)
    }
}

/// A server that begins transactions with `BEGIN`, tells all that it hears, and has `answer` say something
/// else where that wants to.
fn server(
    answer: impl Fn(&mut Session, &str) -> io::Result<bool> + Send + Sync + Clone + 'static,
) -> (SocketAddr, Heard) {
    let (tell, heard) = channel();
    let address = start(move |mut session, number| {
        session.let_in()?;
        let mut standing = b'I';
        loop {
            let message = session.read()?;
            let text = match message.tag {
                b'Q' => message.sql(),
                b'S' => "sync".to_owned(),
                b'X' => "end".to_owned(),
                _ => continue,
            };
            tell.send((number, text.clone())).map_err(io::Error::other)?;
            match &*text {
                "end" => return Ok(()),
                text if answer(&mut session, text)? => continue,
                "sync" => session.ready(standing)?,
                "BEGIN" | "ROLLBACK" => {
                    standing = if text == "BEGIN" { b'T' } else { b'I' };
                    session.complete(&text, standing)?;
                }
                _ => session.complete("DONE", standing)?,
            }
        }
    });
    (address, Heard(Arc::new(Mutex::new(heard))))
}

fn obedient() -> (SocketAddr, Heard) {
    server(|_, _| Ok(false))
}

#[test]
fn a_client_that_left_nothing_behind_costs_the_server_nothing() {
    let (address, heard) = obedient();
    let pool = builder(address).build().unwrap();
    for query in ["one", "two", "three"] {
        pool.get().unwrap().batch_execute(query).unwrap();
    }
    assert_eq!(heard.texts(), ["one", "two", "three"]);
    assert_eq!((pool.size(), pool.idle()), (1, 1));
}

#[test]
fn a_transaction_is_rolled_back_once_however_it_was_begun() {
    let (address, heard) = obedient();
    let pool = builder(address).build().unwrap();
    pool.get().unwrap().batch_execute("BEGIN").unwrap();
    pool.get().unwrap().batch_execute("next").unwrap();
    assert_eq!(heard.texts(), ["BEGIN", "ROLLBACK", "next"]);
    // One that is dropped has sent its rollback: whether that is through is asked, and no more.
    let mut client = pool.get().unwrap();
    client.batch_execute("BEGIN").unwrap();
    drop(client.transaction().unwrap());
    drop(client);
    pool.get().unwrap().batch_execute("next").unwrap();
    assert_eq!(heard.texts(), ["BEGIN", "START TRANSACTION", "ROLLBACK", "sync", "next"]);
    assert_eq!((pool.size(), pool.idle()), (1, 1));
}

#[test]
fn a_client_whose_rollback_fails_or_stalls_is_dropped() {
    let (address, heard) = server(|session, text| {
        if text == "ROLLBACK" {
            session.fail("ERROR", "XX000", "it will not")?;
            session.ready(b'T')?;
        }
        Ok(text == "ROLLBACK")
    });
    let pool = builder(address).build().unwrap();
    pool.get().unwrap().batch_execute("BEGIN").unwrap();
    assert_eq!(pool.size(), 0);
    pool.get().unwrap().batch_execute("next").unwrap();
    let expected = [(0, "BEGIN"), (0, "ROLLBACK"), (0, "end"), (1, "next")];
    let mut heard: Vec<_> = (0..4).map(|_| heard.next()).collect();
    heard.sort();
    assert_eq!(heard.iter().map(|(n, text)| (*n, &**text)).collect::<Vec<_>>(), expected);

    let (address, _heard) = server(|_, text| Ok(text == "ROLLBACK"));
    let pool = builder(address).answer_timeout(LIMIT).build().unwrap();
    pool.get().unwrap().batch_execute("BEGIN").unwrap();
    assert_eq!(pool.size(), 0);
    pool.get().unwrap().batch_execute("next").unwrap();
}

#[test]
fn where_the_last_words_do_not_tell_the_server_is_asked() {
    let (address, heard) = server(|session, text| {
        if text == "BEGIN; NOTIFY" {
            let mut bytes = scripted_postgres::message(b'C', b"NOTIFY\0");
            bytes.extend(scripted_postgres::message(b'Z', b"T"));
            bytes.extend(scripted_postgres::message(b'A', b"\0\0\0\x01channel\0payload\0"));
            io::Write::write_all(&mut session.0, &bytes)?;
        }
        if text == "sync" {
            session.ready(b'T')?;
        }
        Ok(text == "BEGIN; NOTIFY" || text == "sync")
    });
    let pool = builder(address).build().unwrap();
    pool.get().unwrap().batch_execute("BEGIN; NOTIFY").unwrap();
    assert_eq!(heard.texts(), ["BEGIN; NOTIFY", "sync", "ROLLBACK"]);
    // Nor does the next user get the last one's notifications.
    assert!(pool.get().unwrap().notifications().is_empty());
}

#[test]
fn what_a_session_has_set_is_forgotten_only_if_that_is_asked_for() {
    let (address, heard) = obedient();
    let pool = builder(address).discard_all().build().unwrap();
    pool.get().unwrap().batch_execute("SET").unwrap();
    let [first, second] = heard.texts();
    assert_eq!(first, "SET");
    assert!(second.contains("RESET ALL") && !second.contains("DEALLOCATE"), "{second}");
}

#[test]
fn a_client_that_was_idle_for_long_gives_a_sign_of_life() {
    let (address, heard) = obedient();
    let pool = builder(address).validate_after(Duration::ZERO).build().unwrap();
    for query in ["one", "two"] {
        pool.get().unwrap().batch_execute(query).unwrap();
    }
    assert_eq!(heard.texts(), ["one", "sync", "two"]);
    // One that gives none is replaced.
    let (address, heard) = server(|_, text| Ok(text == "sync"));
    let pool =
        builder(address).validate_after(Duration::ZERO).answer_timeout(LIMIT).build().unwrap();
    for query in ["one", "two"] {
        pool.get().unwrap().batch_execute(query).unwrap();
    }
    let sessions: Vec<_> = (0..2).map(|_| heard.next()).collect();
    assert_eq!(sessions, [(0, "one".to_owned()), (0, "sync".to_owned())]);
    assert_eq!(heard.next(), (1, "two".to_owned()));
}

#[test]
fn a_client_whose_user_is_killed_goes_with_him() {
    let (address, heard) = server(|_, text| Ok(text == "for ever"));
    let pool = builder(address).build().unwrap();
    let user = spawn({
        let pool = pool.clone();
        move || {
            let mut client = pool.get().unwrap();
            let mut transaction = client.transaction().unwrap();
            transaction.batch_execute("for ever").unwrap();
        }
    });
    assert_eq!(heard.texts(), ["START TRANSACTION", "for ever"]);
    user.kill();
    assert_eq!((pool.size(), pool.free()), (0, 1));
    pool.get().unwrap().batch_execute("next").unwrap();
    // The rollback was sent, for what it is worth.
    let mut rest: Vec<_> = (0..2).map(|_| heard.next()).collect();
    rest.sort();
    assert_eq!(rest[0], (0, "ROLLBACK".to_owned()));
    assert_eq!(rest[1].1, "next");
}

#[test]
fn a_statement_that_was_given_up_does_not_reach_the_next_user() {
    let (address, _heard) = server(|_, text| Ok(text == "for ever"));
    let pool = builder(address).answer_timeout(LIMIT).build().unwrap();
    let mut client = pool.get().unwrap();
    assert!(timeout(LIMIT, || client.batch_execute("for ever")).is_err());
    let start = Instant::now();
    drop(client);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert_eq!(pool.size(), 0);
    pool.get().unwrap().batch_execute("next").unwrap();
}

#[test]
fn the_pool_is_whole_again_when_the_server_is() {
    let down = Arc::new(AtomicBool::new(false));
    let address = start({
        let down = Arc::clone(&down);
        move |mut session: Session, _| {
            if down.load(Ordering::SeqCst) {
                session.read_first()?;
                return session.fail("FATAL", "57P03", "the database system is starting up");
            }
            session.let_in()?;
            loop {
                if session.read()?.sql() == "die" {
                    return Ok(());
                }
                session.complete("DONE", b'I')?;
            }
        }
    });
    let pool = builder(address).max(3).build().unwrap();
    let all = [pool.get().unwrap(), pool.get().unwrap(), pool.get().unwrap()];
    down.store(true, Ordering::SeqCst);
    for mut client in all {
        assert!(client.batch_execute("die").unwrap_err().is_closed());
    }
    assert_eq!(pool.size(), 0);
    for _ in 0..5 {
        let error = pool.get().unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("57P03"));
    }
    down.store(false, Ordering::SeqCst);
    for _ in 0..5 {
        pool.get().unwrap().batch_execute("hello").unwrap();
    }
}

#[test]
fn a_client_that_ended_while_it_was_idle_is_not_handed_out() {
    let (tell, heard) = channel();
    let (go, may_go) = channel();
    let may_go = Arc::new(Mutex::new(may_go));
    let address = start(move |mut session, number| {
        session.let_in()?;
        while session.read()?.tag != b'Q' {}
        session.complete("DONE", b'I')?;
        may_go.lock().unwrap().recv().map_err(io::Error::other)?;
        session.0.shutdown(std::net::Shutdown::Both)?;
        tell.send((number, "shut".to_owned())).map_err(io::Error::other)
    });
    let heard = Heard(Arc::new(Mutex::new(heard)));
    let pool = builder(address).build().unwrap();
    for number in 0..3 {
        pool.get().unwrap().batch_execute("hello").unwrap();
        assert_eq!(pool.idle(), 1);
        go.send(()).unwrap();
        assert_eq!(heard.next(), (number, "shut".to_owned()));
        // A turn of the hub, in which it is read.
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_copy_that_was_refused_does_not_reach_the_next_user() {
    let address = start(|mut session, number| {
        session.let_in()?;
        let mut skips = false;
        loop {
            let message = session.read()?;
            match message.tag {
                b'S' => {
                    skips = false;
                    session.ready(b'I')?;
                }
                _ if skips => {}
                b'P' => session.say(b'1', &[])?,
                b'D' => {
                    session.say(b't', &[0, 0])?;
                    session.say(b'n', &[])?;
                }
                b'B' => {
                    session.say(b'2', &[])?;
                    session.fail("ERROR", "42501", "permission denied")?;
                    skips = true;
                }
                b'Q' if message.sql().is_empty() => {
                    session.say(b'I', &[])?;
                    session.ready(b'I')?;
                }
                b'Q' => session.row(&number.to_string())?,
                b'X' => return Ok(()),
                _ => {}
            }
        }
    });
    let pool = builder(address).build().unwrap();
    assert!(pool.get().unwrap().copy_in("COPY people FROM STDIN").is_err());
    let rows = pool.get().unwrap().simple_query("who").unwrap();
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(row, Some("1"), "a session of its own");
}

#[test]
fn what_a_client_is_told_while_it_is_idle_does_not_reach_the_next_user() {
    let address = start(|mut session, _| {
        session.let_in()?;
        loop {
            match session.read()?.tag {
                b'S' => {
                    session.say(b'A', b"\0\0\0\x01jobs\0work\0")?;
                    session.ready(b'I')?;
                }
                b'Q' => session.complete("LISTEN", b'I')?,
                _ => return Ok(()),
            }
        }
    });
    // The sign of life comes behind what was said to an idle client.
    let pool = builder(address).validate_after(Duration::ZERO).build().unwrap();
    pool.get().unwrap().batch_execute("LISTEN jobs").unwrap();
    let mut client = pool.get().unwrap();
    assert_eq!(client.notifications().len(), 0);
    client.check_connection().unwrap();
    assert_eq!(client.notifications().len(), 1);
}
