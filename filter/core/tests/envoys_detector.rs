//! The detector against a small model of Envoy's, written apart from it and in Envoy's own shape: shared counters that
//! workers raise, and a main thread that ejects and, on its ticks, returns. Random attempts from fixed seeds.

use filter_core::config::OutlierDetection;
use filter_core::detector::{Detector, Moments};
use filter_core::duration::Duration;
use filter_core::outcome::Charges;

/// A small generator of numbers (SplitMix64), so that every run tries the same.
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

/// What Envoy's router reports of one attempt, in its own words.
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
    /// What workers do; the names of what the main thread is told to look at.
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

    /// What the main thread does with each of these: nothing for a host that is ejected, else an ejection and a fresh
    /// start for the counter that fired.
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

/// An attempt, as Envoy's reports and as the filter's charges.
fn attempt(numbers: &mut Numbers) -> (Vec<Report>, Charges) {
    let codes = [200, 204, 301, 404, 499, 500, 501, 502, 503, 504, 599, 600];
    let code = codes[numbers.below(codes.len() as u64) as usize];
    match numbers.below(6) {
        0..=2 => (vec![Report::ConnectSuccess, Report::ResponseCode(code)], Charges::answered(code)),
        3 => (vec![Report::ConnectFailed], Charges { connected: false, status: None, failure: Some(503) }),
        4 => (
            vec![Report::ConnectSuccess, Report::Timeout],
            Charges { connected: true, status: None, failure: Some(504) },
        ),
        _ => (
            vec![Report::ConnectSuccess, Report::ResponseCode(code), Report::ConnectFailed],
            Charges { connected: true, status: Some(code), failure: Some(503) },
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
        let (mut host, mut detector) = (Host::default(), Detector::default());
        for now in 1_000..1_200 {
            let (reports, charges) = attempt(&mut numbers);
            let mut expected = None;
            for report in reports {
                let hits = host.put(report, &rules);
                expected = expected.or(host.main_thread(hits, now));
            }
            let mut ejected_for = None;
            for crossing in detector.charge(&charges, &Moments::at_once(now * 1_000), &rules) {
                if detector.ejection().is_none() {
                    detector.eject(now, &rules);
                    ejected_for = Some(crossing.kind.as_str());
                }
            }
            assert_eq!(ejected_for, expected, "seed {seed}, {now}: {charges:?} under {rules:?}");
            ejections += u32::from(expected.is_some());
            // Envoy's tick, at any moment after the ejection.
            if host.ejected_at.is_some() && numbers.below(8) == 0 {
                host.unejected();
                detector.give_back(now);
            }
            assert_eq!(detector.ejection().is_some(), host.ejected_at.is_some());
            assert_eq!(u64::from(detector.ejections()), host.times);
        }
    }
    assert!(ejections > 10_000, "the sequences must be of the kind that ejects: {ejections}");
}
