//! The logs that were given, as one list of events: read, separated by proxy, each counted once.
//!
//! A line tells its proxy, or else its file does. The same lines may come twice, from a file given twice or from
//! `kubectl logs --previous` beside the log that goes on from it: one proxy never writes the same event twice, so equal
//! events of one proxy are one, and files whose events are equal where they overlap are one proxy's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use filter_core::time::Millis;
use flate2::read::MultiGzDecoder;

use super::event::{Event, Kind};
use super::line::{self, Content, Line, Source};

/// A longer line is no event; the rest of it is skipped.
pub(crate) const MAX_LINE_BYTES: u64 = 1 << 20;

/// Which of [`Input::proxies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProxyIndex(usize);

/// An event and the proxy that wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The proxy.
    pub(crate) proxy: ProxyIndex,
    /// The event, without its JSON.
    pub(crate) event: Event,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Events in order of time; those of the same time in the order they were read.
    pub(crate) records: Vec<Record>,
    /// Names of the proxies whose logs these are, whether or not they tell of an event.
    pub(crate) proxies: Vec<String>,
    /// Lines read.
    pub(crate) lines: u64,
    /// Events that came again and were left out.
    pub(crate) repeated: u64,
    /// Lines that hold the beginning of an event only.
    pub(crate) broken: u64,
    /// Events whose names this version does not know, with how many there were.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// The last time that any line tells, event or not. Not by proxy: one that has nothing to say has not ended.
    pub(crate) ends: Option<Millis>,
}

impl Input {
    /// The name of a proxy.
    pub(crate) fn name(&self, proxy: ProxyIndex) -> Option<&String> {
        self.proxies.get(proxy.0)
    }
}

/// Whose log a part of the input is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    /// A pod, from the line or from the name of a kubelet's file.
    Pod(Source),
    /// A file that is one proxy's, without what rotation and compression add to its name.
    File(String),
}

#[derive(Debug, Default)]
struct Log {
    /// Each event with the hash of its text.
    events: Vec<(u64, Event)>,
}

/// Reads files in turn; `-` is standard input.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn read(files: &[impl AsRef<Path>]) -> anyhow::Result<Input> {
    let mut input = Input::default();
    let mut logs: BTreeMap<Key, Log> = BTreeMap::new();
    for file in files {
        let file = file.as_ref();
        let of_file = key_of(file);
        let shown = file.display();
        let what = || format!("cannot read the log `{shown}`");
        let reader: Box<dyn Read> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(file).with_context(what)?)
        };
        let mut reader = plain(reader).with_context(what)?;
        let mut others = false;
        while let Some(line) = next_line(&mut reader).with_context(what)? {
            input.lines += 1;
            let line = line::read(&line);
            others |= line.source.is_some();
            take(&mut input, &mut logs, &of_file, line);
        }
        // A file whose lines name nobody is one proxy's, even if it has nothing to tell.
        if !others {
            logs.entry(of_file).or_default();
        }
    }
    let names = merge(&mut logs);
    input.proxies = names.values().cloned().collect();
    let mut seen = HashSet::new();
    for (proxy, key) in names.keys().enumerate().map(|(index, key)| (ProxyIndex(index), key)) {
        for (hash, event) in logs.remove(key).unwrap_or_default().events {
            if seen.insert((proxy, hash)) {
                input.records.push(Record { proxy, event });
            } else {
                input.repeated += 1;
            }
        }
    }
    input.records.sort_by_key(|record| record.event.at);
    Ok(input)
}

fn take(input: &mut Input, logs: &mut BTreeMap<Key, Log>, of_file: &Key, line: Line) {
    let event = match line.content {
        Content::Event(event) if event.kind == Kind::Unknown => {
            *input.unknown.entry(event.name).or_default() += 1;
            None
        }
        Content::Event(event) => Some(*event),
        Content::Broken => {
            input.broken += 1;
            None
        }
        Content::Foreign => None,
    };
    input.ends = input.ends.max(event.as_ref().map(|event| event.at)).max(line.at);
    // Of a line that tells neither an event nor whose it is, there is nothing to keep.
    if event.is_none() && line.source.is_none() {
        return;
    }
    let log = logs.entry(line.source.map_or_else(|| of_file.clone(), Key::Pod)).or_default();
    if let Some(mut event) = event {
        let hash = fingerprint(&event);
        event.json = serde_json::Value::Null;
        log.events.push((hash, event));
    }
}

/// What makes two events equal: all they say, in whatever order.
pub(crate) fn fingerprint(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.json.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Puts the logs together that are one proxy's, leaves out those of containers that are no proxies, and names the rest.
fn merge(logs: &mut BTreeMap<Key, Log>) -> BTreeMap<Key, String> {
    let files: Vec<Key> = logs.keys().filter(|key| matches!(key, Key::File(_))).cloned().collect();
    for (i, first) in files.iter().enumerate() {
        for second in files.iter().skip(i + 1) {
            let same = match (logs.get(first), logs.get(second)) {
                (Some(a), Some(b)) => same_proxy(&a.events, &b.events),
                _ => false,
            };
            if same && let (Some(more), Some(log)) = (logs.remove(second), logs.get_mut(first)) {
                log.events.extend(more.events);
            }
        }
    }
    // What runs in the same container as a proxy that wrote an event is a proxy too, in another pod.
    let container = |key: &Key| match key {
        Key::Pod(source) if !source.container.is_empty() => Some(source.container.clone()),
        _ => None,
    };
    let of_proxies: BTreeSet<String> =
        logs.iter().filter(|(_, log)| !log.events.is_empty()).filter_map(|(key, _)| container(key)).collect();
    logs.retain(|key, log| {
        !log.events.is_empty()
            || matches!(key, Key::File(_))
            || container(key).is_some_and(|container| of_proxies.contains(&container))
    });

    let short = |key: &Key| match key {
        Key::Pod(source) => source.pod.clone(),
        Key::File(path) => path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned(),
    };
    let long = |key: &Key| match key {
        Key::Pod(source) => format!("{} {}", source.pod, source.container),
        Key::File(path) => path.clone(),
    };
    let mut bearers: HashMap<String, usize> = HashMap::new();
    for key in logs.keys() {
        *bearers.entry(short(key)).or_default() += 1;
    }
    let name = |key: &Key| if bearers.get(&short(key)) == Some(&1) { short(key) } else { long(key) };
    logs.keys().map(|key| (key.clone(), name(key))).collect()
}

/// Whether two logs say the same where they overlap in time, and say something there.
fn same_proxy(a: &[(u64, Event)], b: &[(u64, Event)]) -> bool {
    let range = |log: &[(u64, Event)]| {
        let times = || log.iter().map(|(_, event)| event.at);
        Some((times().min()?, times().max()?))
    };
    let (Some((a_from, a_to)), Some((b_from, b_to))) = (range(a), range(b)) else { return false };
    let overlap = a_from.max(b_from)..=a_to.min(b_to);
    let within = |log: &[(u64, Event)]| -> HashSet<u64> {
        log.iter().filter(|(_, event)| overlap.contains(&event.at)).map(|(hash, _)| *hash).collect()
    };
    let (a, b) = (within(a), within(b));
    // At the ends of the overlap one may hold more of the same millisecond than the other.
    !a.is_disjoint(&b) && (a.is_subset(&b) || b.is_subset(&a))
}

/// The proxy that a file belongs to, by its name: a kubelet's, or any with what rotation and compression add to it.
fn key_of(file: &Path) -> Key {
    if file == Path::new("-") {
        return Key::File("stdin".into());
    }
    let part = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    // /var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log
    let folder = part(file.parent().and_then(Path::parent));
    if let [namespace, pod, _] = folder.split('_').collect::<Vec<_>>()[..] {
        return Key::Pod(Source { pod: format!("{namespace}/{pod}"), container: part(file.parent()) });
    }
    let mut stem = file.to_string_lossy().into_owned();
    while let Some((rest, extension)) = stem.rsplit_once('.') {
        let added = ["gz", "log", "txt", "json", "jsonl", "ndjson", "previous", "prev"].contains(&extension);
        let number = !extension.is_empty() && extension.len() <= 3 && extension.bytes().all(|b| b.is_ascii_digit());
        // An address is no rotated file: the number comes after an extension.
        if rest.is_empty() || rest.ends_with('/') || !(added || number && rest.contains(".log")) {
            break;
        }
        stem.truncate(rest.len());
    }
    let stem = stem.strip_suffix("-previous").unwrap_or(&stem).to_owned();
    Key::File(stem)
}

/// A reader of what is inside, if it is compressed by gzip.
fn plain(reader: Box<dyn Read>) -> io::Result<Box<dyn BufRead>> {
    let mut reader = BufReader::new(reader);
    let gzip = reader.fill_buf()?.starts_with(b"\x1f\x8b");
    Ok(if gzip { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { Box::new(reader) })
}

/// The next line, without its end, cut to [`MAX_LINE_BYTES`]; what is not UTF-8 in it is replaced.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE_BYTES {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Key {
        Key::File(path.into())
    }

    #[test]
    fn a_proxy_is_named_by_its_file_without_what_rotation_adds() {
        for path in
            ["logs/mocka.log", "logs/mocka.log.1", "logs/mocka.log.12.gz", "logs/mocka-previous.log", "logs/mocka"]
        {
            assert_eq!(key_of(Path::new(path)), file("logs/mocka"), "{path}");
        }
        assert_eq!(key_of(Path::new("10.0.0.1")), file("10.0.0.1"));
        assert_eq!(key_of(Path::new(".log")), file(".log"));
        let kubelet = key_of(Path::new("/var/log/pods/shop_mocka-1_0f3c/istio-proxy/0.log"));
        assert_eq!(kubelet, Key::Pod(Source { pod: "shop/mocka-1".into(), container: "istio-proxy".into() }));
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let text = [vec![b'x'; MAX_LINE_BYTES as usize + 7], b"\nnext \xff\r\nlast".to_vec()].concat();
        let mut reader = BufReader::new(&text[..]);
        assert_eq!(next_line(&mut reader).unwrap().unwrap().len() as u64, MAX_LINE_BYTES);
        assert_eq!(next_line(&mut reader).unwrap().as_deref(), Some("next \u{fffd}"));
        assert_eq!(next_line(&mut reader).unwrap().as_deref(), Some("last"));
        assert_eq!(next_line(&mut reader).unwrap(), None);
    }
}
