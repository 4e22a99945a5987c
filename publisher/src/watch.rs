//! `faultline watch`: follows proxies' logs and says what happens as it happens, a line for each event.
//!
//! Standard input is followed to its end. Files are read from the beginning, so that what is open is known, and then as they grow,
//! through rotation and truncation, until one presses Ctrl-C; then, as at the end, it says what was seen and what is still open.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::commands::outcome::Outcome;
use crate::report::event::{Event, Kind};
use crate::report::input::{fingerprint, next_line};
use crate::report::line::{self, Content};
use crate::report::paint::{Paint, harmless};
use crate::report::{phrase, words};
use crate::terminal::output::{self, Format};

/// Examples and what is worth knowing.
pub const HELP: &str = "\
Reads the same logs as `faultline report`. On a terminal the last line shows what is open at the moment. With --output json each \
event is one JSON object with the key \"proxy\" added, which `faultline report` reads too.

Examples:
  kubectl logs -f -l app=mocka -c istio-proxy --prefix --max-log-requests 50 | faultline watch
  stern . -c istio-proxy | faultline watch
  faultline watch /var/log/envoy/*.log
  kubectl logs -f deploy/mocka -c istio-proxy | faultline watch --output json | jq -c 'select(.faultline == \"endpoint_ejected\")'";

/// How often a file is looked at for more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Events that are remembered, so that what comes again after a broken connection is not told again.
const REMEMBERED: usize = 10_000;

/// The longest name of a proxy that is shown whole.
const NAME_WIDTH: usize = 28;

/// `faultline watch`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Proxies' logs, followed as they grow; `-`, or none, is standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// A line, with the file it is of.
type Read = io::Result<(String, String)>;

/// Runs it until the input ends or Ctrl-C.
///
/// # Errors
/// When a log cannot be read.
pub async fn run(args: Args, format: Format) -> anyhow::Result<Outcome> {
    let (sender, mut receiver) = channel(256);
    let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
    for file in files {
        let named = || format!("cannot read the log `{}`", file.display());
        // A file that is not there is a slip of the keyboard; one that goes away later is being rotated.
        let opened = if file == Path::new("-") { None } else { Some(File::open(&file).with_context(named)?) };
        let sender = sender.clone();
        // On threads of their own: neither a pipe nor a file can be waited for otherwise.
        std::thread::spawn(move || match opened {
            None => follow_stdin(&sender),
            Some(opened) => follow_file(&file, opened, &sender),
        });
    }
    drop(sender);
    let mut screen = Screen::new(format);
    let ended = tokio::select! {
        ended = show_all(&mut receiver, &mut screen) => ended,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(anyhow::Error::from),
    };
    screen.clear();
    ended?;
    output::note(&screen.state.summary());
    Ok(Outcome::Done)
}

async fn show_all(receiver: &mut Receiver<Read>, screen: &mut Screen) -> anyhow::Result<()> {
    while let Some(read) = receiver.recv().await {
        let (file, line) = read.context("cannot read the log")?;
        if !screen.line(&file, &line)? {
            break;
        }
    }
    Ok(())
}

fn follow_stdin(sender: &Sender<Read>) {
    let mut reader = io::stdin().lock();
    while let Some(read) = next_line(&mut reader).transpose() {
        let failed = read.is_err();
        if sender.blocking_send(read.map(|line| (String::new(), line))).is_err() || failed {
            return;
        }
    }
}

/// Reads what is there and then what is added, as `tail -F` does. Only whole lines are told.
fn follow_file(path: &Path, file: File, sender: &Sender<Read>) {
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    let mut at = 0;
    let mut next = None;
    loop {
        match file.read_until(b'\n', &mut line) {
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
            Ok(read) => at += read as u64,
        }
        if line.last() == Some(&b'\n') {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            line.clear();
            if sender.blocking_send(Ok((name.clone(), text))).is_err() {
                return;
            }
            continue;
        }
        if let Some(next) = next.take() {
            file = BufReader::new(next);
            at = 0;
            line.clear();
            continue;
        }
        std::thread::sleep(LOOK_AGAIN);
        let shorter = file.get_ref().metadata().is_ok_and(|now| now.len() < at);
        if shorter && file.seek(SeekFrom::Start(0)).is_ok() {
            at = 0;
            line.clear();
        } else {
            // Before another file is begun, this one is read to its end once more: it may have grown since the last look.
            next = moved(path, file.get_ref());
        }
    }
}

/// The file that is at the path now, if it is another one.
#[cfg(unix)]
fn moved(path: &Path, open: &File) -> Option<File> {
    use std::os::unix::fs::MetadataExt;
    let (there, here) = (std::fs::metadata(path).ok()?, open.metadata().ok()?);
    ((there.dev(), there.ino()) != (here.dev(), here.ino())).then(|| File::open(path).ok())?
}

/// Where files have no number, only truncation is noticed.
#[cfg(not(unix))]
fn moved(_: &Path, _: &File) -> Option<File> {
    None
}

/// What is shown, and where.
struct Screen {
    format: Format,
    paint: Paint,
    /// Whether there is a terminal, and so a line with what is open.
    status: bool,
    state: State,
}

impl Screen {
    fn new(format: Format) -> Self {
        let status = format == Format::Text && io::stdout().is_terminal();
        let screen = Self { format, paint: Paint::stdout(), status, state: State::default() };
        if status {
            let mut stdout = io::stdout().lock();
            let _ = write!(stdout, "{}", screen.paint.dim("no event yet")).and_then(|()| stdout.flush());
        }
        screen
    }

    /// Takes a line in; false when nobody reads any more.
    fn line(&mut self, file: &str, line: &str) -> anyhow::Result<bool> {
        let line = line::read(line);
        let Content::Event(event) = line.content else { return Ok(true) };
        let proxy = line.source.map_or_else(|| file.to_owned(), |source| source.pod);
        if !self.state.take(&proxy, &event) {
            return Ok(true);
        }
        let text = match self.format {
            Format::Json => normalised(&proxy, *event),
            Format::Text => self.sentence(&proxy, &event),
        };
        let mut stdout = io::stdout().lock();
        let clear = if self.status { "\r\u{1b}[K" } else { "" };
        let status = if self.status { self.paint.dim(&cut(&self.state.status())) } else { String::new() };
        let written = write!(stdout, "{clear}{text}\n{status}").and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true).context("cannot write the result"),
        }
    }

    fn sentence(&self, proxy: &str, event: &Event) -> String {
        let phrase = phrase::of(event);
        let label = self.paint.tone(phrase.tone, &format!("{:<width$}", phrase.label, width = phrase::LABEL_WIDTH));
        // The end of a pod's name tells it from its brothers.
        let skipped = proxy.chars().count().saturating_sub(NAME_WIDTH);
        let proxy: String = proxy.chars().skip(skipped).collect();
        let proxy = if proxy.is_empty() { proxy } else { format!("{proxy:<NAME_WIDTH$}  ") };
        let service = words::short(&event.cluster);
        let colon = if service.is_empty() { "" } else { ": " };
        let text = harmless(&format!("{service}{colon}{}", phrase.text));
        format!("{}  {}{label}  {text}", words::clock(event.at), self.paint.dim(&harmless(&proxy)))
    }

    fn clear(&self) {
        if self.status {
            let mut stdout = io::stdout().lock();
            let _ = write!(stdout, "\r\u{1b}[K").and_then(|()| stdout.flush());
        }
    }
}

/// The event on one line, with its proxy.
fn normalised(proxy: &str, event: Event) -> String {
    let mut json = event.json;
    if let Value::Object(object) = &mut json
        && !proxy.is_empty()
    {
        object.insert("proxy".into(), proxy.into());
    }
    json.to_string()
}

/// What has been seen and what is open.
#[derive(Default)]
struct State {
    remembered: HashSet<(String, u64)>,
    oldest_first: VecDeque<(String, u64)>,
    proxies: BTreeSet<String>,
    events: u64,
    ejections: u64,
    failovers: u64,
    /// By proxy, cluster and endpoint.
    ejected: BTreeSet<(String, String, String)>,
    /// By proxy and cluster, where to.
    away: BTreeMap<(String, String), String>,
    /// By proxy and cluster.
    without: BTreeSet<(String, String)>,
}

impl State {
    /// Takes an event in; false if it came before.
    fn take(&mut self, proxy: &str, event: &Event) -> bool {
        let mark = (proxy.to_owned(), fingerprint(event));
        if !self.remembered.insert(mark.clone()) {
            return false;
        }
        self.oldest_first.push_back(mark);
        if self.oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.remembered.remove(&oldest);
        }
        self.events += 1;
        self.proxies.insert(proxy.to_owned());
        let cluster = (proxy.to_owned(), event.cluster.clone());
        let endpoint = (proxy.to_owned(), event.cluster.clone(), event.endpoint.clone());
        match &event.kind {
            Kind::EndpointEjected { .. } => {
                self.ejections += 1;
                self.ejected.insert(endpoint);
            }
            Kind::EndpointReturned { .. } => {
                self.ejected.remove(&endpoint);
            }
            Kind::FailoverStarted(route) => {
                self.failovers += 1;
                self.away.insert(cluster, route.to.clone());
            }
            Kind::FailoverChanged(route) => {
                self.away.insert(cluster, route.to.clone());
            }
            Kind::FailoverEnded { .. } => {
                self.away.remove(&cluster);
            }
            Kind::NoHealthyUpstream { .. } => {
                self.without.insert(cluster);
            }
            Kind::UpstreamRecovered { .. } => {
                self.without.remove(&cluster);
            }
            _ => {}
        }
        true
    }

    /// What is open, each endpoint and service once, however many proxies have it.
    fn status(&self) -> String {
        let ejected: BTreeSet<&str> = self.ejected.iter().map(|(_, _, endpoint)| endpoint.as_str()).collect();
        let away: BTreeSet<String> = self
            .away
            .iter()
            .map(|((_, cluster), to)| harmless(&format!("{} → {}", words::short(cluster), words::place(to))))
            .collect();
        let without: BTreeSet<&str> = self.without.iter().map(|(_, cluster)| words::short(cluster)).collect();
        let mut open = Vec::new();
        if !away.is_empty() {
            open.push(format!("away: {}", some(away.iter().map(String::as_str))));
        }
        if !ejected.is_empty() {
            open.push(format!("{} ejected", words::count(ejected.len() as u64, "endpoint")));
        }
        if !without.is_empty() {
            open.push(harmless(&format!("nothing healthy: {}", some(without.iter().copied()))));
        }
        if open.is_empty() { "all is well".to_owned() } else { open.join("; ") }
    }

    fn summary(&self) -> String {
        format!(
            "{} of {}: {}, {}; now: {}",
            words::count(self.events, "event"),
            words::count(self.proxies.len() as u64, "proxy"),
            words::count(self.ejections, "ejection"),
            words::count(self.failovers, "failover"),
            self.status()
        )
    }
}

/// A line that a terminal does not break, which could not be taken back.
fn cut(line: &str) -> String {
    let width = output::width();
    if line.chars().count() < width {
        line.to_owned()
    } else {
        line.chars().take(width.saturating_sub(2)).chain(['…']).collect()
    }
}

/// The first few, so that a line stays a line.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let few: Vec<&str> = names.take(2).collect();
    if count > few.len() { format!("{} and {} more", few.join(", "), count - few.len()) } else { few.join(", ") }
}
