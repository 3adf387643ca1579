//! What a key stands for: a slot of the table, a parameter, one of a family, content, or nothing.
//!
//! ```text
//! key --first bytes--> no convention's                           nearly all keys of nearly all spans end here
//!     --hash--> TABLE --> Slot                                an exact key
//!     --prefix--> Family | request parameter | content        gen_ai.prompt.0.content, gen_ai.request.top_p, ...
//! ```
//!
//! A perfect hash of our own: that of `phf` takes longer than the whole look-up here.

use super::keys::{CONTENT, Family, KEYS, Slot};
use crate::columns::typed::Kind;

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A key of the table.
    Slot(Slot),
    /// `gen_ai.request.` and a name: the name begins at this byte.
    Parameter(usize),
    /// One of many that together are one thing; the part in which they differ begins at this byte.
    Member(Family, usize),
    /// Content that no typed column comes of.
    Content,
    /// Nothing.
    None,
}

/// Keys and their numbers, spread by [`hash`]: an empty place is 0, the others hold a key's number and 1.
const TABLE: [u16; TABLE_LEN] = table();
const TABLE_LEN: usize = 1024;

#[expect(clippy::indexing_slicing, reason = "it runs when this is compiled")]
const fn table() -> [u16; TABLE_LEN] {
    let mut table = [0; TABLE_LEN];
    let mut number = 0;
    while number < KEYS.len() + CONTENT.len() {
        let mut at = hash(key_of(number).as_bytes()) % TABLE_LEN;
        while table[at] != 0 {
            at = (at + 1) % TABLE_LEN;
        }
        table[at] = number as u16 + 1;
        number += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "the tests go through every number")]
const fn key_of(number: usize) -> &'static str {
    if number < KEYS.len() { KEYS[number].0 } else { CONTENT[number - KEYS.len()] }
}

/// Takes eight bytes at a step; the last step overlaps the one before.
const fn hash(key: &[u8]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = key.len() as u64;
    let mut rest = key;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
        state ^= state >> 29;
        rest = after;
    }
    if let Some(word) = key.last_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
    } else {
        while let Some((byte, after)) = rest.split_first() {
            state = (state ^ *byte as u64).wrapping_mul(MIX);
            rest = after;
        }
    }
    (state >> 40) as usize
}

fn exact(key: &[u8]) -> Option<Meaning> {
    let mut at = hash(key) % TABLE_LEN;
    loop {
        let number = usize::from(*TABLE.get(at)?).checked_sub(1)?;
        match KEYS.get(number) {
            Some((known, slot, _)) if known.as_bytes() == key => return Some(Meaning::Slot(*slot)),
            None if CONTENT.get(number - KEYS.len()).is_some_and(|known| known.as_bytes() == key) => {
                return Some(Meaning::Content);
            }
            _ => at = (at + 1) % TABLE_LEN,
        }
    }
}

/// What an attribute is. Called for every attribute of every span: the first bytes settle it for nearly all.
#[inline]
#[must_use]
pub fn kind(key: &[u8]) -> Kind {
    match key.first_chunk() {
        Some(head) if is_head(u32::from_le_bytes(*head)) => kind_in_a_convention(key),
        _ => Kind::Ordinary,
    }
}

fn kind_in_a_convention(key: &[u8]) -> Kind {
    match meaning(key) {
        Meaning::Slot(slot) => KEYS.get(slot as usize).map_or(Kind::Typed, |(_, _, kind)| *kind),
        Meaning::Parameter(_) => Kind::Typed,
        Meaning::Member(..) | Meaning::Content => Kind::Content,
        Meaning::None => Kind::Ordinary,
    }
}

/// How the keys of conventions begin, and those of the few keys that every span may have. Compared as one number.
#[inline]
fn is_head(head: u32) -> bool {
    const fn of(head: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*head)
    }
    macro_rules! any_of {
        ($($head:literal)*) => {{
            $(const { assert!($head.len() == 4) };)*
            [$(const { of($head) }),*].into_iter().fold(false, |seen, known| seen | (known == head))
        }};
    }
    any_of!(
        b"gen_" b"gcp." b"llm." b"lang" b"lite" b"ai.o" b"ai.m" b"ai.r" b"ai.t" b"ai.u" b"ai.s" b"ai.p" b"ai.v" b"ai.e" b"agen" b"all_" b"sess" b"user" b"endu" b"erro" b"exce" b"embe" b"even" b"tool" b"trac" b"open" b"oper" b"outp" b"inpu" b"mill" b"mlfl" b"mcp." b"meta" b"mode" b"pyda" b"fina" b"rera" b"retr" b"requ" b"resp" b"thre" b"mast" b"opik" b"span" b"code" b"copi" b"gith" b"syst" b"new_" b"full" b"lmnr" b"genk" b"hays" b"lk.f" b"lk.p" b"lk.r" b"lk.u" b"lk.i" b"lk.c" b"spri" b"crew" b"flow" b"smol"
    )
}

/// What a key stands for.
pub(crate) fn meaning(key: &[u8]) -> Meaning {
    if let Some(meaning) = exact(key) {
        return meaning;
    }
    match key {
        [b'g', b'e', b'n', b'_', b'a', b'i', b'.', rest @ ..] => of_gen_ai(rest),
        [b'l', b'l', b'm', b'.', rest @ ..] => of_llm(rest),
        _ if OPEN_CONTENT.iter().any(|prefix| key.starts_with(prefix)) || is_last_content(key) => Meaning::Content,
        _ => Meaning::None,
    }
}

/// Prefixes of the keys of frameworks that say by the last part of a key whether it is content: `mastra.agent_run.input`,
/// `haystack.component.output`, `spring.ai.tool.call.arguments`.
const CONTENT_BY_LAST: [&[u8]; 3] = [b"mastra.", b"haystack.", b"spring.ai."];

fn is_last_content(key: &[u8]) -> bool {
    if !CONTENT_BY_LAST.iter().any(|prefix| key.starts_with(prefix)) {
        return false;
    }
    let last = key.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let names: [&[u8]; 12] = [
        b"input",
        b"output",
        b"input_data",
        b"output_data",
        b"arguments",
        b"result",
        b"body",
        b"text",
        b"messages",
        b"replies",
        b"content",
        b"documents",
    ];
    names.contains(&last)
}

/// Prefixes of keys that are content, whatever follows.
const OPEN_CONTENT: [&[u8]; 6] = [
    b"retrieval.documents.",
    b"embedding.embeddings.",
    b"reranker.input_documents.",
    b"reranker.output_documents.",
    b"ai.prompt.",
    b"lk.pii.",
];

fn of_gen_ai(rest: &[u8]) -> Meaning {
    let families: [(&[u8], Family); 2] = [(b"prompt.", Family::Prompts), (b"completion.", Family::Completions)];
    if rest.starts_with(b"request.") {
        return Meaning::Parameter("gen_ai.request.".len());
    }
    if let Some(member) = member("gen_ai.", rest, &families) {
        return member;
    }
    let is_numbered_tool = rest.strip_prefix(b"tool.").is_some_and(is_numbered);
    if is_numbered_tool || rest.starts_with(b"prompt.variable.") { Meaning::Content } else { Meaning::None }
}

fn of_llm(rest: &[u8]) -> Meaning {
    let families: [(&[u8], Family); 4] = [
        (b"input_messages.", Family::InputMessages),
        (b"output_messages.", Family::OutputMessages),
        (b"tools.", Family::Tools),
        (b"request.functions.", Family::Functions),
    ];
    if let Some(member) = member("llm.", rest, &families) {
        return member;
    }
    // completions of OpenInference, and LiteLLM's span of the raw call: llm.{provider}.{member of the body}
    let is_numbered_content = [&b"prompts."[..], b"choices."].iter().any(|prefix| rest.starts_with(prefix));
    let is_raw = rest.iter().rposition(|byte| *byte == b'.').is_some_and(|dot| {
        let (provider, last) = rest.split_at(dot);
        let members: [&[u8]; 8] =
            [b".messages", b".choices", b".prompt", b".input", b".output", b".tools", b".content", b".contents"];
        !provider.is_empty() && members.contains(&last)
    });
    if is_numbered_content || is_raw { Meaning::Content } else { Meaning::None }
}

fn member(namespace: &str, rest: &[u8], families: &[(&[u8], Family)]) -> Option<Meaning> {
    let (prefix, family) = families.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    is_numbered(rest.get(prefix.len()..)?).then_some(Meaning::Member(*family, namespace.len() + prefix.len()))
}

fn is_numbered(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_digit)
}

/// The event that marks the first token of a stream. Source: OpenInference, `openinference-instrumentation`.
pub(crate) const FIRST_TOKEN_EVENT: &[u8] = b"First Token Stream Event";

/// Whether something of an event of this name goes into typed columns.
#[must_use]
pub fn is_event(name: &[u8]) -> bool {
    match name {
        [b'g', ..] => name.starts_with(b"gen_ai."),
        [b'e', ..] => name == b"exception",
        [b'F', ..] => name == FIRST_TOKEN_EVENT,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_once() {
        let mut keys: Vec<&str> = (0..KEYS.len() + CONTENT.len()).map(key_of).collect();
        for (at, (key, slot, kind_of_key)) in KEYS.iter().enumerate() {
            assert_eq!((*slot as usize, slot.key(), meaning(key.as_bytes())), (at, *key, Meaning::Slot(*slot)));
            assert_eq!(kind(key.as_bytes()), *kind_of_key, "{key}");
        }
        for key in CONTENT {
            assert_eq!(kind(key.as_bytes()), Kind::Content, "{key}");
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), KEYS.len() + CONTENT.len());
    }

    #[test]
    fn prefixes_of_content_keys_pass_the_check_of_the_first_bytes() {
        for prefix in OPEN_CONTENT {
            assert!(is_head(u32::from_le_bytes(*prefix.first_chunk().unwrap())));
        }
    }

    #[test]
    fn numbered_keys_are_content_and_named_ones_are_not() {
        for (key, want) in [
            ("gen_ai.prompt.0.content", Kind::Content),
            ("gen_ai.prompt.name", Kind::Ordinary),
            ("gen_ai.prompt.variable.city", Kind::Content),
            ("gen_ai.completion.10.tool_calls.0.id", Kind::Content),
            ("gen_ai.tool.0.name", Kind::Content),
            ("gen_ai.request.top_p", Kind::Typed),
            ("gen_ai.something.new", Kind::Ordinary),
            ("llm.input_messages.0.message.role", Kind::Content),
            ("llm.output_messages.3.message.contents.0.message_content.text", Kind::Content),
            ("llm.request.functions.0.name", Kind::Content),
            ("llm.tools.0.tool.json_schema", Kind::Content),
            ("llm.openai.messages", Kind::Content),
            ("llm.openai.temperature", Kind::Ordinary),
            ("llm.messages", Kind::Ordinary),
            ("retrieval.documents.0.document.content", Kind::Content),
            ("ai.telemetry.functionId", Kind::Ordinary),
            ("http.request.method", Kind::Ordinary),
            ("http.response.status_code", Kind::Ordinary),
            ("session.id", Kind::Typed),
            ("user.id", Kind::Typed),
            ("user_agent.original", Kind::Ordinary),
            ("mcp.session.id", Kind::Ordinary),
            ("", Kind::Ordinary),
        ] {
            assert_eq!(kind(key.as_bytes()), want, "{key}");
        }
    }
}
