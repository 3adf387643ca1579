//! Two addresses of one ClickHouse: proxies before an engine that is a cluster of one.

use serde_json::Value;

use crate::schema::post;
use crate::schema_cluster::cluster_of_one;
use support::proxy::{Fault, Insert, Proxy};
use support::{Engine, Options, Service, http, wait_until};

const DOWN: &str = "an endpoint of ClickHouse does not answer";
const UP_AGAIN: &str = "an endpoint of ClickHouse answers again";

struct Scene {
    engine: Engine,
    proxies: [Proxy; 2],
    service: Service,
    posted: u64,
}

impl Scene {
    /// Both are up, and both have been sent inserts.
    fn start() -> Self {
        let engine = cluster_of_one();
        let proxies = [(); 2].map(|()| Proxy::before(engine.port, Fault::Pass));
        let yaml = "clickhouse: { cluster: one }\nschema: { manage: false }".to_owned();
        let clickhouse_url = Some(format!("{}, {}", proxies[0].url(), proxies[1].url()));
        let service = Service::start_with(Options { clickhouse_url, yaml, ..Options::default() });
        let mut scene = Self { engine, proxies, service, posted: 0 };
        scene.wait_for(["up", "up"]);
        scene.post_until(|[one, other]| !one.inserts().is_empty() && !other.inserts().is_empty());
        scene
    }

    /// Posts calls, each until it is stored, until something is the case.
    fn post_until(&mut self, condition: impl Fn(&[Proxy; 2]) -> bool) {
        wait_until("inserts have met it", || {
            post(&self.service, &format!("call {}", self.posted));
            self.posted += 1;
            self.assert_stored();
            condition(&self.proxies).then_some(())
        });
    }

    fn assert_stored(&self) {
        let counts = "SELECT count() AS stored, uniqExact(SpanId) AS distinct FROM otel_traces";
        wait_until("everything is stored, once", || {
            let counts = &self.engine.sql("otel").rows(counts, &[])[0];
            let (stored, distinct) = (counts["stored"].as_u64().unwrap(), counts["distinct"].as_u64().unwrap());
            assert!(stored == distinct && stored <= self.posted, "{counts}, {} posted", self.posted);
            (stored == self.posted).then_some(())
        });
    }

    fn clickhouse(&self) -> Value {
        http::get(&self.service.health()).json()["clickhouse"].clone()
    }

    /// Waits until health and the metric say this of the two.
    fn wait_for(&self, states: [&str; 2]) {
        wait_until(&format!("the endpoints are {states:?}"), || {
            let endpoints = self.clickhouse()["endpoints"].clone();
            let is_so = |number: usize| {
                let (url, is_up) = (self.proxies[number].url(), u8::from(states[number] == "up"));
                let metric = format!("millrace_clickhouse_endpoint_up{{url=\"{url}\"}} {is_up}");
                endpoints[number]["url"] == url
                    && endpoints[number]["state"] == states[number]
                    && self.service.metrics().lines().any(|line| line == metric)
            };
            (is_so(0) && is_so(1)).then_some(())
        });
    }

    fn assert_no_insert_failed(&self) {
        assert_eq!(self.service.metric("millrace_clickhouse_insert_failures_total"), Some(0.0));
    }
}

#[test]
fn an_endpoint_that_is_gone_is_left_out_and_used_again_when_it_is_back() {
    let mut scene = Scene::start();
    scene.proxies[0].set(Fault::Refuse);
    // the next insert, or a check, notices
    for _ in 0..10 {
        scene.post_until(|_| true);
    }
    scene.wait_for(["down", "up"]);
    assert_eq!(scene.clickhouse()["state"], "storing");
    let why = scene.clickhouse()["endpoints"][0]["why"].to_string();
    assert!(why.contains("cannot reach ClickHouse"), "{why}");
    let inserts = scene.proxies[0].inserts().len();
    for _ in 0..10 {
        scene.post_until(|_| true);
    }
    assert_eq!(scene.proxies[0].inserts().len(), inserts);

    scene.proxies[0].set(Fault::Pass);
    scene.wait_for(["up", "up"]);
    scene.post_until(|[one, _]| one.inserts().len() > inserts);
    scene.assert_no_insert_failed();
    let log = scene.service.log();
    let lines = |text: &str| log.matches(text).count();
    assert!(lines(DOWN) > 0 && lines(DOWN) == lines(UP_AGAIN), "each change is one line:\n{log}");
}

#[test]
fn with_all_endpoints_gone_clickhouse_is_away_and_nothing_is_lost() {
    let mut scene = Scene::start();
    scene.proxies.iter().for_each(|proxy| proxy.set(Fault::Refuse));
    let calls = 5;
    for call in 0..calls {
        post(&scene.service, &format!("while both are gone {call}"));
    }
    scene.posted += calls;
    wait_until("health says that it is away", || (scene.clickhouse()["state"] == "away").then_some(()));
    scene.wait_for(["down", "down"]);
    scene.proxies[1].set(Fault::Pass);
    scene.assert_stored();
    scene.wait_for(["down", "up"]);
    wait_until("health says that it stores", || (scene.clickhouse()["state"] == "storing").then_some(()));
    scene.proxies[0].set(Fault::Pass);
    scene.wait_for(["up", "up"]);
}

#[test]
fn an_insert_whose_answer_is_lost_is_confirmed_through_another_endpoint() {
    let mut scene = Scene::start();
    // others than of spans have no token
    let met = |proxy: &Proxy, fault: Fault| {
        proxy.inserts().into_iter().find(|insert| insert.fault == fault && !insert.token.is_empty())
    };
    for fault in [Fault::CutAnswer, Fault::ResetMidBody, Fault::Status(502)] {
        scene.post_until(|[one, _]| {
            let is_met = met(one, fault).is_some();
            if !is_met {
                one.inject(fault, 1);
            }
            is_met
        });
    }
    scene.assert_no_insert_failed();
    let cut = met(&scene.proxies[0], Fault::CutAnswer).expect("it was met");
    let other = scene.proxies[1].inserts();
    let is_same = |again: &&Insert| (&again.token, again.digest) == (&cut.token, cut.digest);
    assert!(other.iter().any(|again| is_same(&again)), "the same rows with the same token");
}

#[test]
fn what_a_silent_endpoint_was_sent_is_given_to_another() {
    let mut scene = Scene::start();
    scene.proxies[0].set(Fault::Stall);
    for _ in 0..10 {
        scene.post_until(|_| true);
    }
    scene.wait_for(["down", "up"]);
    let silent = "it takes requests and does not answer them";
    wait_until("health says why", || (scene.clickhouse()["endpoints"][0]["why"] == silent).then_some(()));
    assert_eq!(scene.clickhouse()["state"], "storing");
    scene.assert_no_insert_failed();
    scene.proxies[0].set(Fault::Pass);
    scene.wait_for(["up", "up"]);
}
