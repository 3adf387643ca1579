//! Room for rows like those there are.

/// Makes room for what `more` rows take when `rows` rows took what there is.
pub(super) fn reserve_alike<T>(column: &mut Vec<T>, rows: usize, more: usize) {
    column.reserve(column.len().saturating_mul(more) / rows.max(1));
}
