//! A web server for the files of a folder.
//!
//! ```text
//! cargo run --release --example file_server --features http -- --address 127.0.0.1:8080 /srv/files
//! curl -C - -O http://127.0.0.1:8080/big.iso
//! ```
//!
//! A folder is a page with links to what is in it, or its `index.html`. Files are sent piece by piece, and
//! read on other OS threads meanwhile: a slow disk keeps nobody else waiting. Clients may ask for parts of
//! a file, and whether it has changed (RFC 9110, sections 13 and 14).
//!
//! Links are followed as long as they lead to something in the folder. Who can write to the folder while it
//! is served is trusted: one who puts a link in a file's place between the look at it and its opening could
//! lead the server out of there.
//!
//! SIGTERM and Ctrl-C end it: nobody can connect any more, and files that are on their way arrive. A second
//! one ends it at once.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use evy::fs::{self, File};
use evy::http::{
    Body, BodyWriter, HeaderMap, HeaderName, HeaderValue, Html, IntoResponse, Method, Request,
    Response, Server, StatusCode, header,
};
use evy::signal::{self, SIGINT, SIGTERM, Signals};
use httpdate::{fmt_http_date, parse_http_date};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Serves the files of a folder by HTTP.
#[derive(Parser)]
struct Arguments {
    /// Whose files it serves
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
}

/// How long answers that are under way may take after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// How much of a file is read at once. Each read costs a trip to another OS thread, some 20 microseconds.
const PIECE: u64 = 64 * 1024;

/// Who asks for more parts of a file gets all of it: the parts would cost more than they save.
const MOST_PARTS: usize = 32;

/// What is written otherwise in a link: all but the unreserved characters of RFC 3986.
const IN_LINKS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn main() -> io::Result<()> {
    let Arguments { folder, address } = Arguments::parse();
    let name = folder.display();
    let root: Arc<Path> = fs::canonicalize(&folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?
        .into();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let listener = evy::listen(address)?;
    let server = Server::new(listener, move |request| answer(&root, &request)).start()?;
    println!("listening on http://{}", server.local_addr());
    signals.wait()?;
    evy::spawn_n(move || signal::default_action(signals.wait()?));
    server.stop(GRACE);
    Ok(())
}

fn answer(root: &Arc<Path>, request: &Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allowed = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return (allowed, StatusCode::METHOD_NOT_ALLOWED).into_response();
    }
    let path = request.uri().path().to_owned();
    let root = Arc::clone(root);
    // All that it takes to find something is one trip to another OS thread.
    match evy::unblock(move || find(&root, &path)) {
        Ok(Found::File(file)) => file.answer(request),
        Ok(Found::Folder(page)) => Html(page).into_response(),
        Ok(Found::Elsewhere(link)) => {
            ([(header::LOCATION, text(link))], StatusCode::MOVED_PERMANENTLY).into_response()
        }
        Err(error) => refusal(request.uri().path(), &error).into_response(),
    }
}

/// What to say where there is nothing to serve.
fn refusal(path: &str, error: &io::Error) -> StatusCode {
    match error.kind() {
        _ if is_missing(error) => StatusCode::NOT_FOUND,
        ErrorKind::NotADirectory | ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ if evy::is_shortage(error) => StatusCode::SERVICE_UNAVAILABLE,
        _ => {
            note(format_args!("{path}: {error}"));
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Links that lead to each other lead to nothing.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP)
}

/// Standard error may be closed; that is no reason to break an answer off.
fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn text(value: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(value.as_ref()).expect("it is made of visible characters")
}

// --- What is in the folder. All of it blocks, and runs on another OS thread. ---

/// What a path leads to.
enum Found {
    File(Served),
    /// Its page.
    Folder(String),
    /// The same with a slash at its end, without which the links of its page would lead nowhere.
    Elsewhere(String),
}

/// Something in a folder.
struct Entry {
    name: OsString,
    is_folder: bool,
    size: u64,
    modified: SystemTime,
}

fn find(root: &Path, path: &str) -> io::Result<Found> {
    let asked = root.join(relative(path)?);
    let place = inside(root, &asked)?;
    match (std::fs::metadata(&place)?.is_dir(), path.ends_with('/')) {
        (true, true) => match Served::open(root, &place.join("index.html")) {
            Ok(index) => Ok(Found::File(index)),
            Err(error) if is_missing(&error) => Ok(Found::Folder(page(path, &list(root, &place)?))),
            Err(error) => Err(error),
        },
        (true, false) => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let name: Vec<u8> = percent_decode_str(name).collect();
            Ok(Found::Elsewhere(format!("{}/", percent_encode(&name, IN_LINKS))))
        }
        (false, true) => Err(ErrorKind::NotFound.into()),
        (false, false) => Served::open(root, &asked).map(Found::File),
    }
}

/// The path of a request as one below the folder. Whoever asks for what is above finds nothing.
fn relative(path: &str) -> io::Result<PathBuf> {
    let mut relative = PathBuf::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name: Vec<u8> = percent_decode_str(segment).collect();
        if name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return Err(ErrorKind::NotFound.into());
        }
        relative.push(OsStr::from_bytes(&name));
    }
    Ok(relative)
}

/// Where it really is, behind all links, if that is in the folder.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let place = path.canonicalize()?;
    if place.starts_with(root) { Ok(place) } else { Err(ErrorKind::NotFound.into()) }
}

/// The files and folders in a folder, by name.
fn list(root: &Path, folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let Ok(place) = inside(root, &entry.path()) else { continue };
        // It may be gone by now, and pipes and devices are no files.
        if let Ok(metadata) = place.metadata()
            && (metadata.is_dir() || metadata.is_file())
        {
            entries.push(Entry {
                name: entry.file_name(),
                is_folder: metadata.is_dir(),
                size: metadata.len(),
                modified: whole_seconds(metadata.modified()?),
            });
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// The time as HTTP can say it: no file was changed before 1970, or will be.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.min(SystemTime::now()).duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// A file that is open.
struct Served {
    file: std::fs::File,
    size: u64,
    modified: SystemTime,
    /// Another one for each content that the file has had, as far as the clock of its file system goes on
    /// between them. Its owner may set the time of its last change to anything, and the other one not.
    tag: String,
    content_type: &'static str,
}

impl Served {
    fn open(root: &Path, path: &Path) -> io::Result<Self> {
        let place = inside(root, path)?;
        // A socket cannot be opened, and the opening of a device may do something.
        let metadata = place.metadata()?;
        if !metadata.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        let file = std::fs::File::options()
            .read(true)
            // Of a named pipe that has come in its place, it would wait for a writer.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(place)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        let size = metadata.len();
        let tag = format!(
            "\"{:x}-{size:x}-{:x}.{:x}-{:x}.{:x}\"",
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec()
        );
        let modified = whole_seconds(metadata.modified()?);
        Ok(Self { file, size, modified, tag, content_type: content_type(path) })
    }
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "htm" | "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "log" | "md" | "rs" | "toml" | "txt" => "text/plain; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "gz" | "tgz" => "application/gzip",
        "pdf" => "application/pdf",
        "tar" => "application/x-tar",
        "wasm" => "application/wasm",
        "zip" => "application/zip",
        "avif" => "image/avif",
        "gif" => "image/gif",
        "ico" => "image/vnd.microsoft.icon",
        "jpeg" | "jpg" => "image/jpeg",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "otf" => "font/otf",
        "ttf" => "font/ttf",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

// --- What is said of a file. ---

impl Served {
    fn answer(self, request: &Request) -> Response {
        let known = [
            (header::ETAG, text(&self.tag)),
            (header::LAST_MODIFIED, text(fmt_http_date(self.modified))),
            (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (known, self.content(request)).into_response()
    }

    fn content(self, request: &Request) -> Response {
        let headers = request.headers();
        if !self.is_as_wanted(headers) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        if self.is_known(headers) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let wanted = match headers.get(header::RANGE) {
            // Parts are for `GET` alone (RFC 9110, 14.2).
            Some(range) if *request.method() == Method::GET && self.is_same(headers) => {
                wanted(range, self.size)
            }
            _ => Wanted::All,
        };
        match wanted {
            Wanted::All => self.all(),
            Wanted::Nothing => {
                let range = text(format!("bytes */{}", self.size));
                ([(header::CONTENT_RANGE, range)], StatusCode::RANGE_NOT_SATISFIABLE)
                    .into_response()
            }
            Wanted::Parts(parts) => match parts.as_slice() {
                [part] => self.part(part.clone()),
                _ => self.parts(parts),
            },
        }
    }

    /// Whether the client wants this file, or whatever there is (RFC 9110, 13.1.1 and 13.1.4).
    fn is_as_wanted(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::IF_MATCH) {
            return tags(headers, header::IF_MATCH).any(|tag| tag == "*" || tag == self.tag);
        }
        date(headers, header::IF_UNMODIFIED_SINCE).is_none_or(|date| self.modified <= date)
    }

    /// Whether the client has it already (RFC 9110, 13.1.2 and 13.1.3).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::IF_NONE_MATCH) {
            return tags(headers, header::IF_NONE_MATCH)
                .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag);
        }
        date(headers, header::IF_MODIFIED_SINCE).is_some_and(|date| self.modified <= date)
    }

    /// Whether what the client has a part of is this file (RFC 9110, 13.1.5). A date does not say so: two
    /// contents may have the same.
    fn is_same(&self, headers: &HeaderMap) -> bool {
        headers.get(header::IF_RANGE).is_none_or(|value| *value == self.tag)
    }

    fn all(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
            (header::CONTENT_LENGTH, self.size.into()),
        ];
        let body = Body::writer(move |client| send(client, &self.file.into(), 0..self.size));
        (headers, body).into_response()
    }

    fn part(self, part: Range<u64>) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
            (header::CONTENT_LENGTH, (part.end - part.start).into()),
            (header::CONTENT_RANGE, text(content_range(&part, self.size))),
        ];
        let body = Body::writer(move |client| send(client, &self.file.into(), part));
        (StatusCode::PARTIAL_CONTENT, (headers, body)).into_response()
    }

    /// Several parts of the file, as those of a message (RFC 9110, 14.6).
    fn parts(self, parts: Vec<Range<u64>>) -> Response {
        let boundary = format!("{:016x}", RandomState::new().hash_one(&self.tag));
        let head = |part: &Range<u64>| {
            let (content_type, range) = (self.content_type, content_range(part, self.size));
            format!(
                "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
            )
        };
        let parts: Vec<_> = parts.into_iter().map(|part| (head(&part), part)).collect();
        let end = format!("\r\n--{boundary}--\r\n");
        let length =
            |(head, part): &(String, Range<u64>)| head.len() as u64 + part.end - part.start;
        let length = parts.iter().map(length).sum::<u64>() + end.len() as u64;
        let content_type = text(format!("multipart/byteranges; boundary={boundary}"));
        let headers =
            [(header::CONTENT_TYPE, content_type), (header::CONTENT_LENGTH, length.into())];
        let file = File::from(self.file);
        let body = Body::writer(move |client| {
            for (head, part) in parts {
                client.write_all(head.as_bytes())?;
                send(client, &file, part)?;
            }
            client.write_all(end.as_bytes())
        });
        (StatusCode::PARTIAL_CONTENT, (headers, body)).into_response()
    }
}

/// Sends a part of a file. One that ends early is an error, by which the client sees that its answer was
/// cut off.
fn send(client: &mut BodyWriter, file: &File, part: Range<u64>) -> io::Result<()> {
    let mut position = part.start;
    while position < part.end {
        let mut piece = vec![0; (part.end - position).min(PIECE) as usize];
        let count = file.read_at(&mut piece, position)?;
        if count == 0 {
            let text = "the file has become shorter while it was sent";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
        }
        piece.truncate(count);
        position += count as u64;
        client.send(piece.into())?;
    }
    Ok(())
}

fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

/// The tags that a header lists. None of ours has a comma in it.
fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// The date in a header; one that is none is as good as no header.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

// --- Parts of files. ---

/// What of a file a client wants.
enum Wanted {
    All,
    /// In this order.
    Parts(Vec<Range<u64>>),
    /// Something that lies behind its end.
    Nothing,
}

/// What `Range` asks for. What is no such header, or asks for more than there is of the file, counts as
/// none (RFC 9110, 14.2).
fn wanted(range: &HeaderValue, size: u64) -> Wanted {
    let Some(parts) = range.to_str().ok().and_then(|range| parts(range, size)) else {
        return Wanted::All;
    };
    let length: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
    match parts.len() {
        0 => Wanted::Nothing,
        // Those that overlap are a way to have us send much for a short question.
        2.. if length > u128::from(size) => Wanted::All,
        _ => Wanted::Parts(parts),
    }
}

/// Those of the parts that the file has: `bytes=0-499, 1000-, -500`. `None` if they are no such thing.
fn parts(range: &str, size: u64) -> Option<Vec<Range<u64>>> {
    let (unit, list) = range.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let list = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list: Vec<_> = list.map(|part| one_part(part, size)).collect::<Option<_>>()?;
    if list.is_empty() || list.len() > MOST_PARTS {
        return None;
    }
    Some(list.into_iter().filter(|part| !part.is_empty()).collect())
}

/// An empty one if it lies behind the end of the file; `None` if it is no part.
fn one_part(part: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = part.split_once('-')?;
    if first.is_empty() {
        return Some(size.saturating_sub(number(last)?)..size);
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => number(last).filter(|last| *last >= first)?.saturating_add(1).min(size),
    };
    Some(first..end)
}

/// A number of any length.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

// --- The page of a folder. ---

fn page(path: &str, entries: &[Entry]) -> String {
    let title = escaped(&percent_decode_str(path).decode_utf8_lossy());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<table>\n"
    );
    if path.contains(|character| character != '/') {
        page += "<tr><td><a href=\"../\">../</a></td></tr>\n";
    }
    for Entry { name, is_folder, size, modified } in entries {
        let link = percent_encode(name.as_bytes(), IN_LINKS);
        let name = escaped(&name.to_string_lossy());
        let (slash, size) = if *is_folder { ("/", String::new()) } else { ("", size.to_string()) };
        let modified = fmt_http_date(*modified);
        writeln!(
            page,
            "<tr><td><a href=\"{link}{slash}\">{name}{slash}</a></td>\
             <td align=\"right\">{size}</td><td>{modified}</td></tr>"
        )
        .expect("a string takes all");
    }
    page + "</table>\n</html>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
