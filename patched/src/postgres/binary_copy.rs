//! `COPY` in the binary format: rows of values in place of text.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::pin::Pin;

use tokio_postgres::Error;
pub use tokio_postgres::binary_copy::BinaryCopyOutRow;
use tokio_postgres::binary_copy::{self, BinaryCopyOutStream};
use tokio_postgres::types::{BorrowToSql, ToSql, Type};

use super::link::{Copying, Link};
use super::{CopyInWriter, CopyOutReader, failure};

/// Writes rows into a `COPY … FROM STDIN BINARY`.
///
/// ```no_run
/// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
/// use evy_patched::postgres::binary_copy::BinaryCopyInWriter;
/// use evy_patched::postgres::types::Type;
///
/// let writer = client.copy_in("COPY people FROM STDIN BINARY")?;
/// let mut writer = BinaryCopyInWriter::new(writer, &[Type::TEXT, Type::INT4]);
/// writer.write(&[&"Ferris", &11_i32])?;
/// assert_eq!(writer.finish()?, 1);
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
///
/// Without [`finish`](Self::finish) nothing is copied. After a write that is cut short, by a timeout, nobody
/// knows which rows were taken: then every later call fails.
#[must_use = "nothing is copied without `finish`"]
pub struct BinaryCopyInWriter<'a> {
    // What it sends when it is dropped comes before what `copying` asks behind it.
    sink: Pin<Box<binary_copy::BinaryCopyInWriter>>,
    copying: Copying<'a>,
    /// A write is under way, or has not come to its end.
    is_cut_short: bool,
}

impl<'a> BinaryCopyInWriter<'a> {
    /// Writes rows of these types into a copy that was just begun.
    ///
    /// # Panics
    ///
    /// If something was sent to `writer`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(writer: CopyInWriter<'a>, types: &[Type]) -> Self {
        let (sink, copying) = writer.into_parts();
        let sink = sink.expect("nothing has been written yet");
        Self {
            sink: Box::pin(binary_copy::BinaryCopyInWriter::new(sink, types)),
            copying,
            is_cut_short: false,
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// When a value does not fit its type; the server's; what has ended the connection.
    ///
    /// # Panics
    ///
    /// If there are more or fewer values than types.
    ///
    /// # Yields
    ///
    /// While there is no room.
    pub fn write(&mut self, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        self.check()?;
        self.is_cut_short = true;
        let result = self.copying.link().begin(self.sink.as_mut().write(values));
        self.is_cut_short = false;
        result
    }

    /// [`write`](Self::write) of whatever gives values.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    ///
    /// # Yields
    ///
    /// While there is no room.
    pub fn write_raw<P, I>(&mut self, values: I) -> Result<(), Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
        I::IntoIter: ExactSizeIterator,
    {
        self.check()?;
        self.is_cut_short = true;
        let result = self.copying.link().begin(self.sink.as_mut().write_raw(values));
        self.is_cut_short = false;
        result
    }

    /// Ends the copy, and returns how many rows it has.
    ///
    /// # Errors
    ///
    /// The server's, if it does not like the data.
    ///
    /// # Yields
    ///
    /// Until the answer is there.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.check()?;
        self.copying.finish(self.sink.as_mut().finish())
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_cut_short {
            return Err(failure::of_io(io::Error::other("a write into this copy was cut short")));
        }
        Ok(())
    }
}

impl fmt::Debug for BinaryCopyInWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinaryCopyInWriter").finish_non_exhaustive()
    }
}

/// The rows of a `COPY … TO STDOUT BINARY`.
///
/// ```no_run
/// # let mut client = evy_patched::postgres::Client::connect("", evy_patched::postgres::NoTls)?;
/// use evy_patched::postgres::binary_copy::BinaryCopyOutIter;
/// use evy_patched::postgres::types::Type;
///
/// let reader = client.copy_out("COPY people TO STDOUT BINARY")?;
/// for row in BinaryCopyOutIter::new(reader, &[Type::TEXT, Type::INT4]) {
///     let row = row?;
///     println!("{} is {}", row.get::<&str>(0), row.get::<i32>(1));
/// }
/// # Ok::<(), evy_patched::postgres::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct BinaryCopyOutIter<'a> {
    link: &'a Link,
    rows: Pin<Box<BinaryCopyOutStream>>,
    is_over: bool,
}

impl<'a> BinaryCopyOutIter<'a> {
    /// The rows, of these types, of a copy of which nothing was read yet.
    ///
    /// # Panics
    ///
    /// If something was read from `reader`.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(reader: CopyOutReader<'a>, types: &[Type]) -> Self {
        let (link, stream) = reader.into_parts();
        let stream = stream.expect("nothing has been read yet");
        Self { link, rows: Box::pin(BinaryCopyOutStream::new(stream, types)), is_over: false }
    }
}

impl Iterator for BinaryCopyOutIter<'_> {
    type Item = Result<BinaryCopyOutRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.link.more(self.rows.as_mut());
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for BinaryCopyOutIter<'_> {}

impl fmt::Debug for BinaryCopyOutIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinaryCopyOutIter").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
