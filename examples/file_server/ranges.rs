//! Which parts of a file a client asks for (RFC 9110, section 14).

use std::ops::Range;

use evy::http::HeaderValue;

/// Who asks for more parts of a file gets all of it: the parts would cost more than they save.
const MOST_PARTS: usize = 32;

/// What of a file a client wants.
pub(crate) enum Wanted {
    All,
    /// In this order.
    Parts(Vec<Range<u64>>),
    /// Something that lies behind its end.
    Nothing,
}

/// What `Range` asks for. What is no such header, or asks for more than there is of the file, counts as
/// none (RFC 9110, 14.2).
pub(crate) fn wanted(range: &HeaderValue, size: u64) -> Wanted {
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

pub(crate) fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}
