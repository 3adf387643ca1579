//! Records as their blocks have them.

use super::*;
use crate::columns::logs;
use crate::columns::native::encode::encode_block;
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;
use serde_json::{Value, json};

fn time(nanos: u64) -> UnixNanos {
    UnixNanos::new(nanos).unwrap()
}

fn add(records: &mut Records, body: &str, attributes: &[(&str, &str)], nanos: u64) {
    records.fixed(logs::TIMESTAMP, time(nanos).nanos().to_le_bytes());
    records.text(logs::BODY, body.as_bytes());
    for (key, value) in attributes {
        records.entry(logs::LOG_ATTRIBUTES, key.as_bytes(), value.as_bytes());
    }
    let content = u128::try_from(body.len()).unwrap();
    records.finish(time(nanos), content).unwrap();
}

fn shown(groups: &[&Records]) -> Vec<Value> {
    let mut bytes = Vec::new();
    encode_block(groups, SegmentId::new(1, 2), &mut bytes);
    let (block, rest) = Block::parse(&bytes).unwrap();
    assert!(rest.is_empty());
    (0..block.rows()).map(|row| block.row_json(row).unwrap()).collect()
}

#[test]
fn rows_are_what_was_put_into_them_and_empty_elsewhere() {
    let (mut one, mut other) =
        (Records::new(Table::Logs, Workspace::default()), Records::new(Table::Logs, Workspace::default()));
    add(&mut one, "a", &[], 1_000_000_000);
    add(&mut one, "b", &[("k", "1"), ("l", "2")], 2_000_000_000);
    add(&mut one, "c", &[], 3_000_000_000);
    add(&mut other, "d", &[("m", "3")], 4_000_000_000);
    let rows = shown(&[&one, &other]);
    let bodies: Vec<_> = rows.iter().map(|row| &row["Body"]).collect();
    assert_eq!(bodies, ["a", "b", "c", "d"]);
    let attributes: Vec<_> = rows.iter().map(|row| row["LogAttributes"].clone()).collect();
    assert_eq!(attributes, [json!({}), json!({"k": "1", "l": "2"}), json!({}), json!({"m": "3"})]);
    assert!(rows.iter().all(|row| row["Workspace"] == "default" && row["SeverityNumber"] == 0));
}

#[test]
fn a_row_that_is_rolled_back_leaves_nothing() {
    let mut records = Records::new(Table::Logs, Workspace::default());
    add(&mut records, "a", &[("k", "1")], 1);
    let before = shown(&[&records]);
    for attributes in 0..2 {
        records.text(logs::BODY, b"gone");
        records.fixed(logs::SEVERITY_NUMBER, [9]);
        (0..attributes).for_each(|_| records.entry(logs::LOG_ATTRIBUTES, b"gone", b"gone"));
        records.roll_back();
        assert_eq!(shown(&[&records]), before);
    }
    add(&mut records, "b", &[("l", "2")], 2);
    assert_eq!(shown(&[&records]).len(), 2);
    assert_eq!(shown(&[&records])[1]["LogAttributes"], json!({"l": "2"}));
}

#[test]
fn some_of_the_rows_are_the_rows_without_the_others() {
    let mut records = Records::new(Table::Logs, Workspace::default());
    const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;
    for row in 0..6 {
        let attributes: &[(&str, &str)] = if row % 2 == 1 { &[("k", "v")] } else { &[] };
        add(&mut records, &"x".repeat(row), attributes, DAY * u64::try_from(row).unwrap() / 2);
    }
    let all = shown(&[&records]);
    let some = records.without(&[0, 3, 5]);
    assert_eq!(shown(&[&some]), [&all[1], &all[2], &all[4]].map(Clone::clone));
    assert_eq!((some.rows(), some.days()), (3, &[0, 1, 2][..]));
    assert_eq!(some.identities(), [1, 2, 4].map(|row: usize| records.identities()[row]));
    assert_eq!(shown(&[&records.rows_at(1..3)]), all[1..3]);
}

#[test]
fn equal_records_are_told_apart_by_their_order_and_known_again_by_it() {
    let request = || {
        let mut records = Records::new(Table::Logs, Workspace::default());
        ["tick", "tick", "other"].into_iter().for_each(|body| add(&mut records, body, &[], 1));
        records
    };
    let (first, again) = (request(), request());
    assert_eq!(first.identities(), again.identities());
    assert_ne!(first.identities()[0], first.identities()[1]);
    assert_eq!(first.identities()[0], 4);
}

#[test]
fn a_block_takes_no_more_than_was_counted() {
    let mut records = Records::new(Table::Logs, Workspace::default());
    for row in 0..20 {
        let attributes: &[(&str, &str)] = if row % 3 == 1 { &[("key", "a value"), ("another", "")] } else { &[] };
        add(&mut records, &"body".repeat(row * 10), attributes, 5);
    }
    let mut bytes = Vec::new();
    encode_block(&[&records], SegmentId::new(1, 2), &mut bytes);
    let (block, _) = Block::parse(&bytes).unwrap();
    let header: usize = block.columns.iter().map(|column| 2 + column.name.len() + column.type_text.len()).sum();
    assert!(bytes.len() <= records.counted_bytes() + header + 2, "{} > {}", bytes.len(), records.counted_bytes());
}

/// Maps lag: the one that entries are moved from may have fewer rows than the one that they are moved to.
#[test]
fn moving_entries_of_some_rows_keeps_what_others_have() {
    let mut records = Records::new(Table::Logs, Workspace::default());
    for (attributes, content) in [(&[("app.prompt", "p"), ("n", "1")][..], ""), (&[], "said")] {
        for (key, value) in attributes {
            records.entry(logs::LOG_ATTRIBUTES, key.as_bytes(), value.as_bytes());
        }
        if !content.is_empty() {
            records.entry(logs::CONTENT_ATTRIBUTES, b"body", content.as_bytes());
        }
        records.finish(time(1), 1).unwrap();
    }
    records.move_entries(logs::LOG_ATTRIBUTES, logs::CONTENT_ATTRIBUTES, |key| key == b"app.prompt");
    let rows = shown(&[&records]);
    let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<Vec<_>>();
    assert_eq!(of("LogAttributes"), [json!({"n": "1"}), json!({})]);
    assert_eq!(of("ContentAttributes"), [json!({"app.prompt": "p"}), json!({"body": "said"})]);
}
