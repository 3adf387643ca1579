//! How many results a list has.

use super::answer::Refusal;
use super::page::Page;
use super::reads::Reads;
use crate::clickhouse::Statement;
use crate::numbers::to_u64;
use ::clickhouse::Row;
use serde::Deserialize;

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
