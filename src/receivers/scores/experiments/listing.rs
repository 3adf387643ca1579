//! The list of experiments: which of them, in which order. What sessions come to is known only after they were asked for, so an order and
//! a filter by that are made here.

use super::measures::{Measure, Measured, is_measure};
use super::rollups::Rollup;
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::ExperimentRow;
use crate::query::answer::Refusal;
use crate::query::filter::{Comparison, Condition, Fields, Filter, Operator};
use crate::receivers::scores::marks::Mark;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// Whether what was deleted is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    Not,
    Only,
}

/// A filter, without what it says of deleted and pinned ones.
#[derive(Debug)]
pub(super) struct ExperimentFilter {
    pub(super) condition: Option<Condition>,
    pub(super) deleted: Deleted,
    pub(super) pinned: Option<bool>,
    /// What the sessions must come to.
    pub(super) measures: Vec<Measure>,
    /// Members of the metadata, and what they must be.
    metadata: Vec<(String, String)>,
    /// As the answer repeats it.
    pub(super) echo: Filter,
}

/// Reads a filter. `is_deleted` and `is_pinned` are told otherwise than they were asked for.
pub(super) fn read(filter: Option<Filter>, fields: &Fields) -> Result<ExperimentFilter, Refusal> {
    for comparison in filter.iter().flat_map(Filter::comparisons) {
        if !fields.is_extended || !(is_measure(&comparison.field) || is_metadata(comparison)) {
            fields.check_names(&Filter::Compare(comparison.clone()))?;
        }
    }
    let mut parts = Vec::new();
    filter.into_iter().for_each(|filter| flatten(filter, &mut parts));
    let deleted = if taken(&mut parts, "is_deleted") == Some(true) { Deleted::Only } else { Deleted::Not };
    let pinned = taken(&mut parts, "is_pinned");
    let (mut conditions, mut measures, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
    for part in &mut parts {
        match part {
            Filter::Compare(comparison) if fields.is_extended && is_measure(&comparison.field) => {
                measures.push(Measure::read(comparison)?);
            }
            Filter::Compare(comparison) if fields.is_extended && is_metadata(comparison) => {
                metadata.push(member(comparison)?);
                *part = echo_of_member(comparison);
            }
            other => {
                refuse_nested(other)?;
                conditions.push(fields.check(other)?);
            }
        }
    }
    let condition = (!conditions.is_empty()).then_some(Condition::All(conditions));
    let is_deleted = Filter::is("is_deleted", true.into());
    parts.push(if deleted == Deleted::Only { is_deleted } else { Filter::Not(Box::new(is_deleted)) });
    if let Some(is_pinned) = pinned {
        let never = Filter::is("data.pinned_at", Value::Null);
        parts.push(if is_pinned { Filter::Not(Box::new(never)) } else { never });
    }
    Ok(ExperimentFilter { condition, deleted, pinned, measures, metadata, echo: Filter::all(parts) })
}

fn flatten(filter: Filter, parts: &mut Vec<Filter>) {
    match filter {
        Filter::And(inner) => inner.into_iter().for_each(|part| flatten(part, parts)),
        other => parts.push(other),
    }
}

/// What is not asked of the table cannot be an alternative to what is.
fn refuse_nested(part: &Filter) -> Result<(), Refusal> {
    if matches!(part, Filter::Compare(_)) {
        return Ok(());
    }
    for comparison in part.comparisons() {
        let what = match comparison {
            measure if is_measure(&measure.field) => "Metric",
            member if is_metadata(member) => "Metadata",
            flag if matches!(flag.field.as_str(), "is_deleted" | "is_pinned") => "Flag",
            _ => continue,
        };
        return Err(Refusal::bad_request(&format!("{what} filters can only be combined with AND, not OR/NOT.")));
    }
    Ok(())
}

const METADATA: &str = "metadata";

/// Whether it is about a member of the metadata: `metadata.KEY`, or `metadata` and names below it.
fn is_metadata(comparison: &Comparison) -> bool {
    comparison.field.split_once('.').map_or(comparison.field.as_str(), |(head, _)| head) == METADATA
}

fn member(comparison: &Comparison) -> Result<(String, String), Refusal> {
    let dotted = comparison.field.split_once('.').map(|(_, key)| key.to_owned());
    let key = dotted.into_iter().chain(comparison.below.iter().cloned()).collect::<Vec<_>>().join(".");
    let value = match &comparison.value {
        Value::String(text) => Some(text.clone()),
        number @ (Value::Number(_) | Value::Bool(_)) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Some(value) if comparison.operator == Operator::Eq && !key.is_empty() => Ok((key, value)),
        _ => Err(Refusal::bad_request(
            "Filter field 'metadata' takes a key and a text, such as filter[metadata.KEY]=text, and only equality.",
        )),
    }
}

/// The reference repeats these by the place where it keeps them.
fn echo_of_member(comparison: &Comparison) -> Filter {
    let value = comparison.below.iter().rev().fold(comparison.value.clone(), |value, name| json!({name: value}));
    Filter::is(&format!("data.{}", comparison.field), value)
}

impl ExperimentFilter {
    /// Adds what is asked of a table's rows.
    pub(super) fn push_metadata(&self, statement: &mut Statement) {
        for (key, value) in &self.metadata {
            let (key, value) = (statement.place(key.as_str()), statement.place(value.as_str()));
            let of = "ifNull(e.Metadata, '')";
            statement.push(&format!(
                " AND JSONHas({of}, {key}) AND {value} IN (JSONExtractString({of}, {key}), JSONExtractRaw({of}, {key}))"
            ));
        }
    }
}

/// Takes out what a filter says of a flag.
fn taken(parts: &mut Vec<Filter>, name: &str) -> Option<bool> {
    let is_it = |part: &Filter| matches!(part, Filter::Compare(Comparison { field, operator: Operator::Eq, .. }) if field == name);
    let Filter::Compare(comparison) = parts.remove(parts.iter().position(is_it)?) else { return None };
    match &comparison.value {
        Value::Bool(is) => Some(*is),
        Value::String(text) => Some(matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes")),
        _ => None,
    }
}

/// What experiments are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Pinned ones and others.
    IsPinned,
    Name,
    CreatedAt,
    UpdatedAt,
    PinnedAt,
    /// Something that its sessions come to.
    Measured(Measured),
}

/// An order: keys, each with whether it descends. The first one decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order(Vec<(Key, bool)>);

impl Key {
    /// Reads what comes after the sign.
    fn parse(field: &str) -> Result<Self, Refusal> {
        let known = match field {
            "name" => Some(Self::Name),
            "created_at" => Some(Self::CreatedAt),
            "updated_at" => Some(Self::UpdatedAt),
            "pinned_at" => Some(Self::PinnedAt),
            path => Measured::parse(path).map(Self::Measured),
        };
        known.ok_or_else(|| Refusal::bad_request(&format!("Unsupported sort field: {field}")))
    }

    fn mark(&self, (row, rollup): &(ExperimentRow, Rollup)) -> Mark {
        match self {
            Self::IsPinned => Mark::Time(i64::from(row.pinned_at.is_some())),
            Self::Name => Mark::Text(row.name.clone()),
            Self::CreatedAt => Mark::Time(row.created_at),
            Self::UpdatedAt => Mark::Time(row.updated_at),
            Self::PinnedAt => row.pinned_at.map_or(Mark::Missing, Mark::Time),
            Self::Measured(measured) => measured.of(rollup).into(),
        }
    }
}

impl Order {
    /// One key.
    pub(super) fn of(text: &str) -> Result<Self, Refusal> {
        let (field, descends) = text.strip_prefix('-').map_or((text, false), |field| (field, true));
        Ok(Self(vec![(Key::parse(field)?, descends)]))
    }

    /// Several keys between commas; `parameter` is what gives them.
    pub(super) fn parse(text: &str, parameter: &str) -> Result<Self, Refusal> {
        let fields = text.split(',').map(str::trim).filter(|field| !field.is_empty());
        let keys = fields.map(|field| Self::of(field).map(|order| order.0)).collect::<Result<Vec<_>, _>>()?.concat();
        if keys.is_empty() {
            let why = format!("The '{parameter}' parameter must contain at least one field.");
            return Err(Refusal::bad_request(&why));
        }
        Ok(Self(keys))
    }

    /// The newest first, and before them those that are pinned.
    pub(super) fn pinned_first() -> Self {
        Self(vec![(Key::IsPinned, true), (Key::CreatedAt, true)])
    }

    /// How many values a cursor keeps: one for each key, and the name.
    pub(super) fn kept(&self) -> usize {
        self.0.len() + 1
    }

    /// Whether it is known before sessions were asked for.
    pub(super) fn is_of_rows(&self) -> bool {
        self.0.iter().all(|(key, _)| !matches!(key, Key::Measured(_)))
    }

    /// The values of an experiment.
    pub(super) fn marks(&self, experiment: &(ExperimentRow, Rollup)) -> Vec<Mark> {
        self.0.iter().map(|(key, _)| key.mark(experiment)).collect()
    }

    /// How an experiment stands to one with these values. Names decide between equals.
    pub(super) fn compare(&self, experiment: &(ExperimentRow, Rollup), marks: &[Mark], name: &str) -> Ordering {
        let keys = self.0.iter().zip(marks);
        keys.fold(Ordering::Equal, |so_far, ((key, descends), mark)| {
            so_far.then_with(|| key.mark(experiment).compare(mark, *descends))
        })
        .then_with(|| experiment.0.name.as_str().cmp(name))
    }

    /// Puts experiments in order; what has no value comes last.
    pub(super) fn sort(&self, experiments: &mut [(ExperimentRow, Rollup)]) {
        experiments.sort_by(|one, other| self.compare(one, &self.marks(other), &other.0.name));
    }
}

#[cfg(test)]
mod tests {
    use super::super::measures::Stat;
    use super::*;
    use crate::query::filter::{Field, Kind};
    use crate::query::parameters::Parameters;

    const FIELDS: Fields = Fields {
        subject: "experiment",
        fields: &[
            Field::new("name", Kind::Text),
            Field::new("is_deleted", Kind::Flag),
            Field::extension("metadata", Kind::Known),
        ],
        is_extended: true,
    };

    fn said(refusal: &Refusal) -> String {
        refusal.detail().as_str().unwrap_or_default().to_owned()
    }

    fn asked(query: &str) -> Result<ExperimentFilter, String> {
        let filter = Filter::of(&Parameters::parse(Some(query)).unwrap()).unwrap();
        read(filter, &FIELDS).map_err(|refusal| said(&refusal))
    }

    #[test]
    fn an_order_is_by_a_column_or_by_a_figure() {
        let key = |text: &str| Order::of(text).map_err(|refusal| said(&refusal));
        let cost = Key::Measured(Measured::Cost(Stat::Mean));
        assert_eq!(key("-cost_usd.mean"), Ok(Order(vec![(cost.clone(), true)])));
        for wrong in ["cost_usd.bogus", "name,-created_at", "evaluators.mean", "cost_usd", ""] {
            assert_eq!(key(wrong), Err(format!("Unsupported sort field: {wrong}")));
        }
        let several = Order::parse("cost_usd.mean, -name", "sort").unwrap();
        assert_eq!((several.clone(), several.kept()), (Order(vec![(cost, false), (Key::Name, true)]), 3));
        let none = Order::parse(" ,", "default_sort").unwrap_err();
        assert_eq!(said(&none), "The 'default_sort' parameter must contain at least one field.");
    }

    #[test]
    fn figures_and_metadata_are_filtered_by_and_told_as_the_reference_does() {
        let live = json!({"$not": {"is_deleted": {"$eq": true}}});
        for (query, echo) in [
            ("filter[metadata.k]=v", json!({"data.metadata.k": {"$eq": "v"}})),
            ("filter[metadata][k]=v", json!({"data.metadata": {"$eq": {"k": "v"}}})),
        ] {
            let asked = asked(query).unwrap();
            assert_eq!(asked.metadata, [("k".to_owned(), "v".to_owned())], "{query}");
            assert_eq!(asked.echo.echo(), json!({"$and": [echo, live]}), "{query}");
        }
        let both = asked(r#"filter={"$and":[{"name":"e"},{"$and":[{"cost_usd.mean":{"$gte":0.2}}]}]}"#).unwrap();
        assert_eq!((both.measures.len(), both.condition.is_some()), (1, true));
        for (query, want) in [
            ("filter[cost_usd][mean][$gte]=1", "Unsupported metric filter field: cost_usd"),
            ("filter=cost_usd.mean>=1 OR name:e", "Metric filters can only be combined with AND, not OR/NOT."),
            ("filter=-metadata.k:v", "Metadata filters can only be combined with AND, not OR/NOT."),
            ("filter[nope]=1", "Unknown filter field 'nope'. Valid fields: ['is_deleted', 'metadata', 'name']"),
        ] {
            assert_eq!(asked(query).err().as_deref(), Some(want), "{query}");
        }
    }
}
