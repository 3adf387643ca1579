//! Import in the page: files that a browser sends are counted, sent, listed and removed by the code of `millrace import`.

use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write as _};
use support::http::{Answer, get, send};
use support::{Options, Service, wait_until};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const IMPORTS: &str = "/api/v1/workspaces/default/imports";
/// 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000_000_000_000;

fn start(yaml: &str) -> Service {
    Service::start_with(Options { yaml: yaml.to_owned(), ..Options::default() })
}

fn post(service: &Service, path: &str, body: &[u8]) -> Answer {
    send("POST", &service.page(path), &[("content-type", "application/json")], body)
}

fn create(service: &Service) -> String {
    let created = post(service, IMPORTS, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    created.json()["id"].as_str().unwrap().to_owned()
}

fn add(service: &Service, id: &str, name: &str, body: &[u8]) -> Answer {
    post(service, &format!("{IMPORTS}/{id}/files?name={name}&modified=1780272000000"), body)
}

/// Runs an import, and waits for its end.
fn run(service: &Service, id: &str, body: &Value) -> Value {
    let begun = post(service, &format!("{IMPORTS}/{id}/run"), body.to_string().as_bytes());
    assert_eq!(begun.status, 202, "{}", begun.text());
    ended(service, id)
}

fn ended(service: &Service, id: &str) -> Value {
    wait_until("the import has ended", || {
        let job = get(&service.page(&format!("{IMPORTS}/{id}"))).json();
        (job["state"] != "running").then_some(job)
    })
}

fn request(id: u64) -> String {
    let span = json!({"traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "chat", "kind": 3,
        "startTimeUnixNano": (START + id).to_string(), "endTimeUnixNano": (START + id + 1_000).to_string()});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string() + "\n"
}

fn spans(service: &Service) -> u64 {
    service.sql().number("SELECT count() AS rows FROM otel_traces", &[])
}

fn uploads(service: &Service) -> usize {
    fs::read_dir(service.data_dir().join("imports/uploads")).map_or(0, Iterator::count)
}

#[test]
fn files_are_counted_then_sent_listed_and_removed() {
    let service = start("");
    let id = create(&service);
    let lines = request(1) + &request(2) + "{broken\n" + &request(3);
    assert_eq!(add(&service, &id, "a/spans.jsonl", lines.as_bytes()).status, 200);
    assert_eq!(add(&service, &id, "notes.json", b"{\"nothing\": 1}\n").status, 200);
    assert_eq!(add(&service, &id, "a/spans.jsonl", b"").status, 409, "one file of a name");

    let checked = run(&service, &id, &json!({"dry_run": true}));
    assert_eq!((&checked["state"], &checked["counts"]["accepted"]), (&json!("checked"), &json!(3)), "{checked}");
    assert_eq!(checked["counts"]["rejected"], 1, "{checked}");
    assert_eq!((&checked["rejects"][0]["file"], &checked["rejects"][0]["line"]), (&json!("a/spans.jsonl"), &json!(3)));
    let text = checked.to_string();
    assert!(text.contains("notes.json: line 1: its format is not known"), "{text}");
    assert!(!text.contains(service.data_dir().to_str().unwrap()), "no path of the server: {text}");
    assert_eq!(spans(&service), 0, "nothing is sent yet");

    let done = run(&service, &id, &json!({}));
    assert_eq!((&done["state"], &done["counts"]["accepted"]), (&json!("done"), &json!(3)), "{done}");
    wait_until("the spans are stored", || (spans(&service) == 3).then_some(()));
    assert_eq!(uploads(&service), 0, "the files are removed");

    let listed = get(&service.page(IMPORTS)).json();
    let import = &listed["done"][0];
    assert_eq!(
        (&import["name"], &import["format"], &import["accepted"], &import["rejected"]),
        (&json!("a/spans.jsonl"), &json!("otlp-json"), &json!(3), &json!(1)),
        "{listed}"
    );
    let import = import["id"].as_str().unwrap();
    let rejects = get(&service.page(&format!("/api/v1/workspaces/default/imported/{import}/rejects"))).json();
    assert_eq!((&rejects["rejected"], &rejects["rejects"][0]["line"]), (&json!(1), &json!(3)), "{rejects}");

    // the same file again has nothing new
    let again = create(&service);
    assert_eq!(add(&service, &again, "spans.jsonl", lines.as_bytes()).status, 200);
    assert_eq!(run(&service, &again, &json!({}))["counts"]["unchanged"], 1);

    let of_another = service.page(&format!("/api/v1/workspaces/other/imported/{import}"));
    assert_eq!(send("DELETE", &of_another, &[], b"").status, 404, "of another workspace");
    let undo = send("DELETE", &service.page(&format!("/api/v1/workspaces/default/imported/{import}")), &[], b"");
    assert_eq!(undo.status, 202, "{}", undo.text());
    let undone = ended(&service, undo.json()["id"].as_str().unwrap());
    assert_eq!((&undone["state"], &undone["notes"][0]), (&json!("done"), &json!("3 rows removed.")), "{undone}");
    assert_eq!(spans(&service), 0);
    assert_eq!(get(&service.page(IMPORTS)).json()["done"], json!([]));
}

#[test]
fn copies_of_parquet_have_room_among_the_files_that_are_sent() {
    let service = start("page: { uploads_max: 1MiB }");
    let id = create(&service);
    // letters that do not repeat, so that they stay what they are in the archive
    let letters = (0_u64..75_000).flat_map(|number| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let parquet: Vec<u8> = b"PAR1".iter().copied().chain(letters).collect();
    let mut packed = ZipWriter::new(Cursor::new(Vec::new()));
    packed.start_file("rows.parquet", SimpleFileOptions::default()).unwrap();
    packed.write_all(&parquet).unwrap();
    let packed = packed.finish().unwrap().into_inner();
    assert!((1 << 19..1 << 20).contains(&packed.len()), "{}", packed.len());
    assert_eq!(add(&service, &id, "rows.zip", &packed).status, 200);
    let job = run(&service, &id, &json!({"dry_run": true}));
    assert!(
        job["error"].as_str().is_some_and(|why| why.contains("may have 1 MiB (page.uploads_max) together")),
        "{job}"
    );
    // what was copied is no longer there
    assert_eq!(add(&service, &id, "other.jsonl", &vec![b' '; (1 << 20) - packed.len()]).status, 200);
}

#[test]
fn what_is_sent_has_a_bound_and_a_cancelled_import_leaves_nothing() {
    let service = start("page: { uploads_max: 1MiB }");
    let id = create(&service);
    assert_eq!(add(&service, &id, "whole.jsonl", &vec![b' '; 1 << 19]).status, 200);
    let refused = add(&service, &id, "large.jsonl", &vec![b' '; (1 << 19) + 1]);
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(refused.text().contains("page.uploads_max"), "{}", refused.text());
    assert_eq!(add(&service, &id, "fits.jsonl", &vec![b' '; 1 << 19]).status, 200, "what was refused takes no room");
    assert_eq!(send("DELETE", &service.page(&format!("{IMPORTS}/{id}")), &[], b"").status, 200);
    assert_eq!((uploads(&service), get(&service.page(&format!("{IMPORTS}/{id}"))).status), (0, 404));
    let next = create(&service);
    assert_eq!(add(&service, &next, "whole.jsonl", &vec![b' '; 1 << 20]).status, 200, "its room is free again");
    assert_eq!(post(&service, &format!("{IMPORTS}/{next}/run"), b"{\"format\": \"nonsense\"}").status, 400);
    for name in ["..", "%2F", ""] {
        assert_eq!(add(&service, &next, name, b"x").status, 400, "{name:?}");
    }
}
