//! TLS of a listener: its certificate, and those of its clients if it asks for them.
//!
//! ```text
//! files --> rustls --> handshakes from now on          a connection keeps what it began with
//!   '- have changed, or SIGHUP --> read again; if something is wrong with them, what there was stays
//! ```

use crate::locks::locked;
use crate::reloadable::Reloadable;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio_rustls::{TlsAcceptor, rustls};

/// Where the certificates of a listener are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its own certificate, and those between it and one that clients trust.
    pub cert_file: PathBuf,
    /// The key of its certificate.
    pub key_file: PathBuf,
    /// Certificates of authorities: a client must have a certificate of one of them. Absent: clients need none.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
}

impl Config {
    /// Whether only clients with a certificate are let in.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.client_ca_file.is_some()
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert_file), Some(&self.key_file), self.client_ca_file.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

/// What a listener speaks over TLS. Source: RFC 7301.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/2 alone.
    Http2,
    /// HTTP/2 and HTTP/1.1.
    Both,
}

impl Speaks {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// How the files looked when they were read: time, size and number of each.
type Look = Vec<Option<(i64, i64, u64, u64)>>;

/// TLS of one listener.
pub struct Tls {
    config: Config,
    speaks: Speaks,
    current: Reloadable<ServerConfig>,
    seen: Mutex<Look>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tls {
    /// # Errors
    /// If a file cannot be read, or is not what it must be; it is named.
    pub fn load(config: &Config, speaks: Speaks) -> Result<Arc<Self>, String> {
        let seen = look(config);
        let current = Reloadable::new(read(config, speaks)?);
        Ok(Arc::new(Self { config: config.clone(), speaks, current, seen: Mutex::new(seen) }))
    }

    /// Takes the handshakes of new connections.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.kept())
    }

    /// Reads the files again if they have changed, or in any case; whether it did. Blocks on the disk.
    ///
    /// # Errors
    /// If something is wrong with them. What there was stays, and is not looked at again before they change.
    pub fn reload(&self, in_any_case: bool) -> Result<bool, String> {
        let now = look(&self.config);
        let mut seen = locked(&self.seen);
        if *seen == now && !in_any_case {
            return Ok(false);
        }
        // certificate and key are two files: between the writes of the two they do not fit, and the second one is a change too
        *seen = now;
        drop(seen);
        self.current.replace(read(&self.config, self.speaks)?);
        Ok(true)
    }

    /// What is wrong with the files now, if anything is: nothing is changed.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn check(&self) -> Result<(), String> {
        read(&self.config, self.speaks).map(|_| ())
    }
}

fn look(config: &Config) -> Look {
    let of =
        |path: &Path| fs::metadata(path).ok().map(|file| (file.mtime(), file.mtime_nsec(), file.size(), file.ino()));
    config.files().map(of).collect()
}

fn read(config: &Config, speaks: Speaks) -> Result<ServerConfig, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let failed = |path: &Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let certificates = certificates(&config.cert_file)?;
    // never with the text: it is a key
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|_| failed(&config.key_file, &"cannot be read, or has no private key in PEM"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots.add(certificate).map_err(|error| failed(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| failed(path, &error))?)
        }
    };
    let mut server = builder.with_single_cert(certificates, key).map_err(|error| failed(&config.cert_file, &error))?;
    server.alpn_protocols = speaks.protocols();
    Ok(server)
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{}: has no certificate in PEM", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
