//! T10: ClickHouse is away under full load, in every way that the proxy knows. The journal takes it all.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::load::{Load, Pace};
use super::watch::{Watch, resident_bytes};
use super::{DRAINED_WITHIN, is_long, wait_until_drained};
use support::proxy::{Fault, Insert, Proxy};
use support::{Engine, Options, Service, http, wait_at_most, wait_until};

const OUTAGES: [Fault; 9] = [
    Fault::Refuse,
    Fault::Stall,
    Fault::Status(500),
    Fault::Code(252),
    Fault::Code(241),
    Fault::Code(319),
    Fault::OkWithHeader(241),
    Fault::OkWithBody(241),
    Fault::ResetMidBody,
];
/// All outages together.
const SHORT: Duration = Duration::from_millis(4_500);
const LONG: Duration = Duration::from_secs(600);
const MEMORY_LIMIT_MIB: u64 = 48;
/// What a service may need besides its buffers: code, threads, index of repeats, allocator.
const BESIDES_BYTES: u64 = 192 << 20;

/// The repeats of an insert are the same bytes: ClickHouse knows them by their token alone.
pub(crate) fn assert_repeats_are_alike(inserts: &[Insert]) {
    let mut digests = HashMap::new();
    for insert in inserts {
        assert!(!insert.token.is_empty(), "an insert without a token: {insert:?}");
        let first = digests.entry(&insert.token).or_insert(insert.digest);
        assert_eq!(*first, insert.digest, "two bodies with one token: {insert:?}");
    }
    assert!(digests.len() < inserts.len(), "no insert was repeated");
}

#[test]
fn while_clickhouse_is_away_everything_is_taken_and_afterwards_stored_once() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let yaml = format!("memory: {{ limit: {MEMORY_LIMIT_MIB}MiB }}\njournal: {{ segment_bytes: 8MiB }}");
    let url = Some(proxy.url());
    let options = Options { yaml, clickhouse_url: url, fixed_ports: true, ..Options::default() };
    let service = Service::start_with(options);
    let watch = Watch::start(&service);
    let pause = if is_long() { Duration::from_millis(4) } else { Duration::ZERO };
    let load = Load::start(&service, &Pace { pause, span_bytes: 256, ..Pace::default() });
    load.wait_for_acknowledged(20);
    let before = resident_bytes(service.pid());

    let each = if is_long() { LONG } else { SHORT } / u32::try_from(OUTAGES.len()).expect("few");
    for fault in OUTAGES {
        let done = proxy.done(fault);
        proxy.set(fault);
        sleep(each);
        wait_until("the exporter has met the fault", || (proxy.done(fault) > done).then_some(()));
        wait_until("health says that ClickHouse is away", || {
            let health = http::get(&service.health());
            assert_eq!(health.status, 200, "it still accepts: {}", health.text());
            let state = health.json().pointer("/clickhouse/state").cloned();
            (state == Some("away".into())).then_some(())
        });
        load.wait_for_acknowledged(20);
    }
    let backlog = service.metric("millrace_spans_pending").expect("the gauge is there");
    let ledger = load.stop();
    let began = Instant::now();
    proxy.set(Fault::Pass);
    wait_until_drained(&service, &engine.sql("otel"));
    let rate = backlog / began.elapsed().as_secs_f64();

    ledger.assert_kept(&engine.sql("otel"));
    let (counts, seen) = (ledger.counts(), watch.end());
    eprintln!("backlog {backlog} spans, drained at {rate:.0} rows/s (debug or release as built); {counts:?} {seen:?}");
    assert_repeats_are_alike(&proxy.inserts());
    assert_eq!((counts.refusals, counts.broken), (0, 0), "the journal takes an outage, not the senders: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
    assert!(seen.pending_max >= backlog && backlog > 0.0, "nothing waited");
    let bound = before.max(BESIDES_BYTES) + (MEMORY_LIMIT_MIB << 20);
    assert!(seen.resident_max < bound, "{} B of memory, {before} B before the outage", seen.resident_max);
    wait_at_most(DRAINED_WITHIN, "health is well again", || {
        let state = http::get(&service.health()).json().pointer("/clickhouse/state").cloned();
        (state == Some("storing".into())).then_some(())
    });
}
