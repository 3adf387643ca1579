//! Pieces that a path of the ingest takes as they are: captured calls, records of LiteLLM and Helicone, trajectories.

use super::{Path, Reader, Record, Sink};
use serde_json::value::RawValue;

/// Sends each piece to this path.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Path);

impl Reader for Lines {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        match in_one_line(piece) {
            Ok(json) => sink.records.push(Record::Body { path: self.0, json }),
            Err(error) => sink.reject(format!("it is not JSON: {error}")),
        }
    }
}

/// JSON without line breaks: one inside it is white space.
pub(super) fn in_one_line(piece: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let _checked: &RawValue = serde_json::from_slice(piece)?;
    let mut json = piece.to_vec();
    // within a string a line break would not be JSON
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Ok(json)
}
