//! The section `page` of the configuration.

use crate::connections::tls;
use crate::connections::trust::Trust;
use crate::sizes::ByteSize;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where the page is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificates; absent: without TLS.
    pub tls: Option<tls::Config>,
    /// Bytes that files of one workspace to be imported may have, all that lie below `data_dir` at once; those of all have four times that.
    pub uploads_max: ByteSize,
    /// How its imports trust the ingest and the metrics of this Millrace, where those have TLS.
    pub import_tls: Trust,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4319)),
            tls: None,
            uploads_max: ByteSize(1 << 30),
            import_tls: Trust::default(),
        }
    }
}
