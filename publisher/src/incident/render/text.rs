//! The report on a terminal: headline, bars for each service, what happened in order, what to look at, what is missing.

use std::fmt::Write as _;

use filter_core::time::Millis;

use crate::incident::model::Endpoint;
use crate::incident::span::Span;
use crate::incident::units::{clock, clock_seconds};
use crate::incident::view::{MomentView, Phrase, ServiceView, Tone, View};

use super::paint::{Paint, harmless};
use super::scale::Scale;

/// The width of the labels before the bars, in columns.
const GUTTER: usize = 34;

/// The width of the column of times of day.
const CLOCK_WIDTH: usize = 12;

/// Endpoints with a bar in one locality; the rest is summed up.
const MOST_LANES: usize = 10;

/// The whole report, for a terminal of `width` columns; lines have at least 80 and at most 120.
pub(crate) fn report(view: &View<'_>, width: usize, paint: Paint) -> String {
    let mut page = Text { out: String::new(), width: width.clamp(80, 120), paint };
    if let Some(times) = &view.times {
        page.line(&paint.dim(&format!("{} to {} UTC, {}", times.first, times.last, times.lasted)));
    }
    page.line(&paint.dim(&view.read));
    page.out.push('\n');
    for part in wrapped(&harmless(&view.headline), page.width) {
        page.line(&paint.bold(&part));
    }
    for service in &view.services {
        page.service(service);
    }
    page.timeline(view);
    page.suspects(view);
    if !view.gaps.is_empty() {
        page.heading("Gaps");
        for gap in &view.gaps {
            page.item("-", gap);
        }
    }
    page.out
}

/// The text so far.
struct Text {
    out: String,
    /// In columns.
    width: usize,
    paint: Paint,
}

impl Text {
    fn service(&mut self, view: &ServiceView<'_>) {
        let paint = self.paint;
        self.heading(&harmless(&view.service.name));
        let about = format!("{}; seen by {}; {}", view.service.cluster, view.seen_by, view.state);
        for part in wrapped(&harmless(&about), self.width - 2) {
            self.line(&format!("  {}", paint.dim(&part)));
        }
        let scale = Scale::over(view.service.busy());
        let columns = self.width - GUTTER;
        self.line(&format!("{:GUTTER$}{}", "", paint.dim(axis(&scale, columns).trim_end())));
        for locality in &view.localities {
            self.line(&format!("  {}", paint.bold(&harmless(locality.label))));
            let (endpoints, more) = locality.worst(MOST_LANES);
            for endpoint in endpoints {
                let cells = bar(endpoint.endpoint, &scale, columns);
                self.lane(&harmless(&endpoint.endpoint.address), &paint.tone(Tone::Bad, &cells));
            }
            if let Some(more) = more {
                self.line(&format!("    {more}"));
            }
            if let Some(cells) = received(view, locality.locality, &scale, columns) {
                self.lane("receives traffic", &paint.away(&cells));
            }
        }
        if !view.outages.is_empty() {
            let mut cells = vec![' '; columns];
            for outage in &view.outages {
                fill(&mut cells, &scale, outage.outage.period.span, '█', outage.outage.period.open);
            }
            self.lane("no healthy endpoint", &paint.tone(Tone::Bad, &text_of(&cells)));
        }
        self.line(&format!(
            "  {}",
            paint.dim("█ ejected  ┤ left  × failing  ! ejection blocked  ▒ traffic away  → not over")
        ));
        for failover in &view.failovers {
            self.item("traffic", &failover.sentence);
        }
    }

    fn timeline(&mut self, view: &View<'_>) {
        if view.timeline.is_empty() {
            return;
        }
        self.heading("What happened (UTC)");
        for moment in &view.timeline {
            if let Some(day) = &moment.new_day {
                self.line(&format!("  {}", self.paint.dim(day)));
            }
            let service = match moment.moment.service.as_str() {
                name if view.services.len() > 1 && !name.is_empty() => format!("{name}: "),
                _ => String::new(),
            };
            self.moment(moment, &service);
        }
    }

    fn moment(&mut self, view: &MomentView<'_>, service: &str) {
        let reported_by = view.reported_by.as_ref().map(|by| format!(" [{by}]")).unwrap_or_default();
        let Phrase { tone, label, text } = &view.phrase;
        let text = harmless(&format!("{service}{text}{reported_by}"));
        let label = format!("{label:<width$}", width = Phrase::LABEL_WIDTH);
        let indent = 2 + CLOCK_WIDTH + 2 + Phrase::LABEL_WIDTH + 2;
        let mut parts = wrapped(&text, self.width - indent).into_iter();
        let head = format!("  {}  {}  ", view.clock, self.paint.tone(*tone, &label));
        self.line(&format!("{head}{}", parts.next().unwrap_or_default()));
        for part in parts {
            self.line(&format!("{:indent$}{part}", ""));
        }
    }

    fn suspects(&mut self, view: &View<'_>) {
        if view.suspects.is_empty() {
            return;
        }
        self.heading("What to look at first");
        for (n, suspect) in view.suspects.iter().enumerate() {
            self.item(&format!("{}.", n + 1), &format!("{} {}", suspect.endpoint, suspect.sentence));
        }
    }

    fn lane(&mut self, label: &str, cells: &str) {
        let room = GUTTER - 5;
        let label: String = if label.chars().count() > room {
            label.chars().take(room - 1).chain(['…']).collect()
        } else {
            label.to_owned()
        };
        self.line(&format!("    {label:<30}{cells}"));
    }

    fn item(&mut self, mark: &str, text: &str) {
        let indent = 2 + mark.len() + 1;
        for (n, part) in wrapped(&harmless(text), self.width - indent).iter().enumerate() {
            let before = if n == 0 { format!("  {mark} ") } else { " ".repeat(indent) };
            self.line(&format!("{before}{part}"));
        }
    }

    fn heading(&mut self, text: &str) {
        let _ = write!(self.out, "\n{}\n", self.paint.bold(text));
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", text.trim_end());
    }
}

/// When a locality received traffic from another; `None` if it never did.
fn received(view: &ServiceView<'_>, locality: &str, scale: &Scale, columns: usize) -> Option<String> {
    let mut cells = vec![' '; columns];
    let destinations = view.service.failovers.iter().flat_map(|failover| &failover.destinations);
    for destination in destinations.filter(|destination| destination.to == locality) {
        fill(&mut cells, scale, destination.span, '▒', destination.open);
    }
    cells.iter().any(|cell| *cell != ' ').then(|| text_of(&cells))
}

fn bar(endpoint: &Endpoint, scale: &Scale, columns: usize) -> String {
    let mut cells = vec![' '; columns];
    for ejection in &endpoint.ejections {
        fill(&mut cells, scale, ejection.period.span, '█', ejection.period.open);
        if ejection.is_by_removal() {
            cells[column(scale, ejection.period.span.to, columns)] = '┤';
        }
    }
    let marks = endpoint.streaks.iter().map(|streak| (streak.at, '×'));
    for (at, mark) in marks.chain(endpoint.blocked.iter().map(|blocked| (blocked.at, '!'))) {
        // A failure comes with its ejection; it is shown before the bar, where there is room.
        let at = column(scale, at, columns);
        let before = at.saturating_sub(1);
        let free = if cells[at] == '█' && cells[before] == ' ' { before } else { at };
        if cells[free] != '█' {
            cells[free] = mark;
        }
    }
    text_of(&cells)
}

fn fill(cells: &mut [char], scale: &Scale, span: Span, with: char, open: bool) {
    let (from, to) = (column(scale, span.from, cells.len()), column(scale, span.to, cells.len()));
    cells[from..=to].fill(with);
    if open {
        cells[to] = '→';
    }
}

fn column(scale: &Scale, at: Millis, columns: usize) -> usize {
    ((scale.fraction(at) * columns as f64) as usize).min(columns - 1)
}

fn axis(scale: &Scale, columns: usize) -> String {
    let mut cells = vec![' '; columns];
    let fine = scale.ticks(0.2).windows(2).any(|pair| pair[1].at - pair[0].at < 1000);
    for tick in scale.ticks(if fine { 0.25 } else { 0.2 }) {
        let label = if fine { clock(tick.at) } else { clock_seconds(tick.at) };
        let start = ((tick.fraction * columns as f64) as usize).min(columns - label.len());
        if start + label.len() <= columns && cells[start..start + label.len()].iter().all(|cell| *cell == ' ') {
            for (cell, c) in cells[start..].iter_mut().zip(label.chars()) {
                *cell = c;
            }
        }
    }
    for cut in scale.cuts() {
        let middle = ((cut.from + cut.to) / 2.0 * columns as f64) as usize;
        cells[middle.min(columns - 1)] = '≈';
    }
    text_of(&cells)
}

/// The cells without the blanks at their end.
fn text_of(cells: &[char]) -> String {
    let text: String = cells.iter().collect();
    text.trim_end().to_owned()
}

/// Text in lines of at most `width` characters, broken at spaces; a longer word stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last].push_str(space);
            lines[last].push_str(word);
        }
    }
    lines
}
