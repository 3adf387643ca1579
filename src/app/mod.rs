//! Puts the parts together, starts them, and stops them in order.
//!
//! ```text
//! start   listen everywhere -> embedded ClickHouse -> journal is read -> committer, exporter -> receivers -> "ready"
//!                                                     '- takes long: receivers answer "try again" meanwhile
//! stop    receivers answer what is in flight -> committer -> exporter stores what it can -> embedded ClickHouse -> admin
//! ```
//!
//! All long-lived tasks are spawned here: `App::build` opens and connects the parts, `App::start` starts them, and
//! `stop.rs` waits for the end.

mod alone;
mod journal;
mod listeners;
mod parts;
mod ready;
mod reload;
mod stop;
mod store;
mod warm;

pub use alone::{Parent, print_parquet_rows, serve_clickhouse};
pub use journal::dead_letters;
pub use listeners::problems_of_files;
pub use store::{clickhouse_dir, client, layout, schema};

use crate::access::routes::{Guard, Routes};
use crate::access::{Gate, Quotas};
use crate::admin::{self, Admin};
use crate::clickhouse::{Availability, Client, nodes};
use crate::config::Config;
use crate::connections::traced::Traced;
use crate::connections::{self, Connections};
use crate::exporter::Exporter;
use crate::journal::Backlog;
use crate::mcp;
use crate::own_telemetry::OwnTelemetry;
use crate::page;
use crate::pipeline::{self, AdmissionGate, IngestError};
use crate::query;
use crate::receivers::experiments::Experiments;
use crate::receivers::scores::{self, ScoresReceiver};
use crate::receivers::server;
use crate::reconciler::counting::{Counter, Counting, Notes};
use crate::reconciler::joining::Joiner;
use crate::reconciler::sums::Summer;
use crate::reconciler::superseded::Superseder;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::timestamps::Budget;
use crate::traces::{TRACES_MAX_DEFAULT, Traces};
use anyhow::Context as _;
use journal::Opening;
use listeners::Listeners;
use parts::{MakeCommitter, Receivers, Shared};
use ready::Addresses;
use reload::{Policies, Reload};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stop::{Running, Served, Serving, StopTimeouts, Tasks, Tokens, in_background};
use store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use warm::{LEARNED_BATCHES_MAX, WarmUp};

/// A start that takes longer to read its journal answers senders meanwhile; before that they wait, as they did for the process.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// Routes that a command adds to those of the page: made of the configuration with the addresses that are listened on, and of who may ask.
pub type Added = fn(Config, Gate, &Guard) -> Routes;

/// Runs everything until SIGTERM or SIGINT.
///
/// # Errors
/// If a part fails to start, or accepted spans could not be stored before the end.
pub async fn serve(
    config: Config,
    config_file: Option<PathBuf>,
    ready_file: Option<PathBuf>,
    added: Added,
) -> anyhow::Result<()> {
    let app = App::build(&config)?;
    let added = app.added(&config, added)?;
    let backlog = app.backlog.clone();
    let (gate, quotas, tls) = (app.gate.clone(), app.quotas.clone(), app.listeners.tls.clone());
    let policies = app.policies.clone();
    tokio::spawn(Reload { file: config_file, started_with: config, gate, quotas, policies, tls }.run()?);
    Box::pin(app.start(ready_file, added)).await?.until_stopped().await?;
    stop::report_what_is_left(&backlog)
}

/// The service, opened and connected; nothing runs yet.
struct App {
    listeners: Listeners,
    connections: Connections,
    store: Store,
    tokens: Tokens,
    timeouts: StopTimeouts,
    metrics: Metrics,
    availability: Availability,
    backlog: Backlog,
    gate: Gate,
    quotas: Quotas,
    policies: Policies,
    admission: AdmissionGate,
    receivers: Receivers,
    api: query::Api,
    opening: Opening,
    committer: MakeCommitter,
    exporter: Exporter,
    joiner: Joiner,
    superseder: Superseder,
    counter: Counter<Client>,
    summer: Summer,
    admin: Admin,
    telling: Option<OwnTelemetry>,
    warm_up: WarmUp,
}

impl App {
    /// # Errors
    /// If an address is taken, or the journal cannot be opened.
    fn build(config: &Config) -> anyhow::Result<Self> {
        let connections = Connections::new(&config.connections, connections::raise_to_the_hard_limit());
        let listeners = Listeners::bind(config)?;
        let metrics = Metrics::new().context("failed to register the metrics")?;
        let gate = gate(config, &metrics)?;
        let quotas = Quotas::new(config.quotas.clone(), metrics.access.clone());
        let tokens = Tokens::default();
        let (pipeline, queue) = pipeline::channel(config.memory.pipeline_bytes(), &metrics);
        let (opening, is_new) = journal::open(config, &metrics)?;
        let store = Store::new(config, &metrics)?;
        let (learn, learned) = mpsc::channel(LEARNED_BATCHES_MAX);
        let policies = Policies::new(config)?;
        let shared = Shared {
            config,
            gate: gate.clone(),
            quotas: quotas.clone(),
            policies: policies.clone(),
            client: store.client.clone(),
            reads: query::reads::Reads::new(store.client.clone(), &config.query).with_visitor(store.visitor.clone()),
            metrics: metrics.clone(),
            availability: Availability::default(),
            traces: Traces::new(TRACES_MAX_DEFAULT),
            notes: Notes::default(),
            counting: Counting::default(),
            days: Arc::new(Budget::new(&config.receivers.timestamps, Instant::now())),
            stopping: tokens.receivers.clone(),
            started: Clock::System.now(),
        };
        metrics.process.started(shared.started.nanos() / 1_000_000_000);
        let backlog = opening.backlog().clone();
        let (folder, waiting) = (config.data_dir.join("experiments"), metrics.experiments_waiting.clone());
        let experiments = Experiments::open(shared.reads.clone(), &folder, waiting)
            .context("reading what waits of experiments failed")?;
        let joiner = shared.joiner();
        let admin = shared.admin(&pipeline, &backlog, &joiner, &store);
        Ok(Self {
            superseder: shared.superseder(opening.noted()),
            counter: shared.counter(),
            summer: shared.summer(),
            telling: OwnTelemetry::new(&config.telemetry, admin.clone()).map_err(anyhow::Error::msg)?,
            admin,
            joiner,
            exporter: shared.exporter(&backlog),
            warm_up: shared.warm_up(learn, is_new),
            committer: shared.committer(queue, learned, pipeline.gate()),
            admission: pipeline.gate(),
            gate,
            quotas,
            policies,
            opening,
            api: shared.api(),
            receivers: shared.receivers(pipeline, Arc::new(experiments)),
            availability: shared.availability,
            timeouts: StopTimeouts::new(config.exporter.drain_timeout),
            listeners,
            connections,
            store,
            tokens,
            metrics,
            backlog,
        })
    }

    /// The routes that are added, which ask this Millrace by the addresses that it listens on.
    ///
    /// # Errors
    /// If a listener has no address.
    fn added(&self, config: &Config, added: Added) -> anyhow::Result<Routes> {
        let mut config = config.clone();
        config.receivers.http.listen = self.listeners.http.local_addr()?;
        config.admin.metrics.listen = self.listeners.metrics.local_addr()?;
        config.clickhouse.url = Some(self.store.urls.clone());
        Ok(added(config, self.gate.clone(), &page::guard(self.gate.clone())))
    }

    /// # Errors
    /// If a listener has no address, or the journal cannot be read.
    async fn start(self, ready_file: Option<PathBuf>, added: Routes) -> anyhow::Result<Running> {
        let Self { tokens, receivers, opening, committer, exporter, joiner, superseder, counter, summer, .. } = self;
        let Receivers { grpc, http, chat, documents, scores } = receivers;
        let experiments = Arc::clone(&scores.experiments);
        let served = Served {
            grpc,
            page: page_routes(&self.gate, &scores, &self.api, &self.admin).merge(added).merge(query::tail_routes(
                self.availability.clone(),
                tokens.receivers.clone(),
                &page::guard(self.gate.clone()),
            )),
            http: server::routes(self.gate.clone(), http, chat, documents, scores, self.api),
            health: admin::health_routes(self.gate.clone(), self.admin.clone()),
            metrics: admin::metrics_routes(self.gate, self.admin),
        };
        let addresses = Addresses::of(&self.listeners, &self.store, served.listed())?;
        let client = self.store.client.clone();
        let engine = self.store.spawn(&self.metrics, tokens.engine.clone());
        let endpoints = client.endpoints().clone();
        let watching = tokio::spawn(async {
            tokio::join!(endpoints.watch(), nodes::watch(client, self.availability));
        });
        let quotas = self.quotas;
        let mut recovering = tokio::task::spawn_blocking(move || opening.recover(&quotas));
        let soon = tokio::time::timeout(ANSWERED_WITHIN, &mut recovering).await.ok();
        if soon.is_none() {
            tracing::info!("reading what waits in the journal; until that is done, senders are told to try again");
            self.admission.set(Some(IngestError::Starting));
        }
        let connections = traced(self.connections, &self.metrics, &served);
        let serving = Serving::spawn(self.listeners, &connections, served, &tokens);
        let recovered = match soon {
            Some(recovered) => recovered,
            None => recovering.await,
        };
        let (journal, dedup) = recovered.context("reading the journal failed")??;
        let committer = committer(journal, dedup);
        self.admission.set(None);
        let (draining, panicked) = (tokens.drain.clone(), CancellationToken::new());
        let tasks = Tasks {
            committing: tokio::task::spawn_blocking(move || committer.run(draining)),
            exporting: tokio::spawn(exporter.run(tokens.drain.clone())),
            joining: in_background("joiner", joiner.run(tokens.receivers.clone()), &panicked),
            superseding: in_background(
                "remover of superseded reports",
                superseder.run(tokens.receivers.clone()),
                &panicked,
            ),
            counting: in_background("counting", counter.run(tokens.receivers.clone()), &panicked),
            summing: in_background("summing of days", summer.run(tokens.receivers.clone()), &panicked),
            writing: in_background("writing of experiments", experiments.run(tokens.receivers.clone()), &panicked),
            telling: in_background("own telemetry", tell(self.telling, tokens.receivers.clone()), &panicked),
            serving,
        };
        let warmed = tokio::spawn(self.warm_up.run());
        tokio::spawn(ready::announce(addresses, warmed, ready_file));
        Ok(Running { tasks, engine, watching, triggers: tokens.guarded(), timeouts: self.timeouts, panicked })
    }
}

/// What the page's listener answers: the page, and what it asks.
fn page_routes(gate: &Gate, scores: &Arc<ScoresReceiver>, api: &query::Api, admin: &Admin) -> Routes {
    let guard = page::guard(gate.clone());
    let reads = || query::routes(api.clone(), &guard).merge(query::page_routes(api.clone(), &guard));
    page::routes(&guard)
        .merge(scores::routes(Arc::clone(scores), &guard))
        .merge(reads())
        .merge(mcp::routes(gate, &guard, reads().into_router()))
        .merge(query::savings_routes(api.clone(), admin.prices.clone(), &guard))
        .merge(admin::status_routes(admin.clone(), &guard))
}

/// The same; requests of all routes are noted as spans while those are kept.
fn traced(connections: Connections, metrics: &Metrics, served: &Served) -> Connections {
    let routes = served.listed();
    let routes = routes.iter().flat_map(|(_, routes)| routes).map(|route| (route.method.as_str(), route.path.as_str()));
    connections.with_traced(Traced::new(metrics.own_spans.clone(), Clock::System, routes))
}

/// Sends what this process tells of itself, if it does.
async fn tell(telling: Option<OwnTelemetry>, stopping: CancellationToken) {
    match telling {
        Some(telling) => telling.run(stopping).await,
        None => stopping.cancelled().await,
    }
}

/// Who may ask, as it is configured.
fn gate(config: &Config, metrics: &Metrics) -> anyhow::Result<Gate> {
    match config.auth.load().map_err(anyhow::Error::msg)? {
        None => Ok(Gate::open()),
        Some(tokens) => {
            tracing::info!(tokens = tokens.count(), "who asks needs a token");
            Ok(Gate::new(tokens, Clock::System, metrics.access.clone()))
        }
    }
}
