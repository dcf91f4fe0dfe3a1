//! Raw requests, and what must become of each: by RFC 9112 (HTTP/1.1), whose sections are named where it
//! leaves a choice.
//!
//! The handler reads the body of each request, but for `/unread`, which it leaves alone; a body may have
//! [`LONGEST_BODY`] bytes. What it has seen is noted as `METHOD target`, then the body if there was one, or
//! `(broken)`.
//!
//! Rows of which the client might make two requests out of one carry a second one, `GET /smuggled`, in what
//! is to be read as a body, or not at all. Where it is rightly seen, the client has sent two.

/// The longest body that the server of this table takes.
pub(crate) const LONGEST_BODY: u64 = 1000;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The server closes it.
    Closes,
    /// The next request on it is answered.
    Keeps,
    /// It is the client who ends its side, in the middle of something, and then the server closes.
    Ends,
}
pub(crate) use After::{Closes, Ends, Keeps};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) after: After,
    /// Of all answers, interim ones too.
    pub(crate) statuses: Vec<u16>,
    pub(crate) seen: Vec<&'static str>,
}

type Row = (&'static str, &'static str, After, &'static [u16], &'static [&'static str]);

/// A `GET` with these header lines.
macro_rules! get {
    ($headers:expr) => {
        concat!("GET / HTTP/1.1\r\nHost: test\r\n", $headers, "\r\n")
    };
}

/// A `POST` with these header lines and this body, or what stands in its place.
macro_rules! post {
    ($headers:expr, $body:expr) => {
        concat!("POST / HTTP/1.1\r\nHost: test\r\n", $headers, "\r\n", $body)
    };
}

/// A chunked `POST`.
macro_rules! chunked {
    ($body:expr) => {
        post!("Transfer-Encoding: chunked\r\n", $body)
    };
}

/// A `GET` of this target.
macro_rules! target {
    ($target:expr) => {
        concat!("GET ", $target, " HTTP/1.1\r\nHost: test\r\n\r\n")
    };
}

/// A `GET` for this `Host`.
macro_rules! host {
    ($host:expr) => {
        concat!("GET / HTTP/1.1\r\nHost: ", $host, "\r\n\r\n")
    };
}

/// A request line, and what is good behind it.
macro_rules! line {
    ($line:expr) => {
        concat!($line, "\r\nHost: test\r\n\r\n")
    };
}

macro_rules! smuggled {
    () => {
        "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"
    };
}

/// `abc`, chunked.
macro_rules! abc {
    () => {
        "3\r\nabc\r\n0\r\n\r\n"
    };
}

#[rustfmt::skip]
const LENGTHS: &[Row] = &[
    ("a length", post!("Content-Length: 3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a length of 0", post!("Content-Length: 0\r\n", ""), Keeps, &[200], &["POST /"]),
    ("no length is none", post!("", ""), Keeps, &[200], &["POST /"]),
    ("what comes after no length is a request", post!("", smuggled!()), Keeps, &[200, 200], &["POST /", "GET /smuggled"]),
    ("what comes after a length of 0 is a request", post!("Content-Length: 0\r\n", smuggled!()), Keeps, &[200, 200], &["POST /", "GET /smuggled"]),
    ("a GET with a body", "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", Keeps, &[200], &["GET / abc"]),
    ("a body that looks like a request", post!("Content-Length: 38\r\n", smuggled!()), Keeps, &[200], &["POST / GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"]),
    // 6.3, 5: the same one, repeated, may be taken for one. As a list in one line it is not.
    ("two lengths that are the same", post!("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("two lengths in one line", post!("Content-Length: 3, 3\r\n", "abc"), Closes, &[400], &[]),
    ("two lengths, the second longer", post!("Content-Length: 0\r\nContent-Length: 39\r\n", smuggled!()), Closes, &[400], &[]),
    ("two lengths, the second shorter", post!("Content-Length: 39\r\nContent-Length: 0\r\n", smuggled!()), Closes, &[400], &[]),
    ("two different lengths in one line", post!("Content-Length: 0, 39\r\n", smuggled!()), Closes, &[400], &[]),
    ("three lengths, one different", post!("Content-Length: 3\r\nContent-Length: 3\r\nContent-Length: 4\r\n", "abc"), Closes, &[400], &[]),
    ("two lengths, one in another case", post!("Content-Length: 3\r\ncontent-length: 41\r\n", smuggled!()), Closes, &[400], &[]),
    ("a length and an empty one", post!("Content-Length: 3\r\nContent-Length:\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a plus", post!("Content-Length: +3\r\n", "abc"), Closes, &[400], &[]),
    ("a negative length", post!("Content-Length: -3\r\n", "abc"), Closes, &[400], &[]),
    ("a negative 0", post!("Content-Length: -0\r\n", smuggled!()), Closes, &[400], &[]),
    ("a hexadecimal length", post!("Content-Length: 0x3\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a fraction", post!("Content-Length: 3.0\r\n", "abc"), Closes, &[400], &[]),
    ("a length with an exponent", post!("Content-Length: 3e0\r\n", "abc"), Closes, &[400], &[]),
    ("a length with letters behind", post!("Content-Length: 3abc\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a comma behind", post!("Content-Length: 3,\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a semicolon behind", post!("Content-Length: 3;\r\n", "abc"), Closes, &[400], &[]),
    ("a length with an underscore in it", post!("Content-Length: 0_3\r\n", "abc"), Closes, &[400], &[]),
    ("a length in two parts", post!("Content-Length: 0 3\r\n", "abc"), Closes, &[400], &[]),
    ("a length in quotes", post!("Content-Length: \"3\"\r\n", "abc"), Closes, &[400], &[]),
    ("an empty length", post!("Content-Length:\r\n", "abc"), Closes, &[400], &[]),
    ("a length in other digits", post!("Content-Length: \u{663}\r\n", "abc"), Closes, &[400], &[]),
    ("a length of 2^64", post!("Content-Length: 18446744073709551616\r\n", smuggled!()), Closes, &[400], &[]),
    ("a length of 2^64 and 3", post!("Content-Length: 18446744073709551619\r\n", "abc"), Closes, &[400], &[]),
    ("a length of 40 digits", post!("Content-Length: 1000000000000000000000000000000000000003\r\n", "abc"), Closes, &[400], &[]),
    // Too long for hyper, which says so as of a head.
    ("a length of 2^64 - 1", post!("Content-Length: 18446744073709551615\r\n", "abc"), Closes, &[431], &[]),
    ("a length of 2^63", post!("Content-Length: 9223372036854775808\r\n", "abc"), Closes, &[413], &[]),
    ("a length with zeros in front", post!("Content-Length: 0000000003\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a length without a blank", post!("Content-Length:3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a length between blanks", post!("Content-Length: \t 3 \t \r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a length in capital letters", post!("CONTENT-LENGTH: 3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a length with a vertical tab", post!("Content-Length: 3\x0b\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a form feed", post!("Content-Length: \x0c3\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a NUL", post!("Content-Length: 3\0\r\n", "abc"), Closes, &[400], &[]),
    ("a length with a CR of its own", post!("Content-Length: 3\r\r\n", "abc"), Closes, &[400], &[]),
    ("a blank before the colon of a length", post!("Content-Length : 38\r\n", smuggled!()), Closes, &[400], &[]),
    ("a tab before the colon of a length", post!("Content-Length\t: 38\r\n", smuggled!()), Closes, &[400], &[]),
    ("a blank before a length", post!(" Content-Length: 38\r\n", smuggled!()), Closes, &[400], &[]),
    ("a length on a line of its own", post!("Content-Length:\r\n 38\r\n", smuggled!()), Closes, &[400], &[]),
    ("a length that goes on in the next line", post!("Content-Length: 3\r\n 8\r\n", smuggled!()), Closes, &[400], &[]),
    // Another field: the client has sent two requests.
    ("a length with an underscore in its name", post!("Content_Length: 38\r\n", smuggled!()), Keeps, &[200, 200], &["POST /", "GET /smuggled"]),
    ("a body that breaks off", post!("Content-Length: 5\r\n", "abc"), Ends, &[400], &["POST / (broken)"]),
    ("a body that does not begin", post!("Content-Length: 5\r\n", ""), Ends, &[400], &["POST / (broken)"]),
    ("a length in a connection's list", post!("Content-Length: 3\r\nConnection: content-length\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
];

#[rustfmt::skip]
const CODINGS: &[Row] = &[
    ("chunked", chunked!(abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked in capital letters", post!("TRANSFER-ENCODING: CHUNKED\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked in mixed letters", post!("Transfer-encoding: ChUnKeD\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked behind a tab", post!("Transfer-Encoding:\tchunked\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked before a tab", post!("Transfer-Encoding: chunked\t\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked and nothing in it", chunked!("0\r\n\r\n"), Keeps, &[200], &["POST /"]),
    ("a GET that is chunked", "GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Keeps, &[200], &["GET / abc"]),
    ("a request behind a chunked body", chunked!(concat!(abc!(), smuggled!())), Keeps, &[200, 200], &["POST / abc", "GET /smuggled"]),
    ("a request inside of a chunk", chunked!(concat!("26\r\n", smuggled!(), "\r\n0\r\n\r\n")), Keeps, &[200], &["POST / GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"]),
    // 6.3, 3: a server may go by chunked alone, as hyper does, if it closes the connection then; 400 is the
    // safer answer.
    ("a length, then chunked", post!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", concat!(abc!(), smuggled!())), Closes, &[400], &[]),
    ("chunked, then a length", post!("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", concat!(abc!(), smuggled!())), Closes, &[400], &[]),
    ("a length of 0, then chunked", post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", concat!("0\r\n\r\n", smuggled!())), Closes, &[400], &[]),
    ("chunked, then a length of 0", post!("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", concat!("0\r\n\r\n", smuggled!())), Closes, &[400], &[]),
    ("the classic: a length that hides what chunks show", post!("Content-Length: 13\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nSMUGGLED"), Closes, &[400], &[]),
    ("the classic: chunks that hide what a length shows", post!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "8\r\nSMUGGLED\r\n0\r\n\r\n"), Closes, &[400], &[]),
    ("a length between two codings", post!("Transfer-Encoding: chunked\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", abc!()), Closes, &[400], &[]),
    ("chunked between two lengths", post!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", abc!()), Closes, &[400], &[]),
    ("chunked, then a length that is none", post!("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", abc!()), Closes, &[400], &[]),
    ("a length that is none, then chunked", post!("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", abc!()), Closes, &[400], &[]),
    ("chunked, then a length in small letters", post!("transfer-encoding: chunked\r\ncontent-length: 3\r\n", abc!()), Closes, &[400], &[]),
    ("chunked and a length between bare line feeds", "POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\nContent-Length: 3\n\n3\r\nabc\r\n0\r\n\r\n", Closes, &[400], &[]),
    ("a length and chunked behind a request", concat!(get!(""), post!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", abc!())), Closes, &[200, 400], &["GET /"]),
    ("a length and chunked behind a body", concat!(post!("Content-Length: 3\r\n", "abc"), post!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", abc!())), Closes, &[200, 400], &["POST / abc"]),
    // Where the second head begins is known to hyper alone; by its way the connection closes.
    ("a length and chunked behind chunks, at once", concat!(chunked!(abc!()), post!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", concat!(abc!(), smuggled!()))), Closes, &[200, 200], &["POST / abc", "POST / abc"]),
    ("a length, and then a request that is chunked", concat!(post!("Content-Length: 3\r\n", "abc"), chunked!(abc!())), Keeps, &[200, 200], &["POST / abc", "POST / abc"]),
    ("chunked, and then a request with a length", concat!(chunked!(abc!()), post!("Content-Length: 3\r\n", "abc")), Keeps, &[200, 200], &["POST / abc", "POST / abc"]),
    ("chunked, with a length in another field's value", post!("X: Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("chunked, with a length in the body", chunked!("15\r\n\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), Keeps, &[200], &["POST / \r\nContent-Length: 3\r\n"]),
    ("a coding that looks like chunked", post!("Transfer-Encoding: xchunked\r\n", abc!()), Closes, &[400], &[]),
    ("a coding that begins like chunked", post!("Transfer-Encoding: chunkedx\r\n", abc!()), Closes, &[400], &[]),
    ("a coding and a length", post!("Transfer-Encoding: x\r\nContent-Length: 3\r\n", "abc"), Closes, &[400], &[]),
    ("identity", post!("Transfer-Encoding: identity\r\n", "abc"), Closes, &[400], &[]),
    ("identity and a length", post!("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), Closes, &[400], &[]),
    ("gzip", post!("Transfer-Encoding: gzip\r\n", "abc"), Closes, &[400], &[]),
    // 6.1: 501 for a coding that the server does not know; chunked is not to be used twice.
    ("gzip, chunked", post!("Transfer-Encoding: gzip, chunked\r\n", abc!()), Closes, &[501], &[]),
    ("gzip and chunked in two lines", post!("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", abc!()), Closes, &[501], &[]),
    ("identity, chunked", post!("Transfer-Encoding: identity, chunked\r\n", abc!()), Closes, &[501], &[]),
    ("xchunked, chunked", post!("Transfer-Encoding: xchunked, chunked\r\n", abc!()), Closes, &[501], &[]),
    ("chunked, gzip", post!("Transfer-Encoding: chunked, gzip\r\n", abc!()), Closes, &[400], &[]),
    ("chunked and gzip in two lines", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", abc!()), Closes, &[400], &[]),
    ("chunked, identity", post!("Transfer-Encoding: chunked, identity\r\n", abc!()), Closes, &[400], &[]),
    ("chunked, chunked", post!("Transfer-Encoding: chunked, chunked\r\n", abc!()), Closes, &[501], &[]),
    ("chunked twice, in two lines", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", abc!()), Closes, &[501], &[]),
    ("a comma before chunked", post!("Transfer-Encoding: ,chunked\r\n", abc!()), Closes, &[501], &[]),
    ("a comma behind chunked", post!("Transfer-Encoding: chunked,\r\n", abc!()), Closes, &[400], &[]),
    ("chunked with a parameter", post!("Transfer-Encoding: chunked;q=1\r\n", abc!()), Closes, &[400], &[]),
    ("chunked in quotes", post!("Transfer-Encoding: \"chunked\"\r\n", abc!()), Closes, &[400], &[]),
    ("chunked in two parts", post!("Transfer-Encoding: chu nked\r\n", abc!()), Closes, &[400], &[]),
    ("no coding at all", post!("Transfer-Encoding:\r\n", abc!()), Closes, &[400], &[]),
    ("chunked behind a vertical tab", post!("Transfer-Encoding: \x0bchunked\r\n", abc!()), Closes, &[400], &[]),
    ("chunked before a NUL", post!("Transfer-Encoding: chunked\0\r\n", abc!()), Closes, &[400], &[]),
    ("chunked behind a letter that is no ASCII", post!("Transfer-Encoding: \u{e9}chunked\r\n", abc!()), Closes, &[400], &[]),
    ("a blank before the colon of a coding", post!("Transfer-Encoding : chunked\r\n", abc!()), Closes, &[400], &[]),
    ("a blank before a coding", post!(" Transfer-Encoding: chunked\r\n", abc!()), Closes, &[400], &[]),
    ("a coding on a line of its own", post!("Transfer-Encoding:\r\n chunked\r\n", abc!()), Closes, &[400], &[]),
    ("a CR between the name of a coding and its colon", post!("Transfer-Encoding\r: chunked\r\n", abc!()), Closes, &[400], &[]),
    ("a coding behind a bare CR", post!("X: y\rTransfer-Encoding: chunked\r\n", abc!()), Closes, &[400], &[]),
    // 2.2: a bare line feed may be taken for the end of a line.
    ("a coding behind a bare line feed", post!("X: y\nTransfer-Encoding: chunked\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
    ("HTTP/1.0 and chunked", "POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Closes, &[400], &[]),
    ("HTTP/1.0, a length, and chunked", "POST / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Closes, &[400], &[]),
    ("TE is no coding of the request", post!("TE: chunked\r\nContent-Length: 3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("a coding in a connection's list", post!("Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n", abc!()), Keeps, &[200], &["POST / abc"]),
];

#[rustfmt::skip]
const CHUNKS: &[Row] = &[
    ("two chunks", chunked!("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("a size with zeros in front", chunked!("0003\r\nabc\r\n0000\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("a size in capital letters", chunked!("A\r\n0123456789\r\n0\r\n\r\n"), Keeps, &[200], &["POST / 0123456789"]),
    ("a size in small letters", chunked!("a\r\n0123456789\r\n0\r\n\r\n"), Keeps, &[200], &["POST / 0123456789"]),
    ("an extension", chunked!("3;name=value\r\nabc\r\n0;last\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("an extension in quotes", chunked!("3;name=\"a value\"\r\nabc\r\n0\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("an extension that looks like a size", chunked!("3;5\r\nabc\r\n0\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    // 7.1.1: blanks before an extension are bad, but to be understood.
    ("a blank behind a size", chunked!("3 \r\nabc\r\n0\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("a blank before a size", chunked!(" 3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a blank within a size", chunked!("1 0\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a negative size", chunked!("-3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size with a plus", chunked!("+3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size with 0x", chunked!("0x3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size with an underscore", chunked!("0_3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size that is no number", chunked!("g\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size with a letter behind", chunked!("3g\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("no size", chunked!("\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("no size, but an extension", chunked!(";x\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size with a NUL", chunked!("3\0\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size in other digits", chunked!("\u{663}\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size of 2^64", chunked!("10000000000000000\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size of 2^64 and 3", chunked!("10000000000000003\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a size of 2^32 and 3", chunked!("100000003\r\nabc\r\n0\r\n\r\n"), Ends, &[400], &["POST / (broken)"]),
    ("a size of 2^64 - 1", chunked!("ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), Ends, &[400], &["POST / (broken)"]),
    ("a size of 2^63", chunked!("8000000000000000\r\nabc\r\n0\r\n\r\n"), Ends, &[400], &["POST / (broken)"]),
    ("a size of many digits", chunked!("fffffffffffffffffffffffffffffffffffffff3\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare line feed behind a size", chunked!("3\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare CR behind a size", chunked!("3\rabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare line feed in an extension", chunked!("3;a\nb\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare CR in an extension", chunked!("3;a\rb\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("nothing between a chunk and the next", chunked!("3\r\nabc0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare line feed behind a chunk", chunked!("3\r\nabc\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a bare CR behind a chunk", chunked!("3\r\nabc\r0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("two letters instead of a line's end", chunked!("3\r\nabcXX0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a chunk that is longer than its size", chunked!("3\r\nabcd\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a chunk that is shorter than its size", chunked!("4\r\nabc\r\n0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a request instead of a chunk", chunked!(smuggled!()), Closes, &[400], &["POST / (broken)"]),
    ("an end in a size", chunked!("3"), Ends, &[400], &["POST / (broken)"]),
    ("an end in the line's end of a size", chunked!("3\r"), Ends, &[400], &["POST / (broken)"]),
    ("an end in a chunk", chunked!("3\r\nab"), Ends, &[400], &["POST / (broken)"]),
    ("an end behind a chunk", chunked!("3\r\nabc"), Ends, &[400], &["POST / (broken)"]),
    ("an end between chunks", chunked!("3\r\nabc\r\n"), Ends, &[400], &["POST / (broken)"]),
    ("an end behind the last chunk", chunked!("3\r\nabc\r\n0\r\n"), Ends, &[400], &["POST / (broken)"]),
    ("an end in the last line", chunked!("3\r\nabc\r\n0\r\n\r"), Ends, &[400], &["POST / (broken)"]),
    ("an end in an extension", chunked!("3;name"), Ends, &[400], &["POST / (broken)"]),
    ("an end before the first chunk", chunked!(""), Ends, &[400], &["POST / (broken)"]),
];

#[rustfmt::skip]
const TRAILERS: &[Row] = &[
    ("a trailer", chunked!("3\r\nabc\r\n0\r\nsum: 1\r\n\r\n"), Keeps, &[200], &["POST / abc +sum"]),
    ("two trailers", chunked!("3\r\nabc\r\n0\r\nsum: 1\r\nage: 2\r\n\r\n"), Keeps, &[200], &["POST / abc +sum +age"]),
    ("a request behind a trailer", chunked!(concat!("3\r\nabc\r\n0\r\nsum: 1\r\n\r\n", smuggled!())), Keeps, &[200, 200], &["POST / abc +sum", "GET /smuggled"]),
    // RFC 9110, 6.5.1: they must not be there, and mean nothing.
    ("a length as a trailer", chunked!(concat!("3\r\nabc\r\n0\r\nContent-Length: 38\r\n\r\n", smuggled!())), Closes, &[400], &["POST / (broken)"]),
    ("a coding as a trailer", chunked!(concat!("0\r\nTransfer-Encoding: chunked\r\n\r\n", smuggled!())), Closes, &[400], &["POST / (broken)"]),
    ("a Host as a trailer", chunked!("3\r\nabc\r\n0\r\nHost: evil\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("an end of the connection as a trailer", chunked!("3\r\nabc\r\n0\r\nConnection: close\r\n\r\n"), Keeps, &[200], &["POST / abc"]),
    ("a password as a trailer", chunked!("3\r\nabc\r\n0\r\nAuthorization: x\r\nsum: 1\r\n\r\n"), Keeps, &[200], &["POST / abc +sum"]),
    ("a request instead of trailers", chunked!(concat!("0\r\n", smuggled!())), Closes, &[400], &["POST / (broken)"]),
    ("a request line in front of a trailer", chunked!("0\r\nGET /smuggled HTTP/1.1\r\nx: y\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a trailer without a colon", chunked!("0\r\nsum\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a trailer without a name", chunked!("0\r\n: 1\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a blank before the colon of a trailer", chunked!("0\r\nsum : 1\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a blank before a trailer", chunked!("0\r\n sum: 1\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a trailer that goes on in the next line", chunked!("0\r\nsum: 1\r\n 2\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a trailer with a NUL", chunked!("0\r\nsum: 1\0\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    ("a trailer with a bare CR", chunked!("0\r\nsum: 1\rage: 2\r\n\r\n"), Closes, &[400], &["POST / (broken)"]),
    // The lines of trailers end in both letters, for hyper too; a bare line feed is then the end of none.
    ("trailers that end in a bare line feed", chunked!(concat!("0\r\nsum: 1\n\n", smuggled!())), Keeps, &[200], &["POST / +sum"]),
    ("an end in a trailer", chunked!("0\r\nsum: 1"), Ends, &[400], &["POST / (broken)"]),
    ("an end behind a trailer", chunked!("0\r\nsum: 1\r\n"), Ends, &[400], &["POST / (broken)"]),
];

#[rustfmt::skip]
const HOSTS: &[Row] = &[
    ("a host", host!("test"), Keeps, &[200], &["GET /"]),
    ("a host with a port", host!("test:8080"), Keeps, &[200], &["GET /"]),
    ("a host with an empty port", host!("test:"), Keeps, &[200], &["GET /"]),
    ("a host by number", host!("127.0.0.1:80"), Keeps, &[200], &["GET /"]),
    ("a host by number of IPv6", host!("[::1]:80"), Keeps, &[200], &["GET /"]),
    ("a host by number of IPv6 without a port", host!("[::1]"), Keeps, &[200], &["GET /"]),
    ("a host with a percent sign", host!("a%20b"), Keeps, &[200], &["GET /"]),
    // 3.2: that is what a client sends where its target has no authority.
    ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Keeps, &[200], &["GET /"]),
    ("a host in another case", "GET / HTTP/1.1\r\nhOsT:test\r\n\r\n", Keeps, &[200], &["GET /"]),
    ("no host", "GET / HTTP/1.1\r\n\r\n", Closes, &[400], &[]),
    ("no host, but other fields", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", Closes, &[400], &[]),
    ("no host, but one in the target", "GET http://test/ HTTP/1.1\r\n\r\n", Closes, &[400], &[]),
    ("two hosts", "GET / HTTP/1.1\r\nHost: test\r\nHost: evil\r\n\r\n", Closes, &[400], &[]),
    ("two hosts that are the same", "GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n", Closes, &[400], &[]),
    ("two hosts, one empty", "GET / HTTP/1.1\r\nHost: test\r\nHost:\r\n\r\n", Closes, &[400], &[]),
    ("two hosts far from each other", "GET / HTTP/1.1\r\nHost: test\r\nA: b\r\nC: d\r\nhost: evil\r\n\r\n", Closes, &[400], &[]),
    ("two hosts in one line", host!("test, evil"), Closes, &[400], &[]),
    ("a host with a blank", host!("te st"), Closes, &[400], &[]),
    ("a host with a tab", host!("te\tst"), Closes, &[400], &[]),
    ("a host with a path", host!("test/path"), Closes, &[400], &[]),
    ("a host with a query", host!("test?x"), Closes, &[400], &[]),
    ("a host with a fragment", host!("test#x"), Closes, &[400], &[]),
    ("a host with a user", host!("user@test"), Closes, &[400], &[]),
    ("a host with a scheme", host!("http://test"), Closes, &[400], &[]),
    ("a host with a backslash", host!("test\\evil"), Closes, &[400], &[]),
    ("a host with quotes", host!("\"test\""), Closes, &[400], &[]),
    ("a host in pointed brackets", host!("<test>"), Closes, &[400], &[]),
    ("a host with a letter that is no ASCII", host!("t\u{e9}st"), Closes, &[400], &[]),
    ("a host with a NUL", host!("te\0st"), Closes, &[400], &[]),
    ("a host with two ports", host!("test:80:81"), Closes, &[400], &[]),
    ("a host whose port is no number", host!("test:http"), Closes, &[400], &[]),
    ("a host with something behind its bracket", host!("[::1]x"), Closes, &[400], &[]),
    ("a host with a bracket left open", host!("[::1"), Closes, &[400], &[]),
    ("a host with a bracket in the middle", host!("te]st"), Closes, &[400], &[]),
    ("a blank before the colon of a host", "GET / HTTP/1.1\r\nHost : test\r\n\r\n", Closes, &[400], &[]),
    ("a host that goes on in the next line", "GET / HTTP/1.1\r\nHost: test\r\n .evil\r\n\r\n", Closes, &[400], &[]),
    ("HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", Closes, &[200], &["GET /"]),
    ("HTTP/1.0 with a host", "GET / HTTP/1.0\r\nHost: test\r\n\r\n", Closes, &[200], &["GET /"]),
    ("HTTP/1.0 with two hosts", "GET / HTTP/1.0\r\nHost: test\r\nHost: evil\r\n\r\n", Closes, &[400], &[]),
];

#[rustfmt::skip]
const TARGETS: &[Row] = &[
    ("a query", target!("/?a=b&c"), Keeps, &[200], &["GET /?a=b&c"]),
    ("an absolute target", target!("http://test/x"), Keeps, &[200], &["GET http://test/x"]),
    // 3.2.2: the target's host is the one.
    ("an absolute target with another host", target!("http://elsewhere/x"), Keeps, &[200], &["GET http://elsewhere/x"]),
    ("an absolute target without a path", target!("http://test"), Keeps, &[200], &["GET http://test/"]),
    ("an absolute target without a host", target!("http:///x"), Closes, &[400], &[]),
    ("a scheme alone", target!("http://"), Closes, &[400], &[]),
    ("an authority as the target of GET", target!("test:80"), Closes, &[400], &[]),
    ("a name as the target of GET", target!("test"), Closes, &[400], &[]),
    ("an authority as the target of CONNECT", line!("CONNECT test:80 HTTP/1.1"), Keeps, &[405], &["CONNECT test:80"]),
    ("a request behind CONNECT, which was refused", concat!(line!("CONNECT test:80 HTTP/1.1"), smuggled!()), Keeps, &[405, 200], &["CONNECT test:80", "GET /smuggled"]),
    ("a path as the target of CONNECT", line!("CONNECT / HTTP/1.1"), Closes, &[400], &[]),
    ("an absolute target of CONNECT", line!("CONNECT http://test/ HTTP/1.1"), Closes, &[400], &[]),
    ("a star as the target of OPTIONS", line!("OPTIONS * HTTP/1.1"), Keeps, &[200], &["OPTIONS *"]),
    ("a star as the target of GET", target!("*"), Closes, &[400], &[]),
    ("a star as the target of CONNECT", line!("CONNECT * HTTP/1.1"), Closes, &[400], &[]),
    ("no target", "GET HTTP/1.1\r\nHost: test\r\n\r\n", Closes, &[400], &[]),
    ("an empty target", target!(""), Closes, &[400], &[]),
    ("a query alone", target!("?x"), Closes, &[400], &[]),
    ("two slashes", target!("//evil/x"), Keeps, &[200], &["GET //evil/x"]),
    ("dots", target!("/a/../../x"), Keeps, &[200], &["GET /a/../../x"]),
    ("an escaped NUL", target!("/%00"), Keeps, &[200], &["GET /%00"]),
    ("an escaped line", target!("/%0d%0aHost:%20evil"), Keeps, &[200], &["GET /%0d%0aHost:%20evil"]),
    // 3.2: a fragment is none of a server's business; the type of targets leaves it away.
    ("a fragment", target!("/x#y"), Keeps, &[200], &["GET /x"]),
    ("a blank in the target", target!("/a b"), Closes, &[400], &[]),
    ("a tab in the target", target!("/a\tb"), Closes, &[400], &[]),
    ("a NUL in the target", target!("/a\0b"), Closes, &[400], &[]),
    ("a bare CR in the target", target!("/a\rb"), Closes, &[400], &[]),
    ("a bare line feed in the target", target!("/a\nb"), Closes, &[400], &[]),
    ("a delete in the target", target!("/a\x7fb"), Closes, &[400], &[]),
    ("a letter that is no ASCII in the target", target!("/\u{e9}"), Closes, &[400], &[]),
    ("a letter that is no ASCII in the query", target!("/?\u{e9}"), Closes, &[400], &[]),
    ("a pointed bracket in the target", target!("/<x>"), Closes, &[400], &[]),
    ("a backslash as the target", target!("\\x"), Closes, &[400], &[]),
];

#[rustfmt::skip]
const LINES: &[Row] = &[
    ("a method in small letters is another one", line!("get / HTTP/1.1"), Keeps, &[200], &["get /"]),
    ("a method that nobody knows", line!("BREW / HTTP/1.1"), Keeps, &[200], &["BREW /"]),
    ("a method of odd letters", line!("!#$%&'*+-.^_`|~ / HTTP/1.1"), Keeps, &[200], &["!#$%&'*+-.^_`|~ /"]),
    ("a method with an at sign", line!("G@T / HTTP/1.1"), Closes, &[400], &[]),
    ("a method with a colon", line!("GET: / HTTP/1.1"), Closes, &[400], &[]),
    ("a method with a NUL", line!("G\0T / HTTP/1.1"), Closes, &[400], &[]),
    ("a method that is no ASCII", line!("G\u{c9}T / HTTP/1.1"), Closes, &[400], &[]),
    ("no method", line!(" / HTTP/1.1"), Closes, &[400], &[]),
    ("a blank before the method", line!(" GET / HTTP/1.1"), Closes, &[400], &[]),
    ("two blanks before the target", line!("GET  / HTTP/1.1"), Closes, &[400], &[]),
    ("two blanks behind the target", line!("GET /  HTTP/1.1"), Closes, &[400], &[]),
    ("a tab before the target", line!("GET\t/ HTTP/1.1"), Closes, &[400], &[]),
    ("a tab behind the target", line!("GET /\tHTTP/1.1"), Closes, &[400], &[]),
    ("a vertical tab behind the target", line!("GET /\x0bHTTP/1.1"), Closes, &[400], &[]),
    ("a blank behind the version", line!("GET / HTTP/1.1 "), Closes, &[400], &[]),
    ("a word behind the version", line!("GET / HTTP/1.1 x"), Closes, &[400], &[]),
    ("a request line on two lines", "GET /\r\n HTTP/1.1\r\nHost: test\r\n\r\n", Closes, &[400], &[]),
    ("HTTP/0.9 without a version", "GET /\r\n", Closes, &[400], &[]),
    ("HTTP/0.9", line!("GET / HTTP/0.9"), Closes, &[400], &[]),
    ("HTTP/1.2", line!("GET / HTTP/1.2"), Closes, &[400], &[]),
    ("HTTP/2.0", line!("GET / HTTP/2.0"), Closes, &[400], &[]),
    ("HTTP/2", line!("GET / HTTP/2"), Closes, &[400], &[]),
    ("HTTP/9.9", line!("GET / HTTP/9.9"), Closes, &[400], &[]),
    ("HTTP/1.10", line!("GET / HTTP/1.10"), Closes, &[400], &[]),
    ("HTTP/01.1", line!("GET / HTTP/01.1"), Closes, &[400], &[]),
    ("HTTP/1.", line!("GET / HTTP/1."), Closes, &[400], &[]),
    ("HTTP/1,1", line!("GET / HTTP/1,1"), Closes, &[400], &[]),
    ("HTTP/-1.1", line!("GET / HTTP/-1.1"), Closes, &[400], &[]),
    ("http/1.1 in small letters", line!("GET / http/1.1"), Closes, &[400], &[]),
    ("a blank in the version", line!("GET / HTTP/ 1.1"), Closes, &[400], &[]),
    ("another protocol", line!("GET / HTCPCP/1.1"), Closes, &[400], &[]),
    // 2.2: at least one empty line in front is to be skipped.
    ("an empty line in front", concat!("\r\n", get!("")), Keeps, &[200], &["GET /"]),
    ("some empty lines in front", concat!("\r\n\r\n\r\n\r\n", get!("")), Keeps, &[200], &["GET /"]),
    ("bare line feeds in front", concat!("\n\n", get!("")), Keeps, &[200], &["GET /"]),
    ("a bare CR in front", concat!("\r", get!("")), Closes, &[400], &[]),
    ("empty lines between requests", concat!(get!(""), "\r\n\r\n", get!("")), Keeps, &[200, 200], &["GET /", "GET /"]),
    ("an empty line behind a body", concat!(post!("Content-Length: 3\r\n", "abc"), "\r\n", get!("")), Keeps, &[200, 200], &["POST / abc", "GET /"]),
    // 2.2 again.
    ("bare line feeds everywhere", "GET / HTTP/1.1\nHost: test\n\n", Keeps, &[200], &["GET /"]),
    ("a bare line feed behind the request line", "GET / HTTP/1.1\nHost: test\r\n\r\n", Keeps, &[200], &["GET /"]),
    ("a bare line feed behind a field", "GET / HTTP/1.1\r\nHost: test\n\r\n", Keeps, &[200], &["GET /"]),
    ("a bare line feed as the empty line", "GET / HTTP/1.1\r\nHost: test\r\n\n", Keeps, &[200], &["GET /"]),
    ("bare CRs everywhere", "GET / HTTP/1.1\rHost: test\r\r", Closes, &[400], &[]),
    ("a bare CR behind the request line", "GET / HTTP/1.1\rHost: test\r\n\r\n", Closes, &[400], &[]),
    ("two CRs behind the request line", "GET / HTTP/1.1\r\r\nHost: test\r\n\r\n", Closes, &[400], &[]),
    ("a bare CR as the empty line", "GET / HTTP/1.1\r\nHost: test\r\n\r\r\n", Closes, &[400], &[]),
    ("line ends the other way round", "GET / HTTP/1.1\n\rHost: test\n\r\n\r", Closes, &[400], &[]),
    ("nothing at all", "", Ends, &[], &[]),
    ("an empty line alone", "\r\n", Ends, &[], &[]),
    ("an end in the method", "GE", Ends, &[], &[]),
    ("an end in the target", "GET /x", Ends, &[], &[]),
    ("an end in the version", "GET / HTTP/1", Ends, &[], &[]),
    ("an end in a field", "GET / HTTP/1.1\r\nHost: te", Ends, &[], &[]),
    ("an end before the empty line", "GET / HTTP/1.1\r\nHost: test\r\n", Ends, &[], &[]),
    ("an end in the empty line", "GET / HTTP/1.1\r\nHost: test\r\n\r", Ends, &[], &[]),
    ("an end in a second request", concat!(get!(""), "GET /x HT"), Ends, &[200], &["GET /"]),
];

#[rustfmt::skip]
const FIELDS: &[Row] = &[
    ("a field without a value", get!("X:\r\n"), Keeps, &[200], &["GET /"]),
    ("a field with a tab in it", get!("X: a\tb\r\n"), Keeps, &[200], &["GET /"]),
    // RFC 9110, 5.5: a recipient should treat them as opaque.
    ("a field that is no ASCII", get!("X: \u{e9}\r\n"), Keeps, &[200], &["GET /"]),
    ("a field of odd letters", get!("!#$%&'*+-.^_`|~: x\r\n"), Keeps, &[200], &["GET /"]),
    ("a field without a colon", get!("X\r\n"), Closes, &[400], &[]),
    ("a field without a name", get!(": x\r\n"), Closes, &[400], &[]),
    ("a blank in a name", get!("X Y: x\r\n"), Closes, &[400], &[]),
    ("a blank before a colon", get!("X : x\r\n"), Closes, &[400], &[]),
    ("a tab before a colon", get!("X\t: x\r\n"), Closes, &[400], &[]),
    ("a blank before the first field", "GET / HTTP/1.1\r\n Host: test\r\n\r\n", Closes, &[400], &[]),
    ("a tab before the first field", "GET / HTTP/1.1\r\n\tHost: test\r\n\r\n", Closes, &[400], &[]),
    ("an at sign in a name", get!("X@Y: x\r\n"), Closes, &[400], &[]),
    ("brackets in a name", get!("X(Y): x\r\n"), Closes, &[400], &[]),
    ("a NUL in a name", get!("X\0: x\r\n"), Closes, &[400], &[]),
    ("a name that is no ASCII", get!("\u{e9}: x\r\n"), Closes, &[400], &[]),
    ("a NUL in a value", get!("X: a\0b\r\n"), Closes, &[400], &[]),
    ("a bare CR in a value", get!("X: a\rb\r\n"), Closes, &[400], &[]),
    ("a field behind a bare CR", get!("X: a\rY: b\r\n"), Closes, &[400], &[]),
    ("a bell in a value", get!("X: \x07\r\n"), Closes, &[400], &[]),
    ("an escape in a value", get!("X: \x1b[2J\r\n"), Closes, &[400], &[]),
    ("a delete in a value", get!("X: \x7f\r\n"), Closes, &[400], &[]),
    ("a field that goes on in the next line", get!("X: a\r\n b\r\n"), Closes, &[400], &[]),
    ("a field that goes on behind a tab", get!("X: a\r\n\tb\r\n"), Closes, &[400], &[]),
    ("a field that goes on in an empty line", get!("X: a\r\n \r\n"), Closes, &[400], &[]),
    ("a request in a field", get!("X: GET /smuggled HTTP/1.1\r\n"), Keeps, &[200], &["GET /"]),
    ("a request as a field", get!("GET /smuggled HTTP/1.1\r\n"), Closes, &[400], &[]),
];

#[rustfmt::skip]
const PIPELINES: &[Row] = &[
    ("two requests", concat!(get!(""), target!("/2")), Keeps, &[200, 200], &["GET /", "GET /2"]),
    ("four requests", concat!(get!(""), chunked!(abc!()), post!("Content-Length: 3\r\n", "abc"), get!("")), Keeps, &[200, 200, 200, 200], &["GET /", "POST / abc", "POST / abc", "GET /"]),
    ("HEAD and another one", concat!("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n", get!("")), Keeps, &[200, 200], &["HEAD /", "GET /"]),
    ("nothing is read behind a close", concat!(get!("Connection: close\r\n"), smuggled!()), Closes, &[200], &["GET /"]),
    ("a close in capital letters", concat!(get!("Connection: CLOSE\r\n"), smuggled!()), Closes, &[200], &["GET /"]),
    ("a close in a list", concat!(get!("Connection: x, close\r\n"), smuggled!()), Closes, &[200], &["GET /"]),
    ("a close, then another word", concat!(get!("Connection: close\r\nConnection: keep-alive\r\n"), smuggled!()), Closes, &[200], &["GET /"]),
    ("nothing is read behind HTTP/1.0", concat!("GET / HTTP/1.0\r\n\r\n", smuggled!()), Closes, &[200], &["GET /"]),
    ("HTTP/1.0 that is to be kept", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Keeps, &[200], &["GET /"]),
    ("HTTP/1.0 with a length", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", Closes, &[200], &["POST / abc"]),
    ("a bad one behind a good one", concat!(get!(""), "garbage\r\n\r\n"), Closes, &[200, 400], &["GET /"]),
    ("a good one behind a bad one", concat!("garbage\r\n\r\n", smuggled!()), Closes, &[400], &[]),
    ("one without a host between good ones", concat!(get!(""), "GET / HTTP/1.1\r\n\r\n", smuggled!()), Closes, &[200, 400], &["GET /"]),
    ("a good one behind a body that is too long", concat!(post!("Content-Length: 1001\r\n", ""), smuggled!()), Closes, &[413], &[]),
    ("a good one behind a broken body", concat!(chunked!("x\r\n"), smuggled!()), Closes, &[400], &["POST / (broken)"]),
    ("an upgrade to HTTP/2 that is not made", concat!(get!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), target!("/2")), Keeps, &[200, 200], &["GET /", "GET /2"]),
    ("an upgrade to something that nobody knows", get!("Connection: upgrade\r\nUpgrade: x\r\n"), Keeps, &[200], &["GET /"]),
];

#[rustfmt::skip]
const EXPECTATIONS: &[Row] = &[
    ("100-continue", post!("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"), Keeps, &[100, 200], &["POST / abc"]),
    ("100-continue in capital letters", post!("Expect: 100-CONTINUE\r\nContent-Length: 3\r\n", "abc"), Keeps, &[100, 200], &["POST / abc"]),
    ("100-continue and chunks", post!("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", abc!()), Keeps, &[100, 200], &["POST / abc"]),
    ("100-continue without a body", get!("Expect: 100-continue\r\n"), Keeps, &[200], &["GET /"]),
    ("100-continue in HTTP/1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", Closes, &[200], &["POST / abc"]),
    ("100-continue for a body that is too long", post!("Expect: 100-continue\r\nContent-Length: 1001\r\n", ""), Closes, &[413], &[]),
    ("100-continue for a body that nobody reads", "POST /unread HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 900\r\n\r\n", Closes, &[200], &["POST /unread"]),
    // RFC 9110, 10.1.1: 417 may be said to it.
    ("an expectation that nobody knows", post!("Expect: miracles\r\nContent-Length: 3\r\n", "abc"), Keeps, &[200], &["POST / abc"]),
    ("100-continue, and another request in the body", post!("Expect: 100-continue\r\nContent-Length: 38\r\n", smuggled!()), Keeps, &[100, 200], &["POST / GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"]),
];

#[rustfmt::skip]
const BODIES: &[Row] = &[
    ("a body that nobody reads, and that is there", concat!("POST /unread HTTP/1.1\r\nHost: test\r\nContent-Length: 38\r\n\r\n", smuggled!()), Keeps, &[200], &["POST /unread"]),
    ("chunks that nobody reads", concat!("POST /unread HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n", abc!(), smuggled!()), Closes, &[200], &["POST /unread"]),
    ("a body that nobody reads, and that is to come", "POST /unread HTTP/1.1\r\nHost: test\r\nContent-Length: 900\r\n\r\nabc", Closes, &[200], &["POST /unread"]),
    ("broken chunks that nobody reads", concat!("POST /unread HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", smuggled!()), Closes, &[200], &["POST /unread"]),
    ("a body that is announced as too long", post!("Content-Length: 1001\r\n", "abc"), Closes, &[413], &[]),
    ("a chunk that is too long", chunked!("3\r\nabc\r\nfff\r\nabc"), Ends, &[400], &["POST / (broken)"]),
];

#[rustfmt::skip]
const STRANGERS: &[Row] = &[
    ("garbage", "garbage\r\n\r\n", Closes, &[400], &[]),
    ("garbage without an end", "\x01\x02\x03", Closes, &[400], &[]),
    ("a NUL", "\0", Closes, &[400], &[]),
    ("a page", "<html></html>\r\n", Closes, &[400], &[]),
    ("SMTP", "EHLO test\r\n", Closes, &[400], &[]),
    ("SSH", "SSH-2.0-OpenSSH_9.9\r\n", Closes, &[400], &[]),
    ("RTSP", line!("OPTIONS rtsp://test/ RTSP/1.0"), Closes, &[400], &[]),
    ("an answer", "HTTP/1.1 200 OK\r\nHost: test\r\n\r\n", Closes, &[400], &[]),
    ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", Closes, &[400], &[]),
    ("the preface of HTTP/2 and no more", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Ends, &[], &[]),
    ("the preface of HTTP/2 and a request of HTTP/1.1", concat!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", smuggled!()), Closes, &[], &[]),
    ("half of the preface", "PRI * HTTP/2.0\r\n\r\n", Ends, &[400], &[]),
    ("a piece of the preface", "PRI * HT", Ends, &[], &[]),
    ("the preface of another version", "PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", Closes, &[400], &[]),
    ("the preface of HTTP/2 behind a request", concat!(get!(""), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Closes, &[200], &["GET /"]),
    ("the method of the preface", line!("PRI * HTTP/1.1"), Closes, &[400], &[]),
];

/// What is too long to be written down.
fn long() -> Vec<Case> {
    let case = |name, bytes: String, after, statuses: &[u16], seen: &[&'static str]| Case {
        name,
        bytes: bytes.into_bytes(),
        after,
        statuses: statuses.to_vec(),
        seen: seen.to_vec(),
    };
    let rest = "Host: test\r\n\r\n";
    // `length` bytes in all.
    let line = |length: usize, before: &str| {
        let end = " HTTP/1.1";
        let fill = "x".repeat(length - before.len() - end.len());
        format!("{before}{fill}{end}\r\n{rest}")
    };
    let head = |length: usize| {
        let (before, end) = ("GET / HTTP/1.1\r\nX: ", "\r\nHost: test\r\n\r\n");
        format!("{before}{}{end}", "x".repeat(length - before.len() - end.len()))
    };
    let fields = |count: usize| {
        let others: String = (1..count).map(|n| format!("X{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\n{others}{rest}")
    };
    let body = |length: usize| {
        let body = "x".repeat(length);
        format!("POST /long HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let chunks = |head: &str, length: usize| {
        let body = "x".repeat(length);
        format!(
            "{head} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    let trailers = |count: usize| {
        let trailers: String = (0..count).map(|n| format!("x{n}: y\r\n")).collect();
        format!(
            "POST /long HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"
        )
    };
    const KIB: usize = 1024;
    vec![
        case(
            "a request line of 8 KiB less one",
            line(8 * KIB - 1, "GET /long?"),
            Keeps,
            &[200],
            &["GET /long"],
        ),
        case("a request line of 8 KiB", line(8 * KIB, "GET /long?"), Keeps, &[200], &["GET /long"]),
        case(
            "a request line of 8 KiB and one",
            line(8 * KIB + 1, "GET /long?"),
            Closes,
            &[414],
            &[],
        ),
        case(
            "a request line of 8 KiB and one, absolute",
            line(8 * KIB + 1, "GET http://"),
            Closes,
            &[414],
            &[],
        ),
        case(
            "a request line of 8 KiB and one, with a long method",
            line(8 * KIB + 1, &format!("{} /", "M".repeat(4096))),
            Closes,
            &[414],
            &[],
        ),
        case("a request line of 60 KiB", line(60 * KIB, "GET /long?"), Closes, &[414], &[]),
        case("a request line of 64 KiB", line(64 * KIB, "GET /long?"), Closes, &[431], &[]),
        case("a request line of 1 MiB", line(KIB * KIB, "GET /long?"), Closes, &[431], &[]),
        case(
            "a method of 70 KiB",
            line!("{} / HTTP/1.1").replace("{}", &"M".repeat(70 * KIB)),
            Closes,
            &[431],
            &[],
        ),
        case("a head of 64 KiB less one", head(64 * KIB - 1), Keeps, &[200], &["GET /"]),
        case("a head of 64 KiB", head(64 * KIB), Keeps, &[200], &["GET /"]),
        case("a head of 64 KiB and one", head(64 * KIB + 1), Closes, &[431], &[]),
        case("a head of 1 MiB", head(KIB * KIB), Closes, &[431], &[]),
        case(
            "a name of 70 KiB",
            format!("GET / HTTP/1.1\r\n{}: y\r\n{rest}", "X".repeat(70 * KIB)),
            Closes,
            &[431],
            &[],
        ),
        case("100 fields", fields(100), Keeps, &[200], &["GET /"]),
        case("101 fields", fields(101), Closes, &[431], &[]),
        case("3000 fields", fields(3000), Closes, &[431], &[]),
        case(
            "100 KiB of empty lines in front",
            format!("{}{}", "\r\n".repeat(50 * KIB), get!("")),
            Closes,
            &[431],
            &[],
        ),
        case("a body of the most bytes", body(1000), Keeps, &[200], &["POST /long"]),
        case("a body of one more", body(1001), Closes, &[413], &[]),
        case(
            "chunks of the most bytes",
            chunks("POST /long", 1000),
            Keeps,
            &[200],
            &["POST /long"],
        ),
        // All of it was there: where it ends is clear.
        case(
            "chunks of one more",
            chunks("POST /long", 1001),
            Keeps,
            &[413],
            &["POST /long (broken)"],
        ),
        case(
            "chunks of a megabyte",
            chunks("POST /long", KIB * KIB),
            Closes,
            &[413],
            &["POST /long (broken)"],
        ),
        case(
            "chunks of a megabyte that nobody reads",
            chunks("POST /unread", KIB * KIB),
            Closes,
            &[200],
            &["POST /unread"],
        ),
        case("100 trailers", trailers(100), Keeps, &[200], &["POST /long"]),
        case("101 trailers", trailers(101), Closes, &[400], &["POST /long (broken)"]),
        case(
            "100 KiB of one trailer",
            chunked!("0\r\nX: {}\r\n\r\n").replace("{}", &"x".repeat(100 * KIB)),
            Closes,
            &[400],
            &["POST / (broken)"],
        ),
        case(
            "20 KiB of an extension",
            chunked!("3;{}\r\nabc\r\n0\r\n\r\n").replace("{}", &"x".repeat(20 * KIB)),
            Closes,
            &[400],
            &["POST / (broken)"],
        ),
        case(
            "1,500 chunks",
            chunked!("{}0\r\n\r\n").replace("{}", &"0001\r\nx\r\n".repeat(1500)),
            Closes,
            &[413],
            &["POST / (broken)"],
        ),
        case("50 requests at once", get!("").repeat(50), Keeps, &[200; 50], &["GET /"; 50]),
    ]
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let short = [
        LENGTHS,
        CODINGS,
        CHUNKS,
        TRAILERS,
        HOSTS,
        TARGETS,
        LINES,
        FIELDS,
        PIPELINES,
        EXPECTATIONS,
        BODIES,
        STRANGERS,
    ];
    let case = |(name, text, after, statuses, seen): &Row| Case {
        name,
        bytes: text.as_bytes().to_vec(),
        after: *after,
        statuses: statuses.to_vec(),
        seen: seen.to_vec(),
    };
    let mut cases: Vec<Case> = short.into_iter().flatten().map(case).collect();
    cases.extend(long());
    cases
}
