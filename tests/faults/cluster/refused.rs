//! Rows that a shard refuses cost no other row, and none is stored twice: while replicas are away too, and when Millrace is killed as it
//! looks for them.

use super::lost::{a_half_goes_on_alone, a_shard_goes_away, answers_are_lost, inserts_go_on_alone};
use super::nodes::is_possible;
use super::once::{SPANS, Scene, With};
use support::proxy::Fault;
use support::wait_until;

/// Inserts that pass before the search for refused rows is held: in its beginning, and when some of the rows are stored.
const HELD_AFTER: [usize; 2] = [2, 6];

#[test]
fn two_replicas_store_each_row_once_whatever_is_refused_lost_or_killed() {
    if is_possible() {
        everything_goes_wrong(1, 2).end();
    }
}

#[test]
fn two_shards_store_each_row_once_whatever_is_refused_lost_or_killed() {
    if is_possible() {
        everything_goes_wrong(2, 1).end();
    }
}

#[test]
fn two_shards_of_two_replicas_store_each_row_once_whatever_is_refused_lost_or_killed() {
    if is_possible() {
        everything_goes_wrong(2, 2).end();
    }
}

#[test]
fn refused_rows_and_lost_answers_do_not_wait_for_a_replica_that_is_away() {
    if !is_possible() {
        return;
    }
    let mut scene = Scene::start(2, 2, 0);
    scene.cluster.kill(3);
    scene.send(With::RefusedRows);
    scene.assert_each_once("a replica is away, refused rows");
    kill_in_the_search_after(&mut scene, HELD_AFTER[1]);
    scene.assert_each_once("a replica is away, killed in the search");
    answers_are_lost(&mut scene);
    inserts_go_on_alone(&mut scene);
    scene.cluster.start_node(3);
    scene.assert_each_once("the replica is back");
    scene.end();
}

fn everything_goes_wrong(shards: usize, replicas: usize) -> Scene {
    let mut scene = Scene::start(shards, replicas, 0);
    scene.send(With::RefusedRows);
    scene.send_viewed(With::RefusedRows);
    scene.assert_each_once("refused rows");
    a_half_goes_on_alone(&mut scene);
    for inserts in HELD_AFTER {
        kill_in_the_search_after(&mut scene, inserts);
        scene.assert_each_once(&format!("killed after {inserts} inserts of a search"));
    }
    answers_are_lost(&mut scene);
    inserts_go_on_alone(&mut scene);
    a_shard_goes_away(&mut scene, (shards - 1) * replicas..shards * replicas);
    scene
}

/// Kills Millrace while it looks for refused rows, and starts it again.
fn kill_in_the_search_after(scene: &mut Scene, inserts: usize) {
    let held = scene.proxy.done(Fault::StallInsert);
    scene.proxy.inject(Fault::Pass, inserts);
    scene.proxy.set(Fault::StallInsert);
    scene.send(With::RefusedRows);
    scene.wait_for(Fault::StallInsert, held + 1);
    scene.service.kill();
    scene.proxy.set(Fault::Pass);
    scene.service.start_again();
}

#[test]
fn rows_that_only_an_absent_replica_may_have_are_waited_for() {
    if !is_possible() {
        return;
    }
    let mut scene = Scene::start(1, 2, 1);
    scene.cluster.kill(0);
    // it stores all rows, and then says that a view refuses one
    scene.proxy.inject(Fault::Pass, 1);
    scene.proxy.set(Fault::Stall);
    let before = scene.proxy.inserts().len();
    scene.send_viewed(With::Nothing);
    wait_until("an insert is refused", || {
        let inserts = scene.proxy.inserts();
        inserts.get(before).map(|insert| assert_eq!(insert.status, Some(500), "{insert:?}"))
    });
    scene.cluster.kill(1);
    scene.cluster.start_node(0);
    scene.move_to(0);
    scene.proxy.set(Fault::Pass);
    wait_until("the log says what is waited for", || {
        let stored = scene.cluster.sql(0).number("SELECT count() FROM otel_traces", &[]);
        assert_eq!(stored, SPANS, "nothing is sent again");
        scene.service.log().contains("no other is known to have all that it committed").then_some(())
    });
    scene.cluster.start_node(1);
    scene.assert_each_once("rows that only one replica had");
    scene.end();
}
