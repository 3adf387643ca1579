//! What lists show of messages: the first letters of one of them.
//!
//! ```text
//! [{"role":"user","parts":[{"type":"text","content":"Rain\n tomorrow?"},{"type":"blob",...}]}]  ->  Rain tomorrow? [blob]
//! ```
//!
//! Of the messages sent it is the latest of the user, or else the latest one; of those received the first. The same rule as
//! SQL, for rows that were stored without it, is in `clickhouse/schema/views.rs`; a test compares both.

use crate::json::document::{Document, Value};
use memchr::memchr2;

/// Longest preview, in letters (Unicode code points).
const LETTERS_MAX: usize = 200;
/// Bytes that are looked at together: one register of the processor.
const STEP: usize = 16;

/// The preview of `gen_ai.input.messages`, which is JSON in the conventions' form; empty when there is none.
pub(crate) fn of_input(messages: &str) -> String {
    let (mut last, mut last_of_user) = (None, None);
    for message in Elements::of(messages) {
        last = Some(message);
        if is_of_user(message) {
            last_of_user = Some(message);
        }
    }
    last_of_user.or(last).map_or_else(String::new, of_message)
}

/// The preview of `gen_ai.output.messages`.
pub(crate) fn of_output(messages: &str) -> String {
    Elements::of(messages).next().map_or_else(String::new, of_message)
}

/// Our writer, like most others, writes the role first: only otherwise the message is parsed.
fn is_of_user(message: &str) -> bool {
    match message.strip_prefix(r#"{"role":""#) {
        Some(rest) if !rest.starts_with('\\') => rest.starts_with("user\""),
        _ => Document::parse(message)
            .is_ok_and(|document| document.root().get("role").is_some_and(|role| role.is_key("user"))),
    }
}

fn of_message(message: &str) -> String {
    let Ok(document) = Document::parse(message) else { return String::new() };
    let mut preview = Preview::default();
    let parts = document.root().get("parts").filter(|parts| parts.is_array());
    for part in parts.into_iter().flat_map(Value::items) {
        if preview.is_full() {
            break;
        }
        let text = |name: &str| part.get(name).and_then(Value::str).unwrap_or_default();
        match &*text("type") {
            "reasoning" => {}
            "text" => preview.part(&text("content")),
            kind => preview.part(&format!("[{}]", format!("{kind} {}", text("name")).trim_end_matches(' '))),
        }
    }
    preview.text
}

/// A preview that grows: whitespace of any kind and length is one space.
#[derive(Default)]
struct Preview {
    text: String,
    letters: usize,
    ends_in_space: bool,
    has_parts: bool,
}

impl Preview {
    fn is_full(&self) -> bool {
        self.letters == LETTERS_MAX
    }

    fn part(&mut self, text: &str) {
        if self.has_parts {
            self.push(' ');
        }
        self.has_parts = true;
        self.text.reserve(text.len().min(LETTERS_MAX));
        let mut rest = text;
        while !self.is_full() {
            rest = self.run(rest);
            let mut letters = rest.chars();
            let Some(letter) = letters.next() else { break };
            self.push(letter);
            rest = letters.as_str();
        }
    }

    /// Adds the ASCII at the front of a text that stays as it is; returns the rest.
    fn run<'t>(&mut self, text: &'t str) -> &'t str {
        let most = text.len().min(LETTERS_MAX - self.letters);
        let (bytes, _beyond) = text.as_bytes().split_at(most);
        let mut left = bytes;
        while let Some((step, behind)) = left.split_first_chunk::<STEP>()
            && stays(step, self.ends_in_space)
        {
            self.ends_in_space = step.ends_with(b" ");
            left = behind;
        }
        while let Some((byte, behind)) = left.split_first()
            && stays(&[*byte], self.ends_in_space)
        {
            self.ends_in_space = *byte == b' ';
            left = behind;
        }
        let length = most - left.len();
        let (run, rest) = text.split_at(length);
        self.text.push_str(run);
        self.letters += length;
        rest
    }

    fn push(&mut self, letter: char) {
        let is_space = matches!(letter, ' ' | '\t' | '\n' | '\x0c' | '\r');
        if self.is_full() || (is_space && self.ends_in_space) {
            return;
        }
        self.text.push(if is_space { ' ' } else { letter });
        self.letters += 1;
        self.ends_in_space = is_space;
    }
}

/// Whether a preview shows these bytes as they are: printable ASCII, and no space after another. Without a branch for each byte.
fn stays<const N: usize>(bytes: &[u8; N], follows_space: bool) -> bool {
    let are_printable = bytes.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte));
    let begins_with_another = follows_space & bytes.starts_with(b" ");
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let has_two = pairs.fold(false, |any, (first, second)| any | ((*first == b' ') & (*second == b' ')));
    are_printable & !begins_with_another & !has_two
}

/// The elements of a JSON array as they are written, found without parsing them. The text is JSON.
struct Elements<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Elements<'t> {
    /// None when it is not an array.
    fn of(text: &'t str) -> Self {
        let inner = text.trim_ascii_start().strip_prefix('[').unwrap_or("");
        Self { text: inner, at: 0 }
    }
}

impl<'t> Iterator for Elements<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let (bytes, begin) = (self.text.as_bytes(), self.at);
        let mut depth = 0_usize;
        let mut at = begin;
        let end = loop {
            match bytes.get(at)? {
                b'"' => at = end_of_string(bytes, at + 1)?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b',' | b']' if depth == 0 => break at,
                _ => {}
            }
            at += 1;
        };
        self.at = if bytes.get(end) == Some(&b',') { end + 1 } else { bytes.len() };
        self.text.get(begin..end).map(str::trim_ascii).filter(|element| !element.is_empty())
    }
}

/// Where the string ends that begins before `from`: at its quote.
fn end_of_string(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let found = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes.get(found) == Some(&b'"') {
            return Some(found);
        }
        // what is escaped
        from = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USER: &str = r#"{"role":"user","parts":[{"type":"text","content":"a [ \"b\\"}]}"#;
    const ASSISTANT: &str = r#"{"parts":[{"type":"text","content":"c"}],"role":"assistant"}"#;

    #[test]
    fn the_input_shows_the_latest_message_of_the_user_or_else_the_latest_one() {
        assert_eq!(of_input(&format!("[{USER},{ASSISTANT}]")), r#"a [ "b\"#);
        let of_user_with_its_role_last = r#"{"parts":[{"type":"text","content":"d"}],"role":"user"}"#;
        assert_eq!(of_input(&format!("[ {USER} , {of_user_with_its_role_last}, {ASSISTANT} ]")), "d");
        assert_eq!(of_input(&format!("[{ASSISTANT}]")), "c");
    }

    #[test]
    fn the_output_shows_its_first_message() {
        assert_eq!(of_output(&format!("[{ASSISTANT},{USER}]")), "c");
    }

    #[test]
    fn parts_without_text_are_named_and_reasoning_is_left_out() {
        let parts = r#"[{"role":"assistant","parts":[{"type":"reasoning","content":"x"},{"type":"tool_call","name":"weather"},{"type":"blob","modality":"image"}]}]"#;
        assert_eq!(of_output(parts), "[tool_call weather] [blob]");
    }

    #[test]
    fn whitespace_is_one_space_and_a_preview_has_at_most_two_hundred_letters() {
        let of =
            |text: &str| of_output(&serde_json::json!([{"parts": [{"type": "text", "content": text}]}]).to_string());
        assert_eq!(of(" a \r\n\t b "), " a b ");
        assert_eq!(of(&"ä".repeat(300)), "ä".repeat(200));
        assert_eq!(of(&"ä ".repeat(150)).chars().count(), 200);
        assert_eq!(of(&"ab  ".repeat(150)), "ab ".repeat(66) + "ab");
        assert_eq!(of("a\u{7f}b \u{1}  c"), "a\u{7f}b \u{1} c");
    }

    proptest! {
        #[test]
        fn a_preview_is_that_of_its_letters_one_by_one(
            parts in proptest::collection::vec(("[a-z ]{0,40}|[a ä\u{7f}\n]{0,40}", 0..3_usize), 0..8),
        ) {
            let text: String = parts.iter().map(|(part, spaces)| part.clone() + &" ".repeat(*spaces)).collect();
            let mut letters: Vec<char> = Vec::new();
            for letter in text.chars().map(|letter| if letter == '\n' { ' ' } else { letter }) {
                if letter != ' ' || letters.last() != Some(&' ') {
                    letters.push(letter);
                }
            }
            let mut preview = Preview::default();
            preview.part(&text);
            prop_assert_eq!(preview.text, letters.into_iter().take(LETTERS_MAX).collect::<String>());
        }
    }

    #[test]
    fn what_is_no_list_of_messages_has_no_preview() {
        for text in ["", "[]", "[ ]", "{}", "\"a\"", "[1,\"b\"]", "[{\"role\":\"user\"}]", "[{\"role\":\"us", "null"] {
            assert_eq!((of_input(text), of_output(text)), (String::new(), String::new()), "{text}");
        }
    }
}
