//! A client and its connection: whose answer is whose, and what becomes of both when one of them goes.

#[path = "util/scripted_postgres.rs"]
mod scripted_postgres;

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use evy_patched::postgres::binary_copy::BinaryCopyInWriter;
use evy_patched::postgres::error::SqlState;
use evy_patched::postgres::types::Type;
use evy_patched::postgres::{Client, Config, NoTls, SimpleQueryMessage};
use evy_runtime::{join_all, resume_unwind, sleep, spawn, timeout, unblock, yield_now};
use scripted_postgres::{cell, column, message, start};

/// For what is to take too long.
const LIMIT: Duration = Duration::from_millis(30);

/// For what is not to.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(address: SocketAddr) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(address.port()).user("me").connect_timeout(PATIENCE);
    config
}

fn connect(address: SocketAddr) -> Client {
    config(address).connect(NoTls).unwrap()
}

/// The only cell of a simple query's answer.
fn ask(client: &mut Client, query: &str) -> Result<String, evy_patched::postgres::Error> {
    let messages = client.simple_query(query)?;
    let cell = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(cell.unwrap_or("nothing").to_owned())
}

/// Waits for what a server says, while the hub goes on.
fn next<T: Send + 'static>(receiver: &Arc<Mutex<Receiver<T>>>) -> T {
    let receiver = Arc::clone(receiver);
    unblock(move || receiver.lock().unwrap().recv_timeout(PATIENCE).unwrap())
}

fn told<T>() -> (Sender<T>, Arc<Mutex<Receiver<T>>>) {
    let (sender, receiver) = channel();
    (sender, Arc::new(Mutex::new(receiver)))
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn queries_of_several_clients_overlap_on_one_os_thread() {
    const CLIENTS: usize = 10;
    // Nobody is answered before all have asked.
    let all = Arc::new(Barrier::new(CLIENTS));
    let address = start(move |mut session, _| {
        session.let_in()?;
        let query = session.read()?.sql();
        all.wait();
        session.row(&query)?;
        session.serve()
    });
    let users = (0..CLIENTS)
        .map(|number| spawn(move || ask(&mut connect(address), &number.to_string()).unwrap()));
    for (number, answer) in join_all(users).into_iter().enumerate() {
        assert_eq!(answer.unwrap(), number.to_string());
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next_one() {
    let (go, may_go) = channel::<()>();
    let may_go = Mutex::new(may_go);
    let may_go = Arc::new(may_go);
    let address = start(move |mut session, _| {
        session.let_in()?;
        let late = session.read()?.sql();
        may_go.lock().unwrap().recv().map_err(io::Error::other)?;
        session.row(&late)?;
        session.serve()
    });
    let mut client = connect(address);
    assert!(timeout(LIMIT, || ask(&mut client, "late")).is_err());
    go.send(()).unwrap();
    assert_eq!(ask(&mut client, "next").unwrap(), "next");
    assert_eq!(ask(&mut client, "last").unwrap(), "last");
}

#[test]
fn a_killed_call_leaves_the_client_to_others() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.serve()
    });
    let client = Rc::new(RefCell::new(connect(address)));
    for _ in 0..20 {
        let victim = spawn({
            let client = client.clone();
            move || loop {
                assert_eq!(ask(&mut client.borrow_mut(), "victim").unwrap(), "victim");
            }
        });
        for _ in 0..3 {
            yield_now();
        }
        victim.kill();
        assert_eq!(ask(&mut client.borrow_mut(), "mine").unwrap(), "mine");
    }
}

#[test]
fn a_server_that_dies_in_the_middle_ends_that_call_and_says_so_to_the_next() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.read()?;
        session.say(b'T', &column())?;
        session.say(b'D', &cell("one"))?;
        session.0.shutdown(Shutdown::Both)
    });
    let mut client = connect(address);
    let error = ask(&mut client, "many").unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert!(client.is_closed());
    assert!(ask(&mut client, "more").unwrap_err().is_closed());
    assert!(client.check_connection().is_err());
    assert!(client.transaction().is_err());
}

#[test]
fn what_the_server_says_when_it_goes_is_what_the_next_call_gets() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.fail("FATAL", "57P01", "terminating connection due to administrator command")
    });
    let mut client = connect(address);
    until("the end", || client.is_closed());
    let error = ask(&mut client, "hello").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    assert!(ask(&mut client, "hello").unwrap_err().is_closed());
}

#[test]
fn nonsense_in_the_middle_ends_the_connection_with_an_error() {
    for nonsense in [b"\0\0\0\0\0\0\0\0\0".to_vec(), message(b'?', b"what"), message(b'2', b"")] {
        let address = start(move |mut session, _| {
            session.let_in()?;
            session.read()?;
            io::Write::write_all(&mut session.0, &nonsense)?;
            session.serve()
        });
        let mut client = connect(address);
        assert!(ask(&mut client, "hello").is_err());
    }
}

#[test]
fn a_client_that_goes_says_so() {
    let (tell, hears) = told();
    let address = start(move |mut session, _| {
        session.let_in()?;
        tell.send(session.read()?.tag).map_err(io::Error::other)
    });
    connect(address).close().unwrap();
    assert_eq!(next(&hears), b'X');
    drop(connect(address));
    assert_eq!(next(&hears), b'X');
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_statement_has_it_cancelled() {
    let (tell, hears) = told();
    let address = start(move |mut session, number| {
        if number == 0 {
            session.let_in()?;
            session.read()?;
            tell.send(b"asked".to_vec()).map_err(io::Error::other)?;
            io::copy(&mut session.0, &mut io::sink())?;
            return tell.send(b"left".to_vec()).map_err(io::Error::other);
        }
        tell.send(session.read_first()?).map_err(io::Error::other)
    });
    let mut client = connect(address);
    assert!(timeout(LIMIT, || ask(&mut client, "for ever")).is_err());
    assert_eq!(next(&hears), b"asked");
    // A call that fails before anything is sent changes nothing of that.
    assert!(client.query_typed("SELECT $1", &[(&"no number", Type::INT4)]).is_err());
    drop(client);
    // The code of the request, and the key that the session was given.
    assert_eq!(next(&hears), [4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]);
    // This server does not care, and is left all the same.
    assert_eq!(next(&hears), b"left");
}

#[test]
fn a_close_in_the_middle_of_a_statement_has_it_cancelled() {
    let (tell, hears) = told();
    let address = start(move |mut session, number| {
        if number == 0 {
            session.let_in()?;
            session.read()?;
            return io::copy(&mut session.0, &mut io::sink()).map(drop);
        }
        tell.send(session.read_first()?).map_err(io::Error::other)
    });
    let mut client = connect(address);
    assert!(timeout(LIMIT, || ask(&mut client, "for ever")).is_err());
    client.close().unwrap();
    assert_eq!(next(&hears), [4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]);
}

#[test]
fn a_call_that_leaves_rows_behind_has_its_statement_cancelled_when_the_client_goes() {
    let (tell, hears) = told();
    let address = start(move |mut session, number| {
        if number > 0 {
            return tell.send(session.read_first()?).map_err(io::Error::other);
        }
        session.let_in()?;
        loop {
            match session.read()?.tag {
                b'P' => session.say(b'1', &[])?,
                b'D' => {
                    session.say(b't', &[0, 0])?;
                    session.say(b'T', &column())?;
                }
                b'B' => session.say(b'2', &[])?,
                b'E' => {
                    for _ in 0..2 {
                        session.say(b'D', &cell("row"))?;
                    }
                    // It goes on to look for others, and hears nothing.
                    return io::copy(&mut session.0, &mut io::sink()).map(drop);
                }
                b'S' => session.ready(b'I')?,
                _ => {}
            }
        }
    });
    let mut client = connect(address);
    let error = client.query_one("rows", &[]).unwrap_err();
    assert!(!error.is_closed(), "{error:?}");
    drop(client);
    assert_eq!(next(&hears), [4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2]);
}

#[test]
fn a_request_to_cancel_that_was_heard_is_no_failure_if_nobody_closes() {
    let (stay, may_leave) = told::<()>();
    let address = start(move |mut session, number| {
        if number == 0 {
            session.let_in()?;
            return session.serve();
        }
        session.read_first()?;
        // As some poolers do, it stays.
        io::copy(&mut session.0, &mut io::sink())?;
        let _ = may_leave.lock().unwrap().recv();
        Ok(())
    });
    let limit = Duration::from_millis(500);
    let client = config(address).connect_timeout(limit).connect(NoTls).unwrap();
    client.cancel_token().cancel_query(NoTls).unwrap();
    drop(stay);
}

#[test]
fn a_rollback_is_sent_whatever_becomes_of_the_client() {
    let (tell, hears) = told();
    let address = start(move |mut session, _| {
        session.let_in()?;
        loop {
            let message = session.read()?;
            if message.tag == b'Q' {
                let standing = if message.sql().starts_with("ROLLBACK") { b'I' } else { b'T' };
                tell.send(message.sql()).map_err(io::Error::other)?;
                session.complete("DONE", standing)?;
            }
        }
    });
    let mut client = connect(address);
    let mut transaction = client.transaction().unwrap();
    let mut part = transaction.savepoint("part").unwrap();
    part.batch_execute("work").unwrap();
    drop(part);
    drop(transaction);
    let heard: Vec<_> = (0..5).map(|_| next(&hears)).collect();
    assert_eq!(
        heard,
        ["START TRANSACTION", "SAVEPOINT part", "work", "ROLLBACK TO part", "ROLLBACK"]
    );

    // While it unwinds; nobody makes a call afterwards.
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _transaction = client.transaction().unwrap();
        resume_unwind(Box::new("unwound"));
    }));
    assert!(unwound.is_err());
    assert_eq!(
        (next(&hears), next(&hears)),
        ("START TRANSACTION".to_owned(), "ROLLBACK".to_owned())
    );
    let cut = timeout(LIMIT, || {
        let _transaction = client.transaction().unwrap();
        sleep(Duration::MAX);
    });
    assert!(cut.is_err());
    assert_eq!(
        (next(&hears), next(&hears)),
        ("START TRANSACTION".to_owned(), "ROLLBACK".to_owned())
    );
    // And the client is as good as before.
    client.batch_execute("more").unwrap();
    assert_eq!(next(&hears), "more");
}

#[test]
fn a_half_read_iterator_leaves_the_next_call_its_own_rows() {
    let address = start(|mut session, _| {
        session.let_in()?;
        loop {
            match session.read()?.tag {
                // A parsed, described and bound statement, and its rows.
                b'P' => session.say(b'1', &[])?,
                b'D' => {
                    session.say(b't', &[0, 0])?;
                    session.say(b'T', &column())?;
                }
                b'B' => session.say(b'2', &[])?,
                b'E' => {
                    for number in 0..1000 {
                        session.say(b'D', &cell(&number.to_string()))?;
                    }
                    session.say(b'C', b"SELECT 1000\0")?;
                }
                b'C' => session.say(b'3', &[])?,
                b'Q' => session.row("own")?,
                b'S' => session.ready(b'I')?,
                _ => return Ok(()),
            }
        }
    });
    let mut client = connect(address);
    let none: [&str; 0] = [];
    for _ in 0..10 {
        let mut rows = client.query_raw("rows", none).unwrap();
        for number in 0..3 {
            let row = rows.next().unwrap().unwrap();
            assert_eq!(row.get::<_, &str>(0), number.to_string());
        }
        drop(rows);
        assert_eq!(ask(&mut client, "own").unwrap(), "own");
        let whole = client.query("rows", &[]).unwrap();
        assert_eq!(whole.len(), 1000);
    }
    let mut rows = client.query_raw("rows", none).unwrap();
    assert_eq!(rows.by_ref().count(), 1000);
    assert_eq!(rows.rows_affected(), Some(1000));
}

#[test]
fn notices_are_called_back_by_the_call_in_which_they_come() {
    let address = start(|mut session, _| {
        session.let_in()?;
        loop {
            session.read()?;
            session.say(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mlook\0\0")?;
            session.complete("DONE", b'I')?;
        }
    });
    let notices = Arc::new(Mutex::new(Vec::new()));
    let mut config = config(address);
    config.notice_callback({
        let notices = Arc::clone(&notices);
        move |notice| {
            // It may park, and holds up nobody.
            sleep(Duration::from_millis(1));
            notices.lock().unwrap().push(notice.message().to_owned());
        }
    });
    let mut client = config.connect(NoTls).unwrap();
    client.batch_execute("hello").unwrap();
    assert_eq!(*notices.lock().unwrap(), ["look"]);
    // A panic of it is the call's.
    config.notice_callback(|_| panic!("the callback's"));
    let mut client = config.connect(NoTls).unwrap();
    let panicked = spawn(move || client.batch_execute("hello")).wait();
    assert!(panicked.is_err());
}

fn notice(text: &str) -> Vec<u8> {
    message(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

#[test]
fn a_notice_does_not_wait_for_the_end_of_the_call() {
    let (go, may_go) = channel::<()>();
    let may_go = Arc::new(Mutex::new(may_go));
    let address = start(move |mut session, _| {
        session.let_in()?;
        session.read()?;
        io::Write::write_all(&mut session.0, &notice("look"))?;
        // It ends when that was looked at.
        may_go.lock().unwrap().recv().map_err(io::Error::other)?;
        session.complete("DONE", b'I')?;
        session.serve()
    });
    let mut config = config(address);
    config.notice_callback(move |_| go.send(()).unwrap());
    let mut client = config.connect(NoTls).unwrap();
    timeout(PATIENCE, || client.batch_execute("hello")).unwrap().unwrap();
}

#[test]
fn of_notices_that_nobody_waits_for_the_last_are_kept() {
    let address = start(move |mut session, _| {
        session.let_in()?;
        let mut bytes: Vec<u8> = (0..3000).flat_map(|number| notice(&number.to_string())).collect();
        bytes.extend(message(b'A', b"\0\0\0\x01channel\0all\0"));
        io::Write::write_all(&mut session.0, &bytes)?;
        session.read()?;
        // Of those in a call none is lost.
        let bytes: Vec<u8> = (3000..6000).flat_map(|number| notice(&number.to_string())).collect();
        io::Write::write_all(&mut session.0, &bytes)?;
        session.complete("DONE", b'I')
    });
    let notices = Arc::new(Mutex::new(Vec::<i32>::new()));
    let mut config = config(address);
    config.notice_callback({
        let notices = Arc::clone(&notices);
        move |notice| notices.lock().unwrap().push(notice.message().parse().unwrap())
    });
    let mut client = config.connect(NoTls).unwrap();
    until("all of them", || !client.notifications().is_empty());
    client.batch_execute("hello").unwrap();
    let notices = notices.lock().unwrap();
    assert_eq!((notices.first(), notices.last()), (Some(&(3000 - 1024)), Some(&5999)));
    assert!(notices.is_sorted_by(|one, next| one + 1 == *next), "in their order, and none is lost");
}

#[test]
fn a_sign_of_life_has_its_time() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.read()?;
        session.ready(b'I')?;
        io::copy(&mut session.0, &mut io::sink()).map(drop)
    });
    let mut client = connect(address);
    client.is_valid(PATIENCE).unwrap();
    let start = Instant::now();
    assert!(client.is_valid(LIMIT).is_err());
    assert!(start.elapsed() < PATIENCE / 2);
}

#[test]
fn a_client_that_goes_while_the_server_is_deaf_closes_its_socket() {
    let (tell, hears) = told();
    let address = start(move |mut session, number| {
        if number > 0 {
            // Not even to be told.
            return io::copy(&mut session.0, &mut io::sink()).map(drop);
        }
        session.let_in()?;
        session.read()?;
        while session.0.read(&mut [0; 64])? > 0 {}
        tell.send(()).map_err(io::Error::other)
    });
    let mut client = connect(address);
    assert!(timeout(LIMIT, || ask(&mut client, "hello")).is_err());
    let has_run = Rc::new(Cell::new(false));
    let other = spawn({
        let has_run = Rc::clone(&has_run);
        move || has_run.set(true)
    });
    drop(client);
    assert!(!has_run.get(), "a drop does not wait");
    other.wait().unwrap();
    next(&hears);
}

#[test]
fn a_client_that_goes_while_its_request_is_being_written_closes_its_socket() {
    let (go, may_go) = channel::<()>();
    let may_go = Arc::new(Mutex::new(may_go));
    let (tell, hears) = told();
    let address = start(move |mut session, number| {
        if number > 0 {
            return io::copy(&mut session.0, &mut io::sink()).map(drop);
        }
        session.let_in()?;
        // It does not read before the client has gone.
        may_go.lock().unwrap().recv().map_err(io::Error::other)?;
        let _ = io::copy(&mut session.0, &mut io::sink());
        tell.send(()).map_err(io::Error::other)
    });
    let long = "x".repeat(20_000_000);
    let mut client = connect(address);
    assert!(timeout(LIMIT, || client.batch_execute(&long)).is_err());
    timeout(PATIENCE, || client.close()).unwrap().unwrap();
    go.send(()).unwrap();
    next(&hears);
}

#[test]
fn when_all_are_killed_the_clients_that_are_left_are_closed() {
    let address = start(|mut session, _| {
        session.let_in()?;
        session.serve()
    });
    let mut client = connect(address);
    assert_eq!(ask(&mut client, "hello").unwrap(), "hello");
    evy_runtime::kill_all();
    assert!(ask(&mut client, "hello").unwrap_err().is_closed());
    assert!(client.notifications().blocking_iter().next().is_none());
    client.close().unwrap();
    assert_eq!(ask(&mut connect(address), "new").unwrap(), "new");
}

#[test]
fn a_copy_loses_nothing_when_a_write_is_cut_short() {
    let (go, may_go) = channel::<()>();
    let may_go = Arc::new(Mutex::new(may_go));
    let (tell, hears) = told();
    let address = start(move |mut session, _| {
        session.let_in()?;
        let (mut copied, mut copies) = (Vec::new(), false);
        loop {
            let message = session.read()?;
            match message.tag {
                b'P' => session.say(b'1', &[])?,
                b'D' => {
                    session.say(b't', &[0, 0])?;
                    session.say(b'n', &[])?;
                }
                b'B' => {
                    session.say(b'2', &[])?;
                    session.say(b'G', &[0, 0, 0])?;
                    copies = true;
                    // For a while nobody reads.
                    may_go.lock().unwrap().recv().map_err(io::Error::other)?;
                }
                b'd' => copied.extend(message.body),
                b'c' => {
                    copies = false;
                    session.say(b'C', b"COPY 1\0")?;
                    let copied = std::mem::take(&mut copied);
                    tell.send(String::from_utf8(copied).unwrap()).map_err(io::Error::other)?;
                }
                b'C' => session.say(b'3', &[])?,
                // The one that comes with the statement does not count.
                b'S' if !copies => session.ready(b'I')?,
                _ => {}
            }
        }
    });
    let mut client = connect(address);
    let mut writer = client.copy_in("COPY").unwrap();
    let mut cuts = 0;
    let lines = (0..3000).map(|number| format!("{number} {}\n", "x".repeat(5000)));
    for line in lines.clone() {
        while timeout(LIMIT, || io::Write::write_all(&mut writer, line.as_bytes())).is_err() {
            cuts += 1;
            if cuts == 2 {
                go.send(()).unwrap();
            }
        }
    }
    assert!(cuts >= 2, "{cuts}");
    writer.finish().unwrap();
    assert!(next(&hears) == lines.collect::<String>(), "something is missing, or twice");

    // Of rows in binary form it is not known: that copy is over.
    let writer = client.copy_in("COPY").unwrap();
    let mut writer = BinaryCopyInWriter::new(writer, &[Type::TEXT]);
    let text = "x".repeat(5000);
    let mut row = || timeout(LIMIT, || writer.write(&[&text]));
    while row().map(Result::unwrap).is_ok() {}
    assert!(row().unwrap().is_err());
}

/// Plays the server's part of copies: `refused` fails at its begin, `triggered` before its data, and `spoilt`
/// at its end. Each `Sync` outside of a copy has its answer.
fn serve_copies(session: &mut scripted_postgres::Session) -> io::Result<()> {
    session.let_in()?;
    let (mut copy, mut copies, mut skips) = (String::new(), false, false);
    loop {
        let message = session.read()?;
        match message.tag {
            b'S' if copies => {}
            b'S' => {
                skips = false;
                session.ready(b'I')?;
            }
            _ if skips => {}
            b'P' if message.sql() == "unknown" => {
                session.fail("ERROR", "42P01", "no such table")?;
                skips = true;
            }
            b'P' => {
                copy = message.sql();
                session.say(b'1', &[])?;
            }
            b'D' => {
                session.say(b't', &[0, 0])?;
                session.say(b'n', &[])?;
            }
            b'B' => {
                session.say(b'2', &[])?;
                if copy != "refused" {
                    session.say(b'G', &[0, 0, 0])?;
                }
                copies = copy == "good" || copy == "spoilt";
                if !copies {
                    session.fail("ERROR", "42501", "permission denied")?;
                    skips = true;
                }
            }
            b'c' | b'f' if copies => {
                copies = false;
                if message.tag == b'c' && copy == "good" {
                    session.say(b'C', b"COPY 1\0")?;
                } else {
                    session.fail("ERROR", "22P02", "no number")?;
                    skips = true;
                }
            }
            b'C' => session.say(b'3', &[])?,
            b'Q' if message.sql().is_empty() => {
                session.say(b'I', &[])?;
                session.ready(b'I')?;
            }
            b'Q' if message.sql() == "COPY" => session.say(b'G', &[0, 0, 0])?,
            b'Q' => session.row(&message.sql())?,
            b'X' => return Ok(()),
            _ => {}
        }
    }
}

#[test]
fn a_copy_that_fails_leaves_no_answer_to_the_next_call() {
    let address = start(|mut session, _| serve_copies(&mut session));
    let refused = Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let is_lost = |mut client: Client| {
        assert!(ask(&mut client, "next").is_err());
        assert!(client.is_closed());
    };
    let is_kept = |client: &mut Client| {
        for next in ["next", "last"] {
            assert_eq!(ask(client, next).unwrap(), next);
        }
    };

    let mut client = connect(address);
    assert_eq!(client.copy_in("refused").unwrap_err().code(), refused);
    is_lost(client);
    let mut client = connect(address);
    let mut transaction = client.transaction().unwrap();
    assert_eq!(transaction.copy_in("refused").unwrap_err().code(), refused);
    drop(transaction);
    is_lost(client);
    let mut client = connect(address);
    assert_eq!(client.copy_in("triggered").unwrap().finish().unwrap_err().code(), refused);
    is_lost(client);
    let mut client = connect(address);
    let writer = BinaryCopyInWriter::new(client.copy_in("triggered").unwrap(), &[Type::TEXT]);
    drop(writer);
    is_lost(client);

    let mut client = connect(address);
    assert!(client.copy_in("unknown").is_err());
    is_kept(&mut client);
    assert!(client.copy_in("spoilt").unwrap().finish().is_err());
    is_kept(&mut client);
    drop(client.copy_in("good").unwrap());
    is_kept(&mut client);
    assert_eq!(client.copy_in("good").unwrap().finish().unwrap(), 1);
    is_kept(&mut client);
}

#[test]
fn a_copy_by_a_call_that_is_not_for_it_ends_the_connection() {
    let address = start(|mut session, _| serve_copies(&mut session));
    let mut client = connect(address);
    assert!(client.batch_execute("COPY").is_err());
    assert!(client.is_closed());
    assert!(timeout(PATIENCE, || ask(&mut client, "next")).unwrap().unwrap_err().is_closed());
}
