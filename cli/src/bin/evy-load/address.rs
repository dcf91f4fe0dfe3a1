//! Where the server is, as it is written on the command line and in the report.

use std::fmt;
use std::str::FromStr;

use crate::url::Url;

/// An address in evy-echo's form, or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// `HOST:PORT`, or what the look-up will refuse.
    pub(crate) name: String,
    /// By HTTP, what is asked for.
    pub(crate) url: Option<Url>,
}

impl Address {
    /// What stands behind `http://` or `https://`.
    pub(crate) fn of_url(tls: bool, text: &str) -> Result<Self, String> {
        let url = Url::parse(text)?;
        Ok(Self { tls, name: url.name(tls), url: Some(url) })
    }

    /// Without the port, and the brackets of IPv6.
    pub(crate) fn host(&self) -> &str {
        let host = self.name.rsplit_once(':').map_or(&*self.name, |(host, _port)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        for (scheme, tls) in [("http://", false), ("https://", true)] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return Self::of_url(tls, rest);
            }
        }
        let name = text.strip_prefix("tls:");
        Ok(Self { tls: name.is_some(), name: name.unwrap_or(text).to_owned(), url: None })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            None => write!(f, "{}{}", if self.tls { "tls:" } else { "" }, self.name),
            Some(Url { authority, target }) => {
                let scheme = if self.tls { "https" } else { "http" };
                write!(f, "{scheme}://{authority}{target}")
            }
        }
    }
}
