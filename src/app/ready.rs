//! Announces that the service is ready: a greeting for a person, a file for a program.

use super::listeners::Listeners;
use super::store::Store;
use crate::access::routes::Listed;
use crate::clickhouse::Urls;
use crate::clickhouse::schema::TABLE;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// What a person, or a test, needs to know to use the service.
pub(super) struct Addresses {
    grpc: SocketAddr,
    http: SocketAddr,
    page: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
    /// `http` or `https`, of the four before.
    schemes: [&'static str; 4],
    clickhouse: Urls,
    /// The folder of the embedded ClickHouse; `None` with an external one.
    data_dir: Option<PathBuf>,
    table: String,
    /// Every route, by its listener.
    routes: Vec<(&'static str, Vec<Listed>)>,
}

/// Announces that the service is ready; with the embedded ClickHouse, that is after it is up and warmed.
pub(super) async fn announce(addresses: Addresses, warmed: JoinHandle<()>, ready_file: Option<PathBuf>) {
    if addresses.data_dir.is_some() {
        let _panicked_if_not_ok = warmed.await;
    }
    print_line(&addresses.greeting());
    if let Some(path) = ready_file
        && let Err(error) = addresses.write(&path)
    {
        tracing::error!(%error, path = %path.display(), "failed to write the ready file");
    }
}

/// Prints a line. The reader of the output may be gone, as after `millrace serve | head`; the service goes on.
pub(super) fn print_line(line: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

impl Addresses {
    /// # Errors
    /// If a listener has no address.
    pub(super) fn of(
        listeners: &Listeners,
        store: &Store,
        routes: Vec<(&'static str, Vec<Listed>)>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            grpc: listeners.grpc.local_addr()?,
            http: listeners.http.local_addr()?,
            page: listeners.page.local_addr()?,
            health: listeners.health.local_addr()?,
            metrics: listeners.metrics.local_addr()?,
            schemes: [&listeners.tls.http, &listeners.tls.page, &listeners.tls.health, &listeners.tls.metrics]
                .map(|tls| if tls.is_some() { "https" } else { "http" }),
            clickhouse: store.urls.clone(),
            data_dir: store.data_dir().map(Path::to_owned),
            table: format!("{}.{TABLE}", store.client.database()),
            routes,
        })
    }

    fn greeting(&self) -> String {
        let Self { grpc, http, page, health, metrics, clickhouse, table, .. } = self;
        let whose = match &self.data_dir {
            Some(dir) => format!("  (embedded; its data is in {})", dir.display()),
            None => String::new(),
        };
        let [of_http, of_page, of_health, of_metrics] = self.schemes;
        let chat = format!("{of_http}://{http}/apis/intake/v2/workspaces/default/ingest/chat-completions");
        format!(
            "\nMillrace {version} is ready. See it in a browser:\n\n  \
             {of_page}://{page}/\n\n  \
             OTLP/gRPC         {grpc}\n  \
             OTLP/HTTP         {of_http}://{http}/v1/traces\n  \
             chat-completions  {chat}\n  \
             ClickHouse        {clickhouse}{whose}\n  \
             health            {of_health}://{health}/\n  \
             metrics           {of_metrics}://{metrics}/metrics\n\n\
             Store a chat-completion:\n\n  \
             curl -s {chat} -H 'Content-Type: application/json' -d '{SAMPLE}'\n\n\
             and, a second later, find it:\n\n  \
             curl -s {first} --data-binary \"SELECT Timestamp, TraceId, SpanName, InputTokens, OutputTokens \
             FROM {table} ORDER BY Timestamp DESC LIMIT 5 FORMAT PrettyCompactMonoBlock\"\n",
            version = env!("CARGO_PKG_VERSION"),
            first = clickhouse.first(),
        )
    }

    /// Writes the addresses as JSON; the file appears whole or not at all.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let routes = self.routes.iter().map(|(listener, routes)| ((*listener).to_owned(), serde_json::json!(routes)));
        let json = serde_json::json!({
            "otlp_grpc": self.grpc.to_string(),
            "http": self.http.to_string(),
            "page": self.page.to_string(),
            "health": self.health.to_string(),
            "metrics": self.metrics.to_string(),
            "clickhouse": self.clickhouse.first(),
            "pid": std::process::id(),
            "routes": serde_json::Map::from_iter(routes),
        });
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, json.to_string())?;
        std::fs::rename(unfinished, path)
    }
}

const SAMPLE: &str = r#"{"request":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Capital of Peru?"}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}"#;
