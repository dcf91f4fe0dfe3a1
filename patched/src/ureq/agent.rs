//! The agent: ureq's, made of green parts.

use std::ops::Deref;

use ::ureq::config::{Config, ConfigBuilder};
use ::ureq::typestate::AgentScope;
use ::ureq::unversioned::resolver::Resolver;
use ::ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};

use super::{GreenConnector, GreenResolver, GreenSocksConnector};

/// Keeps connections and configuration between requests: [`ureq::Agent`](::ureq::Agent), but that its
/// sockets are green.
///
/// The requests (`get`, `post`, `run`, …) are ureq's own, through [`Deref`]. Clones share the
/// connections, which OS threads with hubs of their own may use too.
///
/// ```
/// # use std::io::{Read, Write};
/// use std::time::Duration;
///
/// use evy_patched::ureq::{self, Agent};
///
/// # let listener = evy_green_net::listen("127.0.0.1:0")?;
/// # let url = format!("http://{}/", listener.local_addr()?);
/// # evy_runtime::spawn_n(move || -> std::io::Result<()> {
/// #     let (mut peer, _) = listener.accept()?;
/// #     peer.read(&mut [0; 1024])?;
/// #     peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
/// #     peer.read(&mut [0; 1024])?;
/// #     evy_runtime::sleep(Duration::MAX);
/// #     Ok(())
/// # });
/// let config = Agent::config_builder().timeout_global(Some(Duration::from_millis(50)));
/// let agent: Agent = config.build().into();
///
/// assert_eq!(agent.get(&url).call()?.body_mut().read_to_string()?, "hello");
/// // The second request goes over the same connection, and this server never answers it.
/// assert!(matches!(agent.get(&url).call(), Err(ureq::Error::Timeout(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Agent(::ureq::Agent);

impl Agent {
    /// Creates an agent with ureq's defaults.
    ///
    /// ```
    /// use evy_patched::ureq::Agent;
    ///
    /// let agent = Agent::new_with_defaults();
    /// assert!(agent.config().http_status_as_error());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn new_with_defaults() -> Self {
        Self::new_with_config(Config::default())
    }

    /// Creates an agent with a configuration; `config.into()` does the same.
    ///
    /// ```
    /// use evy_patched::ureq::Agent;
    ///
    /// let agent = Agent::new_with_config(Agent::config_builder().https_only(true).build());
    /// assert!(agent.get("http://localhost/").call().is_err());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn new_with_config(config: Config) -> Self {
        let connector =
            ().chain(GreenSocksConnector)
                .chain(ConnectProxyConnector::default())
                .chain(GreenConnector)
                .chain(RustlsConnector::default());
        Self::with_parts(config, connector, GreenResolver)
    }

    /// Returns a builder of configurations.
    ///
    /// Certificates that are not signed by a public authority are trusted by the
    /// [`TlsConfig`](super::tls::TlsConfig):
    ///
    /// ```
    /// use evy_patched::ureq::Agent;
    /// use evy_patched::ureq::tls::{Certificate, RootCerts, TlsConfig};
    ///
    /// # let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    /// # let pem = key.cert.pem();
    /// let root = Certificate::from_pem(pem.as_bytes())?;
    /// let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    /// let agent: Agent = Agent::config_builder().tls_config(tls).build().into();
    /// # drop(agent);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn config_builder() -> ConfigBuilder<AgentScope> {
        Config::builder()
    }

    /// Creates an agent of parts; it is as green as they are.
    ///
    /// ```
    /// use evy_patched::ureq::unversioned::transport::Connector;
    /// use evy_patched::ureq::{Agent, GreenConnector, GreenResolver};
    ///
    /// // Without TLS, https is refused.
    /// let agent = Agent::with_parts(Default::default(), ().chain(GreenConnector), GreenResolver);
    /// assert!(agent.get("https://localhost/").call().is_err());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn with_parts(config: Config, connector: impl Connector, resolver: impl Resolver) -> Self {
        Self(::ureq::Agent::with_parts(config, connector, resolver))
    }

    /// Closes every connection of the agent and its clones; requests under way and later ones fail.
    ///
    /// ```
    /// use evy_patched::ureq::Agent;
    ///
    /// let agent = Agent::new_with_defaults();
    /// agent.clone().shutdown();
    /// assert!(agent.get("http://127.0.0.1/").call().is_err());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn shutdown(self) {
        self.0.shutdown();
    }
}

impl Deref for Agent {
    type Target = ::ureq::Agent;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new_with_defaults()
    }
}

impl From<Config> for Agent {
    fn from(config: Config) -> Self {
        Self::new_with_config(config)
    }
}

impl From<Agent> for ::ureq::Agent {
    /// For code of others that asks for ureq's own type; it stays green.
    fn from(agent: Agent) -> Self {
        agent.0
    }
}
