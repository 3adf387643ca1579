//! What is found, what only looks like it, and what becomes of it.

use super::*;
use crate::workspace::Workspace;
use std::borrow::Cow;

fn config(yaml: &str) -> Config {
    serde_saphyr::from_str(yaml).unwrap()
}

fn redacted_by(yaml: &str, text: &str) -> (String, Vec<(String, u64)>) {
    let redaction = Redaction::new(&config(yaml)).unwrap();
    let mut tally = Tally::default();
    let rules = redaction.of(&Workspace::default()).expect("there are rules");
    let text = rules.text(text, &mut tally).into_owned();
    (text, tally.iter().map(|(name, count)| (name.to_owned(), count)).collect())
}

const ALL: &str = "detectors: [api_key, bearer_token, private_key, email, phone, credit_card, iban, ip_address]";

fn redacted(text: &str) -> String {
    redacted_by(ALL, text).0
}

/// What is found in a text in which `<` and `>` stand around it.
fn assert_found(name: &str, marked: &str) {
    let text = marked.replace(['<', '>'], "");
    let (front, rest) = marked.split_once('<').unwrap();
    let (_, back) = rest.split_once('>').unwrap();
    assert_eq!(redacted(&text), format!("{front}[REDACTED:{name}]{back}"), "{text}");
}

#[test]
fn what_has_the_form_is_found_within_a_text() {
    for (name, marked) in [
        ("api_key", "key <sk-proj-abcDEF0123456789_abcDEF0123456789> in use"),
        ("api_key", "<sk-ant-api03-aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789>"),
        ("api_key", "export KEY=<AKIAIOSFODNN7EXAMPLE>."),
        ("api_key", "token: <ghp_0123456789abcdefghijABCDEFGHIJ012345>"),
        ("api_key", "<AIzaSyA-1234567890abcdefghijklmnopqrstu> is Google's"),
        ("api_key", "<xoxb-123456789012-abcdefABCDEF>"),
        ("api_key", "<sk_live_0123456789abcdefABCDEF>"),
        ("api_key", "<sk-lf-01234567-89ab-cdef-0123-456789abcdef>"),
        ("bearer_token", "Authorization: Bearer <abc.def-ghi_jkl~mno>"),
        ("bearer_token", "authorization: Basic <dXNlcjpwYXNz>"),
        ("bearer_token", "jwt <eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P>"),
        ("private_key", "<-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----> and on"),
        ("private_key", "<-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE>"),
        ("email", "write to <jane.doe+test@mail.example.co.uk>, please"),
        ("phone", "call <+49 (30) 1234-5678> now"),
        ("phone", "call <(415) 555-2671>."),
        ("credit_card", "paid with <4111 1111 1111 1111> 12/29"),
        ("credit_card", "<378282246310005>"),
        ("credit_card", "<5555-5555-5555-4444>"),
        ("iban", "to <DE89 3704 0044 0532 0130 00> TODAY"),
        ("iban", "<GB29NWBK60161331926819>"),
        // as headers and URLs have them, and as texts are set
        ("bearer_token", "authorization=Bearer%20<abc.def-ghi_jkl~mno>"),
        ("bearer_token", "Basic <dXNlcjpwYXNz>"),
        ("bearer_token", "basic <YTo=>"),
        ("email", "https://x/?email=<jane.doe%40example.com>&n=1"),
        ("email", "an <jörg.müller@firma.de>."),
        ("email", "an <info@müller.de>"),
        ("email", "на <иван@пример.рф>"),
        ("email", "邮箱<jane@example.com>谢谢"),
        ("phone", "tel=<%2B493012345678>&n=1"),
        ("phone", "call <+49\u{a0}30\u{a0}1234\u{2011}5678>"),
        ("credit_card", "<4111\u{a0}1111\u{a0}1111\u{a0}1111>"),
        ("credit_card", "card=<4111+1111+1111+1111>&n=1"),
        ("iban", "<de89\u{202f}3704\u{202f}0044\u{202f}0532\u{202f}0130\u{202f}00>"),
        ("iban", "<gb29nwbk60161331926819> thanks"),
        ("ip_address", "from <203.0.113.7>:443"),
        ("ip_address", "from <2001:db8::8a2e:370:7334> again"),
    ] {
        assert_found(name, marked);
    }
}

#[test]
fn what_only_looks_like_it_stays() {
    for text in [
        "4111 1111 1111 1112 fails the check digit",
        "1790000000000000000 is a time, and 1234567890123452 of no issuer",
        "DE89 3704 0044 0532 0130 01 fails its check",
        "version 1.2.3.400 and 12:34:56, std::net::Ipv4Addr, a::b",
        "user@localhost and @handle and a @ b",
        "task-0123456789abcdef0123 and risk-free-investments-of-a-life",
        "the bearer of news",
        "basic knowledge",
        "Basic dXNlcnBhc3M=",
        "jane%20at%20example.com and 100%40",
        "0123456789 and 2026-11-27",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        // numbers with a point have the digits of a card by chance
        r#"{"embedding":[4.111111111111111,-4.111111111111111,5.555555555555444e0]}"#,
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn json_stays_json_and_is_looked_into_as_deep_as_it_goes() {
    let arguments = r#"{"to":"a@example.com","card":4111111111111111,"body":"caf\u00e9\nb@example.com"}"#;
    let call = serde_json::json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "I am\nc@example.com"}]}],
        "tool_calls": [{"function": {"name": "send", "arguments": arguments}}],
        "n@example.com": 4_111_111_111_111_111_u64,
        "created": 1_790_000_000, "ratio": 1.50, "none": null, "empty": [{}, []],
    });
    let (text, found) = redacted_by(ALL, &call.to_string());
    let after: serde_json::Value = serde_json::from_str(&text).expect("it is still JSON");
    let inner: serde_json::Value =
        serde_json::from_str(after["tool_calls"][0]["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(inner["to"], "[REDACTED:email]");
    assert_eq!(inner["card"], "[REDACTED:credit_card]");
    assert_eq!(inner["body"], "café\n[REDACTED:email]");
    assert_eq!(after["messages"][0]["content"][0]["text"], "I am\n[REDACTED:email]");
    assert_eq!(after["[REDACTED:email]"], "[REDACTED:credit_card]");
    assert!(text.contains(r#""ratio":1.5"#) && text.contains(r#""empty":[{},[]]"#), "{text}");
    assert_eq!(found, [("email".to_owned(), 4), ("credit_card".to_owned(), 2)]);
}

#[test]
fn a_text_that_is_not_quite_json_is_redacted_as_text_and_its_escapes_stay_whole() {
    assert_eq!(redacted(r#"{"a":"\nb@example.com","#), r#"{"a":"\n[REDACTED:email]","#);
    assert_eq!(redacted(r#"{"a":"\\nb@example.com" ]"#), r#"{"a":"\\[REDACTED:email]" ]"#);
    let stream = "event: message\ndata: {\"t\":\"\\nb@example.com\",\"n\":4111111111111111}\n\ndata: [DONE]\n";
    let want =
        "event: message\ndata: {\"t\":\"\\n[REDACTED:email]\",\"n\":\"[REDACTED:credit_card]\"}\n\ndata: [DONE]\n";
    assert_eq!(redacted(stream), want);
}

#[test]
fn nothing_found_is_nothing_copied() {
    let redaction = Redaction::new(&config(ALL)).unwrap();
    let rules = redaction.of(&Workspace::default()).unwrap();
    for text in ["", "plain", r#"{ "a": [1, "b"] }"#, "data: {\"a\": 1}\n", "[1,", "{\"a\":\"\\ud800\"}"] {
        assert!(matches!(rules.text(text, &mut Tally::default()), Cow::Borrowed(same) if same == text), "{text}");
    }
}

#[test]
fn actions_replace_hash_under_a_key_and_remove() {
    let with = |action: &str, key: &str| {
        let yaml = format!("{{ detectors: [email], action: {action}, hash_key: {key} }}");
        redacted_by(&yaml, "a@example.com, b@example.com, a@example.com").0
    };
    assert_eq!(with("replace", "null"), "[REDACTED:email], [REDACTED:email], [REDACTED:email]");
    assert_eq!(with("remove", "null"), ", , ");
    let hashed = with("hash", "0123456789abcdef");
    let parts: Vec<&str> = hashed.split(", ").collect();
    assert!(parts[0] == parts[2] && parts[0] != parts[1], "the same text has the same hash: {hashed}");
    assert!(parts[0].starts_with("[email:") && parts[0].len() == "[email:]".len() + 16, "{hashed}");
    assert_ne!(hashed, with("hash", "fedcba9876543210"), "the key matters");
}

#[test]
fn patterns_of_an_operator_come_first_and_may_name_the_part_that_goes() {
    let yaml = r#"
detectors: [email]
patterns:
  - { name: order, regex: 'ORD-[0-9]{4}', action: remove }
  - { name: pin, regex: '(?i)pin:\s*(?<secret>\d{4})' }
  - { name: staff, regex: '[a-z]+@corp\.example' }
"#;
    let (text, found) = redacted_by(yaml, "ORD-1234 PIN: 0000 joe@corp.example jane@example.com");
    assert_eq!(text, " PIN: [REDACTED:pin] [REDACTED:staff] [REDACTED:email]");
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["order", "pin", "staff", "email"]);
}

#[test]
fn members_of_a_key_go_whole_whatever_they_are() {
    let yaml = "keys: [{ key: password }, { key: card, action: remove }]";
    let text = r#"{"card":{"n":[1,"}"]},"user":{"password":"hunter2","card":1,"name":"x"},"password":[1,{"a":2}]}"#;
    let (text, found) = redacted_by(yaml, text);
    assert_eq!(text, r#"{"user":{"password":"[REDACTED:key]","name":"x"},"password":"[REDACTED:key]"}"#);
    assert_eq!(found, [("key".to_owned(), 4)]);
}

#[test]
fn a_workspace_may_have_rules_of_its_own_or_none() {
    let yaml = "{ detectors: [email], workspaces: { open: { detectors: [] }, strict: { detectors: [phone] } } }";
    let redaction = Redaction::new(&config(yaml)).unwrap();
    let of = |name: &str| redaction.of(&Workspace::new(name).unwrap());
    let text = "a@example.com +4930123456";
    assert!(of("open").is_none());
    assert_eq!(of("other").unwrap().text(text, &mut Tally::default()), "[REDACTED:email] +4930123456");
    assert_eq!(of("strict").unwrap().text(text, &mut Tally::default()), "a@example.com [REDACTED:phone]");
    assert!(Redaction::default().of(&Workspace::default()).is_none());
}

#[test]
fn what_is_configured_wrongly_is_named() {
    for (yaml, said) in [
        ("{ detectors: [email], action: hash }", "redaction.hash_key: is needed for the action hash (in redaction)"),
        ("{ detectors: [email], action: hash, hash_key: short }", "redaction.hash_key: has 5 bytes"),
        ("patterns: [{ name: a, regex: '(' }]", "redaction.patterns[0].regex: unclosed group"),
        ("patterns: [{ name: 'A b', regex: a }]", "redaction.patterns[0].name: \"A b\" must be"),
        ("patterns: [{ name: a, regex: '[a-z]{1,1000}{1,1000}' }]", "redaction.patterns[0].regex: "),
        ("keys: [{ key: '' }]", "redaction.keys[0].key: must have 1 to 256 bytes"),
        ("workspaces: { 'a b': {} }", "redaction.workspaces.a b: "),
        ("workspaces: { w: { keys: [{ key: k, action: hash }] } }", "(in redaction.workspaces.w)"),
    ] {
        let error = config(yaml).problems().join("; ");
        assert!(error.contains(said), "{yaml}: {error}");
    }
    assert_eq!(Config::default().problems(), [""; 0]);
}

#[test]
fn a_file_in_base64_is_left_alone() {
    let file = "QUtJ".repeat(300);
    let lines = "AKIAIOSFODNN7EXAMPLE\n".repeat(3);
    for text in [format!("data:image/png;base64,{file}"), format!("data:image/png;base64,\n{lines}"), file] {
        assert_eq!(redacted(&text), text);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes: JSON stays JSON, and a second time finds nothing more.
        #[test]
        fn json_stays_json_and_what_is_left_is_clean(texts in proptest::collection::vec("[ -~\\n\\\\\"é@]{0,40}", 0..6)) {
            let secrets = ["x@example.com", "4111111111111111", "sk-0123456789abcdef0123", "203.0.113.9"];
            let mut list: Vec<String> = texts.clone();
            list.extend(texts.iter().zip(secrets).map(|(text, secret)| format!("{text} {secret} {text}")));
            let json = serde_json::to_string(&serde_json::json!({"list": &list, "text": serde_json::to_string(&list).unwrap()})).unwrap();
            let once = redacted(&json);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok(), "{once}");
            prop_assert_eq!(&redacted(&once), &once);
            prop_assert!(secrets.iter().take(texts.len()).all(|secret| !once.contains(secret)), "{}", once);
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,200}") {
            let _ = redacted(&text);
            let _ = redacted(&format!("{{{text}"));
            let _ = redacted(&format!("data: {{{text}}}\n"));
        }
    }
}
