//! `faultline watch`: follows proxies' logs and prints a line for each event as it happens.
//!
//! Standard input is followed to its end. Files are read from the beginning, so that open ejections and failovers are
//! known, and then as they grow, through rotation and truncation, until Ctrl-C. Both end with a summary of what was
//! seen and what is still open.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use filter_core::time::Millis;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::commands::engine_options::{Asked, EngineOptions};
use crate::commands::losses;
use crate::commands::outcome::Outcome;
use crate::commands::time_limit::{Limit, now};
use crate::incident::live::Live;
use crate::incident::logs::follow::{self, News};
use crate::incident::logs::reader;
use crate::incident::model::Gap;
use crate::incident::render::json;
use crate::incident::render::paint::{Paint, harmless};
use crate::incident::render::screen::{Screen, StatusLine};
use crate::incident::wording::gaps;
use crate::terminal::output::{self, Format};

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Reads the same logs as `faultline report`. On a terminal the last line shows what is open at the moment. \
Times are UTC. With --output json each event is one JSON object with the key \"proxy\" added, which \
`faultline report` reads too. \
What the filter warns of, and that a proxy stops or starts again, comes in between; in JSON its text is under \
\"faultline_remark\".

Examples:
  kubectl logs -f -l app=mocka -c istio-proxy --prefix --max-log-requests 50 | faultline watch
  stern . -c istio-proxy | faultline watch
  faultline watch /var/log/envoy/*.log
  kubectl logs -f deploy/mocka -c istio-proxy | faultline watch --output json | jq -c 'select(.faultline == \
  \"endpoint_ejected\")'";

/// What can be typed after `faultline watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Proxies' logs, followed as they grow; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// With --logs: from when, written as for `report`; the default is now.
    #[arg(long, value_name = "TIME", requires = "logs", visible_alias = "from")]
    pub(crate) since: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineOptions,
}

/// How often an engine is asked for more.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// Records may come into an engine so much later than others of their time; what comes again is told once.
const LATE_MS: Millis = 30_000;

/// What is read ahead of an engine.
const READ_AHEAD: usize = 256;

/// Whose the events of standard input are, where nothing names a proxy; `report` calls it the same.
const STDIN: &str = "stdin";

/// Whether anyone still reads stdout.
#[derive(PartialEq, Eq)]
enum Reader {
    Present,
    Gone,
}

/// Follows the logs until they end or Ctrl-C is pressed.
///
/// # Errors
/// When a log cannot be read.
pub(crate) async fn run(args: Args, format: Format) -> anyhow::Result<Outcome> {
    args.engine.needed_by("--since", args.since.is_some())?;
    let since = args.since.as_deref().map(Limit::read).transpose()?;
    let now = Limit::At(now().saturating_sub(LATE_MS));
    let asked = args.engine.asked(Some(since.as_ref().unwrap_or(&now)), None)?;
    let (mut lines, asking) = match asked {
        Some(asked) => {
            let (sender, receiver) = channel(READ_AHEAD);
            (receiver, Some(ask(asked, sender)))
        }
        None => {
            let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
            (follow::start(files)?, None)
        }
    };
    let asking = async {
        match asking {
            Some(asking) => asking.await,
            None => std::future::pending().await,
        }
    };
    let on_terminal = format == Format::Text && io::stdout().is_terminal();
    let status_line = if on_terminal { StatusLine::Shown } else { StatusLine::Absent };
    let screen = Screen { paint: Paint::new(output::takes_colours()), status_line };
    let mut live = Live::default();
    let _ = write(&screen.begin());
    let ended = tokio::select! {
        ended = print_all(&mut lines, &mut live, screen, format) => ended,
        failed = asking => failed,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(anyhow::Error::from),
    };
    let _ = write(screen.end());
    ended?;
    output::note(&live.no_events().unwrap_or_else(|| harmless(&live.summary())));
    Ok(losses::outcome(&live.unread()))
}

/// Asks an engine again and again, for what has come since.
async fn ask(mut asked: Asked, sender: Sender<io::Result<News>>) -> anyhow::Result<()> {
    // What is no engine, such as a page to sign in, cannot count.
    let records = asked.engine.count(&asked.question).await?;
    loop {
        let (to, name) = (sender.clone(), asked.shown.clone());
        let read = asked.engine.pull(&asked.question, records, &|_| {}, move |bytes| {
            let counts = reader::read(&name, bytes, &mut |_, told| {
                let told = Box::new(told);
                to.blocking_send(Ok(News::Told { file: String::new(), told })).is_ok()
            });
            counts.map(|counts| to.blocking_send(Ok(News::Ended(counts))).is_ok())
        });
        if !read.await?.context("cannot read the answer")? {
            return Ok(());
        }
        tokio::time::sleep(ASK_INTERVAL).await;
        asked.question.from = asked.question.to.saturating_sub(LATE_MS).max(asked.question.from);
        asked.question.to = now();
    }
}

async fn print_all(
    read: &mut Receiver<io::Result<News>>,
    live: &mut Live,
    screen: Screen,
    format: Format,
) -> anyhow::Result<()> {
    while let Some(next) = read.recv().await {
        let (file, told) = match next.context("cannot read the log")? {
            News::Told { file, told } => (file, *told),
            News::Ended(counts) => {
                // The others go on, perhaps for hours.
                if !counts.unread.is_empty() {
                    Gap::of_counts(&counts).iter().for_each(|gap| output::note(&gaps::sentence(gap)));
                }
                live.ended(counts);
                continue;
            }
        };
        let Some(news) = live.take(&file, told) else { continue };
        let line = match format {
            Format::Json => json::event(&news.json, &[("proxy", news.proxy_or(STDIN))]),
            Format::Text => screen.line(&news),
        };
        let written = write(&screen.add(&line, live, output::width())).context("cannot write the result")?;
        if written == Reader::Gone {
            break;
        }
    }
    Ok(())
}

/// Writes to stdout at once, without changes. A closed pipe is not an error but a reason to stop.
fn write(text: &str) -> io::Result<Reader> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        written => written.map(|()| Reader::Present),
    }
}
