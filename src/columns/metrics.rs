//! THE column lists of the tables of metrics, one for each kind of data point: the columns of the OpenTelemetry ClickHouse exporter with its
//! names, types and codecs, then ours. A new column goes to the end of its list.
//!
//! The exporter keeps seconds of times, `Float64` of integers, and 0 where a sum, minimum or maximum is missing. What that leaves out
//! is in columns of ours.
//!
//! Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, the metrics tables as of v0.160.

use super::column::{At, Column, at};
use super::table::SEGMENT_ID;

macro_rules! columns {
    ($(#[$doc:meta])* $list:ident: $(
        $name:expr, $table_type:literal as $wire_type:literal $(default $default:literal)?, $codec:literal;
    )*) => {
        $(#[$doc])*
        pub const $list: &[Column] = &[$(Column {
            name: $name,
            table_type: $table_type,
            wire_type: $wire_type,
            codec: $codec,
            default: concat!($($default)?),
        }),*];
    };
}

/// A list: what all kinds have, what the exporter has for this one, what we have for all, what we have for this one.
macro_rules! points {
    ($(#[$doc:meta])* $list:ident: { $($standard:tt)* } { $($ours:tt)* }) => {
        columns! {
            $(#[$doc])*
            $list:
            "ResourceAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
            "ResourceSchemaUrl", "String" as "String", "ZSTD(1)";
            "ScopeName", "String" as "String", "ZSTD(1)";
            "ScopeVersion", "String" as "String", "ZSTD(1)";
            "ScopeAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
            "ScopeDroppedAttrCount", "UInt32" as "UInt32", "ZSTD(1)";
            "ScopeSchemaUrl", "String" as "String", "ZSTD(1)";
            "ServiceName", "LowCardinality(String)" as "String", "ZSTD(1)";
            "MetricName", "LowCardinality(String)" as "String", "ZSTD(1)";
            "MetricDescription", "String" as "String", "ZSTD(1)";
            "MetricUnit", "String" as "String", "ZSTD(1)";
            "Attributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
            "StartTimeUnix", "DateTime" as "DateTime", "Delta(4), ZSTD(1)";
            "TimeUnix", "DateTime" as "DateTime", "Delta(4), ZSTD(1)";
            $($standard)*
            SEGMENT_ID, "UUID" as "UUID", "ZSTD(1)";
            "Workspace", "LowCardinality(String)" as "String"
                default "if(ResourceAttributes['millrace.workspace'] = '', 'default', ResourceAttributes['millrace.workspace'])",
                "ZSTD(1)";
            "StartTimeUnixNano", "DateTime64(9)" as "DateTime64(9)" default "toDateTime64(StartTimeUnix, 9)",
                "Delta(8), ZSTD(1)";
            "TimeUnixNano", "DateTime64(9)" as "DateTime64(9)" default "toDateTime64(TimeUnix, 9)", "Delta(8), ZSTD(1)";
            "MetricMetadata", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
            $($ours)*
        }
    };
}

points! {
    /// `otel_metrics_gauge`
    GAUGE: {
        "Value", "Float64" as "Float64", "ZSTD(1)";
        "Flags", "UInt32" as "UInt32", "ZSTD(1)";
        "Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))",
            "ZSTD(1)";
        "Exemplars.TimeUnix", "Array(DateTime)" as "Array(DateTime)", "ZSTD(1)";
        "Exemplars.Value", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Exemplars.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Exemplars.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)";
    } {
        "ValueInt", "Nullable(Int64)" as "Nullable(Int64)", "ZSTD(1)";
        "Exemplars.TimeUnixNano", "Array(DateTime64(9))" as "Array(DateTime64(9))"
            default "arrayMap(at -> toDateTime64(at, 9), `Exemplars.TimeUnix`)", "ZSTD(1)";
    }
}

points! {
    /// `otel_metrics_sum`
    SUM: {
        "Value", "Float64" as "Float64", "ZSTD(1)";
        "Flags", "UInt32" as "UInt32", "ZSTD(1)";
        "Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))",
            "ZSTD(1)";
        "Exemplars.TimeUnix", "Array(DateTime)" as "Array(DateTime)", "ZSTD(1)";
        "Exemplars.Value", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Exemplars.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Exemplars.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "AggregationTemporality", "Int32" as "Int32", "ZSTD(1)";
        "IsMonotonic", "Bool" as "Bool", "Delta(1), ZSTD(1)";
    } {
        "ValueInt", "Nullable(Int64)" as "Nullable(Int64)", "ZSTD(1)";
        "Exemplars.TimeUnixNano", "Array(DateTime64(9))" as "Array(DateTime64(9))"
            default "arrayMap(at -> toDateTime64(at, 9), `Exemplars.TimeUnix`)", "ZSTD(1)";
    }
}

points! {
    /// `otel_metrics_histogram`
    HISTOGRAM: {
        "Count", "UInt64" as "UInt64", "Delta(8), ZSTD(1)";
        "Sum", "Float64" as "Float64", "ZSTD(1)";
        "BucketCounts", "Array(UInt64)" as "Array(UInt64)", "ZSTD(1)";
        "ExplicitBounds", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))",
            "ZSTD(1)";
        "Exemplars.TimeUnix", "Array(DateTime)" as "Array(DateTime)", "ZSTD(1)";
        "Exemplars.Value", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Exemplars.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Exemplars.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Flags", "UInt32" as "UInt32", "ZSTD(1)";
        "Min", "Float64" as "Float64", "ZSTD(1)";
        "Max", "Float64" as "Float64", "ZSTD(1)";
        "AggregationTemporality", "Int32" as "Int32", "ZSTD(1)";
    } {
        "HasSum", "Bool" as "Bool", "ZSTD(1)";
        "HasMin", "Bool" as "Bool", "ZSTD(1)";
        "HasMax", "Bool" as "Bool", "ZSTD(1)";
        "Exemplars.TimeUnixNano", "Array(DateTime64(9))" as "Array(DateTime64(9))"
            default "arrayMap(at -> toDateTime64(at, 9), `Exemplars.TimeUnix`)", "ZSTD(1)";
    }
}

points! {
    /// `otel_metrics_exponential_histogram`
    EXPONENTIAL_HISTOGRAM: {
        "Count", "UInt64" as "UInt64", "Delta(8), ZSTD(1)";
        "Sum", "Float64" as "Float64", "ZSTD(1)";
        "Scale", "Int32" as "Int32", "ZSTD(1)";
        "ZeroCount", "UInt64" as "UInt64", "ZSTD(1)";
        "PositiveOffset", "Int32" as "Int32", "ZSTD(1)";
        "PositiveBucketCounts", "Array(UInt64)" as "Array(UInt64)", "ZSTD(1)";
        "NegativeOffset", "Int32" as "Int32", "ZSTD(1)";
        "NegativeBucketCounts", "Array(UInt64)" as "Array(UInt64)", "ZSTD(1)";
        "Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))",
            "ZSTD(1)";
        "Exemplars.TimeUnix", "Array(DateTime)" as "Array(DateTime)", "ZSTD(1)";
        "Exemplars.Value", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Exemplars.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Exemplars.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)";
        "Flags", "UInt32" as "UInt32", "ZSTD(1)";
        "Min", "Float64" as "Float64", "ZSTD(1)";
        "Max", "Float64" as "Float64", "ZSTD(1)";
        "AggregationTemporality", "Int32" as "Int32", "ZSTD(1)";
    } {
        "HasSum", "Bool" as "Bool", "ZSTD(1)";
        "HasMin", "Bool" as "Bool", "ZSTD(1)";
        "HasMax", "Bool" as "Bool", "ZSTD(1)";
        "Exemplars.TimeUnixNano", "Array(DateTime64(9))" as "Array(DateTime64(9))"
            default "arrayMap(at -> toDateTime64(at, 9), `Exemplars.TimeUnix`)", "ZSTD(1)";
        "ZeroThreshold", "Float64" as "Float64", "ZSTD(1)";
    }
}

points! {
    /// `otel_metrics_summary`
    SUMMARY: {
        "Count", "UInt64" as "UInt64", "Delta(8), ZSTD(1)";
        "Sum", "Float64" as "Float64", "ZSTD(1)";
        "ValueAtQuantiles.Quantile", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "ValueAtQuantiles.Value", "Array(Float64)" as "Array(Float64)", "ZSTD(1)";
        "Flags", "UInt32" as "UInt32", "ZSTD(1)";
    } {}
}

/// Places of the columns that all kinds have.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the columns")]
pub struct Common {
    pub resource_attributes: At,
    pub resource_schema_url: At,
    pub scope_name: At,
    pub scope_version: At,
    pub scope_attributes: At,
    pub scope_dropped_attr_count: At,
    pub scope_schema_url: At,
    pub service_name: At,
    pub metric_name: At,
    pub metric_description: At,
    pub metric_unit: At,
    pub attributes: At,
    pub start_time_unix: At,
    pub time_unix: At,
    pub flags: At,
    pub start_time_unix_nano: At,
    pub time_unix_nano: At,
    pub metric_metadata: At,
}

/// Places of the columns of a number: a gauge or a sum.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the columns")]
pub struct Number {
    pub value: At,
    pub value_int: At,
}

/// Places of the columns that both kinds of histograms have.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the columns")]
pub struct Distribution {
    pub count: At,
    pub sum: At,
    pub min: At,
    pub max: At,
    pub has_sum: At,
    pub has_min: At,
    pub has_max: At,
}

/// Places of the columns of exemplars.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the columns")]
pub struct Exemplars {
    pub filtered_attributes: At,
    pub time_unix: At,
    pub value: At,
    pub span_id: At,
    pub trace_id: At,
    pub time_unix_nano: At,
}

/// Places of the columns of a table of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// What all kinds have.
    pub common: Common,
    /// Where its exemplars go; a summary has none.
    pub exemplars: Option<Exemplars>,
    /// Where the temporality goes, if the kind has one.
    pub aggregation_temporality: Option<At>,
    /// Where it is said whether it only grows, if the kind may.
    pub is_monotonic: Option<At>,
}

const fn common(list: &[Column]) -> Common {
    Common {
        resource_attributes: at(list, "ResourceAttributes"),
        resource_schema_url: at(list, "ResourceSchemaUrl"),
        scope_name: at(list, "ScopeName"),
        scope_version: at(list, "ScopeVersion"),
        scope_attributes: at(list, "ScopeAttributes"),
        scope_dropped_attr_count: at(list, "ScopeDroppedAttrCount"),
        scope_schema_url: at(list, "ScopeSchemaUrl"),
        service_name: at(list, "ServiceName"),
        metric_name: at(list, "MetricName"),
        metric_description: at(list, "MetricDescription"),
        metric_unit: at(list, "MetricUnit"),
        attributes: at(list, "Attributes"),
        start_time_unix: at(list, "StartTimeUnix"),
        time_unix: at(list, "TimeUnix"),
        flags: at(list, "Flags"),
        start_time_unix_nano: at(list, "StartTimeUnixNano"),
        time_unix_nano: at(list, "TimeUnixNano"),
        metric_metadata: at(list, "MetricMetadata"),
    }
}

const fn number(list: &[Column]) -> Number {
    Number { value: at(list, "Value"), value_int: at(list, "ValueInt") }
}

const fn distribution(list: &[Column]) -> Distribution {
    Distribution {
        count: at(list, "Count"),
        sum: at(list, "Sum"),
        min: at(list, "Min"),
        max: at(list, "Max"),
        has_sum: at(list, "HasSum"),
        has_min: at(list, "HasMin"),
        has_max: at(list, "HasMax"),
    }
}

const fn exemplars(list: &[Column]) -> Exemplars {
    Exemplars {
        filtered_attributes: at(list, "Exemplars.FilteredAttributes"),
        time_unix: at(list, "Exemplars.TimeUnix"),
        value: at(list, "Exemplars.Value"),
        span_id: at(list, "Exemplars.SpanId"),
        trace_id: at(list, "Exemplars.TraceId"),
        time_unix_nano: at(list, "Exemplars.TimeUnixNano"),
    }
}

/// Of a gauge.
pub const OF_GAUGE: Places = Places {
    common: common(GAUGE),
    exemplars: Some(exemplars(GAUGE)),
    aggregation_temporality: None,
    is_monotonic: None,
};
/// Of a sum.
pub const OF_SUM: Places = Places {
    common: common(SUM),
    exemplars: Some(exemplars(SUM)),
    aggregation_temporality: Some(at(SUM, "AggregationTemporality")),
    is_monotonic: Some(at(SUM, "IsMonotonic")),
};
/// Of a histogram.
pub const OF_HISTOGRAM: Places = Places {
    common: common(HISTOGRAM),
    exemplars: Some(exemplars(HISTOGRAM)),
    aggregation_temporality: Some(at(HISTOGRAM, "AggregationTemporality")),
    is_monotonic: None,
};
/// Of an exponential histogram.
pub const OF_EXPONENTIAL_HISTOGRAM: Places = Places {
    common: common(EXPONENTIAL_HISTOGRAM),
    exemplars: Some(exemplars(EXPONENTIAL_HISTOGRAM)),
    aggregation_temporality: Some(at(EXPONENTIAL_HISTOGRAM, "AggregationTemporality")),
    is_monotonic: None,
};
/// Of a summary.
pub const OF_SUMMARY: Places =
    Places { common: common(SUMMARY), exemplars: None, aggregation_temporality: None, is_monotonic: None };

/// The number of a gauge.
pub const GAUGE_NUMBER: Number = number(GAUGE);
/// The number of a sum.
pub const SUM_NUMBER: Number = number(SUM);
/// The distribution of a histogram.
pub const HISTOGRAM_DISTRIBUTION: Distribution = distribution(HISTOGRAM);
/// How many values lie in each bucket of a histogram.
pub const BUCKET_COUNTS: At = at(HISTOGRAM, "BucketCounts");
/// Where the buckets of a histogram end.
pub const EXPLICIT_BOUNDS: At = at(HISTOGRAM, "ExplicitBounds");
/// The distribution of an exponential histogram.
pub const EXPONENTIAL_DISTRIBUTION: Distribution = distribution(EXPONENTIAL_HISTOGRAM);
/// How fine its buckets are.
pub const SCALE: At = at(EXPONENTIAL_HISTOGRAM, "Scale");
/// How many of its values count as zero.
pub const ZERO_COUNT: At = at(EXPONENTIAL_HISTOGRAM, "ZeroCount");
/// How far from zero they may be.
pub const ZERO_THRESHOLD: At = at(EXPONENTIAL_HISTOGRAM, "ZeroThreshold");
/// Where its buckets of values above zero begin.
pub const POSITIVE_OFFSET: At = at(EXPONENTIAL_HISTOGRAM, "PositiveOffset");
/// How many values lie in each of them.
pub const POSITIVE_BUCKET_COUNTS: At = at(EXPONENTIAL_HISTOGRAM, "PositiveBucketCounts");
/// Where its buckets of values below zero begin.
pub const NEGATIVE_OFFSET: At = at(EXPONENTIAL_HISTOGRAM, "NegativeOffset");
/// How many values lie in each of them.
pub const NEGATIVE_BUCKET_COUNTS: At = at(EXPONENTIAL_HISTOGRAM, "NegativeBucketCounts");
/// How many values a summary is of.
pub const SUMMARY_COUNT: At = at(SUMMARY, "Count");
/// Their sum.
pub const SUMMARY_SUM: At = at(SUMMARY, "Sum");
/// The quantiles of a summary.
pub const QUANTILE: At = at(SUMMARY, "ValueAtQuantiles.Quantile");
/// Their values.
pub const QUANTILE_VALUE: At = at(SUMMARY, "ValueAtQuantiles.Value");
