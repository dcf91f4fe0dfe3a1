//! What is asked of a server of HTTP: the URL, the fields, and the head of a request with them.

use std::fmt::Write;
use std::str::FromStr;

/// A URL behind its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port, as they were written.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Url {
    /// What stands behind `http://`: `HOST[:PORT][/PATH][?QUERY]`. A fragment is left out.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.split('#').next().unwrap_or_default();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL has no blanks, and only ASCII: write others as %XX".to_owned());
        }
        let (authority, target) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
        if authority.contains('@') {
            return Err(
                "a URL with a name or a password is not understood: see --header".to_owned()
            );
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err("the URL has no host".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { authority: authority.to_owned(), target: format!("{slash}{target}") })
    }

    /// `HOST:PORT`, with the usual port where the URL has none.
    pub(crate) fn name(&self, tls: bool) -> String {
        let authority = self.authority.trim_end_matches(':');
        // The colons of an IPv6 address are within brackets.
        let behind_host = authority.rsplit(']').next().unwrap_or_default();
        match behind_host.contains(':') {
            true => authority.to_owned(),
            false => format!("{authority}:{}", if tls { 443 } else { 80 }),
        }
    }
}

/// A field of a head: `NAME: VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    name: String,
    value: String,
}

impl Field {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it asks the server to close the connection after its answer.
    pub(crate) fn asks_to_close(&self) -> bool {
        let is_close = |option: &str| option.trim().eq_ignore_ascii_case("close");
        self.is("connection") && self.value.split(',').any(is_close)
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("it has to be 'NAME: VALUE'")?;
        let is_in_name =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_in_name) {
            return Err(format!("'{name}' can be no name of a field"));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err("a value has no line breaks and the like".to_owned());
        }
        let field = Self { name: name.to_owned(), value: value.trim().to_owned() };
        if field.is("content-length") || field.is("transfer-encoding") {
            return Err("the length of the body is what --size says".to_owned());
        }
        Ok(field)
    }
}

/// The head of a request: of a POST, if it has a body of so many bytes. Fields that are given take the
/// place of ours.
pub(crate) fn head(url: &Url, size: Option<usize>, fields: &[Field]) -> String {
    let method = if size.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {} HTTP/1.1\r\n", url.target);
    let mut add = |name: &str, value: &str| {
        write!(head, "{name}: {value}\r\n").expect("a String takes everything");
    };
    let agent = concat!("evy-load/", env!("CARGO_PKG_VERSION"));
    let kind = size.map(|_| "application/octet-stream");
    let ours =
        [("Host", Some(&*url.authority)), ("User-Agent", Some(agent)), ("Content-Type", kind)];
    for (name, value) in ours {
        if let Some(value) = value
            && !fields.iter().any(|field| field.is(name))
        {
            add(name, value);
        }
    }
    if let Some(size) = size {
        add("Content-Length", &size.to_string());
    }
    fields.iter().for_each(|field| add(&field.name, &field.value));
    head.push_str("\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, authority, target, name) in [
            ("a.example", "a.example", "/", "a.example:80"),
            ("a.example:8080/b/c?d=e#f", "a.example:8080", "/b/c?d=e", "a.example:8080"),
            ("a.example?x", "a.example", "/?x", "a.example:80"),
            ("[::1]/x:y", "[::1]", "/x:y", "[::1]:80"),
            ("[::1]:81", "[::1]:81", "/", "[::1]:81"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((&*url.authority, &*url.target), (authority, target));
            assert_eq!(url.name(false), name);
        }
        assert_eq!(Url::parse("a").unwrap().name(true), "a:443");
        for text in ["", "/path", ":80", "me:secret@a/", "a/ b", "a/\u{e4}", "a/\r\n"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_head_has_our_fields_unless_others_are_given() {
        let url = Url::parse("h:1/x").unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("GET /x HTTP/1.1\r\nHost: h:1\r\nUser-Agent: evy-load/{version}\r\n\r\n");
        assert_eq!(head(&url, None, &[]), expected);
        let fields = ["host:other", "user-agent: me", "CONTENT-TYPE: text/plain", "X: a: b "];
        let fields = fields.map(|field| field.parse().unwrap());
        let expected = "POST /x HTTP/1.1\r\nContent-Length: 5\r\nhost: other\r\nuser-agent: me\r\n\
                        CONTENT-TYPE: text/plain\r\nX: a: b\r\n\r\n";
        assert_eq!(head(&url, Some(5), &fields), expected);
    }

    #[test]
    fn fields_that_would_break_a_request_are_refused() {
        for text in
            ["x", ": y", "a b: c", "a: b\r\nc: d", "Content-Length: 1", "transfer-encoding: x"]
        {
            assert!(text.parse::<Field>().is_err(), "{text}");
        }
        assert!("Connection: x, Close".parse::<Field>().unwrap().asks_to_close());
        assert!(!"Connection: keep-alive".parse::<Field>().unwrap().asks_to_close());
    }
}
