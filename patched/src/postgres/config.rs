//! What a connection is made of.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Error;
pub use tokio_postgres::config::{
    ChannelBinding, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};
use tokio_postgres::error::DbError;
use tokio_postgres::tls::TlsConnect;

use super::link::NoticeCallback;
use super::tls::{MakeTlsConnect, Socket};
use super::{Client, connect};

/// What a connection is made of: hosts, a user, and so on.
///
/// It is read from words (`host=localhost user=postgres`) or a URL (`postgresql://postgres@localhost`), as
/// [`tokio_postgres::Config`] describes them, or set by calls.
///
/// ```
/// use evy_patched::postgres::Config;
///
/// let config: Config = "postgresql://me:secret@db.example.org/shop?connect_timeout=5".parse()?;
/// let mut same = Config::new();
/// same.user("me").password("secret").host("db.example.org").dbname("shop");
/// same.connect_timeout(std::time::Duration::from_secs(5));
/// assert_eq!(same.get_dbname(), config.get_dbname());
/// assert_eq!(same.get_connect_timeout(), config.get_connect_timeout());
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
///
/// Without a host there is none: this knows nothing of `PGHOST` and its like.
#[derive(Clone)]
pub struct Config {
    config: tokio_postgres::Config,
    notice_callback: NoticeCallback,
}

impl Config {
    /// An empty one: it has to have a host at the least.
    ///
    /// ```
    /// assert!(evy_patched::postgres::Config::new().get_hosts().is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn new() -> Self {
        tokio_postgres::Config::new().into()
    }

    /// The user. At first the one that runs the process.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.user("me");
    /// assert_eq!(config.get_user(), Some("me"));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn user(&mut self, user: &str) -> &mut Self {
        self.config.user(user);
        self
    }

    /// The user, if one was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a user=me".parse()?;
    /// assert_eq!(config.get_user(), Some("me"));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// The password.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.password("secret");
    /// assert_eq!(config.get_password(), Some(&b"secret"[..]));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn password(&mut self, password: impl AsRef<[u8]>) -> &mut Self {
        self.config.password(password);
        self
    }

    /// The password, if one was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a password=secret".parse()?;
    /// assert_eq!(config.get_password(), Some(&b"secret"[..]));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_password(&self) -> Option<&[u8]> {
        self.config.get_password()
    }

    /// The database. At first it has the user's name.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.dbname("shop");
    /// assert_eq!(config.get_dbname(), Some("shop"));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn dbname(&mut self, dbname: &str) -> &mut Self {
        self.config.dbname(dbname);
        self
    }

    /// The database, if one was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a dbname=shop".parse()?;
    /// assert_eq!(config.get_dbname(), Some("shop"));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_dbname(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// Options of the server's command line, such as `-c statement_timeout=5s`.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.options("-c statement_timeout=5s");
    /// assert_eq!(config.get_options(), Some("-c statement_timeout=5s"));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn options(&mut self, options: &str) -> &mut Self {
        self.config.options(options);
        self
    }

    /// Options of the command line, if some were set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_options(), None);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_options(&self) -> Option<&str> {
        self.config.get_options()
    }

    /// What the session is called in `pg_stat_activity` and in the log.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.application_name("till");
    /// assert_eq!(config.get_application_name(), Some("till"));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn application_name(&mut self, application_name: &str) -> &mut Self {
        self.config.application_name(application_name);
        self
    }

    /// What the session is called, if that was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a application_name=till".parse()?;
    /// assert_eq!(config.get_application_name(), Some("till"));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_application_name(&self) -> Option<&str> {
        self.config.get_application_name()
    }

    /// Whether there is to be TLS. At first ([`Prefer`](SslMode::Prefer)), where the server has it and the
    /// connector, too.
    ///
    /// So a server without it, or anybody between who says so in its name, is spoken to in plain text, and
    /// given the password if it asks for that. Where the network is not to be trusted, say
    /// [`Require`](SslMode::Require) (`sslmode=require`): then there is TLS, or no connection.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::SslMode;
    ///
    /// let mut config = Config::new();
    /// config.ssl_mode(SslMode::Require);
    /// assert_eq!(config.get_ssl_mode(), SslMode::Require);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn ssl_mode(&mut self, ssl_mode: SslMode) -> &mut Self {
        self.config.ssl_mode(ssl_mode);
        self
    }

    /// Whether there is to be TLS.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::SslMode;
    ///
    /// let config: Config = "host=a sslmode=require".parse()?;
    /// assert_eq!(config.get_ssl_mode(), SslMode::Require);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_ssl_mode(&self) -> SslMode {
        self.config.get_ssl_mode()
    }

    /// Whether the server is asked for TLS first, as it is unless this is called, or TLS begins at once.
    ///
    /// That needs PostgreSQL 17, and a connector that offers the protocol `postgresql` (ALPN): without that the
    /// server ends the handshake. It also needs [`SslMode::Require`].
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::SslNegotiation;
    ///
    /// let mut config = Config::new();
    /// config.ssl_negotiation(SslNegotiation::Direct);
    /// assert_eq!(config.get_ssl_negotiation(), SslNegotiation::Direct);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn ssl_negotiation(&mut self, ssl_negotiation: SslNegotiation) -> &mut Self {
        self.config.ssl_negotiation(ssl_negotiation);
        self
    }

    /// How TLS begins.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::SslNegotiation;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_ssl_negotiation(), SslNegotiation::Postgres);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_ssl_negotiation(&self) -> SslNegotiation {
        self.config.get_ssl_negotiation()
    }

    /// Adds a host: a name, an address, or the folder of a Unix socket, if it begins with `/`.
    ///
    /// Several are tried in their order, each with all its addresses.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.host("one.example.org").host("/run/postgresql");
    /// assert_eq!(config.get_hosts().len(), 2);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn host(&mut self, host: &str) -> &mut Self {
        self.config.host(host);
        self
    }

    /// The hosts.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::Host;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_hosts(), [Host::Tcp("a".to_owned())]);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_hosts(&self) -> &[Host] {
        self.config.get_hosts()
    }

    /// The addresses of hosts.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a hostaddr=127.0.0.1".parse()?;
    /// assert_eq!(config.get_hostaddrs(), ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_hostaddrs(&self) -> &[IpAddr] {
        self.config.get_hostaddrs()
    }

    /// Adds the folder of a Unix socket.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::Host;
    ///
    /// let mut config = Config::new();
    /// config.host_path("/run/postgresql");
    /// assert_eq!(config.get_hosts(), [Host::Unix("/run/postgresql".into())]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn host_path(&mut self, host: impl AsRef<Path>) -> &mut Self {
        self.config.host_path(host);
        self
    }

    /// Adds the address of a host, which then is not looked up: as many as there are hosts, in the same
    /// order. The host is then the name that its certificate has to be for.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.host("db.example.org").hostaddr([127, 0, 0, 1].into());
    /// assert_eq!(config.get_hostaddrs().len(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn hostaddr(&mut self, hostaddr: IpAddr) -> &mut Self {
        self.config.hostaddr(hostaddr);
        self
    }

    /// Adds a port: one for all hosts, or one for each. Without any it is 5432.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.port(5433);
    /// assert_eq!(config.get_ports(), [5433]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn port(&mut self, port: u16) -> &mut Self {
        self.config.port(port);
        self
    }

    /// The ports.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a port=5433".parse()?;
    /// assert_eq!(config.get_ports(), [5433]);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_ports(&self) -> &[u16] {
        self.config.get_ports()
    }

    /// How long an attempt with one address may take; at first for ever.
    ///
    /// Where the original bounds the TCP connection alone, this bounds the lookup of a name, and then for
    /// each address all there is until the session is there: TLS and authentication, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.connect_timeout(Duration::from_secs(5));
    /// assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(5)));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn connect_timeout(&mut self, connect_timeout: Duration) -> &mut Self {
        self.config.connect_timeout(connect_timeout);
        self
    }

    /// How long an attempt with one address may take.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a connect_timeout=5".parse()?;
    /// assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(5)));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_connect_timeout(&self) -> Option<&Duration> {
        self.config.get_connect_timeout()
    }

    /// After what time without an answer of the TCP peer to what was sent the connection is broken.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.tcp_user_timeout(Duration::from_secs(5));
    /// assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(5)));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn tcp_user_timeout(&mut self, tcp_user_timeout: Duration) -> &mut Self {
        self.config.tcp_user_timeout(tcp_user_timeout);
        self
    }

    /// The time after which a TCP connection without an answer is broken, if one was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_tcp_user_timeout(), None);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_tcp_user_timeout(&self) -> Option<&Duration> {
        self.config.get_tcp_user_timeout()
    }

    /// Whether TCP asks an idle peer whether it is there. At first it does.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.keepalives(false);
    /// assert!(!config.get_keepalives());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keepalives(&mut self, keepalives: bool) -> &mut Self {
        self.config.keepalives(keepalives);
        self
    }

    /// Whether TCP asks an idle peer whether it is there.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a keepalives=0".parse()?;
    /// assert!(!config.get_keepalives());
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_keepalives(&self) -> bool {
        self.config.get_keepalives()
    }

    /// After how much silence it asks; at first two hours.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.keepalives_idle(Duration::from_secs(60));
    /// assert_eq!(config.get_keepalives_idle(), Duration::from_secs(60));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keepalives_idle(&mut self, keepalives_idle: Duration) -> &mut Self {
        self.config.keepalives_idle(keepalives_idle);
        self
    }

    /// After how much silence TCP asks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_keepalives_idle(), Duration::from_secs(7200));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_keepalives_idle(&self) -> Duration {
        self.config.get_keepalives_idle()
    }

    /// How long after a question without an answer it asks again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.keepalives_interval(Duration::from_secs(10));
    /// assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(10)));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keepalives_interval(&mut self, keepalives_interval: Duration) -> &mut Self {
        self.config.keepalives_interval(keepalives_interval);
        self
    }

    /// How long after a question without an answer TCP asks again, if that was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_keepalives_interval(), None);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_keepalives_interval(&self) -> Option<Duration> {
        self.config.get_keepalives_interval()
    }

    /// How many questions without an answer break the connection.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let mut config = Config::new();
    /// config.keepalives_retries(3);
    /// assert_eq!(config.get_keepalives_retries(), Some(3));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keepalives_retries(&mut self, keepalives_retries: u32) -> &mut Self {
        self.config.keepalives_retries(keepalives_retries);
        self
    }

    /// How many questions without an answer break the connection, if that was set.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    ///
    /// let config: Config = "host=a keepalives_retries=3".parse()?;
    /// assert_eq!(config.get_keepalives_retries(), Some(3));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_keepalives_retries(&self) -> Option<u32> {
        self.config.get_keepalives_retries()
    }

    /// Which sessions will do: any, unless this is called, or only such as may write, or may not.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::TargetSessionAttrs;
    ///
    /// let mut config = Config::new();
    /// config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    /// assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn target_session_attrs(&mut self, target_session_attrs: TargetSessionAttrs) -> &mut Self {
        self.config.target_session_attrs(target_session_attrs);
        self
    }

    /// Which sessions will do.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::TargetSessionAttrs;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::Any);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_target_session_attrs(&self) -> TargetSessionAttrs {
        self.config.get_target_session_attrs()
    }

    /// Whether the authentication is bound to the TLS connection, so that nobody can stand in between. At
    /// first it is where both sides can.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::ChannelBinding;
    ///
    /// let mut config = Config::new();
    /// config.channel_binding(ChannelBinding::Require);
    /// assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn channel_binding(&mut self, channel_binding: ChannelBinding) -> &mut Self {
        self.config.channel_binding(channel_binding);
        self
    }

    /// Whether the authentication is bound to the TLS connection.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::ChannelBinding;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_channel_binding(), ChannelBinding::Prefer);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_channel_binding(&self) -> ChannelBinding {
        self.config.get_channel_binding()
    }

    /// Whether hosts and addresses are tried in a random order. At first they are not.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::LoadBalanceHosts;
    ///
    /// let mut config = Config::new();
    /// config.load_balance_hosts(LoadBalanceHosts::Random);
    /// assert_eq!(config.get_load_balance_hosts(), LoadBalanceHosts::Random);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn load_balance_hosts(&mut self, load_balance_hosts: LoadBalanceHosts) -> &mut Self {
        self.config.load_balance_hosts(load_balance_hosts);
        self
    }

    /// Whether hosts and addresses are tried in a random order.
    ///
    /// ```
    /// use evy_patched::postgres::Config;
    /// use evy_patched::postgres::config::LoadBalanceHosts;
    ///
    /// let config: Config = "host=a".parse()?;
    /// assert_eq!(config.get_load_balance_hosts(), LoadBalanceHosts::Disable);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn get_load_balance_hosts(&self) -> LoadBalanceHosts {
        self.config.get_load_balance_hosts()
    }

    /// What is called with each notice of the server. At first they go to the log (crate `log`) as information.
    ///
    /// It is called by the call that waits when the notice comes, at once, and before that call returns. What
    /// comes while there is no such call is kept for the next one. It may park; of what comes meanwhile, as
    /// without a call, the last 1024 are kept.
    ///
    /// ```
    /// let mut config = evy_patched::postgres::Config::new();
    /// config.notice_callback(|notice| eprintln!("{}", notice.message()));
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn notice_callback<F>(&mut self, callback: F) -> &mut Self
    where
        F: Fn(DbError) + Send + Sync + 'static,
    {
        self.notice_callback = Arc::new(callback);
        self
    }

    /// Connects to the first host that will do.
    ///
    /// Hosts and their addresses are tried one after the other.
    ///
    /// ```no_run
    /// use evy_patched::postgres::{Config, NoTls};
    ///
    /// let mut config = Config::new();
    /// let client = config.host("/run/postgresql").user("postgres").connect(NoTls)?;
    /// # drop(client);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Of several hosts and addresses the last one's. What the server says has a [`code`](Error::code), as
    /// `53300` where it has too many clients. The others have an [`io::Error`](std::io::Error) as their source:
    /// `InvalidInput` for a configuration that cannot be, `TimedOut` after the
    /// [`connect_timeout`](Self::connect_timeout), `PermissionDenied` for a session that will not do.
    ///
    /// # Yields
    ///
    /// Until connected.
    pub fn connect<T>(&self, tls: T) -> Result<Client, Error>
    where
        T: MakeTlsConnect<Socket> + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
    {
        connect::connect(&self.config, &self.notice_callback, tls)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Config {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse::<tokio_postgres::Config>().map(Self::from)
    }
}

impl From<tokio_postgres::Config> for Config {
    fn from(config: tokio_postgres::Config) -> Self {
        let notice_callback =
            Arc::new(|notice: DbError| log::info!("{}: {}", notice.severity(), notice.message()));
        Self { config, notice_callback }
    }
}
