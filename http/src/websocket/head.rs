//! The head of a server's answer.

use std::io::{self, Read};

use ::http::Response;
use httparse::Status;

use crate::limits::LONGEST_HEAD;
use crate::{HeaderName, HeaderValue, Stream};

/// Bytes of a read.
const READ: usize = 1024;

const MOST_HEADERS: usize = 128;

/// Reads the head of an answer, and what came with it from beyond. Interim answers are passed over.
pub(super) fn read(mut stream: &Stream) -> io::Result<(Response<()>, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if before > LONGEST_HEAD {
            return Err(malformed(&"too long"));
        }
        bytes.resize(before + READ, 0);
        let count = match stream.read(&mut bytes[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Ok(0) => {
                let text = "the server has closed the connection instead of answering";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            result => result?,
        };
        bytes.truncate(before + count);
        while let Some((response, length)) = parse(&bytes)? {
            bytes.drain(..length);
            if !response.status().is_informational() || response.status().as_u16() == 101 {
                return Ok((response, bytes));
            }
        }
    }
}

/// An answer's head and its length, if it is complete.
fn parse(bytes: &[u8]) -> io::Result<Option<(Response<()>, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(length) = head.parse(bytes).map_err(|error| malformed(&error))? else {
        return Ok(None);
    };
    if head.version != Some(1) {
        return Err(malformed(&"it is not HTTP/1.1"));
    }
    let mut response = Response::builder().status(head.code.expect("it is complete"));
    for header in head.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        response = response.header(
            name.map_err(|error| malformed(&error))?,
            value.map_err(|error| malformed(&error))?,
        );
    }
    Ok(Some((response.body(()).map_err(|error| malformed(&error))?, length)))
}

fn malformed(what: &dyn std::fmt::Display) -> io::Error {
    let text = format!("the server's answer to a request for a WebSocket: {what}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
