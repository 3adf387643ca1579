//! ExportMetricsServiceRequest -> rows of the five tables of metrics, in one pass over the request's bytes.
//!
//! ```text
//! Metric  name, description, unit, metadata          the same for its data points
//!         gauge | sum | histogram | ...  data point*  each a row of the table of its kind
//! ```
//!
//! A data point that is malformed is left out, counted and named, and so are those of a metric, scope or resource that is. A metric
//! without data has no data points, and nothing to store. A metric has data of one kind; what a sender gives of several is
//! taken as several metrics.
//!
//! Source: OTLP 1.11.0, metrics.proto.

mod metric;
mod point;

use super::fields;
use super::rejection::{ItemError, Rejection};
use super::request::Request;
use super::walk::{Context, Items, each_field, only, walk};
use super::wire::Fields;
use crate::columns::{Group as _, Records};
use crate::otlp::decoded::{DecodedRecords, Encoding};
use crate::otlp::error::{DecodeError, Part, TypeErrors};
use crate::otlp::limits::Limits;
use crate::otlp::signal::Signal;
use crate::workspace::Workspace;
use metric::{Kind, Metric};
use point::PointRow;
use twox_hash::XxHash3_128;

/// Decodes an ExportMetricsServiceRequest in binary protobuf.
///
/// # Errors
/// If the bytes are not that message, or hold more than `limits`. Nothing is kept then.
pub fn decode_metrics(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<DecodedRecords, DecodeError> {
    decode(request, encoding, &TypeErrors::new(), workspace, limits)
}

/// The same; `type_errors` are what JSON had wrong.
pub(crate) fn decode(
    request: &[u8],
    encoding: Encoding,
    type_errors: &TypeErrors,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<DecodedRecords, DecodeError> {
    let under_way = Request::new(Signal::Metrics, encoding, type_errors, workspace.clone(), limits);
    let mut metrics = MetricDecoder { request: under_way, tables: Default::default(), attributes_repeated: 0 };
    walk(request, &mut metrics)?;
    let MetricDecoder { request: Request { rejected, reasons, .. }, tables, attributes_repeated } = metrics;
    let groups = tables.into_iter().flatten().filter(|records| records.rows() > 0).collect();
    Ok(DecodedRecords { groups, spans: None, rejected, reasons, attributes_repeated })
}

/// Counts the data points of a Metric message.
pub(super) fn count_points(metric: &[u8]) -> usize {
    let mut points = 0;
    let mut unread = Fields::new(metric);
    while let Ok(Some(field)) = unread.next() {
        let Some((kind, data)) = Kind::of(fields::Metric::of(field)) else { continue };
        // as for the decoder, what comes after a fault cannot be told apart
        let Ok(data) = data.get() else { break };
        let counted = each_point(kind, data, |_| {
            points += 1;
            Ok(())
        });
        if counted.is_err() {
            break;
        }
    }
    points
}

/// Calls `f` with each data point of this data.
fn each_point<'a>(
    kind: Kind,
    data: &'a [u8],
    f: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let part = Part::MetricData;
    match kind {
        Kind::Gauge => each_field(data, part, only!(Gauge::DataPoints), f),
        Kind::Sum => each_field(data, part, only!(Sum::DataPoints), f),
        Kind::Histogram => each_field(data, part, only!(Histogram::DataPoints), f),
        Kind::ExponentialHistogram => each_field(data, part, only!(ExponentialHistogram::DataPoints), f),
        Kind::Summary => each_field(data, part, only!(Summary::DataPoints), f),
    }
}

/// Decodes the metrics of a request.
struct MetricDecoder<'l> {
    request: Request<'l>,
    /// By the index of a kind.
    tables: [Option<Box<Records>>; Kind::COUNT],
    attributes_repeated: usize,
}

impl<'l> Items<'l> for MetricDecoder<'l> {
    fn request(&mut self) -> &mut Request<'l> {
        &mut self.request
    }

    /// Adds the data points of a metric, or notes why they are not among the rows.
    fn item(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError> {
        let mut metric = Metric::default();
        let malformed = match metric.read(message, &mut self.request, context) {
            Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                Some(Rejection::Content("its metric", error))
            }
            other => other.map(|()| None)?,
        };
        metric.broken = context.broken.or(malformed);
        let begun = self.request.begun;
        match (self.data(message, &metric, context), malformed) {
            // the data points after the fault cannot be told apart; all together count as one if there was none before it
            (Ok(()) | Err(DecodeError::Malformed { .. }), Some(rejection)) => {
                if self.request.begun == begun {
                    self.request.begin_item(0)?;
                    self.request.reject(&metric.name, rejection);
                }
                Ok(())
            }
            (read, _) => read,
        }
    }
}

impl MetricDecoder<'_> {
    fn data(&mut self, message: &[u8], metric: &Metric<'_>, context: &Context<'_>) -> Result<(), DecodeError> {
        let wire = Part::Metric.is();
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            if let Some((kind, data)) = Kind::of(fields::Metric::of(field)) {
                let data = data.get().map_err(&wire)?;
                each_point(kind, data, |point| self.point(kind, point, metric, context))?;
            }
        }
        Ok(())
    }

    /// Adds a data point, or notes why it is not among the rows.
    fn point(
        &mut self,
        kind: Kind,
        message: &[u8],
        metric: &Metric<'_>,
        context: &Context<'_>,
    ) -> Result<(), DecodeError> {
        self.request.begin_item(context.entries() + metric.metadata.entries())?;
        let places = kind.places();
        let workspace = &self.request.workspace;
        let table = self.tables.get_mut(kind.index()).expect("each kind has an index");
        let records = table.get_or_insert_with(|| Box::new(Records::new(kind.table(), workspace.clone())));
        let mut row = PointRow { kind, places, request: &mut self.request, records };
        match add(&mut row, message, metric, context) {
            Ok(repeated) => self.attributes_repeated += repeated,
            Err(ItemError::Rejected(rejection)) => {
                records.roll_back();
                self.request.reject(&metric.name, rejection);
            }
            Err(ItemError::Request(error)) => return Err(error),
        }
        let tables = || self.tables.iter().flatten();
        debug_assert_eq!(
            tables().map(|records| records.rows()).sum::<usize>() + self.request.rejected,
            self.request.begun,
            "each data point is a row or rejected"
        );
        self.request.check_size(tables().map(|records| records.counted_bytes()).sum())
    }
}

/// Adds the row of a data point; returns how many attributes went because a later one had the same key.
fn add(
    row: &mut PointRow<'_, '_>,
    message: &[u8],
    metric: &Metric<'_>,
    context: &Context<'_>,
) -> Result<usize, ItemError> {
    let content = match metric.broken {
        Some(rejection) => Err(rejection.into()),
        None => row.read(message),
    };
    // a wrong type in JSON is the best explanation
    let point = match row.request.type_error() {
        Some(wrong) => return Err(Rejection::Type(wrong).into()),
        None => content?,
    };
    let seed = metric.fingerprint_as(row.kind);
    let (time, repeated) = row.fill(&point, metric, context)?;
    row.records.finish(time, XxHash3_128::oneshot_with_seed(seed, message)).map_err(Rejection::Large)?;
    Ok(repeated)
}

#[cfg(test)]
mod tests;
