//! The logs that were given, as one list of events: read, separated by proxy, each counted once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use filter_core::time::Millis;

use super::event::{Kept, Kind, Name};
use super::found::What;
use super::named::{self, Key};
use super::processes::{self, Processes};
use super::proxies::{self, Log, Logs};
use super::reader::{self, Counts, Told};
use super::remark::{Remark, Said};
use super::source::Source;
use super::turns::{self, Turn};

/// Which of [`Input::proxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProxyIndex(usize);

/// An event and the proxy that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The proxy.
    pub(crate) proxy: ProxyIndex,
    /// The event.
    pub(crate) event: Kept,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Events in order of time; those of the same time in the order they were read.
    pub(crate) records: Vec<Record>,
    /// Names of the proxies whose logs these are, whether or not they tell of an event.
    pub(crate) proxies: Vec<String>,
    /// The Kubernetes cluster of each of them; empty where nothing tells.
    pub(crate) kubernetes_clusters: Vec<String>,
    /// From when on there are events because the user wanted no earlier ones.
    pub(crate) since: Option<Millis>,
    /// Whether an engine gave it, which leaves out proxies that have nothing to tell.
    pub(crate) is_of_engine: bool,
    /// When each proxy ended and began, in order of time.
    pub(crate) turns: Vec<(ProxyIndex, Turn)>,
    /// What the filter warned of, and at how many proxies.
    pub(crate) warnings: BTreeMap<Name, usize>,
    /// Pods and machines that are named without a container and have no event, so that they may run a proxy or not.
    pub(crate) doubtful: u64,
    /// Processes that wrote on one machine, and what they were taken for.
    pub(crate) processes: Processes,
    /// What was read, and what could not be.
    pub(crate) counts: Counts,
    /// Events that came again and were left out.
    pub(crate) repeated: u64,
    /// Events whose names this version does not know, with how many there were.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// The last time that any record tells, event or not. Not by proxy: one that has nothing to say has not ended.
    pub(crate) ends: Option<Millis>,
}

impl Input {
    /// The Kubernetes cluster that a proxy is in; empty where nothing tells.
    pub(crate) fn kubernetes_cluster(&self, proxy: ProxyIndex) -> &str {
        self.kubernetes_clusters.get(proxy.0).map_or("", String::as_str)
    }

    /// Each proxy, and the Kubernetes cluster that it is in; empty where nothing tells.
    pub(crate) fn places(&self) -> impl Iterator<Item = (ProxyIndex, &str)> {
        self.kubernetes_clusters.iter().enumerate().map(|(index, place)| (ProxyIndex(index), place.as_str()))
    }

    /// The name of a proxy.
    pub(crate) fn name(&self, proxy: ProxyIndex) -> Option<&String> {
        self.proxies.get(proxy.0)
    }
}

/// Opens a file; `-` is standard input.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open(file: &Path) -> io::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    if file.is_dir() {
        let words = format!("is a directory: name the files in it, such as `{}`", file.join("*").display());
        return Err(io::Error::new(io::ErrorKind::IsADirectory, words));
    }
    Ok(Box::new(std::fs::File::open(file)?))
}

/// Refuses to tell of files of which none could be read.
///
/// # Errors
/// With the reason of each.
pub(crate) fn all_unread(files: usize, counts: &Counts) -> anyhow::Result<()> {
    if counts.unread.is_empty() || counts.unread.len() < files {
        return Ok(());
    }
    let reasons: Vec<String> = counts.unread.iter().map(|(file, reason)| format!("`{file}` {reason}")).collect();
    Err(anyhow::anyhow!("cannot read any of the {files} logs: {}", reasons.join("; ")))
}

/// Whose the events are that no record names the proxy of, file by file: by names as short as they can be without two
/// files having the same.
#[derive(Default)]
pub(crate) struct FileNames {
    names: HashMap<Key, String>,
    taken: HashSet<String>,
}

impl FileNames {
    /// With the files that are known from the beginning.
    pub(crate) fn of(files: &[impl AsRef<Path>]) -> Self {
        let mut keys: BTreeSet<Key> = files.iter().map(|file| named::key_of(file.as_ref())).collect();
        let rotated = |key: &Key| newer(key).is_some_and(|newer| keys.contains(&newer));
        let older: Vec<Key> = keys.iter().filter(|key| rotated(key)).cloned().collect();
        keys.retain(|key| !older.contains(key));
        let names: HashMap<Key, String> = proxies::names(keys.iter()).into_iter().collect();
        Self { taken: names.values().cloned().collect(), names }
    }

    /// With the files, and the files in these, as [`read`] names them.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn of_contents(files: &[impl AsRef<Path>]) -> anyhow::Result<Self> {
        let mut reading = Reading::of(files)?;
        let mut known = Self::of(files);
        processes::merge(&mut reading.logs);
        known.names.extend(proxies::merge(&mut reading.logs).0);
        known.taken = known.names.values().cloned().collect();
        Ok(known)
    }

    /// The proxy that the name of a file tells, or of an entry in it; nobody for standard input.
    pub(crate) fn source(&mut self, file: &Path, entry: &str) -> Source {
        if file == Path::new("-") && entry.is_empty() {
            return Source::default();
        }
        let key = named::key_in(file, entry);
        let key = newer(&key).filter(|newer| self.names.contains_key(newer)).unwrap_or(key);
        match &key {
            Key::Pod(source) => source.clone(),
            Key::File(stem) => {
                let taken = &mut self.taken;
                let pod = self.names.entry(key.clone()).or_insert_with(|| {
                    let forms = named::names_of(stem);
                    let free = forms.iter().find(|form| !taken.contains(*form));
                    let name = free.or(forms.last()).cloned().unwrap_or_default();
                    taken.insert(name.clone());
                    name
                });
                Source { pod: pod.clone(), ..Source::default() }
            }
        }
    }
}

/// The file that a rotated one goes on in.
fn newer(key: &Key) -> Option<Key> {
    match key {
        Key::File(stem) => named::unrotated(stem).map(|rest| Key::File(rest.to_owned())),
        Key::Pod(_) => None,
    }
}

/// Reads files in turn; `-` is standard input.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn read(files: &[impl AsRef<Path>]) -> anyhow::Result<Input> {
    Ok(Reading::of(files)?.finish())
}

/// What has been read so far.
#[derive(Default)]
pub(crate) struct Reading {
    input: Input,
    logs: Logs,
}

impl Reading {
    /// Reads files in turn.
    fn of(files: &[impl AsRef<Path>]) -> anyhow::Result<Self> {
        let mut reading = Self::default();
        for file in files {
            reading.add_of(files.len(), file.as_ref(), open(file.as_ref()))?;
        }
        all_unread(files.len(), &reading.input.counts)?;
        Ok(reading)
    }

    /// Reads a log; `file` is what it is called.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn add(&mut self, file: &Path, bytes: Box<dyn Read + '_>) -> anyhow::Result<()> {
        self.add_of(1, file, Ok(bytes))
    }

    fn add_of(&mut self, files: usize, file: &Path, bytes: io::Result<Box<dyn Read + '_>>) -> anyhow::Result<()> {
        let shown = file.display().to_string();
        // A file whose records name nobody is one proxy's, even if it has nothing to tell.
        let mut names_others = false;
        let own = named::key_of(file);
        let (input, logs) = (&mut self.input, &mut self.logs);
        let counts = reader::read_of(files, &shown, bytes, &mut |entry, told| {
            names_others |= !entry.is_empty();
            let key = || if entry.is_empty() { own.clone() } else { named::key_in(file, entry) };
            take(input, logs, &key, told, &mut names_others);
            true
        });
        let counts = counts.with_context(|| format!("cannot read the log `{shown}`"))?;
        let is_read = counts.unread.is_empty();
        input.counts.add(counts);
        if !names_others && is_read {
            logs.entry(own).or_default();
        }
        Ok(())
    }

    /// Everything that was read, separated by proxy.
    pub(crate) fn finish(self) -> Input {
        let Self { mut input, mut logs } = self;
        let names;
        input.processes = processes::merge(&mut logs);
        (names, input.doubtful) = proxies::merge(&mut logs);
        input.proxies = names.values().cloned().collect();
        let place = |key: &Key| match key {
            Key::Pod(source) => source.cluster.clone(),
            Key::File(_) => String::new(),
        };
        input.kubernetes_clusters = names.keys().map(place).collect();
        let mut seen = HashSet::new();
        input.records.reserve_exact(logs.values().map(|log| log.events.len()).sum());
        for (index, key) in names.keys().enumerate() {
            let proxy = ProxyIndex(index);
            seen.clear();
            let log = logs.remove(key).unwrap_or_default();
            input.turns.extend(turns::placed(&log.events, &log.turns).into_iter().map(|turn| (proxy, turn)));
            log.warnings.into_iter().for_each(|text| *input.warnings.entry(text).or_default() += 1);
            for event in log.events {
                if seen.insert(event.mark) {
                    input.records.push(Record { proxy, event });
                } else {
                    input.repeated += 1;
                }
            }
        }
        input.records.sort_by_key(|record| record.event.at);
        input.turns.sort_by_key(|(_, turn)| *turn);
        input
    }
}

/// Takes in what a record told; `file`: whose it is, by the file that it is from.
fn take(input: &mut Input, logs: &mut Logs, file: &dyn Fn() -> Key, told: Told, names_others: &mut bool) {
    let found = match told {
        Told::Time(at) => {
            input.ends = input.ends.max(Some(at));
            return;
        }
        Told::Proxy(source) => {
            *names_others = true;
            logs.entry(Key::Pod(source)).or_default();
            return;
        }
        Told::File => {
            logs.entry(file()).or_default();
            return;
        }
        Told::Entry => {
            if let key @ Key::Pod(_) = file() {
                logs.entry(key).or_default();
            }
            return;
        }
        Told::Found(found) => found,
    };
    let key = match found.source_by_process() {
        Some(source) => {
            *names_others = true;
            Key::Pod(source)
        }
        None => file(),
    };
    let logged_at = found.logged_at();
    let log: &mut Log = logs.entry(key).or_default();
    match found.what {
        What::Event(event, _) => {
            input.ends = input.ends.max(Some(event.at));
            if event.kind == Kind::Unknown {
                *input.unknown.entry(event.name.to_string()).or_default() += 1;
            } else {
                log.events.push(event);
            }
        }
        What::Malformed | What::Timeless(_) | What::Cut | What::LookAlike => log.unread += 1,
        What::Remark(remark) if remark.said == Said::Warning => {
            if !remark.is_harmless() {
                log.warnings.insert(remark.text);
            }
        }
        What::Remark(remark) => {
            let at = remark.at.or(logged_at);
            log.turns.push((log.events.len(), Remark { at, ..remark }));
        }
    }
}
