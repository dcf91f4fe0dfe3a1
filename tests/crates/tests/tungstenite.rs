//! tungstenite, at both ends, on green sockets as they are. `evy::http::websocket` is its frames with
//! several senders at once, pings and deadlines.

use std::io;

use evy_test_crates::{at_once, serve};
use tungstenite::{Error, Message};

#[test]
fn websockets_of_tungstenite_overlap_at_both_ends() {
    let address = serve(|socket, together| {
        let mut client = tungstenite::accept(socket).map_err(io::Error::other)?;
        let message = client.read().map_err(io::Error::other)?;
        together.wait();
        client.send(message).map_err(io::Error::other)?;
        // Up to the farewell.
        while client.read().is_ok() {}
        Ok(())
    });
    let answers = at_once(move |number| {
        let socket = evy::connect(address)?;
        let (mut socket, response) =
            tungstenite::client(format!("ws://{address}/"), socket).map_err(io::Error::other)?;
        assert_eq!(response.status(), 101);
        socket.send(Message::text(format!("hello {number}"))).map_err(io::Error::other)?;
        let answer = socket.read().map_err(io::Error::other)?;
        socket.close(None).map_err(io::Error::other)?;
        let end = loop {
            if let Err(error) = socket.read() {
                break error;
            }
        };
        assert!(matches!(end, Error::ConnectionClosed), "{end}");
        io::Result::Ok(answer.into_text().map_err(io::Error::other)?.to_string())
    });
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("hello {number}"));
    }
}
