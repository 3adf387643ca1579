//! The list of experiments: which of them, in which order. What sessions come to is known only after they were asked for, so an order by
//! that is made here.

use super::rollups::{Rollup, Stats};
use crate::clickhouse::experiments::ExperimentRow;
use crate::query::answer::Refusal;
use crate::query::filter::{Comparison, Condition, Fields, Filter, Operator};
use serde_json::Value;
use std::cmp::Ordering;

/// Whether what was deleted is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    Not,
    Only,
}

/// A filter, without what it says of deleted and pinned ones.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) condition: Option<Condition>,
    pub(super) deleted: Deleted,
    pub(super) pinned: Option<bool>,
    /// As the answer repeats it.
    pub(super) echo: Filter,
}

/// Reads a filter. `is_deleted` and `is_pinned` are told otherwise than they were asked for.
pub(super) fn read(filter: Option<Filter>, fields: &Fields) -> Result<Asked, Refusal> {
    if let Some(filter) = &filter {
        fields.check_names(filter)?;
    }
    let mut parts = match filter {
        None => Vec::new(),
        Some(Filter::And(parts)) => parts,
        Some(other) => vec![other],
    };
    let deleted = if taken(&mut parts, "is_deleted") == Some(true) { Deleted::Only } else { Deleted::Not };
    let pinned = taken(&mut parts, "is_pinned");
    let condition = match parts.as_slice() {
        [] => None,
        parts => Some(Condition::All(parts.iter().map(|part| fields.check(part)).collect::<Result<_, _>>()?)),
    };
    let is_deleted = Filter::is("is_deleted", true.into());
    parts.push(if deleted == Deleted::Only { is_deleted } else { Filter::Not(Box::new(is_deleted)) });
    if let Some(is_pinned) = pinned {
        let never = Filter::is("data.pinned_at", Value::Null);
        parts.push(if is_pinned { Filter::Not(Box::new(never)) } else { never });
    }
    Ok(Asked { condition, deleted, pinned, echo: Filter::all(parts) })
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
    Name,
    CreatedAt,
    UpdatedAt,
    PinnedAt,
    RunCount,
    Cost(Stat),
    Latency(Stat),
    Evaluator(String, Stat),
}

/// A figure of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    Sum,
    Mean,
    Median,
    P90,
    P95,
    P99,
    Count,
}

impl Stat {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "median" => Self::Median,
            "p90" => Self::P90,
            "p95" => Self::P95,
            "p99" => Self::P99,
            "count" => Self::Count,
            _ => return None,
        })
    }

    fn of(self, stats: &Stats) -> f64 {
        match self {
            Self::Sum => stats.sum,
            Self::Mean => stats.mean,
            Self::Median => stats.median,
            Self::P90 => stats.p90,
            Self::P95 => stats.p95,
            Self::P99 => stats.p99,
            Self::Count => f64::from(u32::try_from(stats.count).unwrap_or(u32::MAX)),
        }
    }
}

impl Key {
    /// Reads what comes after the sign.
    pub(super) fn parse(field: &str) -> Result<Self, Refusal> {
        let known = match field {
            "name" => Some(Self::Name),
            "created_at" => Some(Self::CreatedAt),
            "updated_at" => Some(Self::UpdatedAt),
            "pinned_at" => Some(Self::PinnedAt),
            "run_count" => Some(Self::RunCount),
            path => Self::of_path(path),
        };
        known.ok_or_else(|| Refusal::bad_request(&format!("Unsupported sort field: {field}")))
    }

    fn of_path(path: &str) -> Option<Self> {
        let (head, rest) = path.split_once('.')?;
        match head {
            "cost_usd" => Stat::parse(rest).map(Self::Cost),
            "latency_ms" => Stat::parse(rest).map(Self::Latency),
            // the name of an evaluator may have dots
            "evaluators" => {
                let (name, stat) = rest.rsplit_once('.').filter(|(name, _)| !name.is_empty())?;
                Some(Self::Evaluator(name.to_owned(), Stat::parse(stat)?))
            }
            _ => None,
        }
    }

    /// Whether it is known before sessions were asked for.
    pub(super) fn is_of_row(&self) -> bool {
        matches!(self, Self::Name | Self::CreatedAt | Self::UpdatedAt | Self::PinnedAt)
    }

    fn compare(&self, one: &(ExperimentRow, Rollup), other: &(ExperimentRow, Rollup), descends: bool) -> Ordering {
        let by = |ordering: Ordering| if descends { ordering.reverse() } else { ordering };
        match self {
            Self::Name => by(one.0.name.cmp(&other.0.name)),
            Self::CreatedAt => by(one.0.created_at.cmp(&other.0.created_at)),
            Self::UpdatedAt => by(one.0.updated_at.cmp(&other.0.updated_at)),
            Self::RunCount => by(one.1.runs.cmp(&other.1.runs)),
            Self::PinnedAt => missing_last(one.0.pinned_at, other.0.pinned_at, |a, b| by(a.cmp(b))),
            Self::Cost(stat) => {
                let of = |(_, rollup): &(_, Rollup)| rollup.cost.as_ref().map(|stats| stat.of(stats));
                missing_last(of(one), of(other), |a, b| by(a.total_cmp(b)))
            }
            Self::Latency(stat) => {
                let of = |(_, rollup): &(_, Rollup)| rollup.latency.as_ref().map(|stats| stat.of(stats));
                missing_last(of(one), of(other), |a, b| by(a.total_cmp(b)))
            }
            Self::Evaluator(name, stat) => {
                let of = |(_, rollup): &(_, Rollup)| rollup.scores.get(name).map(|stats| stat.of(stats));
                missing_last(of(one), of(other), |a, b| by(a.total_cmp(b)))
            }
        }
    }

    /// Puts experiments in order; what has no value comes last, and names decide between equals.
    pub(super) fn sort(&self, experiments: &mut [(ExperimentRow, Rollup)], descends: bool) {
        experiments
            .sort_by(|one, other| self.compare(one, other, descends).then_with(|| one.0.name.cmp(&other.0.name)));
    }
}

fn missing_last<T>(one: Option<T>, other: Option<T>, compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => compare(&one, &other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_by_a_column_or_by_a_figure() {
        let said = |refusal: Refusal| refusal.detail().as_str().unwrap_or_default().to_owned();
        assert_eq!(Key::parse("cost_usd.mean").map_err(said), Ok(Key::Cost(Stat::Mean)));
        let dotted = Key::Evaluator("harbor.verifier".into(), Stat::P90);
        assert_eq!(Key::parse("evaluators.harbor.verifier.p90").map_err(said), Ok(dotted));
        for wrong in ["cost_usd.bogus", "name,-created_at", "evaluators.mean", "cost_usd", ""] {
            assert_eq!(Key::parse(wrong).map_err(said), Err(format!("Unsupported sort field: {wrong}")));
        }
    }

    #[test]
    fn what_has_no_value_comes_last_in_both_directions() {
        let of = |pinned: Option<i64>, other: Option<i64>, descends: bool| {
            missing_last(pinned, other, |a, b| if descends { b.cmp(a) } else { a.cmp(b) })
        };
        for descends in [false, true] {
            assert_eq!(of(None, Some(1), descends), Ordering::Greater);
            assert_eq!(of(Some(1), None, descends), Ordering::Less);
        }
        assert_eq!(of(Some(1), Some(2), true), Ordering::Greater);
    }
}
