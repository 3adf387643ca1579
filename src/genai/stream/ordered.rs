//! Members in the order of their first appearance, and JSON texts as they are written again.

use std::collections::HashMap;

use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;
use crate::steps;

/// Members in the order of their first appearance.
#[derive(Debug)]
pub(crate) struct Ordered<T> {
    members: Vec<(String, T)>,
    places: HashMap<String, usize>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { members: Vec::new(), places: HashMap::new() }
    }
}

impl<T> Ordered<T> {
    /// The member of that name, made by `new` when it is not there yet.
    pub(crate) fn entry(&mut self, name: &str, new: impl FnOnce() -> T) -> &mut T {
        steps::take(1 + name.len());
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            self.places.insert(name.to_owned(), self.members.len());
            self.members.push((name.to_owned(), new()));
            self.members.len() - 1
        });
        match self.members.get_mut(place) {
            Some((_, member)) => member,
            None => unreachable!("places are places of members"),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.places.get(name).and_then(|place| self.members.get(*place)).map(|(_, member)| member)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.members.iter().map(|(name, member)| (name.as_str(), member))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// The JSON text of a value.
pub(crate) fn text_of(value: Value<'_>) -> String {
    // the limits are applied when the attributes are written
    let mut json = JsonWriter::new(Limits::NONE);
    json.value(value);
    json.finish().0
}

pub(crate) fn write_list(json: &mut JsonWriter, items: &[String]) {
    json.begin_array();
    items.iter().for_each(|item| json.number(item));
    json.end_array();
}

pub(crate) fn write_members(json: &mut JsonWriter, members: &Ordered<String>) {
    for (name, text) in members.iter() {
        json.key(name);
        json.number(text);
    }
}
