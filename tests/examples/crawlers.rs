//! Those that fetch pages: the crawlers, and one that only puts bodies beside their URLs.

use super::*;

#[test]
fn web_crawler_prints_a_line_for_each_url_in_their_order() {
    let server = Upstream::start(|path| match path {
        "/slow" => Answer::page("x".repeat(100_000)).after(DELAY),
        "/missing" => Answer::not_found(),
        _ => Answer::page("hello"),
    });
    let refused = format!("http://127.0.0.1:{}/", refused_port());
    let urls = [
        server.url("/slow"),
        refused,
        server.url("/quick"),
        server.url("/missing"),
        "http://no-such-host.invalid/".to_owned(),
        "no url at all".to_owned(),
        server.url("/quick"),
    ];
    let expected =
        [": 200, 100000 bytes, ", ": error: io: ", ": 200, 5 bytes, ", ": error: http status: 404"];

    let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let from_arguments = run("web_crawler", &arguments);
    let from_input = run_with_input("web_crawler", &[], &(urls.join("\n\n") + "\n"));
    for output in [from_arguments, from_input] {
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let lines = lines(&output);
        assert_eq!(lines.len(), urls.len(), "{lines:#?}");
        for (line, url) in lines.iter().zip(&urls) {
            assert!(line.starts_with(url.as_str()), "{line} is not about {url}");
        }
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{line} has no {expected:?}");
        }
        assert!(lines[4].contains(": error: ") && lines[5].contains(": error: "), "{lines:#?}");
        assert!(lines[6].contains(": 200, 5 bytes, "), "{lines:#?}");
        assert!(output.stderr.is_empty(), "no progress bar without a terminal: {output:?}");
    }
}

#[test]
fn web_crawler_fetches_as_many_at_once_as_it_is_told() {
    let server = Upstream::start(|_| Answer::page("hello").after(DELAY));
    let url = server.url("/");
    let mut arguments = vec!["--concurrency", "20"];
    arguments.extend(std::iter::repeat_n(url.as_str(), 40));
    let start = Instant::now();
    let output = run("web_crawler", &arguments);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.requests(), 40);
    assert!(elapsed >= 2 * DELAY, "{elapsed:?}");
    // One after the other they would take 40 delays.
    assert!(elapsed < 8 * DELAY, "{elapsed:?}");
}

#[test]
fn web_crawler_does_not_wait_for_the_end_of_its_input() {
    let server = Upstream::start(|_| Answer::page("hello"));
    let mut child = Command::new(example("web_crawler"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut child = Running(child);
    for path in ["/first", "/second"] {
        writeln!(input, "{}", server.url(path)).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with(&server.url(path)), "{line}");
    }
    drop(input);
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn web_crawler_ends_when_nobody_reads_its_output() {
    let server = Upstream::start(|_| Answer::page("hello"));
    let mut child = Command::new(example("web_crawler"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    writeln!(child.stdin.as_ref().unwrap(), "{}", server.url("/")).unwrap();
    // Its input is still open.
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stderr, "");
}

#[test]
fn web_crawler_counts_failures_up_to_125() {
    let refused = format!("http://127.0.0.1:{}/\n", refused_port());
    assert_eq!(run_with_input("web_crawler", &[], &refused).status.code(), Some(1));
    let output = run_with_input("web_crawler", &[], &refused.repeat(300));
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(lines(&output).len(), 300);
}

#[test]
fn web_crawler_gives_a_url_up_in_time() {
    let server = Upstream::start(|_| Answer::page("late").after(Duration::MAX));
    let output = run("web_crawler", &["--timeout", "0.1", &server.url("/")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[0].ends_with(": error: timeout: global"), "{output:?}");
}

#[test]
fn web_crawler_says_what_is_wrong_with_its_certificates() {
    for file in ["/no/such/file", "Cargo.toml"] {
        let output = run("web_crawler", &["--ca", file, "http://localhost/"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.starts_with(&format!("error: --ca: {file}: ")), "{message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_crawlers_stay_on_the_host_where_they_began() {
    let elsewhere = Upstream::start(|_| Answer::page("not for you"));
    let away = elsewhere.url("/");
    let server = Upstream::start(move |path| match path {
        "/" => Answer::page(format!(
            "<a href=\"/a/page\">a</a> <a href='b'>b</a> <a href=\"{away}\">away</a> \
             <a href=\"mailto:me@localhost\">me</a> <a href=\"/#top\">top</a> <a href=>none</a>"
        )),
        "/a/page" => Answer::page("<a href=\"../c\">c</a> <a href=\"/\">back</a>"),
        "/b" => {
            Answer { status: "302 Found", headers: "Location: /d\r\n".into(), ..Answer::page("") }
        }
        "/c" => Answer {
            status: "302 Found",
            headers: format!("Location: {away}\r\n"),
            ..Answer::page("")
        },
        "/d" => Answer::page("the end"),
        _ => Answer::not_found(),
    });
    // Pages spawn pages: with room for one at a time, too.
    for (name, concurrency) in [
        ("recursive_crawler", "1"),
        ("recursive_crawler", "100"),
        ("producer_consumer", "1"),
        ("producer_consumer", "100"),
    ] {
        let output = run(name, &["--concurrency", concurrency, &server.url("/")]);
        assert!(output.status.success(), "{output:?}");
        let mut lines = lines(&output);
        assert_eq!(lines.pop(), Some("5 pages, 0 failed"));
        lines.sort_unstable();
        let expected = ["/", "/a/page", "/b", "/c", "/d"];
        let expected = expected.map(|path| format!("fetching {}", server.url(path)));
        assert_eq!(lines, expected);
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn the_crawlers_go_on_when_pages_fail() {
    let server = Upstream::start(|path| match path {
        "/" => Answer::page("<a href=\"/stuck\"> <a href=\"/missing\"> <a href=\"/fine\">"),
        "/stuck" => Answer::page("late").after(Duration::MAX),
        "/fine" => Answer::page("fine"),
        _ => Answer::not_found(),
    });
    for name in ["recursive_crawler", "producer_consumer"] {
        let output = run(name, &["--timeout", "0.3", &server.url("/")]);
        assert_eq!(output.status.code(), Some(1));
        let lines = lines(&output);
        assert_eq!(lines.last(), Some(&"4 pages, 2 failed"), "{lines:#?}");
        let missing = format!("{}: error: http status: 404", server.url("/missing"));
        assert!(lines.contains(&missing.as_str()), "{lines:#?}");
        assert!(
            lines.iter().any(|line| line.starts_with(&server.url("/stuck: error: "))),
            "{lines:#?}"
        );
    }
}

/// The pages of a depth are fetched at once, and each once, however often it is linked to.
#[test]
fn producer_consumer_fetches_what_it_finds_at_once() {
    let server = Upstream::start(|path| {
        let links = |range: std::ops::Range<u32>| {
            range.map(|n| format!("<a href=\"/{n}\">")).collect::<String>()
        };
        match path {
            "/" => Answer::page(links(0..20)),
            _ => Answer::page(links(0..20)).after(DELAY),
        }
    });
    let start = Instant::now();
    let output = run("producer_consumer", &[&server.url("/")]);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output).last(), Some(&"21 pages, 0 failed"));
    assert_eq!(server.requests(), 21);
    // One after the other they would take 20 delays.
    assert!(elapsed < 8 * DELAY, "{elapsed:?}");
}

#[test]
fn connect_puts_each_body_beside_its_url() {
    let servers = ["one", "two", "three"]
        .map(|body| Upstream::start(move |_| Answer::page(body).after(DELAY)));
    let urls = servers.each_ref().map(|server| server.url("/"));
    let mut arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
    let output = run("connect", &arguments);
    assert!(output.status.success(), "{output:?}");
    let expected = [("one", 0), ("two", 1), ("three", 2)];
    let expected = expected.map(|(body, index)| format!("{}: \"{body}\"", urls[index]));
    assert_eq!(lines(&output), expected);

    let refused = format!("http://127.0.0.1:{}/", refused_port());
    arguments.insert(1, &refused);
    let output = run("connect", &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output)[1].starts_with(&format!("{refused}: error: io: ")), "{output:?}");
    assert_eq!(lines(&output)[3], expected[2]);
}
