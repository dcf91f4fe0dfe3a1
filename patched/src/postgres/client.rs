//! The client: tokio-postgres', whose futures are waited for in the green way.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Builder, timeout};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Error, Row, SimpleQueryMessage, Statement, ToStatement};

use super::link::{FAREWELL, Link};
use super::tls::{MakeTlsConnect, Socket};
use super::{
    CancelToken, Config, CopyInWriter, CopyOutReader, Notifications, RowIter, Transaction,
    TransactionBuilder, failure,
};

/// A connection to a PostgreSQL database: the `Client` of the crate `postgres`, but that its calls park the
/// green thread.
///
/// ```no_run
/// use evy_patched::postgres::{Client, NoTls};
///
/// let mut client = Client::connect("host=localhost user=postgres", NoTls)?;
/// client.batch_execute("CREATE TEMPORARY TABLE people (name text, age int)")?;
/// client.execute("INSERT INTO people VALUES ($1, $2)", &[&"Ferris", &11_i32])?;
/// for row in client.query("SELECT name, age FROM people", &[])? {
///     let (name, age): (&str, i32) = (row.get(0), row.get("age"));
///     println!("{name} is {age}");
/// }
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
///
/// # A call that is cut short
///
/// A kill or a [`timeout`](evy_runtime::timeout) ends the wait, not the statement. The client can be used
/// on: its next call waits for the end of that statement, whose answer is thrown away. Where that may take
/// too long, cancel it by the [`cancel_token`](Self::cancel_token), or drop the client.
///
/// # Drop
///
/// A client that is dropped says goodbye in the background. If it is in the middle of a statement, the server
/// is asked to cancel it, so that it goes on neither to work nor to hold locks; a transaction ends by a
/// rollback. It does not wait for that; [`close`](Self::close) does.
///
/// A client belongs to its OS thread:
///
/// ```compile_fail,E0277
/// fn elsewhere(mut client: evy_patched::postgres::Client) {
///     std::thread::spawn(move || client.batch_execute(""));
/// }
/// ```
pub struct Client {
    client: tokio_postgres::Client,
    link: Rc<Link>,
    token: CancelToken,
    cancel: Rc<Cancel>,
    /// When a pool got it back.
    returned: Cell<Option<Instant>>,
}

pub(super) type Cancel = dyn Fn() -> Result<(), Error>;

impl Client {
    pub(super) fn new(
        client: tokio_postgres::Client,
        link: Rc<Link>,
        token: CancelToken,
        cancel: Rc<Cancel>,
    ) -> Self {
        Self { client, link, token, cancel, returned: Cell::new(None) }
    }

    /// Connects to a server: `params` are those of a [`Config`], as words or as a URL.
    ///
    /// ```no_run
    /// use evy_patched::postgres::{Client, NoTls};
    ///
    /// let client = Client::connect("host=localhost user=postgres connect_timeout=10", NoTls)?;
    /// let same = Client::connect("postgresql://postgres@localhost?connect_timeout=10", NoTls)?;
    /// # drop((client, same));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with `params`, and those of [`Config::connect`].
    ///
    /// # Yields
    ///
    /// Until connected.
    pub fn connect<T>(params: &str, tls_mode: T) -> Result<Self, Error>
    where
        T: MakeTlsConnect<Socket> + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: 'static,
    {
        params.parse::<Config>()?.connect(tls_mode)
    }

    /// An empty configuration.
    ///
    /// ```
    /// let mut config = evy_patched::postgres::Client::configure();
    /// config.host("localhost").user("postgres");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn configure() -> Config {
        Config::new()
    }

    /// Runs a statement and returns how many rows it has changed; 0 for one that changes none.
    ///
    /// `query` is a statement's text, in which `$1` is the first of `params`, or one that was
    /// [prepared](Self::prepare). With a text it is prepared each time, which costs the server another
    /// question.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let count = client.execute("UPDATE people SET age = age + 1 WHERE name = $1", &[&"Ferris"])?;
    /// assert_eq!(count, 1);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The server's, whose [`code`](Error::code) tells them apart; a parameter that does not fit; what has
    /// ended the connection.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn execute<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.client.execute(query, params))
    }

    /// [`execute`](Self::execute) with the parameters' types: one question to the server in place of two.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// client.execute_typed("DELETE FROM people WHERE name = $1", &[(&"Ferris", Type::TEXT)])?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn execute_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.link.call(self.client.execute_typed(query, params))
    }

    /// Runs a statement and returns its rows.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// for row in client.query("SELECT name FROM people WHERE age > $1", &[&10_i32])? {
    ///     println!("{}", row.get::<_, &str>("name"));
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.client.query(query, params))
    }

    /// Runs a statement that gives one row, and returns it.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let count: i64 = client.query_one("SELECT count(*) FROM people", &[])?.get(0);
    /// println!("{count} people");
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and when there is another number of rows.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_one<T>(&mut self, query: &T, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error>
    where
        T: ?Sized + ToStatement,
    {
        self.link.call(self.client.query_one(query, params))
    }

    /// Runs a statement that gives one row or none, and returns it.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let row = client.query_opt("SELECT age FROM people WHERE name = $1", &[&"Ferris"])?;
    /// let age: Option<i32> = row.map(|row| row.get(0));
    /// println!("{age:?}");
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and when there is more than one row.
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
        self.link.call(self.client.query_opt(query, params))
    }

    /// Runs a statement and returns an iterator of its rows, which are read as they come.
    ///
    /// The parameters are whatever can be iterated over:
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// for row in client.query_raw("SELECT * FROM generate_series(1, $1::int)", [1_000_000_i32])? {
    ///     println!("{}", row?.get::<_, i32>(0));
    /// }
    /// let none: [i32; 0] = [];
    /// let rows = client.query_raw("SELECT name FROM people", none)?;
    /// # drop(rows);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); each row may fail, too.
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
        let rows = self.link.begin(self.client.query_raw(query, params))?;
        Ok(RowIter::new(&self.link, rows))
    }

    /// [`query`](Self::query) with the parameters' types: one question to the server in place of two.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// let rows = client.query_typed("SELECT $1 || '!'", &[(&"hello", Type::TEXT)])?;
    /// println!("{}", rows[0].get::<_, &str>(0));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        self.link.call(self.client.query_typed(query, params))
    }

    /// [`query_one`](Self::query_one) with the parameters' types.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// let row = client.query_typed_one("SELECT $1 || '!'", &[(&"hello", Type::TEXT)])?;
    /// println!("{}", row.get::<_, &str>(0));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`query_one`](Self::query_one).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed_one(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error> {
        self.link.call(self.client.query_typed_one(query, params))
    }

    /// [`query_opt`](Self::query_opt) with the parameters' types.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// let query = "SELECT age FROM people WHERE name = $1";
    /// let row = client.query_typed_opt(query, &[(&"Ferris", Type::TEXT)])?;
    /// println!("{:?}", row.map(|row| row.get::<_, i32>(0)));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`query_opt`](Self::query_opt).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn query_typed_opt(
        &mut self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error> {
        self.link.call(self.client.query_typed_opt(query, params))
    }

    /// [`query_raw`](Self::query_raw) with the parameters' types.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// let query = "SELECT * FROM generate_series(1, $1)";
    /// for row in client.query_typed_raw(query, [(1_000_000_i32, Type::INT4)])? {
    ///     println!("{}", row?.get::<_, i32>(0));
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`query_raw`](Self::query_raw).
    ///
    /// # Yields
    ///
    /// Until the answer begins.
    pub fn query_typed_raw<P, I>(&mut self, query: &str, params: I) -> Result<RowIter<'_>, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>,
    {
        let rows = self.link.begin(self.client.query_typed_raw(query, params))?;
        Ok(RowIter::new(&self.link, rows))
    }

    /// Prepares a statement, for this client alone, until the last clone of it is dropped.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let insert = client.prepare("INSERT INTO people VALUES ($1, $2)")?;
    /// for (name, age) in [("Ferris", 11_i32), ("Corro", 2)] {
    ///     client.execute(&insert, &[&name, &age])?;
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn prepare(&mut self, query: &str) -> Result<Statement, Error> {
        self.link.call(self.client.prepare(query))
    }

    /// [`prepare`](Self::prepare) with the types of the first parameters; the server finds those of the
    /// others.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::types::Type;
    ///
    /// let statement = client.prepare_typed("SELECT $1 + 1", &[Type::INT8])?;
    /// println!("{}", client.query_one(&statement, &[&1_i64])?.get::<_, i64>(0));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn prepare_typed(&mut self, query: &str, types: &[Type]) -> Result<Statement, Error> {
        self.link.call(self.client.prepare_typed(query, types))
    }

    /// Runs a `COPY … FROM STDIN` and returns where its data is written to.
    ///
    /// The copy ends with [`finish`](CopyInWriter::finish). Without that, nothing is copied.
    ///
    /// A copy that the server refuses before it takes data (there is no such table, or no right to it, a lock
    /// is not to be had, a trigger fails before the first row) costs the connection: the next call fails and
    /// says so, and a pool does not hand the client out again. For the server then gives one answer too many,
    /// which would be taken for that of the next call. After an error of the statement's syntax, or of the
    /// data, and after a copy that was dropped or cut short, the client is as good as before.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use std::io::Write;
    ///
    /// let mut writer = client.copy_in("COPY people FROM STDIN")?;
    /// writer.write_all(b"Ferris\t11\nCorro\t2\n")?;
    /// assert_eq!(writer.finish()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the server is ready for the data.
    pub fn copy_in<T>(&mut self, query: &T) -> Result<CopyInWriter<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        CopyInWriter::begin(&self.link, &self.client, query)
    }

    /// Runs a `COPY … TO STDOUT` and returns where its data is read from.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use std::io::BufRead;
    ///
    /// for line in client.copy_out("COPY people TO STDOUT")?.lines() {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer begins.
    pub fn copy_out<T>(&mut self, query: &T) -> Result<CopyOutReader<'_>, Error>
    where
        T: ?Sized + ToStatement,
    {
        let stream = self.link.begin(self.client.copy_out(query))?;
        Ok(CopyOutReader::new(&self.link, stream))
    }

    /// Runs statements, separated by `;`, by the simple protocol, and returns what they give as text.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::SimpleQueryMessage;
    ///
    /// for message in client.simple_query("SELECT 1; SELECT 2")? {
    ///     if let SimpleQueryMessage::Row(row) = message {
    ///         println!("{}", row.get(0).unwrap_or("NULL"));
    ///     }
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute). The statements before the one that failed are undone with it, unless
    /// they say otherwise.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn simple_query(&mut self, query: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.link.call(self.client.simple_query(query))
    }

    /// Asks the server for a sign of life, and waits at most so long for it.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.is_valid(std::time::Duration::from_secs(1))?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the time is over, with an [`io::Error`] of the kind `TimedOut` as its source; what has ended
    /// the connection.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn is_valid(&mut self, duration: Duration) -> Result<(), Error> {
        timeout(duration, || self.check_connection()).unwrap_or_else(|_elapsed| {
            let text = format!("the server did not answer within {duration:?}");
            Err(failure::of_io(io::Error::new(io::ErrorKind::TimedOut, text)))
        })
    }

    /// Asks the server for a sign of life.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.check_connection()?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What has ended the connection.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn check_connection(&mut self) -> Result<(), Error> {
        self.link.call(self.client.check_connection())
    }

    /// Runs statements, separated by `;`, by the simple protocol, for what they do.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.batch_execute("CREATE TABLE people (name text, age int); CREATE INDEX ON people (name)")?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// Parameters are no part of a text: use [`execute`](Self::execute) for what comes from elsewhere.
    ///
    /// # Errors
    ///
    /// As [`simple_query`](Self::simple_query).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn batch_execute(&mut self, query: &str) -> Result<(), Error> {
        self.link.call(self.client.batch_execute(query))
    }

    /// Begins a transaction. It is rolled back when it is dropped without a
    /// [`commit`](Transaction::commit).
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let mut transaction = client.transaction()?;
    /// transaction.execute("UPDATE accounts SET money = money - 5 WHERE name = $1", &[&"Ferris"])?;
    /// transaction.execute("UPDATE accounts SET money = money + 5 WHERE name = $1", &[&"Corro"])?;
    /// transaction.commit()?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let transaction = self.link.call(self.client.transaction())?;
        Ok(Transaction::new(&self.link, &self.token, transaction))
    }

    /// Begins a transaction with settings of its own.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// use evy_patched::postgres::IsolationLevel;
    ///
    /// let transaction = client
    ///     .build_transaction()
    ///     .isolation_level(IsolationLevel::Serializable)
    ///     .read_only(true)
    ///     .start()?;
    /// # drop(transaction);
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder::new(&self.link, &self.token, self.client.build_transaction())
    }

    /// The notifications that the session gets for its `LISTEN`s.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.batch_execute("LISTEN jobs")?;
    /// for notification in client.notifications().blocking_iter() {
    ///     println!("{}", notification?.payload());
    /// }
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn notifications(&mut self) -> Notifications<'_> {
        Notifications::new(&self.link)
    }

    /// What another green thread, or OS thread, cancels this client's statement with.
    ///
    /// ```no_run
    /// # let client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// let token = client.cancel_token();
    /// std::thread::spawn(move || token.cancel_query(evy_patched::postgres::NoTls));
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Forgets what the server said of types that it does not have from the start: after one was changed.
    ///
    /// ```no_run
    /// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.batch_execute("ALTER TYPE mood ADD VALUE 'angry'")?;
    /// client.clear_type_cache();
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn clear_type_cache(&self) {
        self.client.clear_type_cache();
    }

    /// Whether the connection is known to have ended.
    ///
    /// It is read in the background, so this becomes true by itself where the original needs a call to
    /// find out; a server that went without a word is not known to have gone.
    ///
    /// ```no_run
    /// # let client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// assert!(!client.is_closed());
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.link.is_over() || self.client.is_closed()
    }

    /// Closes the connection and waits for its end; a drop does not wait. In the middle of a statement the
    /// server is asked to cancel it, as by a drop.
    ///
    /// ```no_run
    /// # let client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
    /// client.close()?;
    /// # Ok::<(), evy_patched::postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What has ended the connection before.
    ///
    /// # Yields
    ///
    /// Until the server has been told, about a second at most.
    pub fn close(self) -> Result<(), Error> {
        let link = Rc::clone(&self.link);
        drop(self);
        link.wait_for_end()
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn cancel(&self) -> Result<(), Error> {
        (self.cancel)()
    }

    pub(super) fn returned(&self) -> &Cell<Option<Instant>> {
        &self.returned
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.leave();
        if self.link.is_settled() || self.is_closed() {
            return;
        }
        // A server that sees the connection end goes on with a statement until it has something to say.
        let cancel = Rc::clone(&self.cancel);
        let cancel = move || {
            let _ = timeout(FAREWELL, || cancel());
        };
        // It is the best that can be done: without memory for it the statement ends by itself.
        let _ = Builder::new().name("cancel").spawn(cancel);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}
