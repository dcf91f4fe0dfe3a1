//! The servers under test: the echo server as a user of evy writes it, by hand and by `Server`.

use std::io;

use evy::Server;

/// Serves a free port of 127.0.0.1 until the process is ended; `announce` is told the port.
pub(crate) fn serve(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let server = evy::listen("127.0.0.1:0")?;
    announce(server.local_addr()?.port())?;
    loop {
        let (client, _) = server.accept()?;
        evy::spawn_n(move || evy::io::copy(&client, &client));
    }
}

/// The same by `Server`, with all that it does for a connection.
pub(crate) fn serve_well(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    announce(listener.local_addr()?.port())?;
    Server::new(listener, |client, _| {
        // The bench resets its connections.
        let _ = evy::io::copy(&client, &client);
        Ok(())
    })
    .run()
}
