//! A pool of connections, none of which is handed on in a state that its last user left it in.

use std::time::Duration;

use ::redis::{ConnectionLike, RedisError};
use evy_pool::{ResourcePool, ResourcePoolBuilder};
use evy_runtime::timeout;

use super::{Client, Connection};

pub type Pool = ResourcePool<Connection, RedisError>;

/// One that has been idle for longer is asked whether it is still there before it is handed out.
const PING_AFTER: Duration = Duration::from_secs(1);

/// For how long an idle connection is kept, and how old one may become, unless said otherwise.
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

pub(super) fn builder(
    client: Client,
    limit: Duration,
) -> ResourcePoolBuilder<Connection, RedisError> {
    ResourcePool::builder(move || client.get_connection_with_timeout(limit))
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
    let is_clean =
        connection.is_clean() || matches!(timeout(limit, || connection.clean()), Ok(Ok(true)));
    is_clean && connection.rest().is_ok()
}
