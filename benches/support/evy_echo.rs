//! The server under test: the echo server as a user of evy writes it.

use std::io;

/// Serves a free port of 127.0.0.1 until the process is ended; `announce` is told the port.
pub(crate) fn serve(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let server = evy::listen("127.0.0.1:0")?;
    announce(server.local_addr()?.port())?;
    loop {
        let (client, _) = server.accept()?;
        evy::spawn_n(move || evy::io::copy(&client, &client));
    }
}
