//! lettre: its blocking side knows std's sockets alone, but its async side takes any stream of tokio's
//! traits. `block_on` runs that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use evy::adapt::Async;
use evy::net::TcpStream;
use evy_test_crates::{CLIENTS, Events, Lines, at_once, serve};
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A green socket as lettre wants it.
#[derive(Debug)]
struct Socket(Async<TcpStream>);

impl AsyncTokioStream for Socket {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().peer_addr()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.0), context)
    }
}

fn send(stream: TcpStream, message: &Message) -> Result<Response, lettre::transport::smtp::Error> {
    evy::block_on(async {
        let stream = Box::new(Socket(Async::new(stream)));
        let name = ClientId::Domain("localhost".to_owned());
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &name).await?;
        let password = Credentials::new("user".to_owned(), "secret".to_owned());
        connection.auth(&[Mechanism::Plain], &password).await?;
        let response = connection.send(message.envelope(), &message.formatted()).await?;
        connection.quit().await?;
        Ok(response)
    })
}

/// What a mail server says to one client; each mail that it has taken is an event.
fn receive(mut client: Lines, events: &Events, before_the_end: impl Fn()) -> io::Result<()> {
    client.say("220 localhost ready")?;
    while let Some(line) = client.hear()? {
        match line.split([' ', ':']).next().expect("a command") {
            "EHLO" => {
                client.say("250-localhost")?;
                client.say("250 AUTH PLAIN")?;
            }
            "AUTH" => client.say("235 welcome")?,
            "MAIL" => client.say("250 ok")?,
            "RCPT" if line.contains("nobody@") => client.say("550 there is no such user")?,
            "RCPT" => client.say("250 ok")?,
            "DATA" => {
                client.say("354 go ahead")?;
                let mut mail = Vec::new();
                while let Some(line) = client.hear()?.filter(|line| line != ".") {
                    mail.push(line);
                }
                before_the_end();
                events.add(mail.pop().expect("a last line"));
                client.say("250 taken")?;
            }
            "QUIT" => client.say("221 bye")?,
            _ => panic!("not in the script: {line}"),
        }
    }
    Ok(())
}

fn mail(to: &str, text: String) -> Message {
    let message = Message::builder().from("me@localhost".parse().unwrap());
    message.to(to.parse().unwrap()).subject("a test").body(text).unwrap()
}

#[test]
fn mails_of_lettre_are_sent_at_once() {
    let events = Events::default();
    let taken = events.clone();
    let address = serve(move |socket, together| {
        // No mail is taken before all were sent.
        receive(Lines::new(socket), &taken, || {
            together.wait();
        })
    });
    let responses = at_once(move |number| {
        send(evy::connect(address).unwrap(), &mail("you@localhost", format!("mail {number}")))
    });
    assert_eq!(responses.len(), CLIENTS);
    for response in responses {
        assert_eq!(response.unwrap().first_line(), Some("taken"));
    }
    let mut mails = events.all();
    mails.sort();
    assert_eq!(mails, (0..CLIENTS).map(|number| format!("mail {number}")).collect::<Vec<_>>());

    let refused = send(evy::connect(address).unwrap(), &mail("nobody@localhost", String::new()));
    let refused = refused.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    assert_eq!(events.all().len(), CLIENTS);
}
