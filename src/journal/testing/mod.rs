//! A disk in memory that fails as disks do, and rows with given numbers: for the tests of the journal and the committer.

mod chance;
mod content;
mod disk;
mod rows;

pub(crate) use chance::Chance;
pub(crate) use disk::{Fault, Op, SimDisk};
pub(crate) use rows::{group, ids, keys, number_of, numbers_of};
