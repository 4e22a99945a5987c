//! Answers that Envoys gave to the filter's questions, for tests.

/// `/clusters?format=json` of Envoy 1.37.0, of clusters of every kind.
pub(super) const CLUSTERS_1_37: &str = include_str!("../../tests/recorded/clusters-1.37.0.json");
/// The same of Envoy 1.40.0.
pub(super) const CLUSTERS_1_40: &str = include_str!("../../tests/recorded/clusters-1.40.0.json");
/// The endpoints of the control plane's clusters.
pub(super) const DYNAMIC_ENDPOINTS: &str = include_str!("../../tests/recorded/dynamic-endpoints-1.40.0.json");
/// The endpoints of the bootstrap's clusters.
pub(super) const STATIC_ENDPOINTS: &str = include_str!("../../tests/recorded/static-endpoints-1.40.0.json");
/// The masked clusters of the control plane.
pub(super) const DYNAMIC_RULES_1_37: &str = include_str!("../../tests/recorded/dynamic-rules-1.37.0.json");
/// The same of Envoy 1.40.0.
pub(super) const DYNAMIC_RULES_1_40: &str = include_str!("../../tests/recorded/dynamic-rules-1.40.0.json");
/// The masked clusters of the bootstrap.
pub(super) const STATIC_RULES: &str = include_str!("../../tests/recorded/static-rules-1.40.0.json");
