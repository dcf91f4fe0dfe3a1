//! How a statement is cancelled from elsewhere.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use std::time::Duration;

use evy_runtime::{block_on, timeout};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_postgres::Error;
use tokio_postgres::tls::TlsConnect;

use super::connect::within;
use super::failure;
use super::socket::Target;
use super::tls::{MakeTlsConnect, Socket};

/// How long it is waited for that the server says it has passed a request on.
const HEARD: Duration = Duration::from_secs(1);

/// Asks the server to cancel the statement that a client waits for.
///
/// It is made by [`Client::cancel_token`](super::Client::cancel_token), and may go to other green threads
/// and other OS threads.
#[derive(Clone)]
pub struct CancelToken {
    token: tokio_postgres::CancelToken,
    target: Target,
}

impl CancelToken {
    pub(super) fn new(token: tokio_postgres::CancelToken, target: Target) -> Self {
        Self { token, target }
    }

    /// Asks, over a connection of its own. The call that waits fails with `57014`
    /// ([`SqlState::QUERY_CANCELED`](super::error::SqlState::QUERY_CANCELED)).
    ///
    /// The server does not say whether there was a statement to cancel: one that has ended meanwhile is
    /// not, and this is no error. When this returns, the server has passed the request on, so that it does
    /// not hit a statement that the same client begins afterwards.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use evy_patched::postgres::error::SqlState;
    /// use evy_patched::postgres::{Client, NoTls};
    ///
    /// let mut client = Client::connect("host=localhost user=postgres", NoTls)?;
    /// let token = client.cancel_token();
    /// let later = move || token.cancel_query(NoTls);
    /// let canceller = evy_runtime::spawn_after(Duration::from_secs(1), later);
    /// let error = client.batch_execute("SELECT pg_sleep(60)").unwrap_err();
    /// assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    /// canceller.wait().unwrap()?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no connection to the server.
    ///
    /// # Yields
    ///
    /// Until the server has passed the request on; it is given a second for that, on top of the
    /// [`connect_timeout`](super::Config::connect_timeout).
    pub fn cancel_query<T>(&self, mut tls: T) -> Result<(), Error>
    where
        T: MakeTlsConnect<Socket>,
    {
        self.cancel_with(|target| {
            let domain = target.hostname.as_deref().unwrap_or_default();
            tls.make_tls_connect(domain).map_err(|error| failure::of_tls(error.into()))
        })
    }

    pub(super) fn cancel_with<C>(
        &self,
        make_tls: impl FnOnce(&Target) -> Result<C, Error>,
    ) -> Result<(), Error>
    where
        C: TlsConnect<Socket>,
    {
        let Self { token, target } = self;
        let ask = || {
            let socket = target.connect().map_err(failure::of_io)?;
            let answer = socket.try_clone().map_err(failure::of_io)?;
            block_on(token.cancel_query_raw(socket, make_tls(target)?))?;
            Ok(answer)
        };
        let mut answer = within(target.timeout, || target.place(), ask)?;
        // The server closes once the request is passed on. One that does not has it all the same.
        let _ = timeout(HEARD, || block_on(wait_for_end(&mut answer)));
        Ok(())
    }
}

/// Reads to the end, or to an error, which is one, too.
async fn wait_for_end(socket: &mut Socket) -> io::Result<()> {
    let mut bytes = [0; 256];
    poll_fn(|context| {
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *socket).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return std::task::Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("server", &self.target.place()).finish_non_exhaustive()
    }
}
