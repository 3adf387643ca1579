//! Which web pages may ask: those of origins that are configured, and those of this very server. A browser says where a request comes from;
//! programs do not, and are not asked.
//!
//! ```text
//! Host                a question (GET) by a name that somebody else may point here (DNS rebinding)   -> 403
//! Origin              of a page that is not of this server, nor configured                          -> 403
//! Sec-Fetch-Site      the same without an Origin                                                     -> 403
//! OPTIONS             a preflight                                                                    -> 204, with permission or without
//! ```
//!
//! Sources: WHATWG Fetch, "CORS protocol"; W3C Fetch Metadata Request Headers.

use crate::text::is_like;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_TYPE, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest origin or host that is configured.
const NAME_BYTES_MAX: usize = 256;
/// Headers that pages of a configured origin may send; others are configured.
const HEADERS_OF_SENDERS: [&str; 9] = [
    "content-type",
    "content-encoding",
    "authorization",
    "traceparent",
    "tracestate",
    "baggage",
    "idempotency-key",
    "x-millrace-workspace",
    "x-millrace-ack",
];
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
/// Endings of names that nobody outside can point here. Sources: RFC 6761, RFC 9476, Kubernetes' DNS for Services and Pods.
const OWN_ENDINGS: [&str; 5] = [".localhost", ".internal", ".svc", ".cluster.local", ".local"];

/// Web pages that may send: cross-origin resource sharing, with the keys of the OpenTelemetry Collector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// Origins such as `https://app.example.com`; `*` stands for any text.
    pub allowed_origins: Vec<String>,
    /// Headers beside those that senders have.
    pub allowed_headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight.
    #[serde(with = "crate::time::spelt")]
    pub max_age: Duration,
}

impl Default for Cors {
    fn default() -> Self {
        Self { allowed_origins: Vec::new(), allowed_headers: Vec::new(), max_age: Duration::from_secs(2 * 3_600) }
    }
}

impl Cors {
    /// # Errors
    /// What is wrong, naming the key below `place`.
    pub fn check(&self, place: &str) -> Result<(), String> {
        for origin in &self.allowed_origins {
            let is_one = origin == "*" || origin.starts_with("http://") || origin.starts_with("https://");
            if !is_one || origin.len() > NAME_BYTES_MAX || origin.ends_with('/') {
                return Err(format!(
                    "{place}.allowed_origins: {origin:?} must be an origin such as https://app.example.com, without a path"
                ));
            }
        }
        match self.allowed_headers.iter().find(|name| HeaderName::try_from(name.as_str()).is_err()) {
            Some(name) => Err(format!("{place}.allowed_headers: {name:?} is not the name of a header")),
            None => Ok(()),
        }
    }
}

/// By which names a listener is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// It listens on this machine alone.
    Loopback,
    /// It listens wider.
    Own,
    /// Whoever asks must know a password.
    Any,
}

/// Who may ask a listener.
#[derive(Debug, Clone)]
pub struct Browsers {
    hosts: Hosts,
    allowed_hosts: Vec<String>,
    cors: Cors,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No browser sent it, or a page of this server.
    Pass,
    /// A page of this origin, which is configured.
    PassFrom(HeaderValue),
    /// A browser asks whether a page may send; from this origin it may.
    Preflight(Option<HeaderValue>),
    /// It is not answered, and why.
    Refuse(&'static str),
}

const FOREIGN_HOST: &str =
    "the Host of this request is no name of this server; add it to connections.allowed_hosts, or ask by an address";
const FOREIGN_PAGE: &str = "web pages of other origins are refused; add the origin to receivers.http.cors.allowed_origins, or send it from a server";

impl Browsers {
    /// For a listener at these hosts.
    #[must_use]
    pub fn new(hosts: Hosts, allowed_hosts: Vec<String>, cors: Cors) -> Self {
        Self { hosts, allowed_hosts, cors }
    }

    /// Without configured origins or names.
    #[must_use]
    pub fn none_allowed(hosts: Hosts) -> Self {
        Self::new(hosts, Vec::new(), Cors::default())
    }

    /// What becomes of a request.
    #[must_use]
    pub fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Verdict {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| text(HOST));
        let is_known = host.is_none_or(|host| self.is_own(host));
        let origin = headers.get(ORIGIN);
        let from = origin.filter(|origin| self.may_send(origin));
        if *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return Verdict::Preflight(from.cloned());
        }
        if let Some(from) = from {
            return Verdict::PassFrom(from.clone());
        }
        let is_question = *method == Method::GET || *method == Method::HEAD;
        if is_question && !is_known {
            return Verdict::Refuse(FOREIGN_HOST);
        }
        let is_same = |origin: &HeaderValue| {
            let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            page.is_some_and(|(scheme, page)| scheme.starts_with("http") && Some(page) == host && is_known)
        };
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_of_others =
            origin.is_some_and(|origin| !is_same(origin)) || !matches!(site, None | Some(b"none" | b"same-origin"));
        if is_of_others { Verdict::Refuse(FOREIGN_PAGE) } else { Verdict::Pass }
    }

    /// Whether nobody else can point that name, with or without a port, here.
    fn is_own(&self, host: &str) -> bool {
        let name = name_of(host).to_ascii_lowercase();
        let is_configured = self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name));
        let address = name.parse::<IpAddr>().ok();
        is_configured
            || match self.hosts {
                Hosts::Any => true,
                Hosts::Loopback => is_of_this_machine(&name),
                Hosts::Own => {
                    let ends_as_own = OWN_ENDINGS.iter().any(|ending| name.ends_with(ending));
                    address.is_some() || !name.is_empty() && !name.contains('.') || ends_as_own
                }
            }
    }

    fn may_send(&self, origin: &HeaderValue) -> bool {
        let origin = origin.as_bytes();
        // an origin has no path, in which a pattern's end might stand
        let is_origin = origin.iter().filter(|byte| **byte == b'/').count() <= 2;
        let mut allowed = self.cors.allowed_origins.iter();
        allowed.any(|allowed| allowed == "*" || (is_origin && is_like(allowed.as_bytes(), origin)))
    }

    fn preflight(&self, from: Option<HeaderValue>, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, METHODS);
        headers.insert(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        if let Some(from) = from {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, from);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.cors.max_age.as_secs()));
            if let Some(allowed) = self.allowed_of(asked) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            }
        }
        response
    }

    /// Of the headers that a page wants to send, those that it may.
    fn allowed_of(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let asked = asked.get(ACCESS_CONTROL_REQUEST_HEADERS)?.to_str().ok()?;
        let may = |name: &&str| {
            let own = self.cors.allowed_headers.iter().any(|own| own.eq_ignore_ascii_case(name));
            own || HEADERS_OF_SENDERS.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let allowed: Vec<&str> = asked.split(',').map(str::trim).filter(may).collect();
        HeaderValue::from_str(&allowed.join(", ")).ok()
    }
}

/// Whether a name, or an address without brackets, is always of the machine that asks.
#[must_use]
pub fn is_of_this_machine(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The name in front of the port.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
            _ => "",
        };
    }
    host.split_once(':').map_or(host, |(name, _port)| name)
}

/// The routes, behind what answers for them where a browser may not ask, or only wants to know whether it may.
pub fn guarded(routes: Router, browsers: Browsers) -> Router {
    let browsers = Arc::new(browsers);
    routes.layer(from_fn(move |request, next| guard(Arc::clone(&browsers), request, next)))
}

async fn guard(browsers: Arc<Browsers>, request: Request, next: Next) -> Response {
    match browsers.judge(request.method(), request.uri(), request.headers()) {
        Verdict::Pass => next.run(request).await,
        Verdict::PassFrom(origin) => {
            let mut response = next.run(request).await;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(VARY, HeaderValue::from_static("Origin"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
            response
        }
        Verdict::Preflight(from) => browsers.preflight(from, request.headers()),
        Verdict::Refuse(why) => refusal(why),
    }
}

fn refusal(why: &str) -> Response {
    let body = serde_json::json!({"detail": why, "message": why, "code": PERMISSION_DENIED}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Source: google.rpc.Code.
const PERMISSION_DENIED: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header =
            |(name, value): &(&'static str, &str)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap());
        pairs.iter().map(header).collect()
    }

    fn verdict(browsers: &Browsers, method: Method, pairs: &[(&'static str, &str)]) -> Verdict {
        browsers.judge(&method, &Uri::from_static("/"), &headers(pairs))
    }

    fn is_known(browsers: &Browsers, host: &str) -> bool {
        verdict(browsers, Method::GET, &[("host", host)]) == Verdict::Pass
    }

    #[test]
    fn questions_come_by_names_that_nobody_else_can_point_here() {
        let loopback = Browsers::none_allowed(Hosts::Loopback);
        for host in ["localhost", "LOCALHOST:8123", "127.0.0.1", "127.8.9.1:1", "[::1]:8123", "[::1]"] {
            assert!(is_known(&loopback, host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.nip.io:8123",
            "10.0.0.1",
            "[::2]",
            "[::1]x",
            "0.0.0.0",
        ] {
            assert!(!is_known(&loopback, host), "{host}");
        }
        let own = Browsers::new(Hosts::Own, vec!["Otel.example.com".to_owned()], Cors::default());
        for host in [
            "localhost:1",
            "10.0.0.1",
            "[fd00::1]:4318",
            "millrace:4318",
            "millrace.ns.svc",
            "m.ns.svc.cluster.local",
            "otel.example.com:4318",
        ] {
            assert!(is_known(&own, host), "{host}");
        }
        for host in ["", "evil.example.com", "svc.example.com", "10.0.0.1.nip.io"] {
            assert!(!is_known(&own, host), "{host}");
        }
        assert!(is_known(&Browsers::none_allowed(Hosts::Any), "db.example.com:8123"));
    }

    #[test]
    fn programs_send_by_any_name_and_pages_of_others_do_not_send() {
        for hosts in [Hosts::Loopback, Hosts::Own, Hosts::Any] {
            let browsers = Browsers::none_allowed(hosts.clone());
            let post = |pairs: &[(&'static str, &str)]| verdict(&browsers, Method::POST, pairs);
            assert_eq!(post(&[("host", "proxy.example.com")]), Verdict::Pass);
            assert_eq!(post(&[]), Verdict::Pass);
            for page in [
                &[("host", "localhost:4318"), ("origin", "http://evil.example.com")][..],
                &[("host", "localhost:4318"), ("origin", "http://localhost:3000")],
                &[("host", "localhost:4318"), ("origin", "null")],
                &[("host", "localhost:4318"), ("sec-fetch-site", "cross-site")],
                &[("host", "localhost:4318"), ("sec-fetch-site", "same-site")],
            ] {
                assert_eq!(post(page), Verdict::Refuse(FOREIGN_PAGE), "{hosts:?} {page:?}");
            }
            let own =
                [("host", "localhost:4318"), ("origin", "http://localhost:4318"), ("sec-fetch-site", "same-origin")];
            assert_eq!(post(&own), Verdict::Pass);
        }
        // a page of a name that is pointed here says that it is of this server
        let rebound =
            [("host", "evil.example.com"), ("origin", "http://evil.example.com"), ("sec-fetch-site", "same-origin")];
        for hosts in [Hosts::Loopback, Hosts::Own] {
            let browsers = Browsers::none_allowed(hosts);
            assert_eq!(verdict(&browsers, Method::POST, &rebound), Verdict::Refuse(FOREIGN_PAGE));
            assert_eq!(verdict(&browsers, Method::GET, &rebound), Verdict::Refuse(FOREIGN_HOST));
        }
    }

    #[test]
    fn pages_of_configured_origins_may_send_and_know_it_before() {
        let cors = Cors {
            allowed_origins: vec!["https://*.example.com".to_owned(), "http://localhost:3000".to_owned()],
            allowed_headers: vec!["X-Own".to_owned()],
            ..Cors::default()
        };
        let browsers = Browsers::new(Hosts::Own, Vec::new(), cors);
        for (origin, may) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com", true),
            ("http://localhost:3000", true),
            ("http://a.example.com", false),
            ("https://example.com", false),
            ("https://evil.net/.example.com", false),
            ("https://a.example.com.evil.net", false),
            ("null", false),
        ] {
            let sent = verdict(
                &browsers,
                Method::POST,
                &[("host", "millrace"), ("origin", origin), ("sec-fetch-site", "cross-site")],
            );
            let asked = [("host", "millrace"), ("origin", origin), ("access-control-request-method", "POST")];
            let asked = verdict(&browsers, Method::OPTIONS, &asked);
            let value = HeaderValue::from_str(origin).unwrap();
            let (want, wanted) = if may {
                (Verdict::PassFrom(value.clone()), Verdict::Preflight(Some(value)))
            } else {
                (Verdict::Refuse(FOREIGN_PAGE), Verdict::Preflight(None))
            };
            assert_eq!((sent, asked), (want, wanted), "{origin}");
        }
        let asked = headers(&[("access-control-request-headers", "content-type, x-own,x-other , TraceParent")]);
        let answer = browsers.preflight(HeaderValue::from_str("x").ok(), &asked);
        assert_eq!(answer.headers()["access-control-allow-headers"], "content-type, x-own, TraceParent");
        assert_eq!(answer.headers()["access-control-max-age"], "7200");
        assert!(browsers.preflight(None, &asked).headers().get("access-control-allow-origin").is_none());
    }

    #[test]
    fn what_is_no_origin_is_named() {
        let check = |origin: &str, header: &str| {
            let cors = Cors {
                allowed_origins: vec![origin.to_owned()],
                allowed_headers: vec![header.to_owned()],
                ..Cors::default()
            };
            cors.check("receivers.http.cors")
        };
        assert_eq!(check("https://a.example.com:8443", "x-a"), Ok(()));
        assert_eq!(check("*", "x-a"), Ok(()));
        for (origin, header) in [("a.example.com", "x"), ("https://a.example.com/", "x"), ("*", "a b")] {
            assert!(
                check(origin, header).unwrap_err().starts_with("receivers.http.cors.allowed_"),
                "{origin} {header}"
            );
        }
    }
}
