//! Whose calls the calls of a trace are: of the nearest agent above them.

use super::statements::Light;
use crate::genai::operation::INVOKE_AGENT;
use std::collections::HashMap;

/// An agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// Its span; empty for the trace itself.
    pub(super) span_id: String,
    pub(super) name: String,
    /// The agent above it.
    pub(super) parent: Option<usize>,
}

/// The agents of a trace. The first is the trace itself, for calls below no agent.
#[derive(Debug)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
    by_span: HashMap<String, usize>,
}

impl Agents {
    /// Linear in the number of spans: what is found above one span is kept for all on the way.
    pub(super) fn of(spans: &[Light]) -> Self {
        let by_id: HashMap<&str, &Light> = spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        let root = Agent { span_id: String::new(), name: String::new(), parent: None };
        let mut found = Self { agents: vec![root], by_span: HashMap::with_capacity(spans.len()) };
        for span in spans {
            let mut way = Vec::new();
            let mut next = Some(span);
            // a circle of parents ends at the span that is on the way already
            while let Some(span) = next.filter(|span| !found.by_span.contains_key(&span.span_id)) {
                found.by_span.insert(span.span_id.clone(), 0);
                way.push(span);
                next = by_id.get(span.parent_span_id.as_str()).copied();
            }
            let mut agent = next.and_then(|span| found.by_span.get(&span.span_id).copied()).unwrap_or_default();
            for span in way.into_iter().rev() {
                if span.operation == INVOKE_AGENT {
                    let name = if span.agent_name.is_empty() { &span.name } else { &span.agent_name };
                    let (span_id, name) = (span.span_id.clone(), name.clone());
                    found.agents.push(Agent { span_id, name, parent: Some(agent) });
                    agent = found.agents.len() - 1;
                }
                found.by_span.insert(span.span_id.clone(), agent);
            }
        }
        found
    }

    /// The number of the agent of a span.
    pub(super) fn of_span(&self, span_id: &str) -> usize {
        self.by_span.get(span_id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, operation: &str) -> Light {
        Light {
            span_id: id.to_owned(),
            parent_span_id: parent.to_owned(),
            operation: operation.to_owned(),
            name: format!("span {id}"),
            agent_name: String::new(),
            tool_name: String::new(),
            tool_call_id: String::new(),
            started: 0,
            duration: 0,
            timing: String::new(),
            status: String::new(),
            model: String::new(),
            provider: String::new(),
            input_tokens: None,
            output_tokens: None,
            cost: None,
        }
    }

    #[test]
    fn a_call_is_of_the_nearest_agent_above_it() {
        let spans = [
            span("call", "tool", "chat"),
            span("tool", "inner", "execute_tool"),
            span("inner", "outer", "invoke_agent"),
            span("outer", "gone", "invoke_agent"),
            span("a", "b", "chat"),
            span("b", "a", "chat"),
        ];
        let agents = Agents::of(&spans);
        let name = |span: &str| agents.agents[agents.of_span(span)].name.as_str();
        assert_eq!(
            ["call", "tool", "inner", "outer", "a", "b"].map(name),
            ["span inner", "span inner", "span inner", "span outer", "", ""]
        );
        assert_eq!(agents.agents[agents.of_span("call")].parent, Some(agents.of_span("outer")));
    }
}
