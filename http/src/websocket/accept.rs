//! The server's side of the handshake, and of the end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use evy_runtime::{Killed, resume_unwind};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::{CloseCode, Options, WebSocket, token};
use crate::{
    HeaderMap, HeaderValue, IntoResponse, Method, Request, Response, StatusCode, Version, header,
    upgrade,
};

/// The version of RFC 6455, which is the only one.
const VERSION: &str = "13";

pub(super) fn accept(
    options: &Options,
    request: &Request,
    proceed: impl FnOnce(WebSocket) -> io::Result<()> + 'static,
) -> Response {
    let key = match check(request) {
        Ok(key) => key,
        Err(fault) => return fault.into_response(),
    };
    let protocol = choose(&options.protocols, request.headers());
    let (options, chosen) = (options.clone(), protocol.clone());
    let mut response = upgrade("websocket", move |connection| {
        let core = Rc::clone(connection.core());
        let (stream, ahead) = connection.into_parts();
        let socket = WebSocket::new(stream, ahead, Role::Server, chosen, &options);
        let session = Rc::downgrade(socket.session());
        let _listed = core.at_stop(move || {
            if let Some(session) = session.upgrade() {
                session.close_in_background(CloseCode::GOING_AWAY);
            }
        });
        run(socket, proceed);
    });
    let headers = response.headers_mut();
    let accept = derive_accept_key(key.as_bytes());
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&accept));
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&protocol));
    }
    response
}

/// What is wrong with a request.
enum Fault {
    Other(&'static str),
    /// RFC 6455, 4.2.2: it is told which versions there are.
    Version,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let text = match self {
            Self::Other(text) => return (StatusCode::BAD_REQUEST, text).into_response(),
            Self::Version => "there is version 13 only\n",
        };
        let mut response = (StatusCode::UPGRADE_REQUIRED, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response
    }
}

/// A request's key, if it asks for a WebSocket by all the rules.
fn check(request: &Request) -> Result<&HeaderValue, Fault> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Fault::Other("a WebSocket begins with GET by HTTP/1.1\n"));
    }
    if !token::is_listed(headers, &header::UPGRADE, "websocket")
        || !token::is_listed(headers, &header::CONNECTION, "upgrade")
    {
        return Err(Fault::Other("this is for WebSockets\n"));
    }
    if request.body().remaining() != Some(0) {
        return Err(Fault::Other("a request for a WebSocket has no body\n"));
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(Fault::Version);
    }
    single(headers, &header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
        .ok_or(Fault::Other("there is no valid Sec-WebSocket-Key\n"))
}

/// The header's value, if it is there once.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether it is 16 bytes in base64: 21 digits, one of the four that can be the last, and two signs that
/// fill it up.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let [digits @ .., last, b'=', b'='] = key else { return false };
    digits.len() == 21 && digits.iter().all(is_digit) && b"AQgw".contains(last)
}

/// The first of ours that the client speaks, too.
fn choose(ours: &[String], headers: &HeaderMap) -> Option<String> {
    let offers = |protocol: &&String| {
        token::of(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == **protocol)
    };
    ours.iter().find(offers).cloned()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it is a token, or base64")
}

/// Has the handler proceed, and closes the WebSocket behind it.
fn run(socket: WebSocket, proceed: impl FnOnce(WebSocket) -> io::Result<()>) {
    let session = socket.session();
    // The handle that is kept has the handler's end decide, not that of its own handle.
    let handle = socket.clone();
    match catch_unwind(AssertUnwindSafe(|| proceed(handle))) {
        // It was waited for: an error is the client's.
        Ok(Ok(())) => _ = session.close(CloseCode::NORMAL, ""),
        // So is this one, if the end came first.
        Ok(Err(_)) if session.is_over() || session.is_cut() => {}
        Ok(Err(error)) => {
            crate::core::tell(format_args!("a handler of a WebSocket has failed: {error}"));
            let _ = session.close(CloseCode::INTERNAL_ERROR, "");
        }
        Err(payload) => {
            let killed = payload.is::<Killed>();
            let code = if killed { CloseCode::GOING_AWAY } else { CloseCode::INTERNAL_ERROR };
            session.close_in_background(code);
            resume_unwind(payload);
        }
    }
}
