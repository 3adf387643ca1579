//! Where each row of a group belongs: its trace and its time, and whether it says something about the trace as a whole.

use super::RowGroup;
use crate::columns::build::strings::{Strings, StringsIter};
use crate::columns::typed::{JoinState, Texts};

/// Where a span is, and what it may be to its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its trace, as the column holds it: lower-case hex.
    pub trace: &'a [u8],
    /// When it began, in nanoseconds since 1970.
    pub began: i64,
    /// How long it took, in nanoseconds.
    pub duration: u64,
    /// It has no parent, and waits for none.
    pub is_root: bool,
    /// It has an operation of the GenAI conventions.
    pub is_genai: bool,
}

impl RowGroup {
    /// Whether any of its spans has an operation of the GenAI conventions.
    #[must_use]
    pub fn has_genai(&self) -> bool {
        self.typed.text(Texts::Operation).len() > 0
    }

    /// Of each row where it is.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let operations = lagging(self.typed.text(Texts::Operation));
        let states = lagging(&self.typed.join_state);
        let own = JoinState::Own.literal().as_bytes();
        let times = self.timestamp.i64s().zip(self.duration.i64s().map(i64::cast_unsigned));
        let texts = self.trace_id.iter().zip(self.parent_span_id.iter()).zip(operations.zip(states));
        times.zip(texts).map(move |((began, duration), ((trace, parent), (operation, state)))| Place {
            trace,
            began,
            duration,
            is_root: parent.is_empty() && (state.is_empty() || state == own),
            is_genai: !operation.is_empty(),
        })
    }
}

/// The values of a column that may have fewer rows than its group.
fn lagging(column: &Strings) -> impl Iterator<Item = &[u8]> {
    StringsIter(column.bytes()).chain(std::iter::repeat(&[][..]))
}

#[cfg(test)]
mod tests {
    use crate::columns::testing::{any_group, rows};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_says_what_the_columns_of_its_row_say(group in any_group(6)) {
            let rows = rows(&group);
            prop_assert_eq!(group.places().count(), rows.len());
            for (place, row) in group.places().zip(rows) {
                prop_assert_eq!(std::str::from_utf8(place.trace).unwrap(), row["TraceId"].as_str().unwrap());
                prop_assert_eq!(Some(place.duration), row["Duration"].as_u64());
                let waits = row.get("JoinState").is_some_and(|state| state != "own");
                prop_assert_eq!(place.is_root, row["ParentSpanId"] == "" && !waits);
                prop_assert_eq!(place.is_genai, row.contains_key("Operation"));
            }
        }
    }
}
