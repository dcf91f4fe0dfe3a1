//! A pool of clients.
//!
//! [`ResourcePool`] does the pooling; here is what makes a client fit for the next user. What the last one
//! has left behind is told from the server's last answer, so that giving a client back asks the server
//! nothing unless there is something to undo.

use std::fmt;
use std::time::{Duration, Instant};

use evy_pool::{Pooled, ResourcePool, ResourcePoolBuilder};
use evy_runtime::timeout;
use tokio_postgres::Error;
use tokio_postgres::tls::TlsConnect;

use super::tls::{MakeTlsConnect, Socket};
use super::watched::Standing;
use super::{Client, Config};

/// A pool of clients, made by a [`PoolBuilder`].
#[doc(alias = "db_pool")]
#[doc(alias = "ConnectionPool")]
pub type Pool = ResourcePool<Client, Error>;

/// A client of a [`Pool`], which it goes back to when this is dropped.
pub type PooledClient = Pooled<Client>;

/// How long a client that was just given back is taken for good without asking the server.
const VALIDATE_AFTER: Duration = Duration::from_secs(1);

/// How long the server has for its answer between two users.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the rest of an answer that nobody reads may take before its statement is cancelled.
const REST: Duration = Duration::from_millis(50);

/// How often the server is asked what the session is in, when other messages come in between.
const QUESTIONS: usize = 3;

/// What `DISCARD ALL` does, but for prepared statements: tokio-postgres keeps some for itself.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

/// Makes a pool of clients: Evy's `db_pool`.
///
/// ```no_run
/// use std::time::Duration;
/// use evy_patched::postgres::{NoTls, PoolBuilder};
///
/// let config = "host=localhost user=postgres connect_timeout=5".parse()?;
/// let pool = PoolBuilder::new(config, NoTls)
///     .max(10)
///     .max_idle(Duration::from_secs(60))
///     .max_age(Duration::from_secs(3600))
///     .build()?;
/// let workers: Vec<_> = (0..1000_i32)
///     .map(|number| {
///         let pool = pool.clone();
///         evy_runtime::spawn(move || {
///             let row = pool.get()?.query_one("SELECT $1 * $1", &[&number])?;
///             Ok::<i32, evy_patched::postgres::Error>(row.get(0))
///         })
///     })
///     .collect();
/// for square in evy_runtime::join_all(workers) {
///     println!("{}", square.unwrap()?);
/// }
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
///
/// # What a user leaves behind
///
/// A client that is given back is in no transaction: one that is open is rolled back. An answer that was not
/// read to its end is thrown away; if it is long, its statement is cancelled. Where any of this fails, or
/// takes longer than [`answer_timeout`](Self::answer_timeout), the client is dropped, and the next user gets
/// a new one. One whose user panics, is killed or timed out is dropped in any case (see [`Pooled`]), and the
/// statement that it is in the middle of cancelled.
///
/// Settings, temporary tables, advisory locks and `LISTEN`s stay, unless [`discard_all`](Self::discard_all)
/// says otherwise. What has come for a `LISTEN` before a client is handed out is thrown away; what comes
/// later, for a `LISTEN` of an earlier user, is kept for the new one.
///
/// # When the server goes
///
/// A client whose connection is known to have ended is never handed out. One that was idle for longer than
/// [`validate_after`](Self::validate_after) has to give a sign of life first. So the pool is whole again as
/// soon as the server is.
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    pool: ResourcePoolBuilder<Client, Error>,
    rules: Rules,
}

/// What is done between two users.
#[derive(Clone, Copy, Debug)]
struct Rules {
    validate_after: Duration,
    answer_timeout: Duration,
    discards_all: bool,
}

impl PoolBuilder {
    /// Begins a pool of clients of that configuration: at most 4, made when they are needed, the one that was
    /// given back first coming next.
    ///
    /// A server that does not answer keeps a `get` waiting for as long as the
    /// [`connect_timeout`](Config::connect_timeout) says.
    ///
    /// ```
    /// use evy_patched::postgres::{Config, NoTls, PoolBuilder};
    ///
    /// let mut config = Config::new();
    /// config.host("localhost").user("postgres");
    /// let pool = PoolBuilder::new(config, NoTls).build()?;
    /// assert_eq!((pool.max(), pool.size()), (4, 0));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
    {
        let rules = Rules {
            validate_after: VALIDATE_AFTER,
            answer_timeout: ANSWER_TIMEOUT,
            discards_all: false,
        };
        Self { pool: ResourcePool::builder(move || config.connect(tls.clone())), rules }
    }

    /// How many clients [`build`](Self::build) makes ahead. At first 0.
    ///
    /// ```no_run
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).min(2).build()?;
    /// assert_eq!(pool.idle(), 2);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "min_size")]
    pub fn min(mut self, min: usize) -> Self {
        self.pool = self.pool.min(min);
        self
    }

    /// How many clients there may be. At first 4.
    ///
    /// ```
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).max(20).build()?;
    /// assert_eq!(pool.max(), 20);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "max_size")]
    pub fn max(mut self, max: usize) -> Self {
        self.pool = self.pool.max(max);
        self
    }

    /// Of the idle clients the one that was given back first comes next, as at first, so that all take turns.
    ///
    /// ```
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).fifo().build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn fifo(mut self) -> Self {
        self.pool = self.pool.fifo();
        self
    }

    /// Of the idle clients the one that was given back last comes next, so that as few as the load needs stay
    /// in use.
    ///
    /// ```
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).lifo().build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn lifo(mut self) -> Self {
        self.pool = self.pool.lifo();
        self
    }

    /// A client that nobody has used for so long is dropped; when, says
    /// [`ResourcePool`](ResourcePool#expiry).
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).max_idle(Duration::from_secs(60)).build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_idle(mut self, duration: Duration) -> Self {
        self.pool = self.pool.max_idle(duration);
        self
    }

    /// A client that was connected so long ago is dropped, at the latest when its user gives it back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).max_age(Duration::from_secs(3600)).build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max_age(mut self, duration: Duration) -> Self {
        self.pool = self.pool.max_age(duration);
        self
    }

    /// A client that nobody has used for so long has to give a sign of life before it is handed out. At first
    /// one second; zero is each time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).validate_after(Duration::ZERO).build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn validate_after(mut self, duration: Duration) -> Self {
        self.rules.validate_after = duration;
        self
    }

    /// How long the server may take for a sign of life, and for all that is done when a client is given back.
    /// At first one second.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).answer_timeout(Duration::from_secs(5)).build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn answer_timeout(mut self, duration: Duration) -> Self {
        self.rules.answer_timeout = duration;
        self
    }

    /// Has each client forget what its user has set when it is given back: settings, temporary tables,
    /// advisory locks, `LISTEN`s, cursors, plans. It costs the server a question each time.
    ///
    /// That is `DISCARD ALL`, but that prepared statements stay: tokio-postgres has some of its own, and those
    /// of a user go with their last [`Statement`](super::Statement). Those that a user made by an SQL `PREPARE`
    /// stay to the end of the session, or until he says `DEALLOCATE`.
    ///
    /// ```
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).discard_all().build()?;
    /// # drop(pool);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn discard_all(mut self) -> Self {
        self.rules.discards_all = true;
        self
    }

    /// Makes the pool, and [`min`](Self::min) clients for it.
    ///
    /// ```
    /// use evy_patched::postgres::{NoTls, PoolBuilder};
    ///
    /// let config = "host=localhost user=postgres".parse()?;
    /// let pool = PoolBuilder::new(config, NoTls).build()?;
    /// assert_eq!(pool.size(), 0);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Config::connect`], if clients are to be made ahead.
    ///
    /// # Yields
    ///
    /// While clients are made ahead.
    pub fn build(self) -> Result<Pool, Error> {
        let rules = self.rules;
        self.pool
            .validate(move |client| rules.is_good(client))
            .recycle(move |client| rules.make_fit(client))
            .build()
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("pool", &self.pool).field("rules", &self.rules).finish()
    }
}

impl Rules {
    /// Whether a client can be handed out again.
    fn is_good(&self, client: &mut Client) -> bool {
        if client.is_closed() {
            return false;
        }
        let returned = client.returned().get();
        let is_fresh = returned.is_some_and(|returned| returned.elapsed() < self.validate_after);
        let is_good = is_fresh || client.is_valid(self.answer_timeout).is_ok();
        // It may still listen, and somebody may have told it something while it was idle.
        client.link().forget_messages();
        is_good
    }

    /// Undoes what the last user has left behind; whether that went well.
    fn make_fit(&self, client: &mut Client) -> bool {
        let is_fit = !client.is_closed()
            && timeout(self.answer_timeout, || self.clean(client)).is_ok_and(|clean| clean.is_ok());
        client.returned().set(Some(Instant::now()));
        is_fit && !client.is_closed()
    }

    fn clean(&self, client: &mut Client) -> Result<(), Unfit> {
        if !client.link().is_settled() || client.link().is_in_doubt() {
            end_answer(client)?;
        }
        if standing(client)? == Standing::InTransaction {
            client.batch_execute("ROLLBACK")?;
        }
        if self.discards_all {
            client.batch_execute(DISCARD)?;
        }
        client.link().forget_messages();
        if standing(client)? == Standing::Idle { Ok(()) } else { Err(Unfit) }
    }
}

/// A client that is not to be used again.
struct Unfit;

impl From<Error> for Unfit {
    fn from(_error: Error) -> Self {
        Self
    }
}

/// Has the rest of an answer thrown away.
fn end_answer(client: &mut Client) -> Result<(), Unfit> {
    if let Ok(end) = timeout(REST, || client.check_connection()) {
        return Ok(end?);
    }
    client.cancel()?;
    Ok(client.check_connection()?)
}

/// What the session is in. The server is asked if its last words do not tell.
fn standing(client: &mut Client) -> Result<Standing, Unfit> {
    for _ in 0..QUESTIONS {
        match client.link().standing() {
            Standing::Unknown => client.check_connection()?,
            standing => return Ok(standing),
        }
    }
    Err(Unfit)
}
