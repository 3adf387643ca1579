//! The same request, or nearly the same, at once and around a crash: all are acknowledged, one row stays.

use std::sync::{Barrier, LazyLock, Mutex, MutexGuard, PoisonError};

use millrace::time::Clock;
use serde_json::{Value, json};

use super::{Attack, hold_off, is_long};
use support::http::{Answer, send, try_send};
use support::proxy::{Fault, Proxy};
use support::service::sample;
use support::wire::{Span, request_of, string_attribute};
use support::{Engine, Options, Service, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "the same request at once on many connections", run: the_same_at_once },
    Attack { name: "what was acknowledged again, as soon as the port opens after kill -9", run: again_after_kills },
    Attack { name: "repeats while ClickHouse is away, over a restart", run: again_while_clickhouse_is_away },
    Attack { name: "the start and the end of spans in every order and at once", run: starts_and_ends },
    Attack { name: "a client's and a server's span with the same ids at once", run: client_and_server },
    Attack { name: "two bodies with one Idempotency-Key at once", run: one_key_two_bodies },
];

const CONNECTIONS: usize = 50;
const SECOND: u64 = 1_000_000_000;
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// When spans began: a minute before the first of them was made.
static BEGAN_NANOS: LazyLock<u64> = LazyLock::new(|| {
    let now = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    now - 60 * SECOND
});
/// Kinds of spans. Source: opentelemetry/proto/trace/v1/trace.proto.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// One service for all attacks, with a ClickHouse that can go away.
struct Site {
    service: Service,
    proxy: Proxy,
    engine: Engine,
}

static SITE: Mutex<Option<Site>> = Mutex::new(None);

fn site() -> MutexGuard<'static, Option<Site>> {
    SITE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Closes;

impl Drop for Closes {
    fn drop(&mut self) {
        site().take();
    }
}

#[test]
fn attacks_of_this_area_hold() {
    let _closes = Closes;
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let options = Options { clickhouse_url: Some(proxy.url()), fixed_ports: true, ..Options::default() };
    *site() = Some(Site { service: Service::start_with(options), proxy, engine });
    hold_off("repeats", ATTACKS);
}

fn with_site(attack: impl FnOnce(&mut Site)) {
    let mut site = site();
    let site = site.as_mut().expect("the site is open");
    attack(site);
    site.assert_law();
}

impl Site {
    fn rows_of(&self, trace: u8) -> u64 {
        let trace = hex(trace, 16);
        self.engine.sql("otel").number("SELECT count() FROM otel_traces WHERE TraceId = {t:String}", &[("t", &trace)])
    }

    /// Nothing is under way any more, and every span came to one end.
    fn assert_law(&self) {
        self.settle();
        let page = self.service.metrics();
        let count = |name: &str| sample(&page, name).expect("it is counted");
        let total = |name: &str| count(&format!("millrace_spans_{name}_total"));
        let ends: f64 = ["rejected", "refused", "duplicate", "stored", "dead_lettered"].map(total).iter().sum();
        assert_eq!(total("received"), ends + count("millrace_spans_pending"), "{page}");
        assert_eq!((total("refused"), total("dead_lettered")), (0.0, 0.0), "{page}");
    }

    fn settle(&self) {
        wait_until("nothing waits any more", || (self.service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    }
}

fn hex(byte: u8, bytes: usize) -> String {
    format!("{byte:02x}").repeat(bytes)
}

/// Something that is sent over and over.
#[derive(Clone)]
struct Post {
    url: String,
    content_type: &'static str,
    key: Option<String>,
    body: Vec<u8>,
}

impl Post {
    fn spans(service: &Service, spans: Vec<Span>) -> Self {
        Self { url: service.http("/v1/traces"), content_type: PROTOBUF, key: None, body: request_of(spans) }
    }

    /// A pair of the trace of this number.
    fn chat(service: &Service, trace: u8, question: &str) -> Self {
        let pair = json!({
            "trace_id": hex(trace, 16),
            "request": {"model": "m", "messages": [{"role": "user", "content": question}]},
            "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}}]}
        });
        Self { url: service.chat("default"), content_type: JSON, key: None, body: pair.to_string().into_bytes() }
    }

    fn with_key(self, key: String) -> Self {
        Self { key: Some(key), ..self }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let key = self.key.iter().map(|key| ("idempotency-key", key.as_str()));
        [("content-type", self.content_type)].into_iter().chain(key).collect()
    }

    fn send(&self) -> Answer {
        send("POST", &self.url, &self.headers(), &self.body)
    }

    /// Sends until somebody answers, without a pause.
    fn send_as_soon_as_it_listens(&self) -> Answer {
        wait_until("the port is open", || {
            (0..1_000).find_map(|_| try_send("POST", &self.url, &self.headers(), &self.body).ok())
        })
    }
}

fn at_once(posts: &[Post], send: impl Fn(&Post) -> Answer + Sync) -> Vec<Answer> {
    let barrier = Barrier::new(posts.len());
    std::thread::scope(|scope| {
        let sender = |post| {
            let (barrier, send) = (&barrier, &send);
            scope.spawn(move || {
                barrier.wait();
                send(post)
            })
        };
        let senders: Vec<_> = posts.iter().map(sender).collect();
        senders.into_iter().map(|sender| sender.join().expect("no sender panics")).collect()
    })
}

#[track_caller]
fn assert_acknowledged(answers: &[Answer]) {
    for answer in answers {
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
    }
}

fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: "repeated".to_owned(),
        kind: SERVER,
        start_time_unix_nano: *BEGAN_NANOS,
        end_time_unix_nano: *BEGAN_NANOS + SECOND,
        ..Span::default()
    }
}

fn the_same_at_once() {
    with_site(|site| {
        let spans = Post::spans(&site.service, vec![span(1, 1), span(1, 2)]);
        assert_acknowledged(&at_once(&vec![spans; CONNECTIONS], Post::send));
        let pair = Post::chat(&site.service, 2, "at once?");
        let answers = at_once(&vec![pair; CONNECTIONS], Post::send);
        assert_acknowledged(&answers);
        assert!(answers.iter().all(|answer| answer.text() == answers[0].text()), "all are told the same ids");
        site.settle();
        assert_eq!((site.rows_of(1), site.rows_of(2)), (2, 1));
        let duplicates = site.service.metric("millrace_spans_duplicate_total");
        assert_eq!(duplicates, Some(3.0 * (CONNECTIONS - 1) as f64), "each but the first is a repeat");
    });
}

fn again_after_kills() {
    with_site(|site| {
        let chats = (0..2_u8).map(|number| {
            let pair = Post::chat(&site.service, 20 + number, "after a crash?");
            if number == 0 { pair } else { pair.with_key("crash".to_owned()) }
        });
        let spans = (10..14).map(|trace| Post::spans(&site.service, vec![span(trace, 1), span(trace, 2)]));
        let posts: Vec<Post> = spans.chain(chats).collect();
        // twice each
        let posts = [&posts[..], &posts[..]].concat();
        let said: Vec<String> = at_once(&posts, Post::send).iter().map(Answer::text).collect();
        for round in 0..if is_long() { 30 } else { 3 } {
            site.service.kill();
            site.service.start_again_without_waiting();
            let answers = at_once(&posts, Post::send_as_soon_as_it_listens);
            assert_acknowledged(&answers);
            assert_eq!(answers.iter().map(Answer::text).collect::<Vec<_>>(), said, "round {round}");
        }
        site.settle();
        let rows: Vec<u64> = [10, 11, 12, 13, 20, 21].map(|trace| site.rows_of(trace)).to_vec();
        assert_eq!(rows, [2, 2, 2, 2, 1, 1]);
        let duplicates = site.service.metric("millrace_spans_duplicate_total");
        assert_eq!(duplicates, Some(20.0), "all that the last life got was accepted before");
    });
}

fn again_while_clickhouse_is_away() {
    with_site(|site| {
        site.proxy.set(Fault::Refuse);
        let posts = [
            Post::spans(&site.service, vec![span(30, 1), span(30, 2)]),
            Post::chat(&site.service, 31, "while it is away?"),
            Post::chat(&site.service, 32, "and with a key?").with_key("away".to_owned()),
        ];
        let posts = [&posts[..], &posts[..]].concat();
        assert_acknowledged(&at_once(&posts, Post::send));
        let before = site.proxy.done(Fault::Refuse);
        wait_until("ClickHouse was looked for", || (site.proxy.done(Fault::Refuse) > before).then_some(()));
        assert_acknowledged(&at_once(&posts, Post::send));
        assert_eq!(site.service.metric("millrace_spans_pending"), Some(4.0), "all wait, once");
        site.service.kill();
        site.service.start_again_without_waiting();
        assert_acknowledged(&at_once(&posts, Post::send_as_soon_as_it_listens));
        let is_told = || site.service.metric("millrace_spans_pending");
        assert_eq!(wait_until("metrics are told", is_told), 4.0, "all wait, once");
        site.proxy.set(Fault::Pass);
        assert_acknowledged(&at_once(&posts, Post::send));
        site.settle();
        assert_eq!([30, 31, 32].map(|trace| site.rows_of(trace)), [2, 1, 1]);
    });
}

/// Reports of the same spans: that they began, and all of them.
fn started_and_ended(trace: u8) -> [Vec<Span>; 2] {
    let ended = |id: u8| Span { attributes: vec![string_attribute("said", "ended".to_owned())], ..span(trace, id) };
    let started = |id: u8| Span { end_time_unix_nano: 0, ..span(trace, id) };
    [(1..=20).map(started).collect(), (1..=20).map(ended).collect()]
}

fn starts_and_ends() {
    with_site(|site| {
        for trace in 40..46 {
            let [started, ended] = started_and_ended(trace).map(|spans| Post::spans(&site.service, spans));
            match trace {
                40 => assert_acknowledged(&[started.send(), ended.send()]),
                41 => assert_acknowledged(&[ended.send(), started.send()]),
                _ => assert_acknowledged(&at_once(&[started, ended], Post::send)),
            }
        }
        // what was superseded long ago comes again
        let late = Post::spans(&site.service, started_and_ended(40)[0].clone());
        assert_acknowledged(&[late.send()]);
        site.settle();
        let traces: Vec<String> = (40..46).map(|trace| format!("'{}'", hex(trace, 16))).collect();
        let left = format!(
            "SELECT count() AS rows, uniqExact(TraceId, SpanId) AS spans, countIf(SpanAttributes['said'] = 'ended' AND Duration = {SECOND}) AS ended \
             FROM otel_traces WHERE TraceId IN ({})",
            traces.join(",")
        );
        let left = || site.engine.sql("otel").rows(&left, &[]);
        let all_ended = |rows: &Vec<Value>| rows[0] == json!({"rows": 120, "spans": 120, "ended": 120});
        wait_until("the ended ones alone are left", || Some(left()).filter(all_ended).map(drop));
        wait_until("each is counted once", || {
            (site.service.metric("millrace_superseded_spans_total") == Some(120.0)).then_some(())
        });
    });
}

fn client_and_server() {
    with_site(|site| {
        let of_kind = |kind| Post::spans(&site.service, (1..=5).map(|id| Span { kind, ..span(50, id) }).collect());
        let posts = [of_kind(CLIENT), of_kind(SERVER), of_kind(CLIENT), of_kind(SERVER)];
        assert_acknowledged(&at_once(&posts, Post::send));
        let in_one_request =
            (1..=5).flat_map(|id| [CLIENT, SERVER].map(|kind| Span { kind, ..span(51, id) })).collect();
        let in_one_request = Post::spans(&site.service, in_one_request);
        assert_acknowledged(&at_once(&[in_one_request.clone(), in_one_request], Post::send));
        site.settle();
        assert_eq!([50, 51].map(|trace| site.rows_of(trace)), [10, 10]);
    });
}

fn one_key_two_bodies() {
    with_site(|site| {
        for trace in 60..70 {
            let key = format!("key-{trace}");
            let bodies = ["one?", "two?"].map(|said| Post::chat(&site.service, trace, said).with_key(key.clone()));
            let answers = at_once(&bodies, Post::send);
            let statuses = |answers: &[Answer]| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
            let first = statuses(&answers);
            assert!(matches!(first[..], [201, 422] | [422, 201]), "{first:?}");
            assert_eq!(statuses(&at_once(&bodies, Post::send)), first, "and so ever after");
        }
        site.settle();
        assert_eq!((60..70).map(|trace| site.rows_of(trace)).collect::<Vec<_>>(), [1; 10]);
    });
}
