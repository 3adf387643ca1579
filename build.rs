//! Generates what the readers of OTLP need to know of its messages from the .proto files of the pinned version, without a
//! `protoc` on the machine (protox parses them), so that no field number, wire type or JSON name is typed by hand:
//!
//! ```text
//! proto/  ->  otlp_protobuf.rs   an enum for each message: its fields by number, each with its wire type
//!         ->  otlp_json.rs       a table for each message: its fields by JSON name, and how their values are written
//! ```
//!
//! The messages themselves are `opentelemetry-proto`'s; requests are decoded straight into columns instead.
//!
//! And it lists the files of the page, if `make page` has built them: `page/dist -> page_files.rs`. It never runs npm.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const PROTO_ROOT: &str = "proto";
/// The page as it is served; in a clone there is nothing but a note.
const PAGE: &str = "page/dist";
const SERVICES: [&str; 3] = [
    "proto/opentelemetry/proto/collector/trace/v1/trace_service.proto",
    "proto/opentelemetry/proto/collector/logs/v1/logs_service.proto",
    "proto/opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
];
const REQUESTS: [&str; 3] = [
    ".opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
    ".opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
    ".opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest",
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    println!("cargo:rerun-if-changed={PAGE}");
    println!("cargo:rerun-if-changed=build.rs");
    let files = protox::compile(SERVICES, [PROTO_ROOT])?;
    let schema = Schema::of(&files);
    let (mut protobuf, mut json) = (String::new(), String::new());
    let mut enums = BTreeSet::new();
    for name in schema.reachable_from(&REQUESTS)? {
        let message = schema.message(&name)?;
        put_protobuf(&name, message, &mut protobuf)?;
        put_json(&name, message, &mut json)?;
        enums.extend(message.field.iter().filter(|field| field.r#type() == Type::Enum).map(|field| field.type_name()));
    }
    for name in enums {
        put_enum(name, schema.values(name)?, &mut json)?;
    }
    let out = out_dir()?;
    fs::write(out.join("otlp_protobuf.rs"), protobuf)?;
    fs::write(out.join("otlp_json.rs"), json)?;
    fs::write(out_dir()?.join("page_files.rs"), page_files()?)?;
    Ok(())
}

/// The table of the page's files, with their bytes. `index.html` is a text of its own, and compressed forms belong to the file of their name.
fn page_files() -> Result<String> {
    let root = fs::canonicalize(PAGE)?;
    let mut names: Vec<String> = Vec::new();
    let assets = root.join("assets");
    if assets.is_dir() {
        for entry in fs::read_dir(&assets)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let index = root.join("index.html");
    let mut out = if index.is_file() {
        format!("static INDEX: Option<&str> = Some(include_str!({index:?}));\n")
    } else {
        "static INDEX: Option<&str> = None;\n".to_owned()
    };
    out.push_str("static FILES: &[File] = &[\n");
    for name in names.iter().filter(|name| !name.ends_with(".br") && !name.ends_with(".gz")) {
        let bytes = |path: &Path| format!("include_bytes!({path:?})");
        let form = |ending: &str| {
            let path = assets.join(format!("{name}{ending}"));
            if path.is_file() { format!("Some({})", bytes(&path)) } else { "None".to_owned() }
        };
        writeln!(
            out,
            "    File {{ name: {name:?}, media_type: {:?}, plain: {}, gzip: {}, brotli: {} }},",
            media_type(name)?,
            bytes(&assets.join(name)),
            form(".gz"),
            form(".br")
        )?;
    }
    out.push_str("];\n");
    Ok(out)
}

fn media_type(name: &str) -> Result<&'static str> {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        Some("woff2") => Ok("font/woff2"),
        Some("txt") => Ok("text/plain; charset=utf-8"),
        _ => Err(format!("{name}: the page has a file of a kind that is not served").into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo names the directory so, and nothing else")]
fn out_dir() -> Result<PathBuf> {
    Ok(std::env::var("OUT_DIR")?.into())
}

/// Messages and enums by their full names, which begin with a dot.
#[derive(Default)]
struct Schema<'f> {
    messages: BTreeMap<String, &'f DescriptorProto>,
    enums: BTreeMap<String, &'f EnumDescriptorProto>,
}

impl<'f> Schema<'f> {
    fn of(files: &'f FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        for file in &files.file {
            let package = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| schema.add_message(&package, message));
            file.enum_type.iter().for_each(|values| schema.add_enum(&package, values));
        }
        schema
    }

    fn add_message(&mut self, scope: &str, message: &'f DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add_message(&name, nested));
        message.enum_type.iter().for_each(|values| self.add_enum(&name, values));
        self.messages.insert(name, message);
    }

    fn add_enum(&mut self, scope: &str, values: &'f EnumDescriptorProto) {
        self.enums.insert(format!("{scope}.{}", values.name()), values);
    }

    fn message(&self, name: &str) -> Result<&'f DescriptorProto> {
        self.messages.get(name).copied().ok_or_else(|| format!("no message {name}").into())
    }

    fn values(&self, name: &str) -> Result<&'f EnumDescriptorProto> {
        self.enums.get(name).copied().ok_or_else(|| format!("no enum {name}").into())
    }

    /// The messages of which these requests consist.
    fn reachable_from(&self, requests: &[&str]) -> Result<Vec<String>> {
        let mut found: Vec<String> = requests.iter().map(|name| (*name).to_owned()).collect();
        let mut looked_at = 0;
        while let Some(name) = found.get(looked_at) {
            for field in &self.message(name)?.field {
                if field.r#type() == Type::Message && !found.iter().any(|known| known == field.type_name()) {
                    found.push(field.type_name().to_owned());
                }
            }
            looked_at += 1;
        }
        Ok(found)
    }
}

fn put_protobuf(full_name: &str, message: &DescriptorProto, out: &mut String) -> Result<()> {
    let name = message.name();
    writeln!(out, "/// The fields of `{}`.", full_name.trim_start_matches('.'))?;
    writeln!(out, "#[derive(Debug, Clone, Copy)]\npub(crate) enum {name}<'a> {{")?;
    for field in &message.field {
        writeln!(out, "    /// `{} = {}`", field.name(), field.number())?;
        writeln!(out, "    {}({}<'a>),", camel(field.name()), wire_type(field)?)?;
    }
    writeln!(out, "    /// One that this version of OTLP does not have.\n    Unknown,\n}}\n")?;
    writeln!(out, "impl<'a> {name}<'a> {{")?;
    writeln!(out, "    /// The field with this number and value.\n    #[inline(always)]")?;
    writeln!(out, "    pub(crate) fn of((number, value): (u32, Value<'a>)) -> Self {{\n        match number {{")?;
    for field in &message.field {
        let (number, variant) = (field.number(), camel(field.name()));
        writeln!(out, "            {number} => Self::{variant}({}(value)),", wire_type(field)?)?;
    }
    writeln!(out, "            _ => Self::Unknown,\n        }}\n    }}\n}}\n")?;
    Ok(())
}

/// How a field's value lies in protobuf; numbers of a list may lie packed. Source: protobuf documentation, "Encoding".
fn wire_type(field: &FieldDescriptorProto) -> Result<&'static str> {
    let is_list = field.label() == Label::Repeated;
    Ok(match field.r#type() {
        Type::String | Type::Bytes | Type::Message => "LengthDelimited",
        Type::Uint64 if is_list => "Varints",
        Type::Fixed64 | Type::Double if is_list => "Fixed64s",
        other if is_list => return Err(format!("{}: no reader for a list of {other:?}", field.name()).into()),
        Type::Bool | Type::Enum | Type::Int32 | Type::Int64 | Type::Uint32 => "Varint",
        Type::Sint32 => "ZigZag",
        Type::Fixed64 | Type::Sfixed64 | Type::Double => "Fixed64",
        Type::Fixed32 => "Fixed32",
        other => return Err(format!("{}: no reader for {other:?}", field.name()).into()),
    })
}

fn put_json(full_name: &str, message: &DescriptorProto, out: &mut String) -> Result<()> {
    let (name, count) = (screaming(message.name()), message.field.len());
    writeln!(out, "/// `{}`", full_name.trim_start_matches('.'))?;
    writeln!(out, "pub(crate) static {name}: [Field; {count}] = [")?;
    for field in &message.field {
        let (json_name, proto_name, number, kind) = (field.json_name(), field.name(), field.number(), kind(field)?);
        writeln!(
            out,
            "    Field {{ name: {json_name:?}, proto_name: {proto_name:?}, number: {number}, kind: {kind} }},"
        )?;
    }
    writeln!(out, "];\n")?;
    Ok(())
}

fn put_enum(full_name: &str, values: &EnumDescriptorProto, out: &mut String) -> Result<()> {
    let (name, count) = (screaming(values.name()), values.value.len());
    writeln!(out, "/// `{}`", full_name.trim_start_matches('.'))?;
    writeln!(out, "static {name}: [(&str, i32); {count}] = [")?;
    for value in &values.value {
        writeln!(out, "    ({:?}, {}),", value.name(), value.number())?;
    }
    writeln!(out, "];\n")?;
    Ok(())
}

/// How a field's value is written in JSON.
fn kind(field: &FieldDescriptorProto) -> Result<String> {
    let is_list = field.label() == Label::Repeated;
    if field.r#type() == Type::Message {
        let kind = if is_list { "Repeated" } else { "Message" };
        return Ok(format!("Kind::{kind}(&{})", screaming(last_part(field.type_name()))));
    }
    let scalar = match field.r#type() {
        Type::String => "Text".to_owned(),
        Type::Bytes if is_id(field.name()) => "HexId".to_owned(),
        Type::Bytes => "Base64".to_owned(),
        Type::Bool => "Bool".to_owned(),
        Type::Enum => format!("Enum(&{})", screaming(last_part(field.type_name()))),
        Type::Int32 => "Int32".to_owned(),
        Type::Int64 => "Int64".to_owned(),
        Type::Uint32 => "Uint32".to_owned(),
        Type::Uint64 => "Uint64".to_owned(),
        Type::Sint32 => "Sint32".to_owned(),
        Type::Sfixed64 => "Sfixed64".to_owned(),
        Type::Fixed64 => "Fixed64".to_owned(),
        Type::Fixed32 => "Fixed32".to_owned(),
        Type::Double => "Double".to_owned(),
        other => return Err(format!("{}: no reader for {other:?}", field.name()).into()),
    };
    Ok(format!("Kind::{}(Scalar::{scalar})", if is_list { "Scalars" } else { "Scalar" }))
}

/// Ids are hex, where the protobuf mapping would have base64. Source: OTLP specification, "JSON Protobuf Encoding".
fn is_id(name: &str) -> bool {
    name.ends_with("trace_id") || name.ends_with("span_id")
}

fn last_part(full_name: &str) -> &str {
    full_name.rsplit_once('.').map_or(full_name, |(_, name)| name)
}

/// `start_time` -> `StartTime`
fn camel(name: &str) -> String {
    let capitalized = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(capitalized).collect()
}

/// `SpanKind` -> `SPAN_KIND`
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}
