//! The client's side of the handshake.

use std::io::{self, Write};

use bytes::Bytes;
use evy_runtime::timeout;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::target::Target;
use super::{Options, Refused, WebSocket, head, token};
use crate::{HeaderName, StatusCode, Stream, header};

pub(super) fn connect(options: &Options, url: &str) -> io::Result<WebSocket> {
    let target = Target::parse(url)?;
    in_time(options, || shake(options, reach(options, &target)?, &target))
}

pub(super) fn connect_over(options: &Options, stream: Stream, url: &str) -> io::Result<WebSocket> {
    let target = Target::parse(url)?;
    in_time(options, || shake(options, stream, &target))
}

fn in_time<T>(options: &Options, f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let time = options.handshake_timeout;
    timeout(time, f).unwrap_or_else(|_elapsed| {
        let text = format!("a WebSocket's server has not answered in {time:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

fn reach(options: &Options, target: &Target) -> io::Result<Stream> {
    let address = (target.host.as_str(), target.port);
    match target.is_secure {
        false => evy_green_net::connect(address).map(Stream::from),
        true => reach_securely(options, address),
    }
}

#[cfg(feature = "tls")]
fn reach_securely(options: &Options, address: (&str, u16)) -> io::Result<Stream> {
    let stream = match &options.tls {
        Some(connector) => connector.connect_to(address)?,
        None => evy_green_net::tls::connect(address)?,
    };
    Ok(stream.into())
}

#[cfg(not(feature = "tls"))]
fn reach_securely(_options: &Options, (host, _port): (&str, u16)) -> io::Result<Stream> {
    let text = format!("wss://{host}: this needs the feature `tls`");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// Asks for a WebSocket, and gets one, or not.
fn shake(options: &Options, stream: Stream, target: &Target) -> io::Result<WebSocket> {
    let key = generate_key();
    (&stream).write_all(&request(options, target, &key))?;
    (&stream).flush()?;
    let (response, ahead) = head::read(&stream)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refused::new(response).into());
    }
    let protocol = check(options, response.headers(), &key)?;
    Ok(WebSocket::new(stream, Bytes::from(ahead), Role::Client, protocol, options))
}

fn request(options: &Options, target: &Target, key: &str) -> Vec<u8> {
    let Target { authority, resource, .. } = target;
    let mut request = format!(
        "GET {resource} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )
    .into_bytes();
    if !options.protocols.is_empty() {
        let list = options.protocols.join(", ");
        request.extend_from_slice(format!("Sec-WebSocket-Protocol: {list}\r\n").as_bytes());
    }
    for (name, value) in &options.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            request.extend_from_slice(part);
        }
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Whether `101 Switching Protocols` is all that it has to be (RFC 6455, 4.1); the sub-protocol.
fn check(options: &Options, headers: &crate::HeaderMap, key: &str) -> io::Result<Option<String>> {
    let refuse = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    if !token::is_listed(headers, &header::UPGRADE, "websocket")
        || !token::is_listed(headers, &header::CONNECTION, "upgrade")
    {
        return refuse("the server changes to something that is no WebSocket");
    }
    let accept = derive_accept_key(key.as_bytes());
    if headers.get(header::SEC_WEBSOCKET_ACCEPT).is_none_or(|value| *value != *accept) {
        return refuse("the server has not understood that a WebSocket was asked for");
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return refuse("the server wants an extension for which nobody has asked");
    }
    let mut protocols = token::of(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let protocol = protocols.next();
    let is_offered = |name: &str| options.protocols.iter().any(|offered| offered == name);
    if protocols.next().is_some() || !protocol.is_none_or(is_offered) {
        return refuse("the server speaks a sub-protocol for which nobody has asked");
    }
    Ok(protocol.map(str::to_owned))
}

/// Headers that the handshake has by itself.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    [header::HOST, header::CONNECTION, header::UPGRADE, header::CONTENT_LENGTH].contains(name)
        || *name == header::TRANSFER_ENCODING
        || name.as_str().starts_with("sec-websocket-")
}
