//! The one reader of logs: bytes are decoded, split into records, and each record is searched. `report`, `watch` and
//! `events` all read through it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::rc::Rc;

use filter_core::time::Millis;
use memchr::memmem;

use super::envoys::Envoys;
use super::found::{Found, What};
use super::joined::Joiner;
use super::labels::Labels;
use super::part;
use super::parts::{self, Before, Header};
use super::records::{self, Record};
use super::search::Findings;
use super::source::Source;
use super::{cells, decode, search, shapes};

/// Writers whose lines tell of no event, that are remembered.
const MOST_QUIET: usize = 100_000;

/// Lines of the kubelet's that may be open at once.
const MOST_PARTIAL: usize = 1_000;

/// What was read of one text, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines read.
    pub(crate) lines: u64,
    /// Events of which only the beginning is there.
    pub(crate) cut: u64,
    /// Events that lack a time, or have values of wrong types.
    pub(crate) malformed: u64,
    /// What would be events if it were written as JSON.
    pub(crate) look_alikes: u64,
    /// Events that have the time of the record around them, for want of their own.
    pub(crate) times_assumed: u64,
    /// Events that name no proxy, in a text in which others do.
    pub(crate) unnamed: u64,
    /// Texts in which several Envoys wrote at once, and that tell of none which line is whose.
    pub(crate) mixed: u64,
    /// Lines too long to be read.
    pub(crate) too_long: u64,
    /// Files in archives that hold no text.
    pub(crate) no_text: u64,
    /// Texts that end in the middle: a JSON value or a compressed file is cut, or damaged. By name, with the reason.
    pub(crate) damaged: BTreeMap<String, String>,
    /// Texts that say themselves that they are a part of what was asked for. By name, with the reason.
    pub(crate) partial: BTreeMap<String, String>,
    /// Files of which nothing was read, while others were. By name, with the reason.
    pub(crate) unread: BTreeMap<String, String>,
}

impl Counts {
    /// Adds what another text had.
    pub(crate) fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.cut += more.cut;
        self.malformed += more.malformed;
        self.look_alikes += more.look_alikes;
        self.times_assumed += more.times_assumed;
        self.unnamed += more.unnamed;
        self.mixed += more.mixed;
        self.too_long += more.too_long;
        self.no_text += more.no_text;
        self.damaged.extend(more.damaged);
        self.partial.extend(more.partial);
        self.unread.extend(more.unread);
    }

    fn is_damaged(&mut self, file: String, error: &str) {
        self.damaged.insert(file, format!("it is cut or damaged ({error})"));
    }
}

/// What one record told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A proxy whose record this is, whatever it says.
    Proxy(Source),
    /// Something that is or was an event.
    Found(Found),
    /// When the record was written.
    Time(Millis),
    /// A file in the text that names nobody else, so that it is one proxy's.
    File,
    /// A file in an archive that names nobody. It may be anything.
    Entry,
}

/// What takes in what records tell: of which text, by its path in an archive, or as `tail` and `grep` put it before its
/// lines; false when it wants no more.
pub(crate) type Sink<'s> = dyn FnMut(&str, Told) -> bool + 's;

/// Reads everything in these bytes. `name` is what the file is called.
///
/// # Errors
/// When the bytes cannot be read, or hold no text. What ends in the middle is no error, but counted.
pub(crate) fn read(name: &str, bytes: Box<dyn Read + '_>, sink: &mut Sink<'_>) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut begun = false;
    let mut goes_on = true;
    let read = decode::texts(bytes, &mut |text| {
        begun = true;
        match text {
            Err(decode::NoText::Foreign) => counts.no_text += 1,
            Err(decode::NoText::Damaged(entry, error)) => counts.is_damaged(format!("{name}:{entry}"), &error),
            Ok(_) if !goes_on => {}
            Ok(decode::Text { entry, reader }) => {
                let mut text = Text::default();
                let mut tell = |part: &str, told| sink(if part.is_empty() { &entry } else { part }, told);
                let read = records::each(reader, &mut |record| {
                    goes_on = text.take(record, &mut tell);
                    goes_on
                });
                goes_on = goes_on && text.end(&mut tell);
                if goes_on && !entry.is_empty() && !text.names {
                    goes_on = tell("", Told::Entry);
                }
                let of = if entry.is_empty() { name.to_owned() } else { format!("{name}:{entry}") };
                if let Some(why) = text.lacks.take() {
                    text.counts.partial.insert(of.clone(), why);
                }
                if text.unfinished {
                    text.counts.damaged.insert(of, "a JSON value in it has no end".to_owned());
                }
                counts.add(text.finished());
                read?;
            }
        }
        Ok(())
    });
    match read {
        Err(error) if decode::is_damage(&error) => {
            if !begun {
                return Err(io::Error::new(error.kind(), format!("is cut or damaged ({error})")));
            }
            counts.is_damaged(name.to_owned(), &error.to_string());
        }
        read => read?,
    }
    Ok(counts)
}

/// Reads one of so many files. Of several, one that cannot be read is counted, and the others are told.
///
/// # Errors
/// Those of [`read`], if it is the only file; and if it is not there, which is a slip of the keyboard.
pub(crate) fn read_of(
    files: usize,
    name: &str,
    bytes: io::Result<Box<dyn Read + '_>>,
    sink: &mut Sink<'_>,
) -> io::Result<Counts> {
    match bytes.and_then(|bytes| read(name, bytes, sink)) {
        Err(error) if files > 1 && error.kind() != io::ErrorKind::NotFound => {
            let unread = BTreeMap::from([(name.to_owned(), error.to_string())]);
            Ok(Counts { unread, ..Counts::default() })
        }
        read => read,
    }
}

/// What takes in what a text tells: of which file in it, empty where it is one.
type Tell<'s> = dyn FnMut(&str, Told) -> bool + 's;

/// What is known of a text while it is read.
#[derive(Default)]
struct Text {
    counts: Counts,
    unfinished: bool,
    /// Events that name no proxy, and whether any record names one.
    unnamed: u64,
    names: bool,
    /// Who has been told, by hash: a writer is told once.
    quiet: HashSet<u64>,
    /// Lines of the kubelet's that go on in the next of their stream, by file and stream.
    partial: BTreeMap<(Rc<str>, bool), String>,
    joiner: Joiner,
    /// The file that the lines below a header are from, and the one that this line alone is from.
    section: Rc<str>,
    of_line: Option<Rc<str>>,
    before: Before,
    envoys: Envoys,
    /// The files that headers name, and whether their records name proxies.
    files: BTreeMap<Rc<str>, bool>,
    /// Whose the lines below a header are, where it names a container.
    around: Labels,
    has_values: bool,
    /// Why an engine gave nothing, if the record before is its whole answer.
    failed: Option<String>,
    /// Why the text is only a part of what was asked for.
    lacks: Option<String>,
}

impl Text {
    /// Takes a record in; false if the sink wants no more.
    fn take(&mut self, record: records::Counted<'_>, sink: &mut Tell<'_>) -> bool {
        self.counts.lines += record.lines;
        self.of_line = None;
        // Programs log errors of the same shape among other records.
        self.failed = None;
        let findings = match record.record {
            Record::Line(line) => match self.line(&line, sink) {
                Some(findings) => findings,
                None => return true,
            },
            Record::Json(text) => match self.joiner.whole(&self.section, &text) {
                Some(text) => self.value(&text),
                None => return true,
            },
            Record::Row(row, delimiter) => search::row(row, delimiter),
            Record::TooLong => {
                self.counts.too_long += 1;
                return true;
            }
            Record::Unfinished => {
                self.unfinished = true;
                return true;
            }
        };
        self.tell(findings, sink)
    }

    /// Looks at a JSON value, which may be an engine's whole answer.
    fn value(&mut self, text: &str) -> Findings {
        let findings = search::value(text);
        let events = findings.found.len();
        // A record among many is no answer: it holds one event, and others came before it.
        let is_first = !std::mem::replace(&mut self.has_values, true);
        if is_first && events == 0 {
            self.failed = part::of_failure(text);
        } else if is_first || events > 1 {
            self.lacks = self.lacks.take().or_else(|| part::of_answer(text));
        }
        findings
    }

    /// Tells what the end of the text leaves: lines that go on nowhere, and files whose records name nobody.
    fn end(&mut self, sink: &mut Tell<'_>) -> bool {
        self.of_line = None;
        self.lacks = self.lacks.take().or_else(|| self.failed.take());
        for record in self.joiner.unfinished() {
            if !self.tell(search::value(&record), sink) {
                return false;
            }
        }
        for ((file, _), line) in std::mem::take(&mut self.partial) {
            self.of_line = Some(file);
            if !self.tell(search::line(&line), sink) {
                return false;
            }
        }
        let files = std::mem::take(&mut self.files);
        files.iter().filter(|(_, names)| !**names).all(|(file, _)| sink(file, Told::File))
    }

    /// The file that the record is from; empty where the text is one file.
    fn file(&self) -> Rc<str> {
        Rc::clone(self.of_line.as_ref().unwrap_or(&self.section))
    }

    fn tell(&mut self, findings: Findings, sink: &mut Tell<'_>) -> bool {
        let file = self.file();
        if let Some(at) = findings.at
            && !sink(&file, Told::Time(at))
        {
            return false;
        }
        for labels in findings.quiet {
            self.proxy(&labels, sink);
        }
        for mut one in findings.found {
            one.labels.fill(&self.around);
            match one.what {
                What::Cut => self.counts.cut += 1,
                What::Malformed | What::Timeless(_) => self.counts.malformed += 1,
                What::LookAlike => self.counts.look_alikes += 1,
                What::Event(..) => self.counts.times_assumed += u64::from(one.time_assumed),
                What::Remark(_) => {}
            }
            match one.source() {
                Some(_) => self.is_named(),
                None if matches!(one.what, What::Remark(_) | What::LookAlike) => {}
                None => self.unnamed += u64::from(file.is_empty()),
            }
            if !sink(&file, Told::Found(one)) {
                return false;
            }
        }
        true
    }

    /// Notes that a record names its proxy.
    fn is_named(&mut self) {
        self.names = true;
        if let Some(names) = self.files.get_mut(&self.section).filter(|_| self.of_line.is_none()) {
            *names = true;
        }
    }

    /// Goes on to the lines of another file or container.
    fn turn(&mut self, header: Header<'_>, sink: &mut Tell<'_>) {
        (self.section, self.around) = (Rc::default(), Labels::default());
        match header {
            Header::File(path) => {
                self.section = path.into();
                if self.files.len() < MOST_QUIET {
                    self.files.entry(Rc::clone(&self.section)).or_default();
                }
            }
            Header::Container(labels) => {
                self.proxy(&labels, sink);
                self.around = labels;
            }
            Header::End => {}
        }
    }

    /// Looks at a line of text; none if it holds no event.
    fn line(&mut self, line: &str, sink: &mut Tell<'_>) -> Option<Findings> {
        let line = shapes::plain(line);
        if let Some(why) = part::of_line(&line) {
            self.lacks = Some(why);
        }
        // Where one bare name of a file is a header, others are.
        let before = match std::mem::replace(&mut self.before, Before::of(&line)) {
            Before::Text if !self.files.is_empty() => Before::Nothing,
            before => before,
        };
        if let Some(header) = parts::header(&line, before) {
            self.turn(header, sink);
            return None;
        }
        let line = match parts::prefixed(&line) {
            Some(("", line)) => line,
            Some((file, line)) => {
                self.of_line = Some(file.into());
                line
            }
            None => &line,
        };
        if let Some(shapes::Cri { message, is_stderr, goes_on }) = shapes::cri(line) {
            let key = (self.file(), is_stderr);
            let is_open = self.partial.contains_key(&key);
            if is_open || goes_on && self.partial.len() < MOST_PARTIAL {
                let partial = self.partial.entry(key.clone()).or_default();
                if partial.len() < records::MAX_LINE_BYTES {
                    partial.push_str(if partial.is_empty() { line } else { message });
                }
                if goes_on {
                    return None;
                }
                let whole = self.partial.remove(&key).unwrap_or_default();
                return Some(search::line(&whole)).filter(|findings| !findings.found.is_empty());
            }
        }
        let head = shapes::head(line);
        if !head.writer.is_known() && self.section.is_empty() {
            self.envoys.note(line);
        }
        if let Some(at) = head.at {
            sink(&self.file(), Told::Time(at));
        }
        if search::may_hold(line) {
            let findings = search::line(line);
            if !findings.found.is_empty() {
                return Some(findings);
            }
        }
        self.quiet_line(line, &head, sink);
        None
    }

    /// Tells whose a line without an event is.
    fn quiet_line(&mut self, line: &str, head: &shapes::Head<'_>, sink: &mut Tell<'_>) {
        // A pod that the line names tells more than the machine before it.
        let is_column = || !line.starts_with('[') && cells::in_line(line).is_some();
        let names_pod = head.writer.pod.is_empty() && (memmem::find(line.as_bytes(), b"pod").is_some() || is_column());
        let around = if names_pod { Labels::around(line, "") } else { Labels::default() };
        if !around.pod.is_empty() {
            self.proxy(&around, sink);
        } else if head.writer.is_known() {
            self.is_named();
            if self.is_new(&(head.writer, self.file())) {
                let mut labels = head.writer.labels();
                labels.fill(&self.around);
                if let Some(source) = quiet_source(&labels) {
                    sink(&self.file(), Told::Proxy(source));
                }
            }
        }
    }

    /// Tells a proxy whose record has no event.
    fn proxy(&mut self, labels: &Labels, sink: &mut Tell<'_>) {
        if !labels.name().is_empty() || !labels.container.is_empty() {
            self.is_named();
        }
        if let Some(source) = quiet_source(labels)
            && self.is_new(&source)
        {
            sink(&self.file(), Told::Proxy(source));
        }
    }

    fn is_new(&mut self, writer: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        writer.hash(&mut hasher);
        let hash = hasher.finish();
        self.quiet.len() < MOST_QUIET && self.quiet.insert(hash)
    }

    fn finished(mut self) -> Counts {
        if self.names {
            self.counts.unnamed = self.unnamed;
        } else {
            self.counts.mixed = u64::from(self.envoys.are_at_once());
        }
        self.counts
    }
}

/// Who a record without an event is of; nobody where a machine alone is named, on which anything may run.
fn quiet_source(labels: &Labels) -> Option<Source> {
    Source::of(labels).filter(|source| !labels.pod.is_empty() || !source.container.is_empty())
}
