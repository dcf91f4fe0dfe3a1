//! Runs the example `file_server`, and asks it for files in all ways that HTTP has.
#![cfg(all(feature = "http", feature = "signal"))]

mod file_server;
mod upstream;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use file_server::{FileServer, Folder, LONG, Reply};
use upstream::example;

/// A file's bytes, each of which tells where it stands.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 7 % 251) as u8).collect()
}

#[test]
fn a_file_is_sent_whole_with_its_length_type_tag_and_date() {
    let folder = Folder::new();
    let long = content(1_000_000);
    fs::create_dir(folder.join("deep")).unwrap();
    folder.write("deep/long.BIN", &long);
    folder.write("empty", "");
    let page = folder.write("page.html", "<p>hello");
    let time = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
    File::options().write(true).open(page).unwrap().set_modified(time).unwrap();
    let server = FileServer::start(folder.path());

    let reply = server.get("/page.html");
    assert_eq!((reply.status, reply.text()), (200, "<p>hello"));
    assert_eq!(reply.header("content-length"), "8");
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(reply.header("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert!(reply.header("etag").starts_with('"'), "{reply:?}");

    // The end of an address is none of the path.
    let reply = server.get("/deep/long.BIN?download=1");
    assert_eq!((reply.status, reply.header("content-length")), (200, "1000000"));
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert!(reply.body == long);

    let reply = server.get("/empty");
    assert_eq!((reply.status, reply.header("content-length"), reply.text()), (200, "0", ""));
}

#[test]
fn a_files_tag_changes_with_its_content() {
    let folder = Folder::new();
    folder.write("file", "one");
    let server = FileServer::start(folder.path());
    let (first, again) = (server.get("/file"), server.get("/file"));
    assert_eq!(first.header("etag"), again.header("etag"));
    // Another of the same length, and just as old.
    let modified = fs::metadata(folder.join("file")).unwrap().modified().unwrap();
    let other = folder.write("other", "two");
    File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(other, folder.join("file")).unwrap();
    let second = server.get("/file");
    assert_eq!(second.text(), "two");
    assert_ne!(first.header("etag"), second.header("etag"));
    // The same file with another content, which its owner has made as old: until the clock has gone on.
    let path = folder.join("file");
    let change = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let (before, start) = (change(), Instant::now());
    while change() == before {
        assert!(start.elapsed() < LONG, "the clock of the file system stands still");
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"six").unwrap();
        file.set_modified(modified).unwrap();
    }
    let third = server.get("/file");
    assert_eq!(
        (third.text(), third.header("last-modified")),
        ("six", second.header("last-modified"))
    );
    assert_ne!(second.header("etag"), third.header("etag"));
    folder.write("file", "three");
    assert_ne!(server.get("/file").header("etag"), second.header("etag"));
}

#[test]
fn a_folder_is_a_page_of_links_sorted_and_escaped() {
    let folder = Folder::new();
    let names: [&[u8]; 9] = [
        b"%41 b",
        b"<i>&\"'",
        b"\xff\xfe",
        b"a",
        b"c:d?e#f",
        b"plain.txt",
        "ü".as_bytes(),
        b"\\..",
        b"z",
    ];
    for name in names {
        folder.write(OsStr::from_bytes(name), name);
    }
    fs::create_dir(folder.join("inner & outer")).unwrap();
    folder.write("inner & outer/file", "in there");
    let server = FileServer::start(folder.path());

    let reply = server.get("/");
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
    let page = reply.text();
    assert!(page.contains("&lt;i&gt;&amp;&quot;") && !page.contains("<i>"), "{page}");
    assert!(page.contains("<title>/</title>") && !page.contains("../"), "{page}");
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|l| l.split('"').next()).collect();
    let mut sorted: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    sorted.push(b"inner & outer".to_vec());
    sorted.sort();
    assert_eq!(links.len(), sorted.len(), "{links:?}");
    for (link, name) in links.iter().zip(&sorted) {
        if let Some(inner) = link.strip_suffix('/') {
            assert_eq!(inner, "inner%20%26%20outer");
            let reply = server.get(&format!("/{link}"));
            assert!(reply.text().contains("<h1>/inner &amp; outer/</h1>"), "{reply:?}");
            assert!(reply.text().contains("href=\"../\""), "{reply:?}");
            assert_eq!(server.get(&format!("/{link}file")).text(), "in there");
        } else {
            assert_eq!(server.get(&format!("/{link}")).body, *name, "{link}");
        }
    }
    // Its size.
    assert!(page.contains(">plain.txt</a></td><td align=\"right\">9</td>"), "{page}");
}

#[test]
fn a_folder_with_an_index_is_that_and_one_without_a_slash_is_elsewhere() {
    let folder = Folder::new();
    for name in ["with", "without", "a:b", "loop"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    folder.write("with/index.html", "the index");
    // A folder by that name is none, nor is a link that leads to itself.
    fs::create_dir(folder.join("without/index.html")).unwrap();
    symlink("index.html", folder.join("loop/index.html")).unwrap();
    let server = FileServer::start(folder.path());

    let reply = server.get("/with/");
    assert_eq!((reply.status, reply.text()), (200, "the index"));
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(server.get("/without/").text().contains("index.html/"));
    let reply = server.get("/loop/");
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("<h1>/loop/</h1>"), "{reply:?}");
    for (path, location) in [("/with", "with/"), ("//with", "with/"), ("/a:b", "a%3Ab/")] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.header("location")), (301, location));
    }
    // A file is no folder.
    assert_eq!(server.get("/with/index.html/").status, 404);
}

#[test]
fn head_has_the_head_of_get_and_no_body() {
    let folder = Folder::new();
    folder.write("file.txt", "hello");
    let server = FileServer::start(folder.path());
    for path in ["/file.txt", "/", "/missing"] {
        let (get, head) = (server.get(path), server.ask("HEAD", path, ""));
        assert_eq!(head.body, b"", "{path}");
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    // Parts are for GET.
    let head = server.ask("HEAD", "/file.txt", "Range: bytes=0-1\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, "5"));
}

#[test]
fn other_methods_are_told_which_there_are() {
    let folder = Folder::new();
    folder.write("file", "hello");
    let server = FileServer::start(folder.path());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let reply = server.ask(method, "/file", "Content-Length: 0\r\n");
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"hello");
}

#[test]
fn who_has_a_file_is_not_sent_it_again_and_who_wants_another_is_told() {
    let folder = Folder::new();
    let path = folder.write("file", "hello");
    let time = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    let server = FileServer::start(folder.path());
    let tag = server.get("/file").header("etag").to_owned();
    let (same, before, after) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:36 GMT",
        "Mon, 07 Nov 1994 08:49:37 GMT",
    );
    let cases = [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: W/{tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {same}\r\n"), 304),
        (format!("If-Modified-Since: {after}\r\n"), 304),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n".to_owned(), 304),
        (format!("If-Modified-Since: {before}\r\n"), 200),
        ("If-Modified-Since: yesterday\r\n".to_owned(), 200),
        // The tag decides.
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {same}\r\n"), 200),
        (format!("If-None-Match: {tag}\r\nIf-Modified-Since: {before}\r\n"), 304),
        (format!("If-Match: {tag}\r\n"), 200),
        ("If-Match: *\r\n".to_owned(), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        (format!("If-Match: W/{tag}\r\n"), 412),
        (format!("If-Unmodified-Since: {same}\r\n"), 200),
        (format!("If-Unmodified-Since: {before}\r\n"), 412),
        (format!("If-Match: {tag}\r\nIf-Unmodified-Since: {before}\r\n"), 200),
        (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304),
        // It is asked before parts are.
        (format!("If-None-Match: {tag}\r\nRange: bytes=0-1\r\n"), 304),
        ("If-Match: \"x\"\r\nRange: bytes=0-1\r\n".to_owned(), 412),
    ];
    for (headers, status) in cases {
        let reply = server.ask("GET", "/file", &headers);
        assert_eq!(reply.status, status, "{headers}");
        assert_eq!(reply.header("etag"), tag, "{headers}");
        if status == 304 {
            assert_eq!(reply.body, b"", "{headers}");
        }
    }
}

#[test]
fn a_part_of_a_file_is_sent_where_one_is_asked_for() {
    let folder = Folder::new();
    let bytes = content(200_000);
    folder.write("file", &bytes);
    folder.write("empty", "");
    let server = FileServer::start(folder.path());
    let parts = [
        ("bytes=0-0", 0..1),
        ("bytes=0-99", 0..100),
        ("BYTES=10-19", 10..20),
        ("bytes=199999-", 199_999..200_000),
        ("bytes=5-", 5..200_000),
        ("bytes=0-", 0..200_000),
        ("bytes=100-999999999999999999999999", 100..200_000),
        ("bytes=-1", 199_999..200_000),
        ("bytes=-99999999999999999999999", 0..200_000),
        ("bytes= , 7-8 ,", 7..9),
        // One of the two lies behind the end.
        ("bytes=3-4,200000-", 3..5),
    ];
    for (range, part) in parts {
        let reply = server.ask("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(reply.status, 206, "{range}");
        let expected = format!("bytes {}-{}/200000", part.start, part.end - 1);
        assert_eq!(reply.header("content-range"), expected, "{range}");
        assert_eq!(reply.header("content-length"), part.len().to_string(), "{range}");
        assert!(reply.body == bytes[part], "{range}");
    }
    for range in ["bytes=200000-", "bytes=200000-200001,-0", "bytes=-0"] {
        let reply = server.ask("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!(
            (reply.status, reply.header("content-range")),
            (416, "bytes */200000"),
            "{range}"
        );
    }
    let reply = server.ask("GET", "/empty", "Range: bytes=0-\r\n");
    assert_eq!((reply.status, reply.header("content-range")), (416, "bytes */0"));
    // What is no such header is none; nor is one that asks for more than there is.
    let many = format!("bytes={}", "0-0,".repeat(1000));
    for range in [
        "lines=0-1",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=2-1",
        "bytes=-",
        "bytes=1",
        "bytes=+1-2",
    ] {
        let reply = server.ask("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!((reply.status, reply.body.len()), (200, 200_000), "{range}");
    }
    for range in ["bytes=0-,0-", "bytes=1-2,-199999", &many] {
        let reply = server.ask("GET", "/file", &format!("Range: {range}\r\n"));
        assert_eq!((reply.status, reply.body.len()), (200, 200_000), "{range}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn parts_that_add_up_to_more_than_any_file_are_too_much() {
    // Files of all sizes are to be had there, as long as nothing is in them.
    let folder = std::path::PathBuf::from(format!("/dev/shm/evy-files-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let size = i64::MAX as u64;
    let set = File::create(folder.join("file")).unwrap().set_len(size);
    let server = FileServer::start(&folder);
    let request = "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-,0-,0-\r\n\r\n";
    let reply = Reply::read_head(&mut server.send(request));
    fs::remove_dir_all(folder).unwrap();
    set.unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, &*size.to_string()));
}

#[test]
fn several_parts_are_sent_as_those_of_one_message() {
    let folder = Folder::new();
    let bytes = content(200_000);
    folder.write("file.png", &bytes);
    let server = FileServer::start(folder.path());
    let reply = server.ask("GET", "/file.png", "Range: bytes=100-199,0-0,-70000\r\n");
    assert_eq!((reply.status, reply.header("content-range")), (206, ""));
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    let content_type = reply.header("content-type");
    let boundary =
        content_type.strip_prefix("multipart/byteranges; boundary=").expect(content_type);

    let mut rest = reply.body.as_slice();
    for part in [100..200, 0..1, 130_000..200_000] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: image/png\r\nContent-Range: bytes {}-{}/200000\r\n\r\n",
            part.start,
            part.end - 1
        );
        rest = rest.strip_prefix(head.as_bytes()).expect("the head of a part");
        rest = rest.strip_prefix(&bytes[part]).expect("a part");
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
    // Not the same each time: whoever writes a file cannot know it.
    let again = server.ask("GET", "/file.png", "Range: bytes=100-199,0-0,-70000\r\n");
    assert_ne!(again.header("content-type"), content_type);
}

#[test]
fn the_rest_of_a_file_that_has_changed_is_all_of_it() {
    let folder = Folder::new();
    folder.write("file", "hello");
    let server = FileServer::start(folder.path());
    let first = server.get("/file");
    let (tag, date) = (first.header("etag"), first.header("last-modified"));
    let cases = [
        (tag.to_owned(), 206),
        // Another content may be of the same date.
        (date.to_owned(), 200),
        (format!("W/{tag}"), 200),
        ("\"x\"".to_owned(), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
        ("Fri, 01 Jan 2100 00:00:00 GMT".to_owned(), 200),
    ];
    for (condition, status) in cases {
        let headers = format!("Range: bytes=1-\r\nIf-Range: {condition}\r\n");
        let reply = server.ask("GET", "/file", &headers);
        let expected = if status == 206 { "ello" } else { "hello" };
        assert_eq!((reply.status, reply.text()), (status, expected), "{condition}");
    }
    // A part that is not there is no error where the file is another one.
    let reply = server.ask("GET", "/file", "Range: bytes=9-\r\nIf-Range: \"x\"\r\n");
    assert_eq!((reply.status, reply.text()), (200, "hello"));
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let around = Folder::new();
    around.write("secret", "secret");
    fs::create_dir_all(around.join("files/inner")).unwrap();
    fs::create_dir(around.join("files2")).unwrap();
    around.write("files2/secret", "secret");
    let folder = around.join("files");
    around.write("files/inner/file", "public");
    for (name, target) in [
        ("up", ".."),
        ("link", "../secret"),
        ("absolute", around.join("secret").to_str().unwrap()),
        ("beside", "../files2"),
        ("loop", "loop"),
        ("broken", "nowhere"),
        ("well", "inner/file"),
        ("good", "inner"),
    ] {
        symlink(target, folder.join(name)).unwrap();
    }
    symlink("../../secret", folder.join("inner/index.html")).unwrap();
    let server = FileServer::start(&folder);

    let paths = [
        "/../secret",
        "/inner/../../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/..%2fsecret",
        "/inner/..%2F..%2fsecret",
        "/..",
        "/../",
        "/.",
        "/./inner/file",
        "/inner%2ffile",
        "/%00",
        "/inner/file%00.txt",
        "/up/secret",
        "/up/",
        "/link",
        "/absolute",
        "/beside/secret",
        "/beside",
        "/loop",
        "/loop/",
        "/broken",
        "/missing",
        "/inner/file/more",
    ];
    for path in paths.into_iter().chain([&*format!("/{}", "x".repeat(300))]) {
        let reply = server.get(path);
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
        assert!(!reply.text().contains("secret"), "{path}");
    }
    // An absolute one as of a proxy, and one in another writing.
    assert_eq!(server.get("http://localhost/../secret").status, 404);
    assert_eq!(server.get("/%69nner//file").text(), "public");
    // Links that stay inside are followed; the others are not in the list.
    assert_eq!(server.get("/well").text(), "public");
    assert_eq!(server.get("/good/file").text(), "public");
    let reply = server.get("/");
    let page = reply.text();
    for name in ["up", "link", "absolute", "beside", "loop", "broken"] {
        assert!(!page.contains(&format!("href=\"{name}")), "{name}: {page}");
    }
    assert!(page.contains("href=\"well\"") && page.contains("href=\"good/\""), "{page}");
    // An index that lies outside is none.
    let reply = server.get("/inner/");
    assert!(reply.text().contains("href=\"file\"") && !reply.text().contains("index"), "{reply:?}");
    assert_eq!(server.complaints(), "");
}

#[test]
fn what_may_not_be_read_is_forbidden_and_what_is_no_file_is_not_there() {
    let folder = Folder::new();
    folder.write("open", "open");
    fs::create_dir(folder.join("closed")).unwrap();
    let secret = folder.write("secret", "secret");
    fs::set_permissions(secret, PermissionsExt::from_mode(0o000)).unwrap();
    fs::set_permissions(folder.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();

    // root may read everything: the server is somebody else, who has a copy of the program.
    let program = folder.join("server");
    // Another process copies it: while this one has it open for writing, a child of another test may have,
    // too, and then it cannot be run.
    let copied = Command::new("cp").arg(example("file_server")).arg(&program).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(program);
    command.arg(folder.path());
    // SAFETY: a plain system call, which cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(65_534).gid(65_534);
    }
    let server = FileServer::start_by(&mut command);
    assert_eq!(server.get("/open").text(), "open");
    for path in ["/secret", "/closed/", "/closed/file"] {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
    for path in ["/pipe", "/socket", "/pipe/"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    let page = server.get("/");
    assert!(!page.text().contains("pipe") && !page.text().contains("socket"), "{page:?}");
    fs::set_permissions(folder.join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
}

/// Asks for a file, and reads the head of the answer.
fn begin(server: &FileServer, path: &str) -> (std::io::BufReader<TcpStream>, Reply) {
    let mut socket = server.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let reply = Reply::read_head(&mut socket);
    (socket, reply)
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_breaks_its_answer_off_and_one_that_grows_does_not() {
    const LENGTH: u64 = 64 << 20;
    let folder = Folder::new();
    let server = FileServer::start(folder.path());
    let sparse = |name: &str| {
        let file = File::create(folder.join(name)).unwrap();
        file.set_len(LENGTH).unwrap();
        file
    };
    let (shrinking, mut growing) = (sparse("shrinking"), sparse("growing"));
    let ((mut first, head), (mut second, _)) =
        (begin(&server, "/shrinking"), begin(&server, "/growing"));
    assert_eq!(head.header("content-length"), LENGTH.to_string());
    // More than the sockets hold is still to come.
    shrinking.set_len(1).unwrap();
    growing.set_len(LENGTH + 1000).unwrap();
    growing.write_all(b"something else").unwrap();

    let mut received = Vec::new();
    let end = first.read_to_end(&mut received);
    assert!(received.len() < LENGTH as usize, "{end:?}");
    // The other one is as long as it was said to be, and the connection goes on.
    let mut body = (&mut second).take(LENGTH);
    assert_eq!(std::io::copy(&mut body, &mut std::io::sink()).unwrap(), LENGTH);
    second.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(Reply::read_head(&mut second).status, 200);
    let complaints = server.complaints();
    assert!(complaints.contains("the file has become shorter while it was sent"), "{complaints}");
    assert_eq!(complaints.lines().count(), 1, "{complaints}");
}

#[test]
fn clients_that_do_not_read_keep_nobody_waiting() {
    let folder = Folder::new();
    File::create(folder.join("large")).unwrap().set_len(64 << 20).unwrap();
    folder.write("small", "small");
    let server = FileServer::start(folder.path());
    let clients: Vec<_> = (0..50).map(|_| begin(&server, "/large")).collect();
    assert_eq!(server.get("/small").text(), "small");
    // Clients that go away in the middle are no news.
    drop(clients);
    assert_eq!(server.get("/small").text(), "small");
    assert_eq!(server.complaints(), "");
}

fn wait_until_it_is_closed(server: &FileServer) {
    let start = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(start.elapsed() < LONG, "it still accepts");
        evy::sleep(Duration::from_millis(1));
    }
}

#[test]
fn at_a_signal_files_that_are_on_their_way_arrive_and_nobody_else_is_served() {
    const LENGTH: u64 = 64 << 20;
    let folder = Folder::new();
    File::create(folder.join("large")).unwrap().set_len(LENGTH).unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut server = FileServer::start(folder.path());
        let (mut socket, _head) = begin(&server, "/large");
        server.signal(signal);
        wait_until_it_is_closed(&server);
        assert_eq!(std::io::copy(&mut socket, &mut std::io::sink()).unwrap(), LENGTH);
        assert!(server.wait().success());
    }
    // The second one ends it at once.
    let mut server = FileServer::start(folder.path());
    let (socket, _head) = begin(&server, "/large");
    server.signal(libc::SIGTERM);
    wait_until_it_is_closed(&server);
    server.signal(libc::SIGTERM);
    assert!(!server.wait().success());
    socket.get_ref().shutdown(Shutdown::Both).unwrap();
}

#[test]
fn a_folder_that_is_none_is_named() {
    let output =
        Command::new(example("file_server")).arg("/no/such/folder").output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/no/such/folder"), "{message}");
}
