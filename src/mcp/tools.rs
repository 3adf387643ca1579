//! The tools: what each takes, and which request of the read API it is.

use crate::workspace::Workspace;
use axum::http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// Rows of a page, unless more are asked for.
const LIMIT: u64 = 20;
const LIMIT_MAX: u64 = 100;
/// Spans of a trace that are shown at once.
const SPANS_MAX: u64 = 200;

/// A tool.
pub(super) struct ToolOf {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The JSON schema of its arguments.
    pub(super) schema: fn() -> Value,
    asked: fn(&Arguments<'_>) -> Result<ApiRequest, String>,
}

/// A request of the read API.
#[derive(Debug, PartialEq)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) body: Option<Value>,
    /// How to ask for less.
    pub(super) narrower: &'static str,
}

/// The arguments of a call.
struct Arguments<'a> {
    workspace: &'a Workspace,
    given: &'a Map<String, Value>,
}

impl ToolOf {
    /// The request that a call is.
    ///
    /// # Errors
    /// What is wrong with its arguments.
    pub(super) fn ask(&self, workspace: &Workspace, given: &Map<String, Value>) -> Result<ApiRequest, String> {
        let schema = (self.schema)();
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let unknown: Vec<&str> = given.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(format!("unknown argument {}: {} takes {}", unknown.join(", "), self.name, known.join(", ")));
        }
        (self.asked)(&Arguments { workspace, given })
    }
}

impl Arguments<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} must be a text")),
        }
    }

    fn needed(&self, name: &str) -> Result<&str, String> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| format!("{name} is missing"))
    }

    /// Where a page begins: the first one, if nothing is said.
    fn cursor(&self) -> Result<&str, String> {
        Ok(self.text("cursor")?.unwrap_or_default())
    }

    fn limit(&self) -> Result<u64, String> {
        match self.given.get("limit") {
            None | Some(Value::Null) => Ok(LIMIT),
            Some(value) => value
                .as_u64()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| format!("limit must be a whole number from 1 to {LIMIT_MAX}")),
        }
    }

    /// A path of the API, with parameters that have a value.
    fn get(&self, path: &str, parameters: &[(&str, Option<&str>)], narrower: &'static str) -> ApiRequest {
        let workspace = encoded(self.workspace.as_str());
        let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))));
        let query = given.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("/apis/intake/v2/workspaces/{workspace}{path}{mark}{query}");
        ApiRequest { method: Method::GET, uri, body: None, narrower }
    }

    /// The path of something of a trace.
    fn of_trace(&self, rest: &str, narrower: &'static str) -> Result<ApiRequest, String> {
        Ok(self.get(&format!("/traces/{}{rest}", encoded(self.needed("trace_id")?)), &[], narrower))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn schema(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn of_trace_schema() -> Value {
    schema(
        &json!({"trace_id": {"type": "string", "description": "the trace's id, or what its sender called it"}}),
        &["trace_id"],
    )
}

/// Every tool.
pub(super) const TOOLS: [ToolOf; 6] = [
    ToolOf {
        name: "search_traces",
        about: "Finds traces, the newest first, with duration, tokens, cost, errors and the beginning of input and output. q is a search: \
                model:gpt-5* -status:ok cost:>0.1 duration:>2s user:anna tool:bash has:error started:>-1h \"some words\" attr.KEY:value score.NAME:<0.5, \
                with OR, NOT and parentheses. A search without started: looks at the last 30 days.",
        schema: || {
            schema(
                &json!({
                    "q": {"type": "string", "description": "the search; without it all traces"},
                    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
                    "cursor": {"type": "string", "description": "next_cursor of the answer before, for the next page"},
                }),
                &[],
            )
        },
        asked: |given| {
            let size = given.limit()?.to_string();
            let parameters = [
                ("q", given.text("q")?),
                ("page_size", Some(size.as_str())),
                ("cursor", Some(given.cursor()?)),
                ("mode", Some("preview")),
            ];
            Ok(given.get("/traces", &parameters, "Use a smaller limit or a narrower q."))
        },
    },
    ToolOf {
        name: "get_trace",
        about: "The spans of a trace by time: kind, name, model, tool, duration, tokens, cost, error, and the beginning of input and output. At most 200 at \
                once; q narrows them, for example kind:llm or has:error.",
        schema: || {
            schema(
                &json!({
                    "trace_id": {"type": "string", "description": "the trace's id, or what its sender called it"},
                    "q": {"type": "string", "description": "a search among its spans"},
                    "cursor": {"type": "string", "description": "next_cursor of the answer before, for the next page"},
                }),
                &["trace_id"],
            )
        },
        asked: |given| {
            let filter = json!({"trace_id": given.needed("trace_id")?}).to_string();
            let size = SPANS_MAX.to_string();
            let parameters = [
                ("filter", Some(filter.as_str())),
                ("q", given.text("q")?),
                ("page_size", Some(size.as_str())),
                ("sort", Some("started_at")),
                ("cursor", Some(given.cursor()?)),
                ("mode", Some("preview")),
            ];
            Ok(given.get("/spans", &parameters, "Narrow it with q."))
        },
    },
    ToolOf {
        name: "get_conversation",
        about: "The model calls of a trace as one conversation, each message once, with tool calls and their results, whole.",
        schema: of_trace_schema,
        asked: |given| given.of_trace("/conversation", "Use get_trace, which shows the beginning of each message."),
    },
    ToolOf {
        name: "usage",
        about: "Calls, errors, tokens, cost, latency and time to the first token over a range of time, by model, user, session, agent, provider or operation.",
        schema: || {
            schema(
                &json!({
                    "since": {"type": "string", "description": "a day or RFC 3339; the last 7 days without it"},
                    "until": {"type": "string"},
                    "by": {"type": "string", "enum": ["model", "user", "session", "agent", "provider", "operation", "service", "source", "tier"]},
                    "bucket": {"type": "string", "enum": ["total", "minute", "hour", "day"], "default": "total"},
                    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
                }),
                &[],
            )
        },
        asked: |given| {
            let limit = given.limit()?.to_string();
            let by = given.text("by")?;
            let parameters = [
                ("since", given.text("since")?),
                ("until", given.text("until")?),
                ("by", by),
                ("bucket", given.text("bucket")?),
                ("limit", by.map(|_| limit.as_str())),
            ];
            Ok(given.get("/metrics", &parameters, "Use longer buckets or a smaller limit."))
        },
    },
    ToolOf {
        name: "explain_cost",
        about: "What each call of a trace cost, the dearest first, of which tokens, and where the cost is from: given by the sender, or computed with which \
                price of which book. Calls without a known cost are counted apart.",
        schema: of_trace_schema,
        asked: |given| given.of_trace("/cost", "Ask query_sql for sums over genai_calls."),
    },
    ToolOf {
        name: "query_sql",
        about: "Runs one reading statement of ClickHouse over all workspaces, within limits of time, memory and rows. Tables: otel_traces (spans), genai_calls (a row a \
                model call), genai_traces, genai_sessions, genai_scores, otel_logs. Needs a token for all workspaces where tokens are used.",
        schema: || {
            schema(
                &json!({"sql": {"type": "string", "description": "SELECT ..., DESCRIBE ..., SHOW TABLES"}}),
                &["sql"],
            )
        },
        asked: |given| {
            Ok(ApiRequest {
                method: Method::POST,
                uri: "/api/v1/sql".to_owned(),
                body: Some(json!({"sql": given.needed("sql")?})),
                narrower: "Add a LIMIT, or choose fewer columns.",
            })
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tool: &str, arguments: &Value) -> Result<ApiRequest, String> {
        let tool = TOOLS.iter().find(|of| of.name == tool).unwrap();
        tool.ask(&Workspace::default(), arguments.as_object().unwrap())
    }

    #[test]
    fn arguments_are_values_of_a_request_and_never_its_path() {
        let trace = asked("get_conversation", &json!({"trace_id": "../x?y=1&z#"})).unwrap();
        assert_eq!(trace.uri, "/apis/intake/v2/workspaces/default/traces/%2E%2E%2Fx%3Fy%3D1%26z%23/conversation");
        let search = asked("search_traces", &json!({"q": "a&b=c", "limit": 5})).unwrap();
        assert_eq!(
            search.uri,
            "/apis/intake/v2/workspaces/default/traces?q=a%26b%3Dc&page_size=5&cursor=&mode=preview"
        );
    }

    #[test]
    fn wrong_arguments_are_told_with_what_is_right() {
        let cases = [
            ("get_trace", json!({}), "trace_id is missing"),
            ("get_trace", json!({"trace_id": 7}), "trace_id must be a text"),
            ("search_traces", json!({"limit": 1000}), "limit must be a whole number from 1 to 100"),
            ("search_traces", json!({"query": "x"}), "unknown argument query: search_traces takes q, limit, cursor"),
        ];
        for (tool, arguments, why) in cases {
            assert_eq!(asked(tool, &arguments).unwrap_err(), why);
        }
    }
}
