//! The report on a terminal: headline, a picture of bars for each service, what happened in order, what to look at, what is missing.

use std::fmt::Write as _;

use super::incident::{Endpoint, Incident, Leg, Service};
use super::paint::{Paint, harmless};
use super::phrase::{LABEL_WIDTH, Tone};
use super::scale::Scale;
use super::words::{clock, clock_seconds, count, day, duration, of_proxies, percent, place};

/// The width of the labels before the bars.
const GUTTER: usize = 34;

/// Endpoints with a bar in one locality; the rest is summed up.
const MOST_LANES: usize = 10;

/// The whole report, `width` columns wide.
pub fn report(incident: &Incident, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    let width = width.clamp(80, 120);
    if let (Some(first), Some(last)) = (incident.first, incident.last) {
        let to = if day(first) == day(last) { clock(last) } else { format!("{} {}", day(last), clock(last)) };
        line(&mut out, &paint.dim(&format!("{} {} to {to} UTC, {}", day(first), clock(first), duration(last - first))));
    }
    let read = format!(
        "{} of {}, in {}",
        count(incident.events as u64, "event"),
        count(incident.proxies.len() as u64, "proxy"),
        count(incident.lines, "line")
    );
    line(&mut out, &paint.dim(&read));
    out.push('\n');
    for part in wrapped(&harmless(&incident.headline), width) {
        line(&mut out, &paint.bold(&part));
    }
    for service in &incident.services {
        service_part(&mut out, incident, service, width, paint);
    }
    timeline(&mut out, incident, width, paint);
    look_first(&mut out, incident, width, paint);
    if !incident.gaps.is_empty() {
        heading(&mut out, "Gaps", paint);
        for gap in &incident.gaps {
            item(&mut out, "-", &harmless(gap), width);
        }
    }
    out
}

fn service_part(out: &mut String, incident: &Incident, service: &Service, width: usize, paint: Paint) {
    heading(out, &harmless(&service.name), paint);
    let seen = of_proxies(service.proxies.len(), incident.proxies.len());
    let open = match service.open() {
        (0, 0, 0) => "over".to_owned(),
        open => format!("still open: {}", still_open(open)),
    };
    for part in wrapped(&format!("{}; seen by {seen}; {open}", harmless(&service.cluster)), width - 2) {
        line(out, &format!("  {}", paint.dim(&part)));
    }
    let scale = Scale::of(service);
    let columns = width - GUTTER;
    axis(out, &scale, columns, paint);
    for locality in service.localities() {
        line(
            out,
            &format!("  {}", paint.bold(&harmless(if locality.is_empty() { "(no locality)" } else { locality }))),
        );
        let (endpoints, more) = service.worst(locality, MOST_LANES);
        for endpoint in endpoints {
            lane(out, &harmless(&endpoint.address), &bar(endpoint, &scale, columns), Tone::Bad, paint);
        }
        if more > 0 {
            line(out, &format!("    and {}", count(more as u64, "more endpoint")));
        }
        away(out, service, locality, &scale, columns, paint);
    }
    if !service.outages.is_empty() {
        let mut cells = vec![' '; columns];
        for outage in &service.outages {
            fill(&mut cells, &scale, (outage.period.span.from, outage.period.span.to), '█', outage.period.open);
        }
        lane(out, "no healthy endpoint", &cells, Tone::Bad, paint);
    }
    line(out, &format!("  {}", paint.dim("█ ejected  × failing  ! ejection blocked  ▒ traffic away  → not over")));
    for failover in &service.failovers {
        let legs: Vec<String> = failover.legs.iter().map(leg).collect();
        let told = if failover.ended > 0 {
            format!("; {} away, {} failed", count(failover.requests_away, "request"), failover.errors_away)
        } else {
            String::new()
        };
        let all = incident.proxies.len();
        let seen =
            if all > 1 { format!("; seen by {}", of_proxies(failover.period.proxies, all)) } else { String::new() };
        let text = format!(
            "{} {} left {} to {} for {}{}{told}{seen}",
            if failover.period.began_earlier { "before" } else { "at" },
            clock(failover.period.span.from),
            place(&failover.from),
            legs.join(", then "),
            duration(failover.period.total),
            if failover.period.open { " and does still" } else { "" },
        );
        item(out, "traffic", &harmless(&text), width);
    }
}

/// `ap-northeast-1b (100 %, same region)`
fn leg(leg: &Leg) -> String {
    let share = if leg.share > 0.0 { format!("{}, ", percent(leg.share)) } else { String::new() };
    let tier = if leg.tier.is_empty() { "distance not told".to_owned() } else { leg.tier.replace('_', " ") };
    format!("{} ({share}{tier})", place(&leg.to))
}

/// What is open, in words.
pub fn still_open((ejected, failovers, without): (usize, usize, usize)) -> String {
    let part = |n: usize, what: &str, which: &str| (n > 0).then(|| format!("{}{which}", count(n as u64, what)));
    let parts = [
        part(ejected, "ejected endpoint", ""),
        part(failovers, "failover", ""),
        part(without, "service", " without a healthy endpoint"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn away(out: &mut String, service: &Service, locality: &str, scale: &Scale, columns: usize, paint: Paint) {
    let mut received = vec![' '; columns];
    for leg in service.failovers.iter().flat_map(|failover| &failover.legs).filter(|leg| leg.to == locality) {
        fill(&mut received, scale, (leg.span.from, leg.span.to), '▒', leg.open);
    }
    if received.iter().any(|cell| *cell != ' ') {
        let label = "receives traffic";
        line(out, &format!("    {label:<30}{}", paint.away(text_of(&received).trim_end())));
    }
}

fn bar(endpoint: &Endpoint, scale: &Scale, columns: usize) -> Vec<char> {
    let mut cells = vec![' '; columns];
    for ejection in &endpoint.ejections {
        let span = ejection.period.span;
        fill(&mut cells, scale, (span.from, span.to), '█', ejection.period.open);
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
    cells
}

fn fill(cells: &mut [char], scale: &Scale, (from, to): (u64, u64), with: char, open: bool) {
    let (from, to) = (column(scale, from, cells.len()), column(scale, to, cells.len()));
    cells[from..=to].fill(with);
    if open {
        cells[to] = '→';
    }
}

fn column(scale: &Scale, at: u64, columns: usize) -> usize {
    ((scale.place(at) * columns as f64) as usize).min(columns - 1)
}

fn axis(out: &mut String, scale: &Scale, columns: usize, paint: Paint) {
    let mut cells = vec![' '; columns];
    let fine = scale.ticks(0.2).windows(2).any(|pair| pair[1].1 - pair[0].1 < 1000);
    for (at, time) in scale.ticks(if fine { 0.25 } else { 0.2 }) {
        let label = if fine { clock(time) } else { clock_seconds(time) };
        let start = ((at * columns as f64) as usize).min(columns - label.len());
        if start + label.len() <= columns && cells[start..start + label.len()].iter().all(|cell| *cell == ' ') {
            for (cell, c) in cells[start..].iter_mut().zip(label.chars()) {
                *cell = c;
            }
        }
    }
    for (from, to, _) in scale.cuts() {
        let middle = ((from + to) / 2.0 * columns as f64) as usize;
        cells[middle.min(columns - 1)] = '≈';
    }
    line(out, &format!("{:GUTTER$}{}", "", paint.dim(text_of(&cells).trim_end())));
}

fn lane(out: &mut String, label: &str, cells: &[char], tone: Tone, paint: Paint) {
    let room = GUTTER - 5;
    let label: String = if label.chars().count() > room {
        label.chars().take(room - 1).chain(['…']).collect()
    } else {
        label.to_owned()
    };
    line(out, &format!("    {label:<30}{}", paint.tone(tone, text_of(cells).trim_end())));
}

fn timeline(out: &mut String, incident: &Incident, width: usize, paint: Paint) {
    if incident.timeline.is_empty() {
        return;
    }
    heading(out, "What happened (UTC)", paint);
    let several = incident.services.len() > 1;
    let mut today = incident.first.map(day);
    for moment in &incident.timeline {
        if today.as_deref() != Some(&day(moment.at)) {
            today = Some(day(moment.at));
            line(out, &format!("  {}", paint.dim(&day(moment.at))));
        }
        let service =
            if several && !moment.service.is_empty() { format!("{}: ", moment.service) } else { String::new() };
        let by = match moment.proxies.len() {
            1 if incident.proxies.len() == 1 => String::new(),
            1 => format!(" [{}]", moment.proxies.join("")),
            n => format!(" [{}, to {}]", count(n as u64, "proxy"), clock(moment.until)),
        };
        let text = harmless(&format!("{service}{}{by}", moment.text));
        let label = format!("{:<LABEL_WIDTH$}", moment.label);
        let indent = 2 + 12 + 2 + LABEL_WIDTH + 2;
        let mut parts = wrapped(&text, width - indent).into_iter();
        let head = format!("  {}  {}  ", clock(moment.at), paint.tone(moment.tone, &label));
        line(out, &format!("{head}{}", parts.next().unwrap_or_default()));
        for part in parts {
            line(out, &format!("{:indent$}{part}", ""));
        }
    }
}

fn look_first(out: &mut String, incident: &Incident, width: usize, paint: Paint) {
    if incident.look_first.is_empty() {
        return;
    }
    heading(out, "What to look at first", paint);
    for (n, look) in incident.look_first.iter().enumerate() {
        item(out, &format!("{}.", n + 1), &harmless(&super::story::sentence(look, incident.proxies.len())), width);
    }
}

fn item(out: &mut String, mark: &str, text: &str, width: usize) {
    let indent = 2 + mark.len() + 1;
    for (n, part) in wrapped(text, width - indent).iter().enumerate() {
        let before = if n == 0 { format!("  {mark} ") } else { " ".repeat(indent) };
        line(out, &format!("{before}{part}"));
    }
}

fn heading(out: &mut String, text: &str, paint: Paint) {
    let _ = write!(out, "\n{}\n", paint.bold(text));
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end());
}

fn text_of(cells: &[char]) -> String {
    cells.iter().collect()
}

/// Text in lines of at most `width` characters, broken at spaces; a longer word stays whole.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
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
