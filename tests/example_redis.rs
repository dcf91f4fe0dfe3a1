//! Runs the examples that use Redis where there is none.
#![cfg(all(feature = "redis", feature = "signal", feature = "ureq"))]

mod upstream;

use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use upstream::{example, refused_port};

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(example(name)).args(arguments).output().expect("the example ends")
}

fn errors(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

#[test]
fn both_say_how_they_are_used() {
    for (name, options) in [
        (
            "distributed_crawler",
            &["--redis", "--job", "--add", "--concurrency", "--claim-after"][..],
        ),
        ("redis_chat", &["--redis", "--prefix", "[ADDRESS]"]),
    ] {
        let output = run(name, &["--help"]);
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        for option in options {
            assert!(help.contains(option), "{option} is not in {help}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_done() {
    let crawler = "distributed_crawler";
    for (name, arguments, text) in [
        (crawler, &["--redis", "nonsense"][..], "--redis"),
        (crawler, &["--concurrency", "0"], "--concurrency"),
        (crawler, &["--attempts", "0"], "--attempts"),
        (crawler, &["--keep", "0"], "--keep"),
        (crawler, &["--claim-after", "0.99"], "nobody could renew"),
        (crawler, &["--claim-after=-1"], "--claim-after"),
        (crawler, &["--timeout", "soon"], "--timeout"),
        (crawler, &["http://localhost/"], "http://localhost/"),
        ("redis_chat", &["--redis", "http://localhost/"], "--redis"),
        ("redis_chat", &["127.0.0.1:0", "more"], "more"),
    ] {
        let output = run(name, arguments);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {output:?}");
        assert!(errors(&output).contains(text), "{name} {arguments:?}: {output:?}");
    }
}

#[test]
fn a_redis_that_cannot_be_reached_is_an_error_at_once() {
    let port = refused_port();
    let url = format!("redis://127.0.0.1:{port}/");
    let start = Instant::now();
    for (name, arguments, code) in [
        ("distributed_crawler", &["--redis", &url][..], 3),
        ("distributed_crawler", &["--redis", &url, "--add", "-"], 3),
        ("redis_chat", &["127.0.0.1:0", "--redis", &url], 1),
    ] {
        let output = run(name, arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let errors = errors(&output);
        assert!(errors.contains(&format!("redis at 127.0.0.1:{port}")), "{errors}");
        assert!(errors.contains("refused"), "{errors}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    // Not after the time for which one that goes away later is waited for.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_server_that_is_no_redis_is_an_error_and_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream.unwrap(), answer);
        }
    });
    for (name, arguments, code) in [
        ("distributed_crawler", &["--redis", &url][..], 3),
        ("redis_chat", &["127.0.0.1:0", "--redis", &url], 1),
    ] {
        let output = run(name, arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(errors(&output).contains("redis at 127.0.0.1:"), "{output:?}");
    }
}
