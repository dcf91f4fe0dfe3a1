//! The URL of a WebSocket.

use std::io;

use crate::Uri;

/// What a URL names: `ws://host:port/path?query`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) is_secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// What the header `Host` says: no port where it is the usual one.
    pub(super) authority: String,
    /// Path and query.
    pub(super) resource: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> io::Result<Self> {
        let invalid = |text: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {text}"))
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&error))?;
        let is_scheme =
            |name| uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case(name));
        let (is_secure, usual_port) = match (is_scheme("ws"), is_scheme("wss")) {
            (true, _) => (false, 80),
            (_, true) => (true, 443),
            _ => return Err(invalid(&"a WebSocket's URL begins with ws:// or wss://")),
        };
        // RFC 6455, 3; and what browsers refuse.
        if url.contains('#') {
            return Err(invalid(&"a WebSocket's URL has no fragment"));
        }
        let authority = uri.authority().ok_or_else(|| invalid(&"it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid(&"a WebSocket's URL has no user"));
        }
        let host = authority.host();
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if name.is_empty() {
            return Err(invalid(&"it has no host"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().len() > host.len() => {
                return Err(invalid(&"it has no valid port"));
            }
            None => usual_port,
        };
        let authority = if port == usual_port { host.to_owned() } else { format!("{host}:{port}") };
        let resource = uri.path_and_query().map_or("/", |resource| resource.as_str());
        let resource =
            if resource.starts_with('/') { resource.to_owned() } else { format!("/{resource}") };
        Ok(Self { is_secure, host: name.to_owned(), port, authority, resource })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, is_secure, host, port, authority, resource) in [
            ("ws://localhost", false, "localhost", 80, "localhost", "/"),
            ("ws://localhost:80/", false, "localhost", 80, "localhost", "/"),
            ("ws://localhost:81?q", false, "localhost", 81, "localhost:81", "/?q"),
            ("wss://localhost/a%20b?c=d", true, "localhost", 443, "localhost", "/a%20b?c=d"),
            ("wss://[::1]:80/", true, "::1", 80, "[::1]:80", "/"),
            ("WS://127.0.0.1/", false, "127.0.0.1", 80, "127.0.0.1", "/"),
        ] {
            let (host, authority) = (host.to_owned(), authority.to_owned());
            let resource = resource.to_owned();
            let expected = Target { is_secure, host, port, authority, resource };
            assert_eq!(Target::parse(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn a_url_of_something_else_is_refused() {
        for url in [
            "",
            "/path",
            "localhost:80",
            "http://localhost/",
            "ws:///path",
            "ws://localhost/#part",
            "ws://me:secret@localhost/",
            "ws://localhost:65536/",
            "ws://local host/",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{url}: {error}");
        }
    }
}
