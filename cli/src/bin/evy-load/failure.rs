//! What can go wrong with a connection.

use std::{fmt, io};

/// Why a connection ended before its time, or was never made.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(io::Error),
    /// Of TLS, on a connection that was made.
    Handshake(io::Error),
    Read(io::Error),
    Write(io::Error),
    /// The server closed it, with requests unanswered.
    Closed,
    /// For the timeout, no byte of an answer.
    TimedOut,
    Corrupt {
        /// Which byte of the answer, from 0.
        at: usize,
        came: u8,
        expected: u8,
    },
    /// More came than was sent, or asked for.
    Surplus,
    /// What came is no answer of HTTP.
    Malformed(String),
    /// An answer of HTTP has not as many bytes as were posted.
    Length {
        came: usize,
        expected: usize,
    },
}

/// The failures by name, in the order of the report.
pub(crate) const KINDS: [&str; 10] = [
    "connect",
    "handshake",
    "read",
    "write",
    "closed",
    "timeout",
    "corrupt",
    "surplus",
    "malformed",
    "length",
];

impl Failure {
    /// Its index in [`KINDS`].
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Connect(_) => 0,
            Self::Handshake(_) => 1,
            Self::Read(_) => 2,
            Self::Write(_) => 3,
            Self::Closed => 4,
            Self::TimedOut => 5,
            Self::Corrupt { .. } => 6,
            Self::Surplus => 7,
            Self::Malformed(_) => 8,
            Self::Length { .. } => 9,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::Read(error) => write!(f, "cannot read: {error}"),
            Self::Write(error) => write!(f, "cannot write: {error}"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Corrupt { at, came, expected } => {
                write!(f, "byte {at} of an answer is {came:#04x} and not {expected:#04x}")
            }
            Self::Surplus => f.write_str("more bytes came back than were sent or asked for"),
            Self::Malformed(text) => write!(f, "what came is no answer of HTTP: {text}"),
            Self::Length { came, expected } => {
                write!(f, "an answer has {came} bytes, and not the {expected} that were sent")
            }
        }
    }
}
