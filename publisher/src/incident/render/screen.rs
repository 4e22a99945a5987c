//! What `faultline watch` shows people: a line for each event, and below them, on a terminal, one with what is open.

use crate::incident::live::{Live, NO_EVENT_YET, News};
use crate::incident::names;
use crate::incident::units::clock;
use crate::incident::view::Phrase;

use super::paint::{Paint, harmless};

/// The longest name of a proxy that is shown whole, in characters.
const NAME_WIDTH: usize = 28;

/// Goes to the beginning of the terminal's line and erases it.
const ERASE_LINE: &str = "\r\u{1b}[K";

/// Whether the last line shows what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusLine {
    /// On a terminal, where it can be erased.
    Shown,
    /// Where the output is kept.
    Absent,
}

/// How events are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// The colours.
    pub(crate) paint: Paint,
    /// The last line.
    pub(crate) status_line: StatusLine,
}

impl Screen {
    /// What to write before anything has happened.
    pub(crate) fn begin(self) -> String {
        match self.status_line {
            StatusLine::Shown => self.paint.dim(NO_EVENT_YET),
            StatusLine::Absent => String::new(),
        }
    }

    /// What to write when something has: the event's line, and what is open then, on a terminal of `width` columns.
    pub(crate) fn add(self, line: &str, live: &Live, width: usize) -> String {
        match self.status_line {
            StatusLine::Shown => {
                let status = self.paint.dim(&cut(&harmless(&live.status()), width));
                format!("{ERASE_LINE}{line}\n{status}")
            }
            StatusLine::Absent => format!("{line}\n"),
        }
    }

    /// What to write at the end.
    pub(crate) fn end(self) -> &'static str {
        match self.status_line {
            StatusLine::Shown => ERASE_LINE,
            StatusLine::Absent => "",
        }
    }

    /// The line for an event.
    pub(crate) fn line(self, news: &News) -> String {
        let News { proxy, new_day, event, phrase: Phrase { tone, label, text }, json: _ } = news;
        let day = new_day.as_ref().map(|day| format!("{}\n", self.paint.dim(day))).unwrap_or_default();
        let label = self.paint.tone(*tone, &format!("{label:<width$}", width = Phrase::LABEL_WIDTH));
        // The end of a pod's name tells it from its siblings.
        let skipped = proxy.chars().count().saturating_sub(NAME_WIDTH);
        let proxy: String = proxy.chars().skip(skipped).collect();
        let proxy = if proxy.is_empty() { proxy } else { format!("{proxy:<NAME_WIDTH$}  ") };
        let service = names::service(&event.cluster);
        let colon = if service.is_empty() { "" } else { ": " };
        let text = harmless(&format!("{service}{colon}{text}"));
        format!("{day}{}  {}{label}  {text}", clock(event.at), self.paint.dim(&harmless(&proxy)))
    }
}

/// The part of a line that fits: a terminal must not wrap it, or it could not be erased.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() < width {
        line.to_owned()
    } else {
        line.chars().take(width.saturating_sub(2)).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::logs::reader;

    const EJECTED: &str = r#"{"faultline":"endpoint_ejected","ts":"2026-11-20T15:43:09.567Z","cluster":"c","endpoint":"e:1",
        "locality":"r/a","reason":"other","ejection":1,"ejected_endpoints":1,"endpoints":4}"#;

    #[test]
    fn the_last_line_of_a_terminal_is_replaced_and_never_wraps() {
        let screen = Screen { paint: Paint::Off, status_line: StatusLine::Shown };
        let mut live = Live::default();
        let take = |live: &mut Live| {
            let mut news = None;
            let bytes = Box::new(EJECTED.as_bytes());
            reader::read("proxy", bytes, &mut |_, told| {
                news = live.take("proxy", told);
                true
            })
            .unwrap();
            news
        };
        let news = take(&mut live).unwrap();
        assert!(take(&mut live).is_none(), "it came before");
        let line = screen.line(&news);
        assert!(line.starts_with("15:43:09.567  proxy ") && line.contains("c: e:1 in a: out of rotation"), "{line}");
        assert_eq!(screen.add(&line, &live, 80), format!("\r\u{1b}[K{line}\n1 endpoint ejected"));
        assert_eq!(screen.add(&line, &live, 10), format!("\r\u{1b}[K{line}\n1 endpoi…"));
        let piped = Screen { status_line: StatusLine::Absent, ..screen };
        assert_eq!((piped.begin().as_str(), piped.end()), ("", ""));
        assert_eq!(piped.add(&line, &live, 80), format!("{line}\n"));
    }
}
