//! Asking Envoy itself: which of a cluster's endpoints its outlier detector holds ejected.
//!
//! One worker at a time asks, whichever finds that it is time: the question is noted in shared data with the time until
//! which it counts as under way, so that a worker that dies with it is waited for no longer than that. It is asked at
//! once on suspicion (a threshold reached, a request that was retried, an ejection that should be over), now and then
//! while anything is not over, seldom otherwise; and the longer an answer, the later the next question.
//!
//! The answer is Envoy's list of endpoints. Where that leaves a question open (what an ejection was for, whether an
//! endpoint was back meanwhile) Envoy's count of ejections is asked for behind it, as part of the same question.
//!
//! The call goes out in the name of the root context, because a stream's would be given up when the stream ends. The
//! cluster that is asked is Envoy's own admin interface, which carries no filter of ours: a call into a cluster that
//! does would re-enter the VM.

use crate::host;
use crate::shared::{self, Question};
use crate::vm::Plugin;
use filter_core::metric::Metric;
use filter_core::time::Millis;
use filter_core::witness::{self, Witnessed};
use std::io;

/// The longest answer that is read, in bytes: reading holds the worker up. Without Envoy's `filter` (before 1.38) a
/// large mesh's answer is longer, and the witness is then silent.
const MAX_ANSWER: usize = 1024 * 1024;

/// A piece of the answer that is taken from the host at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// Bytes of an answer for which the next question waits a millisecond: Envoy's main thread writes about 30 bytes in a
/// microsecond and we read about as many, so that both are at it a tenth of the time at most, in turns.
const BYTES_PER_MILLI: usize = 1_000;

/// The next count waits so many times as long as Envoy took for the last: it goes through all its statistics for that, on its
/// main thread.
const COUNTING: Millis = 9;

/// A question counts as under way for its time-out and this much longer, in milliseconds.
const GRACE: Millis = 1_000;

/// Clusters that are named in a question; when there are more, all are listed, and the rest is counted the next time.
const MAX_NAMED: usize = 64;

/// How a question ends: the label `result`.
const OK: &str = "ok";
const FAILED: &str = "failed";
const INVALID: &str = "invalid";
const TOO_LARGE: &str = "too_large";
const NO_CLUSTER: &str = "no_cluster";

/// A question under way.
#[derive(Clone, Debug)]
pub struct Asked {
    call: u32,
    at: Millis,
    about: Vec<String>,
    /// What came of the list, if this is about the count.
    list: Option<Found>,
}

/// What came of a list of endpoints.
#[derive(Clone, Debug, Default)]
struct Found {
    /// Clusters about which Envoy should be asked again, and in how many milliseconds.
    open: Vec<String>,
    wait: Option<Millis>,
    /// Clusters whose ejections should be counted.
    uncounted: Vec<String>,
    /// How long Envoy should be left alone, in milliseconds.
    rest: Millis,
}

impl Found {
    fn note(&mut self, cluster: &str, again: Option<Millis>) {
        let Some(again) = again else { return };
        self.wait = Some(self.wait.map_or(again, |wait| wait.min(again)));
        if !self.open.iter().any(|known| known == cluster) {
            self.open.push(cluster.to_owned());
        }
    }
}

impl Plugin {
    /// Notes that Envoy should be asked about a cluster, and asks if it may be asked now.
    pub fn suspect(&mut self, cluster: usize, now: Millis) {
        if self.config.witness.is_none() {
            return;
        }
        let Some(name) = self.known.get(cluster).map(|known| known.name.clone()) else { return };
        shared::change_question(&mut self.reporter.metrics, |question| {
            question.suspect(&name);
            question.urgent = true;
        });
        let wait = self.ask(now);
        self.hurry(wait);
    }

    /// Asks Envoy if it is time to. Returns in how many milliseconds to look again, if there is anything to be asked soon.
    pub fn ask(&mut self, now: Millis) -> Option<Millis> {
        let witness = self.config.witness.as_ref()?;
        let until = now.saturating_add(witness.timeout.millis()).saturating_add(GRACE);
        let longest = witness.max_interval.millis();
        // A proxy that sends nothing anywhere has nothing to ask about.
        let idle = !self.known.watches_any();
        let wait = |question: &Question| {
            // A clock that went back must not leave a question under way for long.
            if question.under_way_until > now && question.under_way_until <= until {
                return question.under_way_until.saturating_sub(now);
            }
            let wait = match question.suspects.is_empty() {
                true if idle => return longest,
                true => longest,
                false if question.urgent => question.rest,
                false => question.wait,
            };
            wait.saturating_sub(now.abs_diff(question.done))
        };
        // A look without a change first: most workers find most of the time that it is not time.
        let question = shared::question()?;
        self.silent = question.is_silent();
        let left = wait(&question);
        if left > 0 {
            return (!question.suspects.is_empty()).then_some(left);
        }
        let taken = shared::change_question(&mut self.reporter.metrics, |question| {
            if wait(question) > 0 {
                return None;
            }
            question.under_way_until = until;
            question.urgent = false;
            Some(std::mem::take(&mut question.suspects))
        });
        let mut about = taken??;
        if about.is_empty() {
            about = self.known.names();
        }
        let all = about.len() > MAX_NAMED;
        let path = if all { "/clusters?format=json".to_owned() } else { path_for(&about) };
        match self.get(&path) {
            Some(call) => self.asked = Some(Asked { call, at: now, about, list: None }),
            None => self.failed(NO_CLUSTER, now, &about, longest),
        }
        None
    }

    fn get(&self, path: &str) -> Option<u32> {
        let witness = self.config.witness.as_ref()?;
        let timeout = u32::try_from(witness.timeout.millis()).unwrap_or(u32::MAX);
        let _ = host::set_effective_context(self.heartbeat.root());
        let sent = host::get(&witness.cluster, path, timeout);
        let _ = host::set_effective_context(0);
        sent.ok()
    }

    /// An answer came, of `size` bytes, or the call was given up.
    pub fn answered(&mut self, call: u32, size: usize) {
        let Some(asked) = self.asked.take_if(|asked| asked.call == call) else { return };
        let Ok(now) = host::now_nanoseconds() else { return };
        let now = now / 1_000_000;
        let answer = match host::header(host::CALL_HEADERS, ":status").unwrap_or_default() == b"200" {
            true if size > MAX_ANSWER => Err(TOO_LARGE),
            true => Ok(Answer { position: 0, size, piece: Vec::new(), used: 0 }),
            false => Err(FAILED),
        };
        match asked.list.clone() {
            None => self.listed(asked, answer, now),
            Some(list) => self.counted(&asked, list, answer, now),
        }
    }

    /// Takes in the list of endpoints.
    fn listed(&mut self, asked: Asked, answer: Result<Answer, &str>, now: Millis) {
        let Some(witness) = self.config.witness.as_ref() else { return };
        let (longest, shortest) = (witness.max_interval.millis(), witness.min_interval.millis());
        let until = now.saturating_add(witness.timeout.millis()).saturating_add(GRACE);
        let (size, answer) = match answer {
            Ok(answer) => (answer.size, answer),
            Err(FAILED) => return self.failed(FAILED, now, &asked.about, shortest.saturating_mul(10).min(longest)),
            Err(result) => return self.failed(result, now, &asked.about, longest),
        };
        let mut clusters = Vec::new();
        let read = witness::read(answer, |name, hosts| clusters.push((name.to_owned(), hosts.to_vec())));
        let cost = u64::try_from(size / BYTES_PER_MILLI).unwrap_or(u64::MAX);
        let mut found = Found { rest: cost.max(shortest).min(longest), ..Found::default() };
        for (name, hosts) in clusters {
            self.take_in(&name, &hosts, asked.at, now, &mut found);
        }
        if read.is_err() {
            return self.failed(INVALID, now, &asked.about, found.rest.saturating_mul(10).min(longest));
        }
        self.heard(OK);
        found.uncounted.truncate(MAX_NAMED);
        let may_count =
            || shared::question().is_some_and(|question| now.abs_diff(question.count.0) >= question.count.1);
        let count = match !found.uncounted.is_empty() && may_count() {
            true => self.get(&count_of(&found.uncounted)),
            false => None,
        };
        match count {
            Some(call) => {
                shared::change_question(&mut self.reporter.metrics, |question| question.under_way_until = until);
                self.asked = Some(Asked { call, at: now, list: Some(found), ..asked });
            }
            None => self.rest(now, &found.open, found.rest, found.wait),
        }
    }

    /// Takes in the count of ejections, if Envoy has one.
    fn counted(&mut self, asked: &Asked, mut found: Found, answer: Result<Answer, &str>, now: Millis) {
        let took = now.saturating_sub(asked.at).saturating_mul(COUNTING);
        let longest = self.config.witness.as_ref().map_or(0, |witness| witness.max_interval.millis());
        shared::change_question(&mut self.reporter.metrics, |question| question.count = (now, took.min(longest)));
        let counts = answer.ok().and_then(|answer| witness::read_counts(answer).ok());
        for name in std::mem::take(&mut found.uncounted) {
            let in_stats = witness::name_in_stats(&name);
            let count = counts.iter().flatten().find(|(name, _)| *name == in_stats).map(|(_, count)| *count);
            let Some(cluster) = self.known.cluster(name.as_bytes(), &self.config) else { continue };
            let Some(known) = self.known.get(cluster) else { continue };
            let Some(setting) = known.setting(&self.config, &self.home, now, true) else { continue };
            let changed = shared::change_cluster(&name, &mut self.reporter.metrics, |state| {
                let events = match counts {
                    Some(_) => state.counted(count, asked.at, &setting),
                    // What is not told for want of it is told with the next list.
                    None => {
                        state.count_failed(asked.at);
                        Vec::new()
                    }
                };
                (events, state.ask_again_in(now))
            });
            let (events, again) = changed.unwrap_or_default();
            self.report(&events);
            found.note(&name, again);
        }
        self.rest(now, &found.open, found.rest, found.wait);
    }

    /// Takes in what Envoy says of a cluster.
    fn take_in(&mut self, name: &str, hosts: &[Witnessed], asked: Millis, now: Millis, found: &mut Found) {
        // A cluster that nobody uses is of no interest: its endpoints would only fill the memory.
        if hosts.iter().all(|host| !host.ejected) && shared::cluster(name).is_none() {
            return;
        }
        let Some(cluster) = self.known.cluster(name.as_bytes(), &self.config) else { return };
        let Some(known) = self.known.get(cluster) else { return };
        let Some(setting) = known.setting(&self.config, &self.home, now, true) else { return };
        let changed = shared::change_cluster(name, &mut self.reporter.metrics, |state| {
            (state.witness(hosts, asked, &setting), state.ask_again_in(now), state.wants_count(now))
        });
        let (events, again, wants_count) = changed.unwrap_or_default();
        self.report(&events);
        found.note(name, again);
        if wants_count {
            found.uncounted.push(name.to_owned());
        }
    }

    /// Notes that a question ended without a list, with this `result`; the next may come after `rest`.
    fn failed(&mut self, result: &str, now: Millis, about: &[String], rest: Millis) {
        self.heard(result);
        self.rest(now, about, rest, None);
    }

    /// Notes the `result` of a question, and says it once when Envoy falls silent or answers again.
    fn heard(&mut self, result: &str) {
        self.reporter.metrics.change(Metric::WitnessPolls, &[result], 1);
        let changed = shared::change_question(&mut self.reporter.metrics, |question| {
            let was_silent = question.is_silent();
            match result {
                OK => question.failures = 0,
                _ => question.failed(matches!(result, NO_CLUSTER | TOO_LARGE)),
            }
            (was_silent, question.is_silent())
        });
        let (was_silent, is_silent) = changed.unwrap_or((true, true));
        self.silent = is_silent;
        let cluster = self.config.witness.as_ref().map_or("", |witness| witness.cluster.as_str());
        if is_silent && !was_silent {
            let why = match result {
                NO_CLUSTER => "there is no such cluster, or it has no endpoint; set witness.cluster to one that has",
                TOO_LARGE => "its answers are over 1 MiB; Envoy 1.38 and later answer about few clusters at a time",
                _ => "it does not answer as an admin interface does",
            };
            log::warn!("witness: cluster {cluster}: {why}. Until it answers, ejections are inferred");
        }
        if was_silent && !is_silent {
            log::info!("witness: cluster {cluster} answers again");
        }
    }

    /// Notes that a question is over; that the next may come after `rest`, and about `open` clusters after `wait`, if that is
    /// longer.
    fn rest(&mut self, now: Millis, open: &[String], rest: Millis, wait: Option<Millis>) {
        let changed = shared::change_question(&mut self.reporter.metrics, |question| {
            question.done = now;
            question.rest = rest;
            question.wait = wait.unwrap_or(rest).max(rest);
            question.under_way_until = 0;
            open.iter().for_each(|name| question.suspect(name));
            let next = if question.urgent { question.rest } else { question.wait };
            (!question.suspects.is_empty()).then_some(next)
        });
        self.hurry(changed.flatten());
    }
}

/// The question for the endpoints of some clusters.
fn path_for(clusters: &[String]) -> String {
    format!("/clusters?format=json&filter=%5E({})$", any_of(clusters))
}

/// The question for the ejections of some clusters; Istio puts a semicolon behind their names.
fn count_of(clusters: &[String]) -> String {
    let names: Vec<String> = clusters.iter().map(|name| witness::name_in_stats(name)).collect();
    let names = any_of(&names);
    format!("/stats?format=json&filter=%5Ecluster%5C.({names})%3B%3F%5C.outlier_detection%5C.ejections_enforced_")
}

/// A regular expression (RE2), as part of a path, that matches any of these names literally.
fn any_of(names: &[String]) -> String {
    let mut any = String::new();
    for (i, name) in names.iter().enumerate() {
        any.push_str(if i == 0 { "" } else { "%7C" });
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => any.push(char::from(byte)),
                // RE2 takes any other ASCII character literally behind a backslash; the rest is UTF-8 as it is.
                0..=0x7f => any.push_str(&format!("%5C%{byte:02X}")),
                _ => any.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    any
}

/// The answer's body, read from the host piece by piece.
#[derive(Debug)]
struct Answer {
    position: usize,
    size: usize,
    piece: Vec<u8>,
    used: usize,
}

impl io::Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.piece.len() {
            let left = self.size.saturating_sub(self.position).min(PIECE);
            if left == 0 {
                return Ok(0);
            }
            self.piece = host::buffer(host::CALL_BODY, self.position, left).unwrap_or_default();
            self.position = self.position.saturating_add(self.piece.len());
            self.used = 0;
        }
        let rest = self.piece.get(self.used..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.used = self.used.saturating_add(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_asked_for_by_their_whole_literal_names() {
        let path = path_for(&["outbound|80||a.b".into(), "c".into()]);
        assert_eq!(path, "/clusters?format=json&filter=%5E(outbound%5C%7C80%5C%7C%5C%7Ca%5C%2Eb%7Cc)$");
        assert!(
            count_of(&["a:b".into()]).ends_with("cluster%5C.(a_b)%3B%3F%5C.outlier_detection%5C.ejections_enforced_")
        );
    }
}
