//! What Envoy's admin interface should be asked, which one worker asks for all.

use super::compare_and_swap;
use super::names::Names;
use filter_core::encoded;
use filter_core::encoding;
use filter_core::time::Millis;

/// The number of consecutive failures after which Envoy counts as silent.
const SILENT_AFTER_FAILURES: u32 = 3;

/// Where Envoy takes about one name at a time, so many rules are asked for one by one, in one question each.
const FEW_RULES: usize = 4;

/// The length, in bytes, of the lists of all clusters from which on an Envoy that cannot list only some is asked for
/// endpoints by its configuration dump, which can.
pub(crate) const LARGE_BYTES: u64 = 256 * 1024;

/// How a question ended: the label `result` of `faultline_witness_polls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Envoy listed its endpoints.
    Ok,
    /// There was no answer, or one that is not a success.
    Failed,
    /// The answer is not that of an admin interface.
    Invalid,
    /// The answer is too long to be read.
    TooLarge,
    /// The cluster does not exist or has no endpoint.
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

/// The lists of all clusters, which show also those that no request names (of mirrored requests, of other protocols).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// When they were last asked for; 0 if never.
    pub(crate) asked: Millis,
    /// How long the next question waits.
    pub(crate) interval: Millis,
    /// Requests that the hosts of clusters without watched traffic had then, in total.
    pub(crate) requests: u64,
    /// The length of the answer, in bytes; 0 if there was none.
    pub(crate) size: u64,
    /// The number of clusters in it.
    pub(crate) clusters: u64,
}

encoded!(struct Sweep { asked, interval, requests, size, clusters });

/// What Envoy should be asked, which the workers share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// Clusters in which something is open or suspected.
    pub(crate) suspects: Names,
    /// Clusters in which all is well, whose lists are old.
    pub(crate) calm: Names,
    /// Clusters whose rule should be read.
    pub(crate) without_rule: Names,
    /// Until when a question counts as in progress; 0 if none is.
    pub(crate) under_way_until: Millis,
    /// When the last question ended.
    pub(crate) done_at: Millis,
    /// The minimum wait after it, whatever is suspected, in milliseconds.
    pub(crate) rest: Millis,
    /// When a question may be asked for which nothing is suspected.
    pub(crate) calm_at: Millis,
    /// Whether nothing was suspected when the last question was asked.
    pub(crate) is_calm: bool,
    /// The wait after it if nothing new is suspected, in milliseconds.
    pub(crate) wait: Millis,
    /// Whether anything new is suspected.
    pub(crate) urgent: bool,
    /// Whether the last question was about rules: then what is suspected has its turn.
    pub(crate) rules_were_last: bool,
    /// How many questions in a row got no usable answer, and how many of those about rules.
    failures: u32,
    rule_failures: u32,
    /// When Envoy last counted ejections, and for how long it should not be asked to again.
    pub(crate) counted: (Millis, Millis),
    /// Whether clusters of the bootstrap are asked for first, because there were some and none of a control plane.
    pub(crate) is_static_first: bool,
    /// Whether Envoy refuses long regular expressions, as it does unless it is configured otherwise.
    pub(crate) refuses_long_expressions: bool,
    /// When the lists of all clusters may be asked for again because of a suspicion.
    pub(crate) all_allowed_at: Millis,
    /// Whether Envoy lists all clusters, whichever are asked for (before 1.38).
    pub(crate) ignores_names: bool,
    /// The lists of all clusters.
    pub(crate) sweep: Sweep,
}

encoded!(struct Question {
    suspects, calm, without_rule, under_way_until, done_at, rest, calm_at, is_calm, wait, urgent, rules_were_last,
    failures, rule_failures, counted, is_static_first, refuses_long_expressions, all_allowed_at, ignores_names, sweep,
});

impl Question {
    /// Whether Envoy does not answer, so that nothing should wait for it.
    pub(crate) fn is_silent(&self) -> bool {
        self.failures >= SILENT_AFTER_FAILURES
    }

    /// How many questions in a row got no usable answer since Envoy counts as silent.
    pub(crate) fn failures_after_silence(&self) -> u32 {
        self.failures.saturating_sub(SILENT_AFTER_FAILURES)
    }

    /// Whether the lists of all clusters are long.
    pub(crate) fn has_long_lists(&self) -> bool {
        self.sweep.size > LARGE_BYTES
    }

    /// Whether rules are asked for by how names begin, if `taken` of those wanted are taken out: Envoy does not take
    /// the names of many.
    pub(crate) fn asks_by_beginning(&self, taken: usize) -> bool {
        self.refuses_long_expressions && self.without_rule.len().saturating_add(taken) > FEW_RULES
    }

    /// Notes whether a question about rules got a usable answer. Returns how many in a row did not.
    pub(crate) fn record_rules(&mut self, is_ok: bool) -> u32 {
        self.rule_failures = if is_ok { 0 } else { self.rule_failures.saturating_add(1) };
        self.rule_failures
    }

    /// Notes how a question ended.
    pub(crate) fn record(&mut self, result: PollResult) {
        self.failures = match result {
            PollResult::Ok => 0,
            PollResult::Failed | PollResult::Invalid => self.failures.saturating_add(1),
            // The next question will end in the same way.
            PollResult::TooLarge | PollResult::NoCluster => SILENT_AFTER_FAILURES,
        };
    }
}

/// Reads the shared value; its default if there is none. `None` if nothing can be shared.
pub(crate) fn read() -> Option<Question> {
    compare_and_swap::take(&key()).map(|(bytes, _)| decode(&bytes))
}

/// Changes the shared value. `change` may run several times, each time on the latest one. `None` if no run could be
/// written back.
pub(crate) fn change<R>(mut change: impl FnMut(&mut Question) -> R) -> Option<R> {
    compare_and_swap::update(&key(), |bytes| {
        let mut question = decode(bytes);
        let result = change(&mut question);
        (Some(encoding::encode(&question)), result)
    })
}

fn decode(bytes: &[u8]) -> Question {
    encoding::decode(bytes).unwrap_or_default()
}

fn key() -> String {
    compare_and_swap::key("question")
}
