//! T14: what the real exporter does with each code of ClickHouse: try again soon, hold until an operator has mended it,
//! or give up on the rows alone.

use std::process::Output;

use serde_json::Value;

use super::ledger::Ledger;
use super::load::{Door, Load, Pace};
use super::{DRAINED_WITHIN, is_long, wait_until_drained};
use support::proxy::{Fault, Proxy};
use support::service::binary;
use support::{Engine, Options, Service, http, wait_at_most, wait_until};

/// 9999 is not a code of ClickHouse.
const RETRY: [u32; 17] = [3, 107, 159, 202, 203, 209, 210, 236, 241, 242, 252, 285, 290, 319, 425, 999, 9999];
const RETRY_STATUS: [u16; 4] = [429, 500, 502, 503];
const HOLD: [u32; 7] = [497, 16, 60, 81, 164, 243, 516];
const HOLD_STATUS: [u16; 3] = [401, 403, 404];
const PERMANENT: [u32; 6] = [6, 27, 33, 53, 117, 469];
const SPANS: usize = 4;

pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) proxy: Proxy,
    pub(crate) service: Service,
}

pub(crate) fn scene(yaml: &str) -> Scene {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let (yaml, url) = (yaml.to_owned(), Some(proxy.url()));
    let service = Service::start_with(Options { yaml, clickhouse_url: url, fixed_ports: true, ..Options::default() });
    wait_until("ClickHouse is reached", || (clickhouse_state(&service) == "storing").then_some(()));
    Scene { engine, proxy, service }
}

pub(crate) fn clickhouse_state(service: &Service) -> String {
    let state = http::get(&service.health()).json().pointer("/clickhouse/state").cloned();
    state.as_ref().and_then(Value::as_str).expect("health tells of ClickHouse").to_owned()
}

/// One request over OTLP/HTTP, acknowledged.
fn send_one(service: &Service) -> Ledger {
    let pace = Pace { doors: vec![Door::OtlpHttp], spans: SPANS, requests_max: 1, ..Pace::default() };
    Load::start(service, &pace).finish()
}

/// Runs `millrace dead-letter ...` on the data of a running service, whatever comes of it.
pub(crate) fn run_dead_letter(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.arg("dead-letter").args(arguments).arg("--config").arg(scene.service.config());
    command.env("MILLRACE_CLICKHOUSE_URL", scene.proxy.url());
    command.output().expect("the binary runs")
}

/// The same; it must succeed.
pub(crate) fn dead_letter(scene: &Scene, arguments: &[&str]) -> Output {
    let output = run_dead_letter(scene, arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "dead-letter {arguments:?}: {}\n{said}", output.status);
    output
}

fn dead_lettered(service: &Service) -> f64 {
    service.metric("millrace_spans_dead_lettered_total").expect("the counter is there")
}

#[test]
fn a_code_that_goes_away_by_itself_is_tried_again_with_the_same_token() {
    let scene = scene("exporter: { flush_after: 10ms }");
    let codes = RETRY.map(Fault::Code).into_iter().chain(RETRY_STATUS.map(Fault::Status));
    for fault in codes {
        let before = scene.proxy.inserts().len();
        scene.proxy.inject(fault, 1);
        send_one(&scene.service);
        wait_until_drained(&scene.service, &scene.engine.sql("otel"));
        let inserts = scene.proxy.inserts().split_off(before);
        let [first, second] = inserts.as_slice() else { panic!("{fault:?}: {inserts:?}") };
        assert_eq!(first.fault, fault);
        assert_eq!((second.fault, second.status), (Fault::Pass, Some(200)), "{fault:?}");
        assert_eq!((&first.token, first.digest), (&second.token, second.digest), "{fault:?}");
    }
    assert_eq!(dead_lettered(&scene.service), 0.0);
}

#[test]
fn a_code_that_an_operator_can_mend_is_held_alarms_and_goes_on_by_itself() {
    let codes = HOLD.map(Fault::Code).into_iter().chain(HOLD_STATUS.map(Fault::Status));
    let codes: Vec<Fault> = codes.take(if is_long() { usize::MAX } else { 1 }).collect();
    for fault in codes {
        let scene = scene("exporter: { flush_after: 10ms }");
        scene.proxy.set(fault);
        let ledger = send_one(&scene.service);
        wait_until("health says that ClickHouse is away", || {
            (clickhouse_state(&scene.service) == "away").then_some(())
        });
        let log = scene.service.log();
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("ClickHouse")), "no alarm: {log}");
        assert_eq!(dead_lettered(&scene.service), 0.0, "{fault:?}: rows were given up");
        scene.proxy.set(Fault::Pass);
        wait_until_drained(&scene.service, &scene.engine.sql("otel"));
        ledger.assert_kept(&scene.engine.sql("otel"));
        wait_at_most(DRAINED_WITHIN, "health is well again", || {
            (clickhouse_state(&scene.service) == "storing").then_some(())
        });
        assert_eq!(dead_lettered(&scene.service), 0.0, "{fault:?}: rows were given up");
    }
}

#[test]
fn a_code_that_refuses_the_rows_sends_them_to_the_dead_letters_and_the_next_go_on() {
    let scene = scene("exporter: { flush_after: 10ms }");
    let codes = PERMANENT.map(Fault::Code).into_iter().chain([Fault::TooManyPartitions]);
    let (mut given_up, mut ledgers) = (0.0, Vec::new());
    for fault in codes {
        scene.proxy.set(fault);
        ledgers.push(send_one(&scene.service));
        given_up += f64::from(u32::try_from(SPANS).expect("few"));
        wait_until_drained(&scene.service, &scene.engine.sql("otel"));
        assert_eq!(dead_lettered(&scene.service), given_up, "{fault:?}");
        scene.proxy.set(Fault::Pass);
        ledgers.push(send_one(&scene.service));
        wait_until_drained(&scene.service, &scene.engine.sql("otel"));
        assert_eq!(dead_lettered(&scene.service), given_up, "{fault:?}: the next rows are fine");
    }
    dead_letter(&scene, &["retry", "--all"]);
    wait_until_drained(&scene.service, &scene.engine.sql("otel"));
    Ledger::merged(&ledgers).assert_kept(&scene.engine.sql("otel"));
}
