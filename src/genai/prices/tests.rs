//! The book that is built in, own books, discounts, and calls that get a cost or do not.

use std::collections::BTreeMap;

use super::*;
use crate::genai::usage::Sides;

fn at(text: &str) -> UnixNanos {
    let time: jiff::Timestamp = text.parse().unwrap();
    UnixNanos::from_i64(i64::try_from(time.as_nanosecond()).unwrap()).unwrap()
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

fn own(text: &str) -> Result<Book, FormError> {
    Book::new(serde_saphyr::from_str(text).unwrap(), "own")
}

fn prices(own_book: &str) -> Prices {
    Prices::new(vec![own(own_book).unwrap()], &BTreeMap::new()).unwrap()
}

/// A provider with two models: one with dated prices and tiers, one with variants.
const OWN: &str = r"
providers:
  - id: house
    match: {or: [{equals: the-house}, {starts_with: house.}]}
    model_match: {starts_with: house-}
    models:
      - id: dated
        match: {starts_with: dated}
        prices:
          - prices: {input_mtok: 1, output_mtok: 2}
          - {from: 2026-04-01, prices: {input_mtok: {base: 3, above: {1000: 4}}, output_mtok: 5}}
          - {daily: ['22:00', '06:00'], prices: {input_mtok: 0.5, output_mtok: 0.25}}
      - id: varied
        match: {equals: Varied}
        prices: {input_mtok: 10, cache_read_mtok: 1, cache_write_mtok: 12, cache_write_1h_mtok: 20, output_mtok: 30}
        variants:
          - {when: {processing: batch}, prices: {input_mtok: 5, output_mtok: 15}}
          - {when: {service_tier: flex}, from: 2026-05-01, prices: {input_mtok: 6}}
      - id: free
        prices: {input_mtok: 0, output_mtok: 0}
      - id: vectors
        prices: {input_mtok: 0.02}
      - id: heard
        prices: {input_mtok: 1, input_audio_mtok: 100, cache_read_mtok: 0.1, cache_audio_read_mtok: 10, output_mtok: 2}
      - id: asked
        prices: {requests_kcount: 5, input_mtok: 1, output_mtok: 1}
  - id: reseller
    fallback: [house]
    models: []
";

fn query<'a>(provider: &'a str, model: &'a str, time: &str, usage: &'a Usage) -> PriceQuery<'a> {
    PriceQuery { provider, response_model: model, request_model: "", service_tier: "", at: at(time), usage }
}

fn total(prices: &Prices, query: &PriceQuery<'_>) -> String {
    match prices.quote(query) {
        Ok(quote) => format!("{} {}", quote.cost[0], quote.price_id),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_book_that_is_built_in_is_whole() {
    let book = built_in();
    book.check_patterns().unwrap();
    assert_eq!(book.providers.len(), 47);
    assert_eq!(book.providers.iter().map(|provider| provider.models.len()).sum::<usize>(), 2_330);
    assert!(book.name.starts_with("genai-prices 0.2.3+"), "{}", book.name);
}

#[test]
fn the_last_price_whose_time_it_is_counts_else_the_first() {
    let prices = prices(OWN);
    let used = usage(1_000, 1_000);
    for (time, want) in [
        ("2020-01-01T12:00:00Z", "0.003 house/dated"),
        ("2026-03-31T21:59:59.999999999Z", "0.003 house/dated"),
        ("2026-04-01T06:00:00Z", "0.008 house/dated@2026-04-01"),
        ("2026-04-01T22:00:00Z", "0.00075 house/dated@22:00-06:00"),
        ("2026-04-02T05:59:59Z", "0.00075 house/dated@22:00-06:00"),
    ] {
        assert_eq!(total(&prices, &query("house", "dated", time, &used)), want, "{time}");
    }
}

#[test]
fn a_tier_by_input_is_the_price_of_all_tokens() {
    let prices = prices(OWN);
    for (input, want) in [(1_000, "0.003"), (1_001, "0.004004")] {
        let used = usage(input, 0);
        let total = total(&prices, &query("house", "dated", "2026-04-01T12:00:00Z", &used));
        assert_eq!(total, format!("{want} house/dated@2026-04-01"));
    }
}

#[test]
fn variants_replace_prices_key_by_key_and_not_through_a_reseller() {
    let prices = prices(OWN);
    let used = usage(1_000_000, 1_000_000);
    for (provider, tier, time, want) in [
        ("house", "", "2026-04-01T12:00:00Z", "40 house/varied"),
        ("house", "default", "2026-04-01T12:00:00Z", "40 house/varied"),
        ("house", "batch", "2026-04-01T12:00:00Z", "20 house/varied#batch"),
        ("house", "BATCH", "2026-04-01T12:00:00Z", "20 house/varied#batch"),
        ("house", "flex", "2026-05-01T12:00:00Z", "36 house/varied@2026-05-01#flex"),
        ("house", "flex", "2026-04-30T12:00:00Z", "40 house/varied~"),
        ("house", "urgent", "2026-04-30T12:00:00Z", "40 house/varied~"),
        ("reseller", "batch", "2026-04-30T12:00:00Z", "40 house/varied~"),
        ("reseller", "", "2026-04-30T12:00:00Z", "40 house/varied"),
    ] {
        let query = PriceQuery { service_tier: tier, ..query(provider, "varied", time, &used) };
        assert_eq!(total(&prices, &query), want, "{provider} {tier} {time}");
    }
}

#[test]
fn each_token_is_paid_for_once_as_the_smallest_part_it_is_in() {
    let prices = prices(OWN);
    let with = |cache_read, cache_write, cache_write_1h| Usage {
        cache_read: Some(cache_read),
        cache_write: Some(cache_write),
        cache_write_1h,
        ..usage(1_000_000, 0)
    };
    for (used, want) in [
        // 10 * 0.5 + 1 * 0.2 + 12 * 0.2 + 20 * 0.1
        (with(200_000, 300_000, Some(100_000)), "9.6 house/varied"),
        // nobody says how long it is kept: minutes, and the price says that this is assumed
        (with(200_000, 300_000, None), "8.8 house/varied~"),
        (with(200_000, 0, None), "8.2 house/varied"),
        (
            with(800_000, 300_000, None),
            "the cost cannot be computed: parts of its tokens are more than all of them, or nobody says how many are of two kinds",
        ),
    ] {
        assert_eq!(total(&prices, &query("house", "varied", "2026-04-01T12:00:00Z", &used)), want, "{used:?}");
    }
}

#[test]
fn tokens_without_a_price_leave_the_call_without_a_cost() {
    let prices = prices(OWN);
    let time = "2026-04-01T12:00:00Z";
    let uncovered = "the cost cannot be computed: there are tokens that have no price";
    assert_eq!(total(&prices, &query("house", "vectors", time, &usage(1_000, 0))), "0.00002 house/vectors");
    assert_eq!(total(&prices, &query("house", "vectors", time, &usage(1_000, 1))), uncovered);
    assert_eq!(total(&prices, &query("house", "free", time, &usage(1_000, 1))), "0 house/free");
    assert_eq!(total(&prices, &query("house", "asked", time, &usage(1_000, 1_000))), "0.007 house/asked");
    let heard = |read, audio| Usage {
        cache_read: Some(read),
        audio: Sides { input: Some(audio), output: None },
        ..usage(1_000, 0)
    };
    assert_eq!(total(&prices, &query("house", "heard", time, &heard(0, 100))), "0.0109 house/heard");
    assert_eq!(total(&prices, &query("house", "heard", time, &heard(100, 0))), "0.00091 house/heard");
    let unknown = total(&prices, &query("house", "heard", time, &heard(100, 100)));
    assert!(unknown.contains("nobody says how many are of two kinds"), "{unknown}");
    let known = Usage { cache_read_audio: Some(40), ..heard(100, 100) };
    assert_eq!(total(&prices, &query("house", "heard", time, &known)), "0.007246 house/heard");
    let most = usage(u64::MAX >> 10, u64::MAX >> 10);
    assert!(total(&prices, &query("house", "dated", time, &most)).contains("a million dollars or more"));
    assert_eq!(total(&prices, &query("house", "unheard-of", time, &usage(1, 1))), "no book has a price for the model");
    assert_eq!(total(&prices, &query("nobody", "dated", time, &usage(1, 1))), "no book has a price for the model");
}

#[test]
fn providers_and_models_are_found_by_what_instrumentations_call_them() {
    let prices = prices(OWN);
    let used = usage(1_000, 1_000);
    for (provider, response, request, want) in [
        ("house", "dated-2", "", "house/dated"),
        (" House ", "DATED", "", "house/dated"),
        ("the-house", "dated", "", "house/dated"),
        ("house.chat", "dated", "", "house/dated"),
        ("", "house-free", "", "-"),
        ("unknown", "free", "", "-"),
        ("litellm", "house/free", "", "house/free"),
        ("house", "deployment", "free", "house/free"),
        ("openai", "gpt-4o-mini-2024-07-18", "", "openai/gpt-4o-mini"),
        ("azure.ai.openai", "gpt-4o-mini-2024-07-18", "my-deployment", "openai/gpt-4o-mini"),
        ("", "gpt-4o-mini", "", "openai/gpt-4o-mini"),
        ("aws.bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0", "", "aws/"),
        ("gcp.vertex_ai", "gemini-2.0-flash", "", "google/gemini-2.0-flash"),
        ("gcp.gen_ai", "gemini-2.0-flash", "", "google/gemini-2.0-flash"),
        ("mistral_ai", "mistral-small-latest", "", "mistral/"),
        ("x_ai", "grok-3", "", "x-ai/grok-3"),
        ("ollama", "llama3.2", "", "-"),
        ("vllm", "gpt-4o-mini", "", "-"),
    ] {
        let query = PriceQuery { request_model: request, ..query(provider, response, "2025-06-01T12:00:00Z", &used) };
        let found = prices.quote(&query).map_or("-", |quote| quote.price_id);
        assert!(found.starts_with(want), "{provider} {response} {request}: {found}");
    }
}

#[test]
fn own_prices_come_first_and_discounts_are_on_the_row() {
    let book = own("book: contract\nproviders: [{id: openai, models: [{id: gpt-4o-mini, match: {starts_with: gpt-4o-mini}, prices: {input_mtok: 0.1, output_mtok: '0.3'}}]}]").unwrap();
    let discounts = BTreeMap::from([("openai".to_owned(), "0.9".to_owned())]);
    let prices = Prices::new(vec![book], &discounts).unwrap();
    let used = usage(1_000_000, 1_000_000);
    let mini = prices.quote(&query("openai", "gpt-4o-mini", "2025-06-01T12:00:00Z", &used)).unwrap();
    assert_eq!((mini.cost[0].to_string().as_str(), mini.price_book), ("0.36", "contract *0.9"));
    let other = prices.quote(&query("openai", "gpt-4o", "2025-06-01T12:00:00Z", &used)).unwrap();
    assert!(other.price_book.starts_with("genai-prices 0.2.3+") && other.price_book.ends_with(" *0.9"));
    assert_eq!(other.cost[0].to_string(), "11.25", "2.5 and 10, less a tenth");
}

#[test]
fn what_is_wrong_in_a_book_is_named() {
    let with =
        |model: &str| own(&format!("providers: [{{id: p, models: [{{id: m, {model}}}]}}]")).unwrap_err().to_string();
    for (model, want) in [
        ("prices: {input_mtokens: 1}", "providers.p.models.m.prices.input_mtokens: is not a key of a price"),
        ("prices: {input_mtok: -1}", "providers.p.models.m.prices.input_mtok: \"-1\" is negative"),
        ("prices: {input_mtok: dear}", "providers.p.models.m.prices.input_mtok: \"dear\" is not a number"),
        (
            "prices: {input_mtok: 1000001}",
            "providers.p.models.m.prices.input_mtok: \"1000001\" is more than a million dollars",
        ),
        ("prices: [{from: soon, prices: {}}]", "providers.p.models.m.from: \"soon\" is not a date like 2026-04-01"),
        (
            "prices: [{daily: ['25:00', '1:00'], prices: {}}]",
            "providers.p.models.m.daily: \"25:00\" is not a time like 16:30 (UTC)",
        ),
        ("prices: []", "providers.p.models.m.prices: there is no price"),
        (
            "prices: {cache_write_1h_mtok: 1}",
            "providers.p.models.m.prices: has cache_write_1h_mtok and not cache_write_mtok, of which that is a part",
        ),
        ("prices: {}, variants: [{when: {}, prices: {}}]", "providers.p.models.m.variants: `when` is empty"),
    ] {
        assert_eq!(with(model), want);
    }
    let fallback = own("providers: [{id: p, fallback: [q], models: []}]").unwrap_err();
    assert_eq!(fallback.to_string(), "providers.p.fallback: there is no provider \"q\"");
    let regex = own("providers: [{id: p, models: [{id: m, match: {regex: '('}, prices: {}}]}]").unwrap();
    assert!(regex.check_patterns().unwrap_err().to_string().starts_with("providers.p.models.m.match: "));
    for (provider, factor, want) in [
        ("opnai", "0.9", "discount.opnai: no book of prices has a provider of that id; did you mean \"openai\"?"),
        ("openai", "x", "discount.openai: \"x\" is not a number"),
        ("openai", "101", "discount.openai: \"101\" is not a number from 0 to 100 with at most six decimals"),
        (
            "openai",
            "0.1234567",
            "discount.openai: \"0.1234567\" is not a number from 0 to 100 with at most six decimals",
        ),
    ] {
        let discounts = BTreeMap::from([(provider.to_owned(), factor.to_owned())]);
        assert_eq!(Prices::new(Vec::new(), &discounts).unwrap_err().to_string(), want);
    }
}

fn call(operation: &'static str, model: &'static str, usage: Usage) -> Call<'static> {
    Call {
        operation: operation.into(),
        provider: "house".into(),
        response_model: model.into(),
        usage,
        ..Call::default()
    }
}

#[test]
fn a_call_gets_a_cost_only_if_its_sender_gave_none() {
    let prices = prices(OWN);
    let now = at("2026-04-01T12:00:00Z");
    let mut plain = call("chat", "varied", usage(1_000, 100));
    assert_eq!(prices.complete(&mut plain, now), Outcome::Computed);
    let shown = [plain.cost.total, plain.cost.input, plain.cost.output].map(|usd| usd.unwrap().to_string());
    assert_eq!(shown, ["0.013", "0.01", "0.003"]);
    assert_eq!(plain.cost.source.map(CostSource::literal), Some("computed"));
    assert_eq!((&*plain.price_id, &*plain.price_book), ("house/varied", "own"));

    let given = Cost { input: Usd::parse("1").ok(), ..Cost::default() };
    let mut said = Call { cost: given, ..call("chat", "varied", usage(1_000, 100)) };
    assert_eq!(prices.complete(&mut said, now), Outcome::Given);
    assert_eq!((said.cost, &*said.price_id), (given, ""), "a given cost stays as it is, if it is of one side only too");

    let lost = Cost { source: Some(CostSource::Unreadable), ..Cost::default() };
    let mut unread = Call { cost: lost, ..call("chat", "varied", usage(1_000, 100)) };
    assert_eq!(prices.complete(&mut unread, now), Outcome::Unreadable);
    assert_eq!((unread.cost, &*unread.price_id), (lost, ""), "a cost that cannot be read is not replaced");

    for (operation, model, used, want) in [
        ("invoke_agent", "varied", usage(1_000, 100), Outcome::NotPriced),
        ("execute_tool", "varied", usage(1_000, 100), Outcome::NotPriced),
        ("", "varied", usage(1_000, 100), Outcome::NotPriced),
        ("chat", "varied", usage(0, 0), Outcome::NotPriced),
        ("chat", "varied", Usage::default(), Outcome::NotPriced),
        ("chat", "varied", Usage { output: None, ..usage(1_000, 0) }, Outcome::NoCost(NoCost::Unknown)),
        ("chat", "varied", Usage { input: None, ..usage(0, 10) }, Outcome::NoCost(NoCost::Unknown)),
        ("embeddings", "vectors", Usage { output: None, ..usage(1_000, 0) }, Outcome::Computed),
        ("rerank", "vectors", Usage { output: None, ..usage(1_000, 0) }, Outcome::Computed),
        ("chat", "unheard-of", usage(1_000, 100), Outcome::NoPrice),
    ] {
        let mut call = call(operation, model, used);
        assert_eq!(prices.complete(&mut call, now), want, "{operation} {model} {used:?}");
        assert_eq!(call.cost.total.is_some(), want == Outcome::Computed);
    }
    let unpriced = prices.unpriced();
    assert_eq!(unpriced, [("house".into(), "unheard-of".into(), 1), ("house".into(), "varied".into(), 2)]);
}

#[test]
fn lookups_are_kept_up_to_a_bound_and_give_the_same_again() {
    let prices = prices(OWN);
    let used = usage(1_000, 1_000);
    for number in 0..5_000 {
        let model = format!("dated-{number}");
        let query = query("house", &model, "2020-01-01T12:00:00Z", &used);
        assert_eq!(total(&prices, &query), "0.003 house/dated");
        assert_eq!(total(&prices, &query), "0.003 house/dated");
    }
    assert!(prices.lookups.len() <= 4_096);
    let long = "dated-".repeat(1_000);
    assert_eq!(
        total(&prices, &query("house", &long, "2020-01-01T12:00:00Z", &used)),
        "no book has a price for the model"
    );
}
