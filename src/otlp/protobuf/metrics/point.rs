//! One data point's message -> a row of the table of its kind.

use super::super::fields;
use super::super::rejection::{ItemError, Rejection};
use super::super::request::Request;
use super::super::walk::Context;
use super::super::wire::Fields;
use super::metric::{Kind, Metric};
use crate::columns::metrics::{
    BUCKET_COUNTS, Distribution, EXPLICIT_BOUNDS, EXPONENTIAL_DISTRIBUTION, Exemplars, GAUGE_NUMBER,
    HISTOGRAM_DISTRIBUTION, NEGATIVE_BUCKET_COUNTS, NEGATIVE_OFFSET, Number, POSITIVE_BUCKET_COUNTS, POSITIVE_OFFSET,
    Places, QUANTILE, QUANTILE_VALUE, SCALE, SUM_NUMBER, SUMMARY_COUNT, SUMMARY_SUM, ZERO_COUNT, ZERO_THRESHOLD,
};
use crate::columns::{At, Records};
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::error::{Part, WireError};
use crate::time::UnixNanos;

/// The row of the data point under way.
pub(super) struct PointRow<'r, 'l> {
    pub(super) kind: Kind,
    pub(super) places: &'static Places,
    pub(super) request: &'r mut Request<'l>,
    pub(super) records: &'r mut Records,
}

/// What every kind of data point has once.
#[derive(Debug, Default)]
pub(super) struct Point {
    start: u64,
    time: u64,
    flags: u32,
}

/// The value of a number or an exemplar; of several the last counts.
#[derive(Debug, Clone, Copy)]
enum Value {
    Absent,
    Double(f64),
    Int(i64),
}

impl Value {
    /// As the exporter stores it.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "the column holds no integer; `ValueInt` does"
    )]
    fn as_double(self) -> f64 {
        match self {
            Self::Absent => 0.0,
            Self::Double(value) => value,
            Self::Int(value) => value as f64,
        }
    }
}

/// What both kinds of histograms have once.
#[derive(Debug, Default)]
struct Spread {
    count: u64,
    sum: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
}

fn wire(problem: WireError) -> ItemError {
    ItemError::of("it")(Part::DataPoint.is()(problem))
}

/// A time as both columns hold it; `None` when it is later than a `DateTime` may be.
fn date_time(nanos: u64) -> Option<(UnixNanos, u32)> {
    let time = UnixNanos::new(nanos)?;
    Some((time, time.seconds()?))
}

impl PointRow<'_, '_> {
    /// Reads a data point into the row; what all kinds have once is returned.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Point, ItemError> {
        match self.kind {
            Kind::Gauge => self.number(message, GAUGE_NUMBER),
            Kind::Sum => self.number(message, SUM_NUMBER),
            Kind::Histogram => self.histogram(message),
            Kind::ExponentialHistogram => self.exponential_histogram(message),
            Kind::Summary => self.summary(message),
        }
    }

    fn number(&mut self, message: &[u8], to: Number) -> Result<Point, ItemError> {
        let (mut point, mut value) = (Point::default(), Value::Absent);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::NumberDataPoint::of(field) {
                fields::NumberDataPoint::Attributes(message) => self.attribute(message.get().map_err(wire)?)?,
                fields::NumberDataPoint::StartTimeUnixNano(nanos) => point.start = nanos.get().map_err(wire)?,
                fields::NumberDataPoint::TimeUnixNano(nanos) => point.time = nanos.get().map_err(wire)?,
                fields::NumberDataPoint::AsDouble(bits) => {
                    value = Value::Double(f64::from_bits(bits.get().map_err(wire)?));
                }
                fields::NumberDataPoint::AsInt(bits) => value = Value::Int(bits.get().map_err(wire)?.cast_signed()),
                fields::NumberDataPoint::Exemplars(message) => self.exemplar(message.get().map_err(wire)?)?,
                fields::NumberDataPoint::Flags(bits) => point.flags = bits.get_u32().map_err(wire)?,
                fields::NumberDataPoint::Unknown => {}
            }
        }
        self.records.fixed(to.value, value.as_double().to_le_bytes());
        if let Value::Int(value) = value {
            self.records.fixed(to.value_int, value.to_le_bytes());
        }
        Ok(point)
    }

    fn histogram(&mut self, message: &[u8]) -> Result<Point, ItemError> {
        let (mut point, mut spread) = (Point::default(), Spread::default());
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::HistogramDataPoint::of(field) {
                fields::HistogramDataPoint::Attributes(message) => self.attribute(message.get().map_err(wire)?)?,
                fields::HistogramDataPoint::StartTimeUnixNano(nanos) => point.start = nanos.get().map_err(wire)?,
                fields::HistogramDataPoint::TimeUnixNano(nanos) => point.time = nanos.get().map_err(wire)?,
                fields::HistogramDataPoint::Count(count) => spread.count = count.get().map_err(wire)?,
                fields::HistogramDataPoint::Sum(bits) => spread.sum = Some(bits.get().map_err(wire)?),
                fields::HistogramDataPoint::BucketCounts(counts) => self.items(BUCKET_COUNTS, |f| counts.each(f))?,
                fields::HistogramDataPoint::ExplicitBounds(bounds) => {
                    self.items(EXPLICIT_BOUNDS, |f| bounds.each(f))?
                }
                fields::HistogramDataPoint::Exemplars(message) => self.exemplar(message.get().map_err(wire)?)?,
                fields::HistogramDataPoint::Flags(bits) => point.flags = bits.get_u32().map_err(wire)?,
                fields::HistogramDataPoint::Min(bits) => spread.min = Some(bits.get().map_err(wire)?),
                fields::HistogramDataPoint::Max(bits) => spread.max = Some(bits.get().map_err(wire)?),
                fields::HistogramDataPoint::Unknown => {}
            }
        }
        self.spread(&spread, HISTOGRAM_DISTRIBUTION);
        Ok(point)
    }

    fn exponential_histogram(&mut self, message: &[u8]) -> Result<Point, ItemError> {
        use fields::ExponentialHistogramDataPoint as Field;
        let (mut point, mut spread) = (Point::default(), Spread::default());
        let (mut scale, mut zero_count, mut zero_threshold) = (0, 0, 0);
        let (mut positive, mut negative) = (0, 0);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match Field::of(field) {
                Field::Attributes(message) => self.attribute(message.get().map_err(wire)?)?,
                Field::StartTimeUnixNano(nanos) => point.start = nanos.get().map_err(wire)?,
                Field::TimeUnixNano(nanos) => point.time = nanos.get().map_err(wire)?,
                Field::Count(count) => spread.count = count.get().map_err(wire)?,
                Field::Sum(bits) => spread.sum = Some(bits.get().map_err(wire)?),
                Field::Scale(number) => scale = number.get_i32().map_err(wire)?,
                Field::ZeroCount(count) => zero_count = count.get().map_err(wire)?,
                Field::Positive(message) => {
                    self.buckets(message.get().map_err(wire)?, &mut positive, POSITIVE_BUCKET_COUNTS)?;
                }
                Field::Negative(message) => {
                    self.buckets(message.get().map_err(wire)?, &mut negative, NEGATIVE_BUCKET_COUNTS)?;
                }
                Field::Flags(bits) => point.flags = bits.get_u32().map_err(wire)?,
                Field::Exemplars(message) => self.exemplar(message.get().map_err(wire)?)?,
                Field::Min(bits) => spread.min = Some(bits.get().map_err(wire)?),
                Field::Max(bits) => spread.max = Some(bits.get().map_err(wire)?),
                Field::ZeroThreshold(bits) => zero_threshold = bits.get().map_err(wire)?,
                Field::Unknown => {}
            }
        }
        self.spread(&spread, EXPONENTIAL_DISTRIBUTION);
        self.records.fixed(SCALE, scale.to_le_bytes());
        self.records.fixed(ZERO_COUNT, zero_count.to_le_bytes());
        self.records.fixed(ZERO_THRESHOLD, zero_threshold.to_le_bytes());
        self.records.fixed(POSITIVE_OFFSET, positive.to_le_bytes());
        self.records.fixed(NEGATIVE_OFFSET, negative.to_le_bytes());
        Ok(point)
    }

    fn summary(&mut self, message: &[u8]) -> Result<Point, ItemError> {
        let (mut point, mut count, mut sum) = (Point::default(), 0, 0);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::SummaryDataPoint::of(field) {
                fields::SummaryDataPoint::Attributes(message) => self.attribute(message.get().map_err(wire)?)?,
                fields::SummaryDataPoint::StartTimeUnixNano(nanos) => point.start = nanos.get().map_err(wire)?,
                fields::SummaryDataPoint::TimeUnixNano(nanos) => point.time = nanos.get().map_err(wire)?,
                fields::SummaryDataPoint::Count(number) => count = number.get().map_err(wire)?,
                fields::SummaryDataPoint::Sum(bits) => sum = bits.get().map_err(wire)?,
                fields::SummaryDataPoint::QuantileValues(message) => self.quantile(message.get().map_err(wire)?)?,
                fields::SummaryDataPoint::Flags(bits) => point.flags = bits.get_u32().map_err(wire)?,
                fields::SummaryDataPoint::Unknown => {}
            }
        }
        self.records.fixed(SUMMARY_COUNT, count.to_le_bytes());
        self.records.fixed(SUMMARY_SUM, sum.to_le_bytes());
        Ok(point)
    }

    fn spread(&mut self, spread: &Spread, to: Distribution) {
        let Spread { count, sum, min, max } = *spread;
        self.records.fixed(to.count, count.to_le_bytes());
        for (bits, value, has) in [(sum, to.sum, to.has_sum), (min, to.min, to.has_min), (max, to.max, to.has_max)] {
            self.records.fixed(value, bits.unwrap_or_default().to_le_bytes());
            self.records.fixed(has, [u8::from(bits.is_some())]);
        }
    }

    fn attribute(&mut self, message: &[u8]) -> Result<(), ItemError> {
        let (key, value) = self.request.attribute(message).map_err(ItemError::of("an attribute"))?;
        self.records.entry(self.places.common.attributes, &key, value);
        Ok(())
    }

    /// Adds the numbers of a list, 8 bytes each.
    fn items(
        &mut self,
        at: At,
        each: impl FnOnce(&mut dyn FnMut(u64)) -> Result<(), WireError>,
    ) -> Result<(), ItemError> {
        let mut items = 0;
        each(&mut |number| {
            self.records.item(at, number.to_le_bytes());
            items += 1;
        })
        .map_err(wire)?;
        self.request.count(items).map_err(ItemError::Request)
    }

    fn buckets(&mut self, message: &[u8], offset: &mut i32, counts: At) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("its buckets")(Part::Buckets.is()(problem));
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::Buckets::of(field) {
                fields::Buckets::Offset(number) => *offset = number.get_i32().map_err(wire)?,
                fields::Buckets::BucketCounts(numbers) => self.items(counts, |f| numbers.each(f))?,
                fields::Buckets::Unknown => {}
            }
        }
        Ok(())
    }

    fn quantile(&mut self, message: &[u8]) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("a quantile")(Part::Quantile.is()(problem));
        self.request.count(1).map_err(ItemError::Request)?;
        let (mut quantile, mut value) = (0, 0);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::ValueAtQuantile::of(field) {
                fields::ValueAtQuantile::Quantile(bits) => quantile = bits.get().map_err(wire)?,
                fields::ValueAtQuantile::Value(bits) => value = bits.get().map_err(wire)?,
                fields::ValueAtQuantile::Unknown => {}
            }
        }
        self.records.item(QUANTILE, quantile.to_le_bytes());
        self.records.item(QUANTILE_VALUE, value.to_le_bytes());
        Ok(())
    }

    fn exemplar(&mut self, message: &[u8]) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("an exemplar")(Part::Exemplar.is()(problem));
        let Some(to) = self.places.exemplars else { return Ok(()) };
        self.request.count(1).map_err(ItemError::Request)?;
        let (mut at, mut value): (u64, Value) = (0, Value::Absent);
        let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::Exemplar::of(field) {
                fields::Exemplar::FilteredAttributes(message) => {
                    let attribute = self.request.attribute(message.get().map_err(wire)?);
                    let (key, value) = attribute.map_err(ItemError::of("an exemplar's attribute"))?;
                    self.records.item_entry(to.filtered_attributes, &key, value);
                }
                fields::Exemplar::TimeUnixNano(nanos) => at = nanos.get().map_err(wire)?,
                fields::Exemplar::AsDouble(bits) => value = Value::Double(f64::from_bits(bits.get().map_err(wire)?)),
                fields::Exemplar::AsInt(bits) => value = Value::Int(bits.get().map_err(wire)?.cast_signed()),
                fields::Exemplar::SpanId(id) => span_id = id.get().map_err(wire)?,
                fields::Exemplar::TraceId(id) => trace_id = id.get().map_err(wire)?,
                fields::Exemplar::Unknown => {}
            }
        }
        self.close_exemplar(to, at, value, trace_id, span_id).map_err(ItemError::Rejected)
    }

    /// An id that is not given is all zeros, as the exporter stores it.
    fn close_exemplar(
        &mut self,
        to: Exemplars,
        at: u64,
        value: Value,
        trace_id: &[u8],
        span_id: &[u8],
    ) -> Result<(), Rejection> {
        let (at, at_seconds) = date_time(at).ok_or(Rejection::Late("an exemplar's time_unix_nano"))?;
        let trace_id = match TraceId::from_slice(trace_id) {
            Ok(id) => id.hex(),
            Err(IdError::Zero) => [b'0'; TraceId::HEX],
            Err(_) if trace_id.is_empty() => [b'0'; TraceId::HEX],
            Err(error) => return Err(Rejection::Id("an exemplar's trace_id", error)),
        };
        let span_id = match SpanId::from_slice(span_id) {
            Ok(id) => id.hex(),
            Err(IdError::Zero) => [b'0'; SpanId::HEX],
            Err(_) if span_id.is_empty() => [b'0'; SpanId::HEX],
            Err(error) => return Err(Rejection::Id("an exemplar's span_id", error)),
        };
        let records = &mut *self.records;
        records.close_item(to.filtered_attributes);
        records.item(to.time_unix, at_seconds.to_le_bytes());
        records.item(to.time_unix_nano, at.nanos().to_le_bytes());
        records.item(to.value, value.as_double().to_le_bytes());
        records.text_item(to.span_id, &span_id);
        records.text_item(to.trace_id, &trace_id);
        Ok(())
    }

    /// Puts all that a data point has beside its values; returns its time, and how many attributes went because a later one had the
    /// same key.
    pub(super) fn fill(
        &mut self,
        point: &Point,
        metric: &Metric<'_>,
        context: &Context<'_>,
    ) -> Result<(UnixNanos, usize), Rejection> {
        let (time, time_seconds) = date_time(point.time).ok_or(Rejection::Late("time_unix_nano"))?;
        let (start, start_seconds) = date_time(point.start).ok_or(Rejection::Late("start_time_unix_nano"))?;
        self.request.check_time("time_unix_nano", time, self.records.days_with(time))?;
        let (records, to) = (&mut *self.records, &self.places.common);
        let repeated = records.keep_last_of_each_key(to.attributes);
        records.map(to.resource_attributes, context.resource);
        records.text(to.resource_schema_url, context.resource_schema_url);
        records.text(to.scope_name, context.scope_name);
        records.text(to.scope_version, context.scope_version);
        records.map(to.scope_attributes, context.scope_attributes);
        records.fixed(to.scope_dropped_attr_count, context.scope_dropped_attributes.to_le_bytes());
        records.text(to.scope_schema_url, context.scope_schema_url);
        records.text(to.service_name, context.service_name);
        records.text(to.metric_name, &metric.name);
        records.text(to.metric_description, &metric.description);
        records.text(to.metric_unit, &metric.unit);
        records.map(to.metric_metadata, &metric.metadata);
        records.fixed(to.start_time_unix, start_seconds.to_le_bytes());
        records.fixed(to.start_time_unix_nano, start.nanos().to_le_bytes());
        records.fixed(to.time_unix, time_seconds.to_le_bytes());
        records.fixed(to.time_unix_nano, time.nanos().to_le_bytes());
        records.fixed(to.flags, point.flags.to_le_bytes());
        if let Some(at) = self.places.aggregation_temporality {
            records.fixed(at, metric.temporality(self.kind).to_le_bytes());
        }
        if let Some(at) = self.places.is_monotonic {
            records.fixed(at, [u8::from(metric.is_monotonic)]);
        }
        Ok((time, repeated))
    }
}
