//! From a configuration to a connection: which servers are tried, in which order, and which will do.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{lookup_host, lookup_host_timeout};
use evy_runtime::{block_on, timeout};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{Error, SimpleQueryMessage};

use super::link::{Link, NoticeCallback};
use super::socket::{Address, Target};
use super::tls::{MakeTlsConnect, Socket};
use super::watched::{Standing, Watched, WatchedTls};
use super::{CancelToken, Client, failure};

const DEFAULT_PORT: u16 = 5432;

type Configuration = tokio_postgres::Config;

/// Connects to the first server that will do.
pub(super) fn connect<T>(
    config: &Configuration,
    notice_callback: &NoticeCallback,
    tls: T,
) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket> + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
{
    let tls = Rc::new(RefCell::new(tls));
    let mut servers = servers(config).map_err(failure::of_io)?;
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        shuffle(&mut servers);
    }
    let mut error = None;
    for server in servers {
        match server.targets(config).map_err(failure::of_io) {
            Ok(targets) => {
                for target in targets {
                    match connect_to(target, config, notice_callback, &tls) {
                        Ok(client) => return Ok(client),
                        Err(latest) => error = Some(latest),
                    }
                }
            }
            Err(latest) => error = Some(latest),
        }
    }
    Err(error.unwrap_or_else(|| failure::of_io(invalid("no host has an address".to_owned()))))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A host as it was configured.
struct Server {
    /// Where to connect to.
    host: Host,
    /// The name that its certificate has to be for.
    hostname: Option<String>,
    port: u16,
}

fn servers(config: &Configuration) -> io::Result<Vec<Server>> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(invalid("both host and hostaddr are missing".to_owned()));
    }
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        let text = format!("there are {} hosts, but {} hostaddrs", hosts.len(), addresses.len());
        return Err(invalid(text));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(invalid(format!("there are {count} hosts, but {} ports", ports.len())));
    }
    let server = |index: usize| {
        let host = hosts.get(index);
        let hostname = match host {
            Some(Host::Tcp(name)) => Some(name.clone()),
            _ => None,
        };
        let address = addresses.get(index).map(|address| Host::Tcp(address.to_string()));
        let port = ports.get(index).or_else(|| ports.first()).copied();
        Some(Server {
            host: address.or_else(|| host.cloned())?,
            hostname,
            port: port.unwrap_or(DEFAULT_PORT),
        })
    };
    Ok((0..count).filter_map(server).collect())
}

impl Server {
    /// Its addresses, one after the other.
    fn targets(self, config: &Configuration) -> io::Result<Vec<Target>> {
        let Self { host, hostname, port } = self;
        let addresses = match host {
            Host::Tcp(name) => {
                let found = lookup(&name, port, config.get_connect_timeout().copied());
                let found = found.map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot look up '{name}': {error}"))
                })?;
                let mut addresses: Vec<_> = found.into_iter().map(Address::Tcp).collect();
                if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
                    shuffle(&mut addresses);
                }
                addresses
            }
            Host::Unix(folder) => vec![Address::Unix(folder.join(format!(".s.PGSQL.{port}")))],
        };
        let target = |address| Target::new(address, hostname.clone(), config);
        Ok(addresses.into_iter().map(target).collect())
    }
}

fn lookup(name: &str, port: u16, limit: Option<Duration>) -> io::Result<Vec<SocketAddr>> {
    match limit {
        Some(limit) => lookup_host_timeout((name, port), limit).map(Iterator::collect),
        None => lookup_host((name, port)).map(Iterator::collect),
    }
}

/// Each order is as likely as the others.
fn shuffle<T>(items: &mut [T]) {
    for end in (1..items.len()).rev() {
        let random = RandomState::new().build_hasher().finish();
        items.swap(end, (random % (end as u64 + 1)) as usize);
    }
}

/// Makes an attempt with one address, in its time.
fn connect_to<T>(
    target: Target,
    config: &Configuration,
    notice_callback: &NoticeCallback,
    tls: &Rc<RefCell<T>>,
) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket> + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
{
    let attempt = || {
        let mut client = begin_session(&target, config, notice_callback, tls)?;
        check_session(&mut client, config.get_target_session_attrs())?;
        Ok(client)
    };
    within(target.timeout, || target.place(), attempt)
}

/// Does something within a time, from the first byte to the last.
pub(super) fn within<T>(
    limit: Option<Duration>,
    place: impl FnOnce() -> String,
    attempt: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(limit) = limit else { return attempt() };
    timeout(limit, attempt).unwrap_or_else(|_elapsed| {
        let text = format!("{} did not answer within {limit:?}", place());
        Err(failure::of_io(io::Error::new(io::ErrorKind::TimedOut, text)))
    })
}

/// The socket, TLS, and authentication.
fn begin_session<T>(
    target: &Target,
    config: &Configuration,
    notice_callback: &NoticeCallback,
    tls: &Rc<RefCell<T>>,
) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket> + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
{
    let socket = target.connect().map_err(failure::of_io)?;
    let tls_connect = make_tls(tls, target)?;
    let can_connect = tls.try_borrow().is_ok_and(|tls| tls.can_connect());
    let mut config = config.clone();
    if config.get_ssl_mode() == SslMode::Prefer && !(can_connect && target.may_have_tls()) {
        config.ssl_mode(SslMode::Disable);
    }
    let standing = Rc::new(Cell::new(Standing::Unknown));
    let stream = Watched::new(socket, Rc::clone(&standing));
    let tls_connect = WatchedTls::new(tls_connect, Rc::clone(&standing));
    let (client, connection) = block_on(config.connect_raw(stream, tls_connect))?;

    let link = Link::new(standing, notice_callback.clone());
    link.drive(connection);
    let token = CancelToken::new(client.cancel_token(), target.clone());
    let cancel = {
        let (token, tls) = (token.clone(), Rc::clone(tls));
        move || token.cancel_with(|target| make_tls(&tls, target))
    };
    Ok(Client::new(client, link, token, Rc::new(cancel)))
}

fn make_tls<T>(tls: &RefCell<T>, target: &Target) -> Result<T::TlsConnect, Error>
where
    T: MakeTlsConnect<Socket>,
{
    let domain = target.hostname.as_deref().unwrap_or_default();
    // It is a user's, and may park: who comes here meanwhile is not to panic.
    let Ok(mut tls) = tls.try_borrow_mut() else {
        return Err(failure::of_tls("it is being asked for another connection".into()));
    };
    tls.make_tls_connect(domain).map_err(|error| failure::of_tls(error.into()))
}

/// Whether the session is such a one as was asked for.
fn check_session(client: &mut Client, wanted: TargetSessionAttrs) -> Result<(), Error> {
    let unwanted = match wanted {
        TargetSessionAttrs::ReadWrite => ("on", "the database does not allow writes"),
        TargetSessionAttrs::ReadOnly => ("off", "the database is not read-only"),
        _ => return Ok(()),
    };
    let messages = client.simple_query("SHOW transaction_read_only")?;
    let is_unwanted = messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some(unwanted.0),
        _ => false,
    });
    if is_unwanted {
        let error = io::Error::new(io::ErrorKind::PermissionDenied, unwanted.1);
        return Err(failure::of_io(error));
    }
    Ok(())
}
