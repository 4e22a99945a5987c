//! The meaning of each event for the person on call, in one line.

use crate::envoy::events::Event;
use crate::terminal::paint;

/// The event's name, in the colour for good or bad news.
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
    let endpoint = format!("{} in {}", text("endpoint"), text("locality"));
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
                "{endpoint} {failure}, {} in a row; Envoy ejects at {}. Last: {cause}",
                number("streak"),
                number("threshold")
            )
        }
        "endpoint_ejected" => format!(
            "{endpoint} is out of rotation ({}); {} of {} endpoints are out. Envoy stops choosing it",
            text("reason"),
            number("ejected_endpoints"),
            number("endpoints"),
        ),
        "endpoint_returned" => format!("the ejection of {endpoint} is over after {:.1} s", number("ejected_seconds")),
        "endpoint_removed" => format!(
            "{endpoint} left the cluster, or a new host has its address, {:.1} s after it was ejected",
            number("ejected_seconds"),
        ),
        "ejection_blocked" => format!("{endpoint} fails and stays in rotation: {}", text("reason")),
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
            "traffic is back in {}; the last request served away was {:.1} s after the start ({} in all, {} of them \
             failed)",
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
