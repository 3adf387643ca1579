//! A file without a value that cannot be read, so that what else is wrong with it can be said as well.

/// The text without the entry at a place, line and column from 1: a member of a mapping, or an item of a list. Its letters become blanks, so that
/// lines stay where they are. `None` if the place is not in the text.
pub(super) fn without(text: &str, line: usize, column: usize) -> Option<String> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let (letter, _) = text.get(before..)?.char_indices().nth(column.checked_sub(1)?)?;
    let begin = key_of(text, before + letter)?;
    let (front, rest) = text.split_at_checked(begin)?;
    let length = if is_in_brackets(front) { flow_end(rest) } else { block_end(front, rest)? };
    let (entry, behind) = rest.split_at_checked(length)?;
    let gone: String = entry.chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }).collect();
    (!entry.is_empty()).then(|| format!("{front}{gone}{behind}"))
}

/// Where the key begins whose value begins there; the same place if it is no value of a key.
fn key_of(text: &str, at: usize) -> Option<usize> {
    // on another line it is the first key of a mapping, or an item
    let before = text.get(..at)?.trim_end_matches([' ', '\t']);
    let is_of_key = |letter: char| letter.is_alphanumeric() || "_-.*\"'".contains(letter);
    Some(before.strip_suffix(':').map_or(at, |key| key.trim_end_matches(is_of_key).len()))
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
fn block_end(front: &str, rest: &str) -> Option<usize> {
    let own_line = front.rsplit('\n').next()?;
    let (indent, is_item) = (own_line.len(), own_line.trim_start().starts_with('-'));
    let mut lines = rest.split_inclusive('\n');
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
