//! Metrics, in Prometheus' text form. Labels are words of our own: the number of series is fixed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hot_switch_core::pod::{News, State};
use hot_switch_core::refusal::Refusal;

/// Upper ends of the histograms' buckets, in seconds.
const BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0];

/// All metrics of a program.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pods: BTreeMap<String, &'static str>,
    switches: BTreeMap<(&'static str, &'static str), u64>,
    refused: BTreeMap<&'static str, u64>,
    failed: u64,
    /// Only the controller knows.
    breaker: Option<bool>,
    /// Only the controller knows.
    budget_used: Option<f64>,
    bypassed: f64,
    detect: Histogram,
    switch: Histogram,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        for (end, count) in BUCKETS.iter().zip(&mut self.counts) {
            *count += u64::from(seconds <= *end);
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn write(&self, out: &mut String, name: &str) {
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (end, count) in BUCKETS.iter().zip(&self.counts) {
            let _ = writeln!(out, "{name}_bucket{{le=\"{end}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", self.sum, self.count);
    }
}

impl Metrics {
    /// Where a pod stands.
    pub fn stands(&mut self, pod: &str, state: State) {
        self.pods.insert(pod.to_owned(), state.word());
    }

    /// A pod is gone.
    pub fn forget(&mut self, pod: &str) {
        self.pods.remove(pod);
    }

    /// A bypassed pod was so for this much longer.
    pub fn bypassed_for(&mut self, time: Duration) {
        self.bypassed += time.as_secs_f64();
    }

    /// A change of rules took this long.
    pub fn switched_in(&mut self, time: Duration) {
        self.switch.observe(time.as_secs_f64());
    }

    /// Something could not be done.
    pub fn failed(&mut self) {
        self.failed += 1;
    }

    /// Whether the circuit breaker is open.
    pub fn breaker(&mut self, open: bool) {
        self.breaker = Some(open);
    }

    /// How much of its budget the workload uses that uses most.
    pub fn budget_used(&mut self, ratio: f64) {
        self.budget_used = Some(ratio);
    }

    /// Another controller leads: what only the leader knows is not told.
    pub fn follows(&mut self) {
        (self.breaker, self.budget_used) = (None, None);
    }

    /// Something happened.
    pub fn tell(&mut self, news: &News) {
        match news {
            News::Bypassed(why, detected) => {
                *self.switches.entry(("bypass", why.word())).or_default() += 1;
                self.detect.observe(detected.as_secs_f64());
            }
            News::Restored(_) => *self.switches.entry(("restore", "proxy_well")).or_default() += 1,
            News::Refused(reason, _) => *self.refused.entry(reason.word()).or_default() += 1,
            News::Suspected(_) | News::Recovered(_) | News::Adopted | News::Overdue(_) => {}
        }
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        out.push_str("# TYPE faultline_hotswitch_pods gauge\n");
        for state in State::WORDS {
            let count = self.pods.values().filter(|of| **of == state).count();
            let _ = writeln!(out, "faultline_hotswitch_pods{{state=\"{state}\"}} {count}");
        }
        out.push_str("# TYPE faultline_hotswitch_switches_total counter\n");
        for ((direction, reason), count) in &self.switches {
            let labels = format!("direction=\"{direction}\",reason=\"{reason}\"");
            let _ = writeln!(out, "faultline_hotswitch_switches_total{{{labels}}} {count}");
        }
        out.push_str("# TYPE faultline_hotswitch_refused_total counter\n");
        for refusal in Refusal::ALL {
            let count = self.refused.get(refusal.word()).copied().unwrap_or(0);
            let _ = writeln!(out, "faultline_hotswitch_refused_total{{reason=\"{}\"}} {count}", refusal.word());
        }
        out.push_str("# TYPE faultline_hotswitch_failed_total counter\n");
        let _ = writeln!(out, "faultline_hotswitch_failed_total {}", self.failed);
        out.push_str("# TYPE faultline_hotswitch_bypassed_seconds_total counter\n");
        let _ = writeln!(out, "faultline_hotswitch_bypassed_seconds_total {:.3}", self.bypassed);
        if let Some(open) = self.breaker {
            out.push_str("# TYPE faultline_hotswitch_breaker_open gauge\n");
            let _ = writeln!(out, "faultline_hotswitch_breaker_open {}", u8::from(open));
        }
        if let Some(ratio) = self.budget_used {
            out.push_str("# TYPE faultline_hotswitch_budget_used_ratio gauge\n");
            let _ = writeln!(out, "faultline_hotswitch_budget_used_ratio {ratio:.3}");
        }
        self.detect.write(&mut out, "faultline_hotswitch_detect_seconds");
        self.switch.write(&mut out, "faultline_hotswitch_switch_seconds");
        out
    }
}

#[cfg(test)]
mod tests {
    use hot_switch_core::sighting::Condition;

    use super::*;

    #[test]
    fn every_state_and_refusal_has_its_series_from_the_start() {
        let mut metrics = Metrics::default();
        metrics.stands("a", State::Well);
        metrics.stands("b", State::Refused(Refusal::Budget));
        metrics.tell(&News::Bypassed(Condition::Dead, Duration::from_millis(2100)));
        metrics.tell(&News::Refused(Refusal::Budget, Condition::Dead));
        assert!(!metrics.text().contains("budget_used"), "only the controller knows");
        metrics.budget_used(1.0 / 3.0);
        let text = metrics.text();
        for line in [
            "faultline_hotswitch_pods{state=\"well\"} 1",
            "faultline_hotswitch_pods{state=\"bypassed\"} 0",
            "faultline_hotswitch_switches_total{direction=\"bypass\",reason=\"proxy_dead\"} 1",
            "faultline_hotswitch_refused_total{reason=\"budget\"} 1",
            "faultline_hotswitch_budget_used_ratio 0.333",
            "faultline_hotswitch_refused_total{reason=\"flapping\"} 0",
            "faultline_hotswitch_detect_seconds_bucket{le=\"2\"} 0",
            "faultline_hotswitch_detect_seconds_bucket{le=\"3\"} 1",
        ] {
            assert!(text.lines().any(|of| of == line), "{line} is not in\n{text}");
        }
    }
}
