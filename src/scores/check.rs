//! The members of a body, read one after the other; what is wrong with them is noted in the words of FastAPI and pydantic.
//!
//! ```text
//! Members::of(body, loc)?  ->  text("name"), number("value"), ...  ->  finish()?
//! ```
//!
//! A member that is wrong reads as empty, and `finish` refuses the body.

use serde_json::{Map, Value, json};

/// What is wrong with a body: the objects of `detail`, in the order of the reference. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(Vec<Value>);

impl Invalid {
    /// One error.
    #[must_use]
    pub fn one(error: Value) -> Self {
        Self(vec![error])
    }

    /// The body of the 422 answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"detail": self.0})
    }
}

/// An error as FastAPI writes it.
#[must_use]
pub fn error(kind: &str, loc: &[&str], msg: &str, input: &Value, context: Option<Value>) -> Value {
    let mut error = json!({"type": kind, "loc": loc, "msg": msg, "input": input});
    if let (Some(context), Some(members)) = (context, error.as_object_mut()) {
        members.insert("ctx".to_owned(), context);
    }
    error
}

/// Parses a body.
///
/// # Errors
/// If it is not JSON, or nothing.
pub fn parse(body: &[u8]) -> Result<Value, Invalid> {
    if body.is_empty() {
        return Err(Invalid::one(error("missing", &["body"], "Field required", &Value::Null, None)));
    }
    serde_json::from_slice(body).map_err(|why| {
        let message = why.to_string();
        Invalid::one(json!({
            "type": "json_invalid", "loc": ["body", why.column()], "msg": "JSON decode error", "input": {},
            "ctx": {"error": message},
        }))
    })
}

/// The members of an object that are read.
#[derive(Debug)]
pub struct Members<'b> {
    body: &'b Value,
    members: &'b Map<String, Value>,
    loc: Vec<&'b str>,
    known: Vec<&'static str>,
    errors: Vec<Value>,
}

impl<'b> Members<'b> {
    /// Begins to read an object.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(body: &'b Value, loc: &[&'b str]) -> Result<Self, Invalid> {
        let Some(members) = body.as_object() else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            return Err(Invalid::one(error("model_attributes_type", loc, msg, body, None)));
        };
        Ok(Self { body, members, loc: loc.to_vec(), known: Vec::new(), errors: Vec::new() })
    }

    /// Notes that a member is wrong.
    fn wrong(&mut self, name: &[&str], kind: &str, msg: &str, input: &Value, context: Option<Value>) {
        let loc: Vec<&str> = self.loc.iter().copied().chain(name.iter().copied()).collect();
        self.errors.push(error(kind, &loc, msg, input, context));
    }

    /// Notes what is wrong with an item of a member.
    fn wrong_at(&mut self, place: &[Value], kind: &str, msg: &str, input: &Value) {
        let loc: Vec<Value> = self.loc.iter().map(|name| Value::from(*name)).chain(place.iter().cloned()).collect();
        self.errors.push(json!({"type": kind, "loc": loc, "msg": msg, "input": input}));
    }

    /// A member that must be there; one that may be null counts as there.
    fn required(&mut self, name: &'static str) -> Option<&'b Value> {
        self.known.push(name);
        let found = self.members.get(name);
        if found.is_none() {
            let body = self.body;
            self.wrong(&[name], "missing", "Field required", body, None);
        }
        found
    }

    fn optional(&mut self, name: &'static str) -> Option<&'b Value> {
        self.known.push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn as_text(&mut self, name: &'static str, value: &Value) -> String {
        if let Some(text) = value.as_str() {
            return text.to_owned();
        }
        self.wrong(&[name], "string_type", "Input should be a valid string", value, None);
        String::new()
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &'static str) -> String {
        self.required(name).map_or_else(String::new, |value| self.as_text(name, value))
    }

    /// A text that may be there.
    pub fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.optional(name)?;
        Some(self.as_text(name, value))
    }

    /// Whether a text is there, and the text.
    pub fn text_if_given(&mut self, name: &'static str) -> (bool, String) {
        match self.optional_text(name) {
            Some(text) => (true, text),
            None => (false, String::new()),
        }
    }

    /// A text of so many characters that must be there.
    pub fn text_within(&mut self, name: &'static str, least: usize, most: usize) -> String {
        let text = self.text(name);
        let Some(value @ Value::String(_)) = self.members.get(name) else { return text };
        let length = text.chars().count();
        if length < least {
            let msg = format!("String should have at least {least} {}", plural("character", least));
            self.wrong(&[name], "string_too_short", &msg, value, Some(json!({"min_length": least})));
        }
        self.at_most(name, value, length, most);
        text
    }

    /// A text of at most so many characters that may be there.
    pub fn optional_text_within(&mut self, name: &'static str, most: usize) -> Option<String> {
        let text = self.optional_text(name)?;
        if let Some(value @ Value::String(_)) = self.members.get(name) {
            self.at_most(name, value, text.chars().count(), most);
        }
        Some(text)
    }

    fn at_most(&mut self, name: &str, value: &Value, length: usize, most: usize) {
        if length > most {
            let msg = format!("String should have at most {most} {}", plural("character", most));
            self.wrong(&[name], "string_too_long", &msg, value, Some(json!({"max_length": most})));
        }
    }

    /// Whether a member is there and not null.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text that may be there, but not be null.
    pub fn text_or(&mut self, name: &'static str, usual: &str) -> String {
        self.known.push(name);
        self.members.get(name).map_or_else(|| usual.to_owned(), |value| self.as_text(name, value))
    }

    /// A list of at most so many texts that may be there.
    pub fn optional_texts(&mut self, name: &'static str, most: usize) -> Vec<String> {
        let Some(value) = self.optional(name) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.wrong(&[name], "list_type", "Input should be a valid list", value, None);
            return Vec::new();
        };
        if list.len() > most {
            let (items, length) = (plural("item", most), list.len());
            let msg = format!("List should have at most {most} {items} after validation, not {length}");
            let context = json!({"field_type": "List", "max_length": most, "actual_length": length});
            self.wrong(&[name], "too_long", &msg, value, Some(context));
        }
        let mut texts = Vec::with_capacity(list.len().min(most));
        for (number, one) in list.iter().take(most).enumerate() {
            match one.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    self.wrong_at(&[name.into(), number.into()], "string_type", "Input should be a valid string", one)
                }
            }
        }
        texts
    }

    /// An object of texts that may be there.
    pub fn optional_texts_by_name(&mut self, name: &'static str) -> Map<String, Value> {
        let Some(value) = self.optional(name) else { return Map::new() };
        let object = self.as_object(name, value);
        for (key, one) in object.iter().filter(|(_, one)| !one.is_string()) {
            let place = [name.into(), key.as_str().into()];
            self.wrong_at(&place, "string_type", "Input should be a valid string", one);
        }
        object
    }

    /// An object of two texts that may be there, each of which may be left out; `wrong` says what is wrong with one.
    pub fn optional_pair(
        &mut self,
        name: &'static str,
        of: [&'static str; 2],
        wrong: &dyn Fn(&str) -> Option<String>,
    ) -> Option<[Option<String>; 2]> {
        let value = self.optional(name)?;
        let Some(members) = value.as_object() else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            self.wrong(&[name], "model_attributes_type", msg, value, None);
            return None;
        };
        Some(of.map(|part| {
            let said = members.get(part)?;
            match said.as_str().map(|text| (text, wrong(text))) {
                None => self.wrong(&[name, part], "string_type", "Input should be a valid string", said, None),
                Some((text, None)) => return Some(text.to_owned()),
                Some((_, Some(why))) => {
                    let msg = format!("Value error, {why}");
                    self.wrong(&[name, part], "value_error", &msg, said, Some(json!({"error": {}})));
                }
            }
            None
        }))
    }

    /// A text that must match a rule that is told as a pattern.
    pub fn text_like(&mut self, name: &'static str, pattern: &str, matches: impl Fn(&str) -> bool) -> String {
        let text = self.text(name);
        if let Some(value @ Value::String(_)) = self.members.get(name)
            && !matches(&text)
        {
            let msg = format!("String should match pattern '{pattern}'");
            self.wrong(&[name], "string_pattern_mismatch", &msg, value, Some(json!({"pattern": pattern})));
        }
        text
    }

    /// One of several texts that must be there. `kind` is pydantic's: `literal_error` or `enum`.
    pub fn one_of(&mut self, name: &'static str, kind: &str, all: &[&'static str]) -> &'static str {
        let Some(value) = self.required(name) else { return "" };
        if let Some(one) = all.iter().find(|one| value.as_str() == Some(one)) {
            return one;
        }
        let expected = listed(all);
        let msg = format!("Input should be {expected}");
        self.wrong(&[name], kind, &msg, value, Some(json!({"expected": expected})));
        ""
    }

    /// A number that may be there, as pydantic takes it: a text of a number and a truth value count as numbers.
    pub fn optional_number(&mut self, name: &'static str) -> Option<f64> {
        let value = self.optional(name)?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::Bool(is) => Some(f64::from(u8::from(*is))),
            Value::String(text) => {
                let number = text.trim().parse().ok();
                if number.is_none() {
                    let msg = "Input should be a valid number, unable to parse string as a number";
                    self.wrong(&[name], "float_parsing", msg, value, None);
                    return None;
                }
                number
            }
            _ => None,
        };
        match number {
            None => self.wrong(&[name], "float_type", "Input should be a valid number", value, None),
            // no JSON can say it in an answer
            Some(number) if !number.is_finite() => {
                self.wrong(&[name], "finite_number", "Input should be a finite number", value, None);
            }
            Some(_) => {}
        }
        number
    }

    /// A text or a number that must be there.
    pub fn text_or_number(&mut self, name: &'static str) -> TextOrNumber {
        let value = match self.required(name) {
            None => return TextOrNumber::Text(String::new()),
            Some(value) => value,
        };
        let number = match value {
            Value::String(text) => return TextOrNumber::Text(text.clone()),
            Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
            Value::Bool(is) => Some(f64::from(u8::from(*is))),
            _ => None,
        };
        if let Some(number) = number {
            return TextOrNumber::Number(number);
        }
        self.wrong(&[name, "str"], "string_type", "Input should be a valid string", value, None);
        self.wrong(&[name, "float"], "float_type", "Input should be a valid number", value, None);
        TextOrNumber::Text(String::new())
    }

    /// An object that must be there, with so many members.
    pub fn object(&mut self, name: &'static str, least: usize) -> Map<String, Value> {
        let Some(value) = self.required(name) else { return Map::new() };
        let object = self.as_object(name, value);
        if let Some(members) = value.as_object()
            && members.len() < least
        {
            let length = members.len();
            let msg = format!(
                "Dictionary should have at least {least} {} after validation, not {length}",
                plural("item", least)
            );
            let context = json!({"field_type": "Dictionary", "min_length": least, "actual_length": length});
            self.wrong(&[name], "too_short", &msg, value, Some(context));
        }
        object
    }

    /// An object that may be there, but not be null.
    pub fn optional_object(&mut self, name: &'static str) -> Map<String, Value> {
        self.known.push(name);
        self.members.get(name).map_or_else(Map::new, |value| self.as_object(name, value))
    }

    fn as_object(&mut self, name: &str, value: &Value) -> Map<String, Value> {
        if let Some(object) = value.as_object() {
            return object.clone();
        }
        self.wrong(&[name], "dict_type", "Input should be a valid dictionary", value, None);
        Map::new()
    }

    /// A URL that may be there, whatever its scheme; one of the web has a path in the end.
    pub fn optional_url(&mut self, name: &'static str) -> Option<String> {
        let value = self.optional(name)?;
        let Some(text) = value.as_str() else {
            self.wrong(&[name], "url_type", "URL input should be a string or URL", value, None);
            return None;
        };
        let url = url(text.trim());
        if url.is_none() {
            let why = if text.trim().is_empty() { "input is empty" } else { "relative URL without a base" };
            let msg = format!("Input should be a valid URL, {why}");
            self.wrong(&[name], "url_parsing", &msg, value, Some(json!({"error": why})));
        }
        url
    }

    /// Notes what is wrong with the whole, if nothing is wrong with its members.
    pub fn refuse(&mut self, why: &str) {
        if self.errors.is_empty() && self.unknown().next().is_none() {
            let (body, msg) = (self.body, format!("Value error, {why}"));
            self.wrong(&[], "value_error", &msg, body, Some(json!({"error": {}})));
        }
    }

    fn unknown(&self) -> impl Iterator<Item = (&'b String, &'b Value)> {
        let known = self.known.clone();
        self.members.iter().filter(move |(name, _)| !known.contains(&name.as_str()))
    }

    /// Ends reading; members that were not read are not allowed.
    ///
    /// # Errors
    /// If something is wrong.
    pub fn finish(mut self) -> Result<(), Invalid> {
        let unknown: Vec<_> = self.unknown().collect();
        for (name, value) in unknown {
            self.wrong(&[name], "extra_forbidden", "Extra inputs are not permitted", value, None);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Invalid(self.errors)) }
    }
}

/// A value that is either.
#[derive(Debug, Clone, PartialEq)]
pub enum TextOrNumber {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
}

/// `'a', 'b' or 'c'`
#[must_use]
pub fn listed(all: &[&str]) -> String {
    let quoted: Vec<String> = all.iter().map(|one| format!("'{one}'")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn plural(word: &str, number: usize) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}

fn url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let mut letters = scheme.bytes();
    let is_scheme = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'-' | b'.'));
    if !is_scheme || rest.is_empty() || text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss" | "ftp") {
        return Some(format!("{scheme}:{rest}"));
    }
    let place = rest.trim_start_matches('/');
    let host_ends = place.find(['/', '?', '#']).unwrap_or(place.len());
    let (host, path) = place.split_at(host_ends);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (!host.is_empty()).then(|| format!("{scheme}://{host}{slash}{path}"))
}
