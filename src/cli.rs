//! The command line.

use crate::app;
use crate::arenas;
use crate::bounds::REQUEST_BYTES_MAX;
use crate::clickhouse::deletion::{Deletion, Subject};
use crate::clickhouse::schema;
use crate::config::{Config, Level, LogFormat, environment};
use crate::dead_letter;
use crate::deletion;
use crate::embedded::{EXIT_PERMANENT, NeverStarted, ServeError};
use crate::ids::TraceId;
use crate::import;
use crate::log;
use crate::numbers::to_u64;
use crate::peer::TlsOptions;
use crate::prices;
use crate::redact;
use crate::rollup;
use crate::secret::Secret;
use crate::sizes::ByteSize;
use crate::status;
use crate::time::UnixNanos;
use crate::token;
use crate::workspace::Workspace;
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long blocking threads may take to end after everything else has ended.
const THREADS_END_WITHIN: Duration = Duration::from_secs(1);

/// The exit code of an import of which some was rejected.
const EXIT_REJECTS: u8 = 3;

/// Where `millrace status` finds a token with the scope `read` of all workspaces, if that Millrace wants one.
const TOKEN_VARIABLE: &str = "MILLRACE_TOKEN";

/// Makes LLM applications queryable in ClickHouse: OTLP and captured chat-completions in, one table of traces out.
#[derive(Debug, Parser)]
#[command(name = "millrace", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive spans and store them; without `clickhouse.url`, with the embedded ClickHouse
    Serve {
        /// YAML file; every key is optional (deploy/config.example.yaml lists them all)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Write the addresses as JSON to this file once everything listens
        #[arg(long, value_name = "FILE", hide = true)]
        ready_file: Option<PathBuf>,
    },
    /// Check a configuration file
    Validate {
        /// YAML file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the resulting configuration, defaults included
        #[arg(long)]
        print: bool,
    },
    /// Say how a running Millrace does: what comes in, what waits, what fails, the disk, the lag. `MILLRACE_TOKEN` is for one with tokens
    Status {
        /// YAML file of that Millrace: it says where its health and metrics are
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print what it answered as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        tls: TlsOptions,
    },
    /// Print the DDL of the tables, check them, or create them
    Schema {
        /// YAML file
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        action: Option<SchemaAction>,
    },
    /// List, show, retry or drop the spans that ClickHouse rejected for good
    DeadLetter {
        /// YAML file
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        action: dead_letter::Action,
    },
    /// Show what would be stored of a request: a captured call or OTLP/JSON on standard input, rows as JSON out
    Redact {
        /// YAML file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The workspace whose rules hold
        #[arg(long, value_name = "NAME", default_value = "default")]
        workspace: String,
    },
    /// Delete everything of a user, a session or a trace, in every table, and what is on its way there
    Delete {
        /// YAML file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Only in this workspace
        #[arg(long, value_name = "NAME", default_value = "default")]
        workspace: String,
        #[command(flatten)]
        whose: Whose,
        /// Only traces that began before then: a date, a time (RFC 3339), or how long ago (30d)
        #[arg(long, value_name = "TIME", value_parser = rollup::moment)]
        before: Option<UnixNanos>,
        /// Say what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        tls: TlsOptions,
    },
    /// Send what is in files to a running Millrace: OTLP, sessions of coding agents, logs of gateways, exports of other systems
    Import(import::Options),
    /// Count calls and traces anew
    Rollup {
        /// YAML file
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        action: rollup::Action,
    },
    /// Show what a call costs and why, or which models have no price
    Prices {
        /// YAML file
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        action: prices::Action,
    },
    /// Make, list and revoke tokens: who may send, read and change
    Token {
        /// YAML file
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        /// File of tokens, instead of `auth.tokens_file`
        #[arg(long, value_name = "FILE", global = true)]
        file: Option<PathBuf>,
        #[command(subcommand)]
        action: token::Action,
    },
    /// Run the embedded ClickHouse alone, on its HTTP interface
    Clickhouse(Alone),
    /// Print the rows of the Parquet file that standard input is, as lines of JSON: what an import starts
    #[command(hide = true)]
    ParquetRows {
        /// libchdb.so
        #[arg(long, value_name = "FILE")]
        library: Option<PathBuf>,
        /// A folder that is made, and used meanwhile
        #[arg(long, value_name = "DIR")]
        scratch: PathBuf,
    },
}

/// The embedded ClickHouse without Millrace.
#[derive(Debug, clap::Args)]
struct Alone {
    /// YAML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port, instead of `embedded.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder of the data, instead of `data_dir`/clickhouse
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// libchdb.so, instead of `embedded.library`
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Most memory the engine may take, instead of `embedded.memory_max_bytes`
    #[arg(long, value_name = "BYTES")]
    memory_max_bytes: Option<usize>,
    /// Most queries at once, instead of `embedded.queries_max`
    #[arg(long, value_name = "NUMBER")]
    queries_max: Option<NonZeroUsize>,
    /// XML elements that become settings of the ClickHouse server, as in its configuration file
    #[arg(long, hide = true, value_name = "FILE")]
    engine_settings: Option<PathBuf>,
    /// Instead of `log.level`
    #[arg(long, hide = true, value_name = "LEVEL", value_parser = as_configured::<Level>)]
    log_level: Option<Level>,
    /// Instead of `log.format`
    #[arg(long, hide = true, value_name = "FORMAT", value_parser = as_configured::<LogFormat>)]
    log_format: Option<LogFormat>,
    /// Serve a parent process: stop when standard input ends and leave signals to the parent
    #[arg(long, hide = true)]
    parent_watch: bool,
    /// Take the secret of the parent's own requests from the first line of standard input
    #[arg(long, hide = true, requires = "parent_watch")]
    own_stdin: bool,
    /// Take the password from the next line of standard input: SQL can read the environment
    #[arg(long, hide = true, requires = "parent_watch")]
    password_stdin: bool,
}

/// Whose rows are deleted.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// All traces with a call of this user, with everything in them
    #[arg(long)]
    user: Option<String>,
    /// All traces of this session
    #[arg(long)]
    session: Option<String>,
    /// This trace
    #[arg(long)]
    trace: Option<String>,
}

impl Whose {
    fn subject(self) -> anyhow::Result<Subject> {
        let named = |text: String| if text.is_empty() { None } else { Some(text) };
        if let Some(trace) = self.trace {
            let id = TraceId::from_hex(trace.as_bytes());
            return id.map(Subject::Trace).map_err(|_| anyhow::anyhow!("--trace: {trace:?} is not 32 hex digits"));
        }
        let user = self.user.and_then(named).map(Subject::User);
        user.or_else(|| self.session.and_then(named).map(Subject::Session))
            .context("--user and --session must not be empty: every row without one would be meant")
    }
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum SchemaAction {
    /// Print every statement, in order; each can be run again (the default)
    Print,
    /// Print what is missing in ClickHouse and the statements that create it; exit code 1 if anything is missing
    Check,
    /// Create what is missing, whatever `schema.manage` says
    Apply,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Import(options) => import(options),
        command => run(command).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _reader_gone = writeln!(std::io::stderr(), "millrace: {error:#}");
            // a supervisor, ours or systemd's, need not try again
            let permanent =
                error.downcast_ref::<ServeError>().is_some_and(ServeError::is_permanent) || error.is::<NeverStarted>();
            if permanent { ExitCode::from(EXIT_PERMANENT) } else { ExitCode::FAILURE }
        }
    }
}

fn workspace_of(name: &str) -> anyhow::Result<Workspace> {
    Workspace::new(name).map_err(|error| anyhow::anyhow!("--workspace: {error}"))
}

fn redact(config: Option<PathBuf>, workspace: &str) -> anyhow::Result<()> {
    let (config, workspace) = (load(config)?, workspace_of(workspace)?);
    let mut request = Vec::new();
    std::io::stdin().take(to_u64(REQUEST_BYTES_MAX)).read_to_end(&mut request).context("standard input")?;
    redact::run(&config, &workspace, &request, &mut std::io::stdout(), &mut std::io::stderr())
}

fn import(options: import::Options) -> anyhow::Result<ExitCode> {
    let config = load(options.config.clone())?;
    log::start(&config.log);
    let token = environment().remove(TOKEN_VARIABLE).map(Secret::from);
    let ended = runtime()?.block_on(async { import::run(&config, options, token).await })?;
    Ok(match ended {
        import::Ended::Whole => ExitCode::SUCCESS,
        import::Ended::WithRejects => ExitCode::from(EXIT_REJECTS),
    })
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { config, ready_file } => {
            arenas::one_a_core();
            let path = config;
            let config = load(path.clone())?;
            log::start(&config.log);
            let runtime = runtime()?;
            let served = runtime.block_on(app::serve(config, path, ready_file, import::page::routes));
            // a thread that waits for a disk that never answers does not keep the process
            runtime.shutdown_timeout(THREADS_END_WITHIN);
            served
        }
        Command::Validate { config, print } => {
            let file = config;
            let config = load(file.clone())?;
            let problems = app::problems_of_files(&config);
            if !problems.is_empty() {
                return Err(Config::invalid(file.as_deref(), problems)).with_context(|| not_valid(file.as_deref()));
            }
            if print {
                show(&config.to_yaml()?);
            } else {
                show("The configuration is valid.\n");
            }
            Ok(())
        }
        Command::Status { config, json, tls } => {
            let config = load(config)?;
            let token = environment().remove(TOKEN_VARIABLE).map(Secret::from);
            runtime()?.block_on(async {
                status::run(&config.admin, token.as_ref(), &tls, json, &mut std::io::stdout()).await
            })
        }
        Command::Schema { config, action } => run_schema(load(config)?, action),
        Command::DeadLetter { config, action } => {
            let config = load(config)?;
            runtime()?.block_on(dead_letter::run(&config, &action, &mut std::io::stdout()))
        }
        Command::Redact { config, workspace } => redact(config, &workspace),
        Command::Delete { config, workspace, whose, before, dry_run, tls } => {
            let deletion = Deletion { workspace: workspace_of(&workspace)?, subject: whose.subject()?, before };
            let config = load(config)?;
            log::start(&config.log);
            let token = environment().remove(TOKEN_VARIABLE).map(Secret::from);
            let (with, out) = ((&tls, token.as_ref()), &mut std::io::stdout());
            runtime()?.block_on(async { deletion::run(&config, &deletion, !dry_run, with, out).await })
        }
        Command::Import(_) => anyhow::bail!("an import ends with a code of its own"),
        Command::Rollup { config, action } => {
            let config = load(config)?;
            log::start(&config.log);
            // a client of several nodes looks at them, so it is made where tasks can be
            runtime()?
                .block_on(async { rollup::run(&config, &action, &app::client(&config), &mut std::io::stdout()).await })
        }
        Command::Prices { config, action } => {
            let config = load(config)?;
            log::start(&config.log);
            let client = || app::client(&config);
            runtime()?.block_on(prices::run(&config.prices, &action, client, &mut std::io::stdout()))
        }
        Command::Token { config, file, action } => {
            let config = load(config)?;
            log::start(&config.log);
            token::run(&config, file, action, &mut std::io::stdout(), &mut std::io::stderr())
        }
        Command::Clickhouse(alone) => serve_clickhouse(alone),
        Command::ParquetRows { library, scratch } => app::print_parquet_rows(library, &scratch),
    }
}

fn run_schema(config: Config, action: Option<SchemaAction>) -> anyhow::Result<()> {
    match action {
        None | Some(SchemaAction::Print) => {
            show_statements(&schema::statements(&app::layout(&config)));
            Ok(())
        }
        Some(SchemaAction::Check) => runtime()?.block_on(check_schema(&config)),
        Some(SchemaAction::Apply) => runtime()?.block_on(apply_schema(config)),
    }
}

/// A word as a configuration has it.
fn as_configured<T: DeserializeOwned>(word: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(word.into())
}

fn serve_clickhouse(alone: Alone) -> anyhow::Result<()> {
    let mut config = load(alone.config)?;
    let embedded = &mut config.embedded;
    embedded.listen = alone.listen.unwrap_or(embedded.listen);
    embedded.library = alone.library.or(embedded.library.take());
    embedded.memory_max_bytes = alone.memory_max_bytes.map(ByteSize).or(embedded.memory_max_bytes);
    embedded.queries_max = alone.queries_max.map_or(embedded.queries_max, NonZeroUsize::get);
    config.log.level = alone.log_level.unwrap_or(config.log.level);
    config.log.format = alone.log_format.unwrap_or(config.log.format);
    config.check_limits()?;
    let data_dir = alone.data_dir.unwrap_or_else(|| app::clickhouse_dir(&config));
    log::start(&config.log);
    let Alone { own_stdin, password_stdin, .. } = alone;
    let parent = alone.parent_watch.then_some(app::Parent { own_stdin, password_stdin });
    runtime()?.block_on(app::serve_clickhouse(&config, data_dir, alone.engine_settings, parent))
}

fn show_statements(statements: &[String]) {
    for statement in statements {
        show(&format!("{statement};\n\n"));
    }
}

async fn check_schema(config: &Config) -> anyhow::Result<()> {
    let lacking = app::schema(config).check(&app::client(config)).await.context("failed to ask ClickHouse")?;
    if let Some(newer) = lacking.newer {
        show(&format!("-- The schema has version {newer}, this Millrace knows {}.\n", schema::version()));
    }
    for what in &lacking.differing {
        show(&format!("-- differs: {what}\n"));
    }
    if lacking.is_nothing() {
        show(&format!("-- Nothing is missing (version {}).\n", schema::version()));
    }
    for what in &lacking.what {
        show(&format!("-- missing: {what}\n"));
    }
    show_statements(&lacking.statements);
    show_nodes(&lacking);
    if !lacking.is_nothing() {
        anyhow::bail!("the schema lacks {} things; the statements above create them", lacking.what.len());
    }
    if !lacking.wrong.is_empty() {
        anyhow::bail!("the cluster is incomplete (see above)");
    }
    Ok(())
}

/// Prints what to do on single nodes, and which nodes were not checked.
fn show_nodes(lacking: &schema::Lacking) {
    for node in &lacking.absent {
        show(&format!("-- not checked: {node} does not answer\n"));
    }
    for wrong in &lacking.wrong {
        show(&format!("-- wrong: {}\n", wrong.what));
        show_statements(&wrong.statements);
    }
}

async fn apply_schema(mut config: Config) -> anyhow::Result<()> {
    log::start(&config.log);
    config.schema.manage = true;
    let (schema, client) = (app::schema(&config), app::client(&config));
    schema.prepare(&client).await.context("failed to change the schema")?;
    let lacking = schema.check(&client).await.context("failed to check the schema again")?;
    show_nodes(&lacking);
    if !lacking.wrong.is_empty() {
        anyhow::bail!("the schema is complete, but the cluster is incomplete (see above)");
    }
    show("The schema is complete.\n");
    Ok(())
}

/// Prints; it is not an error if the reader has ended (`| head`).
fn show(text: &str) {
    let _reader_gone = std::io::stdout().write_all(text.as_bytes());
}

fn load(file: Option<PathBuf>) -> anyhow::Result<Config> {
    Config::load(file.as_deref(), &environment()).with_context(|| not_valid(file.as_deref()))
}

fn not_valid(file: Option<&Path>) -> String {
    format!("{} is not valid", file.map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string()))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start the runtime")
}
