//! A line of an access log.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::{Method, StatusCode, Uri, Version};

/// A request that was answered, for [`Server::access_log`](crate::Server::access_log).
///
/// It prints as a line of a log: `127.0.0.1 [Sun, 06 Nov 1994 08:49:37 GMT] "GET / HTTP/1.1" 200 14 0.003`,
/// with the bytes of the body that were sent and the seconds that it took.
///
/// ```
/// use evy_http::{Access, Server};
///
/// let log = |access: &Access| println!("{access}");
/// let server = Server::new(evy_green_net::listen("127.0.0.1:0")?, |_| "hello").access_log(log);
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access {
    /// The address of the client; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// When the head of the request was complete.
    pub time: SystemTime,
    /// The request's method.
    pub method: Method,
    /// The request's target.
    pub uri: Uri,
    /// The request's version.
    pub version: Version,
    /// The answer's status; 499 where the client went away before there was one.
    pub status: StatusCode,
    /// How many bytes of the answer's body were sent.
    pub bytes: u64,
    /// From the end of the request's head to the end of the answer.
    pub duration: Duration,
}

/// What is called with each request that was answered.
pub(crate) type AccessLog = Box<dyn Fn(&Access)>;

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "{}", peer.ip())?,
            None => f.write_str("-")?,
        }
        let (time, seconds) = (httpdate::fmt_http_date(self.time), self.duration.as_secs_f64());
        let Self { method, uri, version, bytes, .. } = self;
        let status = self.status.as_u16();
        write!(f, " [{time}] \"{method} {uri} {version:?}\" {status} {bytes} {seconds:.3}")
    }
}
