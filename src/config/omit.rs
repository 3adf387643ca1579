//! A file without a value that cannot be read, so that what else is wrong with it can be said as well.

/// The text without the entry at a place, line and column from 1: a member of a mapping, or an item of a list. Its letters become blanks, so that
/// lines stay where they are. `None` if the place is not in the text.
pub(super) fn without(text: &str, line: usize, column: usize) -> Option<String> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let (letter, _) = text.get(before..)?.char_indices().nth(column.checked_sub(1)?)?;
    let begin = key_of(text, before + letter);
    let end =
        begin + if is_in_brackets(text.get(..begin)?) { flow_end(text.get(begin..)?) } else { block_end(text, begin)? };
    let blank = |letter: char| if letter == '\n' { '\n' } else { ' ' };
    let gone: String = text.get(begin..end)?.chars().map(blank).collect();
    (end > begin)
        .then(|| format!("{}{gone}{}", text.get(..begin).unwrap_or_default(), text.get(end..).unwrap_or_default()))
}

/// Where the key begins whose value begins there; the same place if it is no value of a key.
fn key_of(text: &str, at: usize) -> usize {
    // on another line it is the first key of a mapping, or an item
    let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']);
    let Some(key) = before.strip_suffix(':') else { return at };
    let is_of_key = |letter: char| letter.is_alphanumeric() || "_-.*\"'".contains(letter);
    key.trim_end_matches(is_of_key).len()
}

/// Whether a bracket is open behind a text.
fn is_in_brackets(before: &str) -> bool {
    let mut open: usize = 0;
    let mut letters = before.chars().filter(letters_outside_quotes());
    letters.by_ref().for_each(|letter| match letter {
        '[' | '{' => open += 1,
        ']' | '}' => open = open.saturating_sub(1),
        _ => {}
    });
    open > 0
}

/// Lets letters through that stand outside of quotes and comments.
fn letters_outside_quotes() -> impl FnMut(&char) -> bool {
    let (mut quote, mut before, mut is_comment) = (None, '\n', false);
    move |letter| {
        let earlier = std::mem::replace(&mut before, *letter);
        match (*letter, quote) {
            ('\n', _) => is_comment = false,
            (_, None) if is_comment => return false,
            (closing, Some(open)) if closing == open => quote = None,
            (_, Some(_)) => return false,
            ('#', None) if earlier.is_whitespace() => is_comment = true,
            ('"' | '\'', None) if earlier.is_whitespace() || "[{,:".contains(earlier) => quote = Some(*letter),
            _ => {}
        }
        true
    }
}

/// How long an entry between brackets is, with the comma behind it.
fn flow_end(text: &str) -> usize {
    let (mut open, mut is_outside) = (0_usize, letters_outside_quotes());
    for (at, letter) in text.char_indices() {
        if !is_outside(&letter) {
            continue;
        }
        match letter {
            '[' | '{' => open += 1,
            ']' | '}' if open == 0 => return at,
            ']' | '}' => open -= 1,
            ',' if open == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long an entry is that is no part of brackets: to the end of its line, with the lines that are below it.
fn block_end(text: &str, begin: usize) -> Option<usize> {
    let line = text.get(..begin)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = begin - line;
    let is_item = text.get(line..begin)?.trim_start().starts_with('-');
    let mut lines = text.get(begin..)?.split_inclusive('\n');
    let mut length = lines.next()?.len();
    for next in lines {
        let blanks = next.len() - next.trim_start_matches(' ').len();
        let is_below = blanks > indent || blanks == indent && !is_item && next.trim_start().starts_with("- ");
        if !is_below && !next.trim().is_empty() {
            break;
        }
        length += next.len();
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_a_place_goes_and_lines_stay() {
        for (text, place, left) in [
            ("a: { b: x, c: [1, y] }\nd: 1\n", (1, 9), "a: {       c: [1, y] }\nd: 1\n"),
            ("a: { b: x, c: [1, y] }\n", (1, 19), "a: { b: x, c: [1,  ] }\n"),
            ("a: { b: x, c: { d: 1 } }\n", (1, 15), "a: { b: x,             }\n"),
            ("a:\n  b: x\n  c: 1\n", (2, 6), "a:\n      \n  c: 1\n"),
            ("a:\n  b:\n    d: 1\n    e: 2\n  c: 1\n", (3, 5), "a:\n  b:\n        \n    e: 2\n  c: 1\n"),
            ("a:\n- b: 'x, }'\n  c: 1\n", (2, 6), "a:\n-          \n  c: 1\n"),
            ("a: { b: 'x, }', c: 1 }\n", (1, 9), "a: {            c: 1 }\n"),
            ("a: # [\n  b: x\n  c: 1\n", (2, 6), "a: # [\n      \n  c: 1\n"),
        ] {
            assert_eq!(without(text, place.0, place.1).as_deref(), Some(left), "{text}");
        }
        for place in [(0, 1), (1, 0), (9, 1), (1, 99)] {
            assert_eq!(without("a: 1\n", place.0, place.1), None, "{place:?}");
        }
    }
}
