//! The rows of the mapping specification, section 3, each with the test by which a sample exercises it.

mod content;
mod outcome;
mod request;
mod response;
mod stream;

use crate::corpus::coverage::Row;

/// Every row, in the order of the specification.
pub(crate) fn all() -> Vec<Row> {
    [request::ROWS, response::ROWS, content::ROWS, stream::ROWS, outcome::ROWS].concat()
}
