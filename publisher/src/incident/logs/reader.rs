//! The one reader of logs: bytes are decoded, split into records, and each record is searched. `report`, `watch` and
//! `events` all read through it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

use filter_core::time::Millis;
use memchr::memmem;

use super::labels::Labels;
use super::records::{self, Record};
use super::search::{self, Findings, Found};
use super::source::Source;
use super::{decode, shapes};

/// Writers whose lines tell of no event, that are remembered.
const MOST_QUIET: usize = 100_000;

/// What was read of one text, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines read.
    pub(crate) lines: u64,
    /// Events of which only the beginning is there.
    pub(crate) cut: u64,
    /// Events that lack a time, or have values of wrong types.
    pub(crate) malformed: u64,
    /// Events that have the time of the record around them, for want of their own.
    pub(crate) times_assumed: u64,
    /// Events that name no proxy, in a text in which others do.
    pub(crate) unnamed: u64,
    /// Lines too long to be read.
    pub(crate) too_long: u64,
    /// Files in archives that hold no text.
    pub(crate) no_text: u64,
    /// Texts that end in the middle: a JSON value or a compressed file is cut, or damaged. By name, with the reason.
    pub(crate) damaged: BTreeMap<String, String>,
}

impl Counts {
    /// Adds what another text had.
    pub(crate) fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.cut += more.cut;
        self.malformed += more.malformed;
        self.times_assumed += more.times_assumed;
        self.unnamed += more.unnamed;
        self.too_long += more.too_long;
        self.no_text += more.no_text;
        self.damaged.extend(more.damaged);
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
}

/// What takes in what records tell: of which text, by its path in an archive; false when it wants no more.
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
            Err(decode::NoText) => counts.no_text += 1,
            Ok(_) if !goes_on => {}
            Ok(decode::Text { entry, reader }) => {
                let mut text = Text::default();
                let read = records::each(reader, &mut |record| {
                    goes_on = text.take(record, &mut |told| sink(&entry, told));
                    goes_on
                });
                let of = if entry.is_empty() { name.to_owned() } else { format!("{name}:{entry}") };
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
        Err(error) if begun && is_damage(&error) => {
            let reason = format!("it is cut or damaged ({error})");
            counts.damaged.insert(name.to_owned(), reason);
        }
        read => read?,
    }
    Ok(counts)
}

/// Whether what was read so far is worth telling.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}

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
    /// Lines of the kubelet's that go on in the next of their stream: of stdout, and of stderr.
    partial: [String; 2],
}

impl Text {
    /// Takes a record in; false if the sink wants no more.
    fn take(&mut self, record: records::Counted<'_>, sink: &mut dyn FnMut(Told) -> bool) -> bool {
        self.counts.lines += record.lines;
        let findings = match record.record {
            Record::Line(line) => match self.line(&line, sink) {
                Some(findings) => findings,
                None => return true,
            },
            Record::Json(text) => search::value(&text),
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

    fn tell(&mut self, findings: Findings, sink: &mut dyn FnMut(Told) -> bool) -> bool {
        if let Some(at) = findings.at
            && !sink(Told::Time(at))
        {
            return false;
        }
        for labels in findings.quiet {
            self.proxy(&labels, sink);
        }
        for one in findings.found {
            match one.what {
                search::What::Cut => self.counts.cut += 1,
                search::What::Malformed | search::What::Timeless(_) => self.counts.malformed += 1,
                search::What::Event(..) => self.counts.times_assumed += u64::from(one.time_assumed),
                search::What::Remark(_) => {}
            }
            match one.source() {
                Some(_) => self.names = true,
                None if matches!(one.what, search::What::Remark(_)) => {}
                None => self.unnamed += 1,
            }
            if !sink(Told::Found(one)) {
                return false;
            }
        }
        true
    }

    /// Looks at a line of text; none if it holds no event.
    fn line(&mut self, line: &str, sink: &mut dyn FnMut(Told) -> bool) -> Option<Findings> {
        let line = shapes::without_colours(line);
        if let Some(shapes::Cri { message, is_stderr, goes_on }) = shapes::cri(&line) {
            let [stdout, stderr] = &mut self.partial;
            let partial = if is_stderr { stderr } else { stdout };
            if goes_on || !partial.is_empty() {
                if partial.len() < records::MAX_LINE_BYTES {
                    partial.push_str(if partial.is_empty() { &line } else { message });
                }
                if goes_on {
                    return None;
                }
                let whole = std::mem::take(partial);
                return Some(search::line(&whole)).filter(|findings| !findings.found.is_empty());
            }
        }
        let head = shapes::head(&line);
        if let Some(at) = head.at {
            sink(Told::Time(at));
        }
        if search::holds(&line) {
            let findings = search::line(&line);
            if !findings.found.is_empty() {
                return Some(findings);
            }
        }
        if head.writer.is_known() {
            self.names = true;
            if self.is_new(&head.writer)
                && let Some(source) = Source::of(&head.writer.labels())
            {
                sink(Told::Proxy(source));
            }
        } else if memmem::find(line.as_bytes(), b"pod").is_some() {
            let labels = Labels::around(&line, "");
            if !labels.pod.is_empty() {
                self.proxy(&labels, sink);
            }
        }
        None
    }

    /// Tells a proxy whose record has no event.
    fn proxy(&mut self, labels: &Labels, sink: &mut dyn FnMut(Told) -> bool) {
        if let Some(source) = Source::of(labels) {
            self.names = true;
            if self.is_new(&source) {
                sink(Told::Proxy(source));
            }
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
        }
        self.counts
    }
}
