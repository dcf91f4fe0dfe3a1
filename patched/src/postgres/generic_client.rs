//! What clients and transactions have in common.

use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Error, Row, SimpleQueryMessage, Statement, ToStatement};

use super::{Client, CopyInWriter, CopyOutReader, RowIter, Transaction};

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
}

/// What can be done by a [`Client`] and in a [`Transaction`] alike: for functions that take either.
///
/// ```no_run
/// use evy_patched::postgres::{Client, Error, GenericClient, NoTls};
///
/// fn rename(client: &mut impl GenericClient, from: &str, to: &str) -> Result<u64, Error> {
///     client.execute("UPDATE people SET name = $2 WHERE name = $1", &[&from, &to])
/// }
/// let mut client = Client::connect("host=localhost user=postgres", NoTls)?;
/// rename(&mut client, "Ferris", "Corro")?;
/// rename(&mut client.transaction()?, "Corro", "Ferris")?;
/// # Ok::<(), Error>(())
/// ```
///
/// Errors and yields are those of the client's calls. Nobody else implements it.
#[expect(clippy::missing_errors_doc, reason = "they are those of the client's calls")]
pub trait GenericClient: sealed::Sealed {
    /// As [`Client::execute`].
    fn execute<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::execute_typed`].
    fn execute_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error>;

    /// As [`Client::query`].
    fn query<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::query_one`].
    fn query_one<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::query_opt`].
    fn query_opt<T>(
        &mut self,
        query: &T,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::query_raw`].
    fn query_raw<T, P, I>(&mut self, query: &T, params: I) -> Result<RowIter<'_>, Error>
    where
        T: ?Sized + ToStatement,
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator;

    /// As [`Client::query_typed`].
    fn query_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error>;

    /// As [`Client::query_typed_one`].
    fn query_typed_one(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error>;

    /// As [`Client::query_typed_opt`].
    fn query_typed_opt(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error>;

    /// As [`Client::query_typed_raw`].
    fn query_typed_raw<P, I>(&mut self, query: &str, params: I) -> Result<RowIter<'_>, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>;

    /// As [`Client::prepare`].
    fn prepare(&mut self, query: &str) -> Result<Statement, Error>;

    /// As [`Client::prepare_typed`].
    fn prepare_typed(&mut self, query: &str, types: &[Type]) -> Result<Statement, Error>;

    /// As [`Client::copy_in`].
    fn copy_in<T>(&mut self, query: &T) -> Result<CopyInWriter<'_>, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::copy_out`].
    fn copy_out<T>(&mut self, query: &T) -> Result<CopyOutReader<'_>, Error>
    where
        T: ?Sized + ToStatement;

    /// As [`Client::simple_query`].
    fn simple_query(&mut self, query: &str) -> Result<Vec<SimpleQueryMessage>, Error>;

    /// As [`Client::batch_execute`].
    fn batch_execute(&mut self, query: &str) -> Result<(), Error>;

    /// As [`Client::transaction`].
    fn transaction(&mut self) -> Result<Transaction<'_>, Error>;
}

/// The trait for a type that has all of its calls.
macro_rules! generic_client {
    ($type:ty) => {
        impl sealed::Sealed for $type {}

        impl GenericClient for $type {
            fn execute<T>(
                &mut self,
                query: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<u64, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.execute(query, params)
            }

            fn execute_typed(
                &mut self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<u64, Error> {
                self.execute_typed(query, params)
            }

            fn query<T>(
                &mut self,
                query: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Vec<Row>, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.query(query, params)
            }

            fn query_one<T>(
                &mut self,
                query: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Row, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.query_one(query, params)
            }

            fn query_opt<T>(
                &mut self,
                query: &T,
                params: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.query_opt(query, params)
            }

            fn query_raw<T, P, I>(&mut self, query: &T, params: I) -> Result<RowIter<'_>, Error>
            where
                T: ?Sized + ToStatement,
                P: BorrowToSql,
                I: IntoIterator<Item = P>,
                I::IntoIter: ExactSizeIterator,
            {
                self.query_raw(query, params)
            }

            fn query_typed(
                &mut self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Vec<Row>, Error> {
                self.query_typed(query, params)
            }

            fn query_typed_one(
                &mut self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Row, Error> {
                self.query_typed_one(query, params)
            }

            fn query_typed_opt(
                &mut self,
                query: &str,
                params: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Option<Row>, Error> {
                self.query_typed_opt(query, params)
            }

            fn query_typed_raw<P, I>(
                &mut self,
                query: &str,
                params: I,
            ) -> Result<RowIter<'_>, Error>
            where
                P: BorrowToSql,
                I: IntoIterator<Item = (P, Type)>,
            {
                self.query_typed_raw(query, params)
            }

            fn prepare(&mut self, query: &str) -> Result<Statement, Error> {
                self.prepare(query)
            }

            fn prepare_typed(&mut self, query: &str, types: &[Type]) -> Result<Statement, Error> {
                self.prepare_typed(query, types)
            }

            fn copy_in<T>(&mut self, query: &T) -> Result<CopyInWriter<'_>, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.copy_in(query)
            }

            fn copy_out<T>(&mut self, query: &T) -> Result<CopyOutReader<'_>, Error>
            where
                T: ?Sized + ToStatement,
            {
                self.copy_out(query)
            }

            fn simple_query(&mut self, query: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
                self.simple_query(query)
            }

            fn batch_execute(&mut self, query: &str) -> Result<(), Error> {
                self.batch_execute(query)
            }

            fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
                self.transaction()
            }
        }
    };
}

generic_client!(Client);
generic_client!(Transaction<'_>);
