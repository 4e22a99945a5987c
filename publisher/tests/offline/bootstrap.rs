//! Tests what `validate` finds in the bootstrap of an Envoy without a mesh.

use crate::support::{run, run_with_input};
use serde_json::{Value, json};

/// Code, severity and path of what is found; of paths the last part.
fn found(bootstrap: &Value) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let json =
        run_with_input(dir.path(), &["validate", "-", "--output", "json"], bootstrap.to_string().as_bytes()).json();
    let told = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap();
        let path = text("path").rsplit("configuration.value.").next().unwrap().to_owned();
        format!("{} {} {path}", text("code"), text("severity"))
    };
    json[0]["findings"].as_array().unwrap().iter().map(told).collect()
}

fn at(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// A bootstrap of two clusters; `config` is the plugin's configuration.
fn bootstrap(config: &Value) -> Value {
    let zone = |zone: &str, priority: u8| {
        let locality = json!({"region": "r", "zone": zone});
        json!({"locality": locality, "priority": priority, "lb_endpoints": [{"endpoint": {}}]})
    };
    let plugin = json!({"root_id": "faultline", "failure_policy": "FAIL_OPEN",
        "configuration": {"value": config.to_string()}});
    json!({
        "node": {"id": "a", "locality": {"region": "r", "zone": "a"}},
        "admin": {"address": at(9901)},
        "static_resources": {
            "listeners": [{"filter": {"config": plugin.clone()}, "log": {"config": plugin}}],
            "clusters": [
                {
                    "name": "backend",
                    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
                    "outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 100},
                    "load_assignment": {"endpoints": [zone("a", 0), zone("b", 1)]},
                },
                {
                    "name": "envoy_admin",
                    "load_assignment": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(9901)}}]}]},
                },
            ],
        },
    })
}

/// The defaults of a plugin that nobody's answer corrects are not the cluster's either.
const DIFFERS: &str = "FL311 warning outlierDetection";

#[test]
fn the_witness_must_be_a_cluster() {
    const ABSENT: &str = "FL312 error witness.cluster";
    assert_eq!(found(&bootstrap(&json!({"witness": {"cluster": "envoy_admin"}}))), [""; 0]);
    let mut absent = bootstrap(&json!({"witness": {"cluster": "admin"}}));
    let mut told = found(&absent);
    told.sort();
    assert_eq!(told, [DIFFERS, ABSENT], "the same configuration is judged once");
    absent["dynamic_resources"] = json!({"lds_config": {"path": "x"}});
    assert!(found(&absent).contains(&ABSENT.to_owned()));
    absent["dynamic_resources"] = json!({"cds_config": {"ads": {}}});
    assert_eq!(found(&absent), ["FL312 note witness.cluster"]);
    let usual = bootstrap(&json!({"witness": {}}));
    assert!(found(&usual).contains(&"FL312 error witness.cluster".to_owned()), "without a name it is Istio's: {usual}");
}

#[test]
fn behind_the_witness_must_be_the_admin_interface() {
    let with = |admin: Value| {
        let mut file = bootstrap(&json!({"witness": {"cluster": "envoy_admin"}}));
        file["admin"] = admin;
        file
    };
    for none in [Value::Null, json!({}), json!({"access_log": []})] {
        let mut told = found(&with(none));
        told.sort();
        // Nobody corrects the thresholds either.
        assert_eq!(told, [DIFFERS, "FL312 error witness.cluster"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let text = with(Value::Null).to_string();
    let told = run_with_input(dir.path(), &["validate", "-"], text.as_bytes()).exits(3).stdout;
    assert!(told.contains("the file has no `admin` with an address"), "{told}");
    assert_eq!(found(&with(json!({"address": at(15000)}))), ["FL312 note witness.cluster"]);
    assert_eq!(found(&with(json!({"address": {"pipe": {"path": "/a"}}}))), [""; 0], "what cannot be compared");
}

#[test]
fn the_proxy_should_know_where_it_is() {
    let mut homeless = bootstrap(&json!({"witness": {"cluster": "envoy_admin"}}));
    for locality in [json!({}), json!({"region": "", "zone": ""}), Value::Null] {
        homeless["node"]["locality"] = locality;
        assert_eq!(found(&homeless), ["FL313 note node"]);
    }
    homeless["static_resources"]["listeners"] = json!([]);
    assert_eq!(found(&homeless), [""; 0], "nobody asks");
}

#[test]
fn what_is_in_several_localities_should_eject() {
    let mut plain = bootstrap(&json!({"witness": {"cluster": "envoy_admin"}}));
    let cluster = plain["static_resources"]["clusters"][0].as_object_mut().unwrap();
    cluster.remove("outlier_detection");
    assert_eq!(found(&plain), ["FL314 warning static_resources.clusters[0]"]);
    let mut checked = plain.clone();
    checked["static_resources"]["clusters"][0]["health_checks"] = json!([{"timeout": "1s"}]);
    assert_eq!(found(&checked), [""; 0]);
    plain["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][1] = json!({});
    assert_eq!(found(&plain), [""; 0], "one locality has no other to turn to");
}

#[test]
fn thresholds_are_compared_with_those_of_the_clusters() {
    let same = json!({"consecutive5xxErrors": 3, "consecutiveGatewayErrors": 0, "maxEjectionPercent": 100});
    let other = json!({"consecutive5xxErrors": 7, "consecutiveGatewayErrors": 0, "maxEjectionPercent": 100});
    assert_eq!(found(&bootstrap(&json!({"outlierDetection": same}))), [""; 0]);
    assert_eq!(found(&bootstrap(&json!({"outlierDetection": other}))), ["FL311 warning outlierDetection"]);
    assert_eq!(found(&bootstrap(&json!({}))), ["FL311 warning outlierDetection"], "the defaults are not the cluster's");
    let entry = json!({"outlierDetection": same, "clusters": [{"match": "back*", "outlierDetection": other}]});
    assert_eq!(found(&bootstrap(&entry)), ["FL311 warning clusters[0].outlierDetection"]);
    let asked = json!({"outlierDetection": other, "witness": {"cluster": "envoy_admin"}});
    assert_eq!(found(&bootstrap(&asked)), ["FL311 note outlierDetection"]);
    // Protobuf's other names are the same fields.
    let mut camel = bootstrap(&json!({"outlierDetection": same})).to_string();
    for (snake, name) in [
        ("static_resources", "staticResources"),
        ("outlier_detection", "outlierDetection"),
        ("consecutive_5xx", "consecutive5xx"),
        ("max_ejection_percent", "maxEjectionPercent"),
        ("common_lb_config", "commonLbConfig"),
        ("healthy_panic_threshold", "healthyPanicThreshold"),
    ] {
        camel = camel.replace(&format!("\"{snake}\""), &format!("\"{name}\""));
    }
    assert_eq!(found(&serde_json::from_str(&camel).unwrap()), [""; 0]);
    let differs = camel.replace("\"consecutive5xx\":3", "\"consecutive5xx\":4");
    assert_eq!(found(&serde_json::from_str(&differs).unwrap()), ["FL311 warning outlierDetection"]);
}

#[test]
fn what_faultline_itself_writes_has_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for position in ["http", "upstream-log", "lean"] {
        let args = ["manifest", "ghcr.io/acme/faultline:1.0", "--offline", "--kind", "Envoy", "--position", position];
        let written = run(dir.path(), &args).exits(0).stdout;
        let ran = run_with_input(dir.path(), &["validate", "-"], written.as_bytes()).exits(0);
        assert_eq!(ran.stdout, "", "{position}");
    }
    let deployed = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/envoy/bootstrap.yaml");
    assert_eq!(run(dir.path(), &["validate", deployed]).exits(0).stdout, "");
}
