//! A running Millrace, as the commands ask it: over HTTP, with TLS where its listener has it.

use crate::connections::trust::Trust;
use crate::secret::Secret;
use anyhow::Context as _;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How long a page may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a page at most.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// What a command needs for a Millrace whose listeners have TLS.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsOptions {
    /// Certificates (PEM) of the authorities of a Millrace whose listener has TLS; without it, the public ones
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Certificate (PEM) to show to a listener that asks its clients for one
    #[arg(long, value_name = "FILE", global = true)]
    cert_file: Option<PathBuf>,
    /// Key (PEM) of --cert-file
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// The name in that Millrace's certificate, if it is not the address
    #[arg(long, value_name = "NAME", global = true)]
    server_name: Option<String>,
}

/// A client with a pool of connections.
pub(crate) type Http<B> = Client<HttpsConnector<HttpConnector>, B>;

impl From<&Trust> for TlsOptions {
    fn from(trust: &Trust) -> Self {
        let Trust { ca_file, cert_file, key_file, server_name } = trust.clone();
        Self { ca_file, cert_file, key_file, server_name }
    }
}

impl TlsOptions {
    /// A client that trusts as these options say.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what it must be; the option is named.
    pub(crate) fn client<B>(&self) -> anyhow::Result<Http<B>>
    where
        B: Body + Send,
        B::Data: Send,
    {
        let Self { ca_file, cert_file, key_file, server_name } = self.clone();
        let connector = Trust { ca_file, cert_file, key_file, server_name }.connector();
        let connector =
            connector.map_err(anyhow::Error::msg).context("--ca-file, --cert-file, --key-file, --server-name")?;
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

/// The address of a listener for a client on this machine: one of all addresses is asked on that of this machine.
#[must_use]
pub(crate) fn nearby(mut at: SocketAddr) -> SocketAddr {
    if at.ip().is_unspecified() {
        at.set_ip(match at.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    at
}

/// The URL of a listener for a client on this machine.
#[must_use]
pub(crate) fn url(at: SocketAddr, has_tls: bool) -> String {
    format!("{}://{}", if has_tls { "https" } else { "http" }, nearby(at))
}

/// A page of a running Millrace.
///
/// # Errors
/// If it does not answer, or answers something else than a page.
pub(crate) async fn page(client: &Http<Empty<Bytes>>, url: &str, token: Option<&Secret>) -> anyhow::Result<String> {
    let uri: Uri = url.parse()?;
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    let request = request.body(Empty::<Bytes>::new()).context("the token has characters that no token has")?;
    let asked = async {
        let answer = client.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), PAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        // a Millrace that refuses spans says so in a page like any other
        if status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok::<_, anyhow::Error>(String::from_utf8_lossy(&body).into_owned());
        }
        let hint = if status == StatusCode::UNAUTHORIZED { "; it wants a token (MILLRACE_TOKEN)" } else { "" };
        anyhow::bail!("{status}{hint}")
    };
    let answer = tokio::time::timeout(WITHIN, asked).await;
    answer.with_context(|| format!("{url} did not answer within {WITHIN:?}"))?.with_context(|| url.to_owned())
}
