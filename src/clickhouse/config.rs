//! The section `clickhouse` of the configuration.

use super::cluster::{Cluster, ClusterName, ReplicaPath};
use crate::connections::browsers::is_of_this_machine;
use crate::secret::Secret;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where ClickHouse is, and the credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Addresses of the HTTP interface, such as `http://clickhouse:8123`, one for each node; absent = the embedded one.
    pub url: Option<Urls>,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Database of the table; made when it is not there.
    pub database: Database,
    /// A cluster of ClickHouse's configuration: tables are replicated, and spread over its shards by trace.
    pub cluster: Option<ClusterName>,
    /// Where in Keeper the replicas of a table meet; absent: as the servers' `default_replica_path` says.
    pub replica_path: Option<ReplicaPath>,
}

impl Config {
    /// The cluster, if it is one.
    #[must_use]
    pub fn cluster(&self) -> Option<Cluster> {
        let replica_path = self.replica_path.clone();
        self.cluster.clone().map(|name| Cluster { name, replica_path })
    }

    /// Whether all of it is known to be on this machine: the embedded one, or addresses of this machine alone.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.url.as_ref().is_none_or(|urls| urls.iter().all(is_url_of_this_machine))
    }
}

fn is_url_of_this_machine(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    is_of_this_machine(host)
}

/// Addresses of the HTTP interfaces of one ClickHouse: a text, with commas between several, or a list of texts. There is at least
/// one, but it may be anything until [`problem`](Self::problem) is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls(Vec<String>);

/// Most endpoints: each is a label of a metric.
const URLS_MAX: usize = 64;

impl Urls {
    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The first.
    ///
    /// # Panics
    /// Never: there is one.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.first().expect("neither a text nor a list becomes no address")
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// What is wrong with the first that is wrong, without saying what it is: a password may be in it.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.0.len() > URLS_MAX {
            return Some(format!("must have at most {URLS_MAX} entries, not {}", self.0.len()));
        }
        for (place, url) in self.0.iter().enumerate() {
            let which = if self.are_several() { format!("entry {} ", place + 1) } else { String::new() };
            if let Some(what) = problem_of(url) {
                return Some(format!("{which}{what}"));
            }
            if let Some(same) = self.0.iter().take(place).position(|earlier| is_same(earlier, url)) {
                return Some(format!("{which}is the same as entry {}", same + 1));
            }
        }
        None
    }
}

fn problem_of(url: &str) -> Option<&'static str> {
    let Some(uri) = url.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    }) else {
        return Some("must be the HTTP interface, such as http://clickhouse:8123");
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some("must not have a user or password in it: set clickhouse.user and clickhouse.password");
    }
    uri.query()
        .map(|_| "must not have a query: none of it would be sent; settings belong to the profile of clickhouse.user")
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

impl fmt::Display for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl From<&str> for Urls {
    fn from(text: &str) -> Self {
        Self(text.split(',').map(|url| url.trim().to_owned()).collect())
    }
}

impl From<&String> for Urls {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Urls> for Urls {
    fn from(urls: &Urls) -> Self {
        urls.clone()
    }
}

impl Serialize for Urls {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.are_several() { self.0.serialize(serializer) } else { serializer.serialize_str(self.first()) }
    }
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlsVisitor)
    }
}

struct UrlsVisitor;

impl<'de> Visitor<'de> for UrlsVisitor {
    type Value = Urls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, such as http://clickhouse:8123, or a list of addresses")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Urls, E> {
        Ok(Urls::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Urls, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = entries.next_element::<String>()? {
            urls.push(url);
        }
        if urls.is_empty() { Err(serde::de::Error::custom("the list has no address")) } else { Ok(Urls(urls)) }
    }
}

/// Name of the database: letters, digits and `_`, so that it needs no quotes anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Database(String);

impl Default for Database {
    fn default() -> Self {
        Self("otel".to_owned())
    }
}

impl TryFrom<String> for Database {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') && (1..=64).contains(&name.len());
        if fits && !name.starts_with(|c: char| c.is_ascii_digit()) {
            Ok(Self(name))
        } else {
            Err("a database name is 1 to 64 letters, digits or _, not beginning with a digit")
        }
    }
}

impl From<Database> for String {
    fn from(database: Database) -> Self {
        database.0
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_told_from_another() {
        let is_here = |url: Option<&str>| Config { url: url.map(Urls::from), ..Config::default() }.is_here();
        assert!(is_here(None), "the embedded one");
        for here in ["http://127.0.0.1:8123", "http://localhost:8123", "http://[::1]:8123,http://127.0.0.2:8124"] {
            assert!(is_here(Some(here)), "{here}");
        }
        for elsewhere in ["http://clickhouse:8123", "http://10.0.0.1:8123", "http://localhost:1,http://ch:1", "", "x y"]
        {
            assert!(!is_here(Some(elsewhere)), "{elsewhere}");
        }
    }
}
