//! A request by a resource attribute: one request for each of its values, in the order in which they come.
//!
//! Source: OTLP 1.11.0, trace.proto, logs.proto, metrics.proto: field 1 of a request is a resource with what is of it, whatever the signal.

use super::fields;
use super::value::text_of;
use super::walk::{each_field, only};
use super::wire::{Fields, LengthDelimited};
use super::write::put_bytes;
use crate::otlp::error::{DecodeError, Part};
use crate::otlp::signal::Signal;
use std::borrow::Cow;
use std::collections::HashMap;

/// Fields of a `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// The field of an `AnyValue` that is a text.
const STRING_VALUE: u32 = 1;

/// A request of resources that have one value of the attribute, or none.
#[derive(Debug, PartialEq, Eq)]
pub struct PartOfRequest<'r> {
    /// The value, if they have the attribute as a text.
    pub value: Option<String>,
    /// A request in protobuf.
    pub request: Cow<'r, [u8]>,
}

/// The parts of a request in protobuf by the attribute `key` of its resources; at least one.
///
/// # Errors
/// If its resources cannot be told apart.
pub fn parts_by_attribute<'r>(
    request: &'r [u8],
    signal: Signal,
    key: &str,
) -> Result<Vec<PartOfRequest<'r>>, DecodeError> {
    let mut resources: Vec<(Option<&[u8]>, &[u8])> = Vec::new();
    each_field(request, Part::Request(signal), only!(ExportTraceServiceRequest::ResourceSpans), |message| {
        resources.push((value_of(message, signal, key.as_bytes())?, message));
        Ok(())
    })?;
    let text = |value: Option<&[u8]>| {
        value.map(|bytes| text_of(bytes)).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let first = resources.first().and_then(|(value, _)| *value);
    if resources.iter().all(|(value, _)| *value == first) {
        return Ok(vec![PartOfRequest { value: text(first), request: Cow::Borrowed(request) }]);
    }
    let (mut places, mut parts) = (HashMap::new(), Vec::<(Option<&[u8]>, Vec<u8>)>::new());
    for (value, message) in resources {
        let place = *places.entry(value).or_insert(parts.len());
        if place == parts.len() {
            parts.push((value, Vec::new()));
        }
        let (_, part) = parts.get_mut(place).expect("a place is that of a part");
        put_bytes(part, 1, message);
    }
    Ok(parts.into_iter().map(|(value, part)| PartOfRequest { value: text(value), request: Cow::Owned(part) }).collect())
}

/// The attribute of a resource; the last one, as everywhere, if it is there again.
fn value_of<'r>(message: &'r [u8], signal: Signal, key: &[u8]) -> Result<Option<&'r [u8]>, DecodeError> {
    let mut found = None;
    each_field(message, Part::OfResource(signal), only!(ResourceSpans::Resource), |resource| {
        each_field(resource, Part::Resource, only!(Resource::Attributes), |attribute| {
            if let Some((name, value)) = entry(attribute)?
                && name == key
            {
                found = value;
            }
            Ok(())
        })
    })?;
    Ok(found)
}

/// A key, and its value if that is a text.
type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// The entry that an attribute is.
fn entry(attribute: &[u8]) -> Result<Option<Entry<'_>>, DecodeError> {
    let (mut key, mut value) = (None, None);
    let mut unread = Fields::new(attribute);
    while let Some(field) = unread.next().map_err(Part::Resource.is())? {
        match field {
            (KEY, text) => key = Some(LengthDelimited(text).get().map_err(Part::Resource.is())?),
            (VALUE, message) => {
                let message = LengthDelimited(message).get().map_err(Part::Resource.is())?;
                let is_text = |(number, text)| (number == STRING_VALUE).then_some(LengthDelimited(text));
                each_field(message, Part::Resource, is_text, |text| {
                    value = Some(text);
                    Ok(())
                })?;
            }
            _ => {}
        }
    }
    Ok(key.map(|key| (key, value)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::text_attribute;
    use super::*;
    use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
    use crate::otlp::proto::resource::v1::Resource;
    use crate::otlp::proto::trace::v1::ResourceSpans;
    use prost::Message as _;

    fn of(team: Option<&str>, url: &str) -> ResourceSpans {
        let attributes = [("a", "b")].into_iter().chain(team.map(|team| ("team", team)));
        let attributes = attributes.map(|(key, value)| text_attribute(key, value)).collect();
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceSpans { resource, schema_url: url.to_owned(), ..ResourceSpans::default() }
    }

    fn parts(resources: &[ResourceSpans]) -> Vec<(Option<String>, Vec<String>)> {
        let request = ExportTraceServiceRequest { resource_spans: resources.to_vec() }.encode_to_vec();
        let parts = parts_by_attribute(&request, Signal::Traces, "team").unwrap();
        let urls = |part: &PartOfRequest<'_>| {
            let part = ExportTraceServiceRequest::decode(&*part.request).unwrap();
            part.resource_spans.into_iter().map(|resource| resource.schema_url).collect()
        };
        parts.iter().map(|part| (part.value.clone(), urls(part))).collect()
    }

    #[test]
    fn resources_of_one_value_are_one_request_in_their_order() {
        let text = |text: &str| Some(text.to_owned());
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parts(&[of(Some("x"), "1"), of(None, "2"), of(Some("y"), "3"), of(Some("x"), "4")]),
            [(text("x"), urls(&["1", "4"])), (None, urls(&["2"])), (text("y"), urls(&["3"]))]
        );
        assert_eq!(parts(&[of(Some("x"), "1"), of(Some("x"), "2")]), [(text("x"), urls(&["1", "2"]))]);
        assert_eq!(parts(&[of(None, "1"), ResourceSpans::default()]), [(None, urls(&["1", ""]))]);
        assert_eq!(parts(&[]), [(None, urls(&[]))]);
    }

    #[test]
    fn what_is_cut_off_is_no_request() {
        let request =
            ExportTraceServiceRequest { resource_spans: vec![of(Some("x"), "1"), of(Some("y"), "")] }.encode_to_vec();
        for length in 0..request.len() {
            let _told_apart_or_not = parts_by_attribute(&request[..length], Signal::Traces, "team");
        }
        assert!(parts_by_attribute(&request[..request.len() - 1], Signal::Traces, "team").is_err());
    }
}
