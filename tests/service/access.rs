//! Tokens: who has none does nothing, who has one does what it says where it says, on every route there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use support::http::{Answer, get, send};
use support::{Options, Service, grpc, service, wait_until, wire};
use tempfile::TempDir;

/// Every route there is. A new one belongs here, and is walked with tokens that may not use it.
const ROUTES: [(&str, &str, &str, &str); 70] = [
    ("otlp_grpc", "POST", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "Own(Ingest)"),
    ("otlp_grpc", "POST", "/opentelemetry.proto.collector.logs.v1.LogsService/Export", "Own(Ingest)"),
    ("otlp_grpc", "POST", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "Own(Ingest)"),
    ("http", "POST", "/v1/traces", "Own(Ingest)"),
    ("http", "POST", "/v1/logs", "Own(Ingest)"),
    ("http", "POST", "/v1/metrics", "Own(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/chat-completions", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/litellm", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/helicone", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/helicone/{provider}/v1/log", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/otlp/v1/traces", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/atif", "InWorkspace(Ingest)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/ingest/spans", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/spans", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/spans/groups", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/spans/{span_id}", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/histogram", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/metrics", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/facets", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/fields", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/values", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/tree", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/cost", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/conversation", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/export", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/sessions/{session_id}/conversation", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/metrics", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/sessions", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/users", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/sessions/{session_id}", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/annotations", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/annotations", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluator-results", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/evaluator-results", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiment-groups", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/experiment-groups", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiments", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/experiments", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluations", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/evaluations", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/annotations/{id}", "InWorkspace(Read)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/annotations/{id}", "InWorkspace(Admin)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluator-results/{id}", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/spans/{span_id}/evaluator-results", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiment-groups/{name}", "InWorkspace(Read)"),
    ("http", "PUT", "/apis/intake/v2/workspaces/{workspace}/experiment-groups/{name}", "InWorkspace(Ingest)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/experiment-groups/{name}", "InWorkspace(Admin)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}", "InWorkspace(Read)"),
    ("http", "PUT", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}", "InWorkspace(Ingest)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}", "InWorkspace(Admin)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}", "InWorkspace(Read)"),
    ("http", "PUT", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}", "InWorkspace(Ingest)"),
    ("http", "PATCH", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}", "InWorkspace(Ingest)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}", "InWorkspace(Admin)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}/pin", "InWorkspace(Ingest)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}/pin", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}/sessions", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/experiments/{name}/comparison", "InWorkspace(Read)"),
    ("http", "POST", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}/pin", "InWorkspace(Ingest)"),
    ("http", "DELETE", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}/pin", "InWorkspace(Ingest)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}/sessions", "InWorkspace(Read)"),
    ("http", "GET", "/apis/intake/v2/workspaces/{workspace}/evaluations/{name}/comparison", "InWorkspace(Read)"),
    ("http", "GET", "/openapi.json", "Nothing"),
    ("health", "GET", "/", "Nothing"),
    ("health", "GET", "/health", "Nothing"),
    ("health", "GET", "/live", "Nothing"),
    ("health", "GET", "/ready", "Nothing"),
    ("metrics", "GET", "/metrics", "Everywhere(Read)"),
];

/// What only the page's listener has. It answers what is read and what is said of spans under `/apis/` as well.
const ROUTES_OF_THE_PAGE: [(&str, &str, &str, &str); 25] = [
    ("page", "GET", "/", "Nothing"),
    ("page", "GET", "/assets/{name}", "Nothing"),
    ("page", "GET", "/api/v1/workspaces", "Everywhere(Read)"),
    ("page", "GET", "/api/v1/schema", "Everywhere(Read)"),
    ("page", "GET", "/api/v1/storage", "Everywhere(Read)"),
    ("page", "GET", "/api/v1/status", "Everywhere(Read)"),
    ("page", "GET", "/api/v1/metrics", "Everywhere(Read)"),
    ("page", "POST", "/api/v1/sql", "Everywhere(Read)"),
    ("page", "POST", "/mcp", "Own(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/calls/series", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/calls/breakdown", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/calls/errors", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/calls/savings", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/tools", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/traces/facts", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/traces/{trace_id}/spans/{span_id}", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/tail", "InWorkspace(Read)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/imports", "InWorkspace(Read)"),
    ("page", "POST", "/api/v1/workspaces/{workspace}/imports", "InWorkspace(Ingest)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/imports/{id}", "InWorkspace(Ingest)"),
    ("page", "DELETE", "/api/v1/workspaces/{workspace}/imports/{id}", "InWorkspace(Ingest)"),
    ("page", "POST", "/api/v1/workspaces/{workspace}/imports/{id}/files", "InWorkspace(Ingest)"),
    ("page", "POST", "/api/v1/workspaces/{workspace}/imports/{id}/run", "InWorkspace(Ingest)"),
    ("page", "GET", "/api/v1/workspaces/{workspace}/imported/{id}/rejects", "InWorkspace(Ingest)"),
    ("page", "DELETE", "/api/v1/workspaces/{workspace}/imported/{id}", "InWorkspace(Admin)"),
];

/// Every route of every listener.
fn all_routes() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let is_shared = |path: &str| (path.starts_with("/apis/") && !path.contains("/ingest/")) || path == "/openapi.json";
    let shared = ROUTES.into_iter().filter(|(listener, _, path, _)| *listener == "http" && is_shared(path));
    let shared = shared.map(|(_, method, path, needs)| ("page", method, path, needs));
    ROUTES.into_iter().chain(shared).chain(ROUTES_OF_THE_PAGE).collect()
}

/// A file of tokens, and a service that asks for them.
struct Guarded {
    service: Service,
    file: PathBuf,
    _folder: TempDir,
}

impl Guarded {
    fn start(tokens: &[(&str, &str, &str)]) -> (Self, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.yaml");
        let secrets = tokens.iter().map(|(name, workspaces, scopes)| create(&file, name, workspaces, scopes)).collect();
        let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
        let service = Service::start_with(Options { yaml, ..Options::default() });
        (Self { service, file, _folder: folder }, secrets)
    }
}

fn token(file: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = service::binary().arg("token").args(arguments).arg("--file").arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn create(file: &Path, name: &str, workspaces: &str, scopes: &str) -> String {
    let (is_done, out, said) = token(file, &["create", "--name", name, "--workspace", workspaces, "--scope", scopes]);
    assert!(is_done, "{said}");
    out.trim().to_owned()
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

fn trace(id: u8) -> Vec<u8> {
    wire::request_of(vec![wire::span(id)])
}

fn post(url: &str, authorization: Option<&str>, workspace: Option<&str>, body: &[u8]) -> Answer {
    let mut headers = vec![("content-type", "application/x-protobuf")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    headers.extend(workspace.map(|name| ("x-millrace-workspace", name)));
    send("POST", url, &headers, body)
}

/// How a request on a route ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Unauthenticated,
    Forbidden,
    Passed,
}

/// Sends a request to a route as `authorization`, about the workspace `team-a`.
fn walk(service: &Service, listener: &str, method: &str, path: &str, authorization: Option<&str>) -> Ended {
    let path = path.replace("{workspace}", "team-a").replace("{provider}", "openai");
    let path =
        path.replace("{span_id}", "00f067aa0ba902b7").replace("{trace_id}", "none").replace("{session_id}", "none");
    let path = path.replace("{id}", "x").replace("{name}", "x");
    if listener == "otlp_grpc" {
        let mut metadata = vec![("x-millrace-workspace", "team-a")];
        metadata.extend(authorization.map(|value| ("authorization", value)));
        return match grpc::export_with(&service.grpc(), &path, &metadata, b"").code {
            16 => Ended::Unauthenticated,
            7 => Ended::Forbidden,
            _ => Ended::Passed,
        };
    }
    let url = match listener {
        "http" => service.http(&path),
        "page" => service.page(&path),
        "health" => service.health().trim_end_matches('/').to_owned() + &path,
        "metrics" => service.metrics_url().trim_end_matches("/metrics").to_owned() + &path,
        other => panic!("a listener that nobody walks: {other}"),
    };
    let mut headers = vec![("content-type", "application/json"), ("x-millrace-workspace", "team-a")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    // its answer has no end
    let method = if path.ends_with("/tail") { "HEAD" } else { method };
    let answer = send(method, &url, &headers, if method == "GET" { b"" } else { b"{}" });
    match answer.status {
        401 => Ended::Unauthenticated,
        403 => Ended::Forbidden,
        _ => Ended::Passed,
    }
}

#[test]
fn no_route_answers_a_foreign_token_or_none() {
    let (guarded, secrets) = Guarded::start(&[
        ("a", "team-a", "ingest,read,admin"),
        ("b", "team-b", "ingest,read,admin"),
        ("pattern", "team-b*,x-*", "ingest,read,admin"),
        ("reader", "*", "read"),
        ("writer", "*", "ingest"),
        ("remover", "*", "admin"),
    ]);
    let service = &guarded.service;
    let listed: BTreeSet<(String, String, String, String)> = service
        .routes()
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(listener, routes)| {
            routes.as_array().unwrap().iter().map(|route| {
                let text = |key: &str| route[key].as_str().unwrap().to_owned();
                (listener.clone(), text("method"), text("path"), text("needs"))
            })
        })
        .collect();
    let routes = all_routes();
    let owned = |route: &(&str, &str, &str, &str)| {
        (route.0.to_owned(), route.1.to_owned(), route.2.to_owned(), route.3.to_owned())
    };
    let known: BTreeSet<_> = routes.iter().map(owned).collect();
    assert_eq!(listed, known, "the routes of the service (left) and those that are walked (right)");

    let as_bearer: Vec<String> = secrets.iter().map(|secret| bearer(secret)).collect();
    let [a, b, pattern, reader, writer, remover] = as_bearer.as_slice() else { panic!("six tokens") };
    let (of_all, guarded_routes): (Vec<_>, Vec<_>) = routes.into_iter().partition(|(.., needs)| *needs == "Nothing");
    for (listener, method, path, _) in of_all {
        assert_eq!(walk(service, listener, method, path, None), Ended::Passed, "{listener} {method} {path}");
    }
    assert_nobody_is_let_in(service, &guarded_routes);
    for (listener, method, path, needs) in guarded_routes {
        let walk = |authorization: Option<&str>| walk(service, listener, method, path, authorization);
        let place = format!("{listener} {method} {path}");
        for foreign in [b, pattern] {
            assert_eq!(walk(Some(foreign)), Ended::Forbidden, "{place}");
        }
        let (may, may_not) = match needs {
            needs if needs.contains("Ingest") => (writer, reader),
            needs if needs.contains("Admin") => (remover, writer),
            _ => (reader, writer),
        };
        assert_eq!(walk(Some(may)), Ended::Passed, "{place}");
        assert_eq!(walk(Some(may_not)), Ended::Forbidden, "{place}");
        let own = if needs.starts_with("Everywhere") { Ended::Forbidden } else { Ended::Passed };
        assert_eq!(walk(Some(a)), own, "{place}");
    }
    let metrics = send("GET", &service.metrics_url(), &[("authorization", reader)], b"").text();
    for reason in ["missing", "malformed", "unknown", "scope", "workspace"] {
        assert!(
            metrics.contains(&format!("millrace_auth_refused_total{{reason=\"{reason}\"}}")),
            "{reason}: {metrics}"
        );
    }
}

/// Each is answered after a pause, so that many are sent side by side.
fn assert_nobody_is_let_in(service: &Service, routes: &[(&str, &str, &str, &str)]) {
    const WRONG: [Option<&str>; 6] =
        [None, Some("Bearer nonsense"), Some("Basic Og=="), Some("Basic %"), Some("Digest x"), Some("Bearer ")];
    const AT_ONCE: usize = 16;
    let cases: Vec<_> = routes
        .iter()
        .flat_map(|route| {
            // the gate of the page is that of the others
            let tried = if route.0 == "page" { 1 } else { WRONG.len() };
            WRONG.into_iter().take(tried).map(move |wrong| (route, wrong))
        })
        .collect();
    thread::scope(|scope| {
        for some in cases.chunks(cases.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || {
                for ((listener, method, path, _), wrong) in some {
                    let ended = walk(service, listener, method, path, *wrong);
                    assert_eq!(ended, Ended::Unauthenticated, "{listener} {method} {path} {wrong:?}");
                }
            });
        }
    });
}

#[test]
fn a_refusal_has_the_form_of_its_protocol_and_says_how_to_ask() {
    let (guarded, secrets) = Guarded::start(&[("a", "team-a", "read")]);
    let service = &guarded.service;
    let a = bearer(&secrets[0]);
    let missing = post(&service.http("/v1/traces"), None, None, &trace(1));
    assert_eq!((missing.status, missing.header("content-type")), (401, "application/x-protobuf"));
    let asked: Vec<_> = missing.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(asked, ["Bearer realm=\"millrace\"", "Basic realm=\"millrace\", charset=\"UTF-8\""]);
    assert_eq!(missing.body.first_chunk(), Some(&[0x08, 16]), "google.rpc.Status with code 16");
    let in_json = [("content-type", "application/json"), ("authorization", a.as_str())];
    let lacking = send("POST", &service.http("/v1/logs"), &in_json, b"{}");
    assert_eq!((lacking.status, lacking.json()["code"].as_u64()), (403, Some(7)));
    assert_eq!(lacking.json()["message"], "the token lacks the scope ingest");
    assert_eq!(
        lacking.header("www-authenticate"),
        "Bearer realm=\"millrace\", error=\"insufficient_scope\", scope=\"ingest\""
    );
    let chat = send("POST", &service.chat("team-a"), &in_json, b"{}");
    assert_eq!((chat.status, chat.json()), (403, json!({"detail": "the token lacks the scope ingest"})));
    let wrong = send("POST", &service.chat("team-a"), &[("authorization", "Bearer wrong")], b"{}");
    assert_eq!((wrong.status, wrong.json()), (401, json!({"detail": "the token is not valid"})));
    let called = grpc::export(&service.grpc(), &trace(1));
    assert_eq!((called.code, called.is_retryable), (16, false), "{}", called.message);
    let not_found = get(&service.http("/nothing"));
    assert_eq!(not_found.status, 404, "{}", not_found.text());
}

#[test]
fn rows_go_to_the_workspace_of_the_token_and_to_no_other() {
    let (guarded, secrets) =
        Guarded::start(&[("a", "team-a", "ingest"), ("many", "team-*", "ingest"), ("all", "*", "ingest")]);
    let service = &guarded.service;
    let url = service.http("/v1/traces");
    let as_bearer: Vec<String> = secrets.iter().map(|secret| bearer(secret)).collect();
    let send_as =
        |who: usize, workspace: Option<&str>, id: u8| post(&url, Some(&as_bearer[who]), workspace, &trace(id)).status;
    assert_eq!(send_as(0, None, 1), 200);
    assert_eq!(send_as(0, Some("team-a"), 2), 200);
    assert_eq!(send_as(0, Some("team-b"), 3), 403, "not its own");
    assert_eq!(send_as(0, Some("default"), 4), 403);
    assert_eq!(send_as(1, Some("team-b"), 5), 200);
    assert_eq!(send_as(1, None, 6), 403, "it may not write into the default one");
    assert_eq!(send_as(2, None, 7), 200);
    let metadata = [("authorization", as_bearer[0].as_str())];
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(grpc::export_with(&service.grpc(), method, &metadata, &trace(8)).code, 0);
    let basic = format!("Basic {}", base64_of(&format!("anyone:{}", secrets[0])));
    assert_eq!(post(&url, Some(&basic), None, &trace(9)).status, 200);
    let query = "SELECT Workspace, count() AS n FROM otel_traces GROUP BY Workspace ORDER BY Workspace";
    let want = vec![
        json!({"Workspace": "default", "n": 1}),
        json!({"Workspace": "team-a", "n": 4}),
        json!({"Workspace": "team-b", "n": 1}),
    ];
    wait_until("the rows are stored", || (service.sql().try_rows(query, &[]) == Ok(want.clone())).then_some(()));
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn tokens_are_made_listed_and_revoked_while_the_service_runs() {
    let (guarded, secrets) = Guarded::start(&[("old", "*", "ingest")]);
    let service = &guarded.service;
    let url = service.http("/v1/traces");
    let status = |secret: &str| post(&url, Some(&bearer(secret)), None, b"").status;
    let new = create(&guarded.file, "new", "*", "ingest");
    assert_eq!((status(&secrets[0]), status(&new)), (200, 401), "not read again yet");
    service.hang_up();
    wait_until("the new token is valid", || (status(&new) == 200).then_some(()));
    assert_eq!(status(&secrets[0]), 200, "both are valid, for a rotation");
    assert!(token(&guarded.file, &["revoke", "old"]).0);
    let (is_done, _, said) = token(&guarded.file, &["revoke", "old"]);
    assert!(!is_done && said.contains("there is no token old"), "{said}");
    service.hang_up();
    wait_until("the old token is not valid", || (status(&secrets[0]) == 401).then_some(()));
    let (_, listed, _) = token(&guarded.file, &["list"]);
    assert_eq!(listed, "new\tingest\t*\tnever expires\n");
    let file = fs::read_to_string(&guarded.file).unwrap();
    assert!(!file.contains(&new) && file.contains("sha256:"), "{file}");

    // what is wrong is refused as a whole
    fs::write(&guarded.file, file.replace("ingest", "write")).unwrap();
    service.hang_up();
    wait_until("the reload is refused", || service.log().contains("nothing was reloaded").then_some(()));
    assert_eq!(status(&new), 200, "the old tokens stay");
    assert!(get(&service.health()).status == 200, "it goes on");
}

#[test]
fn an_expired_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    let arguments =
        ["create", "--name", "a", "--workspace", "*", "--scope", "ingest", "--expires", "2020-01-01T00:00:00Z"];
    let (is_done, secret, said) = token(&file, &arguments);
    assert!(is_done, "{said}");
    let yaml = format!(
        "auth: {}",
        fs::read_to_string(&file).unwrap().replace('\n', "\n  ").replacen("tokens", "\n  tokens", 1)
    );
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let answer = post(&service.http("/v1/traces"), Some(&bearer(secret.trim())), None, b"");
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("the token has expired"), "{}", answer.text());
    assert!(token(&file, &["list"]).1.contains("expired 2020-01-01T00:00:00Z"));
}

#[test]
fn a_port_beyond_this_machine_needs_tokens_or_a_word_that_it_does_not() {
    let check = |yaml: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("millrace.yaml");
        fs::write(&file, yaml).unwrap();
        let output = service::binary().arg("validate").arg("--config").arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for key in ["receivers: { otlp_grpc: ", "receivers: { http: ", "admin: { metrics: "] {
        let wide = format!("{key}{{ listen: '0.0.0.0:0' }} }}\n");
        let (is_valid, said) = check(&wide);
        assert!(!is_valid && said.contains("is not loopback") && said.contains("auth: none"), "{said}");
        assert!(check(&format!("auth: none\n{wide}")).0);
    }
    assert!(check("admin: { health: { listen: '0.0.0.0:0' } }\n").0, "health shows nothing of anybody");
    assert!(check("auth: ~\n").0 && !check("auth: everybody\n").0 && !check("auth: {}\n").0);
    let (is_valid, said) = check("auth: { tokens_file: /nowhere/tokens.yaml }\n");
    assert!(!is_valid && said.contains("/nowhere/tokens.yaml"), "{said}");
}

#[test]
fn the_list_of_routes_is_that_of_the_open_service_too() {
    let service = Service::start();
    let routes: usize = service.routes().as_object().unwrap().values().filter_map(Value::as_array).map(Vec::len).sum();
    assert_eq!(routes, all_routes().len());
    assert_eq!(walk(&service, "metrics", "GET", "/metrics", None), Ended::Passed);
}

#[test]
fn an_attribute_of_a_resource_names_the_workspace_where_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    let (all, teams) = (create(&file, "all", "*", "ingest"), create(&file, "teams", "team-*", "ingest"));
    let own = create(&file, "own", "own", "ingest");
    let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
    // one that is put among the other keys of `receivers`
    let http = "cors: {} }\n  workspace_attribute: team\n  timestamps: { past: 3650days".to_owned();
    let service = Service::start_with(Options { yaml, http, ..Options::default() });
    let span = |id: u8| {
        json!({"traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "s",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001"})
    };
    let resource = |team: &str, id: u8| json!({"resource": {"attributes": [{"key": "team", "value": {"stringValue": team}}]}, "scopeSpans": [{"spans": [span(id)]}]});
    let in_json = |secret: &str, resources: &[Value], header: Option<&str>| {
        let authorization = bearer(secret);
        let mut headers = vec![("content-type", "application/json"), ("authorization", authorization.as_str())];
        headers.extend(header.map(|name| ("x-millrace-workspace", name)));
        send("POST", &service.http("/v1/traces"), &headers, json!({"resourceSpans": resources}).to_string().as_bytes())
    };
    let in_protobuf = |secret: &str, teams: &[(&str, u8)]| {
        let one = |(team, id): &(&str, u8)| {
            let request = wire::request_of(vec![wire::span(*id)]);
            let attribute = wire::string_attribute("team", (*team).to_owned());
            wire::with_resource(&request, vec![attribute])
        };
        let request: Vec<u8> = teams.iter().flat_map(one).collect();
        post(&service.http("/v1/traces"), Some(&bearer(secret)), None, &request)
    };
    assert_eq!(in_json(&all, &[resource("team-a", 101), resource("team-a", 102)], None).status, 200);
    let mixed = in_json(&all, &[resource("team-a", 103), resource("team-b", 104)], None);
    assert_eq!(mixed.status, 400, "{}", mixed.text());
    assert_eq!(in_json(&all, &[resource("not a name", 105)], None).status, 400);
    assert_eq!(in_json(&all, &[resource("team-a", 106)], Some("other")).status, 200, "a header comes first");
    assert_eq!(in_json(&own, &[resource("team-a", 107)], None).status, 200, "and so does a token of one workspace");
    assert_eq!(in_protobuf(&teams, &[("team-a", 1), ("team-b", 2), ("team-a", 3)]).status, 200);
    assert_eq!(in_protobuf(&teams, &[("team-a", 4), ("elsewhere", 5)]).status, 403, "nothing of it is stored");
    let query = "SELECT Workspace, count() AS n FROM otel_traces GROUP BY Workspace ORDER BY Workspace";
    let want: Vec<Value> = [("other", 1), ("own", 1), ("team-a", 4), ("team-b", 1)]
        .map(|(name, n)| json!({"Workspace": name, "n": n}))
        .to_vec();
    wait_until("the rows are stored", || (service.sql().try_rows(query, &[]) == Ok(want.clone())).then_some(()));
}
