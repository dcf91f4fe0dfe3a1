//! The Redis client [`redis`](https://docs.rs/redis/1.8) on green sockets: `use evy::patched::redis;` replaces
//! `use redis;`.
//!
//! [`Client`], [`Connection`] and [`PubSub`] are ours, with redis's methods; all else is redis's own: commands
//! and their traits, pipelines, transactions, scripts, streams, the parser, and the errors. Calls of many
//! green threads overlap on one OS thread, each on a connection of its own:
//!
//! ```
//! # use std::io::Write;
//! # let server = evy_green_net::listen("127.0.0.1:0")?;
//! # let url = format!("redis://{}/", server.local_addr()?);
//! # evy_runtime::spawn_n(move || {
//! #     evy_green_net::serve(server, |mut peer, _| {
//! #         peer.write_all(b"+OK\r\n+OK\r\n+OK\r\n$5\r\nhello\r\n")?;
//! #         std::io::copy(&mut peer, &mut std::io::sink()).map(drop)
//! #     })
//! # });
//! use evy_patched::redis::{self, Commands};
//!
//! let client = redis::Client::open(url)?;
//! let fetches = (0..3).map(|_| evy_runtime::spawn({
//!     let client = client.clone();
//!     move || {
//!         let mut connection = client.get_connection()?;
//!         let () = connection.set("greeting", "hello")?;
//!         redis::cmd("GET").arg("greeting").query::<String>(&mut connection)
//!     }
//! }));
//! for text in evy_runtime::join_all(fetches) {
//!     assert_eq!(text??, "hello");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Client::pool_builder`] makes a [`Pool`] of connections, for programs with many green threads.
//!
//! # Interrupted calls
//!
//! A call that does not come to its end, because of an error of the socket or the protocol, a read timeout, a
//! kill or [`evy_runtime::timeout`], closes its connection: [`is_open`](ConnectionLike::is_open) is `false`
//! from then on, and every call an error. What the server still sends is nobody's answer. A pool makes a new
//! connection in its place. Only [`PubSub::get_message`] may time out and be called again.
//!
//! # Large pipelines
//!
//! redis writes a whole pipeline before it reads the first answer. redis-server takes that well: it keeps
//! answers in its memory. A proxy, or another server, may stop reading until its answers are read; when the
//! buffers in both directions are full, each waits for the other for ever. Here the answers are read while the
//! rest of a pipeline is still being written, so that cannot happen. One that fits into the socket's buffer is
//! written by one call.
//!
//! # Features
//!
//! `tls` is for `rediss://`, by rustls with ring. redis's own features may be turned on by naming redis in a
//! `Cargo.toml`: its further traits (`JsonCommands`, say) and types work with this module's connections.
//!
//! # Notes
//!
//! Where it differs from the original:
//!
//! * After a read timeout the connection is closed. redis keeps it, and skips the late answer when it comes.
//! * `rediss://` without certificates of one's own trusts whom the system trusts, `#insecure` needs no
//!   feature, and a handshake may take 10 s. Certificates go in by this module's `Client::build_with_tls`;
//!   those that redis itself has put into a [`ConnectionAddr`] cannot be read, and are refused.
//! * [`Client::get_connection_with_timeout`] bounds everything together: lookup, connect, TLS, and what is said
//!   first. Of a host's several addresses the first that answers is taken, as in [`evy_green_net::connect`].
//! * A server that is full, or closes the connection for another reason that it gives, is an error with that
//!   reason. In redis it is an unexpected end of file.
//! * A subscription that the server refuses is an error; redis returns `Ok`.
//! * A transaction of which the server refuses a command is an error of the kind `ExecAbort` as in redis, with
//!   all refusals in its text; [`into_server_errors`](RedisError::into_server_errors) does not have them.
//! * `CLIENT SETINFO` says `evy-patched` unless the [`RedisConnectionInfo`] has a name.
//! * Answers may have 32 levels of arrays within arrays, where redis takes 100: its code calls itself for each
//!   level, on the stack of a green thread.
//! * The linger time of `TcpSettings` cannot be read, and is left out.
//! * There are no cluster, no sentinel, no asynchronous connections and no `r2d2`. Those of redis block the OS
//!   thread, or need a runtime of their own.

/// The hidden part of the examples: a server that gives these answers to whatever it is asked, behind those
/// to a connection's first words.
macro_rules! answers {
    ($answers:literal) => {
        concat!(
            "# use std::io::Write;\n",
            "# let server = evy_green_net::listen(\"127.0.0.1:0\")?;\n",
            "# let url = format!(\"redis://{}/\", server.local_addr()?);\n",
            "# evy_runtime::spawn_n(move || {\n",
            "#     evy_green_net::serve(server, |mut peer, _| {\n",
            "#         peer.write_all(b\"+OK\\r\\n+OK\\r\\n",
            $answers,
            "\")?;\n",
            "#         std::io::copy(&mut peer, &mut std::io::sink()).map(drop)\n",
            "#     })\n",
            "# });",
        )
    };
}

mod client;
mod connection;
mod incoming;
mod nesting;
mod pool;
mod pubsub;
mod session;
mod setup;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use ::redis::{
    Arg, Cmd, Commands, ConnectionAddr, ConnectionInfo, ConnectionLike, ControlFlow, CopyOptions,
    Direction, ErrorKind, ExistenceCheck, ExpireOption, Expiry, FieldExistenceCheck,
    FlushAllOptions, FlushDbOptions, FromRedisValue, HOTKEYS_COUNT_MAX, HOTKEYS_COUNT_MIN,
    HashFieldExpirationOptions, HotKeyEntry, HotkeysCommands, HotkeysOptions, HotkeysResponse,
    IncrexOptions, IncrexResult, InfoDict, IntegerReplyOrNoOp, IntoConnectionInfo, Iter,
    LposOptions, MSetOptions, Msg, NumericBehavior, Parser, ParsingError, Pipeline,
    ProtocolVersion, PubSubCommands, PushInfo, PushKind, RedisConnectionInfo, RedisError,
    RedisResult, RedisWrite, ReplicaInfo, RetryMethod, Role, ScanOptions, Script, ScriptInvocation,
    ServerError, ServerErrorKind, SetExpiry, SetOptions, SlotRange, SortedSetAddOptions, TlsMode,
    ToRedisArgs, ToSingleRedisArg, TypedCommands, UpdateCheck, Value, ValueComparison, ValueType,
    VerbatimFormat, acl, calculate_value_digest, cmd, from_redis_value, from_redis_value_ref, geo,
    io, is_valid_16_bytes_hex_digest, make_extension_error, pack_command, parse_redis_url,
    parse_redis_value, pipe, streams, transaction,
};
#[cfg(feature = "tls")]
pub use ::redis::{ClientTlsConfig, TlsCertificates};

pub use client::Client;
pub use connection::Connection;
pub use pool::Pool;
pub use pubsub::PubSub;
