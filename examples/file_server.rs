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
//!
//! `file_server/served.rs` has what is said of a file, `file_server/ranges.rs` which parts of it are asked
//! for, and `file_server/page.rs` the page of a folder.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use evy::fs;
use evy::http::{
    HeaderValue, Html, IntoResponse, Method, Request, Response, Server, StatusCode, header,
};
use evy::signal::{self, SIGINT, SIGTERM, Signals};
use percent_encoding::{percent_decode_str, percent_encode};

#[path = "file_server/page.rs"]
mod page;
#[path = "file_server/ranges.rs"]
mod ranges;
#[path = "file_server/served.rs"]
mod served;

use page::{IN_LINKS, list, page};
use served::Served;

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

/// What a path leads to.
enum Found {
    File(Served),
    /// Its page.
    Folder(String),
    /// The same with a slash at its end, without which the links of its page would lead nowhere.
    Elsewhere(String),
}

/// Finds what a request is for. It blocks, with all that it calls, and belongs on another OS thread.
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
