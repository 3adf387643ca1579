//! How many results a list has.

use super::answer::Refusal;
use super::page::Page;
use super::reads::Reads;
use crate::clickhouse::Statement;
use crate::numbers::to_u64;
use ::clickhouse::Row;
use serde::Deserialize;

/// How many results a list has, or how that is found out.
#[derive(Debug)]
pub(crate) enum Total {
    /// The rows of a page said so.
    Known(u64),
    /// A statement says so, in a column `total`.
    ToAsk(Statement),
}

impl Total {
    /// What the first row of a page says, unless that is 0; else the statement.
    pub(crate) fn told(total: Option<u64>, count: impl FnOnce() -> Statement) -> Self {
        total.filter(|total| *total > 0).map_or_else(|| Self::ToAsk(count()), Self::Known)
    }
}

/// What a statement of a page selects as `total`: how many rows there are, if that is to be counted, else 0. It costs next to nothing
/// where all rows are made anyway.
pub(crate) fn column(is_counted: bool) -> &'static str {
    if is_counted { "count() OVER ()" } else { "toUInt64(0)" }
}

/// A count.
#[derive(Debug, Row, Deserialize)]
struct Count {
    total: u64,
}

/// How many there are, if the page says so: it has fewer rows than it may.
pub(crate) fn known(page: Page, rows: usize) -> Option<u64> {
    let rows = to_u64(rows);
    (rows < page.size && (rows > 0 || page.number == 1)).then(|| page.offset().saturating_add(rows))
}

/// Asks for it: a column `total`.
pub(crate) async fn ask(reads: &Reads, statement: &Statement) -> Result<u64, Refusal> {
    let count: Option<Count> = reads.ask_one(statement).await?;
    count.map(|count| count.total).ok_or_else(|| Refusal::unavailable("ClickHouse returned no count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_page_tells_how_many_there_are() {
        let page = |number| Page { number, size: 10 };
        assert_eq!(known(page(1), 0), Some(0));
        assert_eq!(known(page(1), 10), None, "there may be more");
        assert_eq!(known(page(3), 4), Some(24));
        assert_eq!(known(page(3), 0), None, "it may be far past the end");
    }
}
