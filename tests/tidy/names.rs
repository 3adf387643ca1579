//! Which modules a module names: by `crate::`, `super::` or `self::`, by `use`, and through what another module re-exports.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use crate::sources::{inner, is_punct, is_word};

/// The names from the root to a module or to something in it.
pub(crate) type Path = Vec<String>;

/// What a module names, and what can be named in it.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Paths from the root that its code names, in any form.
    pub(crate) named: Vec<Path>,
    /// What it imports or re-exports: the name here, and the path it stands for.
    imported: BTreeMap<String, Path>,
    /// Modules of which it imports everything.
    globs: Vec<Path>,
    /// The items that it defines.
    defined: BTreeSet<String>,
}

/// All modules of the crate, by their path.
#[derive(Debug, Default)]
pub(crate) struct Modules(pub(crate) BTreeMap<Path, Module>);

/// How many re-exports may lead to one another.
const RE_EXPORTS_MAX: usize = 8;

impl Modules {
    /// Adds what a file has, and the modules inside it.
    pub(crate) fn add(&mut self, path: &Path, tokens: &[TokenTree]) {
        self.0.entry(path.clone()).or_default();
        self.read(path, tokens);
    }

    fn module(&mut self, path: &Path) -> &mut Module {
        self.0.entry(path.clone()).or_default()
    }

    fn read(&mut self, here: &Path, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        self.add(&joined(here, &name.to_string()), &inner(body));
                        at += 2;
                    }
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens.iter().skip(at).position(|token| is_punct(Some(token), ';')).unwrap_or(0);
                    let tree = tokens.get(at + 1..at + end).unwrap_or_default();
                    self.import(here, &[], tree);
                    at += end;
                }
                TokenTree::Ident(word) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
                        && ITEMS.iter().any(|item| word == item)
                    {
                        self.module(here).defined.insert(name.to_string());
                    }
                    let is_continued = at > 0 && is_punct(tokens.get(at - 1), ':');
                    let (path, next) = path_at(tokens, at);
                    if path.len() > 1 && !is_continued {
                        if let Some(path) = absolute(here, &path) {
                            self.module(here).named.push(path);
                        }
                        at = next - 1;
                    }
                }
                TokenTree::Group(group) => self.read(here, &inner(group)),
                _ => {}
            }
            at += 1;
        }
    }

    /// One tree of a `use`, after its `prefix`.
    fn import(&mut self, here: &Path, prefix: &[String], tree: &[TokenTree]) {
        let (mut path, next) = path_at(tree, 0);
        path.splice(0..0, prefix.iter().cloned());
        match tree.get(next) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                for item in inner(group).split(|token| is_punct(Some(token), ',')) {
                    self.import(here, &path, item);
                }
            }
            Some(token) if is_punct(Some(token), '*') => {
                if let Some(path) = absolute(here, &path) {
                    let module = self.module(here);
                    module.named.push(joined(&path, "*"));
                    module.globs.push(path);
                }
            }
            _ => {
                let is_self = path.last().is_some_and(|last| last == "self") && path.len() > 1;
                if is_self {
                    path.pop();
                }
                let alias = tree.iter().skip(next).find(|token| !is_word(Some(token), "as"));
                let name = alias.map(ToString::to_string).or_else(|| path.last().cloned());
                if let (Some(name), Some(path)) = (name, absolute(here, &path)) {
                    let module = self.module(here);
                    module.named.push(path.clone());
                    module.imported.insert(name, path);
                }
            }
        }
    }

    /// The modules that a path leads to: the last module that it spells out, and the one that defines what it ends with.
    pub(crate) fn led_to(&self, path: &Path) -> Vec<Path> {
        let spelt = (0..=path.len()).rev().filter_map(|end| path.get(..end)).find(|start| self.0.contains_key(*start));
        let mut found: Vec<Path> = spelt.map(<[String]>::to_vec).into_iter().collect();
        found.extend(self.home(path, RE_EXPORTS_MAX));
        found
    }

    fn home(&self, path: &Path, left: usize) -> Option<Path> {
        let mut here = Path::new();
        let mut names = path.iter();
        while let Some(name) = names.next() {
            let child = joined(&here, name);
            if self.0.contains_key(&child) {
                here = child;
                continue;
            }
            let module = self.0.get(&here)?;
            let rest = || names.as_slice().iter().cloned();
            if let Some(target) = module.imported.get(name).filter(|target| **target != child) {
                let target = target.iter().cloned().chain(rest()).collect();
                return self.home(&target, left.checked_sub(1)?);
            }
            let of_glob = |glob: &&Path| self.0.get(*glob).is_some_and(|module| module.defined.contains(name));
            return Some(module.globs.iter().find(of_glob).cloned().unwrap_or(here));
        }
        Some(here)
    }
}

/// Words before the name of an item.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];

fn joined(path: &Path, name: &str) -> Path {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// The names of a path with `::` between them, and where the code after it goes on.
fn path_at(tokens: &[TokenTree], at: usize) -> (Path, usize) {
    let (mut path, mut at) = (Path::new(), at);
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        path.push(name.to_string());
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// A path from the root, for a path as a module says it.
fn absolute(here: &Path, path: &[String]) -> Option<Path> {
    let first = path.first()?;
    let supers = path.iter().take_while(|name| *name == "super").count();
    let (start, skipped) = match first.as_str() {
        "crate" | "millrace" => (0, 1),
        "self" => (here.len(), 1),
        "super" => (here.len().checked_sub(supers)?, supers),
        // what stands alone is a module here or another crate; a module is told apart when the path is followed
        _ => (here.len(), 0),
    };
    Some(here.iter().take(start).chain(path.iter().skip(skipped)).cloned().collect())
}
