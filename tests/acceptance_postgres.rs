//! PostgreSQL: the calls of the client and of the pool. `acceptance_postgres_faults.rs` has what goes wrong
//! with the server.
#![cfg(feature = "postgres")]

mod postgres_client;
mod postgres_server;
mod upstream;

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evy::patched::postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutIter};
use evy::patched::postgres::config::TargetSessionAttrs;
use evy::patched::postgres::error::SqlState;
use evy::patched::postgres::types::Type;
use evy::patched::postgres::{
    Client, Error, GenericClient, IsolationLevel, NoTls, PoolBuilder, SimpleQueryMessage,
};
use evy::{join_all, sleep, spawn, timeout};
use postgres_client::{SOON, count, kind, pool, sessions, until};
use postgres_server::PostgresServer;

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn each_kind_of_query_gives_what_it_should() {
    let server = PostgresServer::start();
    let mut client = server.client();
    client.batch_execute("CREATE TABLE people (name text, age int)").unwrap();
    let insert = client.prepare("INSERT INTO people VALUES ($1, $2)").unwrap();
    for (name, age) in [("Ferris", 11), ("Corro", 2), ("Nobody", 0)] {
        assert_eq!(client.execute(&insert, &[&name, &age]).unwrap(), 1);
    }
    let rows = client.query("SELECT name FROM people WHERE age > $1 ORDER BY age", &[&1]).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get("name")).collect();
    assert_eq!(names, ["Corro", "Ferris"]);

    let query = "SELECT age FROM people WHERE name = $1";
    assert_eq!(client.query_one(query, &[&"Ferris"]).unwrap().get::<_, i32>(0), 11);
    assert!(client.query_opt(query, &[&"Somebody"]).unwrap().is_none());
    assert!(client.query_one(query, &[&"Somebody"]).is_err());
    assert!(client.query_opt("SELECT age FROM people", &[]).is_err());

    let typed = [(&"Ferris" as &(dyn evy::patched::postgres::types::ToSql + Sync), Type::TEXT)];
    assert_eq!(client.query_typed(query, &typed).unwrap().len(), 1);
    assert_eq!(client.query_typed_one(query, &typed).unwrap().get::<_, i32>(0), 11);
    assert!(client.query_typed_opt("SELECT 1 WHERE false", &[]).unwrap().is_none());
    let counted = client.execute_typed("UPDATE people SET age = age WHERE name = $1", &typed);
    assert_eq!(counted.unwrap(), 1);
    let prepared = client.prepare_typed("SELECT $1", &[Type::INT8]).unwrap();
    assert_eq!(client.query_one(&prepared, &[&5_i64]).unwrap().get::<_, i64>(0), 5);

    let messages = client.simple_query("SELECT 1 AS one; SELECT name FROM people WHERE age = 2");
    let texts: Vec<_> = messages
        .unwrap()
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["1", "Corro"]);

    let mut rows = client.query_raw("SELECT * FROM generate_series(1, $1::int)", [10_000]).unwrap();
    let sum: i64 = rows.by_ref().map(|row| i64::from(row.unwrap().get::<_, i32>(0))).sum();
    assert_eq!(
        (sum, rows.rows_affected(), rows.next().is_none()),
        (50_005_000, Some(10_000), true)
    );

    let error = client.query("SELECT nonsense", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
    let error = client.execute(&insert, &[&"too few"]).unwrap_err();
    assert!(error.to_string().contains("expected 2 parameters"), "{error}");
    // In the middle of the rows.
    let rows =
        client.query_raw("SELECT 1 / (5000 - n) FROM generate_series(1, $1::int) n", [9_000]);
    let results: Vec<_> = rows.unwrap().collect();
    assert_eq!(results.len(), 5000);
    assert_eq!(results[4999].as_ref().unwrap_err().code(), Some(&SqlState::DIVISION_BY_ZERO));
    // A type that the server has to be asked for.
    client.batch_execute("CREATE TYPE mood AS ENUM ('glad', 'sad')").unwrap();
    let statement = client.prepare("SELECT 'glad'::mood, ARRAY[1, 2]").unwrap();
    assert_eq!(statement.columns()[0].type_().name(), "mood");
    let row = client.query_one(&statement, &[]).unwrap();
    assert_eq!(row.get::<_, Vec<i32>>(1), [1, 2]);

    client.is_valid(SOON).unwrap();
    client.check_connection().unwrap();
    assert!(!client.is_closed());
    client.close().unwrap();
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_server_is_found_where_the_configuration_says() {
    let server = PostgresServer::start();
    let unix = format!(
        "host={} port={} user=postgres password='a secret'",
        server.folder().display(),
        server.port()
    );
    let mut client = Client::connect(&unix, NoTls).unwrap();
    assert_eq!(count(&mut client, "SELECT count(inet_client_addr())"), 0);
    // TLS for all that have it, and a Unix socket has not.
    let by_name = format!("postgresql://postgres:a%20secret@localhost:{}/postgres", server.port());
    let mut client = Client::connect(&by_name, NoTls).unwrap();
    assert_eq!(count(&mut client, "SELECT count(inet_client_addr())"), 1);

    // The first one refuses, the second cannot be looked up.
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let label = "x".repeat(64);
    let several = format!(
        "postgresql://postgres:a%20secret@127.0.0.1:{refused},{label}.invalid:1,127.0.0.1:{}/",
        server.port()
    );
    assert_eq!(count(&mut Client::connect(&several, NoTls).unwrap(), "SELECT 1::bigint"), 1);
    let mut config = server.config();
    config.load_balance_hosts(evy::patched::postgres::config::LoadBalanceHosts::Random);
    config.connect(NoTls).unwrap();

    let error =
        Client::connect(&format!("host=127.0.0.1 port={refused} user=a"), NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::ConnectionRefused));
    let text = error.source().unwrap().to_string();
    assert!(text.contains(&format!("127.0.0.1:{refused}")), "{text}");

    let mut config = server.config();
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.connect(NoTls).unwrap();
    config.target_session_attrs(TargetSessionAttrs::ReadOnly);
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(kind(&error), Some(io::ErrorKind::PermissionDenied));
    config.options("-c default_transaction_read_only=on");
    config.connect(NoTls).unwrap();

    let mut config = server.config();
    config.password("wrong");
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
    config.dbname("none").password(postgres_server::PASSWORD);
    let error = config.connect(NoTls).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_DATABASE));
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn transactions_end_as_they_should() {
    let server = PostgresServer::start();
    let mut client = server.client();
    client.batch_execute("CREATE TABLE numbers (n int PRIMARY KEY)").unwrap();
    let all = "SELECT count(*) FROM numbers";

    // A function that takes either.
    fn insert(client: &mut impl GenericClient, number: i32) -> Result<u64, Error> {
        client.execute("INSERT INTO numbers VALUES ($1)", &[&number])
    }
    let mut transaction = client.transaction().unwrap();
    assert_eq!(insert(&mut transaction, 1).unwrap(), 1);
    transaction.commit().unwrap();
    assert_eq!(insert(&mut client, 1).unwrap_err().code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(count(&mut client, all), 1);

    let mut transaction = client.transaction().unwrap();
    transaction.execute("INSERT INTO numbers VALUES (2)", &[]).unwrap();
    transaction.rollback().unwrap();
    assert_eq!(count(&mut client, all), 1);

    let mut transaction = client.transaction().unwrap();
    transaction.execute("INSERT INTO numbers VALUES (2)", &[]).unwrap();
    drop(transaction);
    assert_eq!(count(&mut client, all), 1);

    // Parts of it, one in the other.
    let mut outer = client.transaction().unwrap();
    outer.execute("INSERT INTO numbers VALUES (2)", &[]).unwrap();
    let mut inner = outer.transaction().unwrap();
    inner.execute("INSERT INTO numbers VALUES (3)", &[]).unwrap();
    let mut innermost = inner.savepoint("named").unwrap();
    let error = innermost.execute("INSERT INTO numbers VALUES (3)", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    drop(innermost);
    inner.commit().unwrap();
    let mut inner = outer.transaction().unwrap();
    inner.execute("INSERT INTO numbers VALUES (4)", &[]).unwrap();
    inner.rollback().unwrap();
    outer.commit().unwrap();
    assert_eq!(count(&mut client, all), 3);

    let builder = client.build_transaction().isolation_level(IsolationLevel::Serializable);
    let mut transaction = builder.read_only(true).deferrable(true).start().unwrap();
    let row = transaction.query_one("SHOW transaction_isolation", &[]).unwrap();
    assert_eq!(row.get::<_, &str>(0), "serializable");
    let error = transaction.execute("DELETE FROM numbers", &[]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    drop(transaction);

    // A portal is read in pieces.
    let mut transaction = client.transaction().unwrap();
    let portal = transaction.bind("SELECT * FROM generate_series(1, 25)", &[]).unwrap();
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 10).unwrap();
        if rows.is_empty() {
            break;
        }
        sizes.push(rows.len());
    }
    assert_eq!(sizes, [10, 10, 5]);
    drop((portal, transaction));

    // One that unwinds, of a client that stays.
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut transaction = client.transaction().unwrap();
        transaction.execute("DELETE FROM numbers", &[]).unwrap();
        evy::resume_unwind(Box::new("unwound"));
    }));
    assert!(unwound.is_err());
    // Though nobody uses that client any more.
    let mut other = server.client();
    until("the rollback", || sessions(&mut other, "idle in%") == 0);
    assert_eq!(count(&mut client, all), 3);
}

const MANY: usize = 100_000;

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_hundred_thousand_rows_are_copied_both_ways() {
    let server = PostgresServer::start();
    let mut client = server.client();
    client.batch_execute("CREATE TABLE people (number int, name text)").unwrap();

    let start = Instant::now();
    let mut writer = client.copy_in("COPY people FROM STDIN").unwrap();
    for number in 0..MANY {
        writeln!(writer, "{number}\tsomebody called {number}").unwrap();
    }
    assert_eq!(writer.finish().unwrap(), MANY as u64);
    let there = start.elapsed();

    let start = Instant::now();
    let reader = client.copy_out("COPY (SELECT * FROM people ORDER BY number) TO STDOUT").unwrap();
    let mut lines = 0;
    for (number, line) in reader.lines().enumerate() {
        assert_eq!(line.unwrap(), format!("{number}\tsomebody called {number}"));
        lines += 1;
    }
    assert_eq!(lines, MANY);
    println!("{MANY} rows: {there:.0?} there, {:.0?} back", start.elapsed());
    assert_eq!(count(&mut client, "SELECT count(*) FROM people"), MANY as i64);

    // Values in place of text.
    let copied = client.copy_in("COPY people FROM STDIN BINARY").unwrap();
    let mut writer = BinaryCopyInWriter::new(copied, &[Type::INT4, Type::TEXT]);
    for number in 0..1000_i32 {
        writer.write(&[&-number, &"binary"]).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), 1000);
    let query =
        "COPY (SELECT * FROM people WHERE name = 'binary' ORDER BY number DESC) TO STDOUT BINARY";
    let reader = client.copy_out(query).unwrap();
    for (number, row) in BinaryCopyOutIter::new(reader, &[Type::INT4, Type::TEXT]).enumerate() {
        let row = row.unwrap();
        assert_eq!((row.get::<i32>(0), row.get::<&str>(1)), (-(number as i32), "binary"));
    }
    client.execute("DELETE FROM people WHERE name = 'binary'", &[]).unwrap();

    // What the server does not like.
    let mut writer = client.copy_in("COPY people FROM STDIN").unwrap();
    writer.write_all(b"no number\tname\n").unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));

    // Half written, and half read: nothing is copied, and the next call has its own answer.
    let mut writer = client.copy_in("COPY people FROM STDIN").unwrap();
    for number in 0..MANY / 2 {
        writeln!(writer, "{number}\tnobody").unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(count(&mut client, "SELECT count(*) FROM people WHERE name = 'nobody'"), 0);
    let mut reader = client.copy_out("COPY people TO STDOUT").unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    drop(reader);
    assert_eq!(count(&mut client, "SELECT count(*) FROM people"), MANY as i64);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_copy_that_is_refused_gives_nobody_the_answer_of_another() {
    let server = PostgresServer::start();
    let mut observer = server.client();
    observer
        .batch_execute(
            "CREATE TABLE plain (n int); CREATE TABLE guarded (n int); \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'not here'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON guarded FOR EACH STATEMENT \
             EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    // An answer that is there before its statement has run would be that of another.
    let check = |mut client: Client, is_kept: bool| {
        let next = client.batch_execute("INSERT INTO plain SELECT 1 FROM pg_sleep(0.05)");
        assert_eq!((next.is_ok(), client.is_closed()), (is_kept, !is_kept));
        if is_kept {
            assert_eq!(count(&mut client, "SELECT count(*) FROM plain"), 1);
            client.batch_execute("TRUNCATE plain").unwrap();
        }
    };
    let begin: [fn(&mut Client); 2] = [
        |client| {
            client.batch_execute("SET default_transaction_read_only = on").unwrap();
            let error = client.copy_in("COPY plain FROM STDIN").unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        },
        |client| {
            let mut writer = client.copy_in("COPY guarded FROM STDIN").unwrap();
            writer.write_all(b"1\n").unwrap();
            let error = writer.finish().unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::RAISE_EXCEPTION));
        },
    ];
    for begin in begin {
        let mut client = server.client();
        begin(&mut client);
        check(client, false);
        let pool = pool(&server, 1);
        begin(&mut pool.get().unwrap());
        assert_eq!(count(&mut pool.get().unwrap(), "SELECT 7::bigint"), 7);
    }
    let mut client = server.client();
    drop(client.copy_in("COPY guarded FROM STDIN").unwrap());
    check(client, false);
    let mut client = server.client();
    let error = client.copy_in("COPY nothing FROM STDIN").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
    check(client, false);
    // It is of the text, and of the data.
    let mut client = server.client();
    let error = client.copy_in("COPY plain FROM NOWHERE").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR));
    check(client, true);
    let mut client = server.client();
    let mut writer = client.copy_in("COPY plain FROM STDIN").unwrap();
    writer.write_all(b"no number\n").unwrap();
    assert!(writer.finish().is_err());
    check(client, true);
    // In a transaction that it has made fail, too.
    let mut client = server.client();
    let mut transaction = client.transaction().unwrap();
    drop(transaction.copy_in("COPY plain FROM STDIN").unwrap());
    let error = transaction.batch_execute("SELECT 1").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    drop(transaction);
    check(client, true);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_statement_is_cancelled_from_elsewhere() {
    let server = PostgresServer::start();
    let mut client = server.client();
    let token = client.cancel_token();
    let other = spawn(move || {
        sleep(Duration::from_millis(50));
        token.cancel_query(NoTls)
    });
    let start = Instant::now();
    let error = client.batch_execute("SELECT pg_sleep(60)").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert!(start.elapsed() < SOON);
    other.wait().unwrap().unwrap();
    // Without a statement, nothing: also not the next one, which begins when this has returned.
    for _ in 0..50 {
        client.cancel_token().cancel_query(NoTls).unwrap();
        assert_eq!(count(&mut client, "SELECT count(*) FROM pg_class WHERE false"), 0);
    }
    // From another OS thread.
    let token = client.cancel_token();
    let other = std::thread::spawn(move || {
        sleep(Duration::from_millis(50));
        token.cancel_query(NoTls)
    });
    let error = client.batch_execute("SELECT pg_sleep(60)").unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    other.join().unwrap().unwrap();
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn notifications_and_notices_come_by_themselves() {
    let server = PostgresServer::start();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let mut config = server.config();
    config.notice_callback({
        let notices = Arc::clone(&notices);
        move |notice| notices.lock().unwrap().push(notice.message().to_owned())
    });
    let mut listener = config.connect(NoTls).unwrap();
    listener.batch_execute("DO $$ BEGIN RAISE NOTICE 'look'; END $$").unwrap();
    assert_eq!(*notices.lock().unwrap(), ["look"]);

    listener.batch_execute("LISTEN jobs").unwrap();
    assert!(listener.notifications().is_empty());
    assert!(listener.notifications().iter().next().is_none());
    let mut other = server.client();
    other.batch_execute("NOTIFY jobs, 'first'; NOTIFY jobs, 'second'").unwrap();
    // In the background: nobody makes a call of that client.
    until("notifications", || listener.notifications().len() == 2);
    let mut notifications = listener.notifications();
    let payloads: Vec<_> =
        notifications.iter().map(|next| next.unwrap().payload().to_owned()).collect();
    assert_eq!(payloads, ["first", "second"]);

    let teller = spawn(move || {
        sleep(Duration::from_millis(30));
        other.batch_execute("NOTIFY jobs, 'third'").unwrap();
        other
    });
    let next = listener.notifications().blocking_iter().next().unwrap().unwrap();
    assert_eq!((next.channel(), next.payload()), ("jobs", "third"));
    let mut other = teller.wait().unwrap();
    other.batch_execute("NOTIFY jobs, 'fourth'").unwrap();
    let start = Instant::now();
    let next = listener.notifications().timeout_iter(SOON).next().unwrap().unwrap();
    assert_eq!(next.payload(), "fourth");
    assert!(start.elapsed() < SOON);
    let start = Instant::now();
    assert_eq!(listener.notifications().timeout_iter(Duration::from_millis(200)).count(), 0);
    assert!(start.elapsed() >= Duration::from_millis(200));

    // The end of the connection ends the wait.
    let id: i32 = listener.query_typed_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let ender = spawn(move || {
        sleep(Duration::from_millis(30));
        other.execute("SELECT pg_terminate_backend($1)", &[&id]).unwrap();
    });
    let mut notifications = listener.notifications();
    let mut left = notifications.blocking_iter();
    let error = left.next().unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    assert!(left.next().is_none());
    ender.wait().unwrap();
    assert!(listener.is_closed());
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_hundred_connections_sleep_at_once() {
    const SLEEPERS: usize = 100;
    let server = PostgresServer::start();
    let pool =
        PoolBuilder::new(server.config(), NoTls).min(SLEEPERS).max(SLEEPERS).build().unwrap();
    // Others go on meanwhile.
    let ticks = Rc::new(Cell::new(0));
    let ticker = spawn({
        let ticks = ticks.clone();
        move || loop {
            sleep(Duration::from_millis(1));
            ticks.set(ticks.get() + 1);
        }
    });
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                let pool = pool.clone();
                spawn(move || pool.get()?.execute("SELECT pg_sleep(0.1)", &[]))
            })
            .collect();
        for slept in join_all(sleepers) {
            assert_eq!(slept.unwrap().unwrap(), 1);
        }
        best = best.min(start.elapsed());
    }
    println!("{SLEEPERS} × pg_sleep(0.1) on as many connections: {best:.1?} at best");
    assert!(best >= Duration::from_millis(100) && best < Duration::from_secs(3), "{best:?}");
    assert!(ticks.get() > 50, "{} ticks", ticks.get());
    ticker.kill();
    // A thousand on ten.
    let few = self::pool(&server, 10);
    let workers: Vec<_> = (0..1000_i32)
        .map(|number| {
            let pool = few.clone();
            spawn(move || {
                Ok::<i32, Error>(pool.get()?.query_one("SELECT $1::int", &[&number])?.get(0))
            })
        })
        .collect();
    for (number, result) in join_all(workers).into_iter().enumerate() {
        assert_eq!(result.unwrap().unwrap(), number as i32);
    }
    assert_eq!(few.size(), 10);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_call_that_is_cut_short_leaves_nothing_to_the_next() {
    let server = PostgresServer::start();
    let mut observer = server.client();
    let short = Duration::from_millis(30);

    // The client goes on: its next call gets its own answer, once the old one is over.
    let mut client = server.client();
    for _ in 0..20 {
        let cut = timeout(Duration::from_millis(5), || {
            client.query("SELECT 'old', pg_sleep(0.02) FROM generate_series(1, 3)", &[])
        });
        assert!(cut.is_err());
        let row = client.query_one("SELECT 'new'", &[]).unwrap();
        assert_eq!(row.get::<_, &str>(0), "new");
        let mut rows =
            client.query_raw("SELECT 'half' FROM generate_series(1, $1::int)", [5000]).unwrap();
        assert_eq!(rows.next().unwrap().unwrap().get::<_, &str>(0), "half");
        drop(rows);
        assert_eq!(client.query_one("SELECT 'whole'", &[]).unwrap().get::<_, &str>(0), "whole");
    }

    // A client that goes in the middle of a statement takes it along.
    let _ = timeout(short, || client.batch_execute("SELECT pg_sleep(60)"));
    assert_eq!(sessions(&mut observer, "active"), 1);
    drop(client);
    until("the cancel", || sessions(&mut observer, "%") == 0);

    // So does one of a pool, whoever is killed in whatever.
    let pool = pool(&server, 2);
    observer.batch_execute("CREATE TABLE numbers (n int)").unwrap();
    let victim = spawn({
        let pool = pool.clone();
        move || {
            let mut client = pool.get().unwrap();
            let mut transaction = client.transaction().unwrap();
            transaction.execute("INSERT INTO numbers VALUES (1)", &[]).unwrap();
            transaction.execute("SELECT pg_sleep(60)", &[]).unwrap();
        }
    });
    until("the statement", || sessions(&mut observer, "active") == 1);
    victim.kill();
    assert_eq!((pool.size(), pool.free()), (0, 2));
    until("the end of the session", || sessions(&mut observer, "%") == 0);
    assert_eq!(count(&mut observer, "SELECT count(*) FROM numbers"), 0);

    pool.resize(5);
    // Killed or timed out at any point: who comes next never gets another's rows, nor a transaction.
    let outcomes = Rc::new(RefCell::new((0, 0)));
    // What a call has taken that nothing cut short: the points are spread over that time.
    let whole = Rc::new(Cell::new(Duration::from_millis(1)));
    let users: Vec<_> = (0..20_i32)
        .map(|number| {
            let (pool, outcomes, whole) = (pool.clone(), outcomes.clone(), whole.clone());
            spawn(move || {
                for round in 0..15_i32 {
                    let mine = number * 1000 + round;
                    let short = whole.get() * ((mine as u32 * 3701) % 1000) / 1000;
                    let limit = if round % 3 == 0 { SOON } else { short };
                    let began = Instant::now();
                    let result = timeout(limit, || -> Result<(), Error> {
                        let mut client = pool.get()?;
                        let row = client.query_one(
                            "SELECT $1::int, pg_current_xact_id_if_assigned()::text",
                            &[&mine],
                        )?;
                        assert_eq!(row.get::<_, i32>(0), mine);
                        assert_eq!(row.get::<_, Option<&str>>(1), None);
                        let mut transaction = client.transaction()?;
                        transaction.execute("INSERT INTO numbers VALUES ($1)", &[&mine])?;
                        let sum: i64 =
                            transaction.query_one("SELECT sum(n) FROM numbers", &[])?.get(0);
                        assert_eq!(sum, i64::from(mine));
                        Ok(())
                    });
                    match result {
                        Ok(result) => {
                            result.unwrap();
                            whole.set(began.elapsed());
                            outcomes.borrow_mut().0 += 1
                        }
                        Err(_elapsed) => outcomes.borrow_mut().1 += 1,
                    }
                }
            })
        })
        .collect();
    for user in join_all(users) {
        user.unwrap();
    }
    println!("{:?} went well and were cut short", outcomes.borrow());
    assert!(outcomes.borrow().0 > 0 && outcomes.borrow().1 > 0);
    until("rest", || sessions(&mut observer, "active") + sessions(&mut observer, "idle in%") == 0);
    assert_eq!(count(&mut observer, "SELECT count(*) FROM numbers"), 0);
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_client_that_is_given_back_is_as_new() {
    let server = PostgresServer::start();
    let mut observer = server.client();
    let backend = |client: &mut Client| count(client, "SELECT pg_backend_pid()::bigint");
    let pool = pool(&server, 1);
    let first = backend(&mut pool.get().unwrap());

    for statement in ["BEGIN", "BEGIN; SELECT 1; SELECT 1/0", "BEGIN; NOTIFY nobody"] {
        let _ = pool.get().unwrap().batch_execute(statement);
        assert_eq!(sessions(&mut observer, "idle in%"), 0, "{statement}");
        let mut client = pool.get().unwrap();
        assert_eq!(backend(&mut client), first, "{statement}");
    }
    let mut client = pool.get().unwrap();
    std::mem::forget(client.transaction().unwrap());
    drop(client);
    assert_eq!(sessions(&mut observer, "idle in%"), 0);
    let mut client = pool.get().unwrap();
    drop(client.transaction().unwrap());
    drop(client);
    // An answer that nobody reads: a short one, and one without an end.
    for rows in [1000_i64, i64::from(i32::MAX)] {
        let mut client = pool.get().unwrap();
        let query = "SELECT generate_series(1, $1::bigint)";
        assert!(client.query_raw(query, [rows]).unwrap().next().unwrap().is_ok());
        drop(client);
        assert_eq!(sessions(&mut observer, "active"), 0);
        assert_eq!(backend(&mut pool.get().unwrap()), first, "{rows}");
    }
    // A statement that was given up.
    let mut client = pool.get().unwrap();
    assert!(
        timeout(Duration::from_millis(20), || client.batch_execute("SELECT pg_sleep(60)")).is_err()
    );
    drop(client);
    assert_eq!(backend(&mut pool.get().unwrap()), first);
    // A copy that was begun by a call that is not for it: the session is lost, and goes.
    observer.batch_execute("CREATE TABLE numbers (n int)").unwrap();
    assert!(pool.get().unwrap().batch_execute("COPY numbers FROM STDIN").is_err());
    assert_ne!(backend(&mut pool.get().unwrap()), first);
    until("its end", || sessions(&mut observer, "active") == 0);
    // No warning that there was no transaction to roll back: nothing was sent for nothing.
    assert!(!server.log().contains("no transaction in progress"), "{}", server.log());

    // What a session has set stays, unless it is to be forgotten.
    let set = "SET application_name = 'mine'; LISTEN jobs; SELECT pg_advisory_lock(1); \
               CREATE TEMPORARY TABLE mine (n int)";
    pool.get().unwrap().batch_execute(set).unwrap();
    let name = |client: &mut Client| -> String {
        client.query_one("SHOW application_name", &[]).unwrap().get(0)
    };
    assert_eq!(name(&mut pool.get().unwrap()), "mine");
    pool.clear();
    let pool = PoolBuilder::new(server.config(), NoTls).max(1).discard_all().build().unwrap();
    let first = backend(&mut pool.get().unwrap());
    let mut client = pool.get().unwrap();
    client.batch_execute("CREATE TYPE mood AS ENUM ('glad')").unwrap();
    client.query_one("SELECT 'glad'::mood", &[]).unwrap();
    client.batch_execute(set).unwrap();
    drop(client);
    let mut client = pool.get().unwrap();
    assert_eq!(backend(&mut client), first);
    assert_eq!(name(&mut client), "");
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_listening_channels()"), 0);
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_class WHERE relname = 'mine'"), 0);
    // What tokio-postgres keeps for itself is still there.
    client.batch_execute("CREATE TYPE color AS ENUM ('red')").unwrap();
    client.query_one("SELECT 'red'::color", &[]).unwrap();
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn a_pool_drops_what_is_old() {
    let server = PostgresServer::start();
    let mut observer = server.client();
    let old = PoolBuilder::new(server.config(), NoTls)
        .max_age(Duration::from_millis(50))
        .build()
        .unwrap();
    drop(old.get().unwrap());
    sleep(Duration::from_millis(60));
    old.expire();
    assert_eq!(old.size(), 0);
    let idle = PoolBuilder::new(server.config(), NoTls)
        .max_idle(Duration::from_millis(50))
        .build()
        .unwrap();
    drop(idle.get().unwrap());
    sleep(Duration::from_millis(60));
    idle.expire();
    assert_eq!(idle.size(), 0);
    until("their end", || sessions(&mut observer, "%") == 0);
}

#[cfg(feature = "tls")]
mod tls {
    use evy::patched::postgres::config::{ChannelBinding, SslMode};
    use evy::tls::TlsConnector;

    use super::*;

    fn encrypted(client: &mut Client) -> bool {
        client
            .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
            .unwrap()
            .get(0)
    }

    #[test]
    #[ignore = "acceptance: needs PostgreSQL"]
    fn tls_is_used_as_the_mode_says() {
        let server = PostgresServer::start();
        let trusting = TlsConnector::builder().roots_pem(server.certificate()).build().unwrap();
        let stranger = TlsConnector::builder().webpki_roots().build().unwrap();
        let mut config = server.config();
        assert!(encrypted(&mut config.connect(trusting.clone()).unwrap()));
        assert!(!encrypted(&mut config.connect(NoTls).unwrap()));
        config.ssl_mode(SslMode::Disable);
        assert!(!encrypted(&mut config.connect(trusting.clone()).unwrap()));
        config.ssl_mode(SslMode::Require);
        assert!(config.connect(NoTls).is_err());
        let error = config.connect(stranger).unwrap_err();
        assert_eq!(kind(&error), Some(io::ErrorKind::InvalidData), "{error:?}");

        // Nobody in between: the server says which certificate it has shown.
        config.channel_binding(ChannelBinding::Require);
        let mut client = config.connect(trusting.clone()).unwrap();
        assert!(encrypted(&mut client));
        let mut bare = server.config();
        bare.channel_binding(ChannelBinding::Require);
        assert!(bare.connect(NoTls).is_err());

        // What goes over it: much, a cancel, a transaction that the pool has to end.
        let mut sum = 0_i64;
        for row in client.query_raw("SELECT * FROM generate_series(1, $1::int)", [100_000]).unwrap()
        {
            sum += i64::from(row.unwrap().get::<_, i32>(0));
        }
        assert_eq!(sum, 5_000_050_000);
        let (token, connector) = (client.cancel_token(), trusting.clone());
        let other = spawn(move || {
            sleep(Duration::from_millis(50));
            token.cancel_query(connector)
        });
        let error = client.batch_execute("SELECT pg_sleep(60)").unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
        other.wait().unwrap().unwrap();
        let pool = PoolBuilder::new(config, trusting).max(1).build().unwrap();
        pool.get().unwrap().batch_execute("BEGIN").unwrap();
        assert_eq!(sessions(&mut client, "idle in%"), 0);
        assert_eq!((pool.size(), pool.idle()), (1, 1));
        assert!(!server.log().contains("no transaction in progress"));
    }
}

#[test]
#[ignore = "acceptance: needs PostgreSQL"]
fn the_example_shares_few_connections_among_many() {
    let server = PostgresServer::start();
    let url = format!("postgresql://postgres:a%20secret@127.0.0.1:{}/postgres", server.port());
    let run = |url: &str| {
        let mut command = std::process::Command::new(upstream::example("postgres_pool"));
        command.args(["--connections", "4", "--jobs", "100", url]).output().expect("it was built")
    };
    let output = run(&url);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.starts_with("100 jobs, 0 failed, in "), "{text}");
    assert_eq!(text.lines().count(), 1 + 4, "{text}");

    let output = run(&url.replace("secret", "guess"));
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("password authentication failed"), "{text}");
}
