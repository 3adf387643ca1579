//! Requests to a running Millrace.
//!
//! ```text
//! 2xx                  taken; if a part of it was rejected, its records are sent one by one to find which, since a repeat is not stored twice
//! 429, 503, no answer  waited for, while others come first (`x-millrace-priority: background`)
//! 401, 403             ends the import
//! anything else        rejects the record
//! ```

use crate::formats::{Path, Record};
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceResponse;
use crate::peer::{Http, TlsOptions};
use crate::secret::Secret;
use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::{Request, StatusCode, Uri};
use prost::Message as _;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a Millrace that was there is waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause where an answer names none, and the longest one.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a request may take.
const WITHIN: Duration = Duration::from_secs(120);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Sends to one Millrace.
#[derive(Debug, Clone)]
pub(super) struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Http<Full<Bytes>>,
    url: String,
    workspace: String,
    token: Option<Secret>,
    /// Whether it ever answered.
    is_known: AtomicBool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Rows that are accepted, repeats among them.
    pub(super) accepted: u64,
    /// Which records were rejected, and why.
    pub(super) rejected: Vec<(usize, String)>,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Sender {
    /// Sends to the Millrace at this address.
    pub(super) fn new(url: &str, workspace: &str, tls: &TlsOptions, token: Option<Secret>) -> anyhow::Result<Self> {
        let parsed: Uri = url.parse().with_context(|| format!("--url: {url:?} is not a URL"))?;
        anyhow::ensure!(
            matches!(parsed.scheme_str(), Some("http" | "https")),
            "--url: {url:?} must begin with http:// or https://"
        );
        let client = tls.client()?;
        let (url, workspace) = (url.trim_end_matches('/').to_owned(), workspace.to_owned());
        Ok(Self(Arc::new(Inner { client, url, workspace, token, is_known: AtomicBool::new(false) })))
    }

    /// Sends records that go together, and returns when all are accepted or rejected.
    ///
    /// # Errors
    /// If the Millrace is not there, or lets nobody in.
    pub(super) async fn send(&self, import: &str, records: Vec<Record>) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        match records.first() {
            None => {}
            Some(Record::Otlp { .. }) => self.send_otlp(&records, &mut outcome).await?,
            Some(Record::Body { path, .. }) if path.takes_lines() => {
                self.send_lines(import, *path, &records, &mut outcome).await?;
            }
            Some(Record::Body { .. }) => {
                for (place, record) in records.iter().enumerate() {
                    self.send_whole(import, place, record, &mut outcome).await?;
                }
            }
        }
        Ok(outcome)
    }

    async fn send_otlp(&self, records: &[Record], outcome: &mut Outcome) -> anyhow::Result<()> {
        let items = records.iter().map(Record::items).sum::<usize>();
        if self.export(records).await?.is_none() {
            outcome.accepted += crate::numbers::to_u64(items);
            return Ok(());
        }
        // which it was is not said, and what was accepted is not stored again
        for (place, record) in records.iter().enumerate() {
            match self.export(std::slice::from_ref(record)).await? {
                None => outcome.accepted += crate::numbers::to_u64(record.items()),
                Some((rejected, why)) => {
                    let accepted = record.items().saturating_sub(rejected.min(record.items()));
                    outcome.accepted += crate::numbers::to_u64(accepted);
                    outcome.rejected.push((place, why));
                }
            }
        }
        Ok(())
    }

    /// Sends one request; how many items were rejected, and why.
    async fn export(&self, records: &[Record]) -> anyhow::Result<Option<(usize, String)>> {
        let (mut body, mut path) = (Vec::with_capacity(records.iter().map(Record::len).sum()), "/v1/traces");
        for record in records {
            if let Record::Otlp { signal, request, .. } = record {
                path = signal.path();
                body.extend_from_slice(request);
            }
        }
        let answer = self.post(path, "application/x-protobuf", "", Bytes::from(body)).await?;
        if !answer.status.is_success() {
            return Ok(Some((usize::MAX, answer.why())));
        }
        // the answers of all signals have the same fields
        let partial =
            ExportTraceServiceResponse::decode(answer.body).context("the answer is not OTLP: is that Millrace?")?;
        let partial = partial.partial_success.filter(|partial| partial.rejected_spans > 0);
        Ok(partial.map(|partial| {
            (usize::try_from(partial.rejected_spans).map_or(usize::MAX, |count| count), partial.error_message)
        }))
    }

    /// Sends records as lines, and those again that there was no room for.
    async fn send_lines(
        &self,
        import: &str,
        path: Path,
        records: &[Record],
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let mut waiting: Vec<usize> = (0..records.len()).collect();
        let started = Instant::now();
        while !waiting.is_empty() {
            let mut body = Vec::new();
            for record in waiting.iter().filter_map(|place| records.get(*place)) {
                if let Record::Body { json, .. } = record {
                    body.extend_from_slice(json);
                    body.push(b'\n');
                }
            }
            let answer = self.post(&self.path(path), "application/x-ndjson", import, Bytes::from(body)).await?;
            if !answer.status.is_success() {
                let why = answer.why();
                outcome.rejected.extend(waiting.drain(..).map(|place| (place, why.clone())));
                break;
            }
            let mut again = waiting.clone();
            for line in answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
                let number = line.get("line").and_then(Value::as_u64).and_then(|line| usize::try_from(line).ok());
                let Some(place) = number.and_then(|line| waiting.get(line.checked_sub(1)?).copied()) else { continue };
                match line.get("status").and_then(Value::as_u64) {
                    Some(429 | 503) => continue,
                    Some(_) => outcome.rejected.push((place, detail(&line))),
                    None => outcome.accepted += 1,
                }
                again.retain(|waits| *waits != place);
            }
            anyhow::ensure!(
                again.is_empty() || started.elapsed() < PATIENCE,
                "Millrace has had no room for {PATIENCE:?}; run the same command again to go on"
            );
            waiting = again;
            if !waiting.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn send_whole(
        &self,
        import: &str,
        place: usize,
        record: &Record,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let Record::Body { path, json } = record else { return Ok(()) };
        let answer = self.post(&self.path(*path), "application/json", import, Bytes::from(json.clone())).await?;
        if answer.status.is_success() {
            outcome.accepted += 1;
        } else if answer.status == StatusCode::NOT_FOUND {
            let why = format!("{} is not a path of this Millrace: is it an older one?", self.path(*path));
            outcome.rejected.push((place, why));
        } else {
            outcome.rejected.push((place, answer.why()));
        }
        Ok(())
    }

    fn path(&self, path: Path) -> String {
        format!("/apis/intake/v2/workspaces/{}/ingest/{}", self.0.workspace, path.name())
    }

    /// Posts until there is an answer that is about the body.
    async fn post(&self, path: &str, media: &str, import: &str, body: Bytes) -> anyhow::Result<Answer> {
        let (started, mut pause) = (Instant::now(), PAUSE);
        loop {
            let answer = match self.try_post(path, media, import, body.clone()).await {
                Ok(answer) if is_about_now(answer.status) => {
                    let named = answer.headers.get(RETRY_AFTER).and_then(|secs| secs.to_str().ok()?.parse().ok());
                    pause = named.map_or(pause, Duration::from_secs).min(PAUSE_MAX);
                    Err(anyhow::anyhow!("{}", answer.why()))
                }
                Ok(answer) => Ok(answer),
                Err(error) if !self.0.is_known.load(Ordering::Relaxed) => {
                    return Err(error).with_context(|| {
                        format!(
                            "no Millrace answers at {}; start one with `millrace serve`, or name it with --url",
                            self.0.url
                        )
                    });
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    anyhow::bail!(
                        "{} ({}); set MILLRACE_TOKEN to a token that may ingest into workspace {:?}",
                        answer.why(),
                        self.0.url,
                        self.0.workspace
                    );
                }
                Ok(answer) => {
                    self.0.is_known.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if started.elapsed() > PATIENCE => {
                    return Err(error).with_context(|| {
                        format!("Millrace at {} takes nothing; run the same command again to go on", self.0.url)
                    });
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn try_post(&self, path: &str, media: &str, import: &str, body: Bytes) -> anyhow::Result<Answer> {
        let mut request = Request::post(format!("{}{path}", self.0.url))
            .header(CONTENT_TYPE, media)
            .header("x-millrace-workspace", &self.0.workspace)
            .header("x-millrace-priority", "background");
        if !import.is_empty() {
            request = request.header("x-millrace-import", import);
        }
        if let Some(token) = &self.0.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = request.body(Full::new(body)).context("MILLRACE_TOKEN has characters that no token has")?;
        let asked = async {
            let answer = self.0.client.request(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            Ok::<_, anyhow::Error>(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(WITHIN, asked).await.with_context(|| format!("no answer within {WITHIN:?}"))?
    }
}

/// Whether an answer says that the same request may be taken later.
fn is_about_now(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

impl Answer {
    /// What it says about why.
    fn why(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let read = serde_json::from_slice::<Value>(&self.body).ok();
        let said = read.as_ref().map(detail).filter(|said| !said.is_empty());
        // failures of OTLP are a Status: its second field is the message
        let status = tonic_types::pb::Status::decode(self.body.clone()).ok().map(|status| status.message);
        let said = said.or(status.filter(|said| !said.is_empty()));
        said.map_or_else(
            || format!("{} {}", self.status, crate::text::cut(&text, 500)),
            |said| format!("{said} ({})", self.status),
        )
    }
}

/// What a failure in JSON says: the fields, and what is wrong with each.
fn detail(answer: &Value) -> String {
    match answer.get("detail").or_else(|| answer.get("message")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let one = |item: &Value| {
                let steps = item.get("loc").and_then(Value::as_array).into_iter().flatten().skip(1);
                let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
                let path = steps.map(step).collect::<Vec<_>>().join(".");
                let message = item.get("msg").and_then(Value::as_str).map_or("", |message| message);
                format!("{path}: {message}")
            };
            list.iter().take(5).map(one).collect::<Vec<_>>().join("; ")
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
