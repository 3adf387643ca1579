//! A trace as Markdown, for people and for agents that read text.
//!
//! What senders wrote stays text: in a line of ours it is escaped, and everything longer is in a fence that is longer than any row of
//! backticks inside.

use super::Exported;
use super::room::Room;
use super::statements::{Failed, failures};
use crate::query::answer::Refusal;
use crate::query::kept;
use crate::query::mode::Mode;
use crate::query::traces::{conversation, statements, tree};
use serde_json::{Map, Value};

/// Levels by which a span is indented; deeper ones stand below each other.
const INDENTED_MAX: usize = 40;
/// Characters of a name in a line.
const NAME_CHARACTERS: usize = 200;

/// The document in pieces.
pub(super) async fn write(trace: &Exported<'_>) -> Result<Vec<String>, Refusal> {
    let Exported { api, workspace, ids, range, .. } = trace;
    let head = trace.head(Mode::Preview).await?;
    let nodes: Vec<tree::Node> = api.reads.ask(&statements::nodes(api, workspace, ids, *range)).await?;
    let failed: Vec<Failed> = api.reads.ask(&failures(trace)).await?;
    let told = conversation::told(api, workspace, ids).await?;
    let mut document = Document::default();
    document.head(&head, &ids.concat())?;
    document.failures(&failed)?;
    document.spans(&nodes)?;
    if let Some(told) = told {
        document.conversation(&told)?;
        document.tools(&told)?;
    }
    if let Some(statements) = kept::taken() {
        document.line("## SQL\n")?;
        for statement in &statements {
            document.fenced("sql", text_of(statement, "statement"))?;
        }
    }
    Ok(document.pieces)
}

#[derive(Default)]
struct Document {
    pieces: Vec<String>,
    room: Room,
}

impl Document {
    fn push(&mut self, text: String) -> Result<(), Refusal> {
        self.room.take(text.len())?;
        self.pieces.push(text);
        Ok(())
    }

    /// Text of ours, in which what senders wrote is [`inline`] or [`code`].
    fn line(&mut self, text: &str) -> Result<(), Refusal> {
        self.push(format!("{text}\n"))
    }

    fn fenced(&mut self, language: &str, text: &str) -> Result<(), Refusal> {
        self.push(fenced(language, text))
    }

    fn head(&mut self, head: &Value, id: &str) -> Result<(), Refusal> {
        let name = text_of(head, "name");
        self.line(&format!("# {}\n", if name.is_empty() { "Trace".to_owned() } else { inline(name) }))?;
        self.line(&format!("- Trace: {}", code(id)))?;
        let facts = [
            ("Workspace", "workspace"),
            ("Session", "session_id"),
            ("Status", "status"),
            ("Started", "started_at"),
            ("Duration in ms", "duration_ms"),
            ("Spans", "span_count"),
            ("Failed spans", "error_count"),
            ("Input tokens", "input_tokens"),
            ("Cached input tokens", "cached_tokens"),
            ("Output tokens", "output_tokens"),
            ("Cost in USD", "cost_usd"),
        ];
        for (label, member) in facts {
            match head.get(member) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => self.line(&format!("- {label}: {}", inline(text)))?,
                Some(other) => self.line(&format!("- {label}: {}", figure(other)))?,
            }
        }
        self.line("")
    }

    fn failures(&mut self, failed: &[Failed]) -> Result<(), Refusal> {
        if failed.is_empty() {
            return Ok(());
        }
        self.line("## Failures\n")?;
        for span in failed {
            let of_type =
                if span.error_type.is_empty() { String::new() } else { format!(": {}", inline(&span.error_type)) };
            self.line(&format!("{} {}{of_type}\n", code(&span.span_id), inline(&span.name)))?;
            if !span.message.is_empty() {
                self.fenced("text", &span.message)?;
            }
        }
        Ok(())
    }

    fn spans(&mut self, nodes: &[tree::Node]) -> Result<(), Refusal> {
        let mut text = String::new();
        for (depth, node) in tree::lines(nodes) {
            text.push_str(&"  ".repeat(depth.min(INDENTED_MAX)));
            text.push_str(&node.to_line(|name| plain(name, NAME_CHARACTERS)));
            text.push('\n');
        }
        self.line("## Spans\n")?;
        self.fenced("text", &text)
    }

    fn conversation(&mut self, told: &Map<String, Value>) -> Result<(), Refusal> {
        let list = |name: &str| told.get(name).and_then(Value::as_array).into_iter().flatten();
        let calls: Vec<&Value> = list("calls").collect();
        if calls.is_empty() {
            return Ok(());
        }
        self.line("## Conversation\n")?;
        for system in list("systems") {
            self.line(&format!("### System prompt, first sent by {}\n", code(text_of(system, "span_id"))))?;
            self.fenced("text", text_of(system, "text"))?;
        }
        for (number, message) in list("messages").enumerate() {
            let call = message["call"].as_u64().and_then(|call| calls.get(usize::try_from(call).ok()?).copied());
            self.line(&format!("### {}. {}\n", number + 1, title(message, call)))?;
            for part in message["parts"].as_array().into_iter().flatten() {
                self.part(part)?;
            }
        }
        if told.get("is_complete") == Some(&Value::Bool(false)) {
            self.line("There are more calls than are shown here.\n")?;
        }
        Ok(())
    }

    fn part(&mut self, part: &Value) -> Result<(), Refusal> {
        match text_of(part, "type") {
            "text" => self.fenced("text", text_of(part, "content")),
            "reasoning" => {
                self.line("Reasoning:\n")?;
                self.fenced("text", text_of(part, "content"))
            }
            "tool_call" => {
                self.line(&format!("Calls {} as {}:\n", inline(text_of(part, "name")), code(text_of(part, "id"))))?;
                self.value(&part["arguments"])
            }
            "tool_call_response" => {
                self.line(&format!("Result of {}:\n", code(text_of(part, "id"))))?;
                let result = if part["response"].is_null() { &part["result"] } else { &part["response"] };
                self.value(result)
            }
            _ => self.value(part),
        }
    }

    fn value(&mut self, value: &Value) -> Result<(), Refusal> {
        match value {
            Value::String(text) => self.fenced("text", text),
            other => self.fenced("json", &format!("{other:#}")),
        }
    }

    /// Runs of tools that no message tells of.
    fn tools(&mut self, told: &Map<String, Value>) -> Result<(), Refusal> {
        let tools = told.get("tools").and_then(Value::as_array).into_iter().flatten();
        let untold = tools.filter(|tool| !tool["input"].is_null() || !tool["output"].is_null());
        for (number, tool) in untold.enumerate() {
            if number == 0 {
                self.line("## Tools\n")?;
            }
            self.line(&format!("### {} in {}\n", inline(text_of(tool, "name")), code(text_of(tool, "span_id"))))?;
            for (label, member) in [("Input", "input"), ("Output", "output")] {
                if !tool[member].is_null() {
                    self.line(&format!("{label}:\n"))?;
                    self.value(&tool[member])?;
                }
            }
        }
        Ok(())
    }
}

/// Who says a message, and in which call.
fn title(message: &Value, call: Option<&Value>) -> String {
    let mut title = inline(text_of(message, "role"));
    if let Some(call) = call {
        title.push_str(&format!(" in {}", code(text_of(message, "span_id"))));
        if text_of(message, "side") == "output" {
            let model = text_of(call, "model");
            title.push_str(&format!(", {}", if model.is_empty() { "a model".to_owned() } else { inline(model) }));
            for (member, what) in [("input_tokens", "tokens in"), ("output_tokens", "tokens out"), ("cost_usd", "USD")]
            {
                if let Some(number) = call.get(member).filter(|number| number.is_number()) {
                    title.push_str(&format!(", {} {what}", figure(number)));
                }
            }
        }
    }
    title
}

/// A number without an exponent, as people read costs; anything else as JSON.
fn figure(value: &Value) -> String {
    value.as_f64().filter(|_| value.is_f64()).map_or_else(|| value.to_string(), |number| number.to_string())
}

fn text_of<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

/// A text in one line, at most so many characters.
fn plain(text: &str, characters: usize) -> String {
    let is_space = |letter: char| letter.is_whitespace() || letter.is_control();
    let line = text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", line.split_at(at).0),
        None => line,
    }
}

/// A text in a line of Markdown, which it does not change. Source: CommonMark 0.31, "Backslash escapes".
///
/// A text in which a reader may find an address is code: escapes do not keep readers from making links, code does.
/// Source: GitHub Flavored Markdown 0.29, "Autolinks (extension)"; markdown-it's linkify also takes names of hosts without a scheme.
fn inline(text: &str) -> String {
    if may_have_address(text) {
        return code(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in plain(text, NAME_CHARACTERS).chars() {
        if letter.is_ascii_punctuation() && !matches!(letter, '.' | ',' | ':' | '/' | '-' | '\'') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    // what is a mark only where a line begins
    if escaped.starts_with('-') { format!("\\{escaped}") } else { escaped }
}

/// Whether anything in it may be taken for an address of a page or of mail: `a://b`, `a@b`, `a.b`. A number such as 4.1 is none.
fn may_have_address(text: &str) -> bool {
    let has_host = || {
        let letters = || text.chars();
        let mut threes = letters().zip(letters().skip(1)).zip(letters().skip(2));
        threes.any(|((before, dot), after)| dot == '.' && before.is_alphanumeric() && after.is_alphabetic())
    };
    text.contains("://") || text.contains('@') || has_host()
}

/// A text as code in a line. Source: CommonMark 0.31, "Code spans".
fn code(text: &str) -> String {
    let text = plain(text, NAME_CHARACTERS);
    if text.is_empty() {
        return "(none)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

/// A block that ends where it should. Source: CommonMark 0.31, "Fenced code blocks".
fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}\n\n")
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).fold(0, usize::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cost_has_no_exponent_and_a_count_no_point() {
        let figures = [3.6e-6.into(), 15.into(), Value::from(0.25)].map(|value: Value| figure(&value));
        assert_eq!(figures, ["0.0000036", "15", "0.25"]);
    }

    #[test]
    fn no_text_leaves_its_fence() {
        assert_eq!(fenced("text", "a"), "```text\na\n```\n\n");
        assert_eq!(fenced("text", "a\n```\n# no heading\n"), "````text\na\n```\n# no heading\n````\n\n");
        assert_eq!(fenced("", "`````x"), "``````\n`````x\n``````\n\n");
    }

    #[test]
    fn what_a_reader_may_make_a_link_of_is_code() {
        let linked = [
            "http://evil.example/a?b=c",
            "see HTTPS://x",
            "ftp://host/file",
            "www.evil.example",
            "evil.com",
            "ätsch.example",
            "//evil.com/x",
            "mail a.b+c@evil.example now",
            "mailto:a@b",
            "javascript://x",
            "a`b http://evil.example `c",
        ];
        for text in linked {
            let shown = inline(text);
            let ticks = shown.chars().take_while(|letter| *letter == '`').count();
            assert!(
                ticks > longest_run(text) && shown.contains(text) && shown.ends_with(&"`".repeat(ticks)),
                "{shown}"
            );
        }
        assert_eq!(inline(&format!("{}.com", "x".repeat(300))), format!("`{}…`", "x".repeat(200)));
    }

    #[test]
    fn a_text_in_a_line_is_no_markdown_and_stays_in_its_line() {
        assert_eq!(inline("<b>[x](y)\n# z|"), r"\<b\>\[x\]\(y\) \# z\|");
        assert_eq!(inline("- a*b_c`d"), r"\- a\*b\_c\`d");
        assert_eq!(inline(&"x".repeat(300)).chars().count(), 201);
        assert_eq!(inline("gpt-4.1-mini: 3.6 s. Yes/no."), "gpt-4.1-mini: 3.6 s. Yes/no.");
        assert_eq!(
            (code("a`b"), code("`"), code("")),
            ("``a`b``".to_owned(), "`` ` ``".to_owned(), "(none)".to_owned())
        );
    }
}
