//! Requests of OTLP beside spans and metrics: log records, and requests that are taken apart by an attribute of their resources.

use millrace::columns::Group as _;
use millrace::columns::native::encode::encode_block;
use millrace::columns::native::parse::Block;
use millrace::ids::SegmentId;
use millrace::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use millrace::otlp::{self, DecodeError, Encoding, Limits, Signal};
use millrace::workspace::Workspace;
use prost::Message as _;

/// Each log record of a request is a row or rejected, and what is transcoded can be decoded, by prost too.
pub fn otlp_logs(data: &[u8]) {
    let (workspace, limits) = (Workspace::default(), Limits::default());
    if let Ok(transcoded) = otlp::transcode(data, Signal::Logs, limits.depth) {
        let decoded = transcoded.decode_logs(&workspace, &limits);
        assert!(matches!(decoded, Ok(_) | Err(DecodeError::TooMany { .. })), "what we wrote is malformed: {decoded:?}");
        otlp_logs_protobuf(transcoded.protobuf());
    }
    otlp_logs_protobuf(data);
}

fn otlp_logs_protobuf(data: &[u8]) {
    let ours = otlp::decode_logs(data, Encoding::Protobuf, &Workspace::default(), &Limits::default());
    let counted = otlp::count_items(data, Signal::Logs);
    if let Ok(decoded) = &ours {
        let rows: usize = decoded
            .groups
            .iter()
            .filter(|records| records.table() == millrace::columns::Table::Logs)
            .map(|records| records.rows())
            .sum();
        assert_eq!(rows + decoded.rejected, counted, "log records are lost");
        let spans = decoded.spans.as_ref().map_or(0, |spans| spans.rows());
        assert!(spans <= counted, "a record reports one call, tool or turn");
    }
    if ExportLogsServiceRequest::decode(data).is_ok() {
        let is_excused = |error: &DecodeError| {
            matches!(error, DecodeError::TooMany { .. }) || error.to_string().contains("groups that do not match")
        };
        assert!(ours.as_ref().err().is_none_or(is_excused), "prost accepts what we refuse: {ours:?}");
    }
}

/// The attribute by which requests are taken apart.
const KEY: &str = "team";

/// A request by an attribute of its resources has the same items, and each row has the value that its part was told by: nobody's rows
/// go to a workspace that they do not name.
pub fn otlp_parts(data: &[u8]) {
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        let Ok(parts) = otlp::parts_by_attribute(data, signal, KEY) else { continue };
        assert!(!parts.is_empty(), "a request has a part");
        let items: usize = parts.iter().map(|part| otlp::count_items(&part.request, signal)).sum();
        // of what is malformed those are counted that come before
        assert!(items >= otlp::count_items(data, signal), "items are lost");
        for part in &parts {
            let again = otlp::parts_by_attribute(&part.request, signal, KEY).expect("a part is a request");
            assert!(again.len() == 1 && again[0].value == part.value, "a part has parts");
            if signal == Signal::Traces {
                check_rows(&part.request, part.value.as_deref());
            }
        }
        let marked = otlp::with_resource_attribute(data, signal, KEY, "ours").expect("its resources were told apart");
        let of_marked = otlp::parts_by_attribute(&marked, signal, KEY).expect("what we wrote is a request");
        let is_ours = |part: &otlp::PartOfRequest<'_>| {
            part.value.as_deref() == Some("ours") || otlp::count_items(&part.request, signal) == 0
        };
        assert!(of_marked.iter().all(is_ours), "a sender's attribute is stronger than ours");
    }
}

/// What was told apart by a value is stored with that value.
fn check_rows(request: &[u8], value: Option<&str>) {
    let decoded = otlp::decode_traces(request, Encoding::Protobuf, &Workspace::default(), &Limits::default());
    let (Ok(decoded), Some(value)) = (decoded, value) else { return };
    if decoded.rows.rows() == 0 {
        return;
    }
    let mut block = Vec::new();
    encode_block(&[&*decoded.rows], SegmentId::new(1, 2), &mut block);
    let (block, _) = Block::parse(&block).expect("what we wrote is a block");
    let stored = block.map_values("ResourceAttributes", KEY.as_bytes()).expect("the column is a map");
    for stored in stored {
        let stored = String::from_utf8_lossy(stored.unwrap_or_default()).into_owned();
        assert_eq!(stored, value, "a row is of another part");
    }
}
