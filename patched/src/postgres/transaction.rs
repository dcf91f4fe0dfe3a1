//! Transactions and savepoints.

use std::fmt;

use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Error, Portal, Row, SimpleQueryMessage, Statement, ToStatement};

use super::link::Link;
use super::{CancelToken, CopyInWriter, CopyOutReader, RowIter};

/// A transaction, or a part of one that can be undone by itself.
///
/// [`Client::transaction`](super::Client::transaction) begins it, and [`commit`](Self::commit) ends it. One
/// that is dropped is rolled back, also when its green thread panics, is killed or timed out: the rollback is
/// sent in the background, ahead of anything else from the same client, and is not waited for;
/// [`rollback`](Self::rollback) waits.
///
/// Its calls are those of the [`Client`](super::Client), and have the same errors.
///
/// ```no_run
/// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
/// let mut transaction = client.transaction()?;
/// transaction.execute("INSERT INTO people VALUES ('Ferris', 11)", &[])?;
/// {
///     let mut inner = transaction.transaction()?;
///     inner.execute("DELETE FROM people", &[])?;
///     // Dropped: nobody was deleted.
/// }
/// transaction.commit()?;
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction<'a> {
    link: &'a Link,
    token: &'a CancelToken,
    /// `None` only while this is being taken apart.
    transaction: Option<tokio_postgres::Transaction<'a>>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        link: &'a Link,
        token: &'a CancelToken,
        transaction: tokio_postgres::Transaction<'a>,
    ) -> Self {
        Self { link, token, transaction: Some(transaction) }
    }

    fn inner(&self) -> &tokio_postgres::Transaction<'a> {
        self.transaction.as_ref().expect("it is whole while somebody has it")
    }

    fn take(&mut self) -> tokio_postgres::Transaction<'a> {
        self.transaction.take().expect("it is taken apart once")
    }

    /// Commits it.
    ///
    /// If this is cut short by a kill or a timeout, nobody knows whether the server has done so.
    ///
    /// # Errors
    ///
    /// The server's, after which nothing was done; what has ended the connection, after which something may
    /// have been.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn commit(mut self) -> Result<(), Error> {
        let transaction = self.take();
        self.link.call(transaction.commit())
    }

    /// Rolls it back and waits for that, where a drop does not wait.
    ///
    /// # Errors
    ///
    /// What has ended the connection.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn rollback(mut self) -> Result<(), Error> {
        let transaction = self.take();
        self.link.call(transaction.rollback())
    }

    /// As [`Client::prepare`](super::Client::prepare).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn prepare(&mut self, query: &str) -> Result<Statement, Error> {
        self.link.call(self.inner().prepare(query))
    }

    /// As [`Client::prepare_typed`](super::Client::prepare_typed).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn prepare_typed(&mut self, query: &str, types: &[Type]) -> Result<Statement, Error> {
        self.link.call(self.inner().prepare_typed(query, types))
    }

    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn execute<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.inner().execute(query, params))
    }

    /// As [`Client::execute_typed`](super::Client::execute_typed).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn execute_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.link.call(self.inner().execute_typed(query, params))
    }

    /// As [`Client::query`](super::Client::query).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.inner().query(query, params))
    }

    /// As [`Client::query_one`](super::Client::query_one).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_one<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.inner().query_one(query, params))
    }

    /// As [`Client::query_opt`](super::Client::query_opt).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_opt<T>(
        &mut self,
        query: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.inner().query_opt(query, params))
    }

    /// As [`Client::query_raw`](super::Client::query_raw).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer begins.
    pub fn query_raw<T, P, I>(&mut self, query: &T, params: I) -> Result<RowIter<'_>, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        let rows = self.link.begin(self.inner().query_raw(query, params))?;
        Ok(RowIter::new(self.link, rows))
    }

    /// As [`Client::query_typed`](super::Client::query_typed).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        self.link.call(self.inner().query_typed(query, params))
    }

    /// As [`Client::query_typed_one`](super::Client::query_typed_one).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed_one(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error> {
        self.link.call(self.inner().query_typed_one(query, params))
    }

    /// As [`Client::query_typed_opt`](super::Client::query_typed_opt).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed_opt(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error> {
        self.link.call(self.inner().query_typed_opt(query, params))
    }

    /// As [`Client::query_typed_raw`](super::Client::query_typed_raw).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer begins.
    pub fn query_typed_raw<P, I>(&mut self, query: &str, params: I) -> Result<RowIter<'_>, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>,
    {
        let rows = self.link.begin(self.inner().query_typed_raw(query, params))?;
        Ok(RowIter::new(self.link, rows))
    }

    /// Binds a statement to its parameters: [`query_portal`](Self::query_portal) reads the rows, so many at
    /// a time.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let mut transaction = client.transaction()?;
    /// let portal = transaction.bind("SELECT * FROM generate_series(1, 10000)", &[])?;
    /// while let rows = transaction.query_portal(&portal, 100)?
    ///     && !rows.is_empty()
    /// {
    ///     println!("{} more", rows.len());
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn bind<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Portal, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.inner().bind(query, params))
    }

    /// The next rows of a portal: at most so many, or all that are left if `max_rows` is not above 0.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_portal(&mut self, portal: &Portal, max_rows: i32) -> Result<Vec<Row>, Error> {
        self.link.call(self.inner().query_portal(portal, max_rows))
    }

    /// [`query_portal`](Self::query_portal) whose rows are read as they come.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Never: it only sends.
    pub fn query_portal_raw(
        &mut self,
        portal: &Portal,
        max_rows: i32,
    ) -> Result<RowIter<'_>, Error> {
        let rows = self.link.begin(self.inner().query_portal_raw(portal, max_rows))?;
        Ok(RowIter::new(self.link, rows))
    }

    /// As [`Client::copy_in`](super::Client::copy_in).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the server is ready for the data.
    pub fn copy_in<T>(&mut self, query: &T) -> Result<CopyInWriter<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        CopyInWriter::begin(self.link, self.inner().client(), query)
    }

    /// As [`Client::copy_out`](super::Client::copy_out).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer begins.
    pub fn copy_out<T>(&mut self, query: &T) -> Result<CopyOutReader<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        let stream = self.link.begin(self.inner().copy_out(query))?;
        Ok(CopyOutReader::new(self.link, stream))
    }

    /// As [`Client::simple_query`](super::Client::simple_query).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn simple_query(&mut self, query: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.link.call(self.inner().simple_query(query))
    }

    /// As [`Client::batch_execute`](super::Client::batch_execute).
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn batch_execute(&mut self, query: &str) -> Result<(), Error> {
        self.link.call(self.inner().batch_execute(query))
    }

    /// As [`Client::cancel_token`](super::Client::cancel_token).
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Begins a part that can be undone by itself (a savepoint).
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let transaction = self.transaction.as_mut().expect("it is whole while somebody has it");
        let transaction = self.link.call(transaction.transaction())?;
        Ok(Transaction::new(self.link, self.token, transaction))
    }

    /// [`transaction`](Self::transaction) with a name for the savepoint.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`](super::Client::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn savepoint<I>(&mut self, name: I) -> Result<Transaction<'_>, Error>
    where
        I: Into<String>,
    {
        let transaction = self.transaction.as_mut().expect("it is whole while somebody has it");
        let transaction = self.link.call(transaction.savepoint(name))?;
        Ok(Transaction::new(self.link, self.token, transaction))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.transaction.is_some() {
            // Its own drop sends the rollback.
            self.link.forget_standing();
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
