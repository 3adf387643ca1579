//! ClickHouse as Millrace uses it, over its HTTP interface: inserts of ready blocks, statements, and the classes of its
//! errors. The embedded default and a production server are reached by the same lines of code.

mod availability;
mod client;
mod cluster;
pub mod committed;
mod config;
pub mod deletion;
mod endpoints;
mod errors;
pub mod experiments;
pub mod imports;
mod inserts;
pub mod joins;
pub mod nodes;
pub mod prices;
mod reads;
pub mod recent;
pub mod rollups;
pub mod row_keys;
pub mod schema;
pub mod sums;
pub mod superseded;

pub use availability::{Availability, ClusterTrouble, SegmentView, View};
pub use client::Client;
pub use config::{Config, Database, Urls};
pub use endpoints::{Condition, EndpointView, Endpoints};
pub use errors::{Class, Failure, Fault};
pub use inserts::{NoneUnderWay, OVERTIME, Pieces, Target, Unconfirmed};
pub use reads::{Parameter, ReadLimits, Statement};
