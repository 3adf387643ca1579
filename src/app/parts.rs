//! The parts of the service, each made from its own section of the configuration and from what all share.

use super::journal::dead_letters;
use super::reload::Policies;
use super::store::Store;
use super::warm::WarmUp;
use crate::access::{Gate, Quotas};
use crate::admin::Admin;
use crate::bounds::{self, REQUEST_BYTES_MAX};
use crate::chat;
use crate::clickhouse::joins::Joining;
use crate::clickhouse::recent;
use crate::clickhouse::{Availability, Client};
use crate::committer::{Committer, Limits};
use crate::config::Config;
use crate::dedup::{DedupIndex, Noted};
use crate::documents::DocumentBounds;
use crate::exporter::{self, Exporter};
use crate::journal::{Backlog, IsNew, Journal};
use crate::numbers::to_u64;
use crate::otlp;
use crate::pipeline::{Ack, AdmissionGate, Pipeline, QueueReceiver};
use crate::query;
use crate::query::reads::Reads;
use crate::receivers::Ingest;
use crate::receivers::chat::receiver::ChatReceiver;
use crate::receivers::decoding::DecodePool;
use crate::receivers::documents::DocumentReceiver;
use crate::receivers::experiments::Experiments;
use crate::receivers::http::body::BodyReader;
use crate::receivers::otlp::receiver::OtlpReceiver;
use crate::receivers::quota::MemoryQuota;
use crate::receivers::scores::ScoresReceiver;
use crate::reconciler::counting::{Counter, Counting, Notes};
use crate::reconciler::joining::Joiner;
use crate::reconciler::sums::{QUIET, Summer};
use crate::reconciler::superseded::Superseder;
use crate::telemetry::{Metrics, Receiver};
use crate::time::{Clock, UnixNanos};
use crate::timestamps::Budget;
use crate::traces::Traces;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Rows acknowledged from memory may take this part of the memory until they are written to disk all the same, and no more than that.
const MEMORY_LANE_SHARE: usize = 8;
const MEMORY_LANE_BYTES_MAX: u64 = 8 << 20;

/// What several parts need; each takes a clone.
pub(super) struct Shared<'c> {
    pub(super) config: &'c Config,
    pub(super) gate: Gate,
    pub(super) quotas: Quotas,
    pub(super) client: Client,
    pub(super) reads: Reads,
    pub(super) metrics: Metrics,
    pub(super) availability: Availability,
    pub(super) traces: Traces,
    pub(super) notes: Notes,
    pub(super) counting: Counting,
    pub(super) days: Arc<Budget>,
    pub(super) policies: Policies,
    pub(super) stopping: CancellationToken,
    pub(super) started: UnixNanos,
}

/// The receivers, one for each protocol and listener.
pub(super) struct Receivers {
    pub(super) grpc: Arc<OtlpReceiver>,
    pub(super) http: Arc<OtlpReceiver>,
    pub(super) chat: Arc<ChatReceiver>,
    pub(super) documents: Arc<DocumentReceiver>,
    pub(super) scores: Arc<ScoresReceiver>,
}

/// Makes the committer once the journal was read.
pub(super) type MakeCommitter = Box<dyn FnOnce(Journal, DedupIndex) -> Committer + Send>;

impl Shared<'_> {
    pub(super) fn receivers(&self, pipeline: Pipeline, experiments: Arc<Experiments>) -> Receivers {
        let config = self.config;
        let bodies = BodyReader {
            pipeline: pipeline.clone(),
            decode_pool: DecodePool::default(),
            bytes_max: REQUEST_BYTES_MAX,
            timeout: config.connections.body_timeout,
        };
        let ingest = Arc::new(Ingest {
            quotas: self.quotas.clone(),
            pipeline,
            traces: self.traces.clone(),
            metrics: self.metrics.clone(),
            clock: Clock::System,
            retention: self.policies.retention.clone(),
            timestamps: config.receivers.timestamps.clone(),
            days: Arc::clone(&self.days),
            prices: self.policies.prices.clone(),
            content: self.policies.content.clone(),
            redaction: self.policies.redaction.clone(),
        });
        let scores = ScoresReceiver {
            ingest: Arc::clone(&ingest),
            bodies: bodies.clone(),
            reads: self.reads.clone(),
            experiments: Arc::clone(&experiments),
            strict_reference: config.chat_completions.strict_reference,
        };
        Receivers {
            scores: Arc::new(scores),
            documents: self.document_receiver(&ingest, &bodies),
            grpc: self.otlp_receiver(&ingest, &bodies, Receiver::OtlpGrpc, config.receivers.otlp_grpc.ack),
            http: self.otlp_receiver(&ingest, &bodies, Receiver::OtlpHttp, config.receivers.http.ack),
            chat: self.chat_receiver(ingest, bodies, experiments),
        }
    }

    fn otlp_receiver(
        &self,
        ingest: &Arc<Ingest>,
        bodies: &BodyReader,
        receiver: Receiver,
        ack: Ack,
    ) -> Arc<OtlpReceiver> {
        let Config { memory, dedup, .. } = self.config;
        Arc::new(OtlpReceiver {
            gate: self.gate.clone(),
            workspace_attribute: self.config.receivers.workspace_attribute.as_deref().map(Arc::from),
            ingest: Arc::clone(ingest),
            bodies: bodies.clone(),
            receiver,
            ack,
            dedup_window: dedup.window,
            limits: otlp::Limits { column_bytes: memory.request_rows_bytes(), ..otlp::Limits::default() },
        })
    }

    fn document_receiver(&self, ingest: &Arc<Ingest>, bodies: &BodyReader) -> Arc<DocumentReceiver> {
        let Config { memory, dedup, receivers, .. } = self.config;
        Arc::new(DocumentReceiver {
            ingest: Arc::clone(ingest),
            bodies: bodies.clone(),
            ack: receivers.http.ack,
            dedup_window: dedup.window,
            limits: self.value_limits(),
            bounds: DocumentBounds { bytes: memory.request_rows_bytes(), ..DocumentBounds::default() },
        })
    }

    fn value_limits(&self) -> chat::Limits {
        let genai = &self.config.genai;
        chat::Limits {
            max_value_bytes: genai.max_value_bytes.0,
            max_inline_media_bytes: genai.max_inline_media_bytes.0,
        }
    }

    fn chat_receiver(
        &self,
        ingest: Arc<Ingest>,
        bodies: BodyReader,
        experiments: Arc<Experiments>,
    ) -> Arc<ChatReceiver> {
        let Config { memory, genai, chat_completions, receivers, .. } = self.config;
        Arc::new(ChatReceiver {
            ingest,
            bodies,
            experiments,
            ack: receivers.http.ack,
            dedup_window: chat_completions.dedup_window,
            options: chat::ParseOptions {
                strict_reference: chat_completions.strict_reference,
                limits: self.value_limits(),
                keep_raw: genai.keep_raw,
            },
            answers: MemoryQuota::new(bounds::answer_bytes(memory.limit.0)),
            decoders: MemoryQuota::new(bounds::decoder_bytes(memory.limit.0)),
            stopping: self.stopping.clone(),
        })
    }

    pub(super) fn api(&self) -> query::Api {
        query::Api { reads: self.reads.clone(), strict_reference: self.config.chat_completions.strict_reference }
    }

    pub(super) fn committer(
        &self,
        queue: QueueReceiver,
        learned: mpsc::Receiver<Vec<recent::Stored>>,
        gate: AdmissionGate,
    ) -> MakeCommitter {
        let config = self.config;
        let limits = Limits {
            rows: config.journal.segment_rows,
            bytes: config.journal.segment_bytes.0,
            age: config.exporter.flush_after,
            memory_bytes: to_u64(config.memory.pipeline_bytes() / MEMORY_LANE_SHARE).min(MEMORY_LANE_BYTES_MAX),
        };
        let acks = [config.receivers.otlp_grpc.ack, config.receivers.http.ack];
        let (metrics, days, notes) = (self.metrics.clone(), Arc::clone(&self.days), self.notes.clone());
        let quotas = self.quotas.clone();
        Box::new(move |journal, dedup| Committer {
            queue,
            journal,
            dedup,
            learned,
            gate,
            metrics,
            clock: Clock::System,
            limits,
            days,
            notes,
            quotas,
            watches_disk: acks.iter().any(|ack| *ack > Ack::Memory),
        })
    }

    pub(super) fn exporter(&self, backlog: &Backlog) -> Exporter {
        Exporter {
            backlog: backlog.clone(),
            client: self.client.clone(),
            dead_letters: dead_letters(self.config),
            schema: self.policies.schema.subscribe(),
            config: self.config.exporter.clone(),
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
            notes: self.notes.clone(),
            clock: Clock::System,
            state: exporter::State::default(),
        }
    }

    pub(super) fn joiner(&self) -> Joiner {
        Joiner {
            client: self.client.pinned(),
            traces: self.traces.clone(),
            config: self.config.joiner.clone(),
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
            joining: Joining::default(),
            clock: Clock::System,
        }
    }

    pub(super) fn superseder(&self, noted: Noted) -> Superseder {
        Superseder {
            client: self.client.pinned(),
            noted,
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
            clock: Clock::System,
            is_on: self.config.is_dedup_on(),
        }
    }

    pub(super) fn summer(&self) -> Summer {
        Summer {
            client: self.client.pinned(),
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
            clock: Clock::System,
            quiet: QUIET,
        }
    }

    pub(super) fn counter(&self) -> Counter<Client> {
        Counter {
            tables: self.client.pinned(),
            notes: self.notes.clone(),
            retention: self.policies.retention.clone(),
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
            counting: self.counting.clone(),
            clock: Clock::System,
        }
    }

    pub(super) fn admin(&self, pipeline: &Pipeline, backlog: &Backlog, joiner: &Joiner, store: &Store) -> Admin {
        Admin {
            pipeline: pipeline.probe(),
            backlog: backlog.clone(),
            clickhouse: self.availability.clone(),
            endpoints: self.client.endpoints().clone(),
            joining: joiner.joining.clone(),
            counting: self.counting.clone(),
            fence: store.fence(),
            metrics: self.metrics.clone(),
            traces: self.traces.clone(),
            prices: self.policies.prices.clone(),
            clock: Clock::System,
            started: self.started,
            shutdown: self.stopping.clone(),
        }
    }

    pub(super) fn warm_up(&self, learn: mpsc::Sender<Vec<recent::Stored>>, is_new: IsNew) -> WarmUp {
        WarmUp {
            client: self.client.pinned(),
            availability: self.availability.clone(),
            learn,
            is_new,
            window: self.config.dedup_window_max(),
            spans_max: self.config.dedup.max_spans,
        }
    }
}
