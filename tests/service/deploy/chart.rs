//! The Helm chart, rendered by Helm: the same as the plain manifests, and what its values say.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use support::clients::{client, run_json};
use support::project;

use super::{objects, read, validate};

const CHART: &str = "deploy/helm/millrace";

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    Refused { refused: String },
    Rendered { findings: Value, manifests: BTreeMap<String, String> },
}

fn helm(values: &Value) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("values.json");
    fs::write(&file, values.to_string()).expect("values can be written");
    let (chart, file) = (project().join(CHART).display().to_string(), file.display().to_string());
    run_json(&mut client("helm", "helm_chart.py", &[&chart, &file]))
}

fn refused(values: &Value) -> String {
    match helm(values) {
        Said::Refused { refused } => refused,
        Said::Rendered { manifests, .. } => panic!("{values} is taken: {manifests:?}"),
    }
}

/// Every object that comes of these values.
fn rendered(values: &Value) -> Vec<Value> {
    let manifests = match helm(values) {
        Said::Rendered { manifests, .. } => manifests,
        Said::Refused { refused } => panic!("{values}: {refused}"),
    };
    let texts = manifests.into_iter().filter(|(name, _)| !name.ends_with("NOTES.txt"));
    let objects = texts.flat_map(|(name, text)| {
        let parts: Vec<&str> = text.split("\n---\n").filter(|part| !part.trim().is_empty()).collect();
        let object =
            |part: &&str| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{name}: {error}: {part}"));
        parts.iter().map(object).collect::<Vec<Value>>()
    });
    objects.filter(|object| !object.is_null()).collect()
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn one<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}: {objects:?}");
    found[0]
}

fn configuration(objects: &[Value]) -> Value {
    let text = one(objects, "ConfigMap")["data"]["millrace.yaml"].as_str().expect("a text");
    let (is_valid, said) = validate(text);
    assert!(is_valid, "{said}\n{text}");
    serde_saphyr::from_str(text).expect("it is YAML")
}

/// What kustomize adds to the plain manifests, and Helm to the chart, is left out: names of images, labels, selectors.
fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    bare["metadata"] = json!({"name": object["metadata"]["name"]});
    let spec = bare["spec"].as_object_mut().expect("a spec");
    for key in ["selector", "podSelector", "type"] {
        spec.remove(key);
    }
    if let Some(template) = spec.get_mut("template") {
        let pod = template["metadata"].as_object_mut().expect("metadata");
        pod.remove("labels");
        let notes = pod.get_mut("annotations").and_then(Value::as_object_mut).expect("annotations");
        notes.remove("checksum/config");
        template["spec"]["topologySpreadConstraints"][0]["labelSelector"] = Value::Null;
        let container = template["spec"]["containers"][0].as_object_mut().expect("a container");
        for key in ["image", "imagePullPolicy"] {
            container.remove(key);
        }
    }
    bare
}

#[test]
fn the_chart_is_the_plain_manifests_and_passes_helms_lint() {
    let Said::Rendered { findings, .. } = helm(&json!({})) else { panic!("it is refused") };
    assert_eq!(findings["errors"], json!([]), "{findings}");
    let made = rendered(&json!({}));
    let plain: Vec<Value> = ["statefulset.yaml", "services.yaml", "disruption.yaml", "network.yaml"]
        .into_iter()
        .flat_map(objects)
        .collect();
    for object in &plain {
        let same =
            made.iter().find(|it| it["kind"] == object["kind"] && it["metadata"]["name"] == object["metadata"]["name"]);
        let same = same.unwrap_or_else(|| panic!("the chart has no {} {}", object["kind"], object["metadata"]["name"]));
        assert_eq!(bare(same), bare(object), "{}", object["kind"]);
    }
    // and the configuration, which is an object of its own here
    assert_eq!(made.len(), plain.len() + 1, "{made:?}");
    let of_plain: Value = serde_saphyr::from_str(&read("deploy/kubernetes/millrace.yaml")).expect("it is YAML");
    assert_eq!(configuration(&made), of_plain);
}

#[test]
fn each_selector_meets_the_pods() {
    let made = rendered(&json!({"podLabels": {"team": "a"}}));
    let set = one(&made, "StatefulSet");
    let labels = set["spec"]["template"]["metadata"]["labels"].as_object().expect("labels");
    assert_eq!(labels["team"], "a");
    let mut selectors = vec![&set["spec"]["selector"]["matchLabels"]];
    selectors.extend(of_kind(&made, "Service").into_iter().map(|service| &service["spec"]["selector"]));
    selectors.push(&one(&made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]);
    selectors.push(&one(&made, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]);
    for selector in selectors {
        let wanted = selector.as_object().expect("a selector");
        assert!(!wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)), "{selector}");
    }
}

#[test]
fn secrets_are_those_that_are_there_or_made_of_the_values() {
    let tokens = "tokens: []\n";
    let values = json!({
        "clickhouse": {"existingSecret": "", "url": "https://db:8443", "password": "pa:ss\"word"},
        "tokens": {"existingSecret": "", "file": tokens},
    });
    let made = rendered(&values);
    let secrets = of_kind(&made, "Secret");
    let of = |name: &str| {
        let named = secrets.iter().find(|secret| secret["metadata"]["name"] == name);
        &named.unwrap_or_else(|| panic!("no {name}"))["stringData"]
    };
    assert_eq!(of("millrace-clickhouse")["password"], "pa:ss\"word");
    assert_eq!(of("millrace-clickhouse")["url"], "https://db:8443");
    assert_eq!(of("millrace-tokens")["tokens.yaml"], tokens);
    assert!(of_kind(&rendered(&json!({})), "Secret").is_empty(), "by default they are there already");
    assert!(!one(&made, "ConfigMap").to_string().contains("pa:ss"), "a password is in a secret alone");
    let without = refused(&json!({"tokens": {"existingSecret": ""}}));
    assert!(without.contains("millrace token create"), "{without}");
}

#[test]
fn values_change_what_they_name() {
    let made = rendered(&json!({
        "replicas": 3, "image": {"repository": "registry.example/millrace", "digest": format!("sha256:{}", "a".repeat(64))},
        "persistence": {"size": "100Gi", "storageClassName": "fast"},
        "networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false}, "page": {"expose": true},
        "serviceMonitor": {"enabled": true, "tokenSecret": {"name": "scrape"}},
        "config": {"exporter": {"flush_after": "2s"}, "receivers": {"http": {"listen": "0.0.0.0:1"}, "workspace_attribute": "team"}},
    }));
    let set = one(&made, "StatefulSet");
    assert_eq!(set["spec"]["replicas"], 3);
    let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image");
    assert!(image.starts_with("registry.example/millrace@sha256:a"), "{image}");
    let claim = &set["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(
        (&claim["storageClassName"], &claim["resources"]["requests"]["storage"]),
        (&json!("fast"), &json!("100Gi"))
    );
    assert!(of_kind(&made, "NetworkPolicy").is_empty() && of_kind(&made, "PodDisruptionBudget").is_empty());
    let ports = made.iter().filter(|it| it["kind"] == "Service").flat_map(|it| it["spec"]["ports"].as_array().unwrap());
    assert!(ports.into_iter().any(|port| port["name"] == "page"));
    // it scrapes a service of these pods, at a port that it has, as somebody
    let monitor = &one(&made, "ServiceMonitor")["spec"];
    let wanted = monitor["selector"]["matchLabels"].as_object().expect("a selector");
    let meets =
        |service: &&&Value| wanted.iter().all(|(key, value)| service["metadata"]["labels"].get(key) == Some(value));
    let services = of_kind(&made, "Service");
    let scraped: Vec<&&Value> = services.iter().filter(meets).collect();
    assert_eq!(scraped.len(), 1, "{wanted:?}");
    let port = &monitor["endpoints"][0]["port"];
    assert!(scraped[0]["spec"]["ports"].as_array().expect("ports").iter().any(|it| it["name"] == *port));
    assert_eq!(monitor["endpoints"][0]["authorization"]["credentials"], json!({"name": "scrape", "key": "token"}));
    // where it listens is the chart's
    let config = configuration(&made);
    assert_eq!(config["receivers"]["http"]["listen"], "0.0.0.0:4318");
    assert_eq!(
        (&config["receivers"]["workspace_attribute"], &config["exporter"]["flush_after"]),
        (&json!("team"), &json!("2s"))
    );
    // another configuration starts the pods again
    let checksum = |objects: &[Value]| {
        one(objects, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    assert_ne!(checksum(&made), checksum(&rendered(&json!({}))));
}

#[test]
fn values_that_are_wrong_are_refused_by_the_schema() {
    for (values, names) in [
        (json!({"replicas": "two"}), "replicas"),
        (json!({"replica": 2}), "replica"),
        (json!({"persistence": {"size": "much"}}), "size"),
        (json!({"image": {"digest": "latest"}}), "digest"),
        (json!({"terminationGracePeriodSeconds": 5}), "terminationGracePeriodSeconds"),
        (json!({"serviceMonitor": {"enabled": true}}), "tokenSecret"),
    ] {
        let said = refused(&values);
        assert!(said.contains(names), "{values}: {said}");
    }
}
