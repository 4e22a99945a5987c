//! Rules for plugin configurations (FL001, FL002, FL004, FL005, and what they share with DestinationRules).
//!
//! The filter's own parser decides, so nothing passes here that the filter would reject. This check is stricter in one
//! point: an unknown field, about which the filter only warns, is an error.

use filter_core::config::{self, Attempts, Config, OutlierDetection};
use wildmatch::WildMatch;

use super::finding::{Draft, Severity};
use super::{outlier, rules};

/// What becomes of a configuration with an error.
const REJECTED: &str = "the filter rejects the whole configuration, says so in the event `config_rejected`, and keeps \
    its last good one, or the defaults";

/// What to do about a value.
const WRITE_WHAT_IS_WANTED: &str = "write what is wanted; `faultline config-schema` prints every field with its range";

/// What to do about a text that cannot be read to its end.
const CORRECT_THE_JSON: &str =
    "correct it at that place, or just before it: often a comma too many or too few, a quote, a comment";

/// How many errors of one configuration are told at most.
const MOST_ERRORS: usize = 20;

/// The errors that forbid publishing a configuration.
pub(crate) fn errors(text: &[u8]) -> Vec<Draft> {
    if is_other_than_json(text) {
        let words = [
            "a plugin configuration is JSON, and this is not",
            REJECTED,
            "write JSON, such as `{\"witness\": {}}`; only resources are read as YAML, and they have `apiVersion` and \
                `kind`",
        ];
        return vec![Draft::new(rules::FL001, Severity::Error, ".".into(), words)];
    }
    let mut found = Vec::new();
    let mut left = text.to_vec();
    // The parser ends at the first value that it rejects, so each is taken out in turn, to see what is behind it.
    for _ in 0..MOST_ERRORS {
        match config::parse(&left) {
            Ok(parsed) => {
                found.extend(parsed.unknown_fields.into_iter().map(unknown));
                break;
            }
            Err(error) => {
                let rest = without(&left, &error.path);
                // The filter's parser has no room for more than what it wanted.
                let slip = serde_json::from_slice::<serde::de::IgnoredAny>(&left).err();
                found.push(Draft {
                    rule: rules::FL001,
                    severity: Severity::Error,
                    path: error.path,
                    problem: slip.as_ref().map_or(error.problem, |slip| format!("it is no JSON: {slip}")),
                    at_run_time: REJECTED.into(),
                    fix: if slip.is_none() { WRITE_WHAT_IS_WANTED } else { CORRECT_THE_JSON }.into(),
                });
                match rest {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        }
    }
    found
}

/// A configuration without the value at a path; `None` where nothing can be taken out.
fn without(text: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(text).ok()?;
    // Items of a list stay, so that those behind them keep their places.
    let field = path.rfind('.').filter(|at| path.rfind(']').is_none_or(|bracket| *at > bracket));
    let (parent, name) = match field {
        Some(at) => (path.get(..at)?, path.get(at + 1..)?),
        None if !path.contains('[') => ("", path),
        None => return None,
    };
    let pointer: String = parent
        .split(['.', '['])
        .filter(|it| !it.is_empty())
        .map(|it| format!("/{}", it.trim_end_matches(']')))
        .collect();
    value.pointer_mut(&pointer)?.as_object_mut()?.remove(name)?;
    serde_json::to_vec(&value).ok()
}

/// Whether a text was written in another language. Of what begins as JSON, the filter's own parser says best what is
/// wrong with it.
fn is_other_than_json(text: &[u8]) -> bool {
    let begins = text.trim_ascii_start().first();
    begins.is_some_and(|byte| !b"{[".contains(byte)) && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err()
}

/// Every finding about a configuration.
pub(crate) fn check(text: &[u8]) -> Vec<Draft> {
    let mut found = errors(text);
    if let Ok(parsed) = config::parse(text) {
        let config = parsed.config;
        hidden_entries(&config, &mut found);
        hidden_by_retries(&config, &mut found);
        for (path, rules) in blocks(&config) {
            found.extend(outlier::times(rules, true).into_iter().map(|draft| draft.inside(&path)));
        }
    }
    found
}

fn unknown(path: String) -> Draft {
    Draft {
        rule: rules::FL002,
        severity: Severity::Error,
        problem: "no such field; check its spelling against `faultline config-schema`".into(),
        at_run_time: "the filter warns once in the log and goes on without it: what it was to change stays at the \
                default"
            .into(),
        fix: format!("correct or remove `{path}`"),
        path,
    }
}

/// FL004: an entry hidden by an earlier one. A pattern that matches the text of a later pattern also matches, with rare
/// exceptions, everything that the later one matches.
fn hidden_entries(config: &Config, found: &mut Vec<Draft>) {
    for (later, entry) in config.clusters.iter().enumerate() {
        let hides = |earlier: &&config::ClusterRule| WildMatch::new(&earlier.pattern).matches(&entry.pattern);
        if let Some(earlier) = config.clusters.iter().take(later).position(|earlier| hides(&earlier)) {
            found.push(Draft {
                rule: rules::FL004,
                severity: Severity::Warning,
                path: format!("clusters[{later}].match"),
                problem: format!(
                    "clusters[{earlier}], `{}`, matches everything that `{}` does",
                    config.clusters[earlier].pattern, entry.pattern
                ),
                at_run_time: "the first match wins, so this entry is never used".into(),
                fix: format!("put it before clusters[{earlier}]"),
            });
        }
    }
}

/// FL005: thresholds that retries hide.
fn hidden_by_retries(config: &Config, found: &mut Vec<Draft>) {
    if config.witness.is_some() || config.attempts == Attempts::UpstreamLog {
        return;
    }
    for (path, rules) in blocks(config) {
        let split = rules.split_external_local_origin_errors && rules.consecutive_local_origin_failures > 0;
        let field = match (split, rules.consecutive_gateway_errors > 0) {
            (true, _) => "consecutiveLocalOriginFailures",
            (_, true) => "consecutiveGatewayErrors",
            _ => continue,
        };
        found.push(Draft {
            rule: rules::FL005,
            severity: Severity::Warning,
            path: format!("{path}.{field}"),
            problem: "counts failures that are tried again elsewhere, and there is no witness".into(),
            at_run_time: "where requests are retried (Istio tries refused and reset connections twice by default), an \
                          HTTP filter sees the last attempt only, so the endpoint that failed stays unseen while Envoy \
                          ejects it"
                .into(),
            fix: "add `\"witness\": {}` (without a mesh, `{\"cluster\": …}` with the cluster of Envoy's own admin \
                  interface), or use the router's upstream log with `\"attempts\": \"upstreamLog\"`"
                .into(),
        });
        return; // the remedy is one for all
    }
}

/// Every outlier detection block in a configuration, with its path.
fn blocks(config: &Config) -> Vec<(String, &OutlierDetection)> {
    let mut blocks = vec![("outlierDetection".to_owned(), &config.outlier_detection)];
    for (index, entry) in config.clusters.iter().enumerate() {
        blocks
            .extend(entry.outlier_detection.iter().map(|rules| (format!("clusters[{index}].outlierDetection"), rules)));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_errors_here() {
        let found = errors(br#"{"outlierDetecton": {}, "limits": {"series": 100, "serie": 1}}"#);
        let mut paths: Vec<&str> = found.iter().map(|draft| draft.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["limits.serie", "outlierDetecton"]);
        assert_eq!(check(b"{}"), []);
        assert_eq!(check(b""), []);
        assert_eq!(check(b"nonsense").len(), 1);
    }
}
