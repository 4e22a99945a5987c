//! Tests of a mesh whose lists of endpoints are long, on an Envoy that cannot list only some of its clusters.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::Answer;
use lab::envoy::bootstrap::{Bootstrap, Cluster, Retries};
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::{Endpoint, Locality};
use lab::programs::tools::{self, Tool};
use lab::skip::{self, skip};
use lab::zones::{HOST, ZONES, Zones};
use serde_json::json;

use crate::decided::{listed, until_ejected, until_told_as_decided};

/// The last Envoy whose `/clusters` has no filter.
const BEFORE_FILTERS: &str = "1.37.0";

const CLUSTERS: u16 = 400;

/// The binary that `cargo xtask setup --envoy VERSION` installs.
fn installed(version: &str) -> Option<PathBuf> {
    let lib = tools::target_dir().ok()?.join("tools").join(format!("envoy-{version}")).join("lib");
    let mut pythons = std::fs::read_dir(lib).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    pythons.find_map(|python| {
        let envoy = python.join("site-packages/envoy/_bin/envoy");
        envoy.is_file().then_some(envoy)
    })
}

/// A cluster without traffic, of ten endpoints that nobody serves.
fn idle(n: u16, rules: &OutlierDetection) -> Cluster {
    let endpoint = |k: u8| {
        let ip = [127, 1 + (n / 250) as u8, (n % 250) as u8, k + 1];
        Endpoint { address: (ip, 8_080).into(), locality: Locality::new(ZONES[usize::from(k) % 2]) }
    };
    let name = format!("outbound|8080||service-{n}.shop.svc.cluster.local");
    Cluster::new(&name, (0..10).map(endpoint).collect(), Some(rules.clone()))
}

#[test]
fn ejections_among_hundreds_of_clusters_are_told_where_envoy_lists_them_all() -> Result<()> {
    let name = "ejections_among_hundreds_of_clusters_are_told_where_envoy_lists_them_all";
    let Some(program) = installed(BEFORE_FILTERS) else {
        let why = format!("no Envoy {BEFORE_FILTERS}: `cargo xtask setup --envoy {BEFORE_FILTERS}`");
        skip(name, skip::Tool::Optional, &why);
        return Ok(());
    };
    let zones = Zones::start_at(&[ZONES[0], ZONES[0], ZONES[0], ZONES[1]])?;
    let rules = OutlierDetection {
        consecutive_5xx_errors: 3,
        split_external_local_origin_errors: false,
        base_ejection_time: Duration::from_secs(6),
        ..OutlierDetection::first_error()
    };
    let mut clusters = vec![zones.cluster(rules.clone())];
    clusters.extend((0..CLUSTERS).map(|n| idle(n, &rules)));
    let config = json!({ "outlierDetection": rules.to_istio(), "witness": {} });
    let mut bootstrap = Bootstrap::new(&Zones::home(), clusters);
    bootstrap.program = Some(program);
    // Statistics of so many clusters would take Envoy longest to set up; Istio does not keep them either.
    bootstrap.stats_config = json!({
        "use_all_default_tags": false,
        "stats_matcher": { "inclusion_list": { "patterns": [{ "prefix": "wasmcustom" }] } },
    });
    bootstrap.retries = Some(Retries { attempts: 1, retry_on: "5xx".to_owned(), per_try_timeout: None });
    let envoy = Envoy::start(&bootstrap.with_filter(&Tool::Module.path()?, &config.to_string()))?;
    let size = envoy.admin("/clusters?format=json")?.len();
    assert!(size > 2 * 1024 * 1024, "the lists have only {size} bytes");

    let mut load = envoy.load(HOST, 4)?;
    let answers = || envoy.stats("result=.=ok.*witness_polls_total").map(|polls| polls.iter().map(|(_, n)| n).sum());
    load.until("Envoy has answered", |_| answers().is_ok_and(|n: u64| n >= 3))?;
    zones.0[..2].iter().try_for_each(|upstream| upstream.set(Answer(503)))?;
    until_ejected(&envoy, &mut load, 2)?;
    zones.0[..2].iter().try_for_each(|upstream| upstream.set(Answer(200)))?;
    until_told_as_decided(&envoy, &mut load).with_context(|| listed(&envoy))
}
