//! `faultline report`: from proxies' logs to the incident: what happened, in order and in a picture.
//!
//! Reading order: [`line`] (one line of a log), [`input`] (all lines, by proxy, each event once), [`event`], [`trace`] (what each
//! proxy saw), [`incident`] (what it was together) with [`span`]; [`words`], [`phrase`], [`story`], [`timeline`] (how it is said);
//! [`text`] with [`paint`], and [`page`] with [`picture`] (how it is shown), both on [`scale`].
//!
//! Not here: anything that asks a cluster or a metric. A report can be written long after, from what was kept.

pub mod event;
mod incident;
pub mod input;
pub mod line;
mod markup;
mod page;
pub mod paint;
pub mod phrase;
mod picture;
mod scale;
mod span;
mod story;
mod text;
mod timeline;
mod trace;
pub mod words;

use std::io::IsTerminal;
use std::path::PathBuf;

use filter_core::duration::Duration;
use filter_core::time::Millis;
use wildmatch::WildMatch;

use crate::commands::outcome::Outcome;
use crate::files;
use crate::terminal::output::{self, Format};

use incident::Incident;
use input::Input;
use paint::Paint;

/// Examples and what is worth knowing.
pub const HELP: &str = "\
Reads logs as they come: Envoy's text, Istio's text and JSON, Docker's and the kubelet's files, `kubectl logs --prefix`, stern; \
several pods mixed, other lines in between, compressed by gzip or not. Where lines do not name their pod, a file is one proxy's. \
Lines that come twice count once.

Examples:
  kubectl logs -l app=mocka -c istio-proxy --prefix --tail=-1 | faultline report
  stern . -c istio-proxy --since 1h --no-follow | faultline report --html incident.html
  faultline report proxy-a.log proxy-b.log.gz --cluster 'mockb*' --since 15:10 --until 15:30
  faultline report proxy.log --output json | jq .headline";

/// `faultline report`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Proxies' logs; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write a page with a picture, which needs nothing beside itself, into this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Leave out what was earlier: 2026-11-20T15:10:00Z, 15:10[:00] (UTC, on the log's first day), or 10m (before now).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Leave out what was later; written like --since.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only services that match, by Envoy's name of the cluster, its host or the service's short name; `*` and `?` are wild.
    #[arg(long, value_name = "GLOB")]
    pub cluster: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When a log cannot be read or the page cannot be written. That nothing happened is none.
pub fn run(args: Args, format: Format) -> anyhow::Result<Outcome> {
    // A malformed time is known before hours of log are read.
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

    let incident = Incident::of(&input);
    match format {
        Format::Json => output::json(&incident)?,
        Format::Text if input.records.is_empty() => output::result(&nothing(&input, all))?,
        Format::Text => output::result(&text::report(&incident, output::width(), Paint::stdout()))?,
    }
    if input.repeated > 0 {
        output::note(&format!("{} came again and counted once", words::count(input.repeated, "event")));
    }
    if let Some(path) = &args.html {
        files::write(path, page::of(&incident).as_bytes())?;
        output::note(&format!("page written to `{}`", path.display()));
    }
    Ok(Outcome::Done)
}

fn narrow(input: &mut Input, since: Option<Millis>, until: Option<Millis>, cluster: Option<&str>) {
    let glob = cluster.map(WildMatch::new);
    input.records.retain(|record| {
        let event = &record.event;
        let named = |glob: &WildMatch| {
            let cluster = event.cluster.as_str();
            // An event of the filter itself is about every cluster.
            cluster.is_empty() || [cluster, words::host(cluster), words::short(cluster)].iter().any(|n| glob.matches(n))
        };
        since.is_none_or(|since| event.at >= since)
            && until.is_none_or(|until| event.at <= until)
            && glob.as_ref().is_none_or(named)
    });
    if let Some(until) = until {
        input.ends = input.ends.map(|ends| ends.min(until));
    }
}

/// What to say where there is nothing to tell: where to look for the reason.
fn nothing(input: &Input, all: usize) -> String {
    let lines = words::count(input.lines, "line");
    if all > 0 {
        return format!(
            "no faultline events in {lines} that --since, --until and --cluster leave; without them there are {all}"
        );
    }
    let broken = if input.broken > 0 { format!(" ({} cut off in an event)", input.broken) } else { String::new() };
    format!(
        "no faultline events in {lines}{broken}\n\
         Either nothing happened, or the events are not in this log. Check that\n\
         - it is the proxy's: `kubectl logs POD -c istio-proxy`, for a gateway its own pod\n\
         - the filter is in that proxy: `faultline_build_info` is in its /stats/prometheus\n\
         - the proxy writes wasm's log at `warning`: `istioctl proxy-config log POD --level wasm:warning`\n\
         - the events were left whole: each is an object with the key \"faultline\", whatever stands before it"
    )
}

/// A time on the command line.
enum Limit {
    At(Millis),
    /// Milliseconds since midnight.
    OnTheDay(Millis),
}

impl Limit {
    fn read(text: &str) -> Result<Self, crate::commands::options::WrongUsage> {
        const DAY: Millis = 86_400_000;
        let of_day = |text: &str| {
            let full = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_owned() };
            event::moment(&format!("1970-01-01T{full}Z")).filter(|at| *at < DAY)
        };
        let before_now = |text: &str| {
            let ago = Duration::parse(text).ok()?.millis();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
            Millis::try_from(now.as_millis()).ok()?.checked_sub(ago)
        };
        let at = event::moment(text).or_else(|| before_now(text)).map(Self::At);
        at.or_else(|| of_day(text).map(Self::OnTheDay)).ok_or_else(|| {
            crate::commands::options::WrongUsage(anyhow::anyhow!(
                "`{text}` is no time; write 2026-11-20T15:10:00Z, 15:10 or 15:10:30 (UTC), or how long ago, such as 10m"
            ))
        })
    }

    /// The time, on the day of `at` if it tells none.
    fn on(&self, at: Millis) -> Millis {
        match self {
            Self::At(time) => *time,
            Self::OnTheDay(time) => at - at % 86_400_000 + time,
        }
    }
}
