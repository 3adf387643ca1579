//! The alert rules and the dashboard of Millrace itself: each alert has a section in the runbook, fires when it should, and all name metrics that Millrace has.

use super::sources::project;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const RULES: &str = "deploy/prometheus/millrace.rules.yaml";
const DASHBOARD: &str = "deploy/prometheus/millrace-dashboard.json";
const PROMTOOL: &str = ".tools/prometheus/promtool";

fn read(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn after<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(start)).collect()
}

#[test]
fn every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() {
    let (rules, runbook) = (read(RULES), read("docs/runbook.md"));
    let alerts: BTreeSet<&str> = after(&rules, "- alert: ").into_iter().collect();
    assert_eq!(alerts, after(&runbook, "## ").into_iter().collect());
    let links: BTreeSet<String> =
        alerts.iter().map(|name| format!("'docs/runbook.md#{}'", name.to_lowercase())).collect();
    assert_eq!(links, after(&rules, "runbook: ").into_iter().map(str::to_owned).collect());
}

#[test]
fn the_alerts_and_the_dashboard_name_metrics_that_exist() {
    let (rules, dashboard, page) = (read(RULES), read(DASHBOARD), read("docs/metrics.md"));
    let known: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let dashboard: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let of_panels: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    for expressions in [after(&rules, "expr: "), of_panels] {
        let expressions = expressions.join(" ");
        let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let words = expressions.split(|letter| !is_of_a_name(letter));
        let named: BTreeSet<&str> = words
            .filter(|word| ["millrace_", "process_", "otelcol_"].iter().any(|start| word.starts_with(start)))
            .collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert!(known.contains(name.strip_suffix("_bucket").unwrap_or(name)), "{name}");
        }
    }
}

/// As Prometheus reads them. `make promtool` gets the program from Debian; where that cannot be had, the rules are not run.
#[test]
fn the_alerts_fire_when_they_should() {
    let promtool = project().join(PROMTOOL);
    if !promtool.exists() {
        eprintln!("SKIPPED: {PROMTOOL} is not there (make promtool)");
        return;
    }
    let folder = project().join("deploy/prometheus");
    for arguments in [["check", "rules", "millrace.rules.yaml"], ["test", "rules", "millrace.tests.yaml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(&folder).output().expect("promtool runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}
