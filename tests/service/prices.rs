//! Prices: the book against the package that it is made of, rows with computed costs, own prices and the commands.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};

use millrace::genai::prices::{NoCost, NoQuote, PriceQuery, Prices};
use millrace::genai::usage::{Sides, Usage};
use millrace::time::UnixNanos;
use support::clients::{python, run};
use support::http::{post_json, send};
use support::{Options, Service, project, service, wait_until};

const CALLS: usize = 1_000;
const SEED: &str = "20261126";

fn usage(call: &Value) -> Usage {
    let count = |name: &str| call["usage"][name].as_u64();
    Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("cache_read_tokens"),
        cache_write: count("cache_write_tokens"),
        cache_write_1h: count("cache_write_1h_tokens"),
        reasoning: count("output_reasoning_tokens"),
        audio: Sides { input: count("input_audio_tokens"), output: count("output_audio_tokens") },
        ..Usage::default()
    }
}

#[test]
fn a_thousand_random_calls_cost_what_genai_prices_says() {
    let output = run(&mut python("prices_oracle.py", &[SEED, &CALLS.to_string()]));
    let output = String::from_utf8(output.stdout).expect("the client prints text");
    let prices = Prices::default();
    let mut became = BTreeMap::<&str, usize>::new();
    for line in output.lines() {
        let call: Value = serde_json::from_str(line).expect("each line is JSON");
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        let usage = usage(&call);
        let at = UnixNanos::from_i64(call["at"].as_i64().expect("a time") * 1_000_000_000).expect("a time of today");
        let quote = prices.quote(&PriceQuery {
            provider: text("provider"),
            response_model: text("model"),
            request_model: "",
            service_tier: text("tier"),
            at,
            usage: &usage,
        });
        let what = match &quote {
            Ok(quote) => {
                let ours = json!([quote.providers[0], quote.model, quote.cost.map(|usd| usd.to_string())]);
                let theirs = json!([call["seller"], call["found"], [call["total"], call["input"], call["output"]]]);
                assert_eq!(ours, theirs, "{line}\n{quote:?}");
                "priced"
            }
            // the package leaves out what has no price
            Err(NoQuote::NoCost(NoCost::Uncovered)) => {
                assert_eq!(call["lacks"], true, "{line}");
                "uncovered"
            }
            Err(NoQuote::NoPrice) => {
                assert_eq!(call["error"], "lookup", "{line}");
                "unknown"
            }
            Err(NoQuote::NoCost(why)) => {
                assert_eq!(call["error"], "value", "{line}: {why}");
                "contradiction"
            }
        };
        *became.entry(what).or_default() += 1;
    }
    assert_eq!(became.values().sum::<usize>(), CALLS);
    assert!(became["priced"] > CALLS / 2 && became.len() == 4, "every outcome is among them: {became:?}");
}

#[test]
fn the_book_that_is_built_in_is_what_the_script_makes_of_the_package() {
    let script = project().join("tools/prices/make.py");
    let made = run(&mut python(script.to_str().expect("a path in UTF-8"), &["--print"]));
    let file = std::fs::read(project().join("src/genai/prices/data/genai-prices.json.zst")).expect("the file is there");
    let built_in = zstd::decode_all(&*file).expect("the file is whole");
    assert!(built_in == made.stdout, "run `make prices`");
}

/// 2026-03-02, 09:00:00.
const BEGIN: u64 = 1_772_442_000_000_000_000;

/// What the rows hold of costs, by the name of the span.
const COSTS: &str = "SELECT SpanName AS name, toString(CostTotal) AS total, toString(CostInput) AS input, \
     toString(CostOutput) AS output, toString(CostSource) AS source, toString(PriceId) AS price, \
     replaceRegexpOne(toString(PriceBook), '\\+[0-9a-f]{8}', '+HASH') AS book, toString(ServiceTier) AS tier, \
     mapContains(SpanAttributes, 'gen_ai.usage.cost') AS has_attribute FROM otel_traces ORDER BY SpanName";

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        text => json!({"stringValue": text}),
    };
    json!({"key": key, "value": value})
}

/// A span a model call, each in a trace of its own, with these attributes beside the usual ones.
fn spans(calls: &[(&str, Value)]) -> Value {
    let span = |(number, (name, more)): (usize, &(&str, Value))| {
        let mut attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100});
        let merged = attributes.as_object_mut().expect("an object");
        merged.extend(more.as_object().expect("an object").clone());
        let attributes: Vec<Value> = merged.iter().map(|(key, value)| attribute(key, value)).collect();
        json!({"traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number + 1), "name": name, "kind": 3,
            "startTimeUnixNano": BEGIN.to_string(), "endTimeUnixNano": (BEGIN + 1_000_000).to_string(), "attributes": attributes})
    };
    let spans: Vec<Value> = calls.iter().enumerate().map(span).collect();
    json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "s"}, "spans": spans}]}]})
}

fn store(service: &Service, calls: &[(&str, Value)]) {
    let body = spans(calls).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-ack", "stored")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert!(answer.status == 200 && !answer.text().contains("rejected"), "{}", answer.text());
}

/// Total, input, output, source, price, book and tier of a span.
fn costs(rows: &[Value], name: &str) -> Vec<Value> {
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} is not in {rows:#?}"));
    ["total", "input", "output", "source", "price", "book", "tier"].iter().map(|column| row[column].clone()).collect()
}

#[test]
fn spans_and_captured_calls_without_a_cost_get_one_and_keep_their_attributes() {
    let service = Service::start();
    let book = "genai-prices 0.2.3+HASH";
    store(
        &service,
        &[
            ("plain", json!({})),
            ("given", json!({"gen_ai.usage.cost": 0.5})),
            ("batch", json!({"gen_ai.request.service_tier": "batch", "gen_ai.request.model": "gpt-4o-mini"})),
            ("agent", json!({"gen_ai.operation.name": "invoke_agent"})),
            ("unheard-of", json!({"gen_ai.request.model": "nobody-knows"})),
            ("without output", json!({"gen_ai.usage.output_tokens": ""})),
        ],
    );
    let pair = json!({
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
        "response": {"id": "r", "model": "gpt-4o-mini-2024-07-18", "created": BEGIN / 1_000_000_000,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ho"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100,
                "prompt_tokens_details": {"cached_tokens": 600}}},
    });
    assert_eq!(post_json(&service.chat("default"), &pair).status, 201);
    let rows = wait_until("all rows are stored", || {
        let rows = service.sql().rows(COSTS, &[]);
        (rows.len() == 7).then_some(rows)
    });
    let computed = |total, input, output, price, tier| {
        json!([total, input, output, "computed", price, book, tier]).as_array().expect("a list").clone()
    };
    let none = |tier: &str| json!([null, null, null, "", "", "", tier]).as_array().expect("a list").clone();
    assert_eq!(costs(&rows, "plain"), computed("0.00021", "0.00015", "0.00006", "openai/gpt-4o-mini", ""));
    // 400 tokens at 0.15, 600 from the cache at 0.075
    assert_eq!(costs(&rows, "chat gpt-4o-mini"), computed("0.000165", "0.000105", "0.00006", "openai/gpt-4o-mini", ""));
    let batch = costs(&rows, "batch");
    assert!(batch[4].as_str().is_some_and(|price| price.starts_with("openai/gpt-4o-mini")), "{batch:?}");
    assert_eq!((&batch[3], &batch[6]), (&json!("computed"), &json!("batch")));
    assert_eq!(
        costs(&rows, "given"),
        json!(["0.5", null, null, "attributes", "", "", ""]).as_array().expect("a list")[..]
    );
    for name in ["agent", "unheard-of", "without output"] {
        assert_eq!(costs(&rows, name), none(""), "{name}");
    }
    for row in &rows {
        assert_eq!(row["has_attribute"], u8::from(row["name"] == "given"), "attributes are what was sent: {row}");
    }
    let unpriced = |model: &str| {
        service.metrics().lines().any(|line| {
            line.starts_with("millrace_unpriced_calls_total{")
                && line.contains(&format!("model=\"{model}\""))
                && line.ends_with(" 1")
        })
    };
    assert!(unpriced("nobody-knows") && unpriced("gpt-4o-mini") && !unpriced("given"), "{}", service.metrics());

    let listed = prices(Some(&service), &["list", "--unpriced", "--since", "2026-01-01"]);
    let lines: Vec<&str> = listed.lines().filter(|line| line.contains("nobody-knows")).collect();
    assert_eq!(lines.len(), 1, "{listed}");
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(words, ["1", "1000", "100", "openai", "nobody-knows"]);
}

/// What `millrace prices` prints, with the engine of a service.
fn prices(service: Option<&Service>, arguments: &[&str]) -> String {
    let mut command = service::binary();
    if let Some(service) = service {
        command.env("MILLRACE_CLICKHOUSE_URL", service.sql().url);
    }
    let output = command.arg("prices").args(arguments).output().expect("the binary runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    out.into_owned()
}

#[test]
fn own_prices_and_discounts_are_on_rows_and_in_what_resolve_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let overrides = folder.path().join("prices.yaml");
    let own = "book: ours\nproviders:\n  - id: vllm\n    models:\n      - {id: any, match: {regex: ''}, prices: {input_mtok: 0, output_mtok: 0}}\n";
    std::fs::write(&overrides, own).expect("it can be written");
    let config = format!("prices: {{ overrides: {}, discount: {{ openai: 0.9 }} }}\n", overrides.display());
    let service = Service::start_with(Options { yaml: config.clone(), ..Options::default() });
    store(
        &service,
        &[("plain", json!({})), ("own", json!({"gen_ai.provider.name": "vllm", "gen_ai.request.model": "llama"}))],
    );
    let rows = service.sql().rows(COSTS, &[]);
    let want =
        ["0.000189", "0.000135", "0.000054", "computed", "openai/gpt-4o-mini", "genai-prices 0.2.3+HASH *0.9", ""];
    assert_eq!(costs(&rows, "plain"), want.map(Value::from));
    assert_eq!(costs(&rows, "own"), ["0", "0", "0", "computed", "vllm/any", "ours", ""].map(Value::from));

    let file = folder.path().join("millrace.yaml");
    std::fs::write(&file, config).expect("it can be written");
    let shown = prices(
        None,
        &[
            "resolve",
            "--config",
            file.to_str().expect("plain"),
            "--provider",
            "openai",
            "--model",
            "gpt-4o-mini",
            "--input",
            "1000",
            "--cache-read",
            "500",
            "--output",
            "100",
            "--at",
            "2026-03-02",
        ],
    );
    for want in [
        "rule   equals \"gpt-4o-mini\"\n",
        "price  openai/gpt-4o-mini\n",
        " *0.9\n",
        "times  0.9 (discount",
        "total  0.00015525 USD (input 0.00010125, output 0.000054)\n",
    ] {
        assert!(shown.contains(want), "{want:?} is not in\n{shown}");
    }
}

#[test]
fn no_cost_is_computed_when_prices_are_off() {
    let service =
        Service::start_with(Options { yaml: "prices: { enabled: false }\n".to_owned(), ..Options::default() });
    store(&service, &[("plain", json!({})), ("given", json!({"gen_ai.usage.cost": 0.5}))]);
    let rows = service.sql().rows(COSTS, &[]);
    assert_eq!(costs(&rows, "plain"), json!([null, null, null, "", "", "", ""]).as_array().expect("a list")[..]);
    assert_eq!(costs(&rows, "given")[0], "0.5");
}

#[test]
fn a_cost_that_cannot_be_read_is_never_replaced_by_a_computed_one() {
    let service = Service::start();
    store(&service, &[("span", json!({"gen_ai.usage.cost": "None"}))]);
    let call = |model: &str, cost: Value| {
        json!({"id": "r", "model": model, "created": BEGIN / 1_000_000_000,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ho"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100, "cost": cost}})
    };
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let pair = json!({"request": {"model": "gpt-4o", "messages": messages}, "response": call("gpt-4o", json!("n/a"))});
    assert_eq!(post_json(&service.chat("default"), &pair).status, 201);
    let begin = BEGIN / 1_000_000_000;
    let record = json!([{"call_type": "acompletion", "custom_llm_provider": "openai", "model": "gpt-4.1", "messages": messages,
        "startTime": begin, "endTime": begin + 1, "response": call("gpt-4.1", Value::Null), "response_cost": "None"}]);
    let litellm = service.http("/apis/intake/v2/workspaces/default/ingest/litellm");
    assert_eq!(post_json(&litellm, &record).status, 200);
    let rows = wait_until("all rows are stored", || {
        let rows = service.sql().rows(COSTS, &[]);
        (rows.len() == 3).then_some(rows)
    });
    for name in ["span", "chat gpt-4o", "chat gpt-4.1"] {
        assert_eq!(
            costs(&rows, name),
            json!([null, null, null, "unreadable", "", "", ""]).as_array().expect("a list")[..]
        );
    }
    let kept = "SELECT JSONExtractString(SpanAttributes['millrace.response.extra'], 'usage', 'cost') AS of_response, \
                JSONExtractString(SpanAttributes['millrace.litellm.extra'], 'response_cost') AS of_litellm, \
                SpanAttributes['gen_ai.usage.cost'] AS of_span FROM otel_traces ORDER BY of_response, of_litellm";
    let want = json!([{"of_response": "", "of_litellm": "", "of_span": "None"}, {"of_response": "", "of_litellm": "None", "of_span": ""},
        {"of_response": "n/a", "of_litellm": "", "of_span": ""}]);
    assert_eq!(json!(service.sql().rows(kept, &[])), want, "attributes keep what was sent");
    let metrics = service.metrics();
    assert!(metrics.contains("millrace_implausible_values_total{rule=\"cost_unreadable\"} 3\n"), "{metrics}");
    assert!(!metrics.contains("millrace_unpriced_calls_total{"), "they are not calls without a price: {metrics}");
    let said = prices(Some(&service), &["reprice", "--since", "2026-03-01", "--until", "2026-03-04"]);
    assert!(said.contains("0 of 0 calls without a given cost got another price."), "{said}");
    let listed = prices(Some(&service), &["list", "--unpriced", "--since", "2026-01-01"]);
    assert!(!listed.contains("gpt-4"), "{listed}");
    wait_until("the roll-ups say so too", || {
        let calls = "SELECT count() AS calls FROM genai_calls WHERE CostTotal IS NULL AND CostSource = 'unreadable'";
        (service.sql().rows(calls, &[]) == [json!({"calls": 3})]).then_some(())
    });
}

#[test]
fn stored_calls_get_the_prices_of_now_unless_their_cost_was_given() {
    let service = Service::start();
    let calls = [
        ("plain", json!({})),
        ("given", json!({"gen_ai.usage.cost": 0.5})),
        ("unheard-of", json!({"gen_ai.request.model": "nobody-knows"})),
        ("agent", json!({"gen_ai.operation.name": "invoke_agent"})),
    ];
    store(&service, &calls);
    let folder = tempfile::tempdir().expect("a folder");
    let (overrides, other) = (folder.path().join("prices.yaml"), folder.path().join("millrace.yaml"));
    let own = "book: ours\nproviders:\n  - id: openai\n    models:\n      - {id: gpt-4o-mini, prices: {input_mtok: 0.3, output_mtok: 1.2}}\n\
               \x20     - {id: nobody-knows, prices: {input_mtok: 1, output_mtok: 2}}\n";
    std::fs::write(&overrides, own).expect("it can be written");
    std::fs::write(&other, format!("prices: {{ overrides: {} }}\n", overrides.display())).expect("it can be written");
    let others = ["--config", other.to_str().expect("plain")];
    let reprice = |more: &[&str]| {
        let usual = ["reprice", "--since", "2026-03-01", "--until", "2026-03-04"];
        prices(Some(&service), &[&usual[..], more].concat())
    };
    let rows = || service.sql().rows(COSTS, &[]);
    let before = rows();

    let said = reprice(&[&others[..], &["--dry-run"]].concat());
    assert!(said.contains("2 of 2 calls without a given cost would get another price."), "{said}");
    assert_eq!(rows(), before, "it only says what it would do");

    let said = reprice(&others);
    assert!(said.contains("2 of 2 calls without a given cost got another price."), "{said}");
    let line = said.lines().find(|line| line.ends_with("gpt-4o-mini")).expect("a line a model");
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["1", "0.000210", "0.000420", "openai", "gpt-4o-mini"]);
    let after = rows();
    let ours = |total, input, output, price| [total, input, output, "computed", price, "ours", ""].map(Value::from);
    assert_eq!(costs(&after, "plain"), ours("0.00042", "0.0003", "0.00012", "openai/gpt-4o-mini"));
    assert_eq!(costs(&after, "unheard-of"), ours("0.0012", "0.001", "0.0002", "openai/nobody-knows"));
    for name in ["given", "agent"] {
        assert_eq!(costs(&after, name), costs(&before, name), "{name} is not ours to change");
    }
    wait_until("the roll-ups have the new costs", || {
        let sum = service.sql().rows("SELECT toString(sum(CostTotal)) AS sum FROM genai_calls", &[]);
        (sum == [json!({"sum": "0.50162"})]).then_some(())
    });

    let again = reprice(&others);
    assert!(again.contains("0 of 2 calls without a given cost got another price."), "{again}");
    let one = reprice(&["--model", "gpt-4o-mini"]);
    assert!(one.contains("1 of 1 call without a given cost got another price."), "{one}");
    let rest = reprice(&[]);
    assert!(rest.contains("1 of 2 calls without a given cost got another price."), "{rest}");
    assert_eq!(rows(), before, "a model that has no price any more has no cost again");
}

#[test]
fn repricing_that_was_killed_is_finished_by_the_next() {
    const HOURS: u64 = 120;
    let service = Service::start();
    let calls: Vec<(&str, Value)> = (0..HOURS).map(|_| ("call", json!({}))).collect();
    let mut body = spans(&calls);
    let list = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().expect("a list");
    for (hour, span) in (0..).zip(list) {
        let start = BEGIN + hour * 3_600_000_000_000;
        span["startTimeUnixNano"] = start.to_string().into();
        span["endTimeUnixNano"] = (start + 1_000_000).to_string().into();
    }
    let headers = [("content-type", "application/json"), ("x-millrace-ack", "stored")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body.to_string().as_bytes());
    assert!(answer.status == 200 && !answer.text().contains("rejected"), "{}", answer.text());
    let folder = tempfile::tempdir().expect("a folder");
    let (overrides, other) = (folder.path().join("prices.yaml"), folder.path().join("millrace.yaml"));
    let own = "book: ours\nproviders:\n  - id: openai\n    models:\n      - {id: gpt-4o-mini, prices: {input_mtok: 0.3, output_mtok: 1.2}}\n";
    std::fs::write(&overrides, own).expect("it can be written");
    std::fs::write(&other, format!("prices: {{ overrides: {} }}\n", overrides.display())).expect("it can be written");
    let arguments =
        ["reprice", "--since", "2026-03-01", "--until", "2026-03-10", "--config", other.to_str().expect("plain")];
    let count = |condition: &str| {
        let rows = service.sql().rows(&format!("SELECT count() AS n FROM otel_traces WHERE {condition}"), &[]);
        rows[0]["n"].as_u64().expect("a count")
    };
    assert_eq!(count("CostSource = 'computed' AND PriceBook != 'ours'"), HOURS);

    let mut command = service::binary();
    command.env("MILLRACE_CLICKHOUSE_URL", service.sql().url).arg("prices").args(arguments);
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let done =
        wait_until("some calls have the new price", || Some(count("PriceBook = 'ours'")).filter(|done| *done > 0));
    killed.kill().expect("it can be killed");
    killed.wait().expect("it ends");

    let said = prices(Some(&service), &arguments);
    let (changed, rest) = said.lines().last().expect("a last line").split_once(' ').expect("words");
    assert_eq!(rest, format!("of {HOURS} calls without a given cost got another price."), "{said}");
    let changed: u64 = changed.parse().expect("a number");
    assert!(changed <= HOURS - done, "what was right stayed as it was: {changed} of {HOURS}, {done} were done before");
    assert_eq!(count("PriceBook = 'ours' AND toString(CostTotal) = '0.00042'"), HOURS, "each has its price, once");
    let again = prices(Some(&service), &arguments);
    assert!(again.ends_with(&format!("0 of {HOURS} calls without a given cost got another price.\n")), "{again}");
}
