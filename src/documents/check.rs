//! The members of a document, read one after the other; what is wrong with them is noted with its path, in pydantic's words.

use crate::chat::{Found, Loc, ValidationErrors};
use crate::genai::cost::Usd;
use crate::json::document::Value;
use jiff::Timestamp;
use std::borrow::Cow;

use crate::time::UnixNanos;

/// Unknown members that are told of one document that may have some.
const UNKNOWN_MAX: usize = 20;

/// Where in a document something is. It becomes a list only when something is wrong there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'p> {
    up: Option<&'p Path<'p>>,
    here: Here<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Here<'p> {
    Root,
    Name(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(super) const ROOT: Path<'static> = Path { up: None, here: Here::Root };

    pub(super) fn name(&'p self, name: &'p str) -> Path<'p> {
        Path { up: Some(self), here: Here::Name(name) }
    }

    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path { up: Some(self), here: Here::Index(index) }
    }

    fn locs(&self) -> Vec<Loc> {
        let mut locs = self.up.map_or_else(Vec::new, |up| up.locs());
        match self.here {
            Here::Root => {}
            Here::Name(name) => locs.push(Loc::given(name)),
            Here::Index(index) => locs.push(index.into()),
        }
        locs
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    found: Found,
    /// Whether members that nobody knows are kept in mind instead of refused.
    pub(super) is_lenient: bool,
    /// Those members, by name.
    pub(super) unknown: Vec<String>,
}

impl Check {
    /// `Err` when anything was wrong.
    pub(super) fn finish(self) -> Result<Vec<String>, ValidationErrors> {
        self.found.into_result()?;
        Ok(self.unknown)
    }

    pub(super) fn wrong(
        &mut self,
        path: Path<'_>,
        kind: &'static str,
        msg: impl Into<String>,
        input: Option<Value<'_>>,
    ) {
        if !self.found.is_full() {
            self.found.add(&path.locs(), kind, msg, input);
        }
    }

    /// A rule of the format is broken.
    pub(super) fn refuse(&mut self, path: Path<'_>, msg: &str, input: Option<Value<'_>>) {
        self.wrong(path, "value_error", format!("Value error, {msg}"), input);
    }

    /// An object with these members and no others.
    pub(super) fn object<'d>(&mut self, path: Path<'_>, value: Value<'d>, known: &[&str]) -> Option<Value<'d>> {
        if !value.is_object() {
            const MSG: &str = "Input should be a valid dictionary or object to extract fields from";
            self.wrong(path, "model_attributes_type", MSG, Some(value));
            return None;
        }
        for (key, member) in value.members() {
            if known.iter().any(|name| key.is_key(name)) {
                continue;
            }
            let name = key.text();
            if !self.is_lenient {
                self.wrong(path.name(&name), "extra_forbidden", "Extra inputs are not permitted", Some(member));
            } else if self.unknown.len() < UNKNOWN_MAX && !self.unknown.iter().any(|known| *known == name) {
                self.unknown.push(name.into_owned());
            }
        }
        Some(value)
    }

    /// A member that must be there.
    pub(super) fn required<'d>(&mut self, path: Path<'_>, object: Value<'d>, name: &str) -> Option<Value<'d>> {
        let found = object.last_member(name);
        if found.is_none() {
            self.wrong(path.name(name), "missing", "Field required", None);
        }
        found
    }

    pub(super) fn as_text<'d>(&mut self, path: Path<'_>, value: Value<'d>) -> Option<Cow<'d, str>> {
        let text = value.str();
        if text.is_none() {
            self.wrong(path, "string_type", "Input should be a valid string", Some(value));
        }
        text
    }

    /// A text that must be there, and not be empty.
    pub(super) fn required_text<'d>(&mut self, path: Path<'_>, object: Value<'d>, name: &str) -> Option<Cow<'d, str>> {
        let value = self.required(path, object, name)?;
        let text = self.as_text(path.name(name), value)?;
        if text.is_empty() {
            let msg = "String should have at least 1 character";
            self.wrong(path.name(name), "string_too_short", msg, Some(value));
        }
        Some(text)
    }

    /// A text that may be there.
    pub(super) fn text<'d>(&mut self, path: Path<'_>, object: Value<'d>, name: &str) -> Option<Cow<'d, str>> {
        let value = object.get(name)?;
        self.as_text(path.name(name), value)
    }

    /// A whole number of at least 0 that may be there.
    pub(super) fn count(&mut self, path: Path<'_>, object: Value<'_>, name: &str) -> Option<u64> {
        let value = object.get(name)?;
        let Some(number) = value.int() else {
            self.wrong(path.name(name), "int_type", "Input should be a valid integer", Some(value));
            return None;
        };
        let count = u64::try_from(number).ok();
        if count.is_none() {
            self.wrong(
                path.name(name),
                "greater_than_equal",
                "Input should be greater than or equal to 0",
                Some(value),
            );
        }
        count
    }

    pub(super) fn flag(&mut self, path: Path<'_>, object: Value<'_>, name: &str) -> Option<bool> {
        let value = object.get(name)?;
        let flag = value.bool();
        if flag.is_none() {
            self.wrong(path.name(name), "bool_type", "Input should be a valid boolean", Some(value));
        }
        flag
    }

    /// US dollars that may be there.
    pub(super) fn usd(&mut self, path: Path<'_>, object: Value<'_>, name: &str) -> Option<Usd> {
        let value = object.get(name)?;
        self.found.usd(&path.name(name).locs(), value)
    }

    /// A list that may be there.
    pub(super) fn list<'d>(&mut self, path: Path<'_>, object: Value<'d>, name: &str) -> Option<Value<'d>> {
        let value = object.get(name)?;
        self.as_list(path.name(name), value)
    }

    pub(super) fn as_list<'d>(&mut self, path: Path<'_>, value: Value<'d>) -> Option<Value<'d>> {
        if !value.is_array() {
            self.wrong(path, "list_type", "Input should be a valid list", Some(value));
        }
        value.is_array().then_some(value)
    }

    /// An object of any members that may be there.
    pub(super) fn dict<'d>(&mut self, path: Path<'_>, object: Value<'d>, name: &str) -> Option<Value<'d>> {
        let value = object.get(name)?;
        if !value.is_object() {
            self.wrong(path.name(name), "dict_type", "Input should be a valid dictionary", Some(value));
        }
        value.is_object().then_some(value)
    }

    /// A time that may be there. One without an offset is of UTC, or wrong.
    pub(super) fn time(
        &mut self,
        path: Path<'_>,
        object: Value<'_>,
        name: &str,
        needs_offset: bool,
    ) -> Option<UnixNanos> {
        let value = object.get(name)?;
        let text = self.as_text(path.name(name), value)?;
        let at = match time_of(&text) {
            Some((_, false)) if needs_offset => {
                self.refuse(path.name(name), "timestamps must include a UTC offset", Some(value));
                return None;
            }
            at => at.map(|(at, _)| at),
        };
        if at.is_none() {
            let msg = "must be a time in ISO 8601 after 1970, such as 2026-01-31T09:30:00Z";
            self.refuse(path.name(name), msg, Some(value));
        }
        at
    }
}

/// A time in ISO 8601, and whether it has an offset.
fn time_of(text: &str) -> Option<(UnixNanos, bool)> {
    let text = text.trim();
    let (at, has_offset) = match text.parse::<Timestamp>() {
        Ok(at) => (at, true),
        Err(_) => (format!("{text}Z").parse::<Timestamp>().ok()?, false),
    };
    let nanos = u64::try_from(at.as_nanosecond()).ok()?;
    Some((UnixNanos::of_start(nanos)?, has_offset))
}
