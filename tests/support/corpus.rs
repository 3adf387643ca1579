//! The samples of captured calls in `tests/corpus/chat`.
//!
//! A sample is `{notes, ingest, expect}`; where a header or the time of arrival matters it says so itself, in
//! `headers.traceparent` and `receivedAtUnixNano`.

use std::path::PathBuf;

use serde_json::Value;

use super::project;

/// Attributes that `expect` leaves out: they depend on the time of arrival, or say how an id was spelt.
pub const NOT_IN_EXPECT: [&str; 2] = ["millrace.timing", "millrace.trace_id"];

/// Every sample with the name of its file.
pub fn samples() -> Vec<(String, Value)> {
    let folder = project().join("tests/corpus/chat");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the corpus can be read")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().expect("a sample has a name").to_string_lossy().into_owned();
        let text = std::fs::read(path).expect("a sample can be read");
        (name, serde_json::from_slice(&text).expect("a sample is JSON"))
    };
    paths.iter().map(read).collect()
}

/// Equal as JSON, numbers by value: 1 is 1.0.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |(key, value): (&String, &Value)| right.get(key).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(has)
        }
        _ => left == right,
    }
}
