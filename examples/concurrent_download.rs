//! Downloads files, some at a time, and goes on with those that a former run has left unfinished.
//!
//! ```text
//! cargo run --release --example concurrent_download --features ureq -- \
//!     --folder downloads --concurrency 8 https://example.com/one.iso https://example.com/two.iso
//! ```
//!
//! `one.iso` is `one.iso.part` until it is complete, with a note beside it of what it is a part of. A
//! download that breaks off is taken up where it was, as long as the server still has the same file; if not,
//! or where the server has not said which one it was or how long, it begins again. A file that is there
//! already is left as it is, also one that has come while another was downloaded to its name.
//!
//! On a terminal there is a bar for each download. Elsewhere only failures are told, a line for each, and the
//! exit code is their number, 125 standing for more.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use evy::GreenPool;
use evy::fs::{self, File};
use evy::patched::ureq::http::{HeaderMap, HeaderName, Response, StatusCode, header};
use evy::patched::ureq::{self, Agent, Body};
use httpdate::parse_http_date;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use percent_encoding::percent_decode_str;
use url::Url;

/// Downloads files, some at a time, and goes on with those that are unfinished.
///
/// The exit code is the number of URLs that failed, 125 standing for more.
#[derive(Parser)]
struct Arguments {
    /// What to download
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,

    /// How many to download at once
    #[arg(long, value_name = "N", default_value = "4")]
    concurrency: NonZeroUsize,

    /// Where to put the files
    #[arg(long, default_value = ".")]
    folder: PathBuf,

    /// How often to try again where nothing more came
    #[arg(long, value_name = "N", default_value = "5")]
    retries: u32,

    /// How long to wait before that; twice as long each time
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pause: Duration,

    /// Give a server up that says nothing for so long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// How much is written at once. Each write costs a trip to another OS thread, some 20 microseconds.
const PIECE: usize = 256 * 1024;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let pool = GreenPool::new(arguments.concurrency.get());
    let mut taken = HashSet::new();
    let downloads: Vec<_> = arguments
        .urls
        .iter()
        .map(|url| (url.clone(), Download::new(url, &arguments.folder, &mut taken)))
        .collect();
    let client = Rc::new(Client::new(&arguments));
    let bars = client.bars.clone();

    let mut failures = 0_usize;
    let run = move |(url, download): (String, Result<Download, String>)| {
        let result = download.and_then(|download| client.run(&download));
        (url, result)
    };
    for (url, result) in pool.imap_unordered(run, downloads) {
        if let Err(error) = result {
            failures += 1;
            // Whoever does not listen has the exit code.
            let _ = bars.suspend(|| writeln!(io::stderr(), "{url}: {error}"));
        }
    }
    ExitCode::from(failures.min(125) as u8)
}

/// Something to download, and where to.
struct Download {
    url: String,
    name: String,
    /// Where it goes in the end.
    file: PathBuf,
    /// What there is of it so far.
    part: PathBuf,
    /// Says what that is a part of: the URL, the version of what is there, and how long all of it is.
    note: PathBuf,
}

impl Download {
    /// Not two of them may write to the same file.
    fn new(url: &str, folder: &Path, taken: &mut HashSet<String>) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| error.to_string())?;
        let name = file_name(&parsed);
        let (part, note) = (format!("{name}.part"), format!("{name}.part.note"));
        let names = [&name, &part, &note];
        if names.iter().any(|name| taken.contains(*name)) {
            return Err(format!("another URL is downloaded to {name}"));
        }
        taken.extend(names.map(Clone::clone));
        let (file, part, note) = (folder.join(&name), folder.join(part), folder.join(note));
        Ok(Self { url: parsed.into(), name, file, part, note })
    }
}

/// What a URL's file is called here: as the end of its path.
fn file_name(url: &Url) -> String {
    let end = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = percent_decode_str(end).decode_utf8_lossy();
    let name = name.replace(|character: char| character == '/' || character.is_control(), "_");
    match name.as_str() {
        "" | "." | ".." => "index.html".to_owned(),
        _ => name,
    }
}

/// Why an attempt has failed.
enum Failure {
    /// The next one may succeed.
    Passing(String),
    Final(String),
}

fn passing(reason: impl Display) -> Failure {
    Failure::Passing(reason.to_string())
}

/// What goes wrong with our own files goes wrong again.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Final(error.to_string())
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => passing(error),
            _ => Self::Final(error.to_string()),
        }
    }
}

/// What all downloads have in common.
struct Client {
    agent: Agent,
    bars: MultiProgress,
    style: ProgressStyle,
    retries: u32,
    pause: Duration,
}

impl Client {
    fn new(arguments: &Arguments) -> Self {
        let limit = Some(arguments.timeout);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(limit)
            .timeout_connect(limit)
            .timeout_recv_response(limit)
            .timeout_per_read(limit)
            .build()
            .into();
        let style = "{prefix:24!} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
        let style = ProgressStyle::with_template(style).expect("a valid template");
        let Arguments { retries, pause, .. } = *arguments;
        Self { agent, bars: MultiProgress::new(), style, retries, pause }
    }

    fn run(&self, download: &Download) -> Result<(), String> {
        let bar = ProgressBar::no_length().with_style(self.style.clone());
        let bar = self.bars.add(bar.with_prefix(download.name.clone()));
        let result = self.try_often(download, &bar);
        bar.finish_and_clear();
        if result.is_ok() {
            // Nothing but on a terminal.
            let _ = self.bars.println(format!("{} is complete", download.name));
        }
        result
    }

    /// Tries until it succeeds, or has failed too often with nothing more than before.
    fn try_often(&self, download: &Download, bar: &ProgressBar) -> Result<(), String> {
        let in_words = |error: io::Error| error.to_string();
        let part = lock(&download.part)?;
        // Only now: whoever had the lock before may have completed it.
        if fs::exists(&download.file).map_err(in_words)? {
            return remove_if_empty(download, &part).map_err(in_words);
        }
        let mut most = part.metadata().map_err(in_words)?.len();
        let mut failures = 0;
        loop {
            let error = match self.attempt(download, &part, bar) {
                Ok(()) => break,
                Err(Failure::Passing(error)) if failures < self.retries => error,
                Err(Failure::Passing(error) | Failure::Final(error)) => {
                    remove_if_empty(download, &part).map_err(in_words)?;
                    return Err(error);
                }
            };
            bar.set_message(error);
            let length = part.metadata().map_err(in_words)?.len();
            failures = if length > most { 0 } else { failures + 1 };
            most = most.max(length);
            evy::sleep(self.pause.saturating_mul(1 << failures.saturating_sub(1).min(6)));
        }
        part.sync_all().map_err(in_words)?;
        name(download)?;
        fs::remove_file(&download.note).or_else(unless_missing).map_err(in_words)
    }

    /// Downloads it, or as much of it as comes.
    fn attempt(&self, download: &Download, part: &File, bar: &ProgressBar) -> Result<(), Failure> {
        let held = Held::of(download, part)?;
        // The file is wanted as it lies there: what comes packed has no parts that could be added.
        let mut request = self.agent.get(&download.url).header(header::ACCEPT_ENCODING, "identity");
        if let Some(Held { length, version, .. }) = &held {
            request = request
                .header(header::RANGE, format!("bytes={length}-"))
                .header(header::IF_RANGE, version);
        }
        let response = request.call()?;
        let Some((start, length)) = accept(download, part, held.as_ref(), &response)? else {
            return Ok(());
        };
        bar.set_message("");
        bar.set_position(start);
        if let Some(length) = length {
            bar.set_length(length);
        }
        let end = start + append(response.into_body().into_reader(), part, bar)?;
        match length {
            Some(length) if end < length => {
                Err(passing(format!("it ended after {end} of {length} bytes")))
            }
            Some(length) if end > length => {
                forget(download)?;
                Err(passing(format!("there were {end} bytes, and not {length}")))
            }
            _ => Ok(()),
        }
    }
}

/// At which byte begins what an answer has, and how many bytes the whole has if that is known. `None` where
/// nothing is missing any more.
fn accept(
    download: &Download,
    part: &File,
    held: Option<&Held>,
    response: &Response<Body>,
) -> Result<Option<(u64, Option<u64>)>, Failure> {
    let (status, headers) = (response.status(), response.headers());
    let announced = length(response);
    match (status, held) {
        (StatusCode::OK, _) => {
            begin(download, part, version(headers).zip(announced))?;
            Ok(Some((0, announced)))
        }
        (StatusCode::PARTIAL_CONTENT, Some(held))
            if held.is_continued_by(headers) && announced.is_some() =>
        {
            Ok(Some((held.length, Some(held.whole))))
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(held)) if held.is_all(headers) => Ok(None),
        (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
            forget(download)?;
            Err(passing("the server has sent something else than was asked for"))
        }
        _ if is_passing(status) => Err(passing(status)),
        _ => Err(Failure::Final(status.to_string())),
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Opens what there is of a file, for this process alone.
fn lock(part: &Path) -> Result<File, String> {
    let open = |part: &Path| -> io::Result<_> {
        loop {
            let mut options = std::fs::File::options();
            let file = options.create(true).truncate(false).write(true).open(part)?;
            file.try_lock()?;
            // Whoever had the lock until now may have taken the name away from what was opened.
            if !is_at(&file, part)? {
                continue;
            }
            if file.metadata()?.nlink() <= 1 {
                return Ok(file);
            }
            // It is complete, and has its other name: see `name`. What has that one is not written to.
            std::fs::remove_file(part)?;
        }
    };
    let path = part.to_owned();
    // Files of `evy::fs` have no locks; what is done by std's belongs on another OS thread.
    match evy::unblock(move || open(&path)) {
        Ok(file) => Ok(file.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(format!("another process writes to {}", part.display()))
        }
        Err(error) => Err(format!("{}: {error}", part.display())),
    }
}

/// Whether a path leads to this file.
fn is_at(file: &std::fs::File, path: &Path) -> io::Result<bool> {
    let place = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(place(metadata) == place(file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a part that is complete the file's name, if nothing else has it. Where it cannot have both names,
/// which some file systems do not know, a look comes before.
fn name(download: &Download) -> Result<(), String> {
    let Download { file, part, .. } = download;
    let named = match fs::hard_link(part, file) {
        Ok(()) => fs::remove_file(part),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) => fs::exists(file).and_then(|is_there| match is_there {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => fs::rename(part, file),
        }),
    };
    named.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let (file, part) = (file.display(), part.display());
            format!("{file} has come from elsewhere meanwhile; what was downloaded is {part}")
        }
        _ => error.to_string(),
    })
}

fn remove_if_empty(download: &Download, part: &File) -> io::Result<()> {
    if part.metadata()?.len() > 0 {
        return Ok(());
    }
    forget(download)?;
    fs::remove_file(&download.part)
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A part that can be gone on with.
struct Held {
    length: u64,
    /// What the server has said to tell it from other contents: a strong tag, or a date.
    version: String,
    /// How long it will be.
    whole: u64,
}

impl Held {
    fn of(download: &Download, part: &File) -> io::Result<Option<Self>> {
        let length = part.metadata()?.len();
        let note = match fs::read_to_string(&download.note) {
            Ok(note) => note,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Self::parse(&note, download, length))
    }

    /// `None` if the note is about something else, or is none.
    fn parse(note: &str, download: &Download, length: u64) -> Option<Self> {
        let (url, rest) = note.split_once('\n')?;
        let (version, whole) = rest.split_once('\n')?;
        let whole = whole.parse().ok()?;
        let is_part = url == download.url && (1..=whole).contains(&length);
        is_part.then(|| Self { length, version: version.to_owned(), whole })
    }

    /// Whether an answer of `206 Partial Content` is what comes next. The length is looked at as well as
    /// the version: a server that does not know `If-Range` need not say which one it has sent, and without
    /// it nobody knows where the file ends.
    fn is_continued_by(&self, headers: &HeaderMap) -> bool {
        let is_next = |range: ContentRange| {
            let end = range.last.and_then(|last| last.checked_add(1));
            range.first == Some(self.length) && range.size.or(end) == Some(self.whole)
        };
        ContentRange::of(headers).is_some_and(is_next) && !self.is_another(headers)
    }

    /// Whether an answer of `416 Range Not Satisfiable` says that nothing is missing.
    fn is_all(&self, headers: &HeaderMap) -> bool {
        let is_whole = self.length == self.whole;
        let has_all = |range: ContentRange| range.size == Some(self.whole);
        is_whole && ContentRange::of(headers).is_some_and(has_all) && !self.is_another(headers)
    }

    /// Whether a server that does not know `If-Range` has sent a part of something else.
    fn is_another(&self, headers: &HeaderMap) -> bool {
        let name = if self.version.starts_with('"') { header::ETAG } else { header::LAST_MODIFIED };
        headers.get(name).is_some_and(|version| *version != *self.version)
    }
}

/// What `Content-Range` says: `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`.
struct ContentRange {
    first: Option<u64>,
    last: Option<u64>,
    size: Option<u64>,
}

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, size) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-').unzip();
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        Some(Self { first: number(first), last: number(last), size: size.parse().ok() })
    }
}

/// Empties the part, and notes what it will be a part of. In this order: a note never stands beside
/// something older.
fn begin(download: &Download, part: &File, known: Option<(&str, u64)>) -> io::Result<()> {
    forget(download)?;
    part.set_len(0)?;
    match known {
        Some((version, whole)) => {
            fs::write(&download.note, format!("{}\n{version}\n{whole}", download.url))
        }
        None => Ok(()),
    }
}

/// The next attempt begins from the start.
fn forget(download: &Download) -> io::Result<()> {
    fs::remove_file(&download.note).or_else(unless_missing)
}

/// What tells this content from all others, if anything does (RFC 9110, 8.8).
fn version(headers: &HeaderMap) -> Option<&str> {
    if let Some(tag) = headers.get(header::ETAG) {
        return tag.to_str().ok().filter(|tag| tag.starts_with('"'));
    }
    // It could have changed a second time in the second in which it was sent.
    let (changed, sent) = (date(headers, header::LAST_MODIFIED)?, date(headers, header::DATE)?);
    let modified = headers.get(header::LAST_MODIFIED).filter(|_| changed < sent)?;
    modified.to_str().ok()
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// How much comes, if that is known and comes as it lies there. Of what ureq unpacks it is not known, and
/// that it was packed cannot be seen.
fn length(response: &Response<Body>) -> Option<u64> {
    let is_packed = response.headers().contains_key(header::CONTENT_ENCODING);
    response.body().content_length().filter(|_| !is_packed)
}

/// Adds to the part what comes, and returns how much that was.
fn append(mut body: impl Read, mut part: &File, bar: &ProgressBar) -> Result<u64, Failure> {
    part.seek(SeekFrom::End(0))?;
    let mut file = BufWriter::with_capacity(PIECE, part);
    let mut buffer = vec![0; PIECE / 4];
    let mut total = 0;
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                // What has come stays.
                file.flush()?;
                return Err(passing(error));
            }
        };
        file.write_all(&buffer[..count])?;
        total += count as u64;
        bar.inc(count as u64);
    }
    file.flush()?;
    Ok(total)
}
