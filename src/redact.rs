//! `millrace redact`: what would be stored of a request, for whoever writes rules.
//!
//! ```text
//! a captured call, or OTLP/JSON of any signal --the rules of the workspace--> its rows as JSON, one a line
//!                                                                             and how many of what were taken out
//! ```

use crate::chat::{self, Body, Context, ParseOptions};
use crate::columns::native::encode::cut;
use crate::columns::native::parse::Block;
use crate::columns::typed::JoinState;
use crate::columns::{Group, Rows};
use crate::config::Config;
use crate::ids::SegmentId;
use crate::otlp::{self, Limits, Signal};
use crate::receivers::chat::row;
use crate::redaction::{Redaction, Rules, Tally};
use crate::time::Clock;
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::borrow::Cow;
use std::io::Write;

/// The members by which a request of OTLP/JSON is known.
const OTLP: [(&str, Signal); 3] =
    [("resourceSpans", Signal::Traces), ("resourceLogs", Signal::Logs), ("resourceMetrics", Signal::Metrics)];

/// Writes what would be stored of a request in that workspace, and afterwards to `report` what was taken out.
///
/// # Errors
/// If the request would be refused, or the output cannot be written.
pub fn run(
    config: &Config,
    workspace: &Workspace,
    request: &[u8],
    out: &mut impl Write,
    report: &mut impl Write,
) -> anyhow::Result<()> {
    let redaction = Redaction::new(&config.redaction).map_err(anyhow::Error::msg)?;
    let rules = redaction.of(workspace);
    let (mut rows, found) = match signal_of(request) {
        Some(signal) => of_otlp(request, signal, workspace, rules)?,
        None => of_call(config, request, workspace, rules)?,
    };
    let content = config.genai.content_policy();
    for rows in &mut rows {
        content.apply(rows, workspace);
        match &*rows {
            Rows::Spans(spans) => show(&**spans, out)?,
            Rows::Records(records) => show(&**records, out)?,
        }
    }
    if rules.is_none() {
        writeln!(report, "redaction is off for the workspace {}", workspace.as_str())?;
    }
    for (name, count) in found.iter() {
        writeln!(report, "{name}: {count}")?;
    }
    Ok(())
}

fn signal_of(request: &[u8]) -> Option<Signal> {
    let body: serde_json::Value = serde_json::from_slice(request).ok()?;
    OTLP.into_iter().find(|(member, _)| body.get(member).is_some()).map(|(_, signal)| signal)
}

fn of_otlp(
    request: &[u8],
    signal: Signal,
    workspace: &Workspace,
    rules: Option<&Rules>,
) -> anyhow::Result<(Vec<Rows>, Tally)> {
    let limits = Limits::default();
    let request = otlp::transcode(request, signal, limits.depth)?;
    let (request, found) = match rules {
        Some(rules) => request.redacted(signal, rules, limits.depth),
        None => (request, Tally::default()),
    };
    let (rows, reasons) = match signal {
        Signal::Traces => {
            let decoded = request.decode(workspace, &limits)?;
            (vec![decoded.rows.into()], decoded.reasons)
        }
        Signal::Logs => of_records(request.decode_logs(workspace, &limits)?),
        Signal::Metrics => of_records(request.decode_metrics(workspace, &limits)?),
    };
    anyhow::ensure!(reasons.is_empty(), "rejected: {}", reasons.join("; "));
    Ok((rows, found))
}

fn of_records(decoded: otlp::DecodedRecords) -> (Vec<Rows>, Vec<String>) {
    let rows = decoded.groups.into_iter().map(Rows::from).chain(decoded.spans.map(Rows::from));
    (rows.collect(), decoded.reasons)
}

fn of_call(
    config: &Config,
    request: &[u8],
    workspace: &Workspace,
    rules: Option<&Rules>,
) -> anyhow::Result<(Vec<Rows>, Tally)> {
    let text = str::from_utf8(request).context("the request is not UTF-8")?;
    let mut found = Tally::default();
    let text = rules.map_or(Cow::Borrowed(text), |rules| rules.text(text, &mut found));
    let body = Body::of_call(text.as_bytes())?;
    let capture = chat::parse(&body, &ParseOptions { keep_raw: config.genai.keep_raw, ..ParseOptions::default() })?;
    let context = Context { workspace, received_at: Clock::System.now(), traceparent: None, idempotency_key: None };
    let mut span = chat::convert(&capture, &context)?;
    if let Some(rules) = rules {
        found = row::redact(&mut span, rules, found);
    }
    let rows = row::row(&span, Box::default(), JoinState::Own, None)?;
    Ok((vec![rows.into()], found))
}

/// Writes rows as JSON, one a line.
fn show<G: Group>(rows: &G, out: &mut impl Write) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for block in cut(&[rows]) {
        bytes.clear();
        block.append_to(SegmentId::new(0, 0), &mut bytes);
        let (block, _rest) = Block::parse(&bytes)?;
        for row in (0..block.rows()).filter_map(|row| block.row_json(row)) {
            writeln!(out, "{row}")?;
        }
    }
    Ok(())
}
