//! Tests of proxies without a locality in their bootstrap, as without cloud metadata: where home is comes from labels
//! or from priorities.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::Answer;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::programs::tools::Tool;
use lab::zones::{HOST, ZONES, Zones};
use serde_json::{Value, json};

use crate::decided::listed;

const HOME: &str = ZONES[0];
const NEAR: &str = ZONES[1];

fn labels() -> [(&'static str, Value); 4] {
    let (region, zone) = HOME.split_once('/').unwrap_or_default();
    [
        ("labels of the node", json!({ "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone })),
        ("istio-locality", json!({ "istio-locality": HOME.replace('/', ".") })),
        ("other labels", json!({ "app": "mocka" })),
        ("no labels", Value::Null),
    ]
}

#[test]
fn a_failover_is_told_although_the_bootstrap_has_no_locality() -> Result<()> {
    for (what, labels) in labels() {
        let zones = Zones::start_at(&[HOME, NEAR])?;
        let rules = OutlierDetection {
            interval: Duration::from_millis(500),
            base_ejection_time: Duration::from_secs(2),
            ..OutlierDetection::first_error()
        };
        let config = json!({
            "outlierDetection": rules.to_istio(),
            "failover": { "window": "1s", "endAfter": "1s" },
            "witness": {},
        });
        let mut bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules)]);
        bootstrap.log_level = "info".to_owned();
        bootstrap.edits.add(move |json| {
            json["node"]["locality"] = Value::Null;
            if !labels.is_null() {
                json["node"]["metadata"] = json!({ "LABELS": labels });
            }
        });
        let envoy = Envoy::start(&bootstrap.with_filter(&Tool::Module.path()?, &config.to_string()))?;
        let mut load = envoy.load(HOST, 4)?;
        let home_is_known = |envoy: &Envoy| envoy.events().lines().iter().any(|line| line.contains("home is"));
        let known = load.until("home is known", |_| home_is_known(&envoy));
        known.with_context(|| format!("{what}: {}", listed(&envoy)))?;
        zones.at(HOME)?.set(Answer(503))?;
        for name in ["failover_started", "failover_ended"] {
            let met = load.until(name, |_| envoy.events().any(|e| e.name() == name));
            met.with_context(|| format!("{what}: {}", listed(&envoy)))?;
            zones.at(HOME)?.set(Answer(200))?;
            let event = envoy.events().named(name).remove(0);
            assert_eq!((event.text("from"), event.text("to")), (HOME, NEAR), "{what}: {event}");
        }
        assert_eq!(envoy.events().lines().iter().filter(|line| line.contains("home is")).count(), 1, "{what}");
    }
    Ok(())
}
