//! Inserts that nobody knows the end of: the answer is lost, ClickHouse goes on alone, or the shard goes away in the middle.

use super::nodes::is_possible;
use super::once::{Scene, With};
use super::refused::TOPOLOGIES;
use support::proxy::Fault;
use support::wait_until;

/// What takes an answer: before ClickHouse has all of the insert, before it answers, and after.
const LOST: [Fault; 3] = [Fault::ResetMidBody, Fault::ResetAfterBody, Fault::CutAnswer];
/// Inserts of a search, one of two, that go on alone.
const ALONE: usize = 8;

#[test]
fn an_insert_whose_end_is_not_known_stores_each_row_once_on_every_topology() {
    if !is_possible() {
        return;
    }
    for (shards, replicas) in TOPOLOGIES {
        let mut scene = Scene::start(shards, replicas, 0);
        let topology = format!("{shards}x{replicas}");
        answers_are_lost(&mut scene, &topology);
        inserts_go_on_alone(&mut scene, &topology);
        for with in [With::Nothing, With::RefusedRows] {
            a_shard_goes_away(&mut scene, with, (shards - 1) * replicas..shards * replicas);
            scene.assert_each_once(&format!("{topology}, a shard killed in an insert, {with:?}"));
        }
        scene.end();
    }
}

/// Each fault once with rows that are fine, and all of them in a search for refused rows.
pub(super) fn answers_are_lost(scene: &mut Scene, topology: &str) {
    for fault in LOST {
        let before = scene.proxy.done(fault);
        scene.proxy.inject(fault, 1);
        scene.send(With::Nothing);
        scene.wait_for(fault, before + 1);
        scene.assert_each_once(&format!("{topology}, {fault:?}"));
    }
    let before = scene.proxy.done(Fault::ResetAfterBody);
    scene.proxy.inject(Fault::Pass, 1);
    for _each in 0..3 {
        LOST.iter().for_each(|fault| scene.proxy.inject(*fault, 1));
        // a refusal must be heard for the search to go on
        scene.proxy.inject(Fault::Pass, 1);
    }
    scene.send(With::RefusedRows);
    scene.wait_for(Fault::ResetAfterBody, before + 3);
    scene.assert_each_once(&format!("{topology}, answers lost in a search"));
    scene.proxy.forget_injected();
}

/// As after a time-out: nobody waits any more, and ClickHouse is still at work on the insert when the next one comes.
pub(super) fn inserts_go_on_alone(scene: &mut Scene, topology: &str) {
    let before = scene.proxy.done(Fault::Abandon);
    scene.proxy.inject(Fault::Abandon, 1);
    scene.send_slow(With::Nothing);
    scene.wait_for(Fault::Abandon, before + 1);
    scene.assert_each_once(&format!("{topology}, an insert goes on alone"));

    scene.proxy.inject(Fault::Pass, 1);
    for _each in 0..ALONE {
        scene.proxy.inject(Fault::Abandon, 1);
        scene.proxy.inject(Fault::Pass, 1);
    }
    scene.send_slow(With::RefusedRows);
    scene.assert_each_once(&format!("{topology}, inserts of a search go on alone"));
    scene.proxy.forget_injected();
    assert!(scene.proxy.done(Fault::Abandon) > before + 1, "no insert of the search was left alone");
}

/// Kills all replicas of a shard while one of them is at work on an insert, and starts them again.
fn a_shard_goes_away(scene: &mut Scene, with: With, shard: std::ops::Range<usize>) {
    scene.send_slow(with);
    // the question names no INSERT
    let inserts = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
    wait_until("the shard is at work on an insert", || {
        shard.clone().any(|node| scene.cluster.sql(node).number(inserts, &[]) > 0).then_some(())
    });
    shard.clone().for_each(|node| scene.cluster.kill(node));
    shard.for_each(|node| scene.cluster.start_node(node));
}
