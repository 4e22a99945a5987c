//! What the logs do not hold, and what to do about it.

use crate::incident::model::Gap;
use crate::incident::units::count;

/// What is to be said of a log without a single event: where to look for the reason. `broken` is the number of lines
/// that are cut off in an event.
pub(crate) fn no_events(lines: u64, broken: u64) -> String {
    let broken = if broken > 0 { format!(" ({broken} cut off in an event)") } else { String::new() };
    format!(
        "no faultline events in {}{broken}\n\
         Either nothing happened, or the events are not in this log. Check that\n\
         - it is the proxy's: `kubectl logs POD -c istio-proxy`, for a gateway its own pod\n\
         - the filter is in that proxy: `faultline_build_info` is in its /stats/prometheus\n\
         - the proxy writes wasm's log at `warning`: `istioctl proxy-config log POD --level wasm:warning`\n\
         - the events were left whole: each is an object with the key \"faultline\", whatever stands before it",
        count(lines, "line")
    )
}

/// A gap in a sentence or two.
pub(super) fn sentence(gap: &Gap) -> String {
    match gap {
        Gap::Suppressed { events, proxies } => format!(
            "The filter held back {} at {} (limits.eventsPerSecond): some of what happened is not told here; \
             the metrics have it.",
            count(*events, "event"),
            count(*proxies as u64, "proxy"),
        ),
        Gap::MissingBeginnings(things) => format!(
            "{} ended without having begun: the log begins later, or lines are missing. Their beginnings are \
             reckoned from their durations.",
            count(*things, "thing"),
        ),
        Gap::MissingEnds(things) => format!(
            "{} began again without having ended: lines are missing, or the lines of several proxies came \
             without their pods' names (use `kubectl logs --prefix`).",
            count(*things, "thing"),
        ),
        Gap::ConfigRejected { error, proxies } => format!(
            "The filter's configuration was rejected at {} and is not in force there: {error}",
            count(*proxies as u64, "proxy"),
        ),
        Gap::CutOff { lines } => {
            format!("{} cut off in the middle of an event and could not be read.", count(*lines, "line"))
        }
        Gap::Unknown { name, events } => format!(
            "{} `{name}` left out: this version does not know it; use the version that the filter has.",
            count(*events, "event"),
        ),
    }
}
