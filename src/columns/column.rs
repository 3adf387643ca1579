//! One column of a table, as the DDL, the insert and the blocks need it.

/// One column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name; `Events.Name` is the nested form.
    pub name: &'static str,
    /// Its type in the table.
    pub table_type: &'static str,
    /// Its compression codec in the table.
    pub codec: &'static str,
    /// What rows have that were stored before there was this column; empty for the type's own default.
    pub default: &'static str,
    /// Its type in the blocks that Millrace sends; ClickHouse turns plain strings into its dictionary form.
    pub wire_type: &'static str,
}

impl Column {
    /// Whether a row has a list or map of values.
    pub(super) fn is_list(&self) -> bool {
        self.wire_type.starts_with("Array(") || self.wire_type.starts_with("Map(")
    }
}

/// The place of a column in the list of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub(super) usize);

/// The place of the column of that name. As a constant it is found when the program is compiled, or the program is not.
///
/// # Panics
/// If there is none.
#[must_use]
pub const fn at(mut columns: &[Column], name: &str) -> At {
    let mut place = 0;
    while let [column, rest @ ..] = columns {
        if is_same(column.name.as_bytes(), name.as_bytes()) {
            return At(place);
        }
        place += 1;
        columns = rest;
    }
    panic!("the table has no column of that name")
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, rest_of_one @ ..], [b, rest_of_other @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest_of_one, rest_of_other);
    }
    one.is_empty() && other.is_empty()
}
