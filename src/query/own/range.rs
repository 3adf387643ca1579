//! What every question about calls has: from when to when, and of which model, user, session and so on.

use crate::clickhouse::Statement;
use crate::query::answer::{Problem, Refusal};
use crate::query::measures::GROUPINGS;
use crate::query::parameters::Parameters;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use serde_json::Value;
use std::time::Duration;

/// How far back a question looks that does not say.
const DEFAULT_RANGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Which calls are meant.
pub(super) struct Calls<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) since: UnixNanos,
    pub(super) until: UnixNanos,
    are: Vec<(&'static str, String)>,
}

impl<'a> Calls<'a> {
    /// # Errors
    /// 422 if a time is none.
    pub(super) fn read(workspace: &'a Workspace, parameters: &Parameters, now: UnixNanos) -> Result<Self, Refusal> {
        let until = time(parameters, "until")?.unwrap_or(now);
        let since = time(parameters, "since")?.unwrap_or_else(|| until.saturating_sub(DEFAULT_RANGE));
        let given = |(name, column): &(&str, &'static str)| Some((*column, parameters.get(name)?.to_owned()));
        Ok(Self { workspace, since, until, are: GROUPINGS.iter().filter_map(given).collect() })
    }

    /// `WHERE`, of rows with the columns of `genai_calls`.
    pub(super) fn push(&self, statement: &mut Statement) {
        statement.push(" WHERE Workspace = ").bind(self.workspace.as_str());
        statement.push(" AND Timestamp >= ").bind(self.since).push(" AND Timestamp < ").bind(self.until);
        for (column, value) in &self.are {
            statement.push(&format!(" AND {column} = ")).bind(value.as_str());
        }
    }
}

/// Milliseconds since 1970, as pages count.
fn time(parameters: &Parameters, name: &str) -> Result<Option<UnixNanos>, Refusal> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let at = text.parse::<i64>().ok().and_then(|ms| ms.checked_mul(1_000_000)).and_then(UnixNanos::from_i64);
    at.map(Some).ok_or_else(|| {
        let problem = Problem::new(
            "int_parsing",
            &["query", name],
            "Input should be milliseconds since 1970",
            text.into(),
            Value::Null,
        );
        Refusal::invalid(vec![problem])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_from_when_to_when_and_of_what() {
        let workspace = Workspace::new("default").unwrap();
        let now = UnixNanos::from_i64(2_000_000_000_000_000_000).unwrap();
        let parameters = Parameters::parse(Some("since=1000&until=2000&model=m'x")).unwrap();
        let calls = Calls::read(&workspace, &parameters, now).unwrap();
        let mut statement = Statement::new("");
        calls.push(&mut statement);
        assert_eq!(
            statement.shown(),
            " WHERE Workspace = 'default' AND Timestamp >= fromUnixTimestamp64Nano(1000000000, 'UTC') \
             AND Timestamp < fromUnixTimestamp64Nano(2000000000, 'UTC') AND Model = 'm\\'x'"
        );
        let day = Calls::read(&workspace, &Parameters::default(), now).unwrap();
        assert_eq!(day.until.nanos() - day.since.nanos(), 86_400_000_000_000);
        assert!(Calls::read(&workspace, &Parameters::parse(Some("since=yesterday")).unwrap(), now).is_err());
    }
}
