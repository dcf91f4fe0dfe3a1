//! Echo over TLS: by hand with rustls on edge-triggered epoll, as a user of evy writes it, and the client
//! for both.
//!
//! Both servers have the same configuration: TLS 1.3, an ECDSA P-256 certificate, no tickets, so that no
//! session is taken up again. The clients trust everybody: this is about what the servers cost.

use super::load::{Load, Requests, Target, Wire};
use super::raw_echo;
use super::sys::{self, Epoll};
use evy::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use evy::tls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use evy::tls::rustls::pki_types::pem::PemObject;
use evy::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use evy::tls::rustls::version::TLS13;
use evy::tls::rustls::{
    self, ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use evy::tls::{TlsAcceptor, TlsListener};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Bytes of plaintext that are echoed at once.
const BUFFER: usize = 4096;

/// What rustls reads at least, if as much is there: less means that no more is there.
const SHORT: usize = 4096;

/// Events taken from the kernel by one wait.
const BATCH: usize = 1024;

/// What both servers have.
fn server_config() -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let key = made.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The server under test.
pub(crate) fn serve_evy(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let listener = evy::listen("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let listener = TlsListener::new(listener, TlsAcceptor::from_config(server_config()?));
    announce(port)?;
    loop {
        let (mut client, _) = listener.accept()?;
        evy::spawn_n(move || -> io::Result<()> {
            let mut buffer = [0; BUFFER];
            loop {
                match client.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => client.write_all(&buffer[..count])?,
                }
            }
        });
    }
}

/// The baseline.
pub(crate) fn serve_raw(announce: impl FnOnce(u16) -> io::Result<()>) -> io::Result<()> {
    let listener = raw_echo::listen()?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, sys::LISTENER_LEVEL, listener.as_raw_fd() as u64)?;
    announce(listener.local_addr()?.port())?;
    let mut server = RawServer {
        epoll,
        listener,
        config: server_config()?,
        connections: Vec::new(),
        buffer: vec![0; BUFFER],
    };
    let mut events = sys::event_buffer(BATCH);
    loop {
        let ready = server.epoll.wait(&mut events, None)?;
        for event in &events[..ready] {
            server.handle(event.u64 as usize, event.events)?;
        }
    }
}

struct RawServer {
    epoll: Epoll,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    /// By descriptor.
    connections: Vec<Option<Box<RawConnection>>>,
    /// Holds plaintext on its way from one side of rustls to the other.
    buffer: Vec<u8>,
}

impl RawServer {
    fn handle(&mut self, key: usize, marks: u32) -> io::Result<()> {
        if key == self.listener.as_raw_fd() as usize {
            return self.accept_all();
        }
        let slot = &mut self.connections[key];
        let connection = slot.as_mut().expect("a closed descriptor has no events");
        if connection.echo(marks, &mut self.buffer).is_err() {
            *slot = None;
        }
        Ok(())
    }

    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            match sys::accept_nonblocking(&self.listener) {
                Ok(stream) => self.add(stream)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn add(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let key = stream.as_raw_fd() as usize;
        self.epoll.add(&stream, sys::STREAM_EDGES, key as u64)?;
        if self.connections.len() <= key {
            self.connections.resize_with(key + 1, || None);
        }
        let session = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        self.connections[key] = Some(Box::new(RawConnection { session, socket: Socket(stream) }));
        Ok(())
    }
}

struct RawConnection {
    session: ServerConnection,
    socket: Socket,
}

impl RawConnection {
    /// Echoes all that an event with `marks` promises. An error, which the end of the stream counts as,
    /// means that the connection is to be closed. While the socket has no room, nothing more is read.
    fn echo(&mut self, marks: u32, buffer: &mut [u8]) -> io::Result<()> {
        if !self.flush()? || marks & sys::READ_MARKS == 0 {
            return Ok(());
        }
        loop {
            let length = match self.session.read_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.session.process_new_packets().map_err(io::Error::other)?;
            if !self.turn_round(buffer)? {
                return Ok(());
            }
            let drained = length < SHORT && marks & sys::LAST_READ_MARKS == 0;
            if drained {
                return Ok(());
            }
        }
    }

    /// Encrypts what was decrypted, and sends it; returns whether all is sent.
    fn turn_round(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.session.writer().write_all(&buffer[..length])?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return self.flush(),
                Err(e) => return Err(e),
            }
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// A socket that is written to by `send`, which is cheaper than `writev` for the one record of an answer.
struct Socket(TcpStream);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client's end.
type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Wire for Stream {
    /// rustls takes no more from the socket than it needs for the next bytes.
    const SHORT_READ_IS_LAST: bool = false;

    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// Opens the connections, handshakes included.
pub(crate) fn load(target: Target) -> io::Result<Load<Stream>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let config = Arc::new(config);
    let name = ServerName::try_from("localhost").expect("this is a name");
    Load::connect_by(target, Requests::echo(target.size), |socket| {
        let session = ClientConnection::new(Arc::clone(&config), name.clone());
        Ok(StreamOwned::new(session.map_err(io::Error::other)?, socket))
    })
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
