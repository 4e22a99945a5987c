//! What the logs do not hold, and what to do about it.

use crate::incident::model::Gap;
use crate::incident::units::count;

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
