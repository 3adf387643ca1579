//! Spans as Native blocks in compressed frames, as Millrace sends them: for the exporter's table, and for ours.

use super::data::Span;
use millrace::columns::native::frames::compress_pieces;

/// Calls its argument with each pair of a map.
type EachPair = fn(&Span, &mut dyn FnMut(&str, &str));
/// Calls its argument with each text of an array.
type EachText = fn(&Span, &mut dyn FnMut(&str));

/// How a column's values are written.
#[derive(Clone, Copy)]
pub(crate) enum Put {
    /// Text.
    Text(fn(&Span) -> &str),
    /// A number of fixed width.
    Number(fn(&Span, &mut Vec<u8>)),
    /// The same, or unknown.
    Known(fn(&Span, &mut Vec<u8>) -> bool, usize),
    /// A map of texts.
    Map(EachPair),
    /// An array of texts.
    Texts(EachText),
    /// An empty array: offsets and nothing.
    Empty,
}

/// A column of the blocks.
pub(crate) struct Wire {
    pub(crate) name: &'static str,
    pub(crate) wire_type: &'static str,
    pub(crate) put: Put,
}

const fn wire(name: &'static str, wire_type: &'static str, put: Put) -> Wire {
    Wire { name, wire_type, put }
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn text(value: &str, out: &mut Vec<u8>) {
    varint(value.len(), out);
    out.extend_from_slice(value.as_bytes());
}

fn ends(rows: &[Span], out: &mut Vec<u8>, mut count: impl FnMut(&Span) -> u64) {
    let mut end = 0;
    for row in rows {
        end += count(row);
        out.extend_from_slice(&end.to_le_bytes());
    }
}

fn put(column: &Wire, rows: &[Span], out: &mut Vec<u8>) {
    match column.put {
        Put::Text(of) => rows.iter().for_each(|row| text(of(row), out)),
        Put::Number(of) => rows.iter().for_each(|row| of(row, out)),
        Put::Known(of, width) => {
            let (mut unknown, mut values) = (Vec::new(), Vec::new());
            for row in rows {
                let is_known = of(row, &mut values);
                if !is_known {
                    values.resize(values.len() + width, 0);
                }
                unknown.push(u8::from(!is_known));
            }
            out.append(&mut unknown);
            out.append(&mut values);
        }
        Put::Map(each) => {
            ends(rows, out, |row| {
                let mut count = 0;
                each(row, &mut |_, _| count += 1);
                count
            });
            rows.iter().for_each(|row| each(row, &mut |key, _| text(key, out)));
            rows.iter().for_each(|row| each(row, &mut |_, value| text(value, out)));
        }
        Put::Texts(each) => {
            ends(rows, out, |row| {
                let mut count = 0;
                each(row, &mut |_| count += 1);
                count
            });
            rows.iter().for_each(|row| each(row, &mut |value| text(value, out)));
        }
        Put::Empty => rows.iter().for_each(|_| out.extend_from_slice(&[0; 8])),
    }
}

/// One block in frames, each of at most a mebibyte.
pub(crate) fn encode<'a>(columns: impl Iterator<Item = &'a Wire> + Clone, rows: &[Span]) -> Vec<u8> {
    let (mut block, mut frames) = (Vec::new(), Vec::new());
    varint(columns.clone().count(), &mut block);
    varint(rows.len(), &mut block);
    for column in columns {
        text(column.name, &mut block);
        text(column.wire_type, &mut block);
        put(column, rows, &mut block);
    }
    block.chunks(1 << 20).for_each(|piece| compress_pieces(piece, &mut frames));
    frames
}

/// The exporter's columns, content among the attributes.
pub(crate) const STOCK: &[Wire] = &[
    wire("Timestamp", "DateTime64(9)", Put::Number(|s, out| out.extend_from_slice(&s.start.to_le_bytes()))),
    wire("TraceId", "String", Put::Text(|s| &s.trace)),
    wire("SpanId", "String", Put::Text(|s| &s.id)),
    wire("ParentSpanId", "String", Put::Text(|s| &s.parent)),
    wire("TraceState", "String", Put::Text(|_| "")),
    wire("SpanName", "String", Put::Text(|s| &s.name)),
    wire("SpanKind", "String", Put::Text(|s| s.kind)),
    wire("ServiceName", "String", Put::Text(|s| &s.service)),
    wire("ResourceAttributes", "Map(String, String)", Put::Map(resource)),
    wire("ScopeName", "String", Put::Text(|s| s.scope)),
    wire("ScopeVersion", "String", Put::Text(|_| "2.9.0")),
    wire("SpanAttributes", "Map(String, String)", Put::Map(all_attributes)),
    wire("Duration", "UInt64", Put::Number(|s, out| out.extend_from_slice(&s.duration.to_le_bytes()))),
    wire("StatusCode", "String", Put::Text(|s| s.status)),
    wire("StatusMessage", "String", Put::Text(|s| s.status_message)),
    wire("Events.Timestamp", "Array(DateTime64(9))", Put::Empty),
    wire("Events.Name", "Array(String)", Put::Empty),
    wire("Events.Attributes", "Array(Map(String, String))", Put::Empty),
    wire("Links.TraceId", "Array(String)", Put::Empty),
    wire("Links.SpanId", "Array(String)", Put::Empty),
    wire("Links.TraceState", "Array(String)", Put::Empty),
    wire("Links.Attributes", "Array(Map(String, String))", Put::Empty),
];

fn resource(span: &Span, each: &mut dyn FnMut(&str, &str)) {
    span.resource.iter().for_each(|(key, value)| each(key, value));
}

fn attributes(span: &Span, each: &mut dyn FnMut(&str, &str)) {
    span.attributes.iter().for_each(|(key, value)| each(key, value));
}

fn all_attributes(span: &Span, each: &mut dyn FnMut(&str, &str)) {
    attributes(span, each);
    if let Some(call) = &span.call {
        each("gen_ai.input.messages", &call.input);
        each("gen_ai.output.messages", &call.output);
        each("gen_ai.system_instructions", &call.system);
        each("gen_ai.tool.definitions", call.tools);
    }
}

macro_rules! of_call {
    ($field:ident) => {
        Put::Text(|s| s.call.as_ref().map_or("", |call| call.$field.as_ref()))
    };
}

macro_rules! known {
    ($value:expr, $width:literal) => {
        Put::Known(
            |s, out| {
                let Some(call) = &s.call else { return false };
                let value: fn(&super::data::Call) -> u64 = $value;
                let mut bytes = [0; $width];
                for (to, from) in bytes.iter_mut().zip(value(call).to_le_bytes()) {
                    *to = from;
                }
                out.extend_from_slice(&bytes);
                true
            },
            $width,
        )
    };
}

const UNKNOWN: Put = Put::Known(|_, _| false, 8);
const NOTHING: Put = Put::Text(|_| "");
const NO_MAP: Put = Put::Map(|_, _| ());

/// What our blocks always have besides, content not among the attributes.
pub(crate) const OURS: &[Wire] = &[
    wire("SpanAttributes", "Map(String, String)", Put::Map(attributes)),
    wire(
        "SegmentId",
        "UUID",
        Put::Number(|s, out| {
            out.extend_from_slice(&(s.start / 1_000_000_000 / 60).to_le_bytes());
            out.extend_from_slice(&0x4000_1234_5678_9abc_u64.to_le_bytes());
        }),
    ),
    wire("Workspace", "String", Put::Text(|_| "default")),
    wire("SpanFlags", "UInt32", Put::Number(|_, out| out.extend_from_slice(&[1, 1, 0, 0]))),
    wire("ScopeAttributes", "Map(String, String)", NO_MAP),
    wire("ResourceSchemaUrl", "String", Put::Text(|_| "https://opentelemetry.io/schemas/1.37.0")),
    wire("ScopeSchemaUrl", "String", NOTHING),
];

/// What they have when one of their rows is a GenAI span.
pub(crate) const GENAI: &[Wire] = &[
    wire("RawRequest", "String", NOTHING),
    wire("RawResponse", "String", NOTHING),
    wire("SessionId", "String", of_call!(session)),
    wire("ConversationId", "String", of_call!(session)),
    wire("UserId", "String", of_call!(user)),
    wire("Operation", "String", Put::Text(|s| if s.call.is_some() { "chat" } else { "" })),
    wire("Provider", "String", of_call!(provider)),
    wire("RequestModel", "String", of_call!(model)),
    wire("ResponseModel", "String", of_call!(model)),
    wire("ResponseId", "String", of_call!(response_id)),
    wire("FinishReasons", "Array(String)", Put::Texts(finish_reasons)),
    wire("FinishReasonsNormalized", "Array(String)", Put::Texts(finish_reasons)),
    wire("InputTokens", "Nullable(UInt64)", known!(|call| call.input_tokens, 8)),
    wire("OutputTokens", "Nullable(UInt64)", known!(|call| call.output_tokens, 8)),
    wire("CacheReadTokens", "Nullable(UInt64)", known!(|call| call.cached_tokens, 8)),
    wire("CacheWriteTokens", "Nullable(UInt64)", UNKNOWN),
    wire("ReasoningTokens", "Nullable(UInt64)", UNKNOWN),
    wire("InputAudioTokens", "Nullable(UInt64)", UNKNOWN),
    wire("OutputAudioTokens", "Nullable(UInt64)", UNKNOWN),
    wire("CostTotal", "Nullable(Decimal(18, 12))", known!(|call| call.cost_input + call.cost_output, 8)),
    wire("CostInput", "Nullable(Decimal(18, 12))", known!(|call| call.cost_input, 8)),
    wire("CostOutput", "Nullable(Decimal(18, 12))", known!(|call| call.cost_output, 8)),
    wire("CostSource", "String", Put::Text(|s| if s.call.is_some() { "response" } else { "" })),
    wire("TimeToFirstToken", "Nullable(UInt64)", known!(|call| call.first_token, 8)),
    wire("Streaming", "Nullable(Bool)", known!(|_| 1, 1)),
    wire("ToolName", "String", NOTHING),
    wire("ToolCallId", "String", NOTHING),
    wire("AgentName", "String", NOTHING),
    wire("WorkflowName", "String", NOTHING),
    wire("ErrorType", "String", NOTHING),
    wire("ErrorMessage", "String", NOTHING),
    wire(
        "RequestParameters",
        "Map(String, String)",
        Put::Map(|s, each| {
            if s.call.is_some() {
                each("temperature", "0.7");
            }
        }),
    ),
    wire("InputMessages", "String", of_call!(input)),
    wire("OutputMessages", "String", of_call!(output)),
    wire("ToolDefinitions", "String", of_call!(tools)),
    wire("SystemPrompt", "String", of_call!(system)),
    wire("ContentAttributes", "Map(String, String)", NO_MAP),
    wire("TimingQuality", "String", NOTHING),
    wire("JoinState", "String", NOTHING),
];

fn finish_reasons(span: &Span, each: &mut dyn FnMut(&str)) {
    if span.call.is_some() {
        each("stop");
    }
}

/// Columns of our blocks; `with_genai` when a row needs them, or to see what leaving them out saves.
pub(crate) fn ours(with_genai: bool) -> impl Iterator<Item = &'static Wire> + Clone {
    let standard = STOCK.iter().filter(|column| column.name != "SpanAttributes");
    standard.chain(OURS).chain(if with_genai { GENAI } else { &[] })
}
