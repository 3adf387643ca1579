//! A Millrace with its ClickHouse through a proxy, and the law: what was accepted is stored exactly once, but for dead letters.
//!
//! ```text
//! refused    a span of this name is refused by the shard that gets it, not by the node that takes the insert
//! viewed     a view on the shard refuses it after the shard has stored it
//! slow       the shard works on it for a while; slower: for a longer one
//! ```

use std::fs;

use serde_json::Value;

use super::load::{assert_stored_once, millrace_through, send, spans};
use super::nodes::Cluster;
use super::succeeds;
use crate::torture::watch::Watch;
use support::proxy::{Fault, Proxy};
use support::wire::{Span, string_attribute};
use support::{Service, wait_until};

/// How long a shard works on a slow row. ClickHouse allows 3 s for those of a block.
const SLOW_SECONDS: f64 = 0.03;
const SLOWER_SECONDS: f64 = 0.14;
/// Spans of a request.
pub(crate) const SPANS: u64 = 40;
/// Refused ones among them, by their place: neighbours, and one in the other half.
pub(crate) const REFUSED: [usize; 3] = [7, 8, 30];

/// A cluster, a Millrace, and what was sent so far.
pub(crate) struct Scene {
    topology: String,
    pub(crate) cluster: Cluster,
    pub(crate) proxy: Proxy,
    pub(crate) service: Service,
    watch: Option<Watch>,
    accepted: u64,
    refused: u64,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    RefusedRows,
}

impl Scene {
    /// Millrace sends to a node, through the proxy.
    pub(crate) fn start(shards: usize, replicas: usize, node: usize) -> Self {
        let cluster = Cluster::start(shards, replicas);
        succeeds(&cluster.schema("apply", 0, ""));
        // only where rows are kept: the Distributed table would refuse the whole insert before any shard sees it
        for (name, check) in [
            ("refused", "SpanName != 'refused'".to_owned()),
            ("slow", format!("if(SpanName = 'slow', sleepEachRow({SLOW_SECONDS}), 0) = 0")),
            ("slower", format!("if(SpanName = 'slower', sleepEachRow({SLOWER_SECONDS}), 0) = 0")),
        ] {
            let sql = format!("ALTER TABLE otel_traces_local ON CLUSTER one ADD CONSTRAINT {name} CHECK {check}");
            cluster.sql(0).rows(&sql, &[]);
        }
        let view = "CREATE MATERIALIZED VIEW refuses ON CLUSTER one ENGINE = Null AS \
                    SELECT throwIf(CAST(SpanName AS String) = 'viewed') AS refused FROM otel_traces_local";
        cluster.sql(0).rows(view, &[]);
        let proxy = Proxy::before(port_of(&cluster, node), Fault::Pass);
        let service = millrace_through(&cluster, &proxy);
        let watch = Some(Watch::start(&service));
        let mut scene =
            Self { topology: format!("{shards}x{replicas}"), cluster, proxy, service, watch, accepted: 0, refused: 0 };
        scene.send(With::Nothing);
        scene.assert_each_once("the first rows");
        scene
    }

    /// From now on Millrace sends to this node.
    pub(crate) fn move_to(&self, node: usize) {
        self.proxy.retarget(port_of(&self.cluster, node));
    }

    /// One request, acknowledged.
    pub(crate) fn send(&mut self, with: With) {
        self.send_renamed(with, |_| {});
    }

    /// The same with rows that take their time.
    pub(crate) fn send_slow(&mut self, with: With) {
        self.send_renamed(with, |spans| spans.iter_mut().for_each(|span| span.name = "slow".to_owned()));
    }

    /// The same with a row that a view refuses.
    pub(crate) fn send_viewed(&mut self, with: With) {
        // beside refused rows, so that the search comes down to it alone
        self.send_renamed(with, |spans| spans[9].name = "viewed".to_owned());
    }

    /// The same with so many bytes that ClickHouse is at work on them before it has read to their end.
    pub(crate) fn send_large(&mut self, with: With) {
        let text = |place: usize| "0123456789abcdef".repeat(1_000) + &place.to_string();
        self.send_renamed(with, |spans| {
            for (place, span) in spans.iter_mut().enumerate() {
                span.attributes.push(string_attribute("text", text(place)));
            }
        });
    }

    /// One whose first half takes long.
    pub(crate) fn send_slower(&mut self) {
        self.send_renamed(With::Nothing, |spans| {
            let half = spans.len() / 2;
            spans.iter_mut().take(half).for_each(|span| span.name = "slower".to_owned());
        });
    }

    fn send_renamed(&mut self, with: With, rename: impl FnOnce(&mut [Span])) {
        let mut spans = spans(self.accepted, SPANS);
        rename(&mut spans);
        if with == With::RefusedRows {
            REFUSED.iter().for_each(|place| spans[*place].name = "refused".to_owned());
            self.refused += u64::try_from(REFUSED.len()).expect("few");
        }
        send(&self.service, spans);
        self.accepted += SPANS;
    }

    /// Waits until everything has its fate: each row is stored once, as each node that runs says, and the refused ones are dead
    /// letters.
    pub(crate) fn assert_each_once(&self, what: &str) {
        wait_until(&format!("dead letters have {} rows: {what}", self.refused), || {
            let dead = self.rows_in_dead_letters();
            assert!(dead <= self.refused, "{what}: {dead} rows are dead letters, {} were refused", self.refused);
            (dead == self.refused).then_some(())
        });
        wait_until(&format!("nothing is pending: {what}"), || {
            (self.service.metric("millrace_spans_pending")? == 0.0).then_some(())
        });
        assert_eq!(
            self.rows_in_dead_letters(),
            self.refused,
            "{what}: dead letters have the refused rows and no other"
        );
        assert_stored_once(&self.cluster, self.accepted - self.refused);
        let (topology, accepted, refused) = (&self.topology, self.accepted, self.refused);
        println!("{topology}, {what}: {accepted} accepted, {} stored once, {refused} dead letters", accepted - refused);
    }

    /// Of all lives of the service.
    fn rows_in_dead_letters(&self) -> u64 {
        let files = fs::read_dir(self.service.data_dir().join("dead-letter")).into_iter().flatten().flatten();
        let reasons = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ext| ext == "json"));
        let rows =
            |text: String| serde_json::from_str::<Value>(&text).expect("it is written as a whole")["rows"].as_u64();
        reasons.filter_map(|path| rows(fs::read_to_string(path).expect("it can be read"))).sum()
    }

    /// Waits until the proxy has met so many of a fault.
    pub(crate) fn wait_for(&self, fault: Fault, times: u64) {
        wait_until(&format!("the proxy has done {fault:?} {times} times"), || {
            (self.proxy.done(fault) >= times).then_some(())
        });
    }

    /// The sum of what became of spans was right in every scrape.
    pub(crate) fn end(mut self) {
        self.watch.take().expect("it ends once").end();
    }
}

fn port_of(cluster: &Cluster, node: usize) -> u16 {
    cluster.url(node).rsplit(':').next().expect("a port").parse().expect("a port is a number")
}
