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
use evy_green_net::TcpStream;

/// The least that one of several addresses gets of the time to connect.
const LEAST_SHARE: Duration = Duration::from_millis(10);

/// Opens green sockets, where ureq's `TcpConnector` opens std's.
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
        let config = details.config;
        if config.proxy().is_some_and(|proxy| is_socks(proxy) && !proxy.is_no_proxy(details.uri)) {
            let text = "green sockets do not know SOCKS proxies";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text).into());
        }
        let stream = connect_to_one(details)?;
        // Green sockets have it on from the start.
        if !config.no_delay() {
            stream.set_nodelay(false)?;
        }
        let transport = GreenTransport {
            socket: Arc::new(Socket(stream)),
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        };
        let handle: Weak<Socket> = Arc::downgrade(&transport.socket);
        (details.register_shutdown)(handle)?;
        Ok(Some(Either::B(transport)))
    }
}

fn is_socks(proxy: &Proxy) -> bool {
    !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}

/// Tries the addresses in turn. Each but the last gets half of the time that is left.
fn connect_to_one(details: &ConnectionDetails<'_>) -> Result<TcpStream, Error> {
    let deadline = deadline(details);
    let mut last = Error::from(io::Error::from(io::ErrorKind::ConnectionRefused));
    for (index, address) in details.addrs.iter().enumerate() {
        let mut share = None;
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(details.timeout.reason));
            }
            let is_last = index + 1 == details.addrs.len();
            share = Some(if is_last { left } else { (left / 2).max(LEAST_SHARE) });
        }
        last = match connect(address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Error::Timeout(Timeout::Connect)
            }
            Err(error) if concerns_address(&error) => error.into(),
            Err(error) => return Err(error.into()),
        };
    }
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(Error::Timeout(details.timeout.reason));
    }
    Err(last)
}

fn deadline(details: &ConnectionDetails<'_>) -> Option<Instant> {
    match (details.now, details.timeout.after) {
        (time::Instant::Exact(start), time::Duration::Exact(after)) => start.checked_add(after),
        _ => None,
    }
}

fn connect(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    match timeout {
        Some(timeout) => TcpStream::connect_timeout(address, timeout),
        None => TcpStream::connect(*address),
    }
}

/// Whether the host's next address may do better.
fn concerns_address(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
    )
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
fn time_left(deadline: Option<Instant>, reason: Timeout) -> Result<Option<Duration>, Error> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Err(Error::Timeout(reason));
    }
    Ok(left)
}

fn named(error: io::Error, reason: Timeout) -> Error {
    if error.kind() == io::ErrorKind::TimedOut { Error::Timeout(reason) } else { error.into() }
}
