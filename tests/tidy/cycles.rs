//! Inside a module, at every level, no two files or folders import from each other, not even by way of others.
//!
//! The children of a module are nodes; an arrow leads from one to another where code below the one names something below the
//! other, directly or through a re-export. What the module's own file holds belongs to no child and makes no arrow.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Modules, Path};
use crate::sources::{Source, sources};

/// How many names of an arrow are shown.
const REASONS_SHOWN: usize = 3;

/// For each module the arrows between its children, and what makes each.
type Arrows = BTreeMap<Path, BTreeMap<(String, String), BTreeSet<String>>>;

fn arrows<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Arrows {
    let mut modules = Modules::default();
    for source in sources {
        modules.add(&source.module, &source.production());
    }
    let mut arrows = Arrows::new();
    for (from, module) in &modules.0 {
        for path in &module.named {
            for to in modules.led_to(path) {
                let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if let (Some(one), Some(other), true) = (from.get(common), to.get(common), common > 0) {
                    let inside = from.iter().take(common).cloned().collect();
                    let because = format!("{} names {}", from.join("::"), path.join("::"));
                    let between = arrows.entry(inside).or_default();
                    between.entry((one.clone(), other.clone())).or_default().insert(because);
                }
            }
        }
    }
    arrows
}

/// The arrows that are part of a circle, for each module that has one.
fn circles(arrows: Arrows) -> Arrows {
    let in_circles = |between: &BTreeMap<(String, String), BTreeSet<String>>| {
        let leads = |start: &String, end: &String| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(node) = open.pop() {
                if node == end {
                    return true;
                }
                if seen.insert(node) {
                    open.extend(between.keys().filter(|(from, _)| from == node).map(|(_, to)| to));
                }
            }
            false
        };
        between
            .iter()
            .filter(|((from, to), _)| leads(to, from))
            .map(|(arrow, why)| (arrow.clone(), why.clone()))
            .collect()
    };
    let found = arrows.iter().map(|(module, between)| (module.clone(), in_circles(between)));
    found.filter(|(_, between): &(Path, BTreeMap<_, _>)| !between.is_empty()).collect()
}

#[test]
fn no_two_parts_of_a_module_import_from_each_other() {
    let mut found = String::new();
    for (module, between) in circles(arrows(&sources())) {
        let module = module.join("::");
        for ((from, to), why) in between {
            let why: Vec<&str> = why.iter().map(String::as_str).take(REASONS_SHOWN).collect();
            found += &format!("{module}: {from} -> {to}\n    {}\n", why.join("\n    "));
        }
    }
    assert!(found.is_empty(), "parts of a module import from each other:\n{found}");
}

#[test]
fn circles_are_found_through_others_through_folders_and_through_re_exports() {
    let files = |files: &[(&str, &str)]| -> Vec<Source> {
        files.iter().map(|(name, text)| Source::new(&format!("src/{name}.rs"), text)).collect()
    };
    for (what, files, want) in [
        (
            "two files",
            files(&[("m/mod", "mod a; mod b;"), ("m/a", "use super::b::X;"), ("m/b", "fn f() { crate::m::a::g() }")]),
            vec!["m: a b"],
        ),
        (
            "three files",
            files(&[
                ("m/a", "use super::b;"),
                ("m/b", "use super::{c::X, d};"),
                ("m/c", "use crate::m::a;"),
                ("m/d", ""),
            ]),
            vec!["m: a b c"],
        ),
        (
            "folders",
            files(&[("m/a/x", "use super::super::b::y::Z;"), ("m/b/y", "use crate::m::a::x::W;"), ("m/mod", "")]),
            vec!["m: a b"],
        ),
        (
            "a re-export",
            files(&[
                ("m/mod", "mod a; mod b; pub use a::X; pub use b::*;"),
                ("m/a", "use super::Y;"),
                ("m/b", "use crate::m::X; pub struct Y;"),
                ("n", ""),
            ]),
            vec!["m: a b"],
        ),
        (
            "one way",
            files(&[
                ("m/mod", "mod a; mod b; pub struct P;"),
                ("m/a", "use super::{b::X, P};"),
                ("m/b", "use super::P;"),
            ]),
            vec![],
        ),
        (
            "tests",
            files(&[
                ("m/a", "use super::b::X;"),
                ("m/b", "#[cfg(test)] mod tests { use crate::m::a::Y; }"),
                ("m/mod", ""),
            ]),
            vec![],
        ),
    ] {
        let found = circles(arrows(&files));
        let nodes = |between: &BTreeMap<(String, String), BTreeSet<String>>| {
            let nodes: BTreeSet<&str> = between.keys().map(|(from, _)| from.as_str()).collect();
            nodes.into_iter().collect::<Vec<_>>().join(" ")
        };
        let found: Vec<String> =
            found.iter().map(|(module, between)| format!("{}: {}", module.join("::"), nodes(between))).collect();
        assert_eq!(found, want, "{what}");
    }
}
