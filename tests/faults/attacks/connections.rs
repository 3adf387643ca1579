//! Clients that are silent, slow, or never read.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Attack, CALL, hold_off, is_long, without_clickhouse};
use support::{DEADLINE, Options, Service, http, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "more silent connections than descriptors, to each port", run: silent_connections },
    Attack { name: "more silent connections than descriptors, to the SQL port", run: silent_connections_to_the_engine },
    Attack { name: "more connections that sent half a request than descriptors", run: half_requests },
    Attack { name: "connections that never make a whole request", run: no_whole_request },
    Attack { name: "connections that are kept and not used", run: unused_connections },
    Attack { name: "a client that closes its writing side before the answer", run: half_closed },
    Attack { name: "idle and slow connections beside a client that is neither", run: beside_idle_and_slow_ones },
];

/// As a shell gives it by default.
const DESCRIPTORS: u32 = 1_024;
const CONNECTIONS: usize = 1_100;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn attacks_of_this_area_hold() {
    hold_off("connections", ATTACKS);
}

fn service(yaml: &str) -> Service {
    let _as_many_as_there_may_be = millrace::connections::raise_to_the_hard_limit();
    Service::start_with(Options { descriptors: Some(DESCRIPTORS), ..without_clickhouse(yaml) })
}

/// gRPC, HTTP, health, metrics.
fn addresses(service: &Service) -> [String; 4] {
    let host = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    [service.grpc(), host(&service.http("/")), host(&service.health()), host(&service.metrics_url())]
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
    stream
}

/// Waits until the other side has closed.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 1_024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// One call over gRPC; its status.
fn export(address: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("it accepts");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("it speaks HTTP/2");
        let driving = tokio::spawn(connection);
        let url = format!("http://{address}/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let request = Request::post(url).header("content-type", "application/grpc");
        let request = request.body(Full::new(Bytes::from_static(&[0; 5]))).expect("the request is well-formed");
        let answer = sender.send_request(request).await.expect("it answers");
        let collected = answer.into_body().collect().await.expect("the answer ends");
        let status = collected.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
        driving.abort();
        status.map_or_else(String::new, |status| status.to_str().expect("a number").to_owned())
    })
}

/// A client that does nothing wrong is served on every port.
fn assert_that_all_ports_answer(service: &Service) {
    assert_eq!(export(&service.grpc()), "0");
    assert_eq!(http::send("POST", &service.chat("default"), &[], CALL.as_bytes()).status, 201);
    assert_eq!(http::get(&service.health()).status, 200);
    assert_eq!(http::get(&service.metrics_url()).status, 200);
}

fn silent_connections() {
    let mut service = service("");
    for address in addresses(&service) {
        let silent: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(&address)).collect();
        assert_that_all_ports_answer(&service);
        drop(silent);
    }
    let _silent = addresses(&service).map(|address| connect(&address));
    assert!(service.terminate().success());
}

fn silent_connections_to_the_engine() {
    let _as_many_as_there_may_be = millrace::connections::raise_to_the_hard_limit();
    let service = Service::start_with(Options { descriptors: Some(DESCRIPTORS), ..Options::default() });
    let url = service.sql().url;
    let address = url.trim_start_matches("http://");
    let _silent: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    assert_eq!(http::get(&format!("{url}/?query=SELECT%201")).text(), "1\n");
    assert_that_all_ports_answer(&service);
    let stored = || service.metric("otelcol_exporter_sent_spans_total").filter(|spans| *spans > 0.0);
    wait_until("a call is stored", stored);
}

fn half_requests() {
    let service = service("");
    let [grpc, http, health, metrics] = addresses(&service);
    let head = format!("POST /v1/traces HTTP/1.1\r\nhost: {http}\r\ncontent-type: application/json\r\n");
    let with_body = format!("{head}content-length: 1000\r\n\r\n{{");
    let half_a_head = b"GET / HTTP/1.1\r\nhost: a\r\n";
    let preface = [PREFACE, EMPTY_SETTINGS].concat();
    let mut sent = vec![(&http, with_body.as_bytes())];
    if is_long() {
        sent.extend([(&http, head.as_bytes()), (&grpc, &preface[..])]);
        sent.extend([(&health, &half_a_head[..]), (&metrics, &half_a_head[..])]);
    }
    for (address, bytes) in sent {
        let open = (0..CONNECTIONS).map(|_| {
            let mut stream = connect(address);
            let _closed_for_another = stream.write_all(bytes);
            stream
        });
        let open: Vec<TcpStream> = open.collect();
        assert_that_all_ports_answer(&service);
        drop(open);
    }
}

fn no_whole_request() {
    let service = service("connections: { headers_timeout: 1s }\n");
    let addresses = addresses(&service);
    let mut open = Vec::new();
    for address in &addresses {
        for bytes in [&b""[..], b"P", b"GET / HTTP/1.1\r\nhost: a\r\n", PREFACE, &[PREFACE, EMPTY_SETTINGS].concat()] {
            let mut stream = connect(address);
            stream.write_all(bytes).expect("it is open");
            open.push(stream);
        }
    }
    let drips: Vec<TcpStream> = addresses.iter().map(|address| connect(address)).collect();
    for mut stream in drips {
        // a header every 50 ms, until it is closed
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n";
        stream.write_all(head).expect("it is open");
        while stream.write_all(b"a: b\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    for mut stream in open {
        assert!(is_closed(&mut stream), "{:?} is open", stream.peer_addr());
    }
}

fn unused_connections() {
    let service = service("connections: { idle_timeout: 1s }\n");
    for address in &addresses(&service)[1..] {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").expect("it is open");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it answers");
        assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
        assert!(is_closed(&mut stream), "{address} is open");
    }
}

fn half_closed() {
    let service = service("");
    let length = CALL.len();
    let post = format!(
        "POST /apis/intake/v2/workspaces/default/ingest/chat-completions HTTP/1.1\r\nhost: 127.0.0.1\r\n\
         content-length: {length}\r\n\r\n{CALL}"
    );
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    let [_, http, health, metrics] = addresses(&service);
    for (address, request, status) in
        [(http, post, "201"), (health, get("/"), "200"), (metrics, get("/metrics"), "200")]
    {
        let mut stream = connect(&address);
        stream.write_all(request.as_bytes()).expect("it is open");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{address}: {answer:?}");
    }
}

/// The long form has 10,000 of them, and says what they cost the client beside them.
fn beside_idle_and_slow_ones() {
    let (idle, slow, requests) = if is_long() { (10_000, 1_000, 2_000) } else { (300, 30, 50) };
    let _as_many_as_there_may_be = millrace::connections::raise_to_the_hard_limit();
    let service =
        Service::start_with(Options { clickhouse_url: Some("http://127.0.0.1:1".to_owned()), ..Options::default() });
    let alone = p99(&service, requests);
    let [_, http, ..] = addresses(&service);
    let _idle: Vec<TcpStream> = (0..idle).map(|_| connect(&http)).collect();
    let begun = format!("POST /v1/traces HTTP/1.1\r\nhost: {http}\r\ncontent-length: 100000\r\n");
    let begun = format!("{begun}content-type: application/json\r\n\r\n");
    let mut slow: Vec<TcpStream> = (0..slow).map(|_| connect(&http)).collect();
    for stream in &mut slow {
        stream.write_all(begun.as_bytes()).expect("it is open");
    }
    let dripping = std::sync::atomic::AtomicBool::new(true);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            while dripping.load(std::sync::atomic::Ordering::Relaxed) {
                for stream in &mut slow {
                    let _closed_by_time = stream.write_all(b" ");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let beside = p99(&service, requests);
        dripping.store(false, std::sync::atomic::Ordering::Relaxed);
        beside
    });
    println!("p99 of {requests} requests: {alone:?} alone, {beside:?} beside idle and slow connections");
    assert_that_all_ports_answer(&service);
}

/// The 99th percentile of the times of requests that are all answered, each on a connection of its own.
fn p99(service: &Service, requests: usize) -> Duration {
    let mut times: Vec<Duration> = (0..requests)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(http::send("POST", &service.chat("default"), &[], CALL.as_bytes()).status, 201);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[requests * 99 / 100]
}
