//! What the data points of a metric have in common.

use super::super::fields;
use super::super::rejection::Rejection;
use super::super::request::Request;
use super::super::value::text_of;
use super::super::walk::Context;
use super::super::wire::{Fields, LengthDelimited};
use crate::columns::metrics::{OF_EXPONENTIAL_HISTOGRAM, OF_GAUGE, OF_HISTOGRAM, OF_SUM, OF_SUMMARY, Places};
use crate::columns::{MapRow, Table};
use crate::otlp::error::{DecodeError, Part};
use std::borrow::Cow;
use twox_hash::XxHash3_64;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = 5;

    /// The data in a field of a Metric, if it is data.
    pub(super) fn of(field: fields::Metric<'_>) -> Option<(Self, LengthDelimited<'_>)> {
        Some(match field {
            fields::Metric::Gauge(data) => (Self::Gauge, data),
            fields::Metric::Sum(data) => (Self::Sum, data),
            fields::Metric::Histogram(data) => (Self::Histogram, data),
            fields::Metric::ExponentialHistogram(data) => (Self::ExponentialHistogram, data),
            fields::Metric::Summary(data) => (Self::Summary, data),
            _ => return None,
        })
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Gauge => 0,
            Self::Sum => 1,
            Self::Histogram => 2,
            Self::ExponentialHistogram => 3,
            Self::Summary => 4,
        }
    }

    pub(super) fn table(self) -> Table {
        match self {
            Self::Gauge => Table::MetricsGauge,
            Self::Sum => Table::MetricsSum,
            Self::Histogram => Table::MetricsHistogram,
            Self::ExponentialHistogram => Table::MetricsExponentialHistogram,
            Self::Summary => Table::MetricsSummary,
        }
    }

    pub(super) fn places(self) -> &'static Places {
        match self {
            Self::Gauge => &OF_GAUGE,
            Self::Sum => &OF_SUM,
            Self::Histogram => &OF_HISTOGRAM,
            Self::ExponentialHistogram => &OF_EXPONENTIAL_HISTOGRAM,
            Self::Summary => &OF_SUMMARY,
        }
    }
}

/// What the data points of a metric share; of a kind that its data is not, nothing is set.
#[derive(Default)]
pub(super) struct Metric<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) description: Cow<'a, [u8]>,
    pub(super) unit: Cow<'a, [u8]>,
    pub(super) metadata: MapRow,
    /// By the index of a kind.
    temporality: [i32; Kind::COUNT],
    pub(super) is_monotonic: bool,
    /// What it adds to the fingerprints of its data points.
    fingerprint: u64,
    /// Set when it is malformed in itself, which costs all of its data points.
    pub(super) broken: Option<Rejection>,
}

impl Metric<'_> {
    pub(super) fn temporality(&self, kind: Kind) -> i32 {
        self.temporality.get(kind.index()).copied().expect("each kind has an index")
    }

    /// What it adds to the hashes of its data points of that kind.
    pub(super) fn fingerprint_as(&self, kind: Kind) -> u64 {
        let [a, b, c, d] = self.temporality(kind).to_le_bytes();
        let [index, ..] = kind.index().to_le_bytes();
        XxHash3_64::oneshot_with_seed(self.fingerprint, &[index, u8::from(self.is_monotonic), a, b, c, d])
    }
}

impl<'a> Metric<'a> {
    /// Reads all but the data points, which may come before.
    pub(super) fn read(
        &mut self,
        message: &'a [u8],
        request: &mut Request<'_>,
        context: &Context<'_>,
    ) -> Result<(), DecodeError> {
        let wire = Part::Metric.is();
        self.fingerprint = context.fingerprint;
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            let (number, _) = field;
            let field = fields::Metric::of(field);
            if let Some((kind, data)) = Kind::of(field) {
                self.read_data(kind, data.get().map_err(&wire)?)?;
                continue;
            }
            let (fields::Metric::Name(bytes)
            | fields::Metric::Description(bytes)
            | fields::Metric::Unit(bytes)
            | fields::Metric::Metadata(bytes)) = field
            else {
                continue;
            };
            let bytes = bytes.get().map_err(&wire)?;
            // the same text is not the same as a unit and as a description
            self.fingerprint = XxHash3_64::oneshot_with_seed(self.fingerprint.wrapping_add(number.into()), bytes);
            match field {
                fields::Metric::Name(_) => self.name = text_of(bytes),
                fields::Metric::Description(_) => self.description = text_of(bytes),
                fields::Metric::Unit(_) => self.unit = text_of(bytes),
                _ => {
                    let (key, value) = request.attribute(bytes)?;
                    self.metadata.push(&key, value);
                }
            }
        }
        self.metadata.keep_last_of_each_key();
        Ok(())
    }

    fn read_data(&mut self, kind: Kind, data: &[u8]) -> Result<(), DecodeError> {
        let wire = Part::MetricData.is();
        let temporality = self.temporality.get_mut(kind.index()).expect("each kind has an index");
        let mut unread = Fields::new(data);
        while let Some(field) = unread.next().map_err(&wire)? {
            match kind {
                Kind::Sum => match fields::Sum::of(field) {
                    fields::Sum::AggregationTemporality(number) => *temporality = number.get_i32().map_err(&wire)?,
                    fields::Sum::IsMonotonic(bit) => self.is_monotonic = bit.get().map_err(&wire)? != 0,
                    fields::Sum::DataPoints(_) | fields::Sum::Unknown => {}
                },
                Kind::Histogram => {
                    if let fields::Histogram::AggregationTemporality(number) = fields::Histogram::of(field) {
                        *temporality = number.get_i32().map_err(&wire)?;
                    }
                }
                Kind::ExponentialHistogram => {
                    let field = fields::ExponentialHistogram::of(field);
                    if let fields::ExponentialHistogram::AggregationTemporality(number) = field {
                        *temporality = number.get_i32().map_err(&wire)?;
                    }
                }
                Kind::Gauge | Kind::Summary => {}
            }
        }
        Ok(())
    }
}
