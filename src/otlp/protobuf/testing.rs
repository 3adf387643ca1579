//! What the tests of all signals compare with: attributes by the specification, slow and simple, and any attributes.

use crate::otlp::proto::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as V};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

pub(super) fn expected_text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(V::StringValue(text)) => text.clone(),
        Some(V::DoubleValue(number)) if !number.is_finite() => expected_json(value).as_str().unwrap().to_owned(),
        Some(V::DoubleValue(number)) => expected_double(*number),
        Some(V::BytesValue(_)) => expected_json(value).as_str().unwrap().to_owned(),
        _ => expected_json(value).to_string(),
    }
}

pub(super) fn expected_double(number: f64) -> String {
    if number.abs() >= 1e21 {
        return format!("{number:e}").replace('e', "e+");
    }
    if number != 0.0 && number.abs() < 1e-6 { format!("{number:e}") } else { format!("{number}") }
}

pub(super) fn expected_json(value: Option<&AnyValue>) -> Json {
    use base64::Engine as _;
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(V::StringValueStrindex(_)) => Json::Null,
        Some(V::StringValue(text)) => text.as_str().into(),
        Some(V::BoolValue(bit)) => (*bit).into(),
        Some(V::IntValue(number)) => (*number).into(),
        Some(V::DoubleValue(number)) if number.is_nan() => "NaN".into(),
        Some(V::DoubleValue(number)) if number.is_infinite() => {
            if *number > 0.0 { "Infinity" } else { "-Infinity" }.into()
        }
        Some(V::DoubleValue(number)) => Json::Number(expected_double(*number).parse().unwrap()),
        Some(V::BytesValue(bytes)) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Some(V::ArrayValue(list)) => list.values.iter().map(|item| expected_json(Some(item))).collect(),
        Some(V::KvlistValue(list)) => Json::Object(
            list.values.iter().map(|entry| (entry.key.clone(), expected_json(entry.value.as_ref()))).collect(),
        ),
    }
}

pub(super) fn expected_map(attributes: &[KeyValue]) -> Json {
    let last = |(index, attribute): &(usize, &KeyValue)| {
        !attributes.iter().skip(index + 1).any(|later| later.key == attribute.key)
    };
    attributes.iter().enumerate().filter(last).map(|(_, a)| json!([a.key, expected_text(a.value.as_ref())])).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn all_of(attributes: &[KeyValue]) -> Json {
    attributes.iter().map(|a| json!([a.key, expected_text(a.value.as_ref())])).collect()
}

pub(super) fn text_attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(V::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

pub(super) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", "\\PC{0,20}", "[a-z]{150}"]
}

pub(super) fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        any_text().prop_map(|text| Some(V::StringValue(text))),
        any::<bool>().prop_map(|bit| Some(V::BoolValue(bit))),
        any::<i64>().prop_map(|number| Some(V::IntValue(number))),
        any::<f64>().prop_map(|number| Some(V::DoubleValue(number))),
        (-1000_i32..1000).prop_map(|number| Some(V::DoubleValue(f64::from(number) / 8.0))),
        vec(any::<u8>(), 0..10).prop_map(|bytes| Some(V::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AnyValue { value: Some(V::ArrayValue(ArrayValue { values })) }),
            proptest::collection::btree_map(any_text(), option::of(inner), 0..4).prop_map(|entries| {
                let values =
                    entries.into_iter().map(|(key, value)| KeyValue { key, value, ..KeyValue::default() }).collect();
                AnyValue { value: Some(V::KvlistValue(KeyValueList { values })) }
            }),
        ]
    })
}

pub(super) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let attribute = (prop_oneof!["[ab]", any_text()], option::of(any_value())).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    });
    vec(attribute, 0..6)
}

pub(super) fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![20 => vec(any::<u8>(), length), 1 => Just(vec![0; length]), 1 => vec(any::<u8>(), 0..length + 3)]
}

pub(super) fn time() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..=u64::try_from(i64::MAX).unwrap(), 1 => any::<u64>()]
}
