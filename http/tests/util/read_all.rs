//! Reads what a connection gives, up to its end.

use std::io::{ErrorKind, Read};

/// Everything up to the end, or what has gone wrong; a reset counts as an end.
pub(crate) fn try_read_all(stream: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(bytes),
        Err(error) => Err(format!("{error}, after {:?}", String::from_utf8_lossy(&bytes))),
    }
}
