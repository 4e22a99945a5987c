//! Compares the detector and the rotation with a small model of Envoy's. The model is written independently and in
//! Envoy's own shape: shared counters that workers increment, and a main thread that ejects and, on its ticks, returns.
//! The attempts are random, with fixed seeds.

use filter_core::config::Duration;
use filter_core::config::OutlierDetection;
use filter_core::endpoint::detector::{AttemptTimes, Detector};
use filter_core::endpoint::evidence::{ClusterView, Evidence, Listed, RotationContext, Transition};
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::rotation::Rotation;
use filter_core::endpoint::rule::Rule;
use filter_core::endpoint::streak::Crossing;

/// A small random number generator (SplitMix64) with a fixed seed, so that every run tries the same attempts.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What Envoy's router reports of one attempt, in Envoy's terms.
#[derive(Clone, Copy, Debug)]
enum Report {
    ConnectSuccess,
    ResponseCode(u16),
    ConnectFailed,
    Timeout,
}

/// Envoy's monitor of one host.
#[derive(Default)]
struct Host {
    gateway_failures: u32,
    errors_5xx: u32,
    local_failures: u32,
    ejected_at: Option<u64>,
    times: u64,
}

impl Host {
    /// What a worker does with a report; returns the names of the events that it posts to the main thread.
    fn put(&mut self, report: Report, rules: &OutlierDetection) -> Vec<&'static str> {
        match (rules.split_external_local_origin_errors, report) {
            (true, Report::ConnectSuccess) => {
                self.local_failures = 0;
                vec![]
            }
            (true, Report::ConnectFailed | Report::Timeout) => {
                self.local_failures += 1;
                let hit = self.local_failures == rules.consecutive_local_origin_failures;
                if hit { vec!["local_origin"] } else { vec![] }
            }
            (false, Report::ConnectSuccess) => vec![],
            (false, Report::ConnectFailed) => self.code(503, rules),
            (false, Report::Timeout) => self.code(504, rules),
            (_, Report::ResponseCode(code)) => self.code(code, rules),
        }
    }

    fn code(&mut self, code: u16, rules: &OutlierDetection) -> Vec<&'static str> {
        let mut hits = vec![];
        if code / 100 == 5 {
            if [502, 503, 504].contains(&code) {
                self.gateway_failures += 1;
                if self.gateway_failures == rules.consecutive_gateway_errors {
                    hits.push("gateway_error");
                }
            } else {
                self.gateway_failures = 0;
            }
            self.errors_5xx += 1;
            if self.errors_5xx == rules.consecutive5xx_errors {
                hits.push("5xx");
            }
        } else {
            self.errors_5xx = 0;
            self.gateway_failures = 0;
        }
        hits
    }

    /// What the main thread does with each event: nothing for a host that is already ejected, otherwise it ejects the
    /// host and resets the counter that fired.
    fn main_thread(&mut self, hits: Vec<&'static str>, now: u64) -> Option<&'static str> {
        let mut ejected_for = None;
        for hit in hits {
            if self.ejected_at.is_some() {
                continue;
            }
            self.ejected_at = Some(now);
            self.times += 1;
            ejected_for = Some(hit);
            match hit {
                "gateway_error" => self.gateway_failures = 0,
                "5xx" => self.errors_5xx = 0,
                _ => self.local_failures = 0,
            }
        }
        ejected_for
    }

    fn unejected(&mut self) {
        *self = Self { times: self.times, ..Self::default() };
    }
}

/// A cluster that has only this endpoint.
struct Alone;

impl ClusterView for Alone {
    fn ejected(&self) -> u32 {
        0
    }

    fn endpoints(&self) -> u32 {
        1
    }

    fn recent_max_ejected(&self, _: u64) -> u32 {
        0
    }
    fn ends_early(&self) -> bool {
        false
    }
}

fn context<'a>(now: u64, rules: &'a OutlierDetection, rule: &'a Rule) -> RotationContext<'a> {
    let (has_witness, has_unconfirmed, keeps_counts) = (false, false, false);
    let cluster = &Alone;
    RotationContext {
        now,
        rules,
        rule,
        cluster,
        has_witness,
        panic_until: 0,
        has_unconfirmed,
        keeps_counts,
        counts_asked: 0,
        sees_successes: true,
    }
}

/// A random attempt, as Envoy's reports and as the filter's input.
fn attempt(numbers: &mut Numbers) -> (Vec<Report>, DetectorInput) {
    let codes = [200, 204, 301, 404, 499, 500, 501, 502, 503, 504, 599, 600];
    let code = codes[numbers.below(codes.len() as u64) as usize];
    match numbers.below(6) {
        0..=2 => (vec![Report::ConnectSuccess, Report::ResponseCode(code)], DetectorInput::answered(code)),
        3 => (vec![Report::ConnectFailed], DetectorInput { connected: false, status: None, failure: Some(503) }),
        4 => (
            vec![Report::ConnectSuccess, Report::Timeout],
            DetectorInput { connected: true, status: None, failure: Some(504) },
        ),
        _ => (
            vec![Report::ConnectSuccess, Report::ResponseCode(code), Report::ConnectFailed],
            DetectorInput { connected: true, status: Some(code), failure: Some(503) },
        ),
    }
}

#[test]
fn the_detector_ejects_when_envoys_would_and_for_the_same_reason() {
    let mut ejections = 0;
    for seed in 0..2_000 {
        let mut numbers = Numbers(seed);
        let rules = OutlierDetection {
            consecutive5xx_errors: numbers.below(6) as u32,
            consecutive_gateway_errors: numbers.below(6) as u32,
            consecutive_local_origin_failures: 1 + numbers.below(5) as u32,
            split_external_local_origin_errors: numbers.below(2) == 0,
            base_ejection_time: Duration::from_millis(50),
            interval: Duration::from_millis(20),
            max_ejection_percent: 100,
            ..OutlierDetection::default()
        };
        let (mut host, mut detector, mut rotation) = (Host::default(), Detector::default(), Rotation::default());
        for now in 1_000..1_200 {
            let (reports, input) = attempt(&mut numbers);
            let mut expected = None;
            for report in reports {
                let hits = host.put(report, &rules);
                expected = expected.or(host.main_thread(hits, now));
            }
            let rule = Rule::configured(&rules);
            let context = context(now, &rules, &rule);
            let mut ejected_for = None;
            let crossings = match rotation.ejection() {
                None => detector.put_result(&input, &AttemptTimes::at_once(now * 1_000), &rules, 0),
                Some(_) => {
                    detector.put_result_while_ejected(&input, &AttemptTimes::at_once(now * 1_000), &rules);
                    Vec::new()
                }
            };
            for Crossing { kind, first, .. } in crossings {
                let (next, transitions) = rotation.apply(&Evidence::Threshold { kind, first, at: now }, &context);
                rotation = next;
                if let [Transition::Ejected { ejection, .. }] = transitions[..] {
                    assert_eq!(u64::from(ejection), host.times);
                    detector.on_ejected();
                    ejected_for = Some(kind.as_str());
                }
            }
            assert_eq!(ejected_for, expected, "seed {seed}, {now}: {input:?} under {rules:?}");
            ejections += u32::from(expected.is_some());
            // Envoy ticks at any time after the ejection.
            if host.ejected_at.is_some() && numbers.below(8) == 0 {
                host.unejected();
                let listed = Listed { ejected: false, asked: now + 1, previous: 0, counts: None, cluster_ejected: 0 };
                rotation = rotation.apply(&Evidence::Listed(listed), &context).0;
                detector.on_returned();
            }
            assert_eq!(rotation.ejection().is_some(), host.ejected_at.is_some());
        }
    }
    assert!(ejections > 10_000, "the sequences must be of the kind that ejects: {ejections}");
}
