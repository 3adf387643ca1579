//! What Grafana and its ClickHouse plugin put in place of variables and macros.
//!
//! ```text
//! in the browser   $__conditionalAll(expression, $variable)   the expression, or 1=1 for All
//!                  $variable  ${variable:format}              the values; in quotes and comments too
//! in the plugin    $__timeFilter(column) and its like         not in quotes and comments
//! ```
//!
//! Source: grafana/clickhouse-datasource 4.20, `src/data/CHDatasource.ts`, `pkg/macros`; Grafana, "Variable syntax".

use std::collections::BTreeMap;

/// Seconds of a point of a plot.
const INTERVAL: u32 = 600;

/// What is chosen on a dashboard.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    range: (i64, i64),
    /// The values of each variable; none is All.
    values: BTreeMap<String, Option<Vec<String>>>,
}

impl Selection {
    pub(super) fn new(range: (i64, i64)) -> Self {
        Self { range, values: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, variable: &str, values: &[&str]) {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.values.insert(variable.to_owned(), Some(values));
    }

    pub(super) fn set_all(&mut self, variable: &str) {
        self.values.insert(variable.to_owned(), None);
    }

    /// A query as ClickHouse gets it.
    pub(super) fn expanded(&self, query: &str) -> Result<String, String> {
        let query = self.conditions(query)?;
        let query = self.variables(&query)?;
        self.macros(&query)
    }

    /// `$__conditionalAll(expression, $variable)`.
    fn conditions(&self, query: &str) -> Result<String, String> {
        const NAME: &str = "$__conditionalAll";
        let (mut out, mut rest) = (String::new(), query);
        while let Some(at) = rest.find(NAME) {
            out.push_str(&rest[..at]);
            let (arguments, after) = arguments(&rest[at + NAME.len()..])?;
            let (expression, variable) = arguments.rsplit_once(',').ok_or("$__conditionalAll has two arguments")?;
            let variable = variable.trim().strip_prefix('$').ok_or("the second argument is a variable")?;
            let value =
                self.values.get(variable).ok_or_else(|| format!("${variable} is no variable of the dashboard"))?;
            out.push_str(if value.is_none() { "1=1" } else { expression.trim() });
            rest = after;
        }
        Ok(out + rest)
    }

    /// `${variable:format}` and `$variable`.
    fn variables(&self, query: &str) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), query);
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if rest.starts_with("__") {
                out.push('$');
                continue;
            }
            let (name, format, after) = match rest.strip_prefix('{') {
                Some(inside) => {
                    let (inside, after) = inside.split_once('}').ok_or("a brace is not closed")?;
                    let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
                    (name, format, after)
                }
                None => {
                    let end =
                        rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
                    (&rest[..end], "", &rest[end..])
                }
            };
            let values = self.values.get(name).ok_or_else(|| format!("${name} is no variable of the dashboard"))?;
            let values = values.as_ref().ok_or_else(|| format!("${name} is All outside of $__conditionalAll"))?;
            match format {
                // Source: Grafana, "Advanced variable format options"
                "singlequote" => {
                    let quoted =
                        values.iter().map(|value| format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")));
                    out.push_str(&quoted.collect::<Vec<_>>().join(","));
                }
                other => return Err(format!("the format {other:?} of ${name} is not safe in a statement")),
            }
            rest = after;
        }
        Ok(out + rest)
    }

    /// Macros of the plugin, which leaves text in quotes and comments alone.
    fn macros(&self, query: &str) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), query);
        loop {
            let next = rest.find(['$', '\'', '-', '/']).unwrap_or(rest.len());
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            let passed = match rest.as_bytes() {
                [] => return Ok(out),
                [b'\'', ..] => quoted(rest)?,
                [b'-', b'-', ..] => rest.find('\n').unwrap_or(rest.len()),
                [b'/', b'*', ..] => rest.find("*/").ok_or("a comment is not closed")? + 2,
                [b'$', ..] => {
                    rest = self.macro_at(rest, &mut out)?;
                    continue;
                }
                _ => 1,
            };
            out.push_str(&rest[..passed]);
            rest = &rest[passed..];
        }
    }

    fn macro_at<'q>(&self, query: &'q str, out: &mut String) -> Result<&'q str, String> {
        let end =
            query[1..].find(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(query.len(), |at| at + 1);
        let (name, after) = query.split_at(end);
        let (from, to) = self.range;
        let (argument, after) = match after.strip_prefix('(') {
            Some(_) => arguments(after)?,
            None => ("", after),
        };
        let made = match name {
            "$__timeFilter" => format!("{argument} >= toDateTime({from}) AND {argument} <= toDateTime({to})"),
            "$__timeFilter_ms" => {
                format!("{argument} >= toDateTime64({from}.000, 3) AND {argument} <= toDateTime64({to}.000, 3)")
            }
            "$__fromTime" => format!("toDateTime({from})"),
            "$__toTime" => format!("toDateTime({to})"),
            "$__fromTime_ms" => format!("toDateTime64({from}.000, 3)"),
            "$__toTime_ms" => format!("toDateTime64({to}.000, 3)"),
            "$__timeInterval" => format!("toStartOfInterval(toDateTime({argument}), INTERVAL {INTERVAL} second)"),
            "$__interval_s" => INTERVAL.to_string(),
            unknown => return Err(format!("{unknown} is no macro of the plugin")),
        };
        let wants_argument =
            !name.starts_with("$__fromTime") && !name.starts_with("$__toTime") && name != "$__interval_s";
        if wants_argument == argument.is_empty() {
            return Err(format!("{name} has {argument:?} as its argument"));
        }
        out.push_str(&made);
        Ok(after)
    }
}

/// What stands in the parentheses that a text begins with, and what comes after.
fn arguments(text: &str) -> Result<(&str, &str), String> {
    let inside = text.strip_prefix('(').ok_or("a macro has its arguments in parentheses")?;
    let mut depth = 0;
    for (at, letter) in inside.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 0 => return Ok((&inside[..at], &inside[at + 1..])),
            ')' => depth -= 1,
            _ => {}
        }
    }
    Err("a parenthesis is not closed".to_owned())
}

/// How long the text in quotes is that a text begins with.
fn quoted(text: &str) -> Result<usize, String> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' => return Ok(at + 1),
            _ => {}
        }
    }
    Err("a quote is not closed".to_owned())
}

#[test]
fn macros_and_variables_are_expanded_as_the_plugin_does_and_unknown_ones_are_errors() {
    let mut selection = Selection::new((10, 20));
    selection.set_all("all");
    selection.set("some", &["a", "o'b\\"]);
    let of = |query: &str| selection.expanded(query);
    assert_eq!(of("x WHERE $__timeFilter(t)").unwrap(), "x WHERE t >= toDateTime(10) AND t <= toDateTime(20)");
    assert_eq!(of("$__conditionalAll(a IN (${all:singlequote}), $all)").unwrap(), "1=1");
    assert_eq!(of("$__conditionalAll(a IN (${some:singlequote}), $some)").unwrap(), r"a IN ('a','o\'b\\')");
    assert_eq!(of("'$__timeFilter(t)' -- $__no\n/* $__no */ 1").unwrap(), "'$__timeFilter(t)' -- $__no\n/* $__no */ 1");
    assert_eq!(
        of("$__timeInterval(toDate(t))").unwrap(),
        "toStartOfInterval(toDateTime(toDate(t)), INTERVAL 600 second)"
    );
    for wrong in ["$__timeFiltr(t)", "$__timeFilter", "$unknown", "${some}", "$all", "$__conditionalAll(a, $unknown)"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}
