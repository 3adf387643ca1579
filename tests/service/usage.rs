//! Usage by hour, model, user, session and agent is that of the calls at any time, whether their days are summed or not: compared
//! with sums of the calls themselves, which another statement makes.

use std::thread;
use std::time::Duration;

use millrace::clickhouse::schema::sums::{insert_hours, insert_keys};
use millrace::clickhouse::sums::forget;
use millrace::clickhouse::{Availability, Client, Config};
use millrace::reconciler::sums::{Summer, sum_all};
use millrace::telemetry::Metrics;
use millrace::time::Clock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::read_api::list;
use crate::rollups::rebuild;
use crate::rows::text;
use crate::schema::succeeds;
use support::service::binary;
use support::{Service, wait_until};

/// What a sum of calls has; the views have the same.
const SUMS: &str = "count() AS Calls, countIf(IsError) AS Errors, sum(InputTokens) AS InputTokens, sum(OutputTokens) AS OutputTokens, \
    if(InputTokens IS NULL, OutputTokens, InputTokens + ifNull(OutputTokens, 0)) AS TotalTokens, \
    sum(CacheReadTokens) AS CacheReadTokens, sum(CacheWriteTokens) AS CacheWriteTokens, sum(ReasoningTokens) AS ReasoningTokens, \
    sum(InputAudioTokens) AS InputAudioTokens, sum(OutputAudioTokens) AS OutputAudioTokens, sum(CostTotal) AS CostTotal, \
    sum(CostInput) AS CostInput, sum(CostOutput) AS CostOutput";
/// And what `genai_usage_1h` has besides: here each quantile by itself.
const QUANTILES: &str = ", quantile(0.5)(Duration) AS DurationP50, quantile(0.95)(Duration) AS DurationP95, \
    quantile(0.99)(Duration) AS DurationP99, quantile(0.5)(TimeToFirstToken) AS TimeToFirstTokenP50, \
    quantile(0.95)(TimeToFirstToken) AS TimeToFirstTokenP95, quantile(0.99)(TimeToFirstToken) AS TimeToFirstTokenP99";
/// And what the views of users, sessions and agents have besides.
const TIMES: &str = ", min(Timestamp) AS FirstTime, max(Timestamp) AS LastTime";
/// Views, and by what their rows are told apart.
const VIEWS: [(&str, &str); 5] = [
    ("genai_usage_1h", "Workspace, Hour, Provider, Model, Operation"),
    ("genai_usage_by_model", "Workspace, Provider, Model"),
    ("genai_usage_by_user", "Workspace, UserId"),
    ("genai_usage_by_session", "Workspace, SessionId"),
    ("genai_usage_by_agent", "Workspace, AgentName"),
];
/// Of whole days, and of days that are cut.
const RANGES: [(&str, &str); 2] =
    [("2026-03-02 00:00:00", "2026-03-04 00:00:00"), ("2026-03-01 11:30:00", "2026-03-04 01:15:00")];

/// Rows of reports of four days, of which some are no calls: those of `numbers`, in this version.
fn reports(numbers: &str, version: u32, is_deleted: &str) -> String {
    format!(
        "INSERT INTO genai_report_rows (Workspace, Timestamp, TraceId, SpanId, SpanKind, ServiceName, Duration, Operation, \
         CountedAs, Provider, Model, SessionId, UserId, AgentName, InputTokens, OutputTokens, CacheReadTokens, ReasoningTokens, \
         CostTotal, CostInput, TimeToFirstToken, IsError, Version, IsDeleted) \
         WITH cityHash64(number) AS h, cityHash64(number, {version}) AS v \
         SELECT if(h % 9 = 0, 'other', 'default'), toDateTime64('2026-03-01 00:00:00', 9) + toIntervalMillisecond(number * 86400), \
         lower(hex(MD5(toString(intDiv(number, 3))))), lower(hex(h)), 'Client', 's', if(v % 11 = 0, NULL, v % 100000), \
         if(h % 8 = 0, 'embeddings', 'chat'), if(v % 10 = 0, 'report', 'call'), concat('p', toString(h % 3)), \
         concat('m', toString(h % 7)), if(v % 5 = 0, '', concat('s', toString(intDiv(number, 10)))), \
         if(h % 4 = 0, '', concat('u', toString(h % 50))), concat('a', toString(h % 6)), if(v % 6 = 0, NULL, v % 1000), \
         if(h % 7 = 0, NULL, v % 500), if(h % 7 = 1, v % 90, NULL), NULL, if(h % 7 = 2, NULL, toDecimal64(v % 977, 12) / 1000), \
         toDecimal64(v % 13, 12) / 7, if(h % 3 = 0, NULL, v % 700), v % 20 = 0, {version}, {is_deleted} FROM {numbers}"
    )
}

fn run(service: &Service, statement: &str) {
    service.sql().rows(statement, &[]);
}

/// Four days, each with parts that are not merged: rows in two versions, and rows that are deleted.
fn four_days() -> Service {
    let service = Service::start();
    wait_until("there are tables", || service.sql().try_rows("SELECT 1 FROM genai_usage_by_agent LIMIT 1", &[]).ok());
    // a merge makes other parts, at a moment that no test knows
    run(&service, "SYSTEM STOP MERGES genai_report_rows");
    run(&service, &reports("numbers(4000)", 1, "0"));
    run(&service, &reports("(SELECT number FROM numbers(4000) WHERE number % 5 = 0)", 2, "0"));
    run(&service, &reports("(SELECT number FROM numbers(4000) WHERE number % 13 = 0)", 3, "1"));
    service
}

fn settled(service: &Service) -> Vec<String> {
    let days = service.sql().rows("SELECT PartitionId AS day FROM genai_usage_settled ORDER BY day", &[]);
    days.iter().map(|day| text(day, "day").to_owned()).collect()
}

/// Every view says what a sum of the calls says.
#[track_caller]
fn assert_right(service: &Service, case: &str) {
    let rows = |sql: String| -> Vec<Value> { service.sql().rows(&sql, &[]) };
    for (view, key) in VIEWS {
        let (more, hour) = match view {
            "genai_usage_1h" => (QUANTILES, "toStartOfHour(Timestamp) AS Hour, "),
            "genai_usage_by_model" => ("", ""),
            _ => (TIMES, ""),
        };
        let columns = key.replace("Hour, ", hour);
        let of_calls = |condition: &str| {
            rows(format!("SELECT {columns}, {SUMS}{more} FROM genai_calls{condition} GROUP BY {key} ORDER BY {key}"))
        };
        let direct = of_calls("");
        assert!(!direct.is_empty());
        assert_eq!(rows(format!("SELECT * FROM {view} ORDER BY {key}")), direct, "{case}: {view}");
        for (since, until) in RANGES {
            let direct = of_calls(&format!(" WHERE Timestamp >= '{since}' AND Timestamp < '{until}'"));
            let between = format!("{view}_between(since = '{since}', until = '{until}')");
            assert_eq!(rows(format!("SELECT * FROM {between} ORDER BY {key}")), direct, "{case}: {between}");
        }
    }
}

/// Rows of a run of which nothing is noted.
fn cut_off(service: &Service) {
    for insert in [insert_hours("otel", "20260302", 7), insert_keys("otel", "20260302", 7)] {
        run(service, &insert);
    }
}

const DAYS: [&str; 4] = ["20260301", "20260302", "20260303", "20260304"];

#[test]
fn usage_is_that_of_the_calls_whatever_becomes_of_them_before_and_after_their_days_are_summed() {
    let service = four_days();
    assert_eq!(settled(&service), [""; 0]);
    assert_right(&service, "nothing is summed");
    let said = rebuild(&service);
    assert!(said.contains("The calls of 4 days are summed."), "{said}");
    assert_eq!(settled(&service), DAYS);
    assert_right(&service, "all is summed");
    for (what, change, left) in [
        ("a call came late", reports("numbers(1500, 1)", 4, "0"), vec![0, 2, 3]),
        ("a call is deleted", reports("(SELECT toUInt64(2501) AS number)", 5, "1"), vec![0, 1, 3]),
        (
            "rows are deleted by hand",
            "SYSTEM START MERGES genai_report_rows; \
             ALTER TABLE genai_report_rows DELETE WHERE UserId = 'u7' SETTINGS mutations_sync = 1; \
             SYSTEM STOP MERGES genai_report_rows"
                .to_owned(),
            vec![],
        ),
        ("a day is dropped", "ALTER TABLE genai_report_rows DROP PARTITION ID '20260303'".to_owned(), vec![0, 1, 3]),
    ] {
        for statement in change.split("; ") {
            run(&service, statement);
        }
        assert_eq!(settled(&service), left.iter().map(|at| DAYS[*at]).collect::<Vec<_>>(), "{what}");
        assert_right(&service, what);
        rebuild(&service);
        let days = service.sql().number("SELECT uniqExact(toDate(Timestamp)) FROM genai_report_rows", &[]);
        assert_eq!(settled(&service).len() as u64, days, "{what}");
        assert_right(&service, &format!("{what}, and all is summed again"));
    }
    run(&service, "SYSTEM START MERGES genai_report_rows");
    run(&service, "OPTIMIZE TABLE genai_report_rows FINAL");
    assert_eq!(settled(&service), [""; 0], "there are other parts");
    assert_right(&service, "all is merged");
}

#[test]
fn sums_are_read_when_they_hold_and_only_whole() {
    let service = four_days();
    rebuild(&service);
    let calls = |condition: &str| {
        let sql =
            format!("SELECT sum(Calls) FROM genai_usage_by_user_between(since = '2026-03-01 00:00:00', {condition}");
        service.sql().number(&sql, &[])
    };
    let (all, some) = ("until = '2026-03-05 00:00:00')", "until = '2026-03-02 12:00:00')");
    let (right_all, right_some) = (calls(all), calls(some));
    // so that it is seen which of them are read
    run(
        &service,
        "ALTER TABLE genai_usage_key_rows UPDATE Calls = Calls + 1000000 WHERE true SETTINGS mutations_sync = 1",
    );
    assert!(calls(all) > right_all + 1_000_000, "the sums are read");
    let of_one_day = service.sql().number("SELECT count() FROM genai_usage_key_rows WHERE By = 'user'", &[]);
    assert!(calls(some) > right_some && calls(some) < right_some + 1_000_000 * of_one_day, "of the day that is whole");
    // as a run that lost rows in a power cut
    run(&service, "ALTER TABLE genai_usage_key_rows DELETE WHERE Key = 'u7' SETTINGS mutations_sync = 1");
    assert_eq!((settled(&service), calls(all)), (vec![], right_all));
    run(&service, "TRUNCATE TABLE genai_usage_key_rows");
    assert_right(&service, "the sums are gone");
    rebuild(&service);
    assert_eq!((settled(&service).len(), calls(all)), (4, right_all));
}

/// All users of the read API's list.
fn users(service: &Service) -> Vec<Value> {
    list(service, "default", "/users?page_size=1000")["data"].as_array().expect("a list").clone()
}

#[test]
fn users_are_listed_with_their_times_right_after_an_upgrade_whose_days_are_not_summed_anew_yet() {
    let service = four_days();
    let direct = users(&service);
    assert!(direct.len() > 30, "{}", direct.len());
    assert!(direct.iter().all(|user| text(user, "started_at").starts_with("2026-03-0")), "{direct:#?}");
    rebuild(&service);
    assert_eq!((settled(&service).len(), users(&service)), (4, direct.clone()), "all is summed");
    // as the version before the times left it: sums that have none, of days by another number
    run(&service, "ALTER TABLE genai_usage_key_rows DROP COLUMN FirstTime, DROP COLUMN LastTime");
    run(&service, "ALTER TABLE genai_usage_days UPDATE Parts = Parts + 1 WHERE true SETTINGS mutations_sync = 1");
    run(&service, "ALTER TABLE millrace_schema DELETE WHERE version = 18 SETTINGS mutations_sync = 1");
    let mut upgrade = binary();
    upgrade.args(["schema", "apply", "--config"]).arg(service.config());
    succeeds(&upgrade.env("MILLRACE_CLICKHOUSE_URL", &service.sql().url).output().expect("the binary runs"));
    let untimed = "SELECT count() FROM genai_usage_key_rows WHERE toYear(FirstTime) = 1970";
    assert!(service.sql().number(untimed, &[]) > 0, "the sums of before are there");
    assert_eq!((settled(&service), users(&service)), (vec![], direct.clone()), "and are not read");
    assert_right(&service, "after the upgrade");
    rebuild(&service);
    assert_eq!((settled(&service).len(), users(&service)), (4, direct), "all is summed anew");
}

#[test]
fn a_run_that_was_cut_off_and_runs_at_the_same_time_count_nothing_twice() {
    let service = four_days();
    cut_off(&service);
    assert_right(&service, "it was killed before it noted what it had summed");
    // noted for parts that the day does not have any more
    run(
        &service,
        "INSERT INTO genai_usage_days SELECT '20260302', 1, 7, toDateTime64('2026-03-02 00:00:00', 9), \
         toDateTime64('2026-03-02 23:59:59', 9), (SELECT count() FROM genai_usage_hour_rows), (SELECT count() FROM genai_usage_key_rows)",
    );
    assert_right(&service, "the day changed while it was summed");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| rebuild(&service));
        }
        for round in 0..5 {
            assert_right(&service, &format!("three at once, round {round}"));
        }
    });
    assert_eq!(settled(&service), DAYS);
    assert_right(&service, "three have summed the same");
    let runs = "SELECT uniqExact(Run) FROM genai_usage_hour_rows";
    assert!(service.sql().number(runs, &[]) > 5, "each has runs of its own");
}

#[test]
fn quiet_days_are_summed_by_themselves_and_runs_that_nothing_needs_are_dropped() {
    let service = four_days();
    let client = Client::new(&service.sql().url, &Config::default());
    let metrics = Metrics::new().expect("metrics");
    let (availability, stopping) = (Availability::default(), CancellationToken::new());
    availability.succeeded(&metrics);
    let summer = Summer { client: client.clone(), metrics, availability, clock: Clock::System, quiet: Duration::ZERO };
    thread::scope(|scope| {
        let until = stopping.clone();
        scope.spawn(move || runtime().block_on(summer.run(until)));
        wait_until("all days are summed", || (settled(&service) == DAYS).then_some(()));
        stopping.cancel();
    });
    assert_right(&service, "all is summed");

    let runtime = runtime();
    let now = Clock::System.now();
    let later = now.saturating_add(Duration::from_secs(2 * 3_600));
    let forgotten = |at| runtime.block_on(forget(&client, at)).expect("ClickHouse drops them");
    assert_eq!(forgotten(later), 0, "each run is one that holds");
    cut_off(&service);
    assert_eq!(forgotten(now), 2, "of the run that was cut off long ago, from each table");
    run(&service, &reports("numbers(1500, 1)", 4, "0"));
    assert_eq!(runtime.block_on(sum_all(&client, now)).expect("ClickHouse sums it"), 1);
    assert_eq!((forgotten(now), forgotten(later)), (0, 2), "of the run before, which a query may still read");
    assert_eq!(settled(&service), DAYS);
    run(&service, "ALTER TABLE genai_report_rows DROP PARTITION ID '20260303'");
    assert_eq!(forgotten(later), 2, "of a day that is gone");
    assert_right(&service, "a day is gone");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
