//! A trace as JSON: `trace`, `spans` and `conversation`, as the read API answers each.

use super::Exported;
use super::room::Room;
use crate::query::answer::Refusal;
use crate::query::kept;
use crate::query::mode::Mode;
use crate::query::spans;
use crate::query::traces::conversation;
use serde_json::Value;

/// The document in pieces.
pub(super) async fn write(exported: &Exported<'_>) -> Result<Vec<String>, Refusal> {
    let Exported { api, workspace, ids, .. } = exported;
    let trace = exported.head(Mode::Detailed).await?;
    let mut pieces = vec![format!("{{\"trace\":{trace},\"spans\":[")];
    let mut room = Room::default();
    let mut separator = "";
    for keys in exported.chunks() {
        let trace_id = ids.concat();
        let keys = keys.iter().map(|key| (trace_id.as_str(), key.span_id.as_str(), key.started));
        for span in spans::of_keys(api, workspace, keys).await? {
            let span = format!("{separator}{span}");
            separator = ",";
            room.take(span.len())?;
            pieces.push(span);
        }
    }
    let conversation = conversation::told(api, workspace, ids).await?.map_or(Value::Null, Value::from);
    let mut end = format!("],\"conversation\":{conversation}");
    if let Some(statements) = kept::taken() {
        end.push_str(&format!(",\"sql\":{}", Value::from(statements)));
    }
    end.push('}');
    room.take(end.len())?;
    pieces.push(end);
    Ok(pieces)
}
