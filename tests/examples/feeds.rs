//! The feed scraper, and what can be wrong with feeds: in each test others are beside the bad one, and
//! are not harmed.

use flate2::Compression;
use flate2::read::GzEncoder;

use super::*;

/// How long the scraper gives a feed, where a test is about that.
const PATIENCE: &str = "0.3";

fn rss(title: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>{title}</title>\
         <link>http://example.com/</link><description>about it</description>\
         <item><title>an item</title><guid>1</guid></item></channel></rss>"
    )
}

fn start(timeout: &str) -> (Running, String) {
    let mut command = Command::new(example("feed_scraper"));
    command.args(["127.0.0.1:0", "--timeout", timeout]).stdout(Stdio::piped());
    let mut server = Running(command.spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").expect("its address");
    (server, address.to_owned())
}

fn post(address: &str, list: &str) -> String {
    let length = list.len();
    ask(
        address,
        &format!(
            "POST / HTTP/1.1\r\nHost: me\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n\
             {list}"
        ),
    )
}

/// The lines of the answer to a list of feeds.
fn titles(address: &str, urls: &[String]) -> Vec<String> {
    let answer = post(address, &(urls.join("\n") + "\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    body.lines().map(str::to_owned).collect()
}

/// Asks for a feed that is as it should be, the one at `bad`, and the good one again; returns what is
/// said of the bad one.
fn error_of(timeout: &str, bad: String) -> String {
    let server = Upstream::start(|_| Answer::page(rss("fine")));
    let (_scraper, address) = start(timeout);
    let lines = titles(&address, &[server.url("/"), bad, server.url("/")]);
    let [before, error, after] = &lines[..] else { panic!("three lines: {lines:#?}") };
    assert_eq!((before.as_str(), after.as_str()), ("fine", "fine"), "{lines:#?}");
    // And it goes on.
    assert_eq!(titles(&address, &[server.url("/again")]), ["fine"]);
    error.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {error}")).to_owned()
}

fn feed_of(body: impl Into<String>) -> String {
    let body = body.into();
    Upstream::start(move |_| Answer::page(body.clone())).url("/")
}

fn answer_with(
    head: &str,
    then: impl FnOnce(&TcpStream) -> std::io::Result<()> + Send + 'static,
) -> String {
    let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n");
    let address = scripted(move |stream| {
        read_head(&stream)?;
        (&stream).write_all(head.as_bytes())?;
        then(&stream)
    });
    format!("http://{address}/")
}

/// Holds a connection until its other end has gone.
fn hold(mut stream: &TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

#[test]
fn titles_come_in_the_order_of_the_urls() {
    let atom = "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>x</id><title>an\n Atom </title>\
                <updated>2026-01-01T00:00:00Z</updated></feed>";
    let rdf = "<rdf:RDF xmlns=\"http://purl.org/rss/1.0/\" \
               xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><channel rdf:about=\"x\">\
               <title>RDF</title><link>x</link><description>x</description></channel></rdf:RDF>";
    let json =
        "{\"version\": \"https://jsonfeed.org/version/1.1\", \"title\": \"JSON\", \"items\": []}";
    let server = Upstream::start(move |path| match path {
        "/atom" => Answer::page(atom),
        "/rdf" => Answer::page(rdf).after(DELAY),
        "/json" => Answer::page(json),
        _ => Answer::page(rss("RSS &amp; more")).after(DELAY / 2),
    });
    let (_scraper, address) = start("20");
    let urls = ["/rdf", "/atom", "/rss", "/json"].map(|path| server.url(path));
    let expected = ["RDF", "an Atom", "RSS & more", "JSON"];
    assert_eq!(titles(&address, &urls), expected);
    // The client is for the same.
    let url = format!("http://{address}/");
    let mut arguments = vec![url.as_str()];
    arguments.extend(urls.iter().map(String::as_str));
    let output = run("feed_scraper_client", &arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output), expected);
    let output = run_with_input("feed_scraper_client", &[&url], &urls.join("\r\n"));
    assert_eq!(lines(&output), expected);
    assert_eq!(run("feed_scraper_client", &[&server.url("/")]).status.code(), Some(0));
    let refused = format!("http://127.0.0.1:{}/", refused_port());
    assert_eq!(run("feed_scraper_client", &[&refused, "x"]).status.code(), Some(1));
}

#[test]
fn all_feeds_are_fetched_at_once() {
    let server = Upstream::start(|path| Answer::page(rss(path)).after(DELAY));
    let (_scraper, address) = start("20");
    let urls: Vec<_> = (0..50).map(|number| server.url(&format!("/{number}"))).collect();
    let start = Instant::now();
    let lines = titles(&address, &urls);
    let elapsed = start.elapsed();
    let expected: Vec<_> = (0..50).map(|number| format!("/{number}")).collect();
    assert_eq!(lines, expected);
    // One after the other they would take 50 delays.
    assert!(elapsed >= DELAY && elapsed < 20 * DELAY, "{elapsed:?}");
}

#[test]
fn other_clients_are_served_while_one_waits() {
    let stuck = Upstream::start(|_| Answer::page(rss("late")).after(Duration::MAX));
    let server = Upstream::start(|_| Answer::page(rss("fine")));
    let (_scraper, address) = start("60");
    let mut waits = TcpStream::connect(&address).unwrap();
    let list = stuck.url("/");
    let length = list.len();
    write!(waits, "POST / HTTP/1.1\r\nHost: me\r\nContent-Length: {length}\r\n\r\n{list}").unwrap();
    // So does one that has not sent its list yet.
    let mut slow = TcpStream::connect(&address).unwrap();
    write!(slow, "POST / HTTP/1.1\r\nHost: me\r\nContent-Length: 100\r\n\r\nhttp://").unwrap();
    for _ in 0..3 {
        assert_eq!(titles(&address, &[server.url("/")]), ["fine"]);
    }
    waits.set_nonblocking(true).unwrap();
    let error = waits.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn what_is_no_list_of_feeds_is_refused() {
    let (_scraper, address) = start("20");
    let empty = post(&address, "");
    assert!(empty.starts_with("HTTP/1.1 200 ") && empty.ends_with("\r\n\r\n"), "{empty}");
    let close = "Host: me\r\nConnection: close";
    for (line, status) in [("GET /", "405"), ("POST /other", "404"), ("PUT /", "405")] {
        let answer = ask(&address, &format!("{line} HTTP/1.1\r\n{close}\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let long = format!("POST / HTTP/1.1\r\n{close}\r\nContent-Length: 2000000\r\n\r\n");
    let answer = ask(&address, &long);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let lines = titles(&address, &["no url".to_owned(), String::new(), "ftp://x/".to_owned()]);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.starts_with("error: ")), "{lines:#?}");
}

#[test]
fn a_host_that_is_not_there_says_so() {
    assert!(error_of("20", format!("http://127.0.0.1:{}/", refused_port())).contains("refused"));
    error_of("20", format!("http://{}.invalid/", "x".repeat(64)));
}

#[test]
fn a_page_that_is_not_there_says_so() {
    let error = error_of("20", Upstream::start(|_| Answer::not_found()).url("/"));
    assert_eq!(error, "http status: 404");
}

#[test]
fn a_huge_feed_says_so() {
    let item = "<item><title>an item</title><description>words</description></item>";
    let error = error_of("20", feed_of(rss("huge").replace("</channel>", &item.repeat(100_000))));
    assert!(error.contains("larger than") || error.contains("limit"), "{error}");
}

#[test]
fn a_feed_without_an_end_says_so() {
    let endless = answer_with("", |mut stream| {
        loop {
            stream.write_all(&[b' '; 10_000])?;
        }
    });
    let error = error_of("20", endless);
    assert!(error.contains("larger than") || error.contains("limit"), "{error}");
}

#[test]
fn a_small_gzip_of_a_huge_feed_says_so() {
    let blanks = std::io::repeat(b' ').take(4 << 20);
    let mut packed = Vec::new();
    GzEncoder::new(blanks, Compression::best()).read_to_end(&mut packed).unwrap();
    let head = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
    let error = error_of(
        "20",
        answer_with(&head, move |mut stream| {
            stream.write_all(&packed)?;
            hold(stream)
        }),
    );
    assert!(error.contains("larger than") || error.contains("limit"), "{error}");
}

#[test]
fn a_slow_feed_says_so() {
    let trickles = answer_with("Content-Length: 100000\r\n", |mut stream| {
        loop {
            stream.write_all(b" ")?;
            evy::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(error_of(PATIENCE, trickles), "timeout: global");
}

#[test]
fn a_malformed_feed_says_so() {
    let good = rss("title");
    for bad in [
        good.replace("</title>", "</titel>"),
        good[..good.len() / 2].to_owned(),
        good.replace("<channel>", "<channel <<<"),
        "{\"version\": \"https://jsonfeed.org/version/1\", \"title\": ".to_owned(),
        String::new(),
        "\u{0}\u{1}\u{2}".to_owned(),
    ] {
        let error = error_of("20", feed_of(bad.clone()));
        assert!(!error.is_empty(), "{bad}");
    }
}

/// What is nested deeply takes no more stack than other feeds.
#[test]
fn a_feed_that_is_nested_deeply_harms_nobody() {
    let server = Upstream::start(|path| {
        let deep = |open: &str, close: &str| open.repeat(50_000) + "x" + &close.repeat(50_000);
        let description = "about it";
        Answer::page(match path {
            "/xml" => rss("deep").replace(description, &deep("<a>", "</a>")),
            "/root" => deep("<a>", "</a>"),
            "/json" => deep("[", "]"),
            "/object" => deep("{\"a\":", "}"),
            "/atom" => format!(
                "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>x</id><title type=\"xhtml\">{}</title></feed>",
                deep("<div>", "</div>")
            ),
            _ => rss("fine"),
        })
    });
    let (_scraper, address) = start("20");
    let paths = ["/", "/xml", "/root", "/json", "/object", "/atom", "/"];
    let lines = titles(&address, &paths.map(|path| server.url(path)));
    assert_eq!((lines.len(), &*lines[0], &*lines[6]), (7, "fine", "fine"), "{lines:#?}");
    assert!(lines[2].starts_with("error: ") && lines[3].starts_with("error: "), "{lines:#?}");
    assert_eq!(titles(&address, &[server.url("/")]), ["fine"]);
}

#[test]
fn what_is_no_feed_says_so() {
    for page in ["<!doctype html><title>a page</title><p>hello", "just text", "[1, 2]", "<svg/>"] {
        let error = error_of("20", feed_of(page));
        assert!(!error.is_empty(), "{page}");
    }
    assert_eq!(
        error_of("20", feed_of(rss("x").replace("<title>x</title>", ""))),
        "the feed has no title"
    );
}

#[test]
fn a_host_that_stalls_says_so() {
    // Before the answer, within its head, within its body.
    let silent = scripted(|stream| hold(&stream));
    let head = scripted(|stream| {
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-")?;
        hold(&stream)
    });
    let body = answer_with("Content-Length: 1000\r\n", |mut stream| {
        stream.write_all(b"<?xml version")?;
        hold(stream)
    });
    for url in [format!("http://{silent}/"), format!("http://{head}/"), body] {
        assert_eq!(error_of(PATIENCE, url), "timeout: global");
    }
}

#[test]
fn a_host_that_redirects_for_ever_says_so() {
    let server = Upstream::start(|path| {
        let next = format!("Location: {path}x\r\n");
        Answer { status: "302 Found", headers: next, ..Answer::page("") }
    });
    assert_eq!(error_of("20", server.url("/")), "too many redirects");
    assert_eq!(server.requests(), 11);
}

#[test]
fn a_host_that_lies_about_the_length_says_so() {
    // More than there is, though the feed itself is whole.
    let long = answer_with("Content-Length: 100000\r\n", |mut stream| {
        stream.write_all(rss("whole").as_bytes())
    });
    let error = error_of("20", long);
    assert!(error.to_lowercase().contains("disconnect") || error.contains("eof"), "{error}");
    // Less than there is.
    let short = answer_with("Content-Length: 50\r\n", |mut stream| {
        stream.write_all(rss("cut off").as_bytes())?;
        hold(stream)
    });
    error_of("20", short);
    // Two lengths, no number, and chunks that are none.
    for head in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: many\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let nonsense = answer_with(head, |mut stream| {
            stream.write_all(rss("nonsense").as_bytes())?;
            hold(stream)
        });
        error_of(PATIENCE, nonsense);
    }
}

#[test]
fn a_host_that_breaks_off_says_so() {
    error_of(
        "20",
        format!(
            "http://{}/",
            scripted(|stream| {
                drop(stream);
                Ok(())
            })
        ),
    );
    let chunked = answer_with("Transfer-Encoding: chunked\r\n", |mut stream| {
        stream.write_all(b"5\r\n<?xml\r\n")
    });
    error_of("20", chunked);
}

/// A title is one line, and not a page.
#[test]
fn a_title_of_many_lines_is_one() {
    let server = Upstream::start(|path| match path {
        "/long" => Answer::page(rss(&"word ".repeat(10_000))),
        _ => Answer::page(rss("one\r\ntwo\nerror: three")),
    });
    let (_scraper, address) = start("20");
    let lines = titles(&address, &[server.url("/"), server.url("/long")]);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(lines[0], "one two error: three");
    assert!(lines[1].starts_with("word word ") && lines[1].len() <= 200, "{lines:#?}");
}
