//! T3, T4: the power is cut under load. What the disk has not synced is gone; what was acknowledged is not.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use super::load::{Load, Pace};
use super::mounted::Mounted;
use super::{Dice, replays, rounds, wait_until_drained};
use support::sql::Sql;
use support::{Engine, Options, Service};

const DISK_BYTES: u64 = 8 << 30;
const LIFE: Duration = Duration::from_millis(1_500);
/// Shorter runs do not show what a merge leaves unsynced.
const LIVES_WITH_ENGINE: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(40), Duration::from_secs(120)];

/// Service and engine stand still, the disk ends, they are killed; then the disk is back, and they start on another boot
/// of the machine.
fn cut(service: &mut Service, disk: &Mounted) {
    service.signal_group("STOP");
    disk.cut_power();
    service.kill_group();
    disk.mount_again();
    // a power cut is also a new boot, which this machine did not have
    fs::write(service.data_dir().join("journal/boot"), "before the power cut").expect("the journal is there");
}

#[test]
fn the_journal_alone_keeps_what_it_acknowledged_over_power_cuts() {
    let rounds = rounds(3, 50);
    let disk = Mounted::ext4(DISK_BYTES);
    let engine = Engine::start();
    let options = Options {
        yaml: "exporter: { flush_after: 300ms }".to_owned(),
        clickhouse_url: Some(engine.url()),
        own_group: true,
        fixed_ports: true,
        data_dir: Some(disk.path().join("data")),
        ..Options::default()
    };
    let mut service = Service::start_with(options);
    let load = Load::start(&service, &Pace::default());
    let mut dice = Dice::new();
    for _ in 0..rounds {
        load.wait_for_acknowledged(1);
        sleep(dice.below(LIFE));
        cut(&mut service, &disk);
        service.start_again();
    }
    load.wait_for_acknowledged(1);
    let ledger = load.stop();
    wait_until_drained(&service, &engine.sql("otel"));
    ledger.assert_kept(&engine.sql("otel"));
    let replays = replays(&service);
    eprintln!("{rounds} power cuts, {replays} with a journal to replay: {:?}", ledger.counts());
    assert!(replays > 0, "no power cut left something to replay");
}

#[test]
fn the_whole_server_keeps_what_it_acknowledged_over_power_cuts() {
    let rounds = rounds(1, 20);
    let disk = Mounted::ext4(DISK_BYTES);
    let options =
        Options { own_group: true, fixed_ports: true, data_dir: Some(disk.path().join("data")), ..Options::default() };
    let mut service = Service::start_with(options);
    let load = Load::start(&service, &Pace::default());
    let mut cuts = 0;
    for _ in 0..rounds {
        for life in LIVES_WITH_ENGINE {
            load.wait_for_acknowledged(1);
            sleep(life);
            cut(&mut service, &disk);
            service.start_again();
            cuts += 1;
        }
    }
    load.wait_for_acknowledged(1);
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    assert_eq!(detached_parts(&service.sql()), 0, "the engine set parts aside");
    let (counts, replays) = (ledger.counts(), replays(&service));
    eprintln!("{cuts} power cuts, {replays} replays: {counts:?}");
    assert!(replays > 0, "no power cut left something to replay");
}

fn detached_parts(sql: &Sql) -> u64 {
    sql.number("SELECT count() AS n FROM system.detached_parts WHERE table = 'otel_traces'", &[])
}
