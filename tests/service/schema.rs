//! The schema over time: tables of earlier versions and of the OpenTelemetry exporter, several Millraces at once, an operator
//! who makes the tables, and a ClickHouse that came back as another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use support::http::{get, post_json};
use support::sql::Sql;
use support::{Engine, Options, Server, Service, project, service, wait_until};

const FIXTURES: [&str; 5] = ["v1", "v2", "v3", "v4", "stock"];
const PLAIN: &str = "clickhouse: { url: 'URL' }\n";
const VERSIONS: &str = "SELECT groupArray(version) AS v FROM (SELECT version FROM millrace_schema ORDER BY version)";

/// The statements of a file, without its comments.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let statements = lines.join("\n");
    statements.split(";\n").map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn load(engine: &Engine, fixture: &str) {
    let file = project().join(format!("tests/fixtures/schema/{fixture}.sql"));
    for statement in statements(&fs::read_to_string(file).expect("the fixture can be read")) {
        engine.sql("default").rows(&statement, &[]);
    }
}

/// `millrace schema ACTION` with this configuration.
pub(crate) fn schema(action: &str, config: &Path) -> Output {
    let mut command = service::binary();
    command.args(["schema", action, "--config"]).arg(config);
    command.output().expect("the binary runs")
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
}

fn apply(config: &Path) {
    succeeds(&schema("apply", config));
}

/// Everything in the database, as ClickHouse prints it.
fn everything(sql: &Sql) -> Vec<Value> {
    sql.rows("SELECT name, create_table_query FROM system.tables WHERE database = 'otel' ORDER BY name", &[])
}

fn columns(sql: &Sql) -> Vec<Value> {
    let query = "SELECT name, type, default_kind, default_expression FROM system.columns \
                 WHERE database = 'otel' AND table = 'otel_traces' ORDER BY name";
    sql.rows(query, &[])
}

#[test]
fn a_table_of_each_earlier_version_and_a_foreign_one_get_what_they_lack_and_keep_their_rows() {
    let fresh = Engine::start();
    apply(&fresh.config_of_a_writer(PLAIN));
    let want = columns(&fresh.sql("otel"));
    for fixture in FIXTURES {
        let engine = Engine::start();
        load(&engine, fixture);
        let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
        assert_eq!(schema("check", &config).status.code(), Some(1), "{fixture} lacks something");
        apply(&config);
        assert_eq!(columns(&sql), want, "{fixture}");
        assert_eq!(
            sql.rows(VERSIONS, &[]),
            [json!({"v": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]})],
            "{fixture}"
        );
        succeeds(&schema("check", &config));
        let before = everything(&sql);
        apply(&config);
        assert_eq!(everything(&sql), before, "{fixture}: a second time changes nothing");

        let old = "SELECT count() AS n, sum(toUInt64(AllAttributes['n'])) AS sum, countIf(Workspace = 'team') AS team, \
                   countIf(Workspace = 'default') AS rest, countIf(InputMessages = '' AND isNull(TotalTokens)) AS empty \
                   FROM otel_traces WHERE SpanName = 'old'";
        let want = json!({"n": 1000, "sum": 499_500, "team": 500, "rest": 500, "empty": 1000});
        assert_eq!(sql.rows(old, &[]), [want], "{fixture}");
        assert_every_trace_is_found(&sql, fixture);
    }
}

/// The statements that make everything, as an operator gets them.
fn printed(config: &Path) -> Vec<String> {
    let output = schema("print", config);
    succeeds(&output);
    statements(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn a_start_that_ended_between_two_statements_is_finished_by_the_next() {
    let engine = Engine::start();
    let (sql, config) =
        (engine.sql("otel"), engine.config_of_a_writer(&format!("{PLAIN}retention: {{ spans: 30d }}\n")));
    apply(&config);
    let (want, all) = (everything(&sql), printed(&config));
    let begins = |with: &str| all.iter().position(|statement| statement.starts_with(with)).expect("one begins so");
    let spans = begins("CREATE TABLE IF NOT EXISTS otel.otel_traces\n");
    let first_view = begins("CREATE OR REPLACE VIEW");
    let noted = begins("INSERT INTO otel.millrace_schema");
    for done in
        [1, spans, spans + 1, first_view, first_view + 1, begins("CREATE OR REPLACE VIEW otel.genai_calls") + 1, noted]
    {
        let of_all = format!("{done} of {}", all.len());
        engine.sql("default").rows("DROP DATABASE otel SYNC", &[]);
        for statement in all.iter().take(done) {
            engine.sql("default").rows(statement, &[]);
        }
        assert_eq!(schema("check", &config).status.code(), Some(1), "something is lacking after {of_all}");
        apply(&config);
        assert_eq!(everything(&sql), want, "{of_all}");
        succeeds(&schema("check", &config));
    }
}

#[test]
fn a_first_start_that_is_killed_again_and_again_ends_in_the_same_schema() {
    let mut whole = Service::start();
    let want = everything(&whole.sql());
    whole.terminate();
    let options = Options { own_group: true, fixed_ports: true, ..Options::default() };
    let mut service = Service::start_without_waiting(options);
    for tables in [1, 3, 8, 20, 35] {
        let folder = service.data_dir().join("clickhouse/store");
        wait_until("some tables are made", || (definitions_in(&folder) >= tables).then_some(()));
        service.kill_group();
        service.start_again_without_waiting();
    }
    service.wait_until_ready();
    assert_eq!(everything(&service.sql()), want);
    wait_for_span(&service.sql(), &post(&service, "m"));
}

/// How many tables and views are defined in the folder of an engine.
fn definitions_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { definitions_in(&path) } else { usize::from(is_definition(&path)) }).sum()
}

fn is_definition(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sql")
}

/// An older ClickHouse does not know all settings, and an operator may forbid some.
#[test]
fn settings_that_a_clickhouse_does_not_take_are_left_out_and_said_and_the_others_are_there() {
    let refused = ["merge_selector_base", "string_serialization_version", "enable_block_offset_column"];
    let constraints =
        refused.map(|setting| format!("<merge_tree_{setting}><readonly/></merge_tree_{setting}>")).concat();
    let server = Server::start_with_users(&format!(
        "<profiles><default><constraints>{constraints}</constraints></default></profiles><quotas><default/></quotas>\
         <users><default><no_password/><profile>default</profile></default></users>"
    ));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let config = folder.path().join("writer.yaml");
    let yaml = format!("clickhouse: {{ url: '{}' }}\nretention: {{ spans: 30d }}\n", server.url());
    fs::write(&config, yaml).expect("the configuration can be written");
    let applied = schema("apply", &config);
    succeeds(&applied);
    let sql = server.sql("otel");
    let made =
        sql.rows("SELECT engine_full AS e FROM system.tables WHERE database = 'otel' AND name = 'otel_traces'", &[]);
    let made = made.first().and_then(|row| row["e"].as_str()).expect("the table is there").to_owned();
    for setting in refused {
        assert!(said(&applied).contains(&format!("MODIFY SETTING {setting} = ")), "{setting}: {}", said(&applied));
        assert!(!made.contains(setting), "{made}");
    }
    for part in ["enable_block_number_column = 1", "ttl_only_drop_parts = 1", "+ toIntervalSecond(2592000) SETTINGS"] {
        assert!(made.contains(part), "{part}: {made}");
    }
    let missing = schema("check", &config);
    let missing = String::from_utf8_lossy(&missing.stdout).into_owned();
    let lines = missing.lines().filter(|line| line.starts_with("-- missing: "));
    assert!(
        lines.clone().count() > 0 && lines.clone().all(|line| line.starts_with("-- missing: setting ")),
        "{missing}"
    );
}

#[test]
fn a_view_that_was_made_from_another_text_is_made_anew() {
    let engine = Engine::start();
    let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
    apply(&config);
    let before = everything(&sql);
    sql.rows(
        "CREATE OR REPLACE VIEW otel_traces_trace_id_ts AS SELECT '' AS TraceId COMMENT 'made by millrace, long ago'",
        &[],
    );
    let lacking = said(&schema("check", &config));
    assert!(lacking.contains("-- missing: view otel.otel_traces_trace_id_ts\n"), "{lacking}");
    apply(&config);
    assert_eq!(everything(&sql), before);
}

#[test]
fn a_column_of_another_type_is_named() {
    let engine = Engine::start();
    let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
    apply(&config);
    sql.rows("ALTER TABLE otel_traces MODIFY COLUMN SessionId LowCardinality(String)", &[]);
    let output = schema("check", &config);
    let want = "-- differs: column SessionId of otel.otel_traces is LowCardinality(String), not String\n";
    assert!(said(&output).contains(want), "{}", said(&output));
    succeeds(&output);
}

#[test]
fn a_ttl_that_an_operator_gave_the_table_stays_until_retention_is_configured() {
    let engine = Engine::start();
    load(&engine, "stock");
    let (sql, ttl) = (engine.sql("otel"), "SELECT engine_full AS e FROM system.tables WHERE name = 'otel_traces'");
    let has = |part: &str| sql.rows(ttl, &[]).iter().all(|row| row["e"].as_str().is_some_and(|e| e.contains(part)));
    apply(&engine.config_of_a_writer(PLAIN));
    assert!(has(" TTL toDateTime(Timestamp) + toIntervalDay(3650) SETTINGS"));
    let said = said(&schema("apply", &engine.config_of_a_writer(&format!("{PLAIN}retention: {{ spans: 3000d }}\n"))));
    assert!(said.contains("retention.spans takes the place of the TTL"), "{said}");
    assert!(has("+ toIntervalSecond(259200000) SETTINGS") && !has("3650"));
    apply(&engine.config_of_a_writer(PLAIN));
    assert!(!has(" TTL "), "what is configured no more is taken away");
}

/// As Grafana's data source asks. Source: grafana/clickhouse-datasource, src/data/sqlGenerator.ts.
fn spans_as_grafana_finds_them(sql: &Sql, trace: &str) -> u64 {
    let query = format!(
        "WITH '{trace}' as __gf_trace_id, \
         (SELECT min(Start) FROM \"otel\".\"otel_traces_trace_id_ts\" WHERE TraceId = __gf_trace_id) as __gf_trace_start, \
         (SELECT max(End) + 1 FROM \"otel\".\"otel_traces_trace_id_ts\" WHERE TraceId = __gf_trace_id) as __gf_trace_end \
         SELECT count() FROM \"otel\".\"otel_traces\" WHERE \"TraceId\" = __gf_trace_id \
         AND \"Timestamp\" >= __gf_trace_start AND \"Timestamp\" <= __gf_trace_end"
    );
    sql.number(&query, &[])
}

#[track_caller]
fn assert_every_trace_is_found(sql: &Sql, of: &str) {
    let traces = sql.rows("SELECT TraceId, count() AS n FROM otel_traces GROUP BY TraceId", &[]);
    assert!(!traces.is_empty());
    let wrong = "SELECT count() FROM (SELECT TraceId, min(Timestamp) AS a, max(Timestamp) AS b FROM otel_traces GROUP BY TraceId) AS t \
                 LEFT JOIN (SELECT TraceId, min(Start) AS s, max(End) AS e FROM otel_traces_trace_id_ts GROUP BY TraceId) AS i \
                 USING TraceId WHERE NOT (i.s <= t.a AND t.b <= i.e + 1)";
    assert_eq!(sql.number(wrong, &[]), 0, "{of}");
    let first = traces.first().expect("there are traces");
    let found = spans_as_grafana_finds_them(sql, first["TraceId"].as_str().expect("an id"));
    assert_eq!(Some(found), first["n"].as_u64(), "{of}");
}

#[test]
fn a_trace_is_found_by_its_times_whenever_its_spans_come() {
    let engine = Engine::start();
    load(&engine, "v3");
    let sql = engine.sql("otel");
    apply(&engine.config_of_a_writer(PLAIN));
    for (day, times) in [("2026-01-02", 1), ("2025-12-31", 2), ("2105-01-01", 1)] {
        for time in 0..times {
            let id = format!("{day} {time}");
            let row = format!("('{day} 00:00:00.5', 'late', '{id}')");
            sql.rows(&format!("INSERT INTO otel_traces (Timestamp, TraceId, SpanId) VALUES {row}"), &[]);
        }
    }
    assert_every_trace_is_found(&sql, "rows that came later");
    assert_eq!(spans_as_grafana_finds_them(&sql, "late"), 4);
    // whoever drops what holds the times gets it again, with the rows that came meanwhile
    for statement in ["DROP VIEW otel_traces_trace_id_ts_mv", "DROP TABLE otel_traces_trace_times"] {
        sql.rows(statement, &[]);
    }
    sql.rows("INSERT INTO otel_traces (Timestamp, TraceId, SpanId) VALUES ('2026-02-01 00:00:00', 'unseen', 's')", &[]);
    apply(&engine.config_of_a_writer(PLAIN));
    assert_every_trace_is_found(&sql, "made again");
    assert_eq!(spans_as_grafana_finds_them(&sql, "unseen"), 1);
}

fn writer(engine: &Engine, yaml: &str) -> Service {
    let clickhouse_url = Some(engine.url());
    Service::start_with(Options { clickhouse_url, yaml: yaml.to_owned(), ..Options::default() })
}

/// Posts a pair with this model, which must be taken, and returns its span's id: the same for the same model.
pub(crate) fn post(service: &Service, model: &str) -> String {
    let pair = json!({"request": {"model": model, "messages": [{"role": "user", "content": "hello"}]}, "response": {"choices": []}});
    let answer = post_json(&service.chat("default"), &pair);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json().get("span_id").and_then(Value::as_str).expect("an id").to_owned()
}

fn wait_for_span(sql: &Sql, span: &str) {
    wait_until("the span is stored", || {
        let rows = sql.try_rows("SELECT 1 FROM otel_traces WHERE SpanId = {s:String}", &[("s", span)]).ok()?;
        (!rows.is_empty()).then_some(())
    });
}

#[test]
fn four_that_start_at_once_change_an_older_table_once() {
    let engine = Engine::start();
    load(&engine, "v1");
    let services: Vec<Service> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| writer(&engine, ""))).collect();
        starts.into_iter().map(|start| start.join().expect("it starts")).collect()
    });
    let sql = engine.sql("otel");
    for (number, service) in services.iter().enumerate() {
        wait_for_span(&sql, &post(service, &format!("m{number}")));
    }
    assert_eq!(
        sql.rows(VERSIONS, &[]),
        [json!({"v": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]})],
        "each version is noted once"
    );
    let rows = sql.number("SELECT count() FROM otel_traces WHERE SpanName = 'old'", &[]);
    assert_eq!(rows, 1000);
    assert_every_trace_is_found(&sql, "after four");
    let lock = "SELECT count() FROM system.tables WHERE name = 'millrace_schema_lock'";
    wait_until("the lock is let go", || (sql.number(lock, &[]) == 0).then_some(()));
}

/// The file that holds a table's definition, whose time is the age of the definition.
fn metadata_of(folder: &Path, table: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => metadata_of(&path, table),
        false => path.ends_with(format!("{table}.sql")).then_some(path),
    })
}

#[test]
fn a_lock_is_waited_for_and_one_whose_holder_died_is_taken_over() {
    let engine = Engine::start();
    let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
    engine.sql("default").rows("CREATE DATABASE otel", &[]);
    sql.rows("CREATE TABLE millrace_schema_lock (nothing UInt8) ENGINE = Null COMMENT 'somebody else'", &[]);
    let refused = schema("apply", &config);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("another Millrace is changing the schema: somebody else"), "{}", said(&refused));
    assert_eq!(sql.number("SELECT count() FROM system.tables WHERE name = 'otel_traces'", &[]), 0);

    let file = metadata_of(&engine.clickhouse_dir(), "millrace_schema_lock").expect("the lock has a file");
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(file).expect("it opens").set_modified(long_ago).expect("its time can be set");
    let taken = schema("apply", &config);
    succeeds(&taken);
    assert!(said(&taken).contains("the holder of the schema lock is gone"), "{}", said(&taken));
    succeeds(&schema("check", &config));
}

#[test]
fn a_newer_schema_is_used_as_it_is_and_not_changed() {
    let engine = Engine::start();
    let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
    apply(&config);
    for statement in [
        "INSERT INTO millrace_schema VALUES (99, now(), 'millrace 9.9.9', 'something new')",
        "ALTER TABLE otel_traces ADD COLUMN FromTheFuture String DEFAULT 'x'",
        "DROP VIEW otel_traces_trace_id_ts",
    ] {
        sql.rows(statement, &[]);
    }
    let before = everything(&sql);
    let service = writer(&engine, "");
    wait_for_span(&sql, &post(&service, "m"));
    assert_eq!(everything(&sql), before);
    let log = service.log();
    assert_eq!(log.matches("the schema is newer than this Millrace").count(), 1, "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert!(said(&schema("check", &config)).contains("has version 99, this Millrace knows 18"));
}

#[test]
fn a_view_that_went_away_with_a_renamed_table_is_named_and_made_again_once_dropped() {
    let engine = Engine::start();
    let (sql, config) = (engine.sql("otel"), engine.config_of_a_writer(PLAIN));
    let differs = "otel.otel_traces_trace_id_ts_mv does not read otel.otel_traces";
    let check = || {
        let checked = schema("check", &config);
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), said(&checked))
    };
    apply(&config);
    assert!(!check().contains("does not read"), "{}", check());
    sql.rows("RENAME TABLE otel_traces TO otel_traces_before", &[]);
    apply(&config);
    assert!(check().contains(differs), "{}", check());
    sql.rows("DROP VIEW otel_traces_trace_id_ts_mv SYNC", &[]);
    apply(&config);
    assert!(!check().contains("does not read"), "{}", check());
    sql.rows("INSERT INTO otel_traces (Timestamp, TraceId) VALUES (now(), 'after')", &[]);
    assert_eq!(sql.number("SELECT count() FROM otel_traces_trace_id_ts WHERE TraceId = 'after'", &[]), 1);
}

#[test]
fn an_operator_who_makes_the_tables_is_told_what_is_missing_and_meanwhile_spans_are_taken() {
    let engine = Engine::start();
    let service = writer(&engine, "schema: { manage: false }");
    let span = post(&service, "m");
    let told = "schema.manage is false; `millrace schema check` prints the statements that make what is missing: \
                database otel, otel.millrace_schema, otel.otel_traces, ";
    wait_until("the log says what is missing", || service.log().contains(told).then_some(()));
    assert!(service.log().contains("view otel.genai_usage_1h_between"), "all of it, by name");
    assert!(!service.log().contains("CREATE TABLE"), "not the statements");
    assert_eq!(engine.sql("default").number("SELECT count() FROM system.databases WHERE name = 'otel'", &[]), 0);
    let health = wait_until("health says why", || {
        Some(get(&service.health()).text().to_owned()).filter(|health| health.contains("millrace schema check"))
    });
    assert!(health.contains("and ") && health.contains(" more\""), "in short: {health}");

    let config = engine.config_of_a_writer("clickhouse: { url: 'URL' }\nschema: { manage: false }\n");
    let missing = schema("check", &config);
    assert_eq!(missing.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&missing.stdout).into_owned();
    for what in ["database otel", "otel.otel_traces", "view otel.genai_calls"] {
        assert!(printed.contains(&format!("-- missing: {what}\n")), "{what}: {printed}");
    }
    assert!(!printed.contains("ALTER TABLE"), "a table is made with all that it has: {printed}");
    for statement in statements(&printed) {
        engine.sql("default").rows(&statement, &[]);
    }
    succeeds(&schema("check", &config));
    let sql = engine.sql("otel");
    wait_for_span(&sql, &span);

    sql.rows("ALTER TABLE otel_traces DROP COLUMN RawRequest", &[]);
    let span = post(&service, "another");
    let held = "what is missing: column RawRequest String of otel.otel_traces";
    wait_until("health names the column", || get(&service.health()).text().contains(held).then_some(()));
    for statement in statements(&String::from_utf8_lossy(&schema("check", &config).stdout)) {
        sql.rows(&statement, &[]);
    }
    wait_for_span(&sql, &span);
}

#[test]
fn what_is_lost_while_clickhouse_is_away_is_made_again_when_it_is_back() {
    let mut engine = Engine::start();
    let service = writer(&engine, "");
    let sql = engine.sql("otel");
    wait_for_span(&sql, &post(&service, "m"));
    // inserts would not notice
    for statement in ["DROP VIEW otel_traces_trace_id_ts", "ALTER TABLE otel_traces DROP COLUMN TotalTokens"] {
        sql.rows(statement, &[]);
    }
    post_while_away(&mut engine, &service);
    let there = "SELECT (SELECT count() FROM system.tables WHERE database = 'otel' AND name = 'otel_traces_trace_id_ts') \
                 + (SELECT count() FROM system.columns WHERE database = 'otel' AND table = 'otel_traces' AND name = 'TotalTokens') AS n";
    wait_until("both are there again", || (sql.try_rows(there, &[]).ok()? == [json!({"n": 2})]).then_some(()));
}

/// Lets a span arrive while the engine is away.
fn post_while_away(engine: &mut Engine, service: &Service) {
    engine.stop();
    post(service, "while away");
    wait_until("the exporter has noticed", || (service.metric("millrace_clickhouse_up")? < 1.0).then_some(()));
    engine.start_again();
}

#[test]
fn the_logs_of_a_server_get_a_ttl_that_clickhouse_takes() {
    let file = project().join("deploy/clickhouse/config.d/system-logs.xml");
    let xml = fs::read_to_string(file).expect("it can be read");
    let between = |open: &str, close: &str| -> Vec<String> {
        xml.split(open).skip(1).filter_map(|part| Some(part.split_once(close)?.0.to_owned())).collect()
    };
    let engine = Engine::start();
    let take = |number: usize, engine_clause: &str| {
        let columns = "event_date Date, event_time DateTime, finish_date Date, finish_time_us UInt64";
        let create = format!("CREATE TABLE log{number} ({columns}) {engine_clause}");
        engine.sql("default").rows(&create, &[]);
    };
    let mut ttls = between("<ttl>", "</ttl>");
    assert!(ttls.len() > 10, "{ttls:?}");
    ttls.sort();
    ttls.dedup();
    for (number, ttl) in ttls.iter().enumerate() {
        // as the server puts it together. Source: ClickHouse src/Interpreters/SystemLog.cpp
        take(
            number,
            &format!(
                "ENGINE = MergeTree PARTITION BY toYYYYMM(event_date) ORDER BY (event_date, event_time) TTL {ttl}"
            ),
        );
    }
    for (number, clause) in between("<engine>", "</engine>").iter().enumerate() {
        assert!(clause.contains(" TTL "), "{clause}");
        take(1000 + number, clause);
    }
}

#[test]
fn the_embedded_engine_keeps_no_logs_of_its_own_that_grow() {
    let service = Service::start();
    post(&service, "m");
    let sql = service.sql();
    sql.rows("SYSTEM FLUSH LOGS", &[]);
    let logs = "SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'";
    assert_eq!(sql.rows(logs, &[]), Vec::<Value>::new(), "these need a TTL, as in deploy/clickhouse/config.d");
}
