//! What is in `deploy/` fits what the binary takes and serves.

mod chart;

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use serde_json::Value;

use support::{project, service};

const KUBERNETES: &str = "deploy/kubernetes";

fn read(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The objects of a file.
fn objects(name: &str) -> Vec<Value> {
    let text = read(&format!("{KUBERNETES}/{name}"));
    text.split("\n---\n")
        .map(|one| serde_saphyr::from_str(one).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect()
}

fn validate(yaml: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let tokens = folder.path().join("tokens.yaml");
    let made = service::binary()
        .args(["token", "create", "--name", "apps", "--workspace", "*", "--scope", "ingest", "--file"])
        .arg(&tokens)
        .output()
        .expect("the binary runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("millrace.yaml");
    let here = yaml.replace("/etc/millrace/tokens/tokens.yaml", &tokens.display().to_string());
    fs::write(&file, here).expect("the configuration can be written");
    let variables =
        [("CLICKHOUSE_PASSWORD", "x"), ("CLICKHOUSE_URL", "http://clickhouse:8123"), ("CLICKHOUSE_USER", "m")];
    let Output { status, stdout, stderr } =
        service::binary().args(["validate", "--config"]).arg(&file).envs(variables).output().expect("the binary runs");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn each_configuration_that_is_deployed_is_valid() {
    for name in ["deploy/docker.yaml", "deploy/millrace.compose.yaml", "deploy/kubernetes/millrace.yaml"] {
        let (is_valid, said) = validate(&read(name));
        assert!(is_valid, "{name}: {said}");
    }
}

#[test]
fn the_manifests_agree_with_each_other_and_with_the_configuration() {
    let config: Value = serde_saphyr::from_str(&read(&format!("{KUBERNETES}/millrace.yaml"))).expect("it is YAML");
    let set = objects("statefulset.yaml").remove(0);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let ports: BTreeMap<&str, u64> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (port["name"].as_str().expect("a name"), port["containerPort"].as_u64().expect("a number")))
        .collect();
    for (name, path) in [
        ("otlp-grpc", "/receivers/otlp_grpc"),
        ("http", "/receivers/http"),
        ("health", "/admin/health"),
        ("metrics", "/admin/metrics"),
    ] {
        let listen = config.pointer(path).expect("it is configured")["listen"].as_str().expect("an address");
        assert_eq!(listen, format!("0.0.0.0:{}", ports[name]), "{name}");
    }
    for (probe, path) in [("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
        let http = &container[probe]["httpGet"];
        assert_eq!((&http["path"], &http["port"]), (&path.into(), &"health".into()), "{probe}");
    }
    let services = objects("services.yaml");
    let named = services.iter().flat_map(|service| service["spec"]["ports"].as_array().expect("ports"));
    for port in named {
        let target = port["targetPort"].as_str().expect("a name");
        assert_eq!(port["port"], ports[target], "{target}");
    }
    let names: Vec<&str> = services.iter().filter_map(|service| service["metadata"]["name"].as_str()).collect();
    assert!(names.contains(&set["spec"]["serviceName"].as_str().expect("a name")), "{names:?}");
    // what the configuration takes from the environment comes from a secret
    let given = container["env"].as_array().expect("variables").iter();
    let secret: Vec<&str> =
        given.filter(|it| it["valueFrom"]["secretKeyRef"].is_object()).filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(secret, ["CLICKHOUSE_URL", "CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"]);
    let kustomization: Value =
        serde_saphyr::from_str(&read(&format!("{KUBERNETES}/kustomization.yaml"))).expect("it is YAML");
    for resource in kustomization["resources"].as_array().expect("resources") {
        for object in objects(resource.as_str().expect("a file")) {
            assert!(object["kind"].is_string() && object["metadata"]["name"].is_string(), "{object}");
        }
    }
}

#[test]
fn the_container_may_do_no_more_than_it_must() {
    let set = objects("statefulset.yaml").remove(0);
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(
        (&pod["securityContext"]["runAsNonRoot"], &pod["automountServiceAccountToken"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        [&container["readOnlyRootFilesystem"], &container["allowPrivilegeEscalation"]],
        [&Value::from(true), &Value::from(false)]
    );
    assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
    // every folder that it writes to is a volume
    let mounts: Vec<&str> = pod["containers"][0]["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .filter(|mount| mount["readOnly"] != true)
        .filter_map(|mount| mount["mountPath"].as_str())
        .collect();
    assert_eq!(mounts, ["/var/lib/millrace"]);
}

#[test]
fn images_of_others_are_named_by_digest() {
    let (dockerfile, compose) = (read("deploy/Dockerfile"), read("deploy/docker-compose.yaml"));
    let named = |text: &str, begin: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(begin)).map(str::to_owned).collect()
    };
    let of_dockerfile = [named(&dockerfile, "FROM "), named(&dockerfile, "# syntax=")].concat();
    let of_compose = named(&compose, "image: ");
    assert!(of_dockerfile.len() > 4 && of_compose.len() == 2, "{of_dockerfile:?} {of_compose:?}");
    for image in of_dockerfile.into_iter().chain(of_compose) {
        let (name, digest) = image.split_once("@sha256:").unwrap_or_else(|| panic!("{image} has no digest"));
        assert!(name.contains(':'), "{image} has no tag, which says what the digest is of");
        let digest = digest.split(' ').next().unwrap_or_default();
        assert!(digest.len() == 64 && digest.bytes().all(|letter| letter.is_ascii_hexdigit()), "{image}");
    }
}
