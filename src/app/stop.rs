//! What runs, and how it ends: on a signal or after a failure, in order, each step within a bounded time.

use super::listeners::Listeners;
use super::store::Engine;
use crate::access::routes::{Listed, Routes};
use crate::committer::JournalFailed;
use crate::connections::Connections;
use crate::connections::browsers::guarded;
use crate::exporter::Lost;
use crate::journal::{Backlog, BacklogView};
use crate::page;
use crate::receivers::otlp::receiver::OtlpReceiver;
use crate::receivers::{otlp, server};
use crate::shutdown::{self, NotEnded};
use anyhow::Context as _;
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a page of an operator may take to end.
const ADMIN_WITHIN: Duration = Duration::from_secs(2);

/// How long the steps of a stop may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopTimeouts {
    /// Requests in flight are answered.
    in_flight: Duration,
    /// What was accepted is committed: much longer than any sender waits for the disk.
    commit: Duration,
    /// The exporter ends, which keeps to `exporter.drain_timeout` itself.
    export: Duration,
    /// Anything else, which ends by itself much sooner.
    other: Duration,
    /// All steps before the end of the engine together.
    all: Duration,
}

impl StopTimeouts {
    pub(super) fn new(drain_timeout: Duration) -> Self {
        let other = Duration::from_secs(10);
        let all = drain_timeout.saturating_add(Duration::from_secs(15));
        Self {
            in_flight: other,
            commit: Duration::from_secs(30),
            export: drain_timeout.saturating_add(other),
            other,
            all,
        }
    }
}

/// The time that is left for all steps of a stop.
struct Deadline(Instant);

impl Deadline {
    /// How long a step may take that has `within` by itself.
    fn within(&self, within: Duration) -> Duration {
        within.min(self.0.saturating_duration_since(Instant::now()))
    }
}

/// What the parts wait for; cancelled in this order.
#[derive(Default)]
pub(super) struct Tokens {
    /// Receivers take no more requests; background work ends.
    pub(super) receivers: CancellationToken,
    /// Committer and exporter finish what was accepted.
    pub(super) drain: CancellationToken,
    /// The embedded engine ends.
    pub(super) engine: CancellationToken,
    /// Health and metrics end.
    pub(super) admin: CancellationToken,
}

impl Tokens {
    pub(super) fn guarded(self) -> Triggers {
        Triggers {
            receivers: self.receivers.drop_guard(),
            drain: self.drain.drop_guard(),
            engine: self.engine.drop_guard(),
            admin: self.admin.drop_guard(),
        }
    }
}

/// Cancels the tokens when dropped, so that no part outlives its owner.
pub(super) struct Triggers {
    receivers: DropGuard,
    drain: DropGuard,
    engine: DropGuard,
    admin: DropGuard,
}

/// The service while it runs.
pub(super) struct Running {
    pub(super) tasks: Tasks,
    pub(super) engine: Engine,
    /// The watch over the nodes of a cluster.
    pub(super) watching: JoinHandle<()>,
    pub(super) triggers: Triggers,
    pub(super) timeouts: StopTimeouts,
    /// Cancelled when a part in the background panicked.
    pub(super) panicked: CancellationToken,
}

/// The parts that run until the stop.
pub(super) struct Tasks {
    pub(super) committing: JoinHandle<Result<(), JournalFailed>>,
    pub(super) exporting: JoinHandle<()>,
    pub(super) joining: JoinHandle<()>,
    pub(super) superseding: JoinHandle<()>,
    pub(super) counting: JoinHandle<()>,
    pub(super) summing: JoinHandle<()>,
    pub(super) writing: JoinHandle<()>,
    pub(super) telling: JoinHandle<()>,
    pub(super) serving: Serving,
}

/// What the listeners serve.
pub(super) struct Served {
    pub(super) grpc: Arc<OtlpReceiver>,
    pub(super) http: Routes,
    pub(super) page: Routes,
    pub(super) health: Routes,
    pub(super) metrics: Routes,
}

impl Served {
    /// Every route there is, by its listener.
    pub(super) fn listed(&self) -> Vec<(&'static str, Vec<Listed>)> {
        vec![
            ("otlp_grpc", otlp::grpc::listed()),
            ("http", self.http.listed().to_vec()),
            ("page", self.page.listed().to_vec()),
            ("health", self.health.listed().to_vec()),
            ("metrics", self.metrics.listed().to_vec()),
        ]
    }
}

/// The listeners, each of which ends only after its token is cancelled.
pub(super) struct Serving {
    grpc: JoinHandle<()>,
    http: JoinHandle<()>,
    page: JoinHandle<()>,
    health: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Serving {
    pub(super) fn spawn(listeners: Listeners, connections: &Connections, served: Served, tokens: &Tokens) -> Self {
        let Listeners { grpc, http, page, health, metrics, browsers, tls } = listeners;
        let (stopping, until) = (|| tokens.receivers.clone(), || tokens.admin.clone());
        let grpc = otlp::grpc::serve(grpc, connections.http2_only().with_tls(tls.grpc), served.grpc, stopping());
        let Served { http: of_http, page: of_page, health: of_health, metrics: of_metrics, .. } = served;
        let (http_server, page_server) = (connections.http().with_tls(tls.http), connections.http().with_tls(tls.page));
        let http = http_server.serve(http, guarded(server::router(of_http), browsers.http), stopping());
        let page = page_server.serve(page, guarded(page::router(of_page), browsers.page), stopping());
        // later than the shutdown that health reports
        let operator = |tls| connections.operator().with_tls(tls);
        let health = operator(tls.health).serve(health, guarded(of_health.into_router(), browsers.health), until());
        let metrics =
            operator(tls.metrics).serve(metrics, guarded(of_metrics.into_router(), browsers.metrics), until());
        Self {
            grpc: tokio::spawn(grpc),
            http: tokio::spawn(http),
            page: tokio::spawn(page),
            health: tokio::spawn(health),
            metrics: tokio::spawn(metrics),
        }
    }
}

/// Runs a part in the background. If it panics, the whole service is to stop: nobody would do its work any more.
pub(super) fn in_background(
    what: &'static str,
    part: impl Future<Output = ()> + Send + 'static,
    panicked: &CancellationToken,
) -> JoinHandle<()> {
    let panicked = panicked.clone();
    tokio::spawn(async move {
        // whatever it left half done ends with the process
        if AssertUnwindSafe(part).catch_unwind().await.is_err() {
            tracing::error!(what, "a part panicked; stopping");
            panicked.cancel();
        }
    })
}

impl Tasks {
    /// Waits until a part ends that should not; a failed journal is the one expected end.
    async fn failed(&mut self) -> anyhow::Result<JournalFailed> {
        tokio::select! {
            ended = &mut self.committing => match ended {
                Ok(Err(failed)) => Ok(failed),
                ended => anyhow::bail!("the committer ended by itself: {ended:?}"),
            },
            ended = &mut self.exporting => anyhow::bail!("the exporter ended by itself: {ended:?}"),
            ended = &mut self.serving.grpc => anyhow::bail!("the gRPC listener ended by itself: {ended:?}"),
            ended = &mut self.serving.http => anyhow::bail!("the HTTP listener ended by itself: {ended:?}"),
            ended = &mut self.serving.page => anyhow::bail!("the page's listener ended by itself: {ended:?}"),
        }
    }
}

impl Running {
    /// Waits for a signal or a failure, then stops.
    ///
    /// # Errors
    /// If a part failed.
    pub(super) async fn until_stopped(mut self) -> anyhow::Result<()> {
        let journal_failed = tokio::select! {
            signal = signalled() => { signal?; None }
            ended = self.engine.ended() => return ended,
            failed = self.tasks.failed() => Some(failed?),
            () = self.panicked.cancelled() => None,
        };
        self.watching.abort();
        let panicked = self.panicked.clone();
        self.stop(journal_failed).await?;
        // whoever supervises the process starts it again, with all of its parts
        anyhow::ensure!(!panicked.is_cancelled(), "a part failed (see the log), so the service stopped");
        Ok(())
    }

    /// Stops the parts in order. Each step has its time, so that a disk or a client that never answers does not keep the
    /// process.
    async fn stop(self, journal_failed: Option<JournalFailed>) -> anyhow::Result<()> {
        let Self { tasks, engine, triggers, timeouts, .. } = self;
        match &journal_failed {
            None => tracing::info!("stopping: answering what is in flight, then storing what was accepted"),
            Some(error) => tracing::error!(%error, "stopping: nothing more can be acknowledged"),
        }
        drop(triggers.receivers);
        tokio::spawn(exit_on_a_second_signal());
        let deadline = Deadline(Instant::now() + timeouts.all);
        let within = deadline.within(timeouts.in_flight);
        let (grpc, http, page) = tokio::join!(
            in_flight("gRPC listener", tasks.serving.grpc, within),
            in_flight("HTTP listener", tasks.serving.http, within),
            in_flight("page's listener", tasks.serving.page, within)
        );
        if let Some(failed) = journal_failed {
            // what is on disk is sent after the next start, when the disk may be well again
            return Err(failed.into());
        }
        drop(triggers.drain);
        let committed = shutdown::ended("committer", tasks.committing, deadline.within(timeouts.commit)).await;
        if let Err(NotEnded::InTime { .. }) = committed {
            tracing::error!("the disk of the journal does not answer; spans acknowledged from memory may be lost");
        }
        let exported = shutdown::ended("exporter", tasks.exporting, deadline.within(timeouts.export)).await;
        // these were told to end with the receivers
        let within = deadline.within(timeouts.other);
        let (joined, superseded, counted, summed, written, told) = tokio::join!(
            shutdown::ended("joiner", tasks.joining, within),
            shutdown::ended("remover of superseded reports", tasks.superseding, within),
            shutdown::ended("counting", tasks.counting, within),
            shutdown::ended("summing of days", tasks.summing, within),
            shutdown::ended("writing of experiments", tasks.writing, within),
            shutdown::ended("own telemetry", tasks.telling, within),
        );
        drop(triggers.engine);
        let engine = tokio::time::timeout(timeouts.other, engine.stopped()).await;
        drop(triggers.admin);
        let within = timeouts.in_flight.min(ADMIN_WITHIN);
        let _ended = tokio::join!(
            in_flight("health listener", tasks.serving.health, within),
            in_flight("metrics listener", tasks.serving.metrics, within)
        );
        committed??;
        exported?;
        joined?;
        superseded?;
        counted?;
        summed?;
        written?;
        told?;
        engine.context("the embedded ClickHouse did not end in time")?;
        grpc?;
        page?;
        http
    }
}

/// Logs whether everything is stored.
///
/// # Errors
/// If spans acknowledged from memory are left.
pub(super) fn report_what_is_left(backlog: &Backlog) -> anyhow::Result<()> {
    backlog.look_for_files();
    let BacklogView { rows, rows_in_memory, .. } = backlog.view();
    if rows_in_memory > 0 {
        return Err(Lost { rows: rows_in_memory }.into());
    }
    match rows {
        0 => tracing::info!("stopped; everything accepted is stored"),
        spans => tracing::warn!(spans, "stopped; what ClickHouse does not have yet is safe in the journal"),
    }
    Ok(())
}

/// Waits for a server to finish after the stop, but not for a client that never ends its request.
async fn in_flight(what: &'static str, server: JoinHandle<()>, within: Duration) -> anyhow::Result<()> {
    match shutdown::ended(what, server, within).await {
        Ok(()) => Ok(()),
        Err(NotEnded::InTime { .. }) => {
            tracing::warn!(what, "closed connections whose requests did not end in time");
            Ok(())
        }
        Err(panicked) => Err(panicked.into()),
    }
}

/// A second signal does not wait for what is under way.
async fn exit_on_a_second_signal() {
    if signalled().await.is_ok() {
        tracing::error!("second stop signal: exiting now; unconfirmed spans may be lost");
        std::process::exit(1);
    }
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn signalled() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_told_and_one_that_ends_is_not() {
        let panicked = CancellationToken::new();
        in_background("ends", async {}, &panicked).await.unwrap();
        assert!(!panicked.is_cancelled());
        in_background("panics", async { panic!("on purpose") }, &panicked).await.unwrap();
        assert!(panicked.is_cancelled());
    }

    #[tokio::test]
    async fn a_stop_ends_although_no_part_does() {
        let tokens = Tokens::default();
        let cancelled = [&tokens.receivers, &tokens.drain, &tokens.engine, &tokens.admin].map(Clone::clone);
        let moment = Duration::from_millis(5);
        let running = Running {
            tasks: Tasks {
                committing: tokio::spawn(std::future::pending()),
                exporting: tokio::spawn(std::future::pending()),
                joining: tokio::spawn(std::future::pending()),
                superseding: tokio::spawn(std::future::pending()),
                counting: tokio::spawn(std::future::pending()),
                summing: tokio::spawn(std::future::pending()),
                writing: tokio::spawn(std::future::pending()),
                telling: tokio::spawn(std::future::pending()),
                serving: Serving {
                    grpc: tokio::spawn(std::future::pending()),
                    http: tokio::spawn(std::future::pending()),
                    page: tokio::spawn(std::future::pending()),
                    health: tokio::spawn(std::future::pending()),
                    metrics: tokio::spawn(std::future::pending()),
                },
            },
            engine: Engine(Some(tokio::spawn(std::future::pending()))),
            watching: tokio::spawn(std::future::pending()),
            triggers: tokens.guarded(),
            timeouts: StopTimeouts {
                in_flight: moment,
                commit: moment,
                export: moment,
                other: moment,
                all: 2 * moment,
            },
            panicked: CancellationToken::new(),
        };
        let stopped = running.stop(None).await;
        assert!(format!("{:#}", stopped.unwrap_err()).contains("the committer did not end within"));
        for token in &cancelled {
            token.cancelled().await;
        }
    }
}
