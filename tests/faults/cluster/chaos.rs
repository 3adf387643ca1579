//! Everything fails at random for a while, under load of two Millraces: what was acknowledged is stored, each row once.
//!
//! `MILLRACE_TORTURE_SEED` chooses what fails when, as the seed that a run prints; `MILLRACE_CHAOS_SECONDS` for how long.

use std::thread::sleep;
use std::time::{Duration, Instant};

use millrace::config::environment;
use serde_json::json;

use super::load::assert_replicas_are_equal;
use super::nodes::{Cluster, is_possible};
use super::{endpoints, succeeds};
use crate::torture::ledger::Ledger;
use crate::torture::load::{Door, Load, Pace};
use crate::torture::watch::Watch;
use crate::torture::{Dice, is_long, wait_until_drained};
use support::{Service, wait_until};

const SECONDS: u64 = 60;
const SECONDS_LONG: u64 = 600;
/// How long it is away, and how long all is well then, at most.
const AWAY: Duration = Duration::from_secs(3);
const WELL: Duration = Duration::from_secs(2);
/// The nodes that the two Millraces name: one has a single node, the other one of each shard.
const NAMED: [&[usize]; 2] = [&[0], &[3, 1]];
const COORDINATORS: [usize; 2] = [0, 3];
const REPLICAS: [usize; 2] = [1, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Node(usize),
    Keeper,
    Millrace(usize),
}

impl Victim {
    /// One of each kind, in any order.
    fn round(dice: &mut Dice) -> Vec<Self> {
        let mut left = vec![
            Self::Node(COORDINATORS[dice.place(COORDINATORS.len())]),
            Self::Node(REPLICAS[dice.place(REPLICAS.len())]),
            Self::Keeper,
            Self::Millrace(dice.place(2)),
        ];
        let mut round = Vec::new();
        while !left.is_empty() {
            round.push(left.swap_remove(dice.place(left.len())));
        }
        round
    }
}

struct World {
    cluster: Cluster,
    millraces: [Service; 2],
}

impl World {
    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Node(node) => self.cluster.kill(node),
            Victim::Keeper => self.cluster.keeper().kill(),
            Victim::Millrace(number) => self.millraces[number].kill(),
        }
    }

    fn start_again(&mut self, victim: Victim) {
        match victim {
            Victim::Node(node) => self.cluster.start_node(node),
            Victim::Keeper => self.cluster.keeper().start_again(),
            Victim::Millrace(number) => self.millraces[number].start_again(),
        }
    }

    /// Kills one of each kind after the other, now and then two at once, and starts them again.
    fn suffer(&mut self, dice: &mut Dice) -> Vec<Victim> {
        let mut round = Victim::round(dice);
        let all = round.clone();
        while let Some(first) = round.pop() {
            let second = if dice.place(3) == 0 { round.pop() } else { None };
            let victims: Vec<Victim> = [first].into_iter().chain(second).collect();
            eprintln!("killed: {victims:?}");
            victims.iter().for_each(|victim| self.kill(*victim));
            sleep(dice.below(AWAY));
            victims.iter().for_each(|victim| self.start_again(*victim));
            sleep(dice.below(WELL));
        }
        all
    }
}

fn seconds() -> Duration {
    let asked = environment().get("MILLRACE_CHAOS_SECONDS").map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(asked.unwrap_or(if is_long() { SECONDS_LONG } else { SECONDS }))
}

/// What is found by its trace's times is all that is there.
fn assert_trace_times_are_complete(cluster: &Cluster) {
    let outside = "SELECT count() AS n FROM \
                   (SELECT TraceId, min(Timestamp) AS first, max(Timestamp) AS last FROM otel_traces GROUP BY TraceId) AS s \
                   GLOBAL LEFT JOIN (SELECT TraceId, min(Start) AS start, max(End) AS end FROM otel_traces_trace_id_ts GROUP BY TraceId) AS t \
                   ON t.TraceId = s.TraceId WHERE t.start = 0 OR t.start > s.first OR t.end < toDateTime(s.last)";
    wait_until("every trace has its times on every node", || {
        cluster.each(outside).iter().all(|rows| rows[0] == json!({"n": 0})).then_some(())
    });
}

/// What the nodes have is what the ledger says, and the same on all of them.
fn assert_all_is_there(world: &World, ledger: &Ledger) -> u64 {
    let count = "SELECT count() AS rows, uniqExact(TraceId, SpanId) AS distinct FROM otel_traces";
    // a node that is asked may read a replica that lags
    assert_replicas_are_equal(&world.cluster);
    ledger.assert_kept(&world.cluster.sql(0));
    let counts = world.cluster.each(count);
    assert!(counts.iter().all(|rows| rows[0] == counts[0][0]), "each node has the same: {counts:?}");
    assert_eq!(counts[0][0]["rows"], counts[0][0]["distinct"], "each row is there once");
    assert_trace_times_are_complete(&world.cluster);
    counts[0][0]["rows"].as_u64().expect("a number")
}

#[test]
fn whatever_is_killed_each_acknowledged_span_is_stored_once_and_equal_on_all_replicas() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let millraces = NAMED.map(|nodes| endpoints::millrace(&cluster, nodes));
    let mut world = World { cluster, millraces };
    let watches = world.millraces.each_ref().map(Watch::start);
    let doors = vec![Door::OtlpHttp, Door::OtlpGrpc, Door::Chat];
    let pace = Pace { doors, pause: Duration::from_millis(50), ..Pace::default() };
    let loads = world.millraces.each_ref().map(|service| Load::start(service, &pace));
    loads.iter().for_each(|load| load.wait_for_acknowledged(5));
    let (mut dice, began) = (Dice::new(), Instant::now());
    let mut killed = 0;
    while began.elapsed() < seconds() || killed == 0 {
        killed += world.suffer(&mut dice).len();
    }
    loads.iter().for_each(|load| load.wait_for_acknowledged(5));
    let ledgers = loads.map(Load::stop);
    for (number, service) in world.millraces.iter().enumerate() {
        wait_until_drained(service, &world.cluster.sql(COORDINATORS[number]));
        assert_eq!(service.metric("millrace_spans_dead_lettered_total"), Some(0.0), "Millrace {number}");
    }
    let ledger = Ledger::merged(&ledgers);
    let rows = assert_all_is_there(&world, &ledger);
    let seen = watches.map(Watch::end);
    let counts = ledgers.each_ref().map(Ledger::counts);
    let sum = |of: fn(&crate::torture::ledger::Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let (acknowledged, repeats) = (sum(|counts| counts.spans_acknowledged), sum(|counts| counts.repeats));
    println!(
        "2x2, {killed} kills in {:?}: {acknowledged} spans acknowledged, {rows} stored and distinct, {repeats} requests repeated, \
         {} broken connections, {} scrapes in which the counters add up",
        began.elapsed(),
        sum(|counts| counts.broken),
        seen.iter().map(|seen| seen.scrapes).sum::<u64>()
    );
    assert!(
        repeats > 0 && seen.iter().any(|seen| seen.duplicates > 0.0),
        "nothing was sent twice: {counts:?} {seen:?}"
    );
    assert!(sum(|counts| counts.broken) > 0, "no sender noticed that a Millrace was killed: {counts:?}");
}
