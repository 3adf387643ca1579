//! Corrects rows after they are stored: captured calls that wait for the root of their trace, and rows that a fuller report of
//! the same span supersedes.
//!
//! ```text
//! noted by receivers, committer --schedule--> due soon, and again after growing pauses --.
//!                                                                                        |--> look at the table --> one statement
//! recent hours ------------------walk-----> what nobody noted here ----------------------'
//! ```
//!
//! The table is the state. What is noted only says where to look first; the walks find everything else, such as rows of another
//! Millrace or from before a restart. A round may be repeated and done by several Millraces.

pub mod counting;
pub mod joining;
mod schedule;
pub mod sums;
pub mod superseded;
