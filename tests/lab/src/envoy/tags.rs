//! Envoy's rules for the parts of a statistic's name that become labels in `/stats/prometheus`.
//!
//! There are Istio's rules, including those that its `extraStatTags` makes for the filter's labels, and the plain rules
//! of the bootstrap for operators without a mesh. Not here: the names themselves, which the filter makes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The labels of the filter's metrics: each needs a tag rule in the bootstrap, or it stays in the metric's name.
pub const LABELS: [&str; 10] = [
    "upstream_cluster",
    "upstream_locality",
    "outcome",
    "streak_kind",
    "eject_reason",
    "basis",
    "failover_from",
    "failover_to",
    "result",
    "version",
];

/// The `stats_config` of Istio's bootstrap, with the filter's labels in `extraStatTags`.
pub fn istio() -> Value {
    let istio = [
        ("cluster_name", r"^cluster(\.(.+);)"),
        ("http_conn_manager_prefix", r"^http(\.(.+);)"),
        ("response_code", r"_rq(_(\d{3}))$"),
        ("response_code_class", r"_rq(_(\dxx))$"),
        ("cache", r"(cache\.(.+?)\.)"),
        ("component", r"(component\.(.+?)\.)"),
        ("tag", r"(tag\.(.+?);\.)"),
        ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
    ];
    let istio = istio.iter().map(|(name, regex)| json!({ "tag_name": name, "regex": regex }));
    let ours = LABELS.iter().map(|l| json!({ "tag_name": l, "regex": format!(r"({l}=\.=(.*?);\.;)") }));
    json!({ "use_all_default_tags": false, "stats_tags": istio.chain(ours).collect::<Vec<_>>() })
}

/// The bootstrap with which operators without a mesh start.
pub fn plain_bootstrap() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/envoy/bootstrap.yaml")
}

/// The `stats_config` of [`plain_bootstrap`]: its rules in addition to Envoy's own.
///
/// # Errors
/// If the file cannot be read, or contains a rule that is not written as `- {tag_name: NAME, regex: 'REGEX'}` on one
/// line.
pub fn plain() -> Result<Value> {
    let file = plain_bootstrap();
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let rule = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("- {tag_name: ")?.split_once(", regex: '")?;
        Some(json!({ "tag_name": name, "regex": rest.strip_suffix("'}")? }))
    };
    let rules: Vec<Value> = text.lines().filter_map(rule).collect();
    let told = text.matches("tag_name:").count();
    ensure!(told == rules.len(), "{}: {told} rules, {} of them in the known form", file.display(), rules.len());
    ensure!(!text.contains("use_all_default_tags"), "{}: says something of default tags", file.display());
    Ok(json!({ "stats_tags": rules }))
}
