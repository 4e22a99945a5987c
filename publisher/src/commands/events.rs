//! `faultline events`: prints just the events that logs hold, as JSON lines, for jq and everything else.

use std::collections::HashSet;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read, StdoutLock, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::commands::engine_options::EngineOptions;
use crate::commands::losses;
use crate::commands::outcome::Outcome;
use crate::commands::time_limit::Limit;
use crate::incident::logs::found::{Found, What};
use crate::incident::logs::input::{self, FileNames};
use crate::incident::logs::reader::{self, Counts, Told};
use crate::incident::logs::source::Source;
use crate::incident::model::Gap;
use crate::incident::render::json;
use crate::incident::units::count;
use crate::incident::wording::gaps;
use crate::terminal::output;

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Reads the same logs as `faultline report`. Each event is printed as it was logged, as one JSON object a line, with \
these keys added where they are known: \"pod\", \"namespace\", \"container\" and \"kubernetes_cluster\", from what \
stands around the event (\"pod\" from the file's name where nothing does), and \"source\", the file. An event that one \
proxy tells twice is printed once. What could not be read is said on stderr, with a count, and the exit code is 3.

Examples:
  kubectl logs -l app=mocka -c istio-proxy --prefix --tail=-1 | faultline events | jq -r '[.ts, .pod] | @tsv'
  logcli query -o jsonl '{container=\"istio-proxy\"} |= \"faultline\"' | faultline events > events.jsonl
  faultline events bug-report.tar.gz proxy-a.log.zst | jq -c 'select(.faultline == \"endpoint_ejected\")'";

/// What can be typed after `faultline events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Proxies' logs; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// With --logs: from when, 2026-11-20T15:10:00Z, 15:10[:00] (UTC, today), or 10m (before now); the default is 1h.
    #[arg(long, value_name = "TIME", requires = "logs", visible_alias = "from")]
    pub(crate) since: Option<String>,
    /// With --logs: until when; written like --since.
    #[arg(long, value_name = "TIME", requires = "logs", visible_alias = "to")]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineOptions,
}

/// Prints the events of all files, in the order in which they stand there, or those that an engine has.
///
/// # Errors
/// When a log cannot be read. A log without events is not an error.
pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    args.engine.needed_by("--since", args.since.is_some())?;
    args.engine.needed_by("--until", args.until.is_some())?;
    let since = args.since.as_deref().map(Limit::read).transpose()?;
    let until = args.until.as_deref().map(Limit::read).transpose()?;
    let printed = match args.engine.asked(since.as_ref(), until.as_ref())? {
        Some(asked) => {
            let name = asked.shown.clone();
            let counted = asked.engine.count(&asked.question).await?;
            let printing = asked.read(counted, move |bytes| {
                let mut printer = Printer::new();
                printer.read(1, Path::new(&name), &name, Ok(bytes)).map(|counts| printer.finish(counts))
            });
            let printed = printing.await??;
            // Whoever reads may have what it wanted.
            if printed.failed.is_none() {
                asked.must_be_all(printed.counts.lines, counted)?;
            }
            printed
        }
        None => of_files(args.files)?,
    };
    match printed.failed {
        // Whoever reads has what it wanted.
        Some(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Outcome::Done),
        Some(error) => return Err(error).context("cannot write the result"),
        None => {}
    }
    let gaps = Gap::of_counts(&printed.counts);
    if printed.events == 0 {
        output::note(&gaps::no_events(printed.counts.lines, &gaps));
    } else {
        gaps.iter().for_each(|gap| output::note(&gaps::sentence(gap)));
    }
    if printed.repeated > 0 {
        output::note(&format!("{} came again and printed once", count(printed.repeated, "event")));
    }
    Ok(losses::outcome(&gaps))
}

/// Prints the events of files in turn.
fn of_files(mut given: Vec<PathBuf>) -> anyhow::Result<Printed> {
    if given.is_empty() {
        if io::stdin().is_terminal() {
            output::note(
                "reading a log from standard input; name files, or pipe one in: kubectl logs … | faultline events",
            );
        }
        given.push(PathBuf::from("-"));
    }
    let mut printer = Printer { names: FileNames::of(&given), unread: Some(given.clone()), ..Printer::new() };
    let mut counts = Counts::default();
    for file in &given {
        let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
        counts.add(printer.read(given.len(), file, &shown, input::open(file))?);
        if printer.failed.is_some() {
            break;
        }
    }
    input::all_unread(given.len(), &counts)?;
    Ok(printer.finish(counts))
}

/// What was printed.
struct Printed {
    counts: Counts,
    events: u64,
    repeated: u64,
    failed: Option<io::Error>,
}

/// Where events go.
struct Printer<W> {
    out: W,
    names: FileNames,
    /// The files whose contents may yet have to be looked at for names.
    unread: Option<Vec<PathBuf>>,
    /// Of every event that was printed: by whom, and what.
    seen: HashSet<(Option<Source>, String, u64)>,
    events: u64,
    repeated: u64,
    failed: Option<io::Error>,
}

impl Printer<BufWriter<StdoutLock<'static>>> {
    /// Prints to standard output.
    fn new() -> Self {
        let out = BufWriter::new(io::stdout().lock());
        Self {
            out,
            names: FileNames::default(),
            unread: None,
            seen: HashSet::new(),
            events: 0,
            repeated: 0,
            failed: None,
        }
    }
}

impl<W: Write> Printer<W> {
    /// Prints the events of one of so many logs.
    fn read(
        &mut self,
        files: usize,
        file: &Path,
        shown: &str,
        bytes: io::Result<Box<dyn Read + '_>>,
    ) -> anyhow::Result<Counts> {
        let read = reader::read_of(files, shown, bytes, &mut |entry, told| match told {
            Told::Found(found) => self.print(file, shown, entry, found),
            Told::Proxy(_) | Told::Time(_) | Told::File | Told::Entry => true,
        });
        read.with_context(|| format!("cannot read the log `{}`", file.display()))
    }

    /// Learns the names of all files in the files, so that each is called as `faultline report` calls it. A stream
    /// cannot be read twice; what cannot be read is told when its turn comes.
    fn look_ahead(&mut self) {
        if let Some(files) = self.unread.take().filter(|files| files.iter().all(|file| file.is_file()))
            && let Ok(names) = FileNames::of_contents(&files)
        {
            self.names = names;
        }
    }

    fn finish(mut self, counts: Counts) -> Printed {
        if let Err(error) = self.out.flush() {
            self.failed.get_or_insert(error);
        }
        Printed { counts, events: self.events, repeated: self.repeated, failed: self.failed }
    }

    /// Prints an event; false if nobody reads any more.
    fn print(&mut self, file: &Path, shown: &str, entry: &str, found: Found) -> bool {
        let source = found.source();
        let What::Event(event, json) = found.what else { return true };
        let from = if entry.is_empty() { shown.to_owned() } else { format!("{shown}:{entry}") };
        let of_file = if source.is_some() { String::new() } else { from.clone() };
        if !self.seen.insert((source.clone(), of_file, event.mark)) {
            self.repeated += 1;
            return true;
        }
        let source = source.unwrap_or_else(|| {
            if !entry.is_empty() {
                self.look_ahead();
            }
            self.names.source(file, entry)
        });
        let added = [
            ("pod", source.pod.as_str()),
            ("namespace", &source.namespace),
            ("container", &source.container),
            ("kubernetes_cluster", &source.cluster),
            ("source", &from),
        ];
        self.events += 1;
        match writeln!(self.out, "{}", json::event(&json, &added)).and_then(|()| self.out.flush()) {
            Ok(()) => true,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}
