//! The client: where a server is, and connections to it.

#[cfg(feature = "tls")]
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(feature = "tls")]
use ::redis::{ConnectionAddr, TlsCertificates};
use ::redis::{ConnectionInfo, ConnectionLike, IntoConnectionInfo, RedisResult, Value};
#[cfg(feature = "tls")]
use evy_green_net::tls::TlsConnector;
use evy_pool::ResourcePoolBuilder;
use evy_runtime::timeout;

use super::stream::Stream;
use super::{Connection, RedisError, pool};

/// Where a Redis server is: [`redis::Client`](::redis::Client), but that its connections are green.
///
/// ```
#[doc = answers!(r"$5\r\nhello\r\n")]
/// use evy_patched::redis::{self, Client};
///
/// let client = Client::open(url)?;
/// let mut connection = client.get_connection()?;
/// assert_eq!(redis::cmd("GET").arg("greeting").query::<String>(&mut connection)?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It is a [`ConnectionLike`] too, as in redis: each of its calls is made on a connection of its own.
///
/// A client can be sent to other OS threads, and so can its connections.
#[derive(Clone, Debug)]
pub struct Client {
    info: ConnectionInfo,
    /// Made with the first connection: what the system trusts is read from files.
    #[cfg(feature = "tls")]
    tls: Arc<OnceLock<TlsConnector>>,
}

impl Client {
    /// Takes a URL, or what else says where a server is; it does not connect yet.
    ///
    /// URLs are `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, and
    /// `unix:///path[?db=…&user=…&pass=…]`. With `?protocol=resp3` the connections speak RESP3.
    ///
    /// ```
    /// use evy_patched::redis::Client;
    ///
    /// let client = Client::open("redis://:secret@localhost/3")?;
    /// assert_eq!(client.get_connection_info().redis_settings().db(), 3);
    /// assert!(Client::open("http://localhost/").is_err());
    /// # Ok::<(), evy_patched::redis::RedisError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidClientConfig` for what is no such URL.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn open<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        Ok(Self {
            info: params.into_connection_info()?,
            #[cfg(feature = "tls")]
            tls: Arc::default(),
        })
    }

    /// Connects, and says the first words: `HELLO` or `AUTH`, `SELECT`, and `CLIENT SETINFO` unless the
    /// connection info says otherwise.
    ///
    /// It may take as long as the system and the server let it, but for a TLS handshake: 10 s.
    ///
    /// ```
    #[doc = answers!(r"+PONG\r\n")]
    /// use evy_patched::redis::{Client, ConnectionLike};
    ///
    /// let mut connection = Client::open(url)?.get_connection()?;
    /// assert!(connection.check_connection());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of connecting and of TLS, as `Io`; `AuthenticationFailed`; the server's own where it refuses, as
    /// when it is full; `InvalidClientConfig` for an address that cannot be.
    ///
    /// # Yields
    ///
    /// Until all is answered.
    pub fn get_connection(&self) -> RedisResult<Connection> {
        Connection::new(self.connect()?, self.info.redis_settings().clone())
    }

    fn connect(&self) -> RedisResult<Stream> {
        match self.info.addr() {
            #[cfg(feature = "tls")]
            ConnectionAddr::TcpTls { host, port, .. } => {
                // Before there is a connection: what is wrong with the certificates is known here.
                let connector = self.tls_connector()?;
                Stream::connect_tls(host, *port, self.info.tcp_settings(), &connector)
            }
            _ => Stream::connect(&self.info),
        }
    }

    /// [`get_connection`](Self::get_connection) that takes at most so long, all in all.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use evy_patched::redis::Client;
    ///
    /// // Nobody accepts this connection.
    /// let server = evy_green_net::listen("127.0.0.1:0")?;
    /// let client = Client::open(format!("redis://{}/", server.local_addr()?))?;
    /// let error = client.get_connection_with_timeout(Duration::from_millis(5)).unwrap_err();
    /// assert!(error.is_timeout());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get_connection`](Self::get_connection), and `TimedOut` as `Io`.
    ///
    /// # Yields
    ///
    /// Until all is answered.
    pub fn get_connection_with_timeout(&self, timeout: Duration) -> RedisResult<Connection> {
        within(timeout, || self.get_connection())
    }

    /// Returns where the server is, and how connections are set up.
    ///
    /// ```
    /// let client = evy_patched::redis::Client::open("redis://localhost:6380/")?;
    /// assert_eq!(client.get_connection_info().addr().to_string(), "localhost:6380");
    /// # Ok::<(), evy_patched::redis::RedisError>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get_connection_info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Begins a [`Pool`](super::Pool) of connections to this server.
    ///
    /// `timeout` is how long it may take to open one, or to look after one: to ask one that has been idle for
    /// more than a second whether it is still there, and to clean one that was given back. It does not bound
    /// the wait for a free connection, which [`get_timeout`](super::Pool::get_timeout) does, nor the calls of
    /// who has one.
    ///
    /// Four connections may exist, each is dropped after 10 minutes without use, and when it is 30 minutes old,
    /// unless the builder is told otherwise. To set its `validate` or `recycle` would replace what keeps the
    /// connections clean.
    ///
    /// ```
    #[doc = answers!(r"$5\r\nhello\r\n")]
    /// use std::time::Duration;
    ///
    /// use evy_patched::redis::{Client, Commands};
    ///
    /// let client = Client::open(url)?;
    /// let pool = client.pool_builder(Duration::from_secs(5)).max(20).build()?;
    /// let greeting: String = pool.get()?.get("greeting")?;
    /// assert_eq!(greeting, "hello");
    /// assert_eq!((pool.size(), pool.idle()), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn pool_builder(&self, timeout: Duration) -> ResourcePoolBuilder<Connection, RedisError> {
        let client = self.clone();
        pool::builder(move || client.get_connection_with_timeout(timeout), timeout)
    }

    /// Makes a client for TLS with certificates of one's own, in PEM: authorities to trust in place of the
    /// system's, and what the client shows of itself.
    ///
    /// ```
    /// use evy_patched::redis::{Client, TlsCertificates};
    ///
    /// # let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    /// # let pem = key.cert.pem();
    /// let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) };
    /// let client = Client::build_with_tls("rediss://localhost/", certificates)?;
    /// # drop(client);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidClientConfig` if the address is not one with TLS; `Io` for what is no PEM.
    ///
    /// # Yields
    ///
    /// While certificates are prepared, on another OS thread.
    #[cfg(feature = "tls")]
    pub fn build_with_tls<C: IntoConnectionInfo>(
        conn_info: C,
        tls_certs: TlsCertificates,
    ) -> RedisResult<Self> {
        let client = Self::open(conn_info)?;
        let connector = super::tls::connector(client.info.addr(), Some(&tls_certs))?;
        let _ = client.tls.set(connector);
        Ok(client)
    }

    #[cfg(feature = "tls")]
    fn tls_connector(&self) -> RedisResult<TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        // It parks, so it must not be done inside the lock. Two may come here: one's is kept.
        let connector = super::tls::connector(self.info.addr(), None)?;
        Ok(self.tls.get_or_init(|| connector).clone())
    }
}

/// Cuts a call off after so long.
fn within<T>(duration: Duration, call: impl FnOnce() -> RedisResult<T>) -> RedisResult<T> {
    timeout(duration, call).unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
}

impl ConnectionLike for Client {
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        self.get_connection()?.req_packed_command(cmd)
    }

    fn req_packed_commands(
        &mut self,
        cmd: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.get_connection()?.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.info.redis_settings().db()
    }

    fn check_connection(&mut self) -> bool {
        self.get_connection().is_ok_and(|mut connection| connection.check_connection())
    }

    fn is_open(&self) -> bool {
        self.get_connection().is_ok_and(|connection| connection.is_open())
    }
}
