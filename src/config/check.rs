//! Checks the configuration beyond its types: each value against the table of bounds, then what does not go together, so that
//! whatever is accepted can also be stored.

use super::Config;
use crate::access::Auth;
use crate::bounds;
use crate::connections::tls;
use crate::embedded;
use crate::sizes::ByteSize;
use crate::time::spelt::Spelt;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Least that a window of time may be: clocks differ.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Most that `receivers.timestamps.days_per_hour` may be: there are not more days.
const DAYS_PER_HOUR_MAX: u32 = 50_000;

/// Every problem, by its key.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let sections = [
        clickhouse(config),
        sql_port(config),
        config.auth.check(),
        config.retention.check(),
        config.genai.content_policy().check(),
        config.connections.check(),
        config.receivers.http.cors.check("receivers.http.cors"),
        config.telemetry.check(&listeners(config)),
    ];
    let several = [config.quotas.problems(), open_ports(config), shared_ports(config), config.redaction.problems()];
    let sections = sections.into_iter().filter_map(Result::err);
    sections.chain(several.into_iter().flatten()).chain(limits(config)).collect()
}

/// Every value that is out of its range; if there is none, the sizes that do not fit each other.
pub(super) fn limits(config: &Config) -> Vec<String> {
    let problems: Vec<String> = ranges(config).into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        return [exported(config), insert(config)].into_iter().filter_map(Result::err).collect();
    }
    problems
}

/// What is out of its range, with the value and what it may be.
fn ranges(config: &Config) -> Vec<Result<(), String>> {
    let Config { journal, exporter, joiner, memory, dedup, embedded, query, .. } = config;
    let timestamps = &config.receivers.timestamps;
    let size = |key, size: ByteSize, min, max| within(key, size, ByteSize(min)..=ByteSize(max), ByteSize::to_string);
    let at_least = |key, bytes: Option<ByteSize>, min| bytes.map_or(Ok(()), |bytes| size(key, bytes, min, usize::MAX));
    let number = |key, number: usize, max| within(key, number, 1..=max, usize::to_string);
    vec![
        size("memory.limit", memory.limit, bounds::MEMORY_LIMIT_MIN, bounds::MEMORY_LIMIT_MAX),
        number("journal.segment_rows", journal.segment_rows, bounds::SEGMENT_ROWS_MAX),
        size("journal.segment_bytes", journal.segment_bytes, 1, bounds::SEGMENT_BYTES_MAX),
        at_least("journal.max_bytes", journal.max_bytes, bounds::JOURNAL_BYTES_MIN),
        number("exporter.concurrency", exporter.concurrency, bounds::INSERTS_AT_ONCE_MAX),
        pause("exporter.flush_after", exporter.flush_after, Duration::ZERO),
        pause("joiner.interval", joiner.interval, Duration::from_nanos(1)),
        number("joiner.batch", joiner.batch, bounds::JOIN_BATCH_MAX),
        within("dedup.max_spans", dedup.max_spans, 0..=bounds::DEDUP_SPANS_MAX, usize::to_string),
        number("embedded.queries_max", embedded.queries_max, bounds::QUERIES_AT_ONCE_MAX),
        at_least("embedded.memory_max_bytes", embedded.memory_max_bytes, bounds::ENGINE_MEMORY_MIN),
        duration("query.max_execution_time", query.max_execution_time, bounds::READ_TIME_MIN..=bounds::READ_TIME_MAX),
        at_least("query.max_memory", Some(query.max_memory), bounds::READ_MEMORY_MIN),
        number("query.concurrency", query.concurrency, bounds::READS_AT_ONCE_MAX),
        duration("receivers.timestamps.past", timestamps.past, HOUR..=Duration::MAX),
        duration("receivers.timestamps.future", timestamps.future, HOUR..=Duration::MAX),
        within("receivers.timestamps.days_per_hour", timestamps.days_per_hour, 1..=DAYS_PER_HOUR_MAX, u32::to_string),
    ]
}

fn clickhouse(config: &Config) -> Result<(), String> {
    let clickhouse = &config.clickhouse;
    if clickhouse.replica_path.is_some() && clickhouse.cluster.is_none() {
        return Err("clickhouse.replica_path: needs clickhouse.cluster; without it no table is replicated".to_owned());
    }
    match &clickhouse.url {
        Some(urls) => match urls.problem() {
            Some(problem) => Err(format!("clickhouse.url: {problem}")),
            None if urls.are_several() && clickhouse.cluster.is_none() => Err(SEVERAL_SERVERS.to_owned()),
            None => Ok(()),
        },
        None if clickhouse.cluster.is_some() => {
            Err("clickhouse.cluster: needs clickhouse.url; the embedded ClickHouse is not a cluster".to_owned())
        }
        None => match clickhouse.user.as_deref() {
            None | Some("" | "default") => Ok(()),
            Some(user) => Err(format!(
                "clickhouse.user (or MILLRACE_CLICKHOUSE_USER): {user:?} needs clickhouse.url; the embedded ClickHouse \
                 has one user, default"
            )),
        },
    }
}

/// An insert that is repeated at another server is stored twice unless both are replicas of the same tables.
const SEVERAL_SERVERS: &str = "clickhouse.url: several addresses need clickhouse.cluster. Without it each server has tables of \
                               its own: each would hold a part of the spans, and some of them twice";

/// The port of the embedded engine takes any SQL.
fn sql_port(config: &Config) -> Result<(), String> {
    let listen = config.embedded.listen;
    if config.clickhouse.url.is_some() || listen.ip().is_loopback() || config.clickhouse.password.is_some() {
        return Ok(());
    }
    Err(format!(
        "embedded.listen: {listen} is not loopback, so anyone who reaches it could run any SQL; \
         set clickhouse.password or listen on 127.0.0.1"
    ))
}

/// Ports that others reach, and by which they could write and read everything. Health shows nothing of anybody.
fn open_ports(config: &Config) -> Vec<String> {
    if config.auth != Auth::Unset {
        return Vec::new();
    }
    let (grpc, http, metrics) = (&config.receivers.otlp_grpc, &config.receivers.http, &config.admin.metrics);
    let listeners = [
        ("receivers.otlp_grpc.listen", grpc.listen, &grpc.tls),
        ("receivers.http.listen", http.listen, &http.tls),
        ("admin.metrics.listen", metrics.listen, &metrics.tls),
        ("page.listen", config.page.listen, &config.page.tls),
    ];
    let is_open = |listen: SocketAddr, tls: &Option<tls::Config>| {
        !listen.ip().is_loopback() && !tls.as_ref().is_some_and(tls::Config::asks_for_certificates)
    };
    let open = listeners.into_iter().filter(|(_, listen, tls)| is_open(*listen, tls));
    let problem = |(key, listen, _): (&str, SocketAddr, _)| {
        format!(
            "{key}: {listen} is not loopback, so anyone who reaches it could write and read everything; set auth.tokens_file \
             (`millrace token create`), tls with client_ca_file, or auth: none if something else keeps others away"
        )
    };
    open.map(problem).collect()
}

/// Listeners at an address that another one has. Port 0 is one that the system chooses.
fn shared_ports(config: &Config) -> Vec<String> {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    let mut problems = Vec::new();
    for (key, listen) in listeners(config) {
        if key == "embedded.listen" && config.clickhouse.url.is_some() {
            continue;
        }
        match taken.iter().find(|(_, other)| *other == listen && listen.port() != 0) {
            Some((other, _)) => problems.push(format!("{key}: {listen} is {other} too; each listener needs its own")),
            None => taken.push((key, listen)),
        }
    }
    problems
}

/// Where this Millrace listens, by the key.
fn listeners(config: &Config) -> [(&'static str, SocketAddr); 6] {
    [
        ("receivers.otlp_grpc.listen", config.receivers.otlp_grpc.listen),
        ("receivers.http.listen", config.receivers.http.listen),
        ("page.listen", config.page.listen),
        ("admin.health.listen", config.admin.health.listen),
        ("admin.metrics.listen", config.admin.metrics.listen),
        ("embedded.listen", config.embedded.listen),
    ]
}

/// What is sent at once is in memory at once.
fn exported(config: &Config) -> Result<(), String> {
    let (segment, inserts) = (config.journal.segment_bytes, config.exporter.concurrency);
    let max = bounds::exported_bytes(config.memory.limit.0);
    let largest = ByteSize(max / inserts.max(1));
    if segment <= largest {
        return Ok(());
    }
    Err(format!(
        "journal.segment_bytes: {segment} times exporter.concurrency, {inserts}, is more than half of memory.limit, {}; \
         set at most {largest}, a lower exporter.concurrency, or a higher memory.limit",
        ByteSize(max)
    ))
}

/// The embedded engine takes a segment as one insert.
fn insert(config: &Config) -> Result<(), String> {
    if config.clickhouse.url.is_some() {
        return Ok(());
    }
    let memory = config.embedded.memory_max_bytes.map_or_else(embedded::memory_default, |bytes| bytes.0);
    let (segment, max) = (config.journal.segment_bytes, bounds::engine_insert_bytes(memory));
    if bounds::insert_bytes(segment.0) <= max {
        return Ok(());
    }
    Err(format!(
        "journal.segment_bytes: {segment} is more than the {} that the embedded ClickHouse takes as one insert with its {} \
         of memory; set at most that, or a higher embedded.memory_max_bytes",
        ByteSize(max),
        ByteSize(memory)
    ))
}

fn pause(key: &str, pause: Duration, min: Duration) -> Result<(), String> {
    duration(key, pause, min..=bounds::PAUSE_MAX)
}

fn duration(key: &str, duration: Duration, range: RangeInclusive<Duration>) -> Result<(), String> {
    within(key, duration, range, |duration| Spelt(*duration).to_string())
}

fn within<T: PartialOrd>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<(), String> {
    let (bound, limit): (&str, &dyn fmt::Display) = match value {
        _ if value < *range.start() => ("least", &show(range.start())),
        _ if value > *range.end() => ("most", &show(range.end())),
        _ => return Ok(()),
    };
    Err(format!("{key}: must be at {bound} {limit}, not {}", show(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn problem(yaml: &str) -> Option<String> {
        let config = Config::parse(yaml, &Environment::new()).unwrap();
        config.check().err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_out_of_its_range_is_named_with_its_key_value_and_limit() {
        for (yaml, said) in [
            ("memory: { limit: 4194303 }", "memory.limit: must be at least 4MiB, not 4194303"),
            ("memory: { limit: 1025GiB }", "memory.limit: must be at most 1024GiB, not 1025GiB"),
            ("journal: { segment_rows: 0 }", "journal.segment_rows: must be at least 1, not 0"),
            ("journal: { segment_rows: 1000001 }", "journal.segment_rows: must be at most 1000000, not 1000001"),
            ("journal: { segment_bytes: 0 }", "journal.segment_bytes: must be at least 1, not 0"),
            ("journal: { segment_bytes: 513MiB }", "journal.segment_bytes: must be at most 512MiB, not 513MiB"),
            ("journal: { max_bytes: 1023KiB }", "journal.max_bytes: must be at least 1MiB, not 1023KiB"),
            ("exporter: { concurrency: 0 }", "exporter.concurrency: must be at least 1, not 0"),
            ("exporter: { concurrency: 257 }", "exporter.concurrency: must be at most 256, not 257"),
            ("exporter: { flush_after: 25h }", "exporter.flush_after: must be at most 1day, not 1day 1h"),
            ("joiner: { interval: 0s }", "joiner.interval: must be at least 1ns, not 0s"),
            ("joiner: { interval: 2days }", "joiner.interval: must be at most 1day, not 2days"),
            ("joiner: { batch: 0 }", "joiner.batch: must be at least 1, not 0"),
            ("joiner: { batch: 100001 }", "joiner.batch: must be at most 100000, not 100001"),
            ("dedup: { max_spans: 1000000001 }", "dedup.max_spans: must be at most 1000000000, not 1000000001"),
            ("receivers: { timestamps: { past: 59m } }", "receivers.timestamps.past: must be at least 1h, not 59m"),
            ("receivers: { timestamps: { future: 59m } }", "receivers.timestamps.future: must be at least 1h, not 59m"),
            (
                "receivers: { timestamps: { days_per_hour: 0 } }",
                "receivers.timestamps.days_per_hour: must be at least 1, not 0",
            ),
            ("embedded: { queries_max: 0 }", "embedded.queries_max: must be at least 1, not 0"),
            (
                "embedded: { queries_max: 18446744073709551615 }",
                "embedded.queries_max: must be at most 10000, not 18446744073709551615",
            ),
            (
                "embedded: { memory_max_bytes: 255MiB }",
                "embedded.memory_max_bytes: must be at least 256MiB, not 255MiB",
            ),
            (
                "journal: { segment_bytes: 65MiB }",
                "journal.segment_bytes: 65MiB times exporter.concurrency, 2, is more than half of memory.limit, 128MiB; \
                 set at most 64MiB, a lower exporter.concurrency, or a higher memory.limit",
            ),
            (
                "{ embedded: { memory_max_bytes: 256MiB }, memory: { limit: 1GiB }, journal: { segment_bytes: 135MiB } }",
                "journal.segment_bytes: 135MiB is more than the 134MiB that the embedded ClickHouse takes as one insert \
                 with its 256MiB of memory; set at most that, or a higher embedded.memory_max_bytes",
            ),
        ] {
            assert_eq!(problem(yaml).as_deref(), Some(said), "{yaml}");
        }
    }

    #[test]
    fn what_is_just_within_its_range_is_taken() {
        for yaml in [
            "{ memory: { limit: 4MiB }, journal: { segment_bytes: 1MiB, max_bytes: 1MiB } }",
            "{ memory: { limit: 1024GiB }, journal: { segment_bytes: 512MiB }, clickhouse: { url: 'http://ch:8123' } }",
            "{ embedded: { memory_max_bytes: 256MiB }, memory: { limit: 1GiB }, journal: { segment_bytes: 134MiB } }",
            "{ journal: { segment_rows: 1000000 }, joiner: { batch: 1, interval: 1day }, exporter: { flush_after: 1day } }",
            "{ dedup: { max_spans: 0 }, embedded: { queries_max: 10000 } }",
        ] {
            assert_eq!(problem(yaml), None, "{yaml}");
        }
    }

    #[test]
    fn a_user_without_a_server_is_the_engines_own_or_refused() {
        let of = |user: &str, name: &str| {
            let mut config = Config::default();
            config.apply(&Environment::from([(name.to_owned(), user.to_owned())]));
            config.check().err().map(|error| error.to_string())
        };
        assert_eq!(of("default", "MILLRACE_CLICKHOUSE_USER"), None);
        let refused = of("writer", "MILLRACE_CLICKHOUSE_USER").unwrap();
        assert!(refused.starts_with("clickhouse.user (or MILLRACE_CLICKHOUSE_USER): \"writer\" needs clickhouse.url"));
        assert_eq!(problem("clickhouse: { user: writer }"), Some(refused));
        assert_eq!(problem("clickhouse: { user: writer, url: 'http://ch:8123' }"), None);
    }
}
