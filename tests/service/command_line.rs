//! The command line and the configuration file, as an operator meets them.

use std::fs;
use std::process::{Command, Output};

use crate::rows::COLUMNS;
use support::{Service, project, service, wait_until};

fn run(arguments: &[&str]) -> Output {
    service::binary().args(arguments).output().expect("the binary runs")
}

fn validate(yaml: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("millrace.yaml");
    fs::write(&file, yaml).expect("the configuration can be written");
    let output = run(&["validate", "--config", file.to_str().expect("a plain path")]);
    (output.status.code(), said(&output))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_good_configuration_is_valid_and_so_is_none() {
    assert_eq!(run(&["validate"]).status.code(), Some(0));
    let (code, said) = validate("receivers: { http: { listen: '127.0.0.1:1' } }\n");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = validate("");
    assert_eq!(code, Some(0), "an empty file is all defaults: {said}");
}

#[test]
fn every_problem_of_a_file_is_said_at_once_with_its_line() {
    let (code, said) = validate("memory: { limit: 1 }\njournal:\n  segment_rows: 0\nrecievers: {}\n");
    assert_eq!(code, Some(1));
    for problem in ["memory.limit: ", "(line 1)", "journal.segment_rows: ", "(line 3)", "`recievers`", "(line 4)"] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
}

#[test]
fn one_problem_hides_no_other_whatever_is_wrong_with_each() {
    let (code, said) = validate(
        "receivers:\n  otlp_grpc: { listen: nowhere, tls: { cert_file: [] } }\n  http:\n    listen: 127.0.0.1:1\n    limts: 3\n\
         quotas:\n  rows_per_second: -5\n  workspaces: { a: { journal_bytes: 1XiB } }\n\
         redaction: { detectors: [email, nonsense] }\nlog: { level: loud }\n",
    );
    assert_eq!(code, Some(1));
    for (key, line) in [
        ("receivers.otlp_grpc.listen: ", 2),
        ("`receivers.http.limts`", 5),
        ("quotas.rows_per_second: ", 7),
        ("quotas.workspaces.a.journal_bytes: ", 8),
        ("redaction.detectors[1]: ", 9),
        ("log.level: ", 10),
    ] {
        let problem = said.lines().find(|problem| problem.contains(key)).unwrap_or_else(|| panic!("{key}: {said}"));
        assert!(problem.contains(&format!("(line {line}")), "{line}: {problem}");
    }
    let (code, said) = validate(
        "auth:\n  tokens_file: /nowhere/tokens.yaml\nreceivers:\n  otlp_grpc: { listen: 127.0.0.1:1, tls: { cert_file: /nowhere/a, key_file: /nowhere/b } }\n",
    );
    assert_eq!(code, Some(1));
    for (key, line) in [("auth.tokens_file: ", 2), ("receivers.otlp_grpc.tls: ", 4)] {
        let problem = said.lines().find(|problem| problem.contains(key)).unwrap_or_else(|| panic!("{key}: {said}"));
        assert!(problem.contains(&format!("(line {line})")), "{line}: {problem}");
    }
    let (_, said) = validate(
        "receivers: { otlp_grpc: { listen: 127.0.0.1:7 }, http: { listen: 127.0.0.1:7 } }\n\
         redaction:\n  patterns: [{ name: a, regex: '(' }, { name: B, regex: b, action: hash }]\n\
         quotas: { workspaces: { 'a b': { rows_per_second: 0 } } }\n",
    );
    let keys = [
        "receivers.http.listen: ",
        "patterns[0].regex: ",
        "patterns[1].name: ",
        "redaction.hash_key: ",
        "rows_per_second: ",
        "\"a b\"",
    ];
    assert!(keys.iter().all(|key| said.contains(key)), "{said}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (yaml, unknown, nearest) in [
        ("recievers: {}\n", "recievers", "receivers"),
        ("receivers: { http: { lisen: '127.0.0.1:1' } }\n", "lisen", "listen"),
        ("clickhouse: { databse: x }\n", "databse", "database"),
    ] {
        let (code, said) = validate(yaml);
        assert!(code.is_some_and(|code| code != 0), "{yaml} passed");
        assert!(said.contains(unknown) && said.contains(nearest), "{yaml}: {said}");
    }
}

#[test]
fn a_wrong_value_is_refused_and_named() {
    let (code, said) = validate("receivers: { http: { listen: 'nowhere' } }\n");
    assert!(code.is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("listen"), "{said}");
    let (code, _) = validate("memory: { limit: [1] }\n");
    assert!(code.is_some_and(|code| code != 0));
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let output = run(&["validate", "--config", "/nowhere/millrace.yaml"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(said(&output).contains("/nowhere/millrace.yaml"), "{}", said(&output));
}

#[test]
fn variables_of_the_environment_fill_in() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("millrace.yaml");
    fs::write(&file, "clickhouse: { database: '${env:MILLRACE_TEST_DB:-otel}' }\n")
        .expect("the configuration can be written");
    let path = file.to_str().expect("a plain path");
    assert_eq!(run(&["validate", "--config", path]).status.code(), Some(0));
    let mut command = service::binary();
    command.args(["validate", "--config", path]).env("MILLRACE_TEST_DB", "otel }\nnonsense: 1");
    let output = command.output().expect("the binary runs");
    assert_ne!(output.status.code(), Some(0), "the variable was not filled in");
    let said = said(&output);
    assert!(said.contains("clickhouse.database: the value of ${env:MILLRACE_TEST_DB:-otel}"), "{said}");
    assert!(!said.contains("nonsense"), "{said}");
}

#[test]
fn the_example_of_the_configuration_is_valid() {
    let file = project().join("deploy/config.example.yaml");
    let output = run(&["validate", "--config", file.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn schema_prints_the_table_with_all_columns() {
    let output = run(&["schema"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ddl = String::from_utf8_lossy(&output.stdout);
    assert!(ddl.contains("CREATE TABLE") && ddl.contains("otel_traces"), "{ddl}");
    for column in COLUMNS {
        let nested = column.rsplit_once('.').map_or(column, |(_, inner)| inner);
        assert!(ddl.contains(nested), "{column} is not in the DDL:\n{ddl}");
    }
    for column in ["RawRequest", "RawResponse"] {
        assert!(ddl.contains(&format!("`{column}` String CODEC(ZSTD(3))")), "{column}:\n{ddl}");
    }
    assert!(!ddl.contains("ALTER TABLE"), "what older tables lack, `schema check` says:\n{ddl}");
}

#[test]
fn the_version_is_printed() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said(&output).trim(), format!("millrace {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_two_lines_to_try_work_as_printed() {
    let service = Service::start();
    // A command may go over several lines, each but its last ending in a backslash.
    let log = service.log().replace("\\\n", " ");
    let commands: Vec<&str> = log.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 2, "{log}");
    let shell = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).output().expect("bash runs");
        assert!(output.status.success(), "{command}\n{}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = shell(commands.first().expect("two commands"));
    assert!(said.contains("span_id"), "the pair was not taken: {said}");
    let query = commands.last().expect("two commands");
    wait_until("the query shows the pair", || (!shell(query).trim().is_empty()).then_some(()));
}

#[test]
fn an_unknown_command_is_refused() {
    assert!(run(&["sevre"]).status.code().is_some_and(|code| code != 0));
}
