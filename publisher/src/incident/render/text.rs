//! The report on a terminal: headline, bars for each service, what happened in order, what to look at, what is missing.

use std::cmp::Reverse;
use std::fmt::Write as _;

use filter_core::time::Millis;

use crate::incident::fleet::Fleet;
use crate::incident::model::Endpoint;
use crate::incident::span::Span;
use crate::incident::units::{self, Clock, clock_seconds, count, day};
use crate::incident::view::{MomentView, Phrase, ServiceView, Tone, View};

use super::paint::{Paint, harmless};
use super::scale::Scale;
use crate::incident::wording::fleet;

/// The width of the labels before the bars, in columns.
const GUTTER: usize = 34;

/// The width of the column of times of day.
const CLOCK_WIDTH: usize = 12;

/// Of a service's name as many characters stand in the summary.
const MOST_NAME: usize = 40;

/// Endpoints with a bar in one locality; the rest is summed up.
const MOST_LANES: usize = 10;

/// The whole report, for a terminal of `width` columns; lines have at least 80 and at most 120.
pub(crate) fn report(view: &View<'_>, fleet: Option<&Fleet>, width: usize, paint: Paint, details: Details) -> String {
    let mut page = Text { out: String::new(), width: width.clamp(80, 120), paint };
    if let Some(times) = &view.times {
        page.line(&paint.dim(&format!("{} to {} UTC, {}", times.first, times.last, times.lasted)));
    }
    let sampled = fleet.filter(|fleet| fleet.is_sampled());
    page.line(&paint.dim(&view.read));
    page.out.push('\n');
    for part in wrapped(&harmless(&view.headline), page.width) {
        page.line(&paint.bold(&part));
    }
    if let Some(going_on) = &view.going_on {
        page.heading(&going_on.heading);
        going_on.sentences.iter().for_each(|sentence| page.item("-", sentence));
    }
    let whole = details == Details::All || (fleet.is_none() && is_short(view));
    if let Some(fleet) = fleet {
        page.fleet(fleet, details);
    }
    if whole && let Some(fleet) = sampled {
        page.heading(&format!("What follows is of {}", count(fleet.timeline_of, "proxy")));
    }
    if view.services.len() > 1 && (fleet.is_none() || whole) {
        page.summary(view);
    }
    if whole {
        for service in &view.services {
            page.service(service, view.clock);
        }
        page.timeline(view);
    }
    if !view.bypasses.is_empty() {
        page.heading("Proxies that failed, and hot-switch");
        for bypass in &view.bypasses {
            page.item("-", bypass);
        }
    }
    if sampled.is_none() {
        page.suspects(view);
    }
    if !view.gaps.is_empty() {
        page.heading("Gaps");
        for gap in &view.gaps {
            page.item("-", gap);
        }
    }
    if !whole {
        let (services, moments) = (view.services.len() as u64, view.timeline.len() as u64);
        let left_out = format!(
            "Left out: the bars of {} and {} of what happened, in order. `--details` prints them, `--html` draws them.",
            count(services, "service"),
            count(moments, "line")
        );
        page.out.push('\n');
        for part in wrapped(&left_out, page.width) {
            page.line(&part);
        }
    }
    page.out
}

/// Whether all of it can be read at once, so that nothing need be asked for.
fn is_short(view: &View<'_>) -> bool {
    view.services.len() <= 3 && view.timeline.len() <= 60
}

/// How much of a long report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Details {
    /// Of a short report all, of a long one the summary.
    WhereShort,
    /// All of it.
    All,
}

/// The text so far.
struct Text {
    out: String,
    /// In columns.
    width: usize,
    paint: Paint,
}

impl Text {
    /// A fleet's incidents.
    fn fleet(&mut self, of: &Fleet, details: Details) {
        self.heading("By service and Kubernetes cluster, hit worst first");
        let (incidents, more) = fleet::incidents(of, details == Details::All);
        for told in incidents {
            self.item("-", &told.heading);
            told.lines.iter().for_each(|line| self.item("   ", line));
            // An address is left whole, to be opened.
            if !told.link.is_empty() {
                self.line(&format!("      {}", harmless(told.link)));
            }
        }
        if let Some(more) = more {
            self.line(&format!("  {more}"));
        }
        for part in wrapped(fleet::audience(of), self.width - 2) {
            self.line(&format!("  {}", self.paint.dim(&part)));
        }
    }

    /// A row for each service, the one that was hit worst first.
    fn summary(&mut self, view: &View<'_>) {
        const HEAD: [&str; 7] =
            ["none healthy", "failovers", "longest", "requests away", "errors away", "endpoints", "seen by"];
        self.heading("Services, hit worst first");
        let mut services: Vec<&ServiceView<'_>> = view.services.iter().collect();
        services.sort_by_key(|one| Reverse(one.service.severity()));
        let longest = |of: &dyn Fn(&ServiceView<'_>) -> usize| services.iter().map(|one| of(one)).max().unwrap_or(0);
        let names = longest(&|one| one.service.name.chars().count()).min(MOST_NAME);
        let widths: Vec<usize> = HEAD
            .iter()
            .enumerate()
            .map(|(at, head)| head.len().max(longest(&|one| one.row.get(at).map_or(0, |cell| cell.chars().count()))))
            .collect();
        let mut row = |name: &str, cells: &[&str]| {
            let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            let name: String = name.chars().take(names).collect();
            self.line(&format!("  {name:<names$}  {}", cells.join("  ")));
        };
        row("", &HEAD);
        for one in &services {
            let cells: Vec<&str> = one.row.iter().map(String::as_str).collect();
            row(&harmless(&one.service.name), &cells);
        }
    }

    fn service(&mut self, view: &ServiceView<'_>, clock: Clock) {
        let paint = self.paint;
        self.heading(&harmless(&view.service.name));
        let about = format!("{}; seen by {}; {}", view.service.cluster, view.seen_by, view.state);
        for part in wrapped(&harmless(&about), self.width - 2) {
            self.line(&format!("  {}", paint.dim(&part)));
        }
        let columns = self.width - GUTTER;
        let label_width = label(clock, view.service.first, false).len() + 2;
        let scale = Scale::over(view.service.busy(), label_width as f64 / columns as f64);
        self.line(&format!("{:GUTTER$}{}", "", paint.dim(axis(&scale, columns, clock).trim_end())));
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

fn axis(scale: &Scale, columns: usize, clock: Clock) -> String {
    let mut cells = vec![' '; columns];
    for cut in scale.cuts() {
        let middle = ((cut.from + cut.to) / 2.0 * columns as f64) as usize;
        cells[middle.min(columns - 1)] = '≈';
    }
    let fine = scale.ticks(0.2).windows(2).any(|pair| pair[1].at.abs_diff(pair[0].at) < 1000);
    for tick in scale.ticks(if fine { 0.25 } else { 0.2 }) {
        let label = label(clock, tick.at, fine);
        let start = ((tick.fraction * columns as f64) as usize).min(columns - label.len());
        // A blank on either side keeps labels and marks apart; further left there may be room.
        let is_free = |start: &usize| {
            let around = start.saturating_sub(1)..(start + label.len() + 1).min(columns);
            cells[around].iter().all(|cell| *cell == ' ')
        };
        if let Some(start) = (start.saturating_sub(label.len() / 2)..=start).rev().find(is_free) {
            for (cell, c) in cells[start..].iter_mut().zip(label.chars()) {
                *cell = c;
            }
        }
    }
    text_of(&cells)
}

/// A time at the axis, with month and day where there are several: `11-20 23:50:00`.
fn label(clock: Clock, at: Millis, fine: bool) -> String {
    let time = if fine { units::clock(at) } else { clock_seconds(at) };
    match clock {
        Clock::OneDay => time,
        Clock::SeveralDays => format!("{} {time}", day(at).get(5..).unwrap_or_default()),
    }
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
