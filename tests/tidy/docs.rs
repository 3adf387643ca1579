//! The documentation names files, pages and settings that exist, and stays short where it should be.

use super::sources::{files_below, project};
use std::fs;
use std::path::{Path, PathBuf};

/// A first page is read in a minute.
const README_LINES_MAX: usize = 150;
/// Words of our own that a reader has to learn.
const GLOSSARY_WORDS_MAX: usize = 10;

fn read(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn pages() -> Vec<String> {
    let docs = fs::read_dir(project().join("docs")).expect("there is a folder docs");
    let docs =
        docs.map(|entry| format!("docs/{}", entry.expect("the folder can be read").file_name().to_string_lossy()));
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
    docs.filter(|name| name.ends_with(".md")).chain(top).collect()
}

/// What stands between backticks on one line, outside of code blocks.
fn quoted(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let lines = page.lines().filter(|line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code
    });
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Whether a quoted text names a file or folder of the project.
fn names_a_file(text: &str) -> bool {
    let is_path = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    let is_ours = ["src/", "tests/", "docs/", "deploy/", "benches/", "fuzz/", "proto/", "tools/", ".ci/"]
        .iter()
        .any(|folder| text.starts_with(folder));
    is_path && (is_ours || text.ends_with(".rs")) && !text.ends_with("/...")
}

/// ARCHITECTURE.md names sources as they lie below `src`, and files of a module by their name alone.
fn exists(text: &str) -> bool {
    let places = [project().join(text), project().join("src").join(text)];
    places.iter().any(|place| place.exists())
        || (!text.contains('/') && file_names(&project().join("src")).contains(&text.to_owned()))
}

fn file_names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).expect("it is a folder").map(|entry| entry.expect("the folder can be read").path());
    entries
        .flat_map(|path: PathBuf| match path.is_dir() {
            true => file_names(&path),
            false => vec![path.file_name().expect("an entry has a name").to_string_lossy().into_owned()],
        })
        .collect()
}

#[test]
fn every_file_that_the_documentation_names_exists() {
    let mut missing = Vec::new();
    for name in pages() {
        let page = read(&name);
        let gone = quoted(&page).into_iter().filter(|text| names_a_file(text) && !exists(text));
        missing.extend(gone.map(|text| format!("{name}: {text}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!exists("src/no_such_file.rs") && names_a_file("src/no_such_file.rs"));
}

#[test]
fn every_test_that_proves_the_standard_exists() {
    let page = read("docs/otlp.md");
    let (_, proofs) = page.split_once("## The standard").expect("it has this heading");
    let is_test = |text: &&str| {
        text.matches('_').count() >= 3 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let tests: Vec<&str> = quoted(proofs).into_iter().filter(is_test).collect();
    assert!(tests.len() > 20, "{tests:?}");
    let sources = ["src", "tests"].map(files_below).concat();
    let sources: String = sources.iter().map(|file| fs::read_to_string(file).expect("it can be read")).collect();
    let gone: Vec<&str> = tests.into_iter().filter(|test| !sources.contains(&format!("fn {test}("))).collect();
    assert!(gone.is_empty(), "{gone:#?}");
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut broken = Vec::new();
    for name in pages() {
        let page = read(&name);
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = project().join(&name).parent().expect("a page lies in a folder").join(path);
            // a picture is no text
            let leads_there = match fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
                Ok(text) => {
                    heading.is_empty() || text.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
                }
                Err(_) => path.is_dir() && heading.is_empty(),
            };
            if !leads_there {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[test]
fn the_first_page_and_the_glossary_are_short() {
    assert!(read("README.md").lines().count() <= README_LINES_MAX);
    let architecture = read("ARCHITECTURE.md");
    let glossary =
        architecture.split("## Words").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("it has a glossary");
    let words = glossary.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert!((1..=GLOSSARY_WORDS_MAX).contains(&words), "{words} words");
}

#[test]
fn every_format_of_imports_is_measured() {
    let page = read("docs/import.md");
    let (table, _) = page.split_once("\n## Formats").and_then(|(_, rest)| rest.split_once("\n## ")).expect("a section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<&str> = rows.map(|(name, _)| name).collect();
    assert!(names.len() > 10, "{names:?}");
    let bench = read("tools/bench/import.py");
    let missing: Vec<&&str> = names.iter().filter(|name| !bench.contains(&format!("\"{name}\": ("))).collect();
    assert!(missing.is_empty(), "make bench-import has no file of {missing:?}");
}

#[test]
fn every_setting_is_on_the_page_of_the_configuration() {
    let page = read("docs/configuration.md");
    let example = read("deploy/config.example.yaml");
    let keys = example.lines().filter_map(|line| line.trim_start().split_once(':')).map(|(key, _)| key);
    let keys = keys.filter(|key| key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
    let missing: Vec<&str> = keys.filter(|key| !page.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
