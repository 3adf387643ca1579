//! TLS on each listener, as curl, OpenSSL and an SDK of OpenTelemetry see it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::clients::{python, run_json};
use support::http::{get, send};
use support::{Options, Service, wait_until};
use tempfile::TempDir;

use crate::rows::assert_stored;

/// Certificates of a test, made by OpenSSL.
struct Certificates(TempDir);

impl Certificates {
    /// An authority, `{name}.crt`, and its key.
    fn authority(&self, name: &str) {
        let (key, crt, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &crt,
            "-subj",
            &subject,
        ]);
    }

    /// A certificate of an authority, `{name}.crt`, and its key.
    fn signed(&self, name: &str, authority: &str) {
        let file = |ending: &str| format!("{name}.{ending}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
            "-subj",
            "/CN=localhost",
        ]);
        fs::write(self.path(&file("ext")), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &file("csr"),
            "-CA",
            &format!("{authority}.crt"),
            "-CAkey",
            &format!("{authority}.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &file("ext"),
            "-out",
            &file("crt"),
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let output =
            Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A server's certificate `tls`, of the authority `ca`; an authority `clients` with the client's `client`; a `stranger`.
    fn make() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        ["ca", "clients", "others"].into_iter().for_each(|name| made.authority(name));
        made.signed("tls", "ca");
        made.signed("client", "clients");
        made.signed("stranger", "others");
        made
    }

    fn tls(&self, asks_for_certificates: bool) -> String {
        let of_clients = if asks_for_certificates {
            format!(", client_ca_file: {}", self.text("clients.crt"))
        } else {
            String::new()
        };
        format!("tls: {{ cert_file: {}, key_file: {}{of_clients} }}", self.text("tls.crt"), self.text("tls.key"))
    }
}

/// What curl says of a POST of spans: code and version of HTTP; `None` when no connection came about.
fn curl(url: &str, authority: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--max-time", "60", "--cacert"])
        .arg(authority);
    command.args(["-X", "POST", "-H", "Content-Type: application/json", "--data", "{}"]).args(arguments).arg(url);
    let output = command.output().expect("curl is there");
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn https(service: &Service) -> String {
    service.http("/v1/traces").replace("http://", "https://")
}

#[test]
fn a_listener_with_tls_speaks_nothing_else_in_both_versions_of_http() {
    let certificates = Certificates::make();
    let service = Service::start_with(Options { http: certificates.tls(false), ..Options::default() });
    let (url, ca) = (https(&service), certificates.path("ca.crt"));
    assert_eq!(curl(&url, &ca, &["--http2"]).as_deref(), Some("200 2"));
    assert_eq!(curl(&url, &ca, &["--http1.1"]).as_deref(), Some("200 1.1"));
    assert_eq!(curl(&url, &ca, &["--tlsv1.2", "--tls-max", "1.2"]).as_deref(), Some("200 2"));
    assert_eq!(curl(&url, &ca, &["--tls-max", "1.1"]), None, "too old");
    assert_eq!(curl(&url, &certificates.path("others.crt"), &[]), None, "the client checks it");
    assert_eq!(curl(&service.http("/v1/traces"), &ca, &[]), None, "without TLS");
    assert!(service.metric("millrace_spans_received_total").is_some(), "another listener has none");
}

#[test]
fn a_client_needs_a_certificate_where_one_is_asked_for() {
    let certificates = Certificates::make();
    let service = Service::start_with(Options { http: certificates.tls(true), ..Options::default() });
    let (url, ca) = (https(&service), certificates.path("ca.crt"));
    let with = |name: &str| {
        let (crt, key) = (certificates.text(&format!("{name}.crt")), certificates.text(&format!("{name}.key")));
        curl(&url, &ca, &["--cert", &crt, "--key", &key])
    };
    assert_eq!(with("client").as_deref(), Some("200 2"));
    assert_eq!(with("stranger"), None, "of another authority");
    assert_eq!(with("tls"), None, "the server's own is of no authority of clients");
    assert_eq!(curl(&url, &ca, &[]), None, "no certificate");
}

/// Sends a request over a connection that is kept open, and reads the head of its answer.
fn ask(stream: &mut (impl Write + ?Sized), answers: &mut impl BufRead) -> String {
    stream.write_all(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    stream.flush().unwrap();
    let (mut status, mut length) = (String::new(), 0);
    answers.read_line(&mut status).unwrap();
    loop {
        let mut line = String::new();
        assert_ne!(answers.read_line(&mut line).unwrap(), 0, "the connection ended after {status}");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            answers.read_exact(&mut vec![0; length]).unwrap();
            return status.trim().to_owned();
        }
    }
}

#[test]
fn a_new_certificate_is_taken_while_open_connections_go_on_and_a_wrong_one_is_not() {
    let certificates = Certificates::make();
    let service = Service::start_with(Options { http: certificates.tls(false), ..Options::default() });
    let (url, ca, others) = (https(&service), certificates.path("ca.crt"), certificates.path("others.crt"));
    let address = url.trim_start_matches("https://").trim_end_matches("/v1/traces");
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", address, "-CAfile"]).arg(&ca);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
    assert_eq!(ask(&mut stdin, &mut stdout), "HTTP/1.1 200 OK");

    // nobody says that they have changed
    certificates.signed("tls", "others");
    wait_until("new connections get the new certificate", || curl(&url, &others, &[]));
    assert_eq!(curl(&url, &ca, &[]), None, "the old one is gone");
    assert_eq!(ask(&mut stdin, &mut stdout), "HTTP/1.1 200 OK", "the open connection goes on");

    fs::write(certificates.path("tls.key"), "nonsense").unwrap();
    service.hang_up();
    wait_until("the wrong certificate is refused", || service.log().contains("nothing was reloaded").then_some(()));
    assert!(curl(&url, &others, &[]).is_some(), "the old one stays");
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn a_silent_client_in_the_handshake_loses_its_connection_and_stops_nobody() {
    let certificates = Certificates::make();
    let yaml = "connections: { headers_timeout: 1s }".to_owned();
    let service = Service::start_with(Options { http: certificates.tls(false), yaml, ..Options::default() });
    let (url, ca) = (https(&service), certificates.path("ca.crt"));
    let address = url.trim_start_matches("https://").trim_end_matches("/v1/traces");
    // nothing, the beginning of a ClientHello, and no TLS at all
    let silent: Vec<TcpStream> = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"]
        .into_iter()
        .map(|beginning| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(beginning).unwrap();
            stream
        })
        .collect();
    assert_eq!(curl(&url, &ca, &[]).as_deref(), Some("200 2"), "others are served meanwhile");
    for mut stream in silent {
        // until the service closes it: with an alert or without
        let _reset_or_end = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(curl(&url, &ca, &[]).as_deref(), Some("200 2"));
}

#[test]
fn an_sdk_sends_over_tls_with_a_token() {
    let certificates = Certificates::make();
    let (file, ca) = (certificates.path("tokens.yaml"), certificates.text("ca.crt"));
    let secret = crate::access::create(&file, "sdk", "default", "ingest");
    let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
    let service = Service::start_with(Options {
        yaml,
        http: certificates.tls(false),
        grpc: certificates.tls(false),
        ..Options::default()
    });
    for (seed, protocol, endpoint) in
        [("1", "grpc", format!("https://{}", service.grpc())), ("2", "http", https(&service))]
    {
        let arguments = ["--protocol", protocol, "--endpoint", &endpoint, "--seed", seed, "--compression", "gzip"];
        let mut command = python("otlp_python.py", &arguments);
        command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca);
        // which come before what the SDK says
        command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
        command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{secret}"));
        assert_stored(&service, &run_json(&mut command));
    }
}

#[test]
fn files_that_are_not_certificates_are_named_at_the_start() {
    let certificates = Certificates::make();
    let validate = |yaml: &str| {
        let file = certificates.path("millrace.yaml");
        fs::write(&file, yaml).unwrap();
        let output = support::service::binary().arg("validate").arg("--config").arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let of = |tls: &str| format!("receivers: {{ http: {{ {tls} }} }}\n");
    assert!(validate(&of(&certificates.tls(true))).0);
    let swapped = certificates.tls(false).replace("tls.key", "client.key");
    for (tls, said) in [
        (certificates.tls(false).replace("tls.key", "nothing.key"), "nothing.key"),
        (certificates.tls(false).replace("tls.crt", "tls.key"), "tls.key: has no certificate"),
        (swapped, "tls.crt"),
        ("tls: { cert_file: x }".to_owned(), "key_file"),
    ] {
        let (is_valid, text) = validate(&of(&tls));
        assert!(!is_valid && text.contains(said) && text.contains("receivers.http.tls"), "{tls}: {text}");
    }
    // a certificate of a client is enough to listen wider
    let wide = |asks: bool| format!("receivers: {{ http: {{ listen: '0.0.0.0:0', {} }} }}\n", certificates.tls(asks));
    assert!(validate(&wide(true)).0 && !validate(&wide(false)).0);
}

/// What a command of the binary says of a service that asks for certificates everywhere, and how it ended.
fn command(service: &Service, certificates: &Certificates, arguments: &[&str]) -> (bool, String) {
    let listen = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let (http, health, metrics) =
        (listen(&service.http("/")), listen(&service.health()), listen(&service.metrics_url()));
    let tls = certificates.tls(true);
    let yaml = format!(
        "data_dir: {}\nclickhouse: {{ url: '{}' }}\nreceivers: {{ http: {{ listen: '{http}', {tls} }} }}\n\
         admin: {{ health: {{ listen: '{health}', {tls} }}, metrics: {{ listen: '{metrics}', {tls} }} }}\n",
        service.data_dir().display(),
        service.sql().url,
    );
    let file = certificates.path("commands.yaml");
    fs::write(&file, yaml).unwrap();
    let output = support::service::binary().args(arguments).arg("--config").arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn an_import_of_the_page_reaches_an_ingest_that_asks_for_certificates() {
    let certificates = Certificates::make();
    let tls = certificates.tls(true);
    let line = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0000000000000000000000000000000a","spanId":"000000000000000b","name":"work","startTimeUnixNano":"1780272000000000000"}]}]}]}"#;
    let import = |service: &Service| {
        let imports = service.page("/api/v1/workspaces/default/imports");
        let post = |path: &str, body: &[u8]| {
            send("POST", &format!("{imports}{path}"), &[("content-type", "application/json")], body)
        };
        let id = post("", b"").json()["id"].as_str().unwrap().to_owned();
        assert_eq!(post(&format!("/{id}/files?name=spans.jsonl"), line.as_bytes()).status, 200);
        assert_eq!(post(&format!("/{id}/run"), b"{}").status, 202);
        wait_until("the import has ended", || {
            let job = get(&format!("{imports}/{id}")).json();
            (job["state"] != "running").then_some(job)
        })
    };
    let with = |trust: &str| {
        let yaml = format!("page: {{ listen: '127.0.0.1:0'{trust} }}");
        let (http, admin) = (tls.clone(), tls.clone());
        Service::start_with(Options { yaml, http, admin, ..Options::default() })
    };
    let job = import(&with(""));
    assert!(job["state"] == "failed" && job["error"].as_str().unwrap().contains("page.import_tls"), "{job}");
    let of = |name: &str| certificates.text(name);
    let shown = format!(
        ", import_tls: {{ ca_file: {}, cert_file: {}, key_file: {} }}",
        of("ca.crt"),
        of("client.crt"),
        of("client.key")
    );
    let service = with(&shown);
    let job = import(&service);
    assert_eq!((&job["state"], &job["counts"]["accepted"]), (&"done".into(), &1.into()), "{job}");
    let spans = || service.sql().number("SELECT count() AS rows FROM otel_traces", &[]);
    wait_until("the span is stored", || (spans() == 1).then_some(()));
    let done = get(&service.page("/api/v1/workspaces/default/imports")).json();
    let import = done["done"][0]["id"].as_str().unwrap().to_owned();
    let undo = send("DELETE", &service.page(&format!("/api/v1/workspaces/default/imported/{import}")), &[], b"");
    assert_eq!(undo.status, 202, "{}", undo.text());
    wait_until("the span is removed", || (spans() == 0).then_some(()));
}

#[test]
fn the_commands_reach_a_service_that_asks_for_certificates() {
    let certificates = Certificates::make();
    let tls = certificates.tls(true);
    let service = Service::start_with(Options { http: tls.clone(), admin: tls, ..Options::default() });
    let file = certificates.path("spans.jsonl");
    let span = r#"{"traceId":"0000000000000000000000000000000a","spanId":"000000000000000b","name":"work","kind":1,
        "startTimeUnixNano":"1780272000000000000","endTimeUnixNano":"1780272000000000001"}"#
        .replace('\n', "");
    fs::write(&file, format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{span}]}}]}}]}}\n")).unwrap();
    let (path, ca) = (file.display().to_string(), certificates.text("ca.crt"));
    let (crt, key) = (certificates.text("client.crt"), certificates.text("client.key"));
    let shown = ["--ca-file", &ca, "--cert-file", &crt, "--key-file", &key];
    let user = ["delete", "--trace", "0000000000000000000000000000000a"];
    let commands = [&["status"][..], &["import", &path], &user];
    // the trust of public authorities, no certificate, one of another authority, another name
    let (others, stranger, stranger_key) =
        (certificates.text("others.crt"), certificates.text("stranger.crt"), certificates.text("stranger.key"));
    let wrong: [&[&str]; 5] = [
        &[],
        &["--ca-file", &ca],
        &["--ca-file", &others, "--cert-file", &crt, "--key-file", &key],
        &["--ca-file", &ca, "--cert-file", &stranger, "--key-file", &stranger_key],
        &[&shown[..], &["--server-name", "elsewhere.example"]].concat(),
    ];
    for arguments in commands {
        for options in wrong {
            let (is_well, said) = command(&service, &certificates, &[arguments, options].concat());
            assert!(!is_well && !said.is_empty(), "{arguments:?} {options:?}: {said}");
        }
    }
    let spans = || service.sql().number("SELECT count() AS rows FROM otel_traces", &[]);
    assert_eq!(spans(), 0, "nothing of it arrived");
    let name = [&shown[..], &["--server-name", "localhost"]].concat();
    for options in [&shown[..], &name] {
        let (is_well, said) = command(&service, &certificates, &[&["status"][..], options].concat());
        assert!(is_well && said.contains("is accepting"), "{said}");
    }
    let (is_well, said) = command(&service, &certificates, &[commands[1], &shown].concat());
    assert!(is_well, "{said}");
    wait_until("the span is stored", || (spans() == 1).then_some(()));
    let (is_well, said) = command(&service, &certificates, &[commands[2], &shown].concat());
    assert!(is_well && said.contains("1 trace"), "{said}");
    assert_eq!(spans(), 0, "it is deleted");
    // half of a pair, and a file that is none
    for (options, names) in
        [(&["--cert-file", &crt][..], "go together"), (&["--ca-file", "nothing.crt"], "nothing.crt")]
    {
        let (is_well, said) = command(&service, &certificates, &[&["status"][..], options].concat());
        assert!(!is_well && said.contains(names), "{said}");
    }
}
