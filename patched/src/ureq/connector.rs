//! Connections on green sockets, as ureq's chain of connectors wants them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ::ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle,
    Transport, time,
};
use ::ureq::{Error, Proxy, ProxyProtocol, Timeout};
use evy_green_net::{ConnectOptions, TcpStream};

/// Opens green sockets, where ureq's `TcpConnector` opens std's.
///
/// Of a host's several addresses it does not try one after the other, but as
/// [`evy_green_net::connect`] does: an address that has not answered within 250 ms gets company by the
/// next, and the first to answer is taken.
///
/// [`Agent`](super::Agent) has it already; it is public for other chains of connectors.
///
/// ```
/// # use std::io::{Read, Write};
/// use evy_patched::ureq::unversioned::transport::Connector;
/// use evy_patched::ureq::{Agent, GreenConnector, GreenResolver};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let url = format!("http://{}/", listener.local_addr()?);
/// # evy_runtime::spawn_n(move || -> std::io::Result<()> {
/// #     let (mut peer, _) = listener.accept()?;
/// #     peer.read(&mut [0; 1024])?;
/// #     peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
/// # });
/// let http_only = ().chain(GreenConnector);
/// let agent = Agent::with_parts(Default::default(), http_only, GreenResolver);
/// assert_eq!(agent.get(url).call()?.body_mut().read_to_string()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GreenConnector;

impl<In: Transport> Connector<In> for GreenConnector {
    type Out = Either<In, GreenTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        if socks_proxy(details).is_some() {
            let text = "this chain of connectors knows no SOCKS proxies";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text).into());
        }
        Ok(Some(Either::B(open(&details.addrs, details)?)))
    }
}

/// The SOCKS proxy that the request has to go by, if there is one.
pub(super) fn socks_proxy<'a>(details: &ConnectionDetails<'a>) -> Option<&'a Proxy> {
    let is_socks =
        |proxy: &&Proxy| !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    details.config.proxy().filter(is_socks).filter(|proxy| !proxy.is_no_proxy(details.uri))
}

/// Connects to the first of `addresses` that answers; the agent can close the connection from then on.
pub(super) fn open(
    addresses: &[SocketAddr],
    details: &ConnectionDetails<'_>,
) -> Result<GreenTransport, Error> {
    let config = details.config;
    let transport = GreenTransport {
        socket: Arc::new(Socket(connect(addresses, details)?)),
        buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
    };
    let handle: Weak<Socket> = Arc::downgrade(&transport.socket);
    (details.register_shutdown)(handle)?;
    Ok(transport)
}

fn connect(addresses: &[SocketAddr], details: &ConnectionDetails<'_>) -> Result<TcpStream, Error> {
    let mut options = ConnectOptions::new().nodelay(details.config.no_delay());
    let deadline = deadline(details);
    if let Some(left) = time_left(deadline, details.timeout.reason)? {
        options = options.timeout(left);
    }
    options.connect(addresses).map_err(|error| match deadline {
        Some(deadline) if deadline <= Instant::now() => named(error, details.timeout.reason),
        // The system has its own limit.
        _ => named(error, Timeout::Connect),
    })
}

/// Until when there has to be a connection, with all that it goes by.
pub(super) fn deadline(details: &ConnectionDetails<'_>) -> Option<Instant> {
    match (details.now, details.timeout.after) {
        (time::Instant::Exact(start), time::Duration::Exact(after)) => start.checked_add(after),
        _ => None,
    }
}

#[derive(Debug)]
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        self.0.close();
    }
}

/// A connection that ureq reads and writes; made by [`GreenConnector`].
///
/// ```
/// fn is_transport<T: evy_patched::ureq::unversioned::transport::Transport>() {}
/// is_transport::<evy_patched::ureq::GreenTransport>();
/// ```
#[derive(Debug)]
pub struct GreenTransport {
    /// Shared with the agent, weakly, which may close it from any OS thread.
    socket: Arc<Socket>,
    buffers: LazyBuffers,
}

impl Transport for GreenTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let mut stream = &self.socket.0;
        let mut output = &self.buffers.output()[..amount];
        let deadline = Instant::now().checked_add(*timeout.after);
        while !output.is_empty() {
            stream.set_write_timeout(time_left(deadline, timeout.reason)?)?;
            match stream.write(output).map_err(|error| named(error, timeout.reason))? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => output = &output[written..],
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let mut stream = &self.socket.0;
        let deadline = Instant::now().checked_add(*timeout.after);
        stream.set_read_timeout(time_left(deadline, timeout.reason)?)?;
        let result = stream.read(self.buffers.input_append_buf());
        let amount = result.map_err(|error| named(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // An idle connection has nothing to say: bytes would belong to no request.
        let result = self.socket.0.try_read(&mut [0]);
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What is left until the deadline; none is for ever.
pub(super) fn time_left(
    deadline: Option<Instant>,
    reason: Timeout,
) -> Result<Option<Duration>, Error> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Err(Error::Timeout(reason));
    }
    Ok(left)
}

fn named(error: io::Error, reason: Timeout) -> Error {
    if error.kind() == io::ErrorKind::TimedOut { Error::Timeout(reason) } else { error.into() }
}
