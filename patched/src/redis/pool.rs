//! A pool of connections, none of which is handed on in a state that its last user left it in.

use std::time::Duration;

use ::redis::{ConnectionLike, RedisError, RedisResult};
use evy_pool::{ResourcePool, ResourcePoolBuilder};
use evy_runtime::timeout;

use super::Connection;

/// A pool of connections, made by [`Client::pool_builder`](super::Client::pool_builder).
///
/// What [`get`](ResourcePool::get) gives is used as a connection:
///
/// ```
#[doc = answers!(r"+OK\r\n:1\r\n")]
/// use std::time::Duration;
///
/// use evy_patched::redis::{Client, Commands};
///
/// let pool = Client::open(url)?.pool_builder(Duration::from_secs(5)).max(10).build()?;
/// let mut connection = pool.get()?;
/// let () = connection.set("key", 0)?;
/// assert_eq!(connection.incr::<_, _, i32>("key", 1)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// No user finds what another one has left behind. A connection on which a call failed or was interrupted, or
/// whose server has left, is dropped; so is one that was used with
/// [`send_packed_command`](Connection::send_packed_command), whose answers may still come, or for
/// `SCRIPT DEBUG`, which nothing undoes. One that is in a
/// transaction, watches keys, is subscribed, has another database, user or mode, or was used for a `CLIENT`
/// command, is cleaned by `RESET` and by saying its first words again, which is one more exchange with the
/// server; where that does not know `RESET` (before Redis 6.2), it is dropped. Timeouts and the sender of pushes
/// are taken off.
///
/// When the server has died, calls fail until it is back; the pool needs nothing to be done.
pub type Pool = ResourcePool<Connection, RedisError>;

/// One that has been idle for longer is asked whether it is still there before it is handed out.
const PING_AFTER: Duration = Duration::from_secs(1);

/// For how long an idle connection is kept, and how old one may become, unless said otherwise.
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// One that opens connections by `open`, and looks after each for at most so long.
pub(super) fn builder(
    open: impl Fn() -> RedisResult<Connection> + 'static,
    limit: Duration,
) -> ResourcePoolBuilder<Connection, RedisError> {
    ResourcePool::builder(open)
        .max_idle(MAX_IDLE)
        .max_age(MAX_AGE)
        .validate(move |connection| is_alive(connection, limit))
        .recycle(move |connection| recycle(connection, limit))
}

fn is_alive(connection: &mut Connection, limit: Duration) -> bool {
    connection.is_open()
        && !connection.is_spoilt()
        && (connection.idle_for() < PING_AFTER
            || timeout(limit, || connection.check_connection()).unwrap_or(false))
}

fn recycle(connection: &mut Connection, limit: Duration) -> bool {
    connection.rest().is_ok()
        && (connection.is_clean() || matches!(timeout(limit, || connection.clean()), Ok(Ok(true))))
}
