//! Many records one a line: blank, endless, unread.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use async_compression::Level;
use async_compression::tokio::bufread::ZstdEncoder;
use tokio::io::AsyncReadExt as _;

use super::{Attack, CALL, hold_off, without_clickhouse};
use support::{DEADLINE, Service, http, process, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "bodies of a few hundred bytes that are millions of line feeds", run: blank_lines },
    Attack { name: "such bodies, more of them than cores, and then a stop", run: stop_in_the_middle },
    Attack { name: "small bodies with large answers that nobody reads", run: unread_answers },
    Attack { name: "a line that drips", run: dripping_line },
    Attack { name: "a line that expands without end", run: endless_line },
];

const MIB: u64 = 1 << 20;

#[test]
fn attacks_of_this_area_hold() {
    hold_off("ndjson", ATTACKS);
}

fn service(yaml: &str) -> Service {
    Service::start_with(without_clickhouse(yaml))
}

/// The pattern many times over, as a few hundred bytes.
fn packed(pattern: &[u8], bytes: usize) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let text = pattern.repeat(bytes / pattern.len());
    let mut packed = Vec::new();
    runtime
        .block_on(ZstdEncoder::with_quality(&text[..], Level::Fastest).read_to_end(&mut packed))
        .expect("it can be compressed");
    assert!(packed.len() < 64 << 10, "{}", packed.len());
    packed
}

/// Sends a request whose body is whole, and reads nothing.
fn send(service: &Service, body: &[u8]) -> TcpStream {
    let url = service.chat("default");
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a URL");
    let mut stream = TcpStream::connect(host).expect("it accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
    let head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n");
    let head = format!("{head}content-encoding: zstd\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).expect("it is open");
    stream
}

/// All of the answer; the service closes the connection afterwards.
fn answer(stream: &mut TcpStream) -> String {
    stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer ends");
    answer
}

fn assert_that_others_are_served(service: &Service) {
    // as senders do, they try again when memory is full
    wait_until("another sender is served", || {
        let status = http::send("POST", &service.chat("default"), &[], CALL.as_bytes()).status;
        assert!(matches!(status, 201 | 503), "{status}");
        (status == 201).then_some(())
    });
    // health tells of full memory as long as it lasts
    wait_until("it is well", || (http::get(&service.health()).status == 200).then_some(()));
}

fn blank_lines() {
    let service = service("");
    let bomb = packed(b"\n", 128 << 20);
    let mut sent: Vec<TcpStream> = (0..4).map(|_| send(&service, &bomb)).collect();
    assert_that_others_are_served(&service);
    for stream in &mut sent {
        let answer = answer(stream);
        assert!(answer.contains(r#""line":10001,"status":400"#), "{answer}");
    }
    // the same with a line now and then, which is answered
    let mixed = packed([&b"\n".repeat(9_000)[..], b"x\n"].concat().as_slice(), 128 << 20);
    let answer = answer(&mut send(&service, &mixed));
    assert!(answer.contains(r#""line":9001,"status":422"#), "{answer}");
    assert!(answer.contains(r#""line":10002,"status":400"#), "{answer}");
}

fn stop_in_the_middle() {
    let mut service = service("");
    let bomb = packed(b"\nx\n", 128 << 20);
    let sent: Vec<TcpStream> = (0..8).map(|_| send(&service, &bomb)).collect();
    assert_that_others_are_served(&service);
    assert!(service.terminate().success());
    drop(sent);
}

fn unread_answers() {
    let service = service("");
    let many = packed(b"1\n", 32 << 20);
    let before = process::peak_memory_bytes(service.pid());
    let sent: Vec<TcpStream> = (0..100).map(|_| send(&service, &many)).collect();
    assert_that_others_are_served(&service);
    // sent after all others, it is read after what could be read of them
    let mut last = send(&service, &packed(b"1\n", 2));
    last.read_exact(&mut [0; 12]).expect("it answers");
    let grown = process::peak_memory_bytes(service.pid()) - before;
    println!("100 requests with unread answers: peak memory grew by {} MiB", grown / MIB);
    assert!(grown < 256 * MIB, "peak memory grew by {} MiB", grown / MIB);
    drop(sent);
}

fn dripping_line() {
    let service = service("connections: { body_timeout: 1s }\n");
    let url = service.chat("default");
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a URL");
    for kind in ["application/x-ndjson", "application/json"] {
        let mut stream = TcpStream::connect(host).expect("it accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
        let head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\n");
        stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).expect("it is open");
        let mut reading = stream.try_clone().expect("a socket can be cloned");
        let reader = std::thread::spawn(move || {
            let mut answer = String::new();
            while !answer.contains("408") {
                let mut bytes = [0; 1_024];
                let read = reading.read(&mut bytes).expect("it answers");
                assert_ne!(read, 0, "{answer:?}");
                answer.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        while !reader.is_finished() && stream.write_all(b"1\r\n \r\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        reader.join().expect("the answer is 408");
    }
}

fn endless_line() {
    let service = service("");
    let bomb = packed(b"x", 128 << 20);
    let mut sent: Vec<TcpStream> = (0..4).map(|_| send(&service, &bomb)).collect();
    assert_that_others_are_served(&service);
    for stream in &mut sent {
        let answer = answer(stream);
        assert!(answer.contains(r#""line":1,"status":413"#), "{answer}");
    }
}
