//! The head of an answer, and what it says of the length of the body: RFC 9112, section 6.3.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

use crate::failure::Failure;

/// Fields that a head may have.
const MOST_FIELDS: usize = 100;

/// What matters of a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// How long it is.
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// The server ends the connection after this answer.
    pub(crate) closes: bool,
}

/// How it is known where the body ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunks,
    /// By the end of the connection.
    Rest,
}

/// What the fields say, as far as one was there.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// Whether the last of the transfer codings is the chunks.
    is_chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

impl Head {
    /// The head that `came` begins with; none if it is not complete.
    pub(crate) fn parse(came: &[u8]) -> Result<Option<Self>, Failure> {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
        let mut response = Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            came,
            &mut fields,
        );
        let bytes = match parsed {
            Ok(Status::Complete(bytes)) => bytes,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(Failure::Malformed(error.to_string())),
        };
        let status = response.code.unwrap_or(0);
        let fields = Fields::of(response.headers)?;
        if status < 100 || status == 101 {
            return Err(Failure::Malformed(format!("an answer has the status {status:03}")));
        }
        let body = match (status, fields.is_chunked, fields.length) {
            (100..200 | 204 | 304, _, _) => Body::Length(0),
            (_, Some(true), _) => Body::Chunks,
            (_, None, Some(length)) => Body::Length(length),
            (_, Some(false), _) | (_, None, None) => Body::Rest,
        };
        let is_kept = if response.version == Some(0) { fields.keep_alive } else { !fields.close };
        let closes = !is_kept || body == Body::Rest;
        Ok(Some(Self { bytes, status, body, closes }))
    }

    /// Whether another head follows, of the answer itself.
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200
    }
}

impl Fields {
    fn of(headers: &[Header<'_>]) -> Result<Self, Failure> {
        let mut fields = Self::default();
        for Header { name, value } in headers {
            // The length first: there are many fields, and hardly two are equally long.
            match name.len() {
                10 if name.eq_ignore_ascii_case("connection") => fields.connection(value),
                14 if name.eq_ignore_ascii_case("content-length") => fields.length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => fields.coding(value),
                _ => {}
            }
        }
        Ok(fields)
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Failure> {
        let malformed = || {
            let value = value.escape_ascii();
            Failure::Malformed(format!("an answer has the content-length '{value}'"))
        };
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = str::from_utf8(value).ok().filter(|_| is_number).ok_or_else(malformed)?;
        let length = text.parse().map_err(|_| malformed())?;
        match self.length.replace(length) {
            Some(other) if other != length => {
                Err(Failure::Malformed("an answer has two lengths".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn coding(&mut self, value: &[u8]) {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        self.is_chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
    }
}
