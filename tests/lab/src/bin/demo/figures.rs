//! The metrics that the demo shows, and what each means to the person on call.

use lab::envoy::metrics::{Metrics, Sample};
use lab::terminal::paint;
use lab::zones::CLUSTER;

/// The metrics that an operator looks at first, and what each is for.
const METRICS: [(&str, &str); 12] = [
    ("faultline_attempts_total", "every attempt, by where it went and what it counted as: the base of error rates"),
    (
        "faultline_retried_requests_total",
        "requests that Envoy tried more than once: how much is hidden from an HTTP filter",
    ),
    ("faultline_error_streaks_total", "how often a row of errors reached Envoy's threshold, by kind"),
    ("faultline_ejections_total", "alert on its increase: an endpoint of yours was taken out, and why"),
    ("faultline_ejected_endpoints", "how many are out right now; 0 when all is well"),
    ("faultline_failovers_total", "how often traffic left its home, and where to"),
    ("faultline_failover_active", "1 while it does: the owner of the service wants to know"),
    ("faultline_failover_seconds_total", "for how long, summed up: what an outage cost in distance"),
    ("faultline_no_healthy_upstream_total", "how often nothing was left: page somebody"),
    ("faultline_tracked_endpoints", "how many endpoints the filter keeps in mind, bounded by its configuration"),
    ("faultline_open_findings", "streaks, ejections and failovers that are not over; 0 when all is well"),
    ("faultline_build_info", "which version of the filter runs where: watch a rollout by it"),
];

/// Prints the metrics and their purpose.
pub(crate) fn print_metrics(metrics: &Metrics) {
    paint::note(&format!("All that have the label upstream_cluster are about {CLUSTER}."));
    for (name, purpose) in METRICS {
        paint::note(&format!("{}  {}", paint::bold(name), paint::dim(purpose)));
        let mut samples = metrics.matching(name, &[]).peekable();
        if samples.peek().is_none() {
            paint::note(&format!("{:>12}  (it appears when it first counts)", "none"));
        }
        for sample in samples {
            paint::note(format!("{:>12}  {}", trimmed(sample.value), labels(sample)).trim_end());
        }
    }
}

fn trimmed(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn labels(sample: &Sample) -> String {
    // All of it is about one cluster, which was already named.
    let shown = sample.labels.iter().filter(|(k, _)| *k != "upstream_cluster");
    shown.map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}
