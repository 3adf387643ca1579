//! What the sessions of experiments come to, by the names that sorts and filters have for it: `cost_usd.mean`, `run_count`.

use super::rollups::{Rollup, Stats};
use crate::query::answer::Refusal;
use crate::query::filter::{Comparison, Operator};
use serde_json::Value;

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
            Self::Count => count(stats.count),
        }
    }
}

/// A figure of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measured {
    Runs,
    TestCases,
    Cost(Stat),
    Latency(Stat),
    Tokens(Stat),
    Evaluator(String, Stat),
}

impl Measured {
    /// Reads its name.
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path {
            "run_count" => return Some(Self::Runs),
            "test_case_count" => return Some(Self::TestCases),
            _ => {}
        }
        let (head, rest) = path.split_once('.')?;
        match head {
            "cost_usd" => Stat::parse(rest).map(Self::Cost),
            "latency_ms" => Stat::parse(rest).map(Self::Latency),
            "tokens" => Stat::parse(rest).map(Self::Tokens),
            // the name of an evaluator may have dots
            "evaluators" => {
                let (name, stat) = rest.rsplit_once('.').filter(|(name, _)| !name.is_empty())?;
                Some(Self::Evaluator(name.to_owned(), Stat::parse(stat)?))
            }
            _ => None,
        }
    }

    /// What it is, if anything is known of it.
    pub(super) fn of(&self, rollup: &Rollup) -> Option<f64> {
        let of = |stats: &Option<Stats>, stat: Stat| stats.as_ref().map(|stats| stat.of(stats));
        match self {
            Self::Runs => Some(count(rollup.runs)),
            Self::TestCases => Some(count(rollup.cases)),
            Self::Cost(stat) => of(&rollup.cost, *stat),
            Self::Latency(stat) => of(&rollup.latency, *stat),
            Self::Tokens(stat) => of(&rollup.tokens, *stat),
            Self::Evaluator(name, stat) => rollup.scores.get(name).map(|stats| stat.of(stats)),
        }
    }
}

fn count(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether the name of a field is meant to be that of a figure.
pub(super) fn is_measure(field: &str) -> bool {
    let head = field.split_once('.').map_or(field, |(head, _)| head);
    matches!(field, "run_count" | "test_case_count")
        || matches!(head, "cost_usd" | "latency_ms" | "tokens" | "evaluators")
}

/// What a figure must be like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measure {
    measured: Measured,
    operator: Operator,
    bound: f64,
}

impl Measure {
    /// Reads a comparison.
    pub(super) fn read(comparison: &Comparison) -> Result<Self, Refusal> {
        let Comparison { field, below, operator, value } = comparison;
        let measured = Some(field).filter(|_| below.is_empty()).and_then(|field| Measured::parse(field));
        let unknown = || Refusal::bad_request(&format!("Unsupported metric filter field: {field}"));
        let measured = measured.ok_or_else(unknown)?;
        if matches!(operator, Operator::Like | Operator::In | Operator::Nin) {
            let why = format!("Metric filter '{field}' supports only numeric operators ($gte/$lte/$gt/$lt/$eq).");
            return Err(Refusal::bad_request(&why));
        }
        let bound = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let why = || Refusal::bad_request(&format!("Metric filter '{field}' requires a numeric value, got {value}."));
        let bound = bound.filter(|number: &f64| number.is_finite()).ok_or_else(why)?;
        Ok(Self { measured, operator: *operator, bound })
    }

    /// Whether it holds. What is not known is not like anything.
    pub(super) fn holds(&self, rollup: &Rollup) -> bool {
        let Some(ordering) = self.measured.of(rollup).map(|found| found.total_cmp(&self.bound)) else { return false };
        match self.operator {
            Operator::Gt => ordering.is_gt(),
            Operator::Gte => ordering.is_ge(),
            Operator::Lt => ordering.is_lt(),
            Operator::Lte => ordering.is_le(),
            _ => ordering.is_eq(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str, operator: Operator, value: Value) -> Result<Measure, String> {
        let comparison = Comparison { field: field.to_owned(), below: Vec::new(), operator, value };
        Measure::read(&comparison).map_err(|refusal| refusal.detail().as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_figure_is_named_by_a_path() {
        let dotted = Measured::Evaluator("harbor.verifier".into(), Stat::P90);
        assert_eq!(Measured::parse("evaluators.harbor.verifier.p90"), Some(dotted));
        assert_eq!(Measured::parse("tokens.p95"), Some(Measured::Tokens(Stat::P95)));
        for wrong in ["cost_usd", "cost_usd.bogus", "evaluators..mean", "evaluators.mean", "name"] {
            assert_eq!(Measured::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_figure_is_compared_and_one_that_is_not_known_meets_nothing() {
        let rollup = Rollup { runs: 3, ..Rollup::default() };
        let holds = |field: &str, operator, bound: f64| read(field, operator, bound.into()).unwrap().holds(&rollup);
        for (operator, wants) in [
            (Operator::Gt, [true, false, false]),
            (Operator::Gte, [true, true, false]),
            (Operator::Eq, [false, true, false]),
            (Operator::Lte, [false, true, true]),
            (Operator::Lt, [false, false, true]),
        ] {
            assert_eq!([2.0, 3.0, 4.0].map(|bound| holds("run_count", operator, bound)), wants, "{operator:?}");
            assert!(!holds("cost_usd.mean", operator, 0.0));
        }
        assert!(read("run_count", Operator::Gte, "2".into()).is_ok(), "a text of a number");
        let why = "Metric filter 'run_count' supports only numeric operators ($gte/$lte/$gt/$lt/$eq).";
        assert_eq!(read("run_count", Operator::In, 1.into()), Err(why.to_owned()));
        assert!(read("run_count", Operator::Eq, "many".into()).is_err());
    }
}
