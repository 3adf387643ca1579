//! What Grafana and ClickStack ask: every query of every dashboard is expanded as the plugin expands it, run on the real engine, and
//! held to what its panel can show.

mod clickstack;
mod macros;

use crate::rollups::rebuild;
use macros::Selection;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use support::http::post_json;
use support::questions::send_sample;
use support::{Service, project, wait_until};

/// The time of the sample, in seconds: 2026-03-02 to 2026-03-05.
const RANGE: (i64, i64) = (1_772_409_600, 1_772_668_800);
/// A trace of the sample.
const TRACE: &str = "11111111111111111111111111111111";
/// Variables that every dashboard has but the one of single traces.
const VARIABLES: [&str; 4] = ["workspace", "model", "user", "agent"];
/// What makes a text dangerous in a statement.
const HOSTILE: &str = "o'brien\\ --";

fn dashboards() -> BTreeMap<String, Value> {
    let folder = project().join("deploy/grafana/dashboards");
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap();
        let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", entry.path().display())))
    };
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect()
}

fn list<'v>(value: &'v Value, at: &str) -> &'v [Value] {
    value.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, at: &str) -> &'v str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn variables(dashboard: &Value) -> Vec<&str> {
    list(dashboard, "/templating/list").iter().map(|variable| text(variable, "/name")).collect()
}

/// The addresses of a dashboard's links: its own, and those of its fields.
fn links(dashboard: &Value) -> Vec<&str> {
    let fields = list(dashboard, "/panels").iter().flat_map(|panel| list(panel, "/fieldConfig/overrides"));
    let properties =
        fields.flat_map(|field| list(field, "/properties")).filter(|property| text(property, "/id") == "links");
    let of_fields = properties.flat_map(|property| list(property, "/value"));
    list(dashboard, "/links").iter().chain(of_fields).map(|link| text(link, "/url")).collect()
}

/// Panels lie within the 24 columns of the grid, none upon another.
fn check_grid<'v>(name: &str, places: impl Iterator<Item = &'v Value>) {
    let mut taken = BTreeSet::new();
    for place in places {
        let at = |side: &str| place[side].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24, "{name}: {place} is too wide");
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{name}: {place} lies upon another panel");
            }
        }
    }
}

/// Links, variables and targets have what Grafana and the plugin of today want of them, so that neither has to guess or to migrate.
///
/// Source: `@grafana/schema` 13.2 (`DashboardLink`); grafana/clickhouse-datasource 4.20, `src/data/migration.ts` (a target without a version
/// is one of plugin 3), `src/data/utils.ts` (`mapQueryTypeToGrafanaFormat`), `src/data/CHVariableSupport.tsx` (`CHVariableQuery`).
fn check_shapes(name: &str, dashboard: &Value) {
    for link in list(dashboard, "/links") {
        for member in
            ["asDropdown", "icon", "includeVars", "keepTime", "tags", "targetBlank", "title", "tooltip", "type", "url"]
        {
            assert!(!link[member].is_null(), "{name}: a link has {member}: {link}");
        }
    }
    for variable in list(dashboard, "/templating/list").iter().filter(|one| text(one, "/type") == "query") {
        let query = variable["query"].as_object().unwrap();
        assert_eq!(
            query.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            BTreeSet::from(["queryType", "rawSql", "refId"]),
            "{name}: {variable}"
        );
        assert_eq!(text(variable, "/query/queryType"), "sql");
    }
    for target in list(dashboard, "/panels").iter().flat_map(|panel| list(panel, "/targets")) {
        assert!(text(target, "/pluginVersion").starts_with("4."), "{name}: {target}");
        assert_eq!(text(target, "/editorType"), "sql", "{name}: {target}");
        let format = match text(target, "/queryType") {
            "timeseries" => 0,
            "table" => 1,
            "traces" => 3,
            other => panic!("{name}: no panel asks for {other}"),
        };
        assert_eq!(target["format"], json!(format), "{name}: {target}");
    }
}

#[test]
fn the_parts_of_the_dashboards_fit_each_other() {
    let all = dashboards();
    assert_eq!(all.len(), 6, "overview, cost, latency and errors, sessions, coding agents, traces");
    let sources =
        fs::read_to_string(project().join("deploy/grafana/provisioning/datasources/clickhouse.yaml")).unwrap();
    assert!(sources.contains("uid: millrace\n"));
    for (name, dashboard) in &all {
        assert_eq!(text(dashboard, "/uid"), name);
        let panels = list(dashboard, "/panels");
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: each panel has an id of its own");
        for panel in panels {
            for source in [&panel["datasource"], &panel["targets"][0]["datasource"]] {
                assert_eq!(text(source, "/uid"), "millrace", "{name}: {}", text(panel, "/title"));
            }
        }
        check_grid(name, panels.iter().map(|panel| &panel["gridPos"]));
        check_shapes(name, dashboard);
        let known = variables(dashboard);
        assert!(
            name == "millrace-traces" || VARIABLES.iter().all(|variable| known.contains(variable)),
            "{name}: {known:?}"
        );
        for link in links(dashboard) {
            match link.strip_prefix("/d/") {
                Some(link) => {
                    let (to, query) = link.split_once('?').unwrap_or((link, ""));
                    let target = all.get(to).unwrap_or_else(|| panic!("{name}: {link} leads nowhere"));
                    for set in query.split('&').filter_map(|part| part.strip_prefix("var-")) {
                        let variable = set.split('=').next().unwrap();
                        assert!(variables(target).contains(&variable), "{name}: {to} has no variable {variable}");
                    }
                }
                None => {
                    let is_of_page = ["${ui}/trace/", "${ui}/session/"].iter().any(|page| link.starts_with(page));
                    assert!(is_of_page && known.contains(&"ui"), "{name}: {link}");
                }
            }
        }
    }
}

/// A column of a result: its name and type.
type Column = (String, String);

/// Whether a panel can show these columns.
fn check_columns(panel: &str, columns: &[Column]) -> Result<(), String> {
    let of = |matches: &dyn Fn(&str) -> bool| columns.iter().filter(|(_, kind)| matches(kind)).count();
    let bare = |kind: &str| {
        kind.trim_start_matches("LowCardinality(").trim_start_matches("Nullable(").trim_end_matches(')').to_owned()
    };
    let is_time = |kind: &str| bare(kind).starts_with("DateTime");
    let is_number =
        |kind: &str| ["UInt", "Int", "Float", "Decimal"].iter().any(|number| bare(kind).starts_with(number));
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    match panel {
        "timeseries" if of(&is_time) != 1 => Err("a time series has one column that is a time".to_owned()),
        "timeseries" if of(&is_number) == 0 => Err("a time series has a number".to_owned()),
        "timeseries"
            if columns.iter().any(|(_, kind)| !is_time(kind) && !is_number(kind) && bare(kind) != "String") =>
        {
            Err("a time series has times, numbers and names alone".to_owned())
        }
        "stat" if columns.len() != 1 || of(&is_number) != 1 => Err("a stat is one number".to_owned()),
        "traces" => {
            let wanted = [
                "traceID",
                "spanID",
                "parentSpanID",
                "serviceName",
                "operationName",
                "startTime",
                "duration",
                "tags",
                "serviceTags",
            ];
            wanted
                .iter()
                .find(|name| !names.contains(name))
                .map_or(Ok(()), |name| Err(format!("a trace has a column {name}")))
        }
        "timeseries" | "stat" | "table" => Ok(()),
        other => Err(format!("what a panel {other} shows is not known here")),
    }
}

struct Runner<'s> {
    service: &'s Service,
}

impl Runner<'_> {
    fn columns(&self, sql: &str) -> Vec<Column> {
        let rows = self.service.sql().rows(&format!("DESCRIBE TABLE ({sql})"), &[]);
        rows.iter().map(|row| (text(row, "/name").to_owned(), text(row, "/type").to_owned())).collect()
    }

    /// Every table that is read has a condition on its time that an index serves.
    fn check_bounds(&self, sql: &str, place: &str) {
        let rows = self.service.sql().rows(&format!("EXPLAIN indexes = 1 {sql}"), &[]);
        let plan = rows.iter().map(|row| text(row, "/explain")).collect::<Vec<_>>().join("\n");
        // rows that were found already are read again for their other columns
        let first = plan.replace("LazilyReadFromMergeTree", "");
        let reads: Vec<&str> = first.split("ReadFromMergeTree").skip(1).collect();
        for read in &reads {
            let has_bound = read.lines().any(|line| line.contains("Condition:") && line.contains("Timestamp"));
            assert!(has_bound, "{place} reads without a bound in time:\n{plan}");
        }
    }

    fn run(&self, place: &str, sql: &str, selection: &Selection) -> Vec<Value> {
        let sql = selection.expanded(sql).unwrap_or_else(|error| panic!("{place}: {error}"));
        self.check_bounds(&sql, place);
        self.service.sql().try_rows(&sql, &[]).unwrap_or_else(|error| panic!("{place}: {error}\n{sql}"))
    }
}

/// What the sample lacks: calls of coding agents, of which one failed and one has a model without a price. Returns how many rows they are.
fn send_agents(service: &Service) -> u64 {
    let agents = [
        ("claude-code", "claude-sonnet-4-5", ""),
        ("codex_cli_rs", "gpt-5", "rate_limit_exceeded"),
        ("gemini-cli", "a-model-without-a-price", ""),
    ];
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let number = |key: &str, value: u64| json!({"key": key, "value": {"intValue": value}});
    let began = (RANGE.0 + 3_600) * 1_000_000_000;
    for (id, (name, model, error)) in (1..).zip(agents) {
        let mut attributes = vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", model),
            text("gen_ai.agent.name", name),
            text("session.id", &format!("session of {name}")),
            text("user.id", "anna"),
            number("gen_ai.usage.input_tokens", 1_000),
            number("gen_ai.usage.output_tokens", 50),
            number("gen_ai.usage.cache_read.input_tokens", 400),
        ];
        if !error.is_empty() {
            attributes.push(text("error.type", error));
        }
        let span = json!({"traceId": format!("{:032x}", 0xc0de00 + id), "spanId": format!("{id:016x}"), "name": "chat", "kind": 3,
            "startTimeUnixNano": began.to_string(), "endTimeUnixNano": (began + 2_000_000_000).to_string(),
            "status": {"code": if error.is_empty() { 1 } else { 2 }}, "attributes": attributes});
        let resource = json!({"attributes": [text("service.name", name)]});
        let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]});
        assert_eq!(post_json(&service.http("/v1/traces"), &body).status, 200);
    }
    3
}

/// Sends the sample and calls of coding agents, and waits until they are stored and counted.
fn stored_sample(service: &Service) {
    let rows = send_sample(service) + send_agents(service);
    wait_until("the sample is stored", || {
        let stored = service.sql().try_rows("SELECT count() AS spans FROM otel_traces", &[]).ok()?;
        (stored.first()?["spans"].as_u64()? == rows).then_some(())
    });
    rebuild(service);
}

/// The names of columns that a panel of rows needs beside those that it shows: what its overrides are for, and what its links name.
fn named_columns(panel: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for field in list(panel, "/fieldConfig/overrides") {
        if text(field, "/matcher/id") == "byName" {
            names.insert(text(field, "/matcher/options").to_owned());
        }
        for link in list(field, "/properties").iter().flat_map(|property| list(property, "/value")) {
            let fields = text(link, "/url").split("${__data.fields.").skip(1);
            names.extend(fields.map(|rest| rest.split(['}', ':']).next().unwrap_or_default().to_owned()));
        }
    }
    names
}

#[test]
fn every_query_of_every_dashboard_runs_within_its_time_and_shows_what_its_panel_can() {
    let service = Service::start();
    stored_sample(&service);
    let runner = Runner { service: &service };
    for (name, dashboard) in dashboards() {
        let mut all = Selection::new(RANGE);
        all.set("trace_id", &[TRACE]);
        let mut some = all.clone();
        let mut hostile = all.clone();
        hostile.set("trace_id", &[HOSTILE]);
        for variable in
            list(&dashboard, "/templating/list").iter().filter(|variable| text(variable, "/type") == "query")
        {
            let of = text(variable, "/name").to_owned();
            all.set_all(&of);
            let rows = runner.run(&format!("{name}: ${of}"), text(variable, "/query/rawSql"), &all);
            let values: Vec<String> =
                rows.iter().filter_map(|row| row.as_object()?.values().next()?.as_str().map(str::to_owned)).collect();
            assert!(!values.is_empty(), "{name}: ${of} offers nothing");
            let values: Vec<&str> = values.iter().map(String::as_str).take(2).collect();
            some.set(&of, &values);
            hostile.set(&of, &[HOSTILE, "b"]);
        }
        for panel in list(&dashboard, "/panels") {
            let place = format!("{name}: {}", text(panel, "/title"));
            let sql = text(panel, "/targets/0/rawSql");
            let rows = runner.run(&place, sql, &all);
            assert!(!rows.is_empty(), "{place} shows nothing of the sample");
            runner.run(&place, sql, &some);
            let nothing = runner.run(&place, sql, &hostile);
            let filtered = sql.contains("singlequote") && text(panel, "/type") != "stat";
            assert!(!filtered || nothing.is_empty(), "{place}: nobody has that name: {nothing:?}");
            let columns = runner.columns(&all.expanded(sql).unwrap());
            check_columns(text(panel, "/type"), &columns).unwrap_or_else(|why| panic!("{place}: {why}: {columns:?}"));
            if text(panel, "/type") == "table" {
                for named in named_columns(panel) {
                    assert!(columns.iter().any(|(column, _)| *column == named), "{place} has no column {named}");
                }
            }
        }
    }
}

#[test]
fn a_query_without_a_bound_and_columns_that_no_panel_shows_are_found() {
    let columns = |names: &[(&str, &str)]| -> Vec<Column> {
        names.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    };
    assert!(check_columns("timeseries", &columns(&[("time", "DateTime"), ("n", "UInt64")])).is_ok());
    assert!(check_columns("timeseries", &columns(&[("n", "UInt64")])).is_err());
    assert!(check_columns("timeseries", &columns(&[("time", "DateTime"), ("m", "LowCardinality(String)")])).is_err());
    assert!(check_columns("stat", &columns(&[("value", "String")])).is_err());
    assert!(check_columns("traces", &columns(&[("traceID", "String")])).is_err());
    assert!(check_columns("pie", &[]).is_err());
}
