//! The UDP echo servers: by hand on edge-triggered epoll, and as a user of evy writes it.

use super::sys::{self, Epoll};
use std::io::{self, ErrorKind};
use std::net::UdpSocket;

/// Room for the largest datagram of the bench.
const BUFFER: usize = 64 * 1024;

/// The baseline: one system call receives a datagram, one sends it back, and one says that no more is
/// there; then it waits. Datagrams end with `WouldBlock` alone, so it cannot do with fewer.
pub(crate) fn serve_raw(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&socket, sys::STREAM_EDGES, 0)?;
    announce(socket.local_addr()?.port())?;
    let mut events = sys::event_buffer(1);
    let mut buffer = vec![0; BUFFER];
    loop {
        epoll.wait(&mut events, None)?;
        while let Some((count, from)) = or_nothing(socket.recv_from(&mut buffer))? {
            // Without room it is dropped, as everything else that is too much for UDP.
            or_nothing(socket.send_to(&buffer[..count], from))?;
        }
    }
}

fn or_nothing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// The server under test.
pub(crate) fn serve_evy(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let socket = evy::net::UdpSocket::bind("127.0.0.1:0")?;
    announce(socket.local_addr()?.port())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..count], from)?;
    }
}
