//! Remarks for the proxy's operator: log lines of the filter that are not events.

use crate::host::LogLevel;
use crate::shared::question::PollResult;
use filter_core::locality::Locality;
use filter_core::text::joined;

/// A log line that is not an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remark<'a> {
    /// A configuration is in force.
    InForce,
    /// The configuration has an unknown field.
    UnknownField(&'a str),
    /// Where the proxy is, and how that is known.
    Home { locality: &'a Locality, how: &'a str },
    /// It is not known where the proxy is, and a cluster has endpoints in several localities.
    NoHome,
    /// Envoy does not tell how its clusters eject.
    RulesNotTold { problem: &'a str },
    /// Envoy's rule of a cluster differs from the configured one: fields, each with the configured and Envoy's value.
    RuleDiffers { cluster: &'a str, differences: &'a [(&'static str, String, String)] },
    /// The plugin stands twice in a filter chain.
    TwiceInChain,
    /// Several configurations see traffic in one proxy.
    SeveralConfigurations { count: usize },
    /// The module stands both as HTTP filter and in the router's upstream log.
    TwoPositions,
    /// Envoy's admin interface, behind `cluster`, has stopped answering; `result` is how the last question ended. Where
    /// only failures are seen, nothing can be concluded without it.
    WitnessSilent { cluster: &'a str, result: PollResult, is_blind: bool },
    /// Envoy's lists of endpoints are too large to be read.
    ListsTooLarge,
    /// Envoy's admin interface answers again.
    WitnessAnswers { cluster: &'a str },
    /// The receiver of `notify`, behind `cluster`, has stopped answering.
    ReceiverSilent { cluster: &'a str, why: &'a str },
    /// The receiver answers again.
    ReceiverAnswers { cluster: &'a str },
}

impl Remark<'_> {
    /// The severity of the log line, and its text.
    pub(super) fn line(self) -> (LogLevel, String) {
        let text = match self {
            Self::InForce => format!("{} watches, its configuration is in force", env!("CARGO_PKG_VERSION")),
            Self::UnknownField(field) => {
                format!("configuration: {field}: no such field, ignored; check its spelling and place")
            }
            Self::Home { locality, how } => format!("home is {} ({how})", locality.as_str()),
            Self::NoHome => "where this proxy is, nothing tells (node.locality, its labels, priorities of endpoints): \
                             failovers cannot be told"
                .to_owned(),
            Self::RulesNotTold { problem } => format!(
                "witness: how clusters eject cannot be read ({problem}). What is configured counts, or else Envoy's \
                 defaults"
            ),
            Self::RuleDiffers { cluster, differences } => {
                let differences: Vec<String> = differences
                    .iter()
                    .map(|(field, configured, envoys)| {
                        format!("{field} is configured as {configured} and is {envoys} in Envoy")
                    })
                    .collect();
                let differences: Vec<&str> = differences.iter().map(String::as_str).collect();
                format!("cluster {cluster}: {}. Envoy's rule counts", joined(&differences, "; "))
            }
            Self::TwiceInChain => "requests pass this plugin twice, each is counted once. Two plugins of this module \
                                   are in force; remove one"
                .to_owned(),
            Self::SeveralConfigurations { count } => format!(
                "{count} different configurations of this module see traffic, each is evaluated by its own. If that is \
                 not meant, remove one"
            ),
            Self::TwoPositions => {
                "this module stands as HTTP filter (attempts: final) and in the router's upstream log \
                                   (attempts: upstreamLog, failed). Where both see the same requests, errors count \
                                   twice and streaks are told that did not happen: use one position"
                    .to_owned()
            }
            Self::WitnessSilent { cluster, result, is_blind } => witness_silent(cluster, result, is_blind),
            Self::ListsTooLarge => "witness: Envoy's lists of endpoints are over 16 MiB. They are read from its \
                                    configuration dump, which tells what is out, but neither why nor how many requests \
                                    each got"
                .to_owned(),
            Self::WitnessAnswers { cluster } => format!("witness: cluster {cluster} answers again"),
            Self::ReceiverSilent { cluster, why } => format!(
                "notify: cluster {cluster}: {why}. Until it answers, each post is tried once; look at \
                 notify.cluster, notify.host and notify.path"
            ),
            Self::ReceiverAnswers { cluster } => format!("notify: cluster {cluster} answers again"),
        };
        let is_news_only = matches!(
            self,
            Self::InForce | Self::Home { .. } | Self::WitnessAnswers { .. } | Self::ReceiverAnswers { .. }
        );
        (if is_news_only { LogLevel::Info } else { LogLevel::Warn }, text)
    }
}

/// That Envoy's admin interface has stopped answering, why, and what that means.
fn witness_silent(cluster: &str, result: PollResult, is_blind: bool) -> String {
    let why = match result {
        PollResult::NoCluster => "there is no such cluster, or it has no endpoint; set witness.cluster to one that has",
        PollResult::TooLarge => "its answers are over 16 MiB",
        _ => "it does not answer as an admin interface does",
    };
    let meanwhile = match is_blind {
        true => "nothing is told: what came between failed attempts is not seen",
        false => {
            "ejections are inferred from what is configured, or from Envoy's defaults (fewer than ten endpoints: none)"
        }
    };
    format!("witness: cluster {cluster}: {why}. Until it answers, {meanwhile}")
}
