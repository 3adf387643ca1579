//! `GET /traces/{trace_id}/tree`: the spans of a trace in the order in which they are drawn, as columns.
//!
//! ```text
//! spans, by time --arrange--> preorder: a span before its children, children by time
//!    parent not there      under a placeholder, which is no span: `parent` is null, `parent_id` says whose it is
//!    a circle of parents   is cut at its earliest span
//! ```
//!
//! Linear in the number of spans.

use super::conversation::{Report, ids_of, reports};
use super::row::{Range, SPANS_MAX};
use super::statements;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::trace_id;
use crate::query::expressions::kind_of;
use crate::query::request::{Api, workspace};
use crate::query::spans::ended;
use crate::query::times::{milliseconds, shown};
use ::clickhouse::Row;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// A span, as far as it is drawn.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Node {
    span_id: String,
    parent_span_id: String,
    started: i64,
    duration: u64,
    timing: String,
    name: String,
    service: String,
    operation: String,
    status: String,
    tokens: Option<u64>,
    cost: Option<f64>,
}

impl Node {
    /// As a line of text; `plain` makes one line of what senders wrote.
    pub(super) fn to_line(&self, plain: impl Fn(&str) -> String) -> String {
        let mut line = format!("{} {} [{}] {}", kind_of(&self.operation), plain(&self.name), self.span_id, self.status);
        if !self.service.is_empty() {
            line.push_str(&format!(" {}", plain(&self.service)));
        }
        if ended(self.started, self.duration, &self.timing).is_some() {
            line.push_str(&format!(" {} ms", milliseconds(self.duration)));
        }
        if let Some(tokens) = self.tokens {
            line.push_str(&format!(" {tokens} tokens"));
        }
        if let Some(cost) = self.cost {
            line.push_str(&format!(" {cost} USD"));
        }
        line
    }
}

/// The spans in the order in which they are drawn, and how deep each is.
pub(super) fn lines(nodes: &[Node]) -> impl Iterator<Item = (usize, &Node)> {
    let ids: Vec<(&str, &str)> =
        nodes.iter().map(|node| (node.span_id.as_str(), node.parent_span_id.as_str())).collect();
    arrange(&ids).into_iter().filter_map(|line| Some((line.depth, nodes.get(line.node)?)))
}

/// `GET /traces/{trace_id}/tree`
pub(in crate::query) async fn tree(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let ids = [trace_id(&id)];
    let range: Option<Range> = super::range(&api, &ids).await?;
    let nodes: Vec<Node> = api.reads.ask(&statements::nodes(&api, &workspace, &ids, range.as_ref())).await?;
    if nodes.is_empty() {
        return Err(Refusal::not_found(&format!("Trace {}/{id} not found", workspace.as_str())));
    }
    let reports: Vec<Report> = api.reads.ask_if_there(&reports(&api, &workspace, &ids, range.as_ref())).await?;
    Ok(json_answer(StatusCode::OK, &to_json(&ids.concat(), &nodes, &reports)))
}

/// Where a span is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drawn {
    /// Which of the spans it is.
    node: usize,
    /// The line of its parent.
    parent: Option<usize>,
    depth: usize,
}

/// The lines of a tree. `ids` are those of spans and of their parents, by time.
fn arrange(ids: &[(&str, &str)]) -> Vec<Drawn> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(ids.len());
    for (node, (id, _)) in ids.iter().enumerate() {
        places.entry(id).or_insert(node);
    }
    // a span that is its own parent has none
    let parent_of = |node: usize| {
        let (_, parent) = ids.get(node)?;
        places.get(parent).copied().filter(|parent| *parent != node)
    };
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); ids.len()];
    let mut roots = Vec::new();
    for node in 0..ids.len() {
        match parent_of(node).and_then(|parent| children.get_mut(parent)) {
            Some(children) => children.push(node),
            None => roots.push(node),
        }
    }
    let mut drawn = Vec::with_capacity(ids.len());
    let mut is_drawn = vec![false; ids.len()];
    // what no root leads to are circles, each of which is entered by its earliest span
    for start in roots.into_iter().chain(0..ids.len()) {
        let mut open = vec![(start, None, 0_usize)];
        while let Some((node, parent, depth)) = open.pop() {
            match is_drawn.get_mut(node) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let line = drawn.len();
            drawn.push(Drawn { node, parent, depth });
            let below = children.get(node).map(Vec::as_slice).unwrap_or_default();
            open.extend(below.iter().rev().map(|child| (*child, Some(line), depth + 1)));
        }
    }
    debug_assert_eq!(drawn.len(), ids.len(), "each span is drawn once");
    drawn
}

/// Texts by their numbers: each is told once.
#[derive(Default)]
struct Dictionary<'n> {
    texts: Vec<&'n str>,
    numbers: HashMap<&'n str, usize>,
}

impl<'n> Dictionary<'n> {
    fn number(&mut self, text: &'n str) -> usize {
        let Self { texts, numbers } = self;
        *numbers.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        })
    }
}

fn to_json(trace: &str, nodes: &[Node], reports: &[Report]) -> Value {
    let ids: Vec<(&str, &str)> =
        nodes.iter().map(|node| (node.span_id.as_str(), node.parent_span_id.as_str())).collect();
    let lines = arrange(&ids);
    let began = nodes.iter().map(|node| node.started).min().unwrap_or_default();
    let (mut names, mut services) = (Dictionary::default(), Dictionary::default());
    let drawn: Vec<(Drawn, &Node)> = lines.iter().filter_map(|line| Some((*line, nodes.get(line.node)?))).collect();
    let name: Vec<usize> = drawn.iter().map(|(_, node)| names.number(&node.name)).collect();
    let service: Vec<usize> = drawn.iter().map(|(_, node)| services.number(&node.service)).collect();
    let column =
        |of: &dyn Fn(&Drawn, &Node) -> Value| drawn.iter().map(|(line, node)| of(line, node)).collect::<Value>();
    let length = |node: &Node| ended(node.started, node.duration, &node.timing).map(|_| node.duration);
    let reports =
        reports.iter().map(|report| json!({"span_id": ids_of(&report.span_id).1, "of": ids_of(&report.counted_in).1}));
    json!({
        "reports": reports.collect::<Value>(),
        "trace_id": trace,
        "started_at": shown(began),
        "span_count": nodes.len(),
        "is_complete": u64::try_from(nodes.len()).is_ok_and(|spans| spans < SPANS_MAX),
        "names": names.texts,
        "services": services.texts,
        "span_id": column(&|_, node| node.span_id.as_str().into()),
        "parent": column(&|line, _| line.parent.into()),
        "parent_id": column(&|line, node| match line.parent {
            None if !node.parent_span_id.is_empty() => node.parent_span_id.as_str().into(),
            _ => Value::Null,
        }),
        "depth": column(&|line, _| line.depth.into()),
        "start_ns": column(&|_, node| node.started.saturating_sub(began).into()),
        "duration_ns": column(&|_, node| length(node).into()),
        "name": name,
        "service": service,
        "kind": column(&|_, node| kind_of(&node.operation).into()),
        "status": column(&|_, node| node.status.as_str().into()),
        "total_tokens": column(&|_, node| node.tokens.into()),
        "cost_usd": column(&|_, node| node.cost.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id` and depth of each line.
    fn lines(ids: &[(&str, &str)]) -> Vec<(String, usize, Option<usize>)> {
        arrange(ids).iter().map(|line| (ids[line.node].0.to_owned(), line.depth, line.parent)).collect()
    }

    fn line(id: &str, depth: usize, parent: Option<usize>) -> (String, usize, Option<usize>) {
        (id.to_owned(), depth, parent)
    }

    #[test]
    fn a_span_comes_before_its_children_and_they_by_time() {
        let drawn = lines(&[("r", ""), ("a", "r"), ("b", "r"), ("c", "a"), ("d", "b")]);
        let want = [
            line("r", 0, None),
            line("a", 1, Some(0)),
            line("c", 2, Some(1)),
            line("b", 1, Some(0)),
            line("d", 2, Some(3)),
        ];
        assert_eq!(drawn, want);
        assert_eq!(lines(&[("child", "r"), ("r", "")])[0], line("r", 0, None), "whichever began first");
    }

    #[test]
    fn lost_parents_circles_and_repeated_ids_lose_no_span() {
        assert_eq!(lines(&[("a", "gone"), ("b", "a")]), [line("a", 0, None), line("b", 1, Some(0))]);
        assert_eq!(lines(&[("a", "a")]), [line("a", 0, None)]);
        assert_eq!(
            lines(&[("a", "c"), ("b", "a"), ("c", "b")]),
            [line("a", 0, None), line("b", 1, Some(0)), line("c", 2, Some(1))]
        );
        assert_eq!(lines(&[("a", ""), ("a", ""), ("b", "a")]).len(), 3);
        assert_eq!(lines(&[]), []);
    }

    #[test]
    fn a_long_chain_is_drawn_without_recursion() {
        let names: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
        let ids: Vec<(&str, &str)> = names
            .iter()
            .enumerate()
            .map(|(number, id)| (id.as_str(), number.checked_sub(1).map_or("", |n| &names[n])))
            .collect();
        assert_eq!(arrange(&ids).last().map(|line| line.depth), Some(49_999));
    }
}
