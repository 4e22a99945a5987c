//! What the logs do not hold, and what to do about it.

use filter_core::time::rfc3339;

use crate::incident::model::Gap;
use crate::incident::units::{Clock, count, duration, number, times};

/// What is to be said of a log without a single event: where to look for the reason. `gaps` is what could not be read.
pub(crate) fn no_events(lines: u64, gaps: &[Gap]) -> String {
    let lines = count(lines, "line");
    let lost: Vec<String> = gaps.iter().filter(|gap| gap.is_loss()).map(sentence).collect();
    let is_elsewhere = |gap: &&Gap| matches!(gap, Gap::Partial { .. } | Gap::Unread { .. });
    if !lost.is_empty() && gaps.iter().filter(|gap| gap.is_loss()).all(|gap| is_elsewhere(&gap)) {
        return format!(
            "no faultline events in {lines}, and that is not all that was asked for\n- {}",
            lost.join("\n- ")
        );
    }
    if !lost.is_empty() {
        return format!(
            "no faultline event could be read in {lines}, although there are some\n- {}",
            lost.join("\n- ")
        );
    }
    let said: Vec<String> = gaps.iter().filter(|gap| gap.is_said_by_the_filter()).map(sentence).collect();
    if !said.is_empty() {
        return format!(
            "no faultline events in {lines}; either nothing happened, or not all of it can be told\n- {}",
            said.join("\n- ")
        );
    }
    format!(
        "no faultline events in {lines}\n\
         Either nothing happened, or the events are not in this log. Check that\n\
         - it is the proxy's: `kubectl logs POD -c istio-proxy`, for a gateway its own pod\n\
         - the filter is in that proxy: `faultline_build_info` is in its /stats/prometheus\n\
         - the proxy writes wasm's log at `warning`: `istioctl proxy-config log POD --level wasm:warning`\n\
         - the events were left whole: each is an object with the key \"faultline\", whatever stands before it"
    )
}

/// What of the logs the result lacks, in a sentence; none if it lacks nothing.
pub(crate) fn lost(gaps: &[Gap]) -> Option<String> {
    let lost: Vec<String> = gaps.iter().filter(|gap| gap.is_loss()).map(short).collect();
    (!lost.is_empty()).then(|| lost.join("; "))
}

/// A loss in a few words.
fn short(gap: &Gap) -> String {
    match gap {
        Gap::CutOff { events: 1 } => "1 event could not be read: its line is cut off".to_owned(),
        Gap::CutOff { events } => format!("{} could not be read: their lines are cut off", count(*events, "event")),
        Gap::Malformed { events } => format!("{} could not be read: malformed", count(*events, "event")),
        Gap::NotJson { events: 1 } => "1 event could not be read: it is not written as JSON".to_owned(),
        Gap::NotJson { events } => {
            format!("{} could not be read: they are not written as JSON", count(*events, "event"))
        }
        Gap::TooLong { lines } => format!("{} too long to be read", count(*lines, "line")),
        Gap::Unknown { name, events } => format!("{} `{name}` not understood", count(*events, "event")),
        Gap::Damaged { file, reason } => format!("`{file}` was not read to its end: {reason}"),
        Gap::Partial { file, reason } => format!("`{file}` is only a part of the log: {reason}"),
        Gap::Unread { file, reason } => format!("`{file}` was not read: {reason}"),
        other => sentence(other),
    }
}

fn restarted(gap: &Gap) -> String {
    let Gap::Restarted { proxy, at, lived_until, was_told_to_stop } = gap else { return String::new() };
    let clock = Clock::over(*lived_until, *at);
    let until = if *was_told_to_stop {
        format!("{}, when it stopped", clock.time(*lived_until))
    } else {
        "then: when it ended is not known".to_owned()
    };
    format!("The proxy {proxy} started again at {}. What was open at it before counts until {until}.", clock.time(*at))
}

fn missing_beginnings(gap: &Gap) -> String {
    let Gap::MissingBeginnings { things, failovers, since, told_after } = gap else { return String::new() };
    let why = match since {
        Some(since) => format!("what was before {} was not read", rfc3339(*since)),
        None => "the log begins later, or lines are missing".to_owned(),
    };
    // The log does not have the configuration.
    let told_late = match (failovers, told_after) {
        (0, _) => String::new(),
        (_, Some(late)) => format!(
            ", those of failovers with {} from the last request away to the event, as others in the log have it",
            duration(*late)
        ),
        (_, None) => ", those of failovers with the default 20 s (`failover.window` and `endAfter`) from the last \
                      request away to the event"
            .to_owned(),
    };
    format!(
        "{} ended without having begun: {why}. Their beginnings are reckoned from their durations{told_late}.",
        count(*things, "thing"),
    )
}

fn not_json(gap: &Gap) -> String {
    format!(
        "{}. A program on their way printed them in its own form (single quotes or none, YAML, `key=value`): have it \
         write JSON (in Python `json.dumps`), or read the log before it.",
        short(gap)
    )
}

fn unnamed(events: u64) -> String {
    let (name, was) = if events == 1 { ("names", "was") } else { ("name", "were") };
    format!(
        "{} {name} no proxy, while others in the same log do, and {was} taken as the proxy's that the file is named \
         after.",
        count(events, "event")
    )
}

fn processes(processes: u64, machines: u64, at_once: bool) -> String {
    let on = format!("On {} {} processes", count(machines, "machine"), number(processes));
    if at_once {
        return format!("{on} wrote at the same time: told as a proxy each.");
    }
    format!("{on} wrote one after the other: taken for proxies that started again.")
}

fn mixed(files: u64) -> String {
    let (hold, are) = if files == 1 { ("holds", "it is") } else { ("hold", "each is") };
    format!(
        "{} {hold} lines of several Envoys at once, and none tells whose it is: {are} told as if one had written it. \
         Give each Envoy a log of its own, or keep the pod's name (`kubectl logs --prefix`).",
        count(files, "log"),
    )
}

/// A sentence with its end.
fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A gap in a sentence or two.
pub(crate) fn sentence(gap: &Gap) -> String {
    match gap {
        Gap::Suppressed { events, proxies } => format!(
            "The filter held back {} at {} (limits.eventsPerSecond): some of what happened is not told here; \
             the metrics have it.",
            count(*events, "event"),
            count(*proxies as u64, "proxy"),
        ),
        Gap::MissingBeginnings { .. } => missing_beginnings(gap),
        Gap::MissingEnds(things) => format!(
            "{} began again without having ended: lines are missing, a proxy started again, or the lines of several \
             proxies came without their pods' names (use `kubectl logs --prefix`).",
            count(*things, "thing"),
        ),
        Gap::Restarted { .. } => restarted(gap),
        Gap::MoreRestarts(more) => {
            format!("Proxies started again {} more, with the same effect.", times(*more as usize))
        }
        Gap::Warned { text, proxies } => {
            format!("The filter at {} says: {}", count(*proxies as u64, "proxy"), ended(text))
        }
        Gap::MoreWarnings(more) => format!("The filter says {} more.", count(*more, "thing")),
        Gap::ConfigRejected { error, proxies } => format!(
            "The filter's configuration was rejected at {} and is not in force there: {error}",
            count(*proxies as u64, "proxy"),
        ),
        Gap::CutOff { .. } => {
            format!("{} in the middle. Shippers cut long lines: raise their limit to 16 kB.", short(gap))
        }
        Gap::Malformed { .. } => {
            format!("{}. They lack a time, or have values that the filter does not write.", short(gap))
        }
        Gap::NotJson { .. } => not_json(gap),
        Gap::TooLong { .. } | Gap::Partial { .. } | Gap::Unread { .. } => format!("{}.", short(gap)),
        Gap::Damaged { .. } => format!("{}; what came before is told.", short(gap)),
        Gap::NoText { files } => format!("{} in archives were left out: no text.", count(*files, "file")),
        Gap::Unnamed { events } => unnamed(*events),
        Gap::Doubtful { pods: 1 } => "1 pod or machine named without a container tells no event: whether it runs a \
                                      proxy is not known, and it is not counted."
            .to_owned(),
        Gap::Doubtful { pods } => format!(
            "{} pods or machines named without a container tell no event: whether they run proxies is not known, and \
             they are not counted.",
            number(*pods)
        ),
        Gap::Mixed { files } => mixed(*files),
        Gap::Processes { processes, machines, at_once } => self::processes(*processes, *machines, *at_once),
        Gap::AssumedTimes { events } => {
            let has = if *events == 1 { "has" } else { "have" };
            format!("{} lost the time on the way, and {has} that of the record around it.", count(*events, "event"))
        }
        Gap::Unknown { name, events } => format!(
            "{} `{name}` left out: this version does not know it; use the version that the filter has.",
            count(*events, "event"),
        ),
    }
}
