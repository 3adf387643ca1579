//! What stands between a request and what it may not: redaction, the statements of the SQL port, headers that say who asks.

use millrace::access::{Gate, Scope, Token, TokenHash, TokenSet};
use millrace::chat::{Traceparent, span_of_text, trace_of_text};
use millrace::embedded;
use millrace::otlp::{self, Encoding, Limits, Signal};
use millrace::redaction::{Config, Redaction, Rules, Tally};
use millrace::telemetry::Metrics;
use millrace::time::{Clock, UnixNanos};
use millrace::workspace::Workspace;
use serde_json::value::RawValue;
use std::sync::LazyLock;

/// What no text may have after redaction.
pub const PLANTED: &str = "jane.doe@example.com";

static RULES: LazyLock<Redaction> = LazyLock::new(|| {
    let config: Config = serde_json::from_str(
        r#"{"detectors": ["api_key", "bearer_token", "private_key", "email", "phone", "credit_card", "iban", "ip_address"],
            "patterns": [{"name": "pin", "regex": "(?i)pin:\\s*(?<secret>[0-9]{4})", "action": "hash"}, {"name": "order", "regex": "ORD-[0-9]{8}", "action": "remove"}],
            "keys": [{"key": "password"}, {"key": "user.email", "action": "remove"}, {"key": "user.id", "action": "hash"}],
            "hash_key": "0123456789abcdef"}"#,
    )
    .expect("it is a configuration");
    Redaction::new(&config).expect("it is a configuration of rules")
});

fn rules() -> &'static Rules {
    RULES.of(&Workspace::default()).expect("there are rules")
}

/// A text without what is secret: JSON stays JSON, an address that was put into it is gone, and what was counted was taken out. A request keeps
/// its items.
pub fn redaction(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut tally = Tally::default();
    let out = rules().text(&text, &mut tally);
    assert!(tally.is_empty() || *out != *text, "something was counted and nothing was taken out");
    let is_json = |text: &str| serde_json::from_str::<&RawValue>(text).is_ok();
    assert!(!is_json(&text) || is_json(&out), "JSON is none any more: {out}");
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (front, back) = text.split_at(middle);
    let planted = format!("{front} {PLANTED} {back}");
    let out = rules().text(&planted, &mut Tally::default());
    assert!(!out.contains(PLANTED), "a secret stayed: {out}");
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        redacted_request(data, signal);
    }
}

/// A request that can be decoded can be decoded afterwards, with as many rows.
fn redacted_request(data: &[u8], signal: Signal) {
    let (workspace, limits) = (Workspace::default(), Limits::default());
    let rows = |request: &[u8]| {
        let records = |decoded: otlp::DecodedRecords| {
            let rows: usize = decoded.groups.iter().map(|records| millrace::columns::Group::rows(&**records)).sum();
            (rows, decoded.rejected)
        };
        match signal {
            Signal::Traces => otlp::decode_traces(request, Encoding::Protobuf, &workspace, &limits)
                .map(|decoded| (decoded.rows.rows(), decoded.rejected)),
            Signal::Logs => otlp::decode_logs(request, Encoding::Protobuf, &workspace, &limits).map(records),
            Signal::Metrics => otlp::decode_metrics(request, Encoding::Protobuf, &workspace, &limits).map(records),
        }
        .ok()
    };
    let Some(before) = rows(data) else { return };
    let (request, _) = otlp::redacted(data, signal, rules(), limits.depth);
    assert_eq!(rows(&request), Some(before), "redaction changed what is accepted");
}

/// A statement is refused, or cut within its text; what the engine gets of a query is the same query with its output clause.
pub fn statement(data: &[u8]) {
    let Some(read) = embedded::read_statement(data) else {
        return;
    };
    assert!(read.end <= data.len(), "it ends behind its text");
    if let Some(sent) = read.sent {
        let again = embedded::read_statement(sent.as_bytes());
        // the output clause is ours, and a statement of a client that has one is refused
        assert!(again.is_none(), "two output clauses, or none: {sent}");
        let text = std::str::from_utf8(data).expect("only text is sent");
        let words = |text: &str| text.split_ascii_whitespace().map(str::len).sum::<usize>();
        assert!(
            words(&sent) >= words(text.get(..read.end).expect("it ends between characters")),
            "a part is lost: {sent}"
        );
    }
}

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let token = Token {
        name: "a".to_owned(),
        workspaces: vec!["team-*".to_owned()],
        scopes: vec![Scope::Read],
        expires: None,
        hash: TokenHash::of(TOKEN.as_bytes()),
    };
    let at = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    let metrics = Metrics::new().expect("metrics can be made");
    Gate::new(TokenSet::new(&[token]).expect("a token"), Clock::Fixed(at), metrics.access)
});

const TOKEN: &str = "mr_known";

/// No header is a token that it does not have, a principal stays within its workspaces, and ids of texts are the same twice.
pub fn header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(value) = http::HeaderValue::from_bytes(data) {
        let headers: http::HeaderMap = [(http::header::AUTHORIZATION, value)].into_iter().collect();
        if let Ok(principal) = GATE.identify(&headers) {
            let has_it =
                text.contains(TOKEN) || text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
            assert!(has_it, "{text:?} is no token of ours");
            assert!(principal.may(Scope::Read).is_ok() && principal.may(Scope::Admin).is_err(), "more than it may");
        }
    }
    let _any = Traceparent::parse(&text);
    assert_eq!(trace_of_text(&text), trace_of_text(&text), "two ids of one text");
    assert_eq!(span_of_text(&text), span_of_text(&text), "two ids of one text");
    if let Ok(workspace) = Workspace::new(&text) {
        assert!(
            workspace.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
            "{text:?}"
        );
    }
}
