//! TLS of a client: whom it trusts, and what it shows of itself.

use super::tls::certificates;
use hyper_rustls::{ConfigBuilderExt as _, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls;

/// How a client trusts a server, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// Certificates of authorities, one of which the server's must be of. Absent: the public ones.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, for servers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// The key of its certificate.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate has. Absent: the host of the URL.
    pub server_name: Option<String>,
}

impl Trust {
    /// Connects with TLS to `https` URLs, and without it to `http` ones.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what it must be; it is named.
    pub fn connector(&self) -> Result<HttpsConnector<HttpConnector>, String> {
        let mut builder = HttpsConnectorBuilder::new().with_tls_config(self.client()?).https_or_http();
        if let Some(name) = &self.server_name {
            let name = ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is not a name of a server"))?;
            builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        Ok(builder.enable_http1().build())
    }

    fn client(&self) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?;
        let builder = match &self.ca_file {
            None => builder.with_webpki_roots(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                builder.with_root_certificates(roots)
            }
        };
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => {
                // never with the text: it is a key
                let read = PrivateKeyDer::from_pem_file(key)
                    .map_err(|_| format!("{}: cannot be read, or has no private key in PEM", key.display()))?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, read)
                    .map_err(|error| format!("{}: {error}", certificate.display()))
            }
            _ => Err("a certificate and its key go together: name both files".to_owned()),
        }
    }
}
