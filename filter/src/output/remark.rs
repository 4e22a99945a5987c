//! Remarks for the proxy's operator: log lines of the filter that are not events.

use crate::shared::question::PollResult;

/// A log line that is not an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remark<'a> {
    /// A configuration is in force.
    InForce,
    /// The configuration has an unknown field.
    UnknownField(&'a str),
    /// The plugin stands twice in a filter chain.
    TwiceInChain,
    /// Several configurations see traffic in one proxy.
    SeveralConfigurations { count: usize },
    /// Envoy's admin interface, behind `cluster`, has stopped answering; `result` is how the last question ended.
    WitnessSilent { cluster: &'a str, result: PollResult },
    /// Envoy's admin interface answers again.
    WitnessAnswers { cluster: &'a str },
    /// The receiver of `notify`, behind `cluster`, has stopped answering.
    ReceiverSilent { cluster: &'a str, why: &'a str },
    /// The receiver answers again.
    ReceiverAnswers { cluster: &'a str },
}

impl Remark<'_> {
    /// Writes the remark as a log line.
    pub(super) fn write(self) {
        match self {
            Self::InForce => log::info!("{} watches, its configuration is in force", env!("CARGO_PKG_VERSION")),
            Self::UnknownField(field) => {
                log::warn!("configuration: {field}: no such field, ignored; check its spelling and place");
            }
            Self::TwiceInChain => log::warn!(
                "requests pass this plugin twice, each is counted once. Two plugins of this module are in force; \
                 remove one"
            ),
            Self::SeveralConfigurations { count } => log::warn!(
                "{count} different configurations of this module see traffic, each is evaluated by its own. If that is \
                 not meant, remove one"
            ),
            Self::WitnessSilent { cluster, result } => {
                let why = match result {
                    PollResult::NoCluster => {
                        "there is no such cluster, or it has no endpoint; set witness.cluster to one that has"
                    }
                    PollResult::TooLarge => {
                        "its answers are over 1 MiB; Envoy 1.38 and later answer about few clusters at a time"
                    }
                    _ => "it does not answer as an admin interface does",
                };
                log::warn!("witness: cluster {cluster}: {why}. Until it answers, ejections are inferred");
            }
            Self::WitnessAnswers { cluster } => log::info!("witness: cluster {cluster} answers again"),
            Self::ReceiverSilent { cluster, why } => log::warn!(
                "notify: cluster {cluster}: {why}. What is to be told is tried once each until it answers; \
                 look at notify.cluster, notify.host and notify.path"
            ),
            Self::ReceiverAnswers { cluster } => log::info!("notify: cluster {cluster} answers again"),
        }
    }
}
