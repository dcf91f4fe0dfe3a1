//! Runs the example `concurrent_download`, against the example `file_server` and against servers that do
//! not keep to what they have said.
#![cfg(all(feature = "http", feature = "signal", feature = "ureq"))]

mod file_server;
mod upstream;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use file_server::{FileServer, Folder, LONG};
use upstream::{example, refused_port};

/// A server with a program of its own: it is called with the number of the request, its head, and the
/// connection, which closes behind it.
struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, seen, answer) =
                    (socket.unwrap(), Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if socket.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(head.clone());
                        seen.len() - 1
                    };
                    answer(number, &head, &mut socket);
                });
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// What each request has asked for: a range and a version, or nothing.
    fn ranges(&self) -> Vec<(Option<String>, Option<String>)> {
        let value = |head: &str, name: &str| {
            let start = head.find(&format!("\r\n{name}: "))? + name.len() + 4;
            Some(head[start..].lines().next().unwrap().to_owned())
        };
        let requests = self.requests();
        requests.iter().map(|head| (value(head, "range"), value(head, "if-range"))).collect()
    }
}

/// What a request asks for that goes on at `start` with version "v1".
fn rest(start: usize) -> (Option<String>, Option<String>) {
    (Some(format!("bytes={start}-")), Some("\"v1\"".to_owned()))
}

const ALL: (Option<String>, Option<String>) = (None, None);

fn send(socket: &mut TcpStream, head: &str, body: &[u8]) {
    // Whoever has gone away in the middle has seen enough.
    let _ = socket.write_all(&[format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat());
}

/// All of it is announced, and no more than this is sent.
fn send_cut_off(socket: &mut TcpStream, content: &[u8], count: usize) {
    let head = format!("200 OK\r\nETag: \"v1\"\r\nContent-Length: {}", content.len());
    send(socket, &head, &content[..count]);
}

/// The part that was asked for.
fn send_rest(socket: &mut TcpStream, content: &[u8], start: usize) {
    let (length, size) = (content.len() - start, content.len());
    let head = format!(
        "206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\
         Content-Range: bytes {start}-{}/{size}",
        size - 1
    );
    send(socket, &head, &content[start..]);
}

fn command(folder: &Path) -> Command {
    command_with_retries(folder, "2")
}

fn command_with_retries(folder: &Path, retries: &str) -> Command {
    let mut command = Command::new(example("concurrent_download"));
    command.arg("--folder").arg(folder).args(["--pause", "0", "--retries", retries]);
    command
}

fn download(folder: &Path, urls: &[String]) -> Output {
    command(folder).args(urls).output().unwrap()
}

/// Says nothing, and succeeds.
fn succeed(folder: &Path, urls: &[String]) {
    let output = download(folder, urls);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

/// Fails with one URL, and gives the reason.
fn fail(folder: &Path, url: String) -> String {
    let output = download(folder, std::slice::from_ref(&url));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    let reason = message.strip_prefix(&format!("{url}: ")).expect("the URL comes first");
    reason.trim_end().to_owned()
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 7 % 251) as u8).collect()
}

/// What is in the folder in the end: the file, and nothing beside it.
#[track_caller]
fn assert_complete(folder: &Folder, expected: &[u8]) {
    assert_eq!(names(folder), ["file"]);
    assert!(fs::read(folder.join("file")).unwrap() == expected);
}

#[test]
fn files_are_downloaded_whole_and_nothing_is_left_beside_them() {
    let (from, to) = (Folder::new(), Folder::new());
    let large = content(3_000_000);
    from.write("large", &large);
    from.write("empty", "");
    from.write("a b", "blank");
    from.write("index.html", "index");
    let server = FileServer::start(from.path());
    let urls = ["/large?x=1#y", "/empty", "/a%20b", "/"].map(|path| server.url(path));
    succeed(to.path(), &urls);
    assert_eq!(names(&to), ["a b", "empty", "index.html", "large"]);
    assert!(fs::read(to.join("large")).unwrap() == large);
    assert_eq!(fs::read(to.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(to.join("a b")).unwrap(), b"blank");
    assert_eq!(fs::read(to.join("index.html")).unwrap(), b"index");
}

/// The requests there were, those that are not answered yet, and the most that there were of these.
#[derive(Default)]
struct Counts {
    asked: usize,
    open: usize,
    most: usize,
}

#[test]
fn as_many_are_downloaded_at_once_as_it_is_told() {
    // Each answer waits until three were asked for; a counter sees whether there are more.
    let counts = Arc::new((Mutex::new(Counts::default()), Condvar::new()));
    let seen = Arc::clone(&counts);
    let server = Scripted::start(move |number, _, socket| {
        let (counts, changed) = &*seen;
        let mut now = counts.lock().unwrap();
        now.asked += 1;
        now.open += 1;
        now.most = now.most.max(now.open);
        changed.notify_all();
        let is_short = |now: &mut Counts| now.asked < (number / 3 + 1) * 3;
        // Where they never come, it is not three in the end.
        let (mut now, _) = changed.wait_timeout_while(now, LONG, is_short).unwrap();
        now.open -= 1;
        drop(now);
        send(socket, "200 OK\r\nContent-Length: 2", b"ok");
    });
    let to = Folder::new();
    let urls: Vec<_> = (0..9).map(|number| server.url(&format!("/{number}"))).collect();
    let output = command(to.path()).args(["--concurrency", "3"]).args(&urls).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names(&to).len(), 9);
    assert_eq!(counts.0.lock().unwrap().most, 3);
}

#[test]
fn one_that_is_cut_off_goes_on_where_it_was() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |number, _, socket| match number {
        0 => send_cut_off(socket, &sent, 400),
        _ => send_rest(socket, &sent, 400),
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges(), [ALL, rest(400)]);
    assert!(
        server.requests().iter().all(|head| head.contains("\r\naccept-encoding: identity\r\n"))
    );
}

#[test]
fn the_tries_are_counted_anew_where_more_has_come() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |number, _, socket| {
        let (start, end) = (number * 100, (number + 1) * 100);
        let head = match number {
            0 => "200 OK\r\nETag: \"v1\"\r\nContent-Length: 1000".to_owned(),
            _ => format!(
                "206 Partial Content\r\nContent-Length: {}\r\n\
                 Content-Range: bytes {start}-999/1000",
                1_000 - start
            ),
        };
        send(socket, &head, &sent[start..end]);
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges().last(), Some(&rest(900)));
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_all_again() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |number, _, socket| {
        send_cut_off(socket, &sent, [400, 700, 1_000][number]);
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges(), [ALL, rest(400), rest(700)]);
}

#[test]
fn a_server_that_never_gets_further_is_given_up_and_what_came_is_kept() {
    let bytes = content(1_000);
    let server = Scripted::start(move |_, _, socket| send_cut_off(socket, &bytes, 400));
    let to = Folder::new();
    let reason = fail(to.path(), server.url("/file"));
    assert!(!reason.is_empty());
    // One that brought something, one that did not, and two more.
    assert_eq!(server.requests().len(), 4);
    assert_eq!(names(&to), ["file.part", "file.part.note"]);
    assert_eq!(fs::read(to.join("file.part")).unwrap(), content(1_000)[..400]);
}

#[test]
fn of_a_file_that_has_changed_nothing_old_is_kept() {
    let (old, new) = (content(1_000), vec![b'n'; 700]);
    let sent = (old, new.clone());
    let server = Scripted::start(move |number, _, socket| match number {
        0..4 => send_cut_off(socket, &sent.0, 400),
        _ => send(socket, "200 OK\r\nETag: \"v2\"\r\nContent-Length: 700", &sent.1),
    });
    let to = Folder::new();
    fail(to.path(), server.url("/file"));
    // Another process goes on with it.
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &new);
    assert_eq!(server.ranges().last(), Some(&rest(400)));
}

#[test]
fn a_part_of_something_else_is_not_added() {
    let heads = [
        // Another version, by a server that does not know If-Range.
        "ETag: \"v2\"\r\nContent-Length: 600\r\nContent-Range: bytes 400-999/1000",
        // Other parts than was asked for.
        "ETag: \"v1\"\r\nContent-Length: 600\r\nContent-Range: bytes 399-998/1000",
        "ETag: \"v1\"\r\nContent-Length: 600\r\nContent-Range: lines 400-999/1000",
        "ETag: \"v1\"\r\nContent-Length: 600",
        "ETag: \"v1\"\r\nContent-Length: 600\r\nContent-Type: multipart/byteranges; boundary=b",
        // Of another length, also where it cannot be told whether there is more.
        "Content-Length: 600\r\nContent-Range: bytes 400-999/1001",
        "ETag: \"v1\"\r\nContent-Length: 200\r\nContent-Range: bytes 400-599/600",
        "ETag: \"v1\"\r\nContent-Length: 200\r\nContent-Range: bytes 400-599/*",
        "ETag: \"v1\"\r\nContent-Length: 600\r\nContent-Range: bytes 400-18446744073709551615/*",
    ];
    for head in heads {
        let bytes = content(1_000);
        let sent = bytes.clone();
        let server = Scripted::start(move |number, _, socket| match number {
            0 => send_cut_off(socket, &sent, 400),
            1 => {
                let count = if head.contains("Length: 200") { 200 } else { 600 };
                send(socket, &format!("206 Partial Content\r\n{head}"), &vec![b'x'; count]);
            }
            _ => send_cut_off(socket, &sent, 1_000),
        });
        let to = Folder::new();
        succeed(to.path(), &[server.url("/file")]);
        assert_complete(&to, &bytes);
        assert_eq!(server.ranges(), [ALL, rest(400), ALL], "{head}");
    }
}

#[test]
fn a_part_of_a_part_is_added_and_the_rest_is_asked_for() {
    let ranges = [
        ["bytes 400-599/1000", "bytes 600-999/1000"],
        // How long all of it is was said before.
        ["bytes 400-599/1000", "bytes 600-999/*"],
    ];
    for ranges in ranges {
        let bytes = content(1_000);
        let sent = bytes.clone();
        let server = Scripted::start(move |number, _, socket| match number {
            0 => send_cut_off(socket, &sent, 400),
            number => {
                let part = [400..600, 600..1_000][number - 1].clone();
                let (length, range) = (part.len(), ranges[number - 1]);
                let head = format!(
                    "206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: {range}"
                );
                send(socket, &head, &sent[part]);
            }
        });
        let to = Folder::new();
        succeed(to.path(), &[server.url("/file")]);
        assert_complete(&to, &bytes);
        assert_eq!(server.ranges(), [ALL, rest(400), rest(600)]);
    }
}

#[test]
fn a_date_without_a_length_that_fits_does_not_make_it_the_same_file() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let date =
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT";
    // It does not know If-Range, and does not say of which version this is a part.
    let server = Scripted::start(move |number, _, socket| match number {
        0 => send(socket, &format!("200 OK\r\nContent-Length: 900\r\n{date}"), &[b'x'; 400]),
        1 => {
            let head = "206 Partial Content\r\nContent-Length: 600\r\n\
                        Content-Range: bytes 400-999/1000";
            send(socket, head, &sent[400..]);
        }
        _ => send_cut_off(socket, &sent, 1_000),
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_note_that_says_less_counts_as_none() {
    let bytes = content(1_000);
    for end in ["", "\n", "\nmany", "\n399", "\n-1"] {
        let sent = bytes.clone();
        let server = Scripted::start(move |_, _, socket| send_cut_off(socket, &sent, 1_000));
        let (to, url) = (Folder::new(), server.url("/file"));
        to.write("file.part", &bytes[..400]);
        to.write("file.part.note", format!("{url}\n\"v1\"{end}"));
        succeed(to.path(), &[url]);
        assert_complete(&to, &bytes);
        assert_eq!(server.ranges(), [ALL], "{end:?}");
    }
}

#[test]
fn a_part_that_is_longer_than_the_file_makes_it_begin_again() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |number, _, socket| match number {
        0 => send_cut_off(socket, &sent, 400),
        1 => {
            let head = "206 Partial Content\r\nContent-Length: 700\r\n\
                        Content-Range: bytes 400-999/1000";
            send(socket, head, &[b'x'; 700]);
        }
        _ => send_cut_off(socket, &sent, 1_000),
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges(), [ALL, rest(400), ALL]);
}

/// What a process leaves that was killed when it had all of a file, and had not given it its name yet.
fn leave_all(folder: &Folder, url: &str, content: &[u8]) {
    folder.write("file.part", content);
    folder.write("file.part.note", format!("{url}\n\"v1\"\n{}", content.len()));
}

#[test]
fn of_a_part_that_turns_out_to_be_all_nothing_more_is_wanted() {
    let bytes = content(1_000);
    let server = Scripted::start(|_, _, socket| {
        let head = "416 Range Not Satisfiable\r\nContent-Length: 0\r\nContent-Range: bytes */1000";
        send(socket, head, b"");
    });
    let (to, url) = (Folder::new(), server.url("/file"));
    leave_all(&to, &url, &bytes);
    succeed(to.path(), &[url]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges(), [rest(1_000)]);
}

#[test]
fn one_that_has_become_shorter_begins_again() {
    for head in
        ["Content-Range: bytes */700", "Content-Range: bytes */1000\r\nETag: \"v2\"", "A: b"]
    {
        let new = vec![b'n'; 700];
        let sent = new.clone();
        let server = Scripted::start(move |number, _, socket| match number {
            0 => send(
                socket,
                &format!("416 Range Not Satisfiable\r\nContent-Length: 0\r\n{head}"),
                b"",
            ),
            _ => send(socket, "200 OK\r\nContent-Length: 700", &sent),
        });
        let (to, url) = (Folder::new(), server.url("/file"));
        leave_all(&to, &url, &content(1_000));
        succeed(to.path(), &[url]);
        assert_complete(&to, &new);
        assert_eq!(server.ranges(), [rest(1_000), ALL], "{head}");
    }
}

#[test]
fn less_than_was_announced_is_not_all_because_the_server_has_no_more() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |number, _, socket| match number {
        0 => send(socket, "200 OK\r\nETag: \"v1\"\r\nContent-Length: 1001", &sent),
        1 => {
            let head = "416 Range Not Satisfiable\r\nContent-Length: 0\r\n\
                        Content-Range: bytes */1000";
            send(socket, head, b"");
        }
        _ => send_cut_off(socket, &sent, 1_000),
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &bytes);
    assert_eq!(server.ranges(), [ALL, rest(1_000), ALL]);
}

#[test]
fn a_date_stands_for_a_version_where_it_is_old_enough_and_a_weak_tag_never() {
    let old = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT";
    let young =
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
    let weak = format!("ETag: W/\"v1\"\r\n{old}");
    let dated = (Some("bytes=400-".to_owned()), Some("sun, 06 nov 1994 08:49:37 gmt".to_owned()));
    for (headers, asked) in [(old, &dated), (young, &ALL), (&*weak, &ALL), ("A: b", &ALL)] {
        let bytes = content(1_000);
        let (sent, headers) = (bytes.clone(), headers.to_owned());
        let server = Scripted::start(move |number, head, socket| match number {
            0 => {
                send(socket, &format!("200 OK\r\nContent-Length: 1000\r\n{headers}"), &sent[..400])
            }
            _ if head.contains("range") => send_rest(socket, &sent, 400),
            _ => send_cut_off(socket, &sent, 1_000),
        });
        let to = Folder::new();
        succeed(to.path(), &[server.url("/file")]);
        assert_complete(&to, &bytes);
        assert_eq!(server.ranges(), [ALL, asked.clone()]);
    }
}

#[test]
fn no_more_is_taken_than_was_announced() {
    let server = Scripted::start(|_, _, socket| {
        send(socket, "200 OK\r\nContent-Length: 5", b"hello and more");
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, b"hello");
}

#[test]
fn one_without_a_length_is_whole_at_its_end_and_begins_again_before() {
    let server = Scripted::start(|number, _, socket| {
        let end = if number == 0 { "" } else { "0\r\n\r\n" };
        let head = "200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked";
        send(socket, head, format!("5\r\nhello\r\n{end}").as_bytes());
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, b"hello");
    assert_eq!(server.ranges(), [ALL, ALL]);
}

#[test]
fn what_comes_packed_is_unpacked_and_never_continued() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&content(100_000)).unwrap();
    let packed = packer.finish().unwrap();
    let server = Scripted::start(move |number, _, socket| {
        let length = packed.len();
        let head =
            format!("200 OK\r\nETag: \"v1\"\r\nContent-Encoding: gzip\r\nContent-Length: {length}");
        send(socket, &head, if number == 0 { &packed[..length / 2] } else { &packed });
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, &content(100_000));
    assert_eq!(server.ranges(), [ALL, ALL]);
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_has_nothing_is_not() {
    let server = Scripted::start(|number, _, socket| match number {
        0 => send(socket, "503 Service Unavailable\r\nContent-Length: 0", b""),
        1 => send(socket, "429 Too Many Requests\r\nContent-Length: 0", b""),
        2 => send(socket, "200 OK\r\nContent-Length: 2", b"ok"),
        _ => send(socket, "404 Not Found\r\nContent-Length: 4", b"none"),
    });
    let to = Folder::new();
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, b"ok");
    assert_eq!(fail(to.path(), server.url("/missing")), "404 Not Found");
    assert_eq!(server.requests().len(), 4);
    assert_complete(&to, b"ok");
}

#[test]
fn a_server_that_stalls_is_given_up_in_time() {
    let bytes = content(1_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |_, head, socket| {
        if !head.contains("range") {
            send_cut_off(socket, &sent, 400);
            // Until the client goes away.
            let _ = socket.read(&mut [0]);
        } else {
            send_rest(socket, &sent, 400);
        }
    });
    let to = Folder::new();
    let output = command_with_retries(to.path(), "20")
        .args(["--timeout", "0.5", &server.url("/file")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_complete(&to, &bytes);
    // On a busy machine there may be more of them.
    assert_eq!(server.ranges().last(), Some(&rest(400)));
}

#[test]
fn each_failure_is_told_with_its_url_and_the_others_arrive() {
    let from = Folder::new();
    from.write("file", "good");
    fs::create_dir(from.join("other")).unwrap();
    from.write("other/file", "another by that name");
    let server = FileServer::start(from.path());
    let urls = [
        server.url("/file"),
        server.url("/missing"),
        format!("http://127.0.0.1:{}/refused", refused_port()),
        "no url at all".to_owned(),
        "gopher://localhost/x".to_owned(),
        server.url("/other/file"),
        server.url("/file.part"),
    ];
    let to = Folder::new();
    let output = download(to.path(), &urls);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 6, "{message}");
    let told = |url: &str| {
        let mut lines = message.lines().filter_map(|line| line.strip_prefix(&format!("{url}: ")));
        lines.next().unwrap_or_else(|| panic!("nothing of {url}: {message}"))
    };
    assert_eq!(told(&urls[1]), "404 Not Found");
    assert!(told(&urls[2]).contains("Connection refused"), "{message}");
    assert!(!told(&urls[3]).is_empty() && !told(&urls[4]).is_empty());
    assert_eq!(told(&urls[5]), "another URL is downloaded to file");
    assert_eq!(told(&urls[6]), "another URL is downloaded to file.part");
    assert_complete(&to, b"good");

    let reason = fail(Path::new("/no/such/folder"), server.url("/file"));
    assert!(reason.starts_with("/no/such/folder/file.part: "), "{reason}");
}

#[test]
fn a_name_never_leads_out_of_the_folder() {
    let server = Scripted::start(|_, _, socket| send(socket, "200 OK\r\nContent-Length: 1", b"x"));
    let to = Folder::new();
    let urls = ["/a/..%2f..%2fup", "/%2e%2e", "/nul%00l"].map(|path| server.url(path));
    succeed(to.path(), &urls);
    assert_eq!(names(&to), [".._.._up", "index.html", "nul_l"]);
}

#[test]
fn a_file_that_is_there_is_left_as_it_is() {
    let server =
        Scripted::start(|_, _, socket| send(socket, "200 OK\r\nContent-Length: 3", b"new"));
    let to = Folder::new();
    to.write("file", "old");
    succeed(to.path(), &[server.url("/file")]);
    assert_complete(&to, b"old");
    assert!(server.requests().is_empty());
}

#[test]
fn a_file_that_comes_from_elsewhere_meanwhile_is_left_as_it_is() {
    let to = Folder::new();
    let file = to.join("file");
    let server = Scripted::start(move |_, _, socket| {
        fs::write(&file, "of somebody else").unwrap();
        send(socket, "200 OK\r\nContent-Length: 10", b"downloaded");
    });
    let reason = fail(to.path(), server.url("/file"));
    let (file, part) = (to.join("file"), to.join("file.part"));
    let expected = format!(
        "{} has come from elsewhere meanwhile; what was downloaded is {}",
        file.display(),
        part.display()
    );
    assert_eq!(reason, expected);
    assert_eq!(fs::read(file).unwrap(), b"of somebody else");
    assert_eq!(fs::read(part).unwrap(), b"downloaded");
}

#[test]
fn a_part_that_has_another_name_already_is_not_written_to() {
    let server =
        Scripted::start(|_, _, socket| send(socket, "200 OK\r\nContent-Length: 3", b"new"));
    let (to, url) = (Folder::new(), server.url("/file"));
    // Its process was killed when it had given it its name, and somebody has moved it since.
    leave_all(&to, &url, b"complete");
    fs::hard_link(to.join("file.part"), to.join("moved")).unwrap();
    succeed(to.path(), &[url]);
    assert_eq!(names(&to), ["file", "moved"]);
    assert_eq!(fs::read(to.join("file")).unwrap(), b"new");
    assert_eq!(fs::read(to.join("moved")).unwrap(), b"complete");
    // Or nobody has.
    fs::hard_link(to.join("file"), to.join("file.part")).unwrap();
    succeed(to.path(), &[server.url("/file")]);
    assert_eq!(names(&to), ["file", "moved"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn processes_that_download_the_same_get_one_whole_file() {
    let bytes = content(300_000);
    let sent = bytes.clone();
    let server = Scripted::start(move |_, _, socket| send_cut_off(socket, &sent, 300_000));
    let to = Folder::new();
    for _ in 0..5 {
        let start = || command(to.path()).arg(server.url("/file")).stderr(Stdio::piped()).spawn();
        let children: Vec<_> = (0..6).map(|_| start().unwrap()).collect();
        let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
        let mut whole = 0;
        for output in outputs {
            whole += usize::from(output.status.success());
            let message = String::from_utf8(output.stderr).unwrap();
            let is_right = message.is_empty() || message.contains("another process writes to ");
            assert!(is_right, "{message}");
        }
        assert!(whole >= 1);
        assert_complete(&to, &bytes);
        fs::remove_file(to.join("file")).unwrap();
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < LONG, "it takes too long: {what}");
        evy::sleep(Duration::from_millis(2));
    }
}

/// Passes on to a server what clients say, and back; of the answers to the first client only so much.
fn cut_off_behind(server: SocketAddr, count: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || {
                if number > 0 {
                    let _ = std::io::copy(&mut &server, &mut &client);
                } else {
                    let _ = std::io::copy(&mut (&server).take(count), &mut &client);
                    // The client waits for more.
                    let _ = (&client).read(&mut [0]);
                }
            });
        }
    });
    address
}

#[test]
fn what_a_killed_process_has_left_another_one_completes() {
    for changes in [false, true] {
        let (from, to) = (Folder::new(), Folder::new());
        let bytes = content(2_000_000);
        from.write("file", &bytes);
        let server = FileServer::start(from.path());
        let proxy = cut_off_behind(server.address, 1_500_000);
        let urls = [format!("http://{proxy}/file")];

        let mut child = command(to.path()).args(&urls).spawn().unwrap();
        let part = to.join("file.part");
        wait_for("a part", || fs::metadata(&part).is_ok_and(|part| part.len() >= 1_000_000));
        // Meanwhile nobody else may write there.
        let output = download(to.path(), &urls);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("another process writes to "), "{message}");
        child.kill().unwrap();
        child.wait().unwrap();

        let expected = if changes { content(1_234_567) } else { bytes };
        if changes {
            from.write("file", &expected);
        }
        succeed(to.path(), &urls);
        assert_complete(&to, &expected);
    }
}

#[test]
fn on_a_terminal_there_is_a_bar_for_each_download() {
    let (mut terminal, mut program) = (0, 0);
    let size = libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let null = std::ptr::null_mut();
    // SAFETY: the numbers and the size are there during the call; neither a name nor settings are asked for
    // or given. Where it succeeds, both descriptors are new, and nobody else's.
    let (terminal, program) = unsafe {
        assert_eq!(libc::openpty(&mut terminal, &mut program, null, null.cast(), &size), 0);
        (OwnedFd::from_raw_fd(terminal), OwnedFd::from_raw_fd(program))
    };
    let server = Scripted::start(|_, _, socket| {
        send(socket, "200 OK\r\nContent-Length: 500000", &content(250_000));
        // Long enough for a bar to be drawn half full.
        evy::sleep(Duration::from_millis(300));
        let _ = socket.write_all(&content(250_000));
    });
    let to = Folder::new();
    let urls = ["/first", "/second"].map(|path| server.url(path));
    let mut child = command(to.path())
        .args(&urls)
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(Stdio::from(program))
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let mut terminal = File::from(terminal);
    // When the last one has closed the other side it is an error, on Linux.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
    }
    assert!(child.wait().unwrap().success());
    let seen = String::from_utf8_lossy(&seen);
    for name in ["first", "second"] {
        assert!(seen.contains(&format!("{name} is complete")), "{seen:?}");
        let is_bar = |line: &str| line.contains(name) && line.contains("/488.28 KiB");
        assert!(seen.split(['\r', '\n']).any(is_bar), "{seen:?}");
    }
}
