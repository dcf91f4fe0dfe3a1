//! Headers that are lists.

use crate::{HeaderMap, HeaderName};

/// The elements of a header's lists; there may be several of them.
pub(super) fn of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}

/// Whether one of them is `token`, which has no case.
pub(super) fn is_listed(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    of(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}
