//! The page of a folder.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use httpdate::fmt_http_date;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::inside;
use super::served::whole_seconds;

/// What is written otherwise in a link: all but the unreserved characters of RFC 3986.
pub(crate) const IN_LINKS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Something in a folder.
pub(crate) struct Entry {
    name: OsString,
    is_folder: bool,
    size: u64,
    modified: SystemTime,
}

/// The files and folders in a folder, by name.
pub(crate) fn list(root: &Path, folder: &Path) -> io::Result<Vec<Entry>> {
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

/// The page that shows them.
pub(crate) fn page(path: &str, entries: &[Entry]) -> String {
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
