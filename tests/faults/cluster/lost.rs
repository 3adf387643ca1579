//! Inserts that nobody knows the end of: the answer is lost, ClickHouse goes on alone, or the shard goes away in the middle.

use std::ops::Range;

use super::once::{Scene, With};
use support::proxy::Fault;
use support::wait_until;

/// What takes an answer: before ClickHouse has all of the insert, before it answers, and after.
const LOST: [Fault; 3] = [Fault::ResetMidBody, Fault::ResetAfterBody, Fault::CutAnswer];
/// Inserts of a search, one of two, that go on alone.
const ALONE: usize = 8;

/// Each fault once with rows that are fine, and all of them in a search for refused rows.
pub(super) fn answers_are_lost(scene: &mut Scene) {
    for fault in LOST {
        let before = scene.proxy.done(fault);
        scene.proxy.inject(fault, 1);
        scene.send(With::Nothing);
        scene.wait_for(fault, before + 1);
        scene.assert_each_once(&format!("{fault:?}"));
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
    scene.assert_each_once("answers lost in a search");
    scene.proxy.forget_injected();
}

/// As after a time-out: nobody waits any more, and ClickHouse is still at work on the insert when the next one comes.
pub(super) fn inserts_go_on_alone(scene: &mut Scene) {
    held_inserts_are_stopped(scene);
    let before = scene.proxy.done(Fault::Abandon);
    scene.proxy.inject(Fault::Pass, 1);
    for _each in 0..ALONE {
        scene.proxy.inject(Fault::Abandon, 1);
        scene.proxy.inject(Fault::Pass, 1);
    }
    scene.send_slow(With::RefusedRows);
    scene.assert_each_once("inserts of a search go on alone");
    scene.proxy.forget_injected();
    assert!(scene.proxy.done(Fault::Abandon) > before, "no insert of the search was left alone");
}

/// Inserts that are not over when their rows are sent again: with the same token, by which ClickHouse knows them, and in a search for
/// refused rows with another one, before which they are stopped.
fn held_inserts_are_stopped(scene: &mut Scene) {
    let before = scene.proxy.done(Fault::Hold);
    scene.proxy.inject(Fault::Hold, 1);
    scene.send_large(With::Nothing);
    scene.wait_for(Fault::Hold, before + 1);
    scene.proxy.let_go();
    scene.assert_each_once("a held insert");

    let stopped = |scene: &Scene| scene.service.log().matches("stopping an insert that nobody waits for").count();
    let before = stopped(scene);
    scene.proxy.inject(Fault::Pass, 1);
    scene.proxy.inject(Fault::Hold, 1);
    scene.send_large(With::RefusedRows);
    wait_until("the insert under way is stopped", || (stopped(scene) > before).then_some(()));
    scene.proxy.let_go();
    scene.assert_each_once("a held insert of a search");
}

/// ClickHouse is at work on half of the rows, for which nobody waits any more, as all of them are tried again with another token.
pub(super) fn a_half_goes_on_alone(scene: &mut Scene) {
    let times_away = |scene: &Scene| scene.service.log().matches("ClickHouse is away").count();
    let before = times_away(scene);
    // VIOLATED_CONSTRAINT, for the segment and for all of its rows: then halves are tried
    scene.proxy.inject(Fault::Code(469), 2);
    scene.proxy.inject(Fault::AbandonThenRefuse, 1);
    scene.send_slower();
    wait_until("the search is given up", || (times_away(scene) > before).then_some(()));
    scene.proxy.set(Fault::Pass);
    scene.assert_each_once("a half goes on alone");
    let stopped = scene.service.log().matches("stopping an insert that nobody waits for").count();
    println!("inserts that were still under way when their rows were tried again, and were stopped: {stopped}");
}

/// Kills all replicas of a shard while one of them is at work on an insert, and starts them again: with rows that are fine, and in a search
/// for refused ones.
pub(super) fn a_shard_goes_away(scene: &mut Scene, shard: Range<usize>) {
    let searches = |scene: &Scene| scene.service.log().matches("looking for them").count();
    let before = searches(scene);
    scene.send_slow(With::RefusedRows);
    wait_until("the search is under way", || (searches(scene) > before).then_some(()));
    scene.send_slow(With::Nothing);
    let inserts = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
    wait_until("the shard is at work on an insert", || {
        shard.clone().any(|node| scene.cluster.sql(node).number(inserts, &[]) > 0).then_some(())
    });
    shard.clone().for_each(|node| scene.cluster.kill(node));
    shard.for_each(|node| scene.cluster.start_node(node));
    scene.assert_each_once("a shard killed in an insert");
}
