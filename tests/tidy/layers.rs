//! A module imports from modules to its right in the map of `src/lib.rs` and from those below, never from the others.
//!
//! The map is read from there, so it is the only list. Tests may also import from modules to their left in the same layer.

use std::collections::BTreeMap;

use proc_macro2::TokenTree;

use crate::names::Modules;
use crate::sources::{Source, sources};

/// The layers of the map, the highest first, each from left to right.
#[derive(Debug)]
struct Layers(Vec<Vec<String>>);

impl Layers {
    /// Reads the map: the first block of text, one layer a line, its name and its modules.
    fn read(lib: &str) -> Self {
        let lines = lib.lines().map_while(|line| line.strip_prefix("//!"));
        let map = lines.skip_while(|line| line.trim() != "```text").skip(1).take_while(|line| line.trim() != "```");
        let layers = map.map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect());
        Self(layers.collect())
    }

    fn place(&self, module: &str) -> Option<(usize, usize)> {
        let in_layer = |layer: &Vec<String>| layer.iter().position(|name| name == module);
        self.0.iter().enumerate().find_map(|(number, layer)| Some((number, in_layer(layer)?)))
    }

    fn may_import(&self, from: &str, to: &str, is_test: bool) -> bool {
        match (self.place(from), self.place(to)) {
            (Some(from), Some(to)) => {
                if is_test {
                    from.0 <= to.0
                } else {
                    from <= to
                }
            }
            _ => false,
        }
    }

    /// Imports that the map forbids, as `module -> module`.
    fn violations(&self, module: &[String], tokens: &[TokenTree], is_test: bool) -> Vec<String> {
        let from = module.first().expect("a module below the root");
        let mut modules = Modules::default();
        modules.add(&module.to_vec(), tokens);
        let named = modules.0.into_values().flat_map(|module| module.named);
        let tops = named.filter_map(|path| path.into_iter().next());
        // other names are items of the root or macros: another test checks that the map has every module
        let known = tops.filter(|top| top == "*" || self.place(top).is_some());
        let mut broken: Vec<String> =
            known.filter(|to| !self.may_import(from, to, is_test)).map(|to| format!("{from} -> {to}")).collect();
        broken.sort();
        broken.dedup();
        broken
    }
}

fn layers(sources: &[Source]) -> Layers {
    let lib = sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs is there");
    Layers::read(&lib.text)
}

#[test]
fn modules_import_from_lower_layers_only() {
    let sources = sources();
    let layers = layers(&sources);
    let mut broken = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let mut found = layers.violations(&source.module, &source.production(), false);
        found.extend(layers.violations(&source.module, &source.tokens, true));
        if !found.is_empty() {
            broken.insert(&source.path, found);
        }
    }
    assert!(broken.is_empty(), "imports against the map in src/lib.rs: {broken:#?}");
}

#[test]
fn the_map_in_the_crate_has_every_module_once() {
    let sources = sources();
    let mut drawn = layers(&sources).0.concat();
    let mut there: Vec<String> = sources.iter().filter_map(|source| source.module.first().cloned()).collect();
    drawn.sort();
    there.sort();
    there.dedup();
    assert_eq!(drawn, there, "the map in src/lib.rs (left) and the modules (right)");
}

/// A map for the tests of this file.
fn example() -> Layers {
    Layers::read(
        "//! What it is.\n//!\n//! ```text\n//! wiring   main  app\n//! edges    receivers  exporter\n\
         //! engines  pipeline\n//! codecs   otlp  columns\n//! words    time  ids\n//! ```\n",
    )
}

#[test]
fn a_forbidden_import_is_found_in_every_form() {
    for (path, text, want) in [
        ("src/otlp.rs", "use crate::receivers::http;", "otlp -> receivers"),
        ("src/otlp.rs", "use crate::{ids::TraceId, exporter::Exporter};", "otlp -> exporter"),
        ("src/otlp.rs", "use crate::{ids::{SpanId, TraceId}, exporter};", "otlp -> exporter"),
        ("src/otlp.rs", "fn f() { let x = crate::app::load(); }", "otlp -> app"),
        ("src/otlp.rs", "use super::pipeline;", "otlp -> pipeline"),
        ("src/otlp/wire.rs", "use super::super::pipeline;", "otlp -> pipeline"),
        ("src/otlp.rs", "mod inside { use super::super::app::run; }", "otlp -> app"),
        ("src/otlp.rs", "macro_rules! m { () => { $crate::app::go() } }", "otlp -> app"),
        ("src/otlp.rs", "thing!(x, crate::exporter::Y);", "otlp -> exporter"),
        ("src/otlp.rs", "fn f(x: Vec<crate::exporter::Y>) {}", "otlp -> exporter"),
        ("src/otlp.rs", "fn f(x: Vec<<crate::exporter::Y as T>::Z>) {}", "otlp -> exporter"),
        ("src/otlp.rs", "pub use crate::exporter as sender;", "otlp -> exporter"),
        ("src/otlp.rs", "use crate::*;", "otlp -> *"),
        ("src/columns/mod.rs", "use crate::otlp::decode;", "columns -> otlp"),
        ("src/ids.rs", "use crate::time::Clock;", "ids -> time"),
        ("src/exporter/rows.rs", "use crate::receivers::Ingest;", "exporter -> receivers"),
    ] {
        let source = Source::new(path, text);
        assert_eq!(example().violations(&source.module, &source.tokens, false), [want], "{text}");
    }
}

#[test]
fn imports_from_below_from_the_right_and_from_the_own_module_are_fine() {
    for (path, text) in [
        ("src/otlp.rs", "use crate::{ids::TraceId, columns::RowGroup, otlp::wire};"),
        ("src/otlp/wire.rs", "use super::pipeline_like; use super::decode::Part;"),
        ("src/otlp.rs", "mod inside { use super::*; }"),
        ("src/otlp.rs", "// use crate::receivers;\nconst T: &str = \"crate::receivers\";"),
        ("src/otlp.rs", "use other::crate_like::receivers; use tower::exporter;"),
        ("src/receivers/http.rs", "use crate::{pipeline::Pipeline, otlp, ids, time};"),
        ("src/main.rs", "use millrace::{exporter, app};"),
    ] {
        let source = Source::new(path, text);
        assert_eq!(example().violations(&source.module, &source.tokens, false), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn tests_may_import_from_the_left_and_not_from_above() {
    for (text, want) in
        [("use crate::time::Clock;", None), ("use crate::otlp::decode;", Some("ids -> otlp".to_owned()))]
    {
        let source = Source::new("src/ids/tests.rs", text);
        assert_eq!(example().violations(&source.module, &source.tokens, true).pop(), want, "{text}");
    }
}
