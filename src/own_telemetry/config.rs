//! The section `telemetry` of the configuration.

use super::in_tls;
use crate::connections::trust::Trust;
use crate::secret::Secret;
use crate::sizes;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Where Millrace sends its own traces and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The OTLP/HTTP endpoint, such as `http://collector:4318`, without `/v1/...`. Absent: nothing is sent.
    pub endpoint: Option<String>,
    /// Headers of every request, such as `authorization`.
    pub headers: BTreeMap<String, Secret>,
    /// Whether spans of requests and inserts are sent.
    pub traces: bool,
    /// Whether what `/metrics` shows is sent.
    pub metrics: bool,
    /// How often metrics are sent.
    #[serde(with = "crate::time::spelt")]
    pub interval: Duration,
    /// Whom it trusts, and what it shows, where the endpoint is `https`.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub tls: Trust,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            traces: true,
            metrics: true,
            interval: Duration::from_secs(60),
            tls: Trust::default(),
        }
    }
}

impl Config {
    /// # Errors
    /// If the endpoint is no URL, or one of these listeners of this Millrace.
    pub fn check(&self, listeners: &[(&str, SocketAddr)]) -> Result<(), String> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let wrong = || format!("telemetry.endpoint: {endpoint:?} is not a URL such as http://collector:4318");
        let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
        let port = match uri.scheme_str() {
            Some("http") => uri.port_u16().unwrap_or(80),
            Some("https") => uri.port_u16().unwrap_or(443),
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong());
        }
        self.headers()?;
        match listeners.iter().find(|(_, listen)| listen.port() == port && is_at(host, listen.ip())) {
            None => Ok(()),
            Some((key, listen)) => Err(format!(
                "telemetry.endpoint: {endpoint} is {key} ({listen}) of this Millrace, which would tell itself of what it tells itself; \
                 name a collector, or another Millrace"
            )),
        }
    }

    /// What the files of `tls` are.
    ///
    /// # Errors
    /// If one is not what it must be.
    pub fn check_files(&self) -> Result<(), String> {
        self.tls.connector().map(|_| ()).map_err(in_tls)
    }

    pub(super) fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let failed = |what: &str| format!("telemetry.headers.{name}: {what}");
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| failed("is not a name of a header"))?;
            // never with the value: it is a secret
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| failed("is not a value of a header"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(headers)
    }
}

/// Whether a host is that of a listener on this machine. Names other than `localhost` are not looked up: an export that comes back all the same
/// is noticed when it does.
fn is_at(host: &str, listen: IpAddr) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let address = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical(),
        Err(_) if host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        Err(_) => return false,
    };
    let listen = listen.to_canonical();
    let is_loopback = address.is_loopback() || address.is_unspecified();
    // an address that this machine has can be bound
    let is_ours = is_loopback || UdpSocket::bind((address, 0)).is_ok();
    is_ours && (listen.is_unspecified() || address == listen || (is_loopback && listen.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: &str, listen: &str) -> Result<(), String> {
        let config = Config { endpoint: Some(endpoint.to_owned()), ..Config::default() };
        config.check(&[("receivers.http.listen", listen.parse().unwrap())])
    }

    #[test]
    fn an_endpoint_that_is_one_of_its_own_listeners_is_refused_however_it_is_written() {
        for (endpoint, listen) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318"),
            ("http://localhost:4318/", "127.0.0.1:4318"),
            ("https://LOCALHOST.:4318", "127.0.0.1:4318"),
            ("http://a.localhost:4318", "0.0.0.0:4318"),
            ("http://[::1]:4318", "[::]:4318"),
            ("http://[::ffff:127.0.0.1]:4318", "127.0.0.1:4318"),
            ("http://0.0.0.0:4318", "127.0.0.1:4318"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("https://127.0.0.1", "0.0.0.0:443"),
        ] {
            let refused = check(endpoint, listen).unwrap_err();
            assert!(refused.contains("telemetry.endpoint") && refused.contains("receivers.http.listen"), "{refused}");
        }
        for (endpoint, listen) in [
            ("http://127.0.0.1:4319", "127.0.0.1:4318"),
            ("http://192.0.2.1:4318", "0.0.0.0:4318"),
            ("http://collector:4318", "0.0.0.0:4318"),
            ("https://collector.example/otlp", "127.0.0.1:443"),
        ] {
            assert_eq!(check(endpoint, listen), Ok(()), "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_endpoint_or_no_header_is_named_and_a_value_is_not_shown() {
        for wrong in ["collector:4318", "ftp://a", "http://", "http://user:secret@a", "http://a?b=c"] {
            assert!(check(wrong, "127.0.0.1:1").unwrap_err().starts_with("telemetry.endpoint"), "{wrong}");
        }
        let headers = BTreeMap::from([("authorization".to_owned(), Secret::from("hunter2\n".to_owned()))]);
        let config = Config { endpoint: Some("http://a:1".to_owned()), headers, ..Config::default() };
        let refused = config.check(&[]).unwrap_err();
        assert!(refused.starts_with("telemetry.headers.authorization") && !refused.contains("hunter2"), "{refused}");
    }
}
