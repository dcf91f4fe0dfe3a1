//! What one core serves, and how it stops.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evy::net::{Listener, TcpListener, UdpSocket, UnixListener};
use evy::{GreenThread, Server, ServerCounters, Stopped};

use crate::address::unix_name;
use crate::datagrams::Datagrams;
use crate::echo::{echo, echo_tls};
use crate::http::{serve_http, serve_https};
use crate::serving::Serving;
use crate::sockets::{Socket, Speech};
use crate::terms::Terms;
use crate::visit::Visit;

/// All that serves on a core.
pub(crate) struct Services(Vec<Rc<dyn Serving>>);

impl Services {
    /// Serves the sockets: those of a kind together, by one server.
    pub(crate) fn start(sockets: Vec<Socket>, terms: &Terms) -> io::Result<Self> {
        let (mut plain, mut tls, mut unix) = (Vec::new(), Vec::new(), Vec::new());
        let mut services: Vec<Rc<dyn Serving>> = Vec::new();
        for socket in sockets {
            match socket {
                Socket::Tcp(listener, Speech::Plain) => plain.push(listener),
                Socket::Tcp(listener, Speech::Tls) => tls.push(listener),
                Socket::Unix(listener) => unix.push(listener),
                Socket::Udp(socket) => services.push(Rc::new(UdpService::start(socket, terms))),
            }
        }
        if terms.http {
            services.extend(serve_http(plain, terms)?);
            services.extend(serve_https(tls, terms)?);
            services.extend(serve_http(unix, terms)?);
        } else {
            services.extend(serve_tcp(plain, terms)?);
            services.extend(serve_tls(tls, terms)?);
            services.extend(serve_unix(unix, terms)?);
        }
        Ok(Self(services))
    }

    /// Their counters, for whichever core reports them.
    pub(crate) fn counters(&self) -> Vec<ServerCounters> {
        self.0.iter().filter_map(|serving| serving.counters()).collect()
    }

    /// Waits until all have ended, by an error or a stop.
    pub(crate) fn wait(&self) -> io::Result<()> {
        // Each one, also when an earlier one has failed.
        let ends: Vec<_> = self.0.iter().map(|serving| serving.wait()).collect();
        ends.into_iter().collect()
    }

    /// Stops all of them within the same grace, and says how many clients were left then.
    pub(crate) fn stop(&self, grace: Duration) -> usize {
        let stopping = self.0.iter().map(|serving| {
            let serving = Rc::clone(serving);
            evy::spawn(move || serving.stop(grace).killed)
        });
        let stopping: Vec<GreenThread<usize>> = stopping.collect();
        stopping.into_iter().map(|stopping| stopping.wait().unwrap_or(0)).sum()
    }
}

fn serve_tcp(listeners: Vec<TcpListener>, terms: &Terms) -> io::Result<Option<Rc<dyn Serving>>> {
    let book = terms.book.clone();
    serve(listeners, terms, move |client, peer: SocketAddr| {
        let visit = Visit::begin(&book, || peer.to_string());
        let result = echo(&client, &visit);
        visit.end(result);
        Ok(())
    })
}

fn serve_tls(listeners: Vec<TcpListener>, terms: &Terms) -> io::Result<Option<Rc<dyn Serving>>> {
    let Some(acceptor) = terms.acceptor.clone() else { return Ok(None) };
    let book = terms.book.clone();
    serve(listeners, terms, move |client, peer: SocketAddr| {
        let visit = Visit::begin(&book, || format!("tls:{peer}"));
        let result = acceptor.wrap(client).and_then(|client| echo_tls(&client, &visit));
        visit.end(result);
        Ok(())
    })
}

fn serve_unix(listeners: Vec<UnixListener>, terms: &Terms) -> io::Result<Option<Rc<dyn Serving>>> {
    let book = terms.book.clone();
    serve(listeners, terms, move |client, _| {
        let visit = Visit::begin(&book, || match client.local_addr() {
            // Clients have no names, mostly: that of the socket that they have come to says more.
            Ok(address) => format!("unix:{}", unix_name(&address)),
            Err(_) => "unix:".to_owned(),
        });
        let result = echo(&client, &visit);
        visit.end(result);
        Ok(())
    })
}

fn serve<L: Listener>(
    listeners: Vec<L>,
    terms: &Terms,
    handler: impl Fn(L::Stream, L::Addr) -> io::Result<()> + 'static,
) -> io::Result<Option<Rc<dyn Serving>>> {
    let mut listeners = listeners.into_iter();
    let Some(first) = listeners.next() else { return Ok(None) };
    let mut server = Server::new(first, handler)
        .listeners(listeners)
        .client_limit(&terms.clients)
        .on_error(|error, _| report(error));
    if let Some(time) = terms.idle_timeout {
        server = server.idle_timeout(time);
    }
    Ok(Some(Rc::new(server.start()?)))
}

/// Says that nobody can come in. Those who are here keep their service.
fn report(error: &io::Error) -> ControlFlow<()> {
    let what = if evy::is_shortage(error) { "no new clients for now" } else { "a listener ends" };
    // A closed standard error is no reason to serve nobody.
    let _ = writeln!(io::stderr(), "evy-echo: {what}: {error}");
    ControlFlow::Continue(())
}

/// The echo of one UDP socket, at work.
struct UdpService {
    datagrams: Rc<Datagrams>,
    /// Until somebody waits for it.
    echo: Cell<Option<GreenThread<io::Result<()>>>>,
}

impl UdpService {
    fn start(socket: UdpSocket, terms: &Terms) -> Self {
        let datagrams = Rc::new(Datagrams::new(socket, Arc::clone(&terms.book.tally)));
        let echoed = Rc::clone(&datagrams);
        let echo = evy::spawn(move || echoed.echo());
        Self { datagrams, echo: Cell::new(Some(echo)) }
    }
}

impl Serving for UdpService {
    fn wait(&self) -> io::Result<()> {
        let Some(echo) = self.echo.take() else { return Ok(()) };
        echo.wait().map_err(|died| io::Error::other(died.to_string()))?
    }

    fn stop(&self, grace: Duration) -> Stopped {
        self.datagrams.stop(grace);
        Stopped::default()
    }

    fn counters(&self) -> Option<ServerCounters> {
        None
    }
}
