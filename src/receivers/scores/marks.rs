//! The values by which rows are sorted: a cursor keeps those of the last row of a page, and the next page begins after them.

use crate::clickhouse::{Parameter, Statement};
use std::cmp::Ordering;

/// The value of one key of a sort.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mark {
    /// None: it comes last, whichever way is sorted.
    Missing,
    /// A number.
    Number(f64),
    /// Microseconds since 1970.
    Time(i64),
    /// A text.
    Text(String),
}

impl From<Option<f64>> for Mark {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::Missing, Self::Number)
    }
}

impl Mark {
    /// As a cursor keeps it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Number(number) => format!("n{number}"),
            Self::Time(micros) => format!("t{micros}"),
            Self::Text(text) => format!("s{text}"),
        }
    }

    /// Reads what a cursor kept.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Some(kind) = text.chars().next() else { return Some(Self::Missing) };
        let (_, rest) = text.split_at_checked(kind.len_utf8())?;
        match kind {
            'n' => rest.parse().ok().map(Self::Number),
            't' => rest.parse().ok().map(Self::Time),
            's' => Some(Self::Text(rest.to_owned())),
            _ => None,
        }
    }

    /// The order in which rows are shown.
    pub(super) fn compare(&self, other: &Self, descends: bool) -> Ordering {
        let ordering = match (self, other) {
            (Self::Missing, Self::Missing) => Ordering::Equal,
            (Self::Missing, _) => return Ordering::Greater,
            (_, Self::Missing) => return Ordering::Less,
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Time(one), Self::Time(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            // a key has values of one kind
            _ => Ordering::Equal,
        };
        if descends { ordering.reverse() } else { ordering }
    }

    /// As a value of a statement, unless there is none.
    pub(super) fn parameter(&self) -> Option<Parameter> {
        Some(match self {
            Self::Missing => return None,
            Self::Number(number) => Parameter::Number(*number),
            Self::Time(micros) => Parameter::Time(micros.saturating_mul(1_000)),
            Self::Text(text) => Parameter::Text(text.clone()),
        })
    }
}

/// Adds that a row comes after this one: by a column, of which rows without a value come last, and then by a column that ascends.
pub(super) fn push_after(
    statement: &mut Statement,
    (column, descends): (&str, bool),
    mark: &Mark,
    (tie, name): (&str, &str),
) {
    let name = statement.place(name);
    let Some(value) = mark.parameter() else {
        statement.push(&format!(" AND isNull({column}) AND {tie} > {name}"));
        return;
    };
    let (value, compared) = (statement.place(value), if descends { "<" } else { ">" });
    statement.push(&format!(
        " AND (isNull({column}) OR {column} {compared} {value} OR {column} = {value} AND {tie} > {name})"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_keeps_a_value_as_it_is() {
        let marks = [
            Mark::Missing,
            Mark::Number(0.1 + 0.2),
            Mark::Number(-1e300),
            Mark::Time(1_764_000_000_120_001),
            Mark::Text(String::new()),
            Mark::Text("\u{fc} t1".to_owned()),
        ];
        for mark in marks {
            assert_eq!(Mark::read(&mark.written()), Some(mark));
        }
        for text in ["x1", "n", "nx", "t1.5", "\u{fc}"] {
            assert_eq!(Mark::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_has_no_value_comes_last_in_both_directions() {
        for descends in [false, true] {
            assert_eq!(Mark::Missing.compare(&Mark::Time(1), descends), Ordering::Greater);
            assert_eq!(Mark::Time(1).compare(&Mark::Missing, descends), Ordering::Less);
        }
        assert_eq!(Mark::Number(1.0).compare(&Mark::Number(2.0), true), Ordering::Greater);
    }

    #[test]
    fn a_page_begins_after_a_row() {
        let sql = |mark: &Mark, descends: bool| {
            let mut statement = Statement::default();
            push_after(&mut statement, ("Value", descends), mark, ("Id", "i"));
            statement.sql().to_owned()
        };
        assert_eq!(sql(&Mark::Missing, true), " AND isNull(Value) AND Id > {p0:String}");
        let want = " AND (isNull(Value) OR Value < {p1:Float64} OR Value = {p1:Float64} AND Id > {p0:String})";
        assert_eq!(sql(&Mark::Number(1.0), true), want);
    }
}
