//! The read API: spans, groups, traces and sessions over HTTP, beside the receivers on 4318.
//!
//! ```text
//! query string --parameters--> filter (three spellings, one tree)  page, sort, mode --> Statement --reads--> rows --> JSON
//! ```
//!
//! Sources: NeMo Intake's OpenAPI documents, releases 0.2.0 and 0.3.0; docs/read-api.md says what differs and why.

pub mod answer;
pub(crate) mod conditions;
pub mod config;
mod counted;
pub(crate) mod cursor;
pub mod expressions;
pub mod filter;
mod found;
mod kept;
mod listing;
mod measures;
mod metrics;
pub(crate) mod mode;
mod openapi;
mod own;
pub mod page;
pub mod parameters;
mod q;
pub mod reads;
pub mod request;
mod routes;
mod sessions;
pub mod shown;
mod spans;
mod sums;
mod times;
pub(crate) mod total;
mod traces;
mod users;
mod values;
mod windows;

pub use own::routes as page_routes;
pub use own::savings_routes;
pub use own::tail::routes as tail_routes;
pub use q::{Problem, Search};
pub use request::Api;
pub use routes::routes;
pub use spans::asked_of_spans;
