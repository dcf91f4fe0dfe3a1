//! PostgreSQL on green sockets, shaped as the crate [`postgres`](https://docs.rs/postgres/0.19):
//! `use evy::patched::postgres;` replaces `use postgres;`.
//!
//! The protocol, rows, types and errors are those of [tokio-postgres](::tokio_postgres), as they are there;
//! nothing of tokio's runtime is used. Queries of many green threads overlap on one OS thread:
//!
//! ```no_run
//! use evy_patched::postgres::{Client, NoTls};
//!
//! let query = |number: i32| {
//!     let mut client = Client::connect("host=localhost user=postgres", NoTls)?;
//!     client.query_one("SELECT $1 * $1, pg_sleep(0.1)", &[&number])
//! };
//! // A tenth of a second for all.
//! for row in evy_runtime::join_all((0..10).map(|number| evy_runtime::spawn(move || query(number)))) {
//!     println!("{}", row??.get::<_, i32>(0));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`PoolBuilder`] makes a pool, so that many green threads share few connections.
//!
//! # Time
//!
//! A connection attempt has the [`connect_timeout`](Config::connect_timeout), from the first byte to the last.
//! A call has no time of its own: [`evy_runtime::timeout`] gives it one, and the server's `statement_timeout`
//! ends statements there.
//!
//! # TLS
//!
//! With the feature `tls`, a [`TlsConnector`](evy_green_net::tls::TlsConnector) of evy takes the place of
//! [`NoTls`]. Its certificates are checked whatever the `sslmode`. But with `sslmode=prefer`, which is the
//! default, there is no TLS if the server says that it has none, and who sits in between can say so for it:
//! `sslmode=require` puts an end to that. SCRAM is bound to the certificate
//! (`tls-server-end-point`), unless that is signed by Ed25519 or RSASSA-PSS.
//!
//! # Features
//!
//! Those of tokio-postgres for the types of other crates (`with-chrono-0_4`, `with-serde_json-1`, …) are on
//! where tokio-postgres is named with them in a `Cargo.toml`.
//!
//! # Notes
//!
//! Where it differs from the original:
//!
//! * Connections are read in the background. So [`is_closed`](Client::is_closed) becomes true by itself,
//!   notifications are there when they have come, and a call after the server's last words fails with these
//!   (if it had nothing to answer just then).
//! * Iterators are [`Iterator`]s of results, where the original has `FallibleIterator`s.
//! * A [`Transaction`] that is dropped sends its rollback and does not wait for it; nor does the drop of a
//!   [`Client`] wait. Either way the server gets it, also while the green thread unwinds.
//! * A client that is dropped in the middle of a statement has the server cancel it.
//! * A [`copy_in`](Client::copy_in) that the server refuses costs the connection: with the original the next
//!   call takes an answer that is not its own.
//! * [`CancelToken::cancel_query`] waits until the server has passed the request on, so that it never hits a
//!   later statement.
//! * A failure to connect is an error of communication, with an [`io::Error`](std::io::Error) that names the
//!   address as its [source](std::error::Error::source).
//! * A client belongs to its OS thread.
//! * [`tls::MakeTlsConnect`] and [`Socket`] are of this module: tokio-postgres has its own only along with
//!   tokio's runtime.
//! * What proves that one knows a password (SCRAM) is computed on the OS thread of the hub, and takes some
//!   milliseconds of it: one more reason for a pool.
//! * The statement that is prepared for a query whose call is cut short at that moment stays with the session
//!   to its end, as in the original's asynchronous cousin.

pub mod binary_copy;
mod cancel_token;
mod client;
pub mod config;
mod connect;
mod copy_in_writer;
mod copy_out_reader;
mod failure;
mod generic_client;
mod lazy_pin;
mod link;
pub mod notifications;
mod pool;
mod row_iter;
mod socket;
pub mod tls;
mod transaction;
mod transaction_builder;
mod watched;

pub use tokio_postgres::{
    Column, Error, IsolationLevel, NoTls, Notification, Portal, Row, SimpleColumn,
    SimpleQueryMessage, SimpleQueryRow, Statement, ToStatement, error, row, types,
};

pub use cancel_token::CancelToken;
pub use client::Client;
pub use config::Config;
pub use copy_in_writer::CopyInWriter;
pub use copy_out_reader::CopyOutReader;
pub use generic_client::GenericClient;
pub use notifications::Notifications;
pub use pool::{Pool, PoolBuilder, PooledClient};
pub use row_iter::RowIter;
pub use tls::Socket;
pub use transaction::Transaction;
pub use transaction_builder::TransactionBuilder;
