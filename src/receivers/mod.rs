//! The doors: OTLP over gRPC, OTLP over HTTP, and captured chat-completions. Each reads a request within its bounds,
//! decodes it straight into columns, hands the rows to the pipeline, and answers only then.
//!
//! ```text
//! otlp_grpc.rs   :4317  TraceService/Export
//! http.rs        :4318  the listener and its routes
//! otlp_http.rs          /v1/traces
//! chat.rs               /apis/intake/v2/workspaces/{workspace}/ingest/chat-completions
//! chat_shapes.rs        .../ingest/litellm, .../ingest/helicone: records of other tools
//! chat_ndjson.rs        many at once, one a line, answered while they arrive
//! body.rs               a body within its bounds, decompressed
//! coding.rs             content codings and their decoders
//! decoding.rs           where large requests are worked on
//! body_stream.rs        the lines of a body without a bound
//! answers.rs            answers to lines, which wait to be read
//! answer.rs             google.rpc.Status in the request's own encoding
//! ```

pub mod chat;
mod decoding;
pub mod http;
pub mod otlp;
mod share;

pub use decoding::Decoding;
pub use share::Share;

use crate::chat::ParseOptions;
use crate::otlp::{DecodeError, Decoded, Encoding, Limits, decode_traces};
use crate::pipeline::{Ack, IngestError, Origin, PendingAck, Pipeline, Receipt, Reservation};
use crate::receivers::http::body::Reading;
use crate::retention::Retention;
use crate::telemetry::{Metrics, Receiver};
use crate::time::Clock;
use crate::timestamps::{self, Budget};
use crate::traces::{KnownRoot, Traces};
use crate::workspace::Workspace;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use decoding::{BATCH_BYTES_MAX, SMALL_BYTES_MAX};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Names the workspace of an OTLP request: an HTTP header, a gRPC metadata key.
pub const WORKSPACE_HEADER: &str = "x-millrace-workspace";

/// Names what the answer to a request waits for, if that is more than the receiver's own: `memory`, `durable`, `stored`.
pub const ACK_HEADER: &str = "x-millrace-ack";

/// What "try again" tells a sender to wait. Senders give up after 6 to 10 s, so it is short.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all receivers share.
#[derive(Debug)]
pub struct Receivers {
    /// Where rows go.
    pub pipeline: Pipeline,
    /// Roots seen lately.
    pub traces: Traces,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// What an answer on gRPC waits for.
    pub grpc_ack: Ack,
    /// What an answer on HTTP waits for.
    pub http_ack: Ack,
    /// An OTLP span accepted before within this time is a repeat.
    pub dedup_window: Duration,
    /// A chat-completion accepted before within this time is a repeat.
    pub chat_dedup_window: Duration,
    /// How chat-completions are read.
    pub chat_options: ParseOptions,
    /// What one request may contain.
    pub limits: Limits,
    /// Bytes of one request, compressed and decompressed.
    pub request_bytes_max: usize,
    /// How long a sender may take for its body.
    pub body_timeout: Duration,
    /// Where large requests are worked on.
    pub decoding: Decoding,
    /// What answers that are not read may take.
    pub answers: Share,
    /// What decoders of bodies without an end may take.
    pub decoders: Share,
    /// Whether the service is stopping.
    pub stopping: CancellationToken,
    /// How long spans are kept: what is older already is refused.
    pub retention: Retention,
    /// When spans may begin.
    pub timestamps: timestamps::Config,
    /// On how many days.
    pub days: Arc<Budget>,
}

/// An OTLP request whose spans are on their way.
struct Queued {
    receiver: Receiver,
    spans: usize,
    rejected: usize,
    reasons: Vec<String>,
    promise: PendingAck,
}

/// What an OTLP request came to.
pub(crate) struct Accepted {
    rejected: usize,
    reasons: Vec<String>,
    _receipt: Receipt,
}

/// Why an OTLP request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Json(#[from] crate::otlp::json::JsonError),
    #[error(transparent)]
    NotTaken(#[from] IngestError),
}

impl Refusal {
    /// Whether the sender should try again.
    fn is_retryable(&self) -> bool {
        matches!(self, Self::NotTaken(reason) if reason.is_retryable())
    }

    fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::NotTaken(IngestError::NeverFits { .. })
                | Self::Malformed(DecodeError::TooLarge { .. } | DecodeError::TooMany { .. })
        )
    }
}

impl Receivers {
    fn reading(&self) -> Reading<'_> {
        let (pipeline, decoding) = (&self.pipeline, &self.decoding);
        Reading { pipeline, decoding, bytes_max: self.request_bytes_max, timeout: self.body_timeout }
    }

    /// Decodes a request of traces and hands it over: the way both OTLP receivers share. A large one is decoded aside, and has
    /// room for its rows before they are made.
    async fn ingest_traces(
        self: &Arc<Self>,
        from: (Receiver, Ack),
        workspace: Workspace,
        request: Bytes,
        encoding: Encoding,
        mut room: Reservation,
    ) -> Result<Queued, Refusal> {
        // about as many bytes of rows; JSON is turned into protobuf first
        let (small_bytes_max, copies) = match encoding {
            Encoding::Json => (SMALL_BYTES_MAX, 2),
            Encoding::Protobuf => (BATCH_BYTES_MAX, 1),
        };
        let is_small = request.len() <= small_bytes_max;
        if !is_small {
            let grown = room.grow_within_all(request.len().saturating_mul(copies), 0);
            grown.inspect_err(|why| self.count_untaken(from.0, 1, *why))?;
        }
        let receivers = Arc::clone(self);
        let taking = move |_: &_| receivers.take_decoded(from, &workspace, &request, encoding, room);
        self.decoding.run(is_small, taking).await
    }

    fn take_decoded(
        &self,
        (receiver, ack): (Receiver, Ack),
        workspace: &Workspace,
        request: &[u8],
        encoding: Encoding,
        room: Reservation,
    ) -> Result<Queued, Refusal> {
        let decoded = self.decode(request, encoding, workspace).inspect_err(|_| self.metrics.reject(receiver, 1))?;
        let Decoded { rows, rejected, reasons, roots, attributes_repeated } = decoded;
        let spans = rows.rows();
        let promise = if spans == 0 {
            PendingAck::of_nothing()
        } else {
            let (workspace, dedup_window) = (workspace.clone(), self.dedup_window);
            let origin = Origin { workspace, receiver, ack, dedup_window, is_keyed: false };
            let sent = self.admit_days(rows.days()).and_then(|()| self.pipeline.send(rows, room, origin));
            sent.inspect_err(|why| self.count_untaken(receiver, spans, *why))?
        };
        self.metrics.reject(receiver, rejected);
        self.metrics.attributes_repeated.inc_by(u64::try_from(attributes_repeated).unwrap_or(u64::MAX));
        for root in roots {
            let known = KnownRoot::new(root.span_id, root.start, root.session.as_deref());
            self.traces.remember(workspace, root.trace_id, known);
        }
        Ok(Queued { receiver, spans, rejected, reasons, promise })
    }

    /// Waits until the spans are where the sender wants them. What was read of the request is gone by now: only the rows
    /// take room.
    async fn keep(&self, taken: Queued) -> Result<Accepted, Refusal> {
        let Queued { receiver, spans, rejected, reasons, promise } = taken;
        match promise.acked().await {
            Ok(receipt) => Ok(Accepted { rejected, reasons, _receipt: receipt }),
            Err(why) => {
                self.count_untaken(receiver, spans, why);
                Err(why.into())
            }
        }
    }

    /// Whether rows that begin on these days are taken now.
    fn admit_days(&self, days: &[i64]) -> Result<(), IngestError> {
        self.days.admit(days, self.clock.now().day(), Instant::now()).map_err(|why| {
            if why.is_news {
                tracing::warn!(%why, "refusing spans that begin on further days");
            }
            IngestError::ManyDays
        })
    }

    /// Counts spans as refused when their sender should try again, else as rejected.
    fn count_untaken(&self, receiver: Receiver, spans: usize, why: IngestError) {
        if why.is_retryable() {
            self.metrics.refuse(receiver, spans);
        } else {
            self.metrics.reject(receiver, spans);
        }
    }

    fn decode(&self, request: &[u8], encoding: Encoding, workspace: &Workspace) -> Result<Decoded, Refusal> {
        let now = self.clock.now();
        let (cutoff, window) = (self.retention.cutoff(workspace, now), Some(self.timestamps.window(now)));
        let limits = Limits { cutoff, window, ..self.limits };
        match encoding {
            Encoding::Protobuf => Ok(decode_traces(request, encoding, workspace, &limits)?),
            Encoding::Json => Ok(crate::otlp::transcode_traces(request, limits.depth)?.decode(workspace, &limits)?),
        }
    }
}

/// The media type of a request, without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The workspace that a request's header, or metadata, names.
fn workspace(headers: &HeaderMap) -> Result<Workspace, String> {
    let Some(name) = headers.get(WORKSPACE_HEADER) else { return Ok(Workspace::default()) };
    Workspace::new(name.to_str().unwrap_or_default()).map_err(|error| format!("{WORKSPACE_HEADER}: {error}"))
}

/// What an answer waits for: what the receiver is set to, or more when the request asks for it.
fn ack_wanted(headers: &HeaderMap, own: Ack) -> Result<Ack, String> {
    let Some(asked) = headers.get(ACK_HEADER) else { return Ok(own) };
    let asked = asked.to_str().ok().and_then(Ack::parse);
    asked.map(|asked| asked.max(own)).ok_or_else(|| format!("{ACK_HEADER} must be memory, durable or stored"))
}

impl Accepted {
    /// The words of a partial success; empty when every span was taken.
    fn message(&self) -> String {
        match (self.rejected, self.reasons.len()) {
            (0, _) => String::new(),
            (1, _) => format!("1 span rejected: {}", self.reasons.join("; ")),
            (rejected, shown) if rejected > shown => {
                format!("{} spans rejected: {}; and {} more", rejected, self.reasons.join("; "), rejected - shown)
            }
            (rejected, _) => format!("{} spans rejected: {}", rejected, self.reasons.join("; ")),
        }
    }
}
