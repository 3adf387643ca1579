//! What a search means, and that no text of it is ever part of the statement.

use super::{Level, Scope, Search, push};
use crate::clickhouse::Statement;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use proptest::prelude::*;

fn now() -> UnixNanos {
    UnixNanos::from_i64(1_800_000_000_000_000_000).unwrap()
}

fn sql_at(level: Level, text: &str) -> Result<String, (usize, String)> {
    let search = Search::parse(text, now()).map_err(|problem| (problem.position, problem.why))?;
    let workspace = Workspace::default();
    let name = str::to_owned;
    let (spans, traces, scores) = (name("spans"), name("traces"), name("scores"));
    let (since, until) = search.bounds();
    let scope = Scope { level, workspace: &workspace, spans, traces, scores, since, until, trace: None };
    let mut statement = Statement::default();
    push(&mut statement, search.root(), &scope);
    Ok(statement.sql().to_owned())
}

fn sql(text: &str) -> Result<String, (usize, String)> {
    sql_at(Level::Span, text)
}

#[test]
fn terms_are_conditions_on_spans() {
    let cases = [
        ("provider:openai", "ifNull(Provider = {p0:String}, false)"),
        ("provider:open*", "ifNull(Provider LIKE {p0:String}, false)"),
        ("provider:\"open*\"", "ifNull(Provider = {p0:String}, false)"),
        ("-provider:x", "(NOT ifNull(Provider = {p0:String}, false))"),
        ("NOT provider:x", "(NOT ifNull(Provider = {p0:String}, false))"),
        ("provider:(a OR b)", "(ifNull(Provider = {p0:String}, false) OR ifNull(Provider = {p1:String}, false))"),
        ("provider:a tool:b", "(ifNull(Provider = {p0:String}, false) AND ifNull(ToolName = {p1:String}, false))"),
        (
            "provider:a OR tool:b AND user:c",
            "(ifNull(Provider = {p0:String}, false) OR (ifNull(ToolName = {p1:String}, false) AND ifNull(UserId = {p2:String}, false)))",
        ),
        ("cost:>0.1", "ifNull(toFloat64(CostTotal) > {p0:Float64}, false)"),
        ("tokens:<=10k", "ifNull(TotalTokens <= {p0:Float64}, false)"),
        ("ttft:>=1.5s", "ifNull(TimeToFirstToken >= {p0:Float64}, false)"),
        ("started:>-1h", "ifNull(Timestamp > fromUnixTimestamp64Nano({p0:Int64}, 'UTC'), false)"),
        ("kind:llm", "(Operation IN {p0:Array(String)})"),
        ("attr.http.route:\"/x\"", "ifNull(SpanAttributes[{p0:String}] = {p1:String}, false)"),
        ("attr.\"my key\":>3", "ifNull(toFloat64OrNull(SpanAttributes[{p0:String}]) > {p1:Float64}, false)"),
        ("has:attr.x", "mapContains(SpanAttributes, {p0:String})"),
        ("has:user", "ifNull(UserId IS NOT NULL AND toString(UserId) != '', false)"),
        (
            "score.helpful:<0.5",
            "(SpanId IN (SELECT s.SpanId FROM scores AS s WHERE s.Workspace = {p0:String} AND s.SpanId != '' AND s.Name = {p1:String} AND ifNull(s.Value < {p2:Float64}, false)))",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(sql(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn a_trace_has_what_one_of_its_spans_has_and_its_sums() {
    let tool = sql_at(Level::Trace, "tool:x started:>2026-01-01").unwrap();
    assert_eq!(
        tool,
        "((TraceId IN (SELECT TraceId FROM spans WHERE Workspace = {p0:String} AND Timestamp >= fromUnixTimestamp64Nano({p1:Int64}, 'UTC') AND \
         ifNull(ToolName = {p2:String}, false))) AND ifNull(Started > fromUnixTimestamp64Nano({p3:Int64}, 'UTC'), false))"
    );
    let cost = sql_at(Level::Trace, "cost:>1").unwrap();
    assert_eq!(
        cost,
        "(TraceId IN (SELECT TraceId FROM traces AS t WHERE t.Workspace = {p0:String} AND ifNull(toFloat64(t.CostTotal) > {p1:Float64}, false)))"
    );
    assert_eq!(sql_at(Level::Session, "cost:>1").unwrap(), "ifNull(cost_total > {p0:Float64}, false)");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        ("modle:x", 1, "unknown field 'modle': did you mean 'model'?"),
        ("model:a statu:ok", 9, "unknown field 'statu': did you mean 'status'?"),
        ("model:", 7, "a value is missing; write it right after the colon"),
        ("cost:>cheap", 6, "'cheap' is not a number of US dollars, such as 0.05"),
        ("duration:>2", 10, "'2' is not a time with its unit, such as 500ms or 2s"),
        ("status:bad", 8, "'bad' is not a status: ok, error, cancelled"),
        ("model:>x", 7, "model is a text, which < and > do not compare"),
        ("started:2026-01-01", 9, "compare started with > or <"),
        ("(model:x", 1, "this ( is not closed"),
        ("model:x)", 8, "a ) that nothing opened; put it in quotes if you look for it"),
        ("\u{fc} \"abc", 3, "this \" is not closed"),
        ("model:x OR", 11, "a term is missing, such as model:gpt-5* or \"a text\""),
        ("provider:(a b)", 13, "OR is missing between two values"),
        ("attr:x", 1, "unknown field 'attr': write attr.NAME:value"),
    ];
    for (text, position, why) in cases {
        assert_eq!(sql(text), Err((position, why.to_owned())), "{text}");
    }
    let (_, why) = sql("zzzzzzz:1").unwrap_err();
    assert!(why.contains("model, provider") && why.contains("attr.KEY"), "{why}");
    assert!(sql(&"(".repeat(100)).is_err());
    assert!(sql(&"a ".repeat(100)).is_err());
    assert!(sql(&"a".repeat(5_000)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_within_it(text in "(model|cost|has|attr\\.k|score\\.s|-|\\(|\\)|:|>|\"|OR|AND| |x|7|ms|\\*|,|\\PC){0,24}") {
        match Search::parse(&text, now()) {
            Ok(_) => {}
            Err(problem) => prop_assert!(problem.position >= 1 && problem.position <= text.chars().count() + 2, "{:?}", problem),
        }
    }

    #[test]
    fn values_never_reach_the_statement(value in "[A-Za-z0-9';\\-{}?%]{6,20}") {
        let marked = format!("zq{value}qz");
        let texts = [
            format!("model:\"{marked}\" attr.\"{marked}\":\"{marked}\" \"{marked}\" score.\"{marked}\":\"{marked}\""),
            format!("model:*{marked}"),
        ];
        for text in texts {
            for level in [Level::Span, Level::Trace, Level::Session] {
                let sql = sql_at(level, &text).map_err(|problem| TestCaseError::fail(format!("{problem:?}")))?;
                prop_assert!(!sql.contains("zq") && !sql.contains("qz"), "{}", sql);
            }
        }
    }
}
