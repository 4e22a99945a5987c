//! The question to Envoy's admin interface: one worker asks it for all.

use super::compare_and_swap;
use filter_core::time::Millis;
use serde::{Deserialize, Serialize};

/// Clusters that are noted; when there are more, the next question is about all of them anyway.
const MAX_SUSPECTS: usize = 64;

/// Failures in a row after which Envoy counts as silent.
const SILENT_AFTER_FAILURES: u32 = 3;

/// How a question ended: the label `result` of `faultline_witness_polls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Envoy listed its endpoints.
    Ok,
    /// No answer came, or one that is no success.
    Failed,
    /// The answer is not what an admin interface answers.
    Invalid,
    /// The answer is longer than what is read.
    TooLarge,
    /// There is no such cluster, or it has no endpoint.
    NoCluster,
}

impl PollResult {
    /// The result as the metric writes it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::NoCluster => "no_cluster",
        }
    }
}

/// The question to Envoy, as the workers share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Clusters that Envoy should be asked about.
    pub(crate) suspects: Vec<String>,
    /// Until when a question counts as under way; 0 when none is.
    pub(crate) under_way_until: Millis,
    /// When the last one was over.
    pub(crate) done_at: Millis,
    /// How long to wait after it at the least, whatever is suspected.
    pub(crate) rest: Millis,
    /// How long to wait after it if nothing new is suspected.
    pub(crate) wait: Millis,
    /// Whether something new is suspected.
    pub(crate) urgent: bool,
    /// How often in a row there was no answer that could be used.
    failures: u32,
    /// When Envoy last counted ejections, and how long it is not to be asked to again.
    pub(crate) counted: (Millis, Millis),
}

impl Question {
    /// Whether Envoy does not answer, so that its word is not to be waited for.
    pub(crate) fn is_silent(&self) -> bool {
        self.failures >= SILENT_AFTER_FAILURES
    }

    /// Notes how a question ended.
    pub(crate) fn record(&mut self, result: PollResult) {
        self.failures = match result {
            PollResult::Ok => 0,
            PollResult::Failed | PollResult::Invalid => self.failures.saturating_add(1),
            // The next one will end so, too.
            PollResult::TooLarge | PollResult::NoCluster => SILENT_AFTER_FAILURES,
        };
    }

    /// Notes a cluster.
    pub(crate) fn suspect(&mut self, cluster: &str) {
        if self.suspects.len() < MAX_SUSPECTS && !self.suspects.iter().any(|name| name == cluster) {
            self.suspects.push(cluster.to_owned());
        }
    }
}

/// Reads the question; a first one when there is none. `None` where nothing can be shared.
pub(crate) fn read() -> Option<Question> {
    compare_and_swap::take(&key()).map(|(bytes, _)| decode(&bytes))
}

/// Changes the question. `change` may run several times, each time on the latest one; `None` if no run could be made to
/// count.
pub(crate) fn change<R>(mut change: impl FnMut(&mut Question) -> R) -> Option<R> {
    compare_and_swap::update(&key(), |bytes| {
        let mut question = decode(bytes);
        let result = change(&mut question);
        (Some(compare_and_swap::encode(&question)), result)
    })
}

fn decode(bytes: &[u8]) -> Question {
    postcard::from_bytes(bytes).unwrap_or_default()
}

fn key() -> String {
    compare_and_swap::key("question")
}
