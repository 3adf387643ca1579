//! Nodes and Keeper that are away for a while.

use crate::load::{assert_stored_once, millrace, send, spans};
use crate::nodes::{Cluster, is_possible};
use crate::succeeds;
use crate::support::wait_until;

#[test]
fn a_replica_that_was_killed_gets_what_it_missed_and_keeper_away_loses_and_doubles_nothing() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(1, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let service = millrace(&cluster, 0, "");
    send(&service, spans(0, 100));
    assert_stored_once(&cluster, 100);

    cluster.kill(1);
    send(&service, spans(100, 100));
    assert_stored_once(&cluster, 200);
    cluster.start_node(1);
    assert_stored_once(&cluster, 200);

    cluster.keeper().kill();
    send(&service, spans(200, 100));
    wait_until("ClickHouse refused the insert", || {
        (service.metric("millrace_clickhouse_insert_failures")? > 0.0).then_some(())
    });
    cluster.keeper().start_again();
    assert_stored_once(&cluster, 300);
}
