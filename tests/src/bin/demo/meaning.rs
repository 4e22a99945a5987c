//! What each event and each metric says to the person on call, in one line.

use tests::events::Event;
use tests::prometheus::{Metrics, Sample};
use tests::zones::CLUSTER;

use crate::paint;

/// The event's name, painted by how good the news is.
pub fn headline(event: &Event) -> String {
    let name = format!("{:<19}", event.name());
    match event.name() {
        "endpoint_returned" | "failover_ended" | "upstream_recovered" => paint::green(&name),
        "error_streak" | "failover_started" | "failover_changed" => paint::yellow(&name),
        _ => paint::red(&name),
    }
}

/// What the event means.
pub fn of_event(event: &Event) -> String {
    let text = |key: &str| event.text(key).to_owned();
    let number = |key: &str| event.number(key).unwrap_or(0.0);
    let place = format!("{} in {}", text("endpoint"), text("locality"));
    match event.name() {
        "error_streak" => {
            let last = &event.fields["last"];
            let cause = match last["transport_failure"].as_str().or(last["details"].as_str()) {
                Some("via_upstream") => format!("an answer of {}", last["code"]),
                Some(cause) => cause.to_owned(),
                None => "no details".to_owned(),
            };
            let failure = match event.text("kind") {
                "local_origin" => "could not be reached",
                "gateway_error" => "answered with a gateway error",
                _ => "answered with an error",
            };
            format!(
                "{place} {failure}, {} in a row; Envoy ejects at {}. Last: {cause}",
                number("streak"),
                number("threshold")
            )
        }
        "endpoint_ejected" => format!(
            "{place} is out of rotation ({}); {} of {} endpoints are out. Envoy stops choosing it",
            text("reason"),
            number("ejected_endpoints"),
            number("endpoints"),
        ),
        "endpoint_returned" => format!("{place} is back in rotation after {:.1} s", number("ejected_seconds")),
        "ejection_blocked" => format!("{place} fails and stays in rotation: {}", text("reason")),
        "failover_started" | "failover_changed" => format!(
            "{:.0} % of the traffic leaves {}, mostly to {} ({}); at home {} of {} endpoints are healthy",
            number("share") * 100.0,
            text("from"),
            text("to"),
            text("tier").replace('_', " "),
            number("healthy_at_home"),
            number("endpoints_at_home"),
        ),
        "failover_ended" => format!(
            "traffic is back in {}; the last request served away was {:.1} s after the start ({} in all, {} of them failed)",
            text("from"),
            number("seconds"),
            number("requests_away"),
            number("errors_away"),
        ),
        "no_healthy_upstream" => {
            format!("none of the {} endpoints is left: clients get 503 at once, nobody is asked", number("endpoints"))
        }
        "upstream_recovered" => format!("after {:.1} s there is an endpoint again", number("seconds")),
        "config_rejected" => format!("the plugin's configuration is wrong: {}", text("error")),
        "events_suppressed" => format!("{} more events were held back", number("count")),
        other => format!("unknown event {other}"),
    }
}

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

/// Prints the metrics with what they are for.
pub fn print_metrics(metrics: &Metrics) {
    paint::note(&format!("All that have the label upstream_cluster are about {CLUSTER}."));
    for (name, purpose) in METRICS {
        println!("   {}  {}", paint::bold(name), paint::dim(purpose));
        let mut samples = metrics.matching(name, &[]).peekable();
        if samples.peek().is_none() {
            println!("   {:>12}  (it appears when it first counts)", "none");
        }
        for sample in samples {
            println!("{}", format!("   {:>12}  {}", trimmed(sample.value), labels(sample)).trim_end());
        }
    }
}

fn trimmed(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn labels(sample: &Sample) -> String {
    // All of it is about one cluster, which has been named.
    let shown = sample.labels.iter().filter(|(k, _)| *k != "upstream_cluster");
    shown.map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}
