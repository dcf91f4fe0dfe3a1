//! A file, and what is said of it.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evy::fs::File;
use evy::http::{
    Body, BodyWriter, HeaderMap, HeaderName, HeaderValue, IntoResponse, Method, Request, Response,
    StatusCode, header,
};
use httpdate::{fmt_http_date, parse_http_date};

use super::ranges::{Wanted, content_range, wanted};
use super::{inside, text};

/// How much of a file is read at once. Each read costs a trip to another OS thread, some 20 microseconds.
const PIECE: u64 = 64 * 1024;

/// A file that is open.
pub(crate) struct Served {
    file: std::fs::File,
    size: u64,
    modified: SystemTime,
    /// Another one for each content that the file has had, as far as the clock of its file system goes on
    /// between them. Its owner may set the time of its last change to anything, and the other one not.
    tag: String,
    content_type: &'static str,
}

impl Served {
    pub(crate) fn open(root: &Path, path: &Path) -> io::Result<Self> {
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

impl Served {
    pub(crate) fn answer(self, request: &Request) -> Response {
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

/// The tags that a header lists. None of ours has a comma in it.
fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// The date in a header; one that is none is as good as no header.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// The time as HTTP can say it: no file was changed before 1970, or will be.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.min(SystemTime::now()).duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
