//! Rows, one after the other.

use std::fmt;
use std::iter::FusedIterator;
use std::pin::Pin;

use tokio_postgres::{Error, Row, RowStream};

use super::link::Link;

/// The rows of a query, as they come: what `query_raw` returns.
///
/// They need not fit in memory. Where the original's is a `FallibleIterator`, this is an [`Iterator`] of
/// results. One that is dropped half read leaves the rest, which the connection throws away as it comes; a
/// next call waits for that.
///
/// # Yields
///
/// While the next row is not there.
#[must_use = "an iterator does nothing until it is asked"]
pub struct RowIter<'a> {
    link: &'a Link,
    rows: Pin<Box<RowStream>>,
    is_over: bool,
}

impl<'a> RowIter<'a> {
    pub(super) fn new(link: &'a Link, rows: RowStream) -> Self {
        Self { link, rows: Box::pin(rows), is_over: false }
    }

    /// How many rows the query has affected; `None` until all were read.
    ///
    /// # Yields
    ///
    /// Never.
    #[must_use]
    pub fn rows_affected(&self) -> Option<u64> {
        self.rows.rows_affected()
    }
}

impl Iterator for RowIter<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.link.more(self.rows.as_mut());
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for RowIter<'_> {}

impl fmt::Debug for RowIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowIter").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
