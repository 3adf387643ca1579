//! Web pages: those of configured origins may send, those of others may neither send nor ask, on every port.

use serde_json::{Value, json};
use support::http::send;
use support::{Options, Service};

fn request() -> Value {
    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "s",
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001"});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
}

const PAGES: [&[(&str, &str)]; 4] = [
    &[("origin", "https://evil.example.com")],
    &[("origin", "null")],
    &[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "cross-site")],
];

#[test]
fn a_page_of_another_origin_is_refused_on_every_port_and_a_program_is_not() {
    let service = Service::start();
    let body = request().to_string();
    let sql = service.sql().url;
    for (method, url, body) in [
        ("POST", service.http("/v1/traces"), body.as_str()),
        ("POST", service.http("/v1/logs"), "{}"),
        ("POST", service.http("/v1/metrics"), "{}"),
        ("POST", service.http("/apis/intake/v2/workspaces/default/ingest/chat-completions"), "{}"),
        ("GET", service.page("/"), ""),
        ("GET", service.page("/apis/intake/v2/workspaces/default/traces"), ""),
        ("POST", service.page("/apis/intake/v2/workspaces/default/annotations"), "{}"),
        ("GET", service.health(), ""),
        ("GET", service.metrics_url(), ""),
        ("POST", format!("{sql}/"), "SELECT 1"),
        ("GET", format!("{sql}/?query=SELECT%201"), ""),
    ] {
        let ask = |headers: &[(&str, &str)]| {
            let headers = [headers, &[("content-type", "application/json")]].concat();
            send(method, &url, &headers, body.as_bytes()).status
        };
        for page in PAGES {
            assert_eq!(ask(page), 403, "{method} {url} {page:?}");
        }
        if method == "GET" {
            assert_eq!(ask(&[("host", "evil.example.com")]), 403, "a name that is pointed here: {url}");
        }
        assert_ne!(ask(&[]), 403, "{method} {url}");
    }
    let answer = send("POST", &service.http("/v1/traces"), &[("origin", "https://evil.example.com")], b"{}");
    assert!(answer.text().contains("receivers.http.cors.allowed_origins"), "{}", answer.text());
}

#[test]
fn a_page_of_a_configured_origin_may_send() {
    let cors = "cors: { allowed_origins: ['https://*.example.com'], max_age: 1h }";
    let service = Service::start_with(Options { http: cors.to_owned(), ..Options::default() });
    let url = service.http("/v1/traces");
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,traceparent,x-other"),
        ];
        send("OPTIONS", &url, &headers, b"")
    };
    let may = preflight("https://app.example.com");
    assert_eq!(may.status, 204);
    assert_eq!(may.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(may.header("access-control-allow-headers"), "content-type, traceparent");
    assert_eq!(may.header("access-control-max-age"), "3600");
    let may_not = preflight("https://example.net");
    assert_eq!((may_not.status, may_not.header("access-control-allow-origin")), (204, ""));

    let headers =
        [("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site"), ("content-type", "application/json")];
    let sent = send("POST", &url, &headers, request().to_string().as_bytes());
    assert_eq!((sent.status, sent.header("access-control-allow-origin")), (200, "https://app.example.com"));
}
