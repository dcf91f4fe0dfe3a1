//! The Redis client [`redis`](https://docs.rs/redis/1.8) on green sockets: `use evy::patched::redis;` replaces
//! `use redis;`.

mod client;
mod connection;
mod incoming;
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
