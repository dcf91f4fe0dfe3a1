//! The echo itself.
//!
//! An idle client costs no buffer but a small one on its stack. Who sends more than fits into it gets a
//! big one of its hub for as long as there is something to be read.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};

use evy::net::{TcpStream, UnixStream};
use evy::tls::TlsStream;

use crate::visit::Visit;

/// The buffer on the stack: a byte more than a size of message that is popular, so that those do not
/// look as though more were to come.
const SMALL: usize = 513;

const BIG: usize = 64 * 1024;

thread_local! {
    /// The hub's big buffer; empty while somebody has it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the hub's big buffer, or a new one when it is lent already.
fn with_big<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = SPARE.take();
    buffer.resize(BIG, 0);
    let result = use_it(&mut buffer);
    SPARE.set(buffer);
    result
}

/// A socket that says whether there is something to be read.
pub(crate) trait Socket {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Socket for TcpStream {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer)
    }
}

impl Socket for UnixStream {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer)
    }
}

/// Sends back what comes, until the client ends its side.
pub(crate) fn echo<S: Socket>(stream: &S, visit: &Visit<'_>) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let mut small = [0; SMALL];
    loop {
        let count = read(stream, &mut small)?;
        if count == 0 {
            return Ok(());
        }
        visit.has_read(count);
        if count < SMALL {
            write(stream, &small[..count], visit)?;
        } else {
            with_big(|big| echo_more(stream, &small, big, visit))?;
        }
    }
}

/// Goes on where `start` was read and more may be there. The end of the stream comes again.
fn echo_more<S: Socket>(
    stream: &S,
    start: &[u8],
    big: &mut [u8],
    visit: &Visit<'_>,
) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let (head, tail) = big.split_at_mut(start.len());
    head.copy_from_slice(start);
    let count = match stream.try_read(tail) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
        result => result?,
    };
    visit.has_read(count);
    write(stream, &big[..start.len() + count], visit)
}

/// The same under TLS. Its first read does the handshake, here and not where connections are accepted.
pub(crate) fn echo_tls(stream: &TlsStream<TcpStream>, visit: &Visit<'_>) -> io::Result<()> {
    let mut small = [0; SMALL];
    loop {
        let mut is_over = echo_once(stream, &mut small, visit)?;
        if is_over == Some(false) {
            // Nothing may be there, so what has come is on its way already.
            is_over = with_big(|big| echo_once(stream, big, visit))?;
        }
        if is_over == Some(true) {
            return stream.shutdown();
        }
    }
}

/// Says whether it was the end; nothing if the buffer had room for more.
fn echo_once(
    stream: &TlsStream<TcpStream>,
    buffer: &mut [u8],
    visit: &Visit<'_>,
) -> io::Result<Option<bool>> {
    let count = read(stream, buffer)?;
    if count == 0 {
        return Ok(Some(true));
    }
    visit.has_read(count);
    write(stream, &buffer[..count], visit)?;
    Ok((count == buffer.len()).then_some(false))
}

fn read<S>(stream: &S, buffer: &mut [u8]) -> io::Result<usize>
where
    for<'a> &'a S: Read,
{
    loop {
        match Read::read(&mut { stream }, buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn write<S>(stream: &S, bytes: &[u8], visit: &Visit<'_>) -> io::Result<()>
where
    for<'a> &'a S: Write,
{
    Write::write_all(&mut { stream }, bytes)?;
    visit.has_echoed(bytes.len());
    Ok(())
}
