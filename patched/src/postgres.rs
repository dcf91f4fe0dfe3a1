//! PostgreSQL on green sockets, shaped as the crate [`postgres`](https://docs.rs/postgres/0.19).

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
pub use transaction::{Transaction, TransactionBuilder};
