//! Bodies of requests that are JSON documents: trajectories and plain spans, scores and experiments, calls of tools.

use millrace::columns::native::encode::encode_block;
use millrace::columns::native::parse::Block;
use millrace::columns::{Group as _, RowGroup};
use millrace::documents::{DocumentBounds, DocumentContext, DocumentError, DocumentRows, atif, plain};
use millrace::ids::SegmentId;
use millrace::scores::experiment::Naming;
use millrace::scores::rows::{Stamp, of_annotation, of_result};
use millrace::scores::{Invalid, annotation, check, experiment, result};
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use millrace::{chat, mcp, timestamps};
use serde_json::Value;

/// Bounds so small that a fuzzer's inputs reach them.
const SMALL: DocumentBounds = DocumentBounds { spans: 8, bytes: 1 << 16 };

fn now() -> UnixNanos {
    UnixNanos::new(1_800_000_000_000_000_000).expect("a time")
}

/// A document is refused with a reason, or becomes rows within its bounds, twice the same.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for is_trajectory in [true, false] {
        for bounds in [DocumentBounds::default(), SMALL] {
            let first = rows_of_document(text, is_trajectory, bounds);
            assert_eq!(first, rows_of_document(text, is_trajectory, bounds), "the same document became two");
        }
    }
}

/// The block of a document's spans, and how many results it has.
fn rows_of_document(text: &str, is_trajectory: bool, bounds: DocumentBounds) -> Option<(Vec<u8>, usize)> {
    let workspace = Workspace::default();
    let window = timestamps::Config::default().window(now());
    let context = DocumentContext { workspace: &workspace, received_at: now(), cutoff: None, window };
    let mut rows = DocumentRows::new(Box::new(RowGroup::for_request_of(text.len(), workspace.clone())), None, bounds);
    let read = if is_trajectory { atif::read } else { plain::read };
    match read(text, &context, chat::Limits::default(), &mut rows) {
        Err(DocumentError::Invalid(errors)) => {
            let answer: Value = serde_json::from_str(&errors.to_json()).expect("a refusal is JSON");
            assert!(answer["detail"].as_array().is_some_and(|details| !details.is_empty()), "a refusal says why");
            None
        }
        Err(DocumentError::TooMuch(why)) => {
            assert!(!why.to_string().is_empty(), "a refusal says why");
            None
        }
        Ok(()) => {
            let spans = rows.spans.rows();
            assert!((1..=bounds.spans).contains(&spans), "{spans} spans");
            assert!(rows.roots.len() <= spans, "a root is a span");
            let mut block = Vec::new();
            encode_block(&[&*rows.spans], SegmentId::new(1, 2), &mut block);
            let (read, rest) = Block::parse(&block).expect("what we wrote is a block");
            assert!(read.rows() == spans && rest.is_empty(), "rows are lost");
            Some((block, rows.results.rows()))
        }
    }
}

/// A body is refused with a reason, or is what becomes a row.
pub fn score(data: &[u8]) {
    let refused = |invalid: &Invalid| {
        let said = invalid.to_json();
        assert!(said["detail"].as_array().is_some_and(|details| !details.is_empty()), "a refusal says why: {said}");
    };
    let body = match check::parse(data) {
        Ok(body) => body,
        Err(invalid) => return refused(&invalid),
    };
    let (workspace, stamp) = (Workspace::default(), Stamp::new("id".to_owned(), String::new(), now()));
    match annotation::read(&body) {
        Ok(said) => assert!(of_annotation(&workspace, &said, &stamp).is_ok_and(|row| row.rows() == 1), "{said:?}"),
        Err(invalid) => refused(&invalid),
    }
    match result::read(&body) {
        Ok(found) => {
            assert_eq!(found.id(workspace.as_str()), found.id(workspace.as_str()), "its id is no other one");
            assert!(of_result(&workspace, &found, &stamp).is_ok_and(|row| row.rows() == 1), "{found:?}");
        }
        Err(invalid) => refused(&invalid),
    }
    for strictly in [true, false] {
        experiment::read_group(&body, strictly).as_ref().err().into_iter().for_each(refused);
        for naming in [Naming::Experiments, Naming::Evaluations] {
            experiment::read(&body, naming, strictly).as_ref().err().into_iter().for_each(refused);
        }
    }
    experiment::read_changes(&body).as_ref().err().into_iter().for_each(refused);
}

/// A call of a tool is refused with a reason, or is a request of the read API in the caller's workspace and nowhere else.
pub fn tool_call(data: &[u8]) {
    let Ok(call) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let (Some(name), Some(arguments)) = (call["name"].as_str(), call["arguments"].as_object()) else {
        return;
    };
    let workspace = Workspace::new("team-a").expect("a workspace");
    match mcp::asked_of_tool(name, &workspace, arguments) {
        None => {}
        Some(Err(why)) => assert!(!why.is_empty(), "a refusal says why"),
        Some(Ok((uri, body))) => {
            let read: http::Uri = uri.parse().expect("it is a URI");
            assert_eq!(read.to_string(), uri, "it is read in another way");
            let own = "/apis/intake/v2/workspaces/team%2Da/";
            assert!(read.path().starts_with(own) || read.path() == "/api/v1/sql" && body.is_some(), "{uri}");
            assert!(read.path().split('/').all(|part| part != ".." && part != "."), "{uri}");
            assert!(read.path().matches('/').count() <= own.matches('/').count() + 2, "an argument is a path: {uri}");
        }
    }
}
