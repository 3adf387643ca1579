//! What an operator does to a running service: restarts in turn behind a balancer, and backups.

use crate::restart::assert_each_stored_once;
use std::process::Command;
use support::balancer::Balancer;
use support::clients::{Load, acknowledged_spans};
use support::service::Engine;
use support::{Options, Service, wait_until};

#[test]
fn a_rolling_restart_behind_a_balancer_loses_and_doubles_nothing_and_no_sender_is_refused() {
    let engine = Engine::start();
    let mut services = [(); 2].map(|()| {
        Service::start_with(Options { clickhouse_url: Some(engine.url()), fixed_ports: true, ..Options::default() })
    });
    let balancer = Balancer::before(services.iter().map(Service::grpc).collect());
    let load = Load::start_at(&balancer.url(), "--batches 100000 --batch-spans 20 --tries 1");
    load.wait_for_acknowledged(20);
    for service in &mut services {
        let status = service.terminate();
        assert_eq!(status.code(), Some(0), "{status}");
        load.wait_for_acknowledged(20);
        service.start_again();
        load.wait_for_acknowledged(20);
    }
    let batches = load.stop();
    let refused = batches.iter().filter(|batch| !batch.acknowledged).count();
    assert_eq!(refused, 0, "the SDK's own retries are enough");
    assert_each_stored_once(&services[0], &acknowledged_spans(&batches), "load");
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("the program runs");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

#[test]
fn a_copy_made_under_load_while_both_processes_are_frozen_has_everything_that_was_acknowledged_and_nothing_twice() {
    // inserts and merges all the time
    let yaml = "exporter: { flush_after: 50ms }".to_owned();
    let mut service = Service::start_with(Options { yaml, ..Options::default() });
    let load = Load::start(&service, "--batches 100000 --batch-spans 20 --tries 1");
    load.wait_for_acknowledged(100);
    let backup = tempfile::tempdir().unwrap();
    let copy = backup.path().join("data");
    // as `systemctl freeze` and `thaw` do (docs/operations.md)
    let pids = [service.pid(), service.engine_pid().expect("the engine runs")].map(|pid| pid.to_string());
    pids.iter().for_each(|pid| run("kill", &["-STOP", pid]));
    let before = load.batches();
    run("cp", &["-a", service.data_dir().to_str().unwrap(), copy.to_str().unwrap()]);
    pids.iter().for_each(|pid| run("kill", &["-CONT", pid]));
    load.wait_for_acknowledged(20);
    let all = load.stop();
    assert!(all.iter().all(|batch| batch.acknowledged), "senders wait, and nobody is refused");
    service.kill();

    let restored = Service::start_with(Options { data_dir: Some(copy), ..Options::default() });
    assert_each_stored_once(&restored, &acknowledged_spans(&before), "load");
    let waits = || restored.metric("millrace_journal_segments");
    wait_until("nothing of the journal waits", || (waits()? == 0.0).then_some(()));
    let twice = "SELECT count() AS n FROM (SELECT SpanId FROM otel_traces GROUP BY TraceId, SpanId HAVING count() > 1)";
    assert_eq!(restored.sql().number(twice, &[]), 0);
}
