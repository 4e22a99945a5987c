//! Tests that need no registry: the command line, files, layout directories, and output for machines and people.

#[path = "../support/kustomize.rs"]
mod kustomize;
#[path = "../support/schema.rs"]
mod schema;
#[path = "../../../tests/lab/src/skip.rs"]
mod skip;
#[path = "../support/mod.rs"]
mod support;

mod bootstrap;
mod bypasses;
mod command_line;
mod deploy_helm;
mod deploy_istio;
mod deploy_policy;
mod empty_subsets;
mod from;
mod gateway_thresholds;
mod golden;
mod help;
mod layout;
mod log_shapes;
mod logs_in_one_text;
mod loki_dashboard;
mod names_of_proxies;
mod never_gets_in;
mod not_as_json;
mod not_whole;
mod nothing_in_silence;
mod output;
mod parts_of_logs;
mod pasted_logs;
mod pipelines;
mod plugin_beside_rules;
mod remarks;
mod report;
mod report_claims;
mod report_fleet;
mod report_window;
mod rules_as_istiod;
mod schemas;
mod taken_apart;
#[cfg(unix)]
mod watch;
mod what_is_refused;
mod workflows;
mod wrong_types;
