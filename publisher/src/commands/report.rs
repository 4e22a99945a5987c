//! `faultline report`: reconstructs an incident from proxies' logs, as a timeline and as a picture.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use filter_core::time::{Millis, rfc3339};
use wildmatch::WildMatch;

use crate::commands::engine_options::{Asked, EngineOptions};
use crate::commands::losses;
use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::commands::time_limit::Limit;
use crate::files;
use crate::incident::fleet::Fleet;
use crate::incident::logs::event::Kind;
use crate::incident::logs::input::{self, Input, Reading};
use crate::incident::model::Gap;
use crate::incident::render::paint::Paint;
use crate::incident::render::text::Details;
use crate::incident::render::{json, page, text};
use crate::incident::units::count;
use crate::incident::window::Window;
use crate::incident::wording::gaps;
use crate::incident::{assemble, names, wording};
use crate::terminal::output::{self, Format};

/// So many incidents of a fleet are in the result, unless all are asked for.
const MOST_INCIDENTS: usize = 20;

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
    #[arg(long, value_name = "TIME", visible_alias = "from")]
    pub(crate) since: Option<String>,
    /// Leave out what was later; written like --since.
    #[arg(long, value_name = "TIME", visible_alias = "to")]
    pub(crate) until: Option<String>,
    /// Only services that match, by Envoy's name of the cluster, its host or the service's short name; `*` and `?` are
    /// wild.
    #[arg(long, value_name = "GLOB")]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineOptions,
    /// Of more events than this only some proxies' logs are read, and the engine computes the numbers of all.
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 300_000,
        requires = "logs",
        help_heading = "Logs in an engine"
    )]
    pub(crate) most: u64,
}

/// Reads the logs, prints the report and writes the page.
///
/// # Errors
/// When a log cannot be read or the page cannot be written. A log without events is not an error.
pub(crate) async fn run(args: Args, format: Format) -> anyhow::Result<Outcome> {
    // A malformed time is refused before hours of log are read.
    let since = args.since.as_deref().map(Limit::read).transpose()?;
    let until = args.until.as_deref().map(Limit::read).transpose()?;
    let asked = args.engine.asked(since.as_ref(), until.as_ref())?;
    let of_question = asked.as_ref().map(|asked| (asked.question.from, asked.question.to));
    let (mut input, fleet) = match asked {
        Some(asked) => of_engine(asked, args.most).await?,
        None => (of_files(&args.files)?, None),
    };
    let all = input.records.len();
    let day = input.records.first().map(|record| record.event.at).unwrap_or_default();
    let (since, until) = match of_question {
        // No event is newer than now.
        Some((since, to)) => (Some(since), until.map(|_| to)),
        None => (since.map(|limit| limit.on(day)), until.map(|limit| limit.on(day))),
    };
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        let [since, until] = [since, until].map(|at| rfc3339(at.unwrap_or_default()));
        return Err(WrongUsage(anyhow!("--since {since} is not before --until {until}")).into());
    }
    leave(&mut input, args.cluster.as_deref());
    let window = Window::narrow(&mut input, since, until);

    let mut fleet = match fleet {
        Some(fleet) => Fleet { timeline_of: input.proxies.len() as u64, ..fleet },
        None => Fleet::of(&input, &window),
    };
    let is_fleet = fleet.is_large() || fleet.is_sampled();
    let incident = assemble::incident(&input, &window);
    let view = if fleet.is_sampled() { wording::view_of_some(&incident, &fleet) } else { wording::view(&incident) };
    // What is said of the whole is said of all of it, so nothing is left out before.
    if !args.details {
        fleet.shorten(MOST_INCIDENTS);
    }
    let fleet = Some(&fleet).filter(|_| is_fleet);
    let details = if args.details { Details::All } else { Details::WhereShort };
    match format {
        Format::Json => output::json(&json::report(&view, fleet, details))?,
        Format::Text if input.records.is_empty() && incident.services.is_empty() => {
            output::result(&nothing(&input, &incident.gaps, all, of_question))?
        }
        Format::Text => {
            let paint = Paint::new(output::takes_colours());
            output::styled(&text::report(&view, fleet, output::width(), paint, details))?
        }
    }
    if input.repeated > 0 {
        output::note(&format!("{} came again and counted once", count(input.repeated, "event")));
    }
    if let Some(path) = &args.html {
        files::write(path, page::report(&view, fleet).as_bytes())?;
        output::note(&format!("page written to `{}`", path.display()));
    }
    Ok(losses::outcome(&incident.gaps))
}

fn of_files(files: &[PathBuf]) -> anyhow::Result<Input> {
    if !files.is_empty() {
        return input::read(files);
    }
    if std::io::stdin().is_terminal() {
        output::note(
            "reading a log from standard input; name files, or pipe one in: kubectl logs … | faultline report",
        );
    }
    input::read(&["-"])
}

/// What an engine has: all events, or of too many the numbers and some proxies' logs.
async fn of_engine(asked: Asked, most: u64) -> anyhow::Result<(Input, Option<Fleet>)> {
    let counted = asked.engine.count(&asked.question).await?;
    if counted <= most {
        // What was going on when that time begins began before.
        let (asked, counted) = with_hour_before(asked, counted, most).await;
        return Ok((pulled(&asked, counted).await?, None));
    }
    let (fleet, sample) = asked.engine.numbers(&asked.question).await.with_context(|| {
        let events = count(counted, "event");
        format!(
            "there are {events}, more than are read at once, and their numbers cannot be computed; ask for a shorter \
             time or less by --query, or read all with --most {counted}"
        )
    })?;
    let sample = Asked { question: sample, ..asked };
    let counted = sample.engine.count(&sample.question).await?;
    Ok((pulled(&sample, counted).await?, Some(fleet)))
}

/// The question from an hour earlier on, as what was going on when its time begins began before, and how many records
/// that are. Where they are too many or cannot be counted, as where an engine answers for a limited time only, it is
/// said, and the question stays as it is.
async fn with_hour_before(asked: Asked, counted: u64, most: u64) -> (Asked, u64) {
    let longer = asked.question.with_hour_before();
    let why = match asked.engine.count(&longer).await {
        Ok(of_longer) if of_longer <= most => return (Asked { question: longer, ..asked }, of_longer),
        Ok(of_longer) => {
            format!("with it there are {}, and --most is {most}", count(of_longer, "event"))
        }
        Err(error) => format!("{error:#}"),
    };
    output::note(&format!(
        "the hour before was not read, so what was going on at {} may not be told: {why}",
        rfc3339(asked.question.from)
    ));
    (asked, counted)
}

/// All that an engine has, which counted so many records.
async fn pulled(asked: &Asked, counted: u64) -> anyhow::Result<Input> {
    let name = asked.shown.clone();
    let input = asked.read(counted, move |bytes| {
        let mut reading = Reading::default();
        reading.add(Path::new(&name), bytes).map(|()| reading.finish())
    });
    let input = input.await??;
    asked.must_be_all(input.counts.lines, counted)?;
    // What is not over then was seen going on until then, however long ago the last event was.
    let (since, ends) = (Some(asked.question.from), Some(asked.question.to));
    Ok(Input { is_of_engine: true, since, ends, ..input })
}

/// Leaves only the events of the clusters that were asked for.
fn leave(input: &mut Input, cluster: Option<&str>) {
    let Some(glob) = cluster.map(WildMatch::new) else { return };
    let named = |cluster: &str| {
        let names = [cluster, names::dns_name(cluster), names::service(cluster)];
        // An event about the filter itself concerns every cluster.
        cluster.is_empty() || names.iter().any(|name| glob.matches(name))
    };
    input.records.retain(|record| match &record.event.kind {
        Kind::HotSwitch(_) => named(&record.event.workload),
        _ => named(&record.event.cluster),
    });
}

/// The text for a log of which no event is left; an engine was asked about a time of its own.
fn nothing(input: &Input, gaps: &[Gap], all: usize, of_question: Option<(Millis, Millis)>) -> String {
    if all == 0 {
        return gaps::no_events(input.counts.lines, gaps);
    }
    if let Some((since, to)) = of_question {
        let [since, to] = [since, to].map(rfc3339);
        let read = count(all as u64, "event");
        return format!(
            "no faultline events from {since} to {to} of what was asked for, and nothing that went on then; {read} in \
             what was read, the hour before with it"
        );
    }
    let lines = count(input.counts.lines, "line");
    format!("no faultline events in {lines} that --since, --until and --cluster leave; without them there are {all}")
}
