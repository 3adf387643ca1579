//! What a file and the environment become, and how what is wrong is said.

use super::explain::defaults;
use super::*;
use crate::secret::Secret;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, &Environment::from([("HOST".to_owned(), "ch".to_owned())])).map_err(|error| error.to_string())
}

#[test]
fn no_file_an_empty_file_and_the_printed_defaults_are_the_same() {
    let defaults = Config::default();
    assert_eq!(parse("").as_ref(), Ok(&defaults));
    assert_eq!(parse("# nothing\n").as_ref(), Ok(&defaults));
    assert_eq!(parse(&defaults.to_yaml().unwrap()).as_ref(), Ok(&defaults));
}

#[test]
fn durations_are_printed_as_people_write_them() {
    let text = "receivers: { timestamps: { past: 3650d, future: 90d } }\nretention: { spans: 60d, logs: forever }\nexporter: { flush_after: 1500ms }";
    let printed = parse(text).unwrap().to_yaml().unwrap();
    for line in
        ["past: 3650days\n", "future: 90days\n", "spans: 60days\n", "logs: forever\n", "flush_after: 1s 500ms\n"]
    {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert_eq!(parse(&printed), parse(text));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example = include_str!("../../deploy/config.example.yaml");
    assert_eq!(parse(example).as_ref(), Ok(&Config::default()));
    let given: serde_json::Value = serde_saphyr::from_str(example).unwrap();
    let mut missing = Vec::new();
    keys_missing(&defaults(), &given, "", &mut missing);
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

/// The keys of `known` that are not in `given`.
fn keys_missing(known: &serde_json::Value, given: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
    for (key, value) in known.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match given.get(key) {
            Some(given) => keys_missing(value, given, &path, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn the_keys_of_the_documentation_are_read() {
    let config = parse(
        "data_dir: /var/lib/millrace\n\
         receivers:\n  otlp_grpc: { listen: 0.0.0.0:14317 }\n  http: { listen: \"[::1]:14318\" }\n\
         exporter: { flush_after: 1s 500ms }\n\
         clickhouse: { url: \"http://${env:HOST}:8123\", user: \"${env:USER_NAME:-writer}\", password: a$$b, database: llm }\n",
    )
    .unwrap();
    assert_eq!(config.receivers.otlp_grpc.listen.to_string(), "0.0.0.0:14317");
    assert_eq!(config.receivers.http.listen.to_string(), "[::1]:14318");
    assert_eq!(config.exporter.flush_after.as_millis(), 1_500);
    assert_eq!(config.clickhouse.url, Some("http://ch:8123".into()));
    assert_eq!(config.clickhouse.user.as_deref(), Some("writer"));
    assert_eq!(config.clickhouse.password.as_ref().map(Secret::reveal), Some("a$b"));
    assert_eq!(config.clickhouse.database.to_string(), "llm");
}

#[test]
fn each_value_that_cannot_be_read_is_told_and_what_it_leaves_behind_is_not() {
    let said = parse(
        "auth:\n  tokens:\n    - name: a\n      scopes: [read, fly]\n      workspaces: [a]\n      hash: x\nlog: { level: loud, format: [] }\nzzz: 1\n",
    )
    .unwrap_err();
    let said: Vec<&str> = said.lines().collect();
    let begins =
        ["unknown key `zzz`", "auth.tokens[0].scopes[1]: ", "auth.tokens[0].hash: ", "log.level: ", "log.format: "];
    assert!(begins.iter().all(|begin| said.iter().any(|problem| problem.starts_with(begin))), "{said:#?}");
    assert_eq!(said.len(), begins.len(), "{said:#?}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let error = parse("receivers:\n  otlp_grcp: {}\njournal: { segment_row: 5 }\nzzz: 1\n").unwrap_err();
    assert!(error.contains("unknown key `receivers.otlp_grcp`: did you mean `otlp_grpc`?"), "{error}");
    assert!(error.contains("unknown key `journal.segment_row`: did you mean `segment_rows`?"), "{error}");
    assert!(error.contains("unknown key `zzz`: known here: data_dir, receivers"), "{error}");
}

#[test]
fn a_section_without_keys_is_all_defaults() {
    let empty = "receivers:\nmemory: ~\nadmin:\n  health:\n  metrics:\ngenai: null\nlog:\n";
    assert_eq!(parse(empty).as_ref(), Ok(&Config::default()));
    assert_eq!(parse("receivers:\n  http:\n  otlp_grpc:\n").as_ref(), Ok(&Config::default()));
}

#[test]
fn a_value_of_the_wrong_kind_is_said_by_its_key() {
    for (yaml, said) in [
        (
            "receivers: { http: { listen: 'localhost:4318' } }",
            "receivers.http.listen: \"localhost:4318\" is not an IP address with a port (example: 127.0.0.1:4318)",
        ),
        (
            "embedded: { listen: 8123 }",
            "embedded.listen: 8123 is not an IP address with a port (example: 127.0.0.1:8123)",
        ),
        ("genai: { keep_raw: maybe }", "genai.keep_raw: \"maybe\" is not true or false"),
        ("memory: { limit: }", "memory.limit: has no value; write one, or leave the key out"),
        ("log: debug", "log: must have keys below it: level, format"),
        ("journal: { segment_rows: [1] }", "journal.segment_rows: must be a single value, such as 100000"),
        ("joiner: { batch: many }", "joiner.batch: \"many\" is not an integer (example: 1000)"),
        ("joiner: { window: soon }", "joiner.window: \"soon\" is not a duration (example: 7days)"),
        ("joiner: { interval: 5 }", "joiner.interval: 5 is not a duration (example: 2s)"),
        (
            "retention: { spans: 30 }",
            "retention.spans: \"30\" is not a duration (examples: 30d, 1y, forever) (line 1, column 21)",
        ),
        (
            "retention: { workspaces: { a: { span: 3d } } }",
            "retention.workspaces.a.span: unknown field `span`, expected one of spans, logs, metrics, scores, content (line 1, column 33)",
        ),
        (
            "retention: { workspaces: [a] }",
            "retention.workspaces: must have names of your choice below it, each with its keys",
        ),
        (
            "exporter: { order: backwards }",
            "exporter.order: unknown variant `backwards`, expected one of fair, oldest_first, newest_first (line 1, column 20)",
        ),
    ] {
        assert_eq!(parse(yaml).unwrap_err(), said, "{yaml}");
    }
    assert!(parse("joiner: { window: 0 }").is_ok());
    assert!(parse("- a").unwrap_err().starts_with("the file must have keys at the top: data_dir, "));
}

#[test]
fn a_wrong_value_or_a_missing_variable_is_said() {
    assert!(parse("receivers: { http: { listen: nonsense } }").unwrap_err().contains("listen"));
    assert!(parse("data_dir: ${env:NOT_THERE}").unwrap_err().contains("NOT_THERE is not set"));
    assert!(parse("clickhouse: { database: 'a; DROP' }").unwrap_err().contains("database name"));
    let config = Config {
        clickhouse: clickhouse::Config { url: Some("ch:9000".into()), ..Default::default() },
        ..Config::default()
    };
    assert!(config.check().unwrap_err().to_string().contains("must be the HTTP interface"));
    let nowhere = parse("clickhouse: { url: 'http://ch', replica_path: '/x/{table}' }").unwrap();
    assert!(nowhere.check().unwrap_err().to_string().contains("clickhouse.replica_path: needs clickhouse.cluster"));
    let wide = parse("embedded: { listen: \"0.0.0.0:8123\" }").unwrap();
    assert!(wide.check().unwrap_err().to_string().contains("embedded.listen: 0.0.0.0:8123 is not loopback"));
    assert!(parse("{ embedded: { listen: \"0.0.0.0:8123\" }, clickhouse: { password: x } }").unwrap().check().is_ok());
}

/// What a file becomes with one variable, X.
fn parse_with(text: &str, x: &str) -> Result<Config, String> {
    Config::parse(text, &Environment::from([("X".to_owned(), x.to_owned())])).map_err(|error| error.to_string())
}

#[test]
fn a_variable_gives_a_value_whatever_it_holds_and_nothing_else() {
    for x in [
        "plain",
        "a #b",
        "null",
        "~",
        "true",
        "0123",
        "1e3",
        "p: \"x",
        "}, database: other, {",
        "a\ndata_dir: elsewhere",
        "- a",
        "[",
        "*x",
        "&x",
        "!!int 5",
        "|",
        "${env:X}",
        "$V0",
        "${V0}",
        "$$",
        "'",
        "\"",
        "\\",
        "%",
        "@",
        "`",
        "é\u{2028}",
        " spaces ",
    ] {
        for file in [
            "clickhouse:\n  password: ${env:X}\n",
            "clickhouse:\n  password: ${env:X} # not a part of it\n",
            "clickhouse: { password: ${env:X}, database: otel }",
            "clickhouse: { password: \"${env:X}\" }",
            "clickhouse: { password: '${env:X}' }",
            "clickhouse: { password: ${env:NONE:-${env:X} }",
        ] {
            let is_default = file.contains("NONE");
            let want = Config {
                clickhouse: clickhouse::Config {
                    password: Some(Secret::from(if is_default { "${env:X" } else { x }.to_owned())),
                    ..Default::default()
                },
                ..Config::default()
            };
            assert_eq!(parse_with(file, x).as_ref(), Ok(&want), "{file} with {x:?}");
        }
    }
}

#[test]
fn values_of_variables_have_the_type_that_their_key_has() {
    let file = "journal: { segment_rows: ${env:X} }";
    assert_eq!(parse_with(file, "77").unwrap().journal.segment_rows, 77);
    assert!(!parse_with("genai: { keep_raw: ${env:X} }", "false").unwrap().genai.keep_raw);
    assert_eq!(parse_with("memory: { limit: ${env:X} }", "64MiB").unwrap().memory.limit, ByteSize::mib(64));
    assert_eq!(parse_with("memory: { limit: ${env:X}MiB }", "64").unwrap().memory.limit, ByteSize::mib(64));
    assert_eq!(parse_with("joiner: { interval: ${env:X} }", "3s").unwrap().joiner.interval.as_secs(), 3);
    assert_eq!(
        parse_with("retention: { spans: ${env:X} }", "30d").unwrap(),
        parse("retention: { spans: 30d }").unwrap()
    );
    assert_eq!(parse_with("log: { level: ${env:X} }", "debug").unwrap().log.level, Level::Debug);
    let http = parse_with("receivers: { http: { listen: \"127.0.0.1:${env:X}\" } }", "99").unwrap().receivers.http;
    assert_eq!(http.listen.port(), 99);
    let url = "clickhouse: { url: \"http://${env:X}_y:${env:PORT:-8123}/$$a$b\" }";
    assert_eq!(parse_with(url, "h").unwrap().clickhouse.url, Some("http://h_y:8123/$a$b".into()));
    let nothing = "clickhouse:\n  password: ${env:X}\n";
    assert!(parse_with(nothing, "").unwrap_err().contains("${env:X}: X is not set"));
    assert_eq!(parse_with(&nothing.replace("X}", "X:-}"), "").unwrap(), Config::default());
    // a line that is a comment needs no variable
    assert_eq!(parse("# password: ${env:NOT_THERE}\n").unwrap(), Config::default());
}

#[test]
fn no_message_shows_the_value_of_a_variable() {
    let secret = "hunter2: [";
    for (file, said) in [
        ("data_dir: ${env:X}\n a: b", ""),
        ("${env:X}: 1", "unknown key `${env:X}`"),
        ("receivers: { http: { listen: \"${env:X}\" } }", "receivers.http.listen: ${env:X} is not an IP address"),
        ("journal: { segment_rows: ${env:X} }", "journal.segment_rows: ${env:X} is not an integer"),
        ("genai: { keep_raw: ${env:X} }", "genai.keep_raw: ${env:X} is not true or false"),
        ("joiner: { interval: ${env:X} }", "joiner.interval: ${env:X} is not a duration"),
        ("memory: { limit: ${env:X:-5} }", "memory.limit: the value of ${env:X:-5} does not fit (line 1"),
        ("clickhouse: { database: a-${env:X} }", "clickhouse.database: the value of a-${env:X} does not fit"),
        ("retention: { spans: ${env:X} }", "retention.spans: the value of ${env:X} does not fit"),
        ("retention: { workspaces: { a: { span: ${env:X} } } }", "retention.workspaces.a"),
        ("retention: { workspaces: { a: { spans: ${env:X} } } }", "retention.workspaces.a"),
        ("log: { level: ${env:X} }", "log.level: the value of ${env:X} does not fit"),
        ("embedded: { queries_max: [${env:X}] }", "must be a single value"),
        ("exporter: { order: ${env:X} }", "exporter.order: the value of ${env:X} does not fit"),
    ] {
        let error = parse_with(file, secret).unwrap_err();
        assert!(!error.contains("hunter2") && error.contains(said), "{file}: {error}");
    }
    let nowhere = parse_with("clickhouse: { url: \"${env:X}\" }", secret).unwrap();
    let error = nowhere.check().unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("clickhouse.url: must be the HTTP interface"), "{error}");
}

#[test]
fn several_addresses_of_clickhouse_are_a_list_or_a_text_with_commas() {
    let want = Some("http://a:8123,https://b:8443/x".into());
    for yaml in [
        "clickhouse: { url: [http://a:8123, https://b:8443/x] }",
        "clickhouse: { url: 'http://a:8123, https://b:8443/x' }",
        "clickhouse:\n  url:\n    - \"http://${env:X}:8123\"\n    - https://b:8443/x\n",
        "clickhouse:\n  url: http://${env:X}:8123,https://b:8443/x\n",
    ] {
        let config = parse_with(yaml, "a").unwrap();
        assert_eq!(config.clickhouse.url, want, "{yaml}");
        assert_eq!(parse(&config.to_yaml().unwrap()).unwrap(), config, "as it is printed");
    }
    assert_eq!(
        parse_with("clickhouse:\n  url: ${env:X}\n", "http://a:8123,https://b:8443/x").unwrap().clickhouse.url,
        want
    );
    let mut config = Config::default();
    config.apply(&Environment::from([(
        "MILLRACE_CLICKHOUSE_URL".to_owned(),
        "http://a:8123, https://b:8443/x".to_owned(),
    )]));
    assert_eq!(config.clickhouse.url, want);
}

#[test]
fn an_address_of_clickhouse_that_cannot_be_meant_is_named_and_not_shown() {
    let problem = |url: &str| {
        let config = parse(&format!("clickhouse: {{ url: {url}, cluster: one }}"))?;
        config.check().map_err(|error| error.to_string())
    };
    for (url, said) in [
        ("hunter2:9000", "must be the HTTP interface, such as http://clickhouse:8123"),
        ("'http://a:8123,'", "entry 2 must be the HTTP interface, such as http://clickhouse:8123"),
        ("[http://a:8123, 'tcp://hunter2:9000']", "entry 2 must be the HTTP interface, such as http://clickhouse:8123"),
        (
            "[http://a:8123, 'http://me:hunter2@b:8123']",
            "entry 2 must not have a user or password in it: set clickhouse.user and clickhouse.password",
        ),
        (
            "'http://a:8123/?password=hunter2'",
            "must not have a query: none of it would be sent; settings belong to the profile of clickhouse.user",
        ),
        ("[http://a:8123, http://b:8123, 'http://A:8123/']", "entry 3 is the same as entry 1"),
        ("[]", "the list has no address (line 1"),
        ("{ a: b }", "invalid type: map, expected an address, such as http://clickhouse:8123, or a list of addresses"),
    ] {
        let error = problem(url).unwrap_err();
        assert!(error.starts_with(&format!("clickhouse.url: {said}")) && !error.contains("hunter2"), "{url}: {error}");
    }
    let many: Vec<String> = (0..65).map(|number| format!("http://n{number}:8123")).collect();
    assert_eq!(problem(&format!("{many:?}")).unwrap_err(), "clickhouse.url: must have at most 64 entries, not 65");
    assert_eq!(problem("[http://a:8123, http://b:8123]"), Ok(()));
    let alone = parse("clickhouse: { url: [http://a:8123, http://b:8123] }").unwrap().check().unwrap_err().to_string();
    assert!(alone.starts_with("clickhouse.url: several addresses need clickhouse.cluster."), "{alone}");
}

#[test]
fn a_password_is_not_shown_by_debug() {
    let config = parse("clickhouse: { password: hunter2 }").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn several_problems_are_named_at_once() {
    let unknown = parse("joiner: { batch: 5, bach: 6 }\nlog: { levl: info }\n").unwrap_err();
    assert_eq!(
        unknown,
        "unknown key `joiner.bach`: did you mean `batch`?\nunknown key `log.levl`: did you mean `level`?"
    );
    let wrong = parse("{ joiner: { batch: 0 }, clickhouse: { url: 'ch:9000' }, dedup: { max_spans: 1000000001 } }");
    let problems = wrong.unwrap().check().unwrap_err().to_string();
    let keys: Vec<&str> = problems.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
    assert_eq!(keys, ["clickhouse.url", "joiner.batch", "dedup.max_spans"]);
}

#[test]
fn a_value_that_is_missing_or_too_large_is_named_by_its_key() {
    for (yaml, said) in [
        ("data_dir:", "data_dir: has no value"),
        ("clickhouse: { database: }", "clickhouse.database: has no value"),
        ("genai: { keep_raw: ~ }", "genai.keep_raw: has no value"),
        ("joiner: { batch: -1 }", "joiner.batch: -1 is not an integer (example: 1000)"),
        ("joiner: { batch: 1.5 }", "joiner.batch: 1.5 is not an integer (example: 1000)"),
        ("receivers: { timestamps: { days_per_hour: 5000000000 } }", "receivers.timestamps.days_per_hour: "),
    ] {
        let error = parse(yaml).unwrap_err();
        assert!(error.starts_with(said), "{yaml}: {error}");
    }
}

#[test]
fn a_file_that_is_not_yaml_is_called_so_whatever_keys_it_has() {
    for yaml in ["a: [", "a: 1\na: 2", "joiner: { batch: 5"] {
        let error = parse(yaml).unwrap_err();
        assert!(error.contains("line 1") || error.contains("line 2"), "{yaml}: {error}");
        assert!(!error.contains("unknown key"), "{yaml}: {error}");
    }
}
