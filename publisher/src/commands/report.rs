//! `faultline report`: reconstructs an incident from proxies' logs, as a timeline and as a picture.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::anyhow;
use filter_core::config::Duration;
use filter_core::time::Millis;
use wildmatch::WildMatch;

use crate::commands::losses;
use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::files;
use crate::incident::logs::event::{Kind, parse_time};
use crate::incident::logs::input::{self, Input};
use crate::incident::model::Gap;
use crate::incident::render::paint::Paint;
use crate::incident::render::text::Details;
use crate::incident::render::{json, page, text};
use crate::incident::units::count;
use crate::incident::wording::gaps;
use crate::incident::{assemble, names, wording};
use crate::terminal::output::{self, Format};

const DAY_MS: Millis = 86_400_000;

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Reads logs as they come: Envoy's and Istio's text and JSON, what Docker, the kubelet, `kubectl logs --prefix`, stern \
and the journal write, what shippers and stores make of them (Loki, logcli, CloudWatch, Cloud Logging, Elasticsearch, \
OpenTelemetry, Fluent Bit, Vector: JSON on one line or many, arrays, CSV), in UTF-8 or UTF-16, as gzip, zstd or tar; \
several pods mixed, other lines in between. Where records do not name their pod, a file is one proxy's. \
Lines that come twice count once. \
Where events were in the logs and could not be read, that is said with a count, and the exit code is 3.

Examples:
  kubectl logs -l app=mocka -c istio-proxy --prefix --tail=-1 | faultline report
  stern . -c istio-proxy --since 1h --no-follow | faultline report --html incident.html
  faultline report proxy-a.log proxy-b.log.gz --cluster 'mockb*' --since 15:10 --until 15:30
  faultline report proxy.log --output json | jq .headline";

/// What can be typed after `faultline report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Proxies' logs; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write a page with a picture, which needs nothing beside itself, into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print the bars of every service and all that happened, in order, however long that is.
    #[arg(long)]
    pub(crate) details: bool,
    /// Leave out what was earlier: 2026-11-20T15:10:00Z, 15:10[:00] (UTC, on the log's first day), or 10m (before now).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Leave out what was later; written like --since.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only services that match, by Envoy's name of the cluster, its host or the service's short name; `*` and `?` are
    /// wild.
    #[arg(long, value_name = "GLOB")]
    pub(crate) cluster: Option<String>,
}

/// Reads the logs, prints the report and writes the page.
///
/// # Errors
/// When a log cannot be read or the page cannot be written. A log without events is not an error.
pub(crate) fn run(args: Args, format: Format) -> anyhow::Result<Outcome> {
    // A malformed time is refused before hours of log are read.
    let since = args.since.as_deref().map(Limit::read).transpose()?;
    let until = args.until.as_deref().map(Limit::read).transpose()?;
    let mut given = args.files;
    if given.is_empty() {
        if std::io::stdin().is_terminal() {
            output::note(
                "reading a log from standard input; name files, or pipe one in: kubectl logs … | faultline report",
            );
        }
        given.push(PathBuf::from("-"));
    }
    let mut input = input::read(&given)?;
    let all = input.records.len();
    let day = input.records.first().map(|record| record.event.at).unwrap_or_default();
    let (since, until) = (since.map(|limit| limit.on(day)), until.map(|limit| limit.on(day)));
    narrow(&mut input, since, until, args.cluster.as_deref());

    let incident = assemble::incident(&input);
    let view = wording::view(&incident);
    let details = if args.details { Details::All } else { Details::WhereShort };
    match format {
        Format::Json => output::json(&json::report(&view))?,
        Format::Text if input.records.is_empty() => output::result(&nothing(&input, &incident.gaps, all))?,
        Format::Text => {
            output::styled(&text::report(&view, output::width(), Paint::new(output::takes_colours()), details))?
        }
    }
    if input.repeated > 0 {
        output::note(&format!("{} came again and counted once", count(input.repeated, "event")));
    }
    if let Some(path) = &args.html {
        files::write(path, page::report(&view).as_bytes())?;
        output::note(&format!("page written to `{}`", path.display()));
    }
    Ok(losses::outcome(&incident.gaps))
}

/// Drops the events that the user did not ask for.
fn narrow(input: &mut Input, since: Option<Millis>, until: Option<Millis>, cluster: Option<&str>) {
    let glob = cluster.map(WildMatch::new);
    let named = |cluster: &str| {
        let names = [cluster, names::dns_name(cluster), names::service(cluster)];
        // An event about the filter itself concerns every cluster.
        cluster.is_empty() || glob.as_ref().is_none_or(|glob| names.iter().any(|name| glob.matches(name)))
    };
    input.records.retain(|record| {
        let event = &record.event;
        since.is_none_or(|since| event.at >= since)
            && until.is_none_or(|until| event.at <= until)
            && match &event.kind {
                Kind::HotSwitch(_) => named(&event.workload),
                _ => named(&event.cluster),
            }
    });
    if let Some(until) = until {
        input.ends = input.ends.map(|ends| ends.min(until));
    }
}

/// The text for a log of which no event is left.
fn nothing(input: &Input, gaps: &[Gap], all: usize) -> String {
    if all == 0 {
        return gaps::no_events(input.counts.lines, gaps);
    }
    let lines = count(input.counts.lines, "line");
    format!("no faultline events in {lines} that --since, --until and --cluster leave; without them there are {all}")
}

/// A time given on the command line.
enum Limit {
    At(Millis),
    /// Milliseconds since midnight, on the log's first day.
    OnTheDay(Millis),
}

impl Limit {
    fn read(text: &str) -> Result<Self, WrongUsage> {
        let of_day = |text: &str| {
            let full = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_owned() };
            parse_time(&format!("1970-01-01T{full}Z")).filter(|at| *at < DAY_MS)
        };
        let before_now = |text: &str| {
            let ago = Duration::parse(text).ok()?.millis();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
            Millis::try_from(now.as_millis()).ok()?.checked_sub(ago)
        };
        let at = parse_time(text).or_else(|| before_now(text)).map(Self::At);
        at.or_else(|| of_day(text).map(Self::OnTheDay)).ok_or_else(|| {
            WrongUsage(anyhow!(
                "`{text}` is no time; write 2026-11-20T15:10:00Z, 15:10 or 15:10:30 (UTC), or how long ago, such as 10m"
            ))
        })
    }

    /// The time in full; a time of day is taken on the day of `at`.
    fn on(&self, at: Millis) -> Millis {
        match self {
            Self::At(time) => *time,
            Self::OnTheDay(time) => at - at % DAY_MS + time,
        }
    }
}
