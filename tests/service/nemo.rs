//! The read API, asked by the reference's own SDK in two of its releases, which holds every answer to its schemas.

use serde::Deserialize;
use support::clients::{client, run_json};
use support::{Options, Service, tool};
use tempfile::tempdir;

#[derive(Deserialize)]
struct Walked {
    steps: Vec<String>,
}

fn walk(release: &str) -> Vec<String> {
    let home = tempdir().unwrap();
    let service = Service::start_with(Options::default());
    let url = service.http("");
    let mut command = client("nemo", "nemo_walk.py", &["--url", &url, "--workspace", "walk"]);
    let release = tool(&format!(".tools/nemo/releases/{release}"));
    // its configuration is in the home folder
    let walked: Walked = run_json(command.env("PYTHONPATH", release).env("HOME", home.path()));
    walked.steps
}

#[test]
fn release_0_2_0_ingests_reads_annotates_evaluates_and_compares() {
    assert_eq!(walk("0.2.0"), ["ingest", "read", "annotate", "evaluate", "compare"]);
}

#[test]
fn release_0_3_0_ingests_reads_annotates_evaluates_and_compares() {
    assert_eq!(walk("0.3.0"), ["ingest", "read", "annotate", "evaluate", "compare"]);
}
