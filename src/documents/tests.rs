//! What of documents can be told without a service.

use super::check::{Check, Path};
use super::ids;
use crate::json::document::Document;

#[test]
fn the_parts_of_a_name_do_not_run_into_each_other() {
    assert_ne!(ids::span(["ab", "c"]), ids::span(["a", "bc"]));
    assert_ne!(ids::trace(["ab", "c"]), ids::trace(["a", "bc"]));
    assert_eq!(ids::span(["a"]), ids::span(["a"]));
}

#[test]
fn a_time_has_an_offset_or_is_of_utc() {
    let nanos = |text: &str, needs_offset: bool| {
        let text = serde_json::json!({"at": text}).to_string();
        let document = Document::parse(text).unwrap();
        let mut check = Check::default();
        let at = check.time(Path::ROOT, document.root(), "at", needs_offset);
        check.finish().ok().and(at).map(|at| at.nanos() / 1_000_000)
    };
    for text in ["2026-03-02T09:00:00.5Z", "2026-03-02T10:00:00.5+01:00", "2026-03-02 09:00:00.500000"] {
        assert_eq!(nanos(text, false), Some(1_772_442_000_500), "{text}");
    }
    assert_eq!(nanos("2026-03-02T09:00:00", true), None);
    for text in ["", "now", "1960-01-01T00:00:00Z", "2026-13-01T00:00:00Z"] {
        assert_eq!(nanos(text, false), None, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_whole_path() {
    let document = Document::parse(r#"{"a": [{"b": 1, "c": 2}]}"#).unwrap();
    let mut check = Check::default();
    let root = Path::ROOT;
    let (list, one) = (root.name("a"), document.root().get("a").unwrap().items().next().unwrap());
    check.object(list.index(0), one, &["b"]);
    check.text(list.index(0), one, "b");
    let errors = check.finish().unwrap_err().to_string();
    assert_eq!(errors, "body.a.0.c: Extra inputs are not permitted; body.a.0.b: Input should be a valid string");
}
