//! The rows of a request for one table, whichever it is.

use super::group::Group as _;
use super::records::Records;
use super::row_group::RowGroup;
use super::tables::Table;

/// Rows of one table. In their boxes, as they are handed on several times.
#[derive(Debug)]
pub enum Rows {
    /// Spans.
    Spans(Box<RowGroup>),
    /// Rows of any other table.
    Records(Box<Records>),
}

impl Rows {
    /// The table that they are for.
    #[must_use]
    pub fn table(&self) -> Table {
        match self {
            Self::Spans(_) => Table::Traces,
            Self::Records(records) => records.table(),
        }
    }

    /// How many they are.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.rows(),
            Self::Records(records) => records.rows(),
        }
    }

    /// The days of their times, as days since 1970, sorted.
    #[must_use]
    pub fn days(&self) -> &[i64] {
        match self {
            Self::Spans(spans) => spans.days(),
            Self::Records(records) => records.days(),
        }
    }

    /// Bytes that they take in a block, at most.
    #[must_use]
    pub fn counted_bytes(&self) -> usize {
        match self {
            Self::Spans(spans) => spans.counted_bytes(),
            Self::Records(records) => records.counted_bytes(),
        }
    }

    /// Takes out the rows at the positions `drop`, which are sorted.
    pub fn leave_out(&mut self, drop: &[usize]) {
        match self {
            Self::Spans(spans) => **spans = spans.without(drop),
            Self::Records(records) => **records = records.without(drop),
        }
    }

    /// The spans, if they are spans.
    #[must_use]
    pub fn spans(&self) -> Option<&RowGroup> {
        match self {
            Self::Spans(spans) => Some(spans),
            Self::Records(_) => None,
        }
    }

    /// The rows of another table.
    #[must_use]
    pub fn records(&self) -> Option<&Records> {
        match self {
            Self::Spans(_) => None,
            Self::Records(records) => Some(records),
        }
    }

    /// The spans, if they are spans.
    #[must_use]
    pub fn into_spans(self) -> Option<Box<RowGroup>> {
        match self {
            Self::Spans(spans) => Some(spans),
            Self::Records(_) => None,
        }
    }
}

impl From<Box<RowGroup>> for Rows {
    fn from(spans: Box<RowGroup>) -> Self {
        Self::Spans(spans)
    }
}

impl From<Box<Records>> for Rows {
    fn from(records: Box<Records>) -> Self {
        Self::Records(records)
    }
}
