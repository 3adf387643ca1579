//! Which attributes a dialect has a meaning for.

use crate::columns::typed::Kind;

/// What an attribute is. Called for every attribute of every span: the first bytes settle it for nearly all.
#[inline]
#[must_use]
pub fn kind(key: &[u8]) -> Kind {
    match key {
        [b'g', b'e', b'n', b'_', b'a', b'i', b'.', rest @ ..] => gen_ai(rest),
        b"session.id" | b"user.id" | b"error.type" | b"millrace.timing" | b"millrace.cost.source" => Kind::Typed,
        _ => Kind::Ordinary,
    }
}

fn gen_ai(rest: &[u8]) -> Kind {
    match rest {
        b"input.messages"
        | b"output.messages"
        | b"system_instructions"
        | b"tool.definitions"
        | b"tool.call.arguments"
        | b"tool.call.result" => Kind::Content,
        _ => Kind::Typed,
    }
}

/// Whether something of an event of this name goes into typed columns.
#[must_use]
pub fn is_event(name: &[u8]) -> bool {
    name == b"exception" || name.starts_with(b"gen_ai.")
}
