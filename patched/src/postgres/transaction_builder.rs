//! A transaction with settings of its own.

use std::fmt;

use tokio_postgres::{Error, IsolationLevel};

use super::link::Link;
use super::{CancelToken, Transaction};

/// A transaction in the making.
///
/// [`Client::build_transaction`](super::Client::build_transaction) has an example.
#[must_use = "nothing begins before `start`"]
pub struct TransactionBuilder<'a> {
    link: &'a Link,
    token: &'a CancelToken,
    builder: tokio_postgres::TransactionBuilder<'a>,
}

impl<'a> TransactionBuilder<'a> {
    pub(super) fn new(
        link: &'a Link,
        token: &'a CancelToken,
        builder: tokio_postgres::TransactionBuilder<'a>,
    ) -> Self {
        Self { link, token, builder }
    }

    /// How much it sees of others.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn isolation_level(mut self, isolation_level: IsolationLevel) -> Self {
        self.builder = self.builder.isolation_level(isolation_level);
        self
    }

    /// Whether it may not write.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.builder = self.builder.read_only(read_only);
        self
    }

    /// Whether it may wait at its begin, if it is serializable and read-only, so that it need not fail later.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.builder = self.builder.deferrable(deferrable);
        self
    }

    /// Begins it.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn start(self) -> Result<Transaction<'a>, Error> {
        let transaction = self.link.call(self.builder.start())?;
        Ok(Transaction::new(self.link, self.token, transaction))
    }
}

impl fmt::Debug for TransactionBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionBuilder").finish_non_exhaustive()
    }
}
