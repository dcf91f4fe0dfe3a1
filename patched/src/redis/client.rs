//! The client: where a server is, and connections to it.

#[cfg(feature = "tls")]
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(feature = "tls")]
use ::redis::TlsCertificates;
use ::redis::{ConnectionInfo, ConnectionLike, IntoConnectionInfo, RedisResult, Value};
#[cfg(feature = "tls")]
use evy_green_net::tls::TlsConnector;
use evy_pool::ResourcePoolBuilder;
use evy_runtime::timeout;

use super::stream::Stream;
use super::{Connection, RedisError, pool};

#[derive(Clone, Debug)]
pub struct Client {
    info: ConnectionInfo,
    /// Made with the first connection: what the system trusts is read from files.
    #[cfg(feature = "tls")]
    tls: Arc<OnceLock<TlsConnector>>,
}

impl Client {
    pub fn open<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        Ok(Self {
            info: params.into_connection_info()?,
            #[cfg(feature = "tls")]
            tls: Arc::default(),
        })
    }

    pub fn get_connection(&self) -> RedisResult<Connection> {
        Connection::new(Stream::connect(self)?, self.info.redis_settings().clone())
    }

    pub fn get_connection_with_timeout(&self, timeout: Duration) -> RedisResult<Connection> {
        within(timeout, || self.get_connection())
    }

    pub fn get_connection_info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub fn pool_builder(&self, timeout: Duration) -> ResourcePoolBuilder<Connection, RedisError> {
        pool::builder(self.clone(), timeout)
    }

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
    pub(super) fn tls_connector(&self) -> RedisResult<TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        // It parks, so it must not be done inside the lock. Two may come here: one's is kept.
        let connector = super::tls::connector(self.info.addr(), None)?;
        Ok(self.tls.get_or_init(|| connector).clone())
    }
}

/// Cuts a call off after so long.
pub(super) fn within<T>(
    duration: Duration,
    call: impl FnOnce() -> RedisResult<T>,
) -> RedisResult<T> {
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
