//! `millrace token`: makes, lists and revokes the tokens of `auth.tokens_file`.

use crate::access::config::Tokens;
use crate::access::token::Expiry;
use crate::access::{Auth, Scope, Token, TokenHash, file};
use crate::audit;
use crate::config::Config;
use crate::secret::Secret;
use crate::time::{Clock, UnixNanos};
use anyhow::Context as _;
use clap::Subcommand;
use humantime_serde::re::humantime;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a token and print it, once: only its hash is kept
    Create {
        /// Its name, by which it is listed and revoked
        #[arg(long, value_name = "NAME")]
        name: String,
        /// A workspace, or a pattern of workspaces in which * stands for any text; several with commas
        #[arg(long, value_name = "NAMES", required = true, value_delimiter = ',')]
        workspace: Vec<String>,
        /// What it may do there: ingest, read, admin; several with commas
        #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',')]
        scope: Vec<Scope>,
        /// When it ends: a time (RFC 3339), or after how long (90d)
        #[arg(long, value_name = "TIME", value_parser = end)]
        expires: Option<Expiry>,
    },
    /// List the tokens: names, scopes, workspaces, ends
    List,
    /// Remove a token
    Revoke {
        /// Its name
        name: String,
    },
}

fn end(text: &str) -> Result<Expiry, String> {
    if let Ok(after) = humantime::parse_duration(text) {
        let end = Clock::System.now().saturating_add(after);
        // whole seconds are enough, and are read more easily
        let end = UnixNanos::from_i64(end.nanos() / 1_000_000_000 * 1_000_000_000);
        return end.map(Expiry::from_time).ok_or_else(|| format!("{text:?} is too far away"));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is neither a time, such as 2027-01-31T00:00:00Z, nor how long, such as 90d"))
}

/// Does it. `file` is edited instead of the configured one, if there is one.
///
/// # Errors
/// If no file is configured, or it cannot be read or written.
pub fn run(
    config: &Config,
    file: Option<PathBuf>,
    action: Action,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> anyhow::Result<()> {
    let path = file
        .or_else(|| configured(config).map(Path::to_owned))
        .context("the configuration names no file of tokens; set auth.tokens_file, or name one with --file")?;
    match action {
        Action::Create { name, workspace, scope, expires } => {
            let secret = Secret::generate();
            let hash = TokenHash::of(secret.reveal().as_bytes());
            let named = name.clone();
            let token = Token { name, workspaces: workspace, scopes: scope, expires, hash };
            let added = file::edit(&path, |tokens| {
                token.check()?;
                tokens.push(token);
                Ok(())
            });
            added.map_err(anyhow::Error::msg)?;
            tracing::info!(target: audit::TARGET, token = named, file = %path.display(), "token made");
            // alone on standard output, for a shell to take
            writeln!(out, "{}", secret.reveal())?;
            writeln!(notes, "{} holds its hash; the token itself is shown this once.", path.display())?;
            reload(notes)?;
        }
        Action::List => list(&file::read(&path).map_err(anyhow::Error::msg)?, out)?,
        Action::Revoke { name } => {
            let removed = file::edit(&path, |tokens| {
                let before = tokens.len();
                tokens.retain(|token| token.name != name);
                if tokens.len() < before { Ok(()) } else { Err(format!("there is no token {name}")) }
            });
            removed.map_err(anyhow::Error::msg)?;
            tracing::info!(target: audit::TARGET, token = name, file = %path.display(), "token revoked");
            writeln!(notes, "{name} is removed from {}.", path.display())?;
            reload(notes)?;
        }
    }
    Ok(())
}

fn configured(config: &Config) -> Option<&Path> {
    match &config.auth {
        Auth::Tokens(Tokens { tokens_file, .. }) => tokens_file.as_deref(),
        Auth::Unset | Auth::Open => None,
    }
}

fn reload(notes: &mut impl Write) -> std::io::Result<()> {
    writeln!(notes, "A running Millrace reads it again on SIGHUP.")
}

fn list(tokens: &[Token], out: &mut impl Write) -> std::io::Result<()> {
    let now = Clock::System.now();
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let end = match token.expires {
            None => "never expires".to_owned(),
            Some(end) if end.at().is_some_and(|at| at <= now) => format!("expired {end}"),
            Some(end) => format!("expires {end}"),
        };
        writeln!(out, "{}\t{}\t{}\t{end}", token.name, scopes.join(","), token.workspaces.join(","))?;
    }
    Ok(())
}
