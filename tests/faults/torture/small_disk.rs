//! T8, T9: a real file system that is full.

use std::fs::{self, File};
use std::io::Write;

use super::load::{Load, Pace};
use super::mounted::Mounted;
use super::watch::Watch;
use super::{DRAINED_WITHIN, wait_until_drained};
use support::proxy::{Fault, Proxy};
use support::{Engine, Options, Service, http, wait_at_most, wait_until};

const DISK_MIB: u64 = 96;

#[test]
fn a_disk_filled_by_the_backlog_or_by_others_refuses_retryably_and_recovers_by_itself() {
    let disk = Mounted::tmpfs(DISK_MIB);
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let options = Options {
        yaml: "journal: { max_bytes: 10GiB, segment_rows: 5000 }".to_owned(),
        clickhouse_url: Some(proxy.url()),
        fixed_ports: true,
        data_dir: Some(disk.path().join("data")),
        ..Options::default()
    };
    let mut service = Service::start_with(options);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace { span_bytes: 2_000, ..Pace::default() });
    load.wait_for_acknowledged(20);

    // the backlog of an outage
    proxy.set(Fault::Refuse);
    is_refusing(&service, &load);
    proxy.set(Fault::Pass);
    load.wait_for_acknowledged(200);

    // a file of somebody else, up to the last byte
    let foreign = disk.path().join("foreign");
    let mut file = File::create(&foreign).expect("a file can be made");
    while file.write_all(&[7; 4096]).is_ok() {}
    is_refusing(&service, &load);
    fs::remove_file(&foreign).expect("it can be removed");
    drop(file);
    load.wait_for_acknowledged(200);

    let ledger = load.stop();
    assert_eq!(service.ended(), None, "a full disk is no reason to end");
    wait_until_drained(&service, &engine.sql("otel"));
    ledger.assert_kept(&engine.sql("otel"));
    assert_eq!(ledger.counts().broken, 0, "each request was answered: {:?}", ledger.counts());
    eprintln!("{:?} {:?}", ledger.counts(), watch.end());
}

fn is_refusing(service: &Service, load: &Load) {
    let refusals = load.counts().refusals;
    wait_at_most(DRAINED_WITHIN, "senders are told to try again", || {
        (load.counts().refusals > refusals + 10).then_some(())
    });
    wait_until("health says that it refuses", || (http::get(&service.health()).status == 503).then_some(()));
}
