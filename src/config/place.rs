//! Where in the file a key is.

/// The line, from 1, on which the last key of a path stands: a key below another one stands after it. Keys in lists have the place of
/// their list. `None` if the file does not say that key, as when the environment does.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut rest = 0;
    let mut found = None;
    for key in path.split('.').map(|key| key.split('[').next().unwrap_or_default()) {
        if key.parse::<usize>().is_ok() {
            continue;
        }
        let at = rest + place_of(text.get(rest..)?, key)?;
        found = Some(at);
        rest = at + key.len();
    }
    let before = text.get(..found?)?;
    Some(before.matches('\n').count() + 1)
}

/// Where a key begins: before it nothing that is part of a name, after it a colon.
fn place_of(text: &str, key: &str) -> Option<usize> {
    let is_key = |(at, _): &(usize, &str)| {
        let (before, after) = (text.get(..*at).unwrap_or_default(), text.get(at + key.len()..).unwrap_or_default());
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_whole = !before.ends_with(|letter: char| letter.is_alphanumeric() || "_-.".contains(letter));
        let after = after.strip_prefix(['"', '\'']).unwrap_or(after).trim_start_matches(' ');
        is_whole && after.starts_with(':') && !line.trim_start().starts_with('#')
    };
    text.match_indices(key).find(is_key).map(|(at, _)| at)
}

/// Messages that begin with a key, or name one that is unknown, with the line of it.
pub(super) fn with_lines(text: &str, problems: Vec<String>) -> Vec<String> {
    let with_line = |problem: String| {
        let path = match problem.strip_prefix("unknown key `") {
            Some(unknown) => unknown.split('`').next(),
            None => problem.split(':').next().and_then(|keys| keys.split(' ').next()),
        };
        let line = path.filter(|_| !problem.contains("(line ")).and_then(|path| line_of(text, path));
        line.map_or(problem.clone(), |line| format!("{problem} (line {line})"))
    };
    problems.into_iter().map(with_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_below_those_above_it() {
        let text =
            "# listen: here\nhttp:\n  listen: a\ngrpc: { listen: b, limits: { listen: 1 } }\nlist:\n  - name: x\n";
        for (path, line) in [
            ("http", Some(2)),
            ("http.listen", Some(3)),
            ("grpc.listen", Some(4)),
            ("grpc.limits.listen", Some(4)),
            ("list.0.name", Some(6)),
            ("list[0].name", Some(6)),
            ("https", None),
            ("isten", None),
        ] {
            assert_eq!(line_of(text, path), line, "{path}");
        }
    }

    #[test]
    fn messages_get_the_line_of_their_key() {
        let text = "memory:\n  limit: 1\njournl: {}\n";
        let problems = [
            "memory.limit: must be more",
            "unknown key `journl`: did you mean `journal`?",
            "clickhouse.url (or A): no",
            "x: y (line 7)",
        ];
        let said = with_lines(text, problems.map(str::to_owned).to_vec());
        assert_eq!(
            said,
            [
                "memory.limit: must be more (line 2)",
                "unknown key `journl`: did you mean `journal`? (line 3)",
                "clickhouse.url (or A): no",
                "x: y (line 7)"
            ]
        );
    }
}
