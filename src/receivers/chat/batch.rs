//! Many records in one body, which is answered after all of them.
//!
//! ```text
//! a JSON array                 200 with a list, by index       any refused for lack of memory: 503, send all again
//! one a line (as JSON too)     200 with a line each, by line   (what is stored already is recognised)
//! ```

use crate::chat::vendor::records::{RECORDS_MAX, Records};
use crate::pipeline::Reservation;
use crate::receivers::capacity_wait::{WAIT_MAX, WaitBudget};
use crate::receivers::chat::receiver::{ChatReceiver, QueuedCall};
use crate::receivers::chat::response::{error_detail, respond};
use crate::receivers::chat::vendor::{Record, Source};
use crate::receivers::decoding::{SMALL_BYTES_MAX, YieldBudget};
use crate::telemetry::{Receiver, Signal};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use std::sync::Arc;

/// Stores the record, or the records, of a body, and answers after that.
pub(crate) async fn answer(
    receiver: &Arc<ChatReceiver>,
    source: &Arc<Source>,
    bytes: Bytes,
    reservation: Reservation,
) -> Response {
    let body_bytes = bytes.len();
    match receiver.bodies.decode_pool.run(body_bytes <= SMALL_BYTES_MAX, move |_| Cut::of(&bytes)).await {
        Cut::One(record) => {
            receiver.answer(source.queue(receiver, Record::Owned(record), None, reservation).await).await
        }
        Cut::Many { is_list, records } => {
            let records = records.into_iter().map(|(place, record)| (place, Record::Part(record, body_bytes)));
            let answer = answer_all(receiver, source, is_list, records).await;
            drop(reservation);
            answer
        }
        Cut::TooMany => {
            receiver.ingest.metrics.of(Signal::Traces).reject(Receiver::Chat, 1);
            let message =
                format!("more than {RECORDS_MAX} records; send smaller batches, or lines as application/x-ndjson");
            error_detail(StatusCode::PAYLOAD_TOO_LARGE, &message)
        }
    }
}

/// A body cut into its records.
enum Cut {
    One(Bytes),
    Many { is_list: bool, records: Vec<(usize, Bytes)> },
    TooMany,
}

impl Cut {
    fn of(body: &Bytes) -> Self {
        // a missing element has no place in the body
        let own = |record: &[u8]| {
            if record.trim_ascii().is_empty() { Bytes::from_static(b" ") } else { body.slice_ref(record) }
        };
        let cut = Records::of(body);
        if let Records::One(record) = cut {
            return Self::One(own(record));
        }
        let records = cut.iter().take(RECORDS_MAX + 1).map(|(place, record)| (place, own(record)));
        let records: Vec<(usize, Bytes)> = records.collect();
        if records.len() > RECORDS_MAX {
            return Self::TooMany;
        }
        Self::Many { is_list: matches!(cut, Records::List(_)), records }
    }
}

/// Stores all valid records. Waits for memory once, for all of them together.
async fn answer_all(
    receiver: &Arc<ChatReceiver>,
    source: &Arc<Source>,
    is_list: bool,
    records: impl Iterator<Item = (usize, Record<'static>)>,
) -> Response {
    let (place_name, between, media) =
        if is_list { ("index", ",", "application/json") } else { ("line", "\n", "application/x-ndjson") };
    let wait_budget = WaitBudget::new(WAIT_MAX);
    let (mut results, mut must_repeat) = (String::new(), false);
    let (mut all_queued, mut yield_budget) = (Vec::new(), YieldBudget::default());
    for (place, record) in records {
        let bytes = record.as_bytes().len();
        // none waits for the one before: they are made durable together
        let queued = source.queue_patiently(receiver, record, place, None, &wait_budget).await;
        all_queued.push((place, queued));
        yield_budget.spend(bytes).await;
    }
    for (place, queued) in all_queued {
        let stored = QueuedCall::acked(queued).await;
        must_repeat |= stored.as_ref().is_err_and(|error| error.status() == StatusCode::SERVICE_UNAVAILABLE);
        if !results.is_empty() {
            results.push_str(between);
        }
        results.push_str(&receiver.result(place_name, place, stored));
    }
    let body = if is_list { format!("[{results}]") } else { format!("{results}\n") };
    if must_repeat && is_list {
        return respond(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"detail":{body}}}"#));
    }
    if must_repeat {
        let list = results.replace('\n', ",");
        return respond(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"detail":[{list}]}}"#));
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, media)], body).into_response()
}
