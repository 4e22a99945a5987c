//! An answer of Envoy's admin interface as it arrived, what it cost, and a question that was not answered.

use crate::host::call_response::{self, Body};
use crate::shared::question::{self, PollResult};
use crate::vm::asking;
use crate::vm::pending::{PendingQuestion, Rest};
use crate::vm::state::Vm;
use filter_core::time::Millis;

/// The maximum length of an answer, in bytes. Lists are read in pieces, and what is not wanted is skipped, but reading
/// blocks the worker.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// About how many bytes Envoy's main thread writes in a millisecond.
const BYTES_PER_MS: u64 = 25_000;

/// The same for rules: it masks what is not asked for field by field.
const BYTES_OF_RULES_PER_MS: u64 = 2_500;

/// The number of clusters that it passes over in a millisecond, at least, to find those that are asked for.
const CLUSTERS_PER_MS: u64 = 100;

/// An answer may cost so many times what is reckoned, as the time shows that it took: on a slow machine, and one about
/// rules where Envoy was given the endpoints with the cluster. What more it takes, it waited for the worker.
const SLOWEST: u64 = 2;
const SLOWEST_OF_RULES: u64 = 4;

/// The number of bytes for which the next question waits at least one more millisecond, for the sake of the worker that
/// reads them.
const BYTES_PER_REST_MS: u64 = 8_000;

/// Envoy's main thread rests this many times as long as an answer took it: it spends at most a tenth of its time on
/// answers while anything is open, and less than a hundredth while all is well.
const OPEN_REST: u64 = 9;
const CALM_REST: u64 = 119;

/// Rules, and long lists of all clusters, are asked for seldom; nothing that is open waits longer for them than this,
/// in milliseconds.
const LONGEST_AFTER_SELDOM_MS: Millis = 1_500;

/// After an answer that cannot be used, the next question waits this many times as long as after a good one.
const REST_AFTER_FAILURE: Millis = 10;

/// Once Envoy counts as silent, the wait doubles with each failure up to this, in milliseconds.
const LONGEST_AFTER_FAILURE_MS: Millis = 5_000;

/// How an answer arrived.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Result<Body, PollResult>,
    /// The HTTP status; empty if the call failed.
    pub(super) status: Vec<u8>,
    pub(super) size: u64,
    /// The time from the question to now, in milliseconds: at least what Envoy's main thread spent on it.
    took: Millis,
    pub(super) now: Millis,
}

impl Answer {
    /// The current callback's answer, with a body of `size` bytes, to a question of `asked_at`.
    pub(super) fn receive(size: usize, asked_at: Millis, now: Millis) -> Self {
        let status = call_response::status();
        let body = match status == b"200" {
            true if size > MAX_ANSWER_BYTES => Err(PollResult::TooLarge),
            true => Ok(Body::new(size)),
            false => Err(PollResult::Failed),
        };
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        Self { body, status, size, took: now.saturating_sub(asked_at), now }
    }
}

/// How long to rest after an answer about endpoints.
pub(super) fn rest_after(vm: &Vm, answer: &Answer) -> Rest {
    rest_by(vm, answer, BYTES_PER_MS, SLOWEST)
}

/// How long to rest after an answer about rules.
pub(super) fn rest_after_rules(vm: &Vm, answer: &Answer) -> Rest {
    seldom(rest_by(vm, answer, BYTES_OF_RULES_PER_MS, SLOWEST_OF_RULES))
}

/// How long to rest after lists of all clusters that are so long that they are not asked for again.
pub(super) fn rest_after_long_sweep(vm: &Vm, answer: &Answer) -> Rest {
    seldom(rest_after(vm, answer))
}

/// How long all that is asked in calm rests after an answer that took Envoy so many milliseconds.
pub(super) fn rest_in_calm(took: Millis) -> Millis {
    took.saturating_mul(CALM_REST)
}

fn seldom(rest: Rest) -> Rest {
    Rest { open: rest.open.min(LONGEST_AFTER_SELDOM_MS), ..rest }
}

fn rest_by(vm: &Vm, answer: &Answer, bytes_per_ms: u64, slowest: u64) -> Rest {
    let Some(witness) = vm.config.witness.as_ref() else { return Rest::default() };
    let (longest, shortest) = (witness.max_interval.millis(), witness.min_interval.millis());
    let clusters = question::read().map_or(0, |question| question.sweep.clusters);
    // In thousandths of a millisecond, so that small answers cost something too.
    let reckoned = answer
        .size
        .saturating_mul(1_000)
        .checked_div(bytes_per_ms)
        .unwrap_or(0)
        .saturating_add(clusters.saturating_mul(1_000) / CLUSTERS_PER_MS);
    let cost = answer.took.saturating_mul(1_000).clamp(reckoned / 2, reckoned.saturating_mul(slowest));
    let for_reading = answer.size / BYTES_PER_REST_MS;
    let rest = |times: u64| (cost.saturating_mul(times) / 1_000).max(for_reading).max(shortest).min(longest);
    Rest { open: rest(OPEN_REST), calm: rest(CALM_REST) }
}

/// Records that a question was not answered; its clusters are asked about again.
pub(super) fn fail(vm: &mut Vm, asked: &PendingQuestion, result: PollResult, rest: Rest, now: Millis) {
    let longest = vm.config.witness.as_ref().map_or(0, |witness| witness.max_interval.millis());
    let wait = match result {
        PollResult::Failed | PollResult::Invalid => {
            let failures = question::read().map_or(0, |question| question.failures_after_silence());
            let wait = rest.open.saturating_mul(REST_AFTER_FAILURE) << failures.min(8);
            wait.min(LONGEST_AFTER_FAILURE_MS).min(longest)
        }
        _ => longest,
    };
    asking::fail(vm, result, now, &asked.about, wait);
}
