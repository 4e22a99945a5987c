//! The picture of one service's trouble, as SVG: a lane for each locality with its endpoints' ejections and streaks, the traffic
//! that left and where it went, and times without anything healthy, over one axis of time.
//!
//! It carries its own style, so that it can be cut out of a page and stand alone. Shape and words tell what colour tells.

use std::fmt::Write as _;

use filter_core::time::Millis;

use super::incident::{Blocked, Endpoint, Failover, Service, TimeSpan};
use super::markup::escaped;
use super::scale::Scale;
use super::story;
use super::words::{clock, clock_seconds, count, day, duration, percent, place};

const WIDTH: f64 = 960.0;
const GUTTER: f64 = 236.0;
const RIGHT: f64 = 24.0;
const PLOT: f64 = WIDTH - GUTTER - RIGHT;
const TOP: f64 = 74.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 26.0;
const GAP: f64 = 10.0;
const BAR: f64 = 16.0;

/// A character's width in the picture's text, about: a little more than it is with the usual fonts.
const CHARACTER: f64 = 6.4;

/// Endpoints with a row in one locality.
const MOST_ROWS: usize = 8;

/// Colours for light and dark, by what they mean; paper is light.
const STYLE: &str = "\
.fl{--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--on:#fff;--away:#2f6feb;--awaybg:#dbe7ff;\
--warn:#b8730a;--good:#1f8a4c;font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
@media (prefers-color-scheme:dark){.fl{--paper:#14181d;--ink:#e8ecf0;--dim:#9aa4af;--line:#343c46;--lane:#1c2229;--bad:#ef5b66;--on:#14181d;\
--away:#7aa7ff;--awaybg:#20355f;--warn:#f0b04a;--good:#58c98a}}\
@media print{.fl{--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--on:#fff;--away:#2f6feb;--awaybg:#dbe7ff;\
--warn:#b8730a;--good:#1f8a4c}}\
.fl text{fill:var(--ink)}.fl .dim{fill:var(--dim)}.fl .on{fill:var(--on)}.fl .awayt{fill:var(--away)}.fl .badt{fill:var(--bad)}\
.fl .b{font-weight:600}.fl .h{font-size:15px;font-weight:600}.fl .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:11px}\
.fl .paper{fill:var(--paper)}.fl .lane{fill:var(--lane)}.fl .grid{stroke:var(--line)}.fl .bad{fill:var(--bad)}\
.fl .none{fill:var(--bad);fill-opacity:.16}.fl .edge{stroke:var(--bad);stroke-dasharray:3 3}.fl .away{fill:var(--away)}\
.fl .left{fill:var(--awaybg);stroke:var(--away)}.fl .arrow{stroke:var(--away);stroke-width:1.5;fill:none}\
.fl .warn{fill:var(--warn);stroke:var(--lane);stroke-width:1.2}.fl .block{fill:var(--lane);stroke:var(--warn);stroke-width:1.8}\
.fl .good{stroke:var(--good);stroke-width:3}.fl .cut{fill:var(--paper)}";

/// Draws a service; `index` tells several pictures on one page apart.
pub fn of(service: &Service, index: usize) -> String {
    let lanes = lanes(service);
    let scale = Scale::of(service);
    let bottom = lanes.last().map_or(TOP, |lane| lane.top + lane.height) + 8.0;
    let height = bottom + 40.0;
    let mut svg = String::new();
    let title = format!("What happened to {}", service.name);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fl\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"fl-t{index} fl-d{index}\"><title id=\"fl-t{index}\">{}</title><desc id=\"fl-d{index}\">{}</desc>\
         <style>{STYLE}</style><rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>",
        escaped(&title),
        escaped(&story::of_service(service)),
    );
    text(&mut svg, 16.0, 28.0, "h", &service.name);
    let days = if day(service.first) == day(service.last) {
        day(service.first)
    } else {
        format!("{} to {}", day(service.first), day(service.last))
    };
    let when = format!("{days} UTC");
    text(&mut svg, WIDTH - RIGHT - when.len() as f64 * CHARACTER, 28.0, "dim", &when);
    for lane in &lanes {
        let _ = write!(
            svg,
            "<rect class=\"lane\" x=\"8\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
            lane.top,
            WIDTH - 16.0,
            lane.height
        );
    }
    axis(&mut svg, &scale, bottom);
    let mut written = 0.0;
    for outage in &service.outages {
        let (from, to) = ends(&scale, outage.period.span);
        let told = format!("no healthy endpoint, {}", lasted(outage.period.total, outage.period.open));
        let _ = write!(
            svg,
            "<g><title>{}</title><rect class=\"none\" x=\"{from:.1}\" y=\"{TOP:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <path class=\"edge\" d=\"M{from:.1} {TOP:.1}V{bottom:.1}M{to:.1} {TOP:.1}V{bottom:.1}\"/></g>",
            escaped(&format!("{told}, from {}", clock(outage.period.span.from))),
            to - from,
            bottom - TOP
        );
        let width = (told.chars().count() + 1) as f64 * CHARACTER;
        let x = from.min(WIDTH - RIGHT - width).max(GUTTER);
        if x >= written {
            written = x + width;
            text(&mut svg, x, TOP - 5.0, "badt b", &told);
        }
    }
    // Under the bars, so that an arrow passes behind what is between its ends.
    for failover in &service.failovers {
        arrows(&mut svg, failover, &lanes, &scale);
    }
    for lane in &lanes {
        lane.draw(&mut svg, service, &scale);
    }
    legend(&mut svg, bottom + 24.0);
    svg.push_str("</svg>");
    svg
}

/// A locality with its rows.
struct Lane<'a> {
    locality: &'a str,
    top: f64,
    height: f64,
    has_traffic: bool,
    endpoints: Vec<&'a Endpoint>,
    more: usize,
}

/// Home first, then the others in the order in which traffic went there, then the rest by name.
fn lanes(service: &Service) -> Vec<Lane<'_>> {
    let mut order: Vec<&str> = Vec::new();
    let homes = service.failovers.iter().map(|failover| failover.from.as_str());
    let others = service.failovers.iter().flat_map(|failover| &failover.legs).map(|leg| leg.to.as_str());
    for locality in homes.chain(others).chain(service.localities()) {
        if !order.contains(&locality) {
            order.push(locality);
        }
    }
    let mut top = TOP;
    let lane = |locality| {
        let (endpoints, more) = service.worst(locality, MOST_ROWS);
        let has_traffic =
            service.failovers.iter().any(|f| f.from == locality || f.legs.iter().any(|leg| leg.to == locality));
        let rows = endpoints.len() + usize::from(has_traffic) + usize::from(more > 0);
        let lane = Lane { locality, top, height: HEAD + rows as f64 * ROW + 4.0, has_traffic, endpoints, more };
        top += lane.height + GAP;
        lane
    };
    order.into_iter().map(lane).collect()
}

impl Lane<'_> {
    /// The middle of the row of traffic.
    fn traffic_row(&self) -> f64 {
        self.top + HEAD + ROW / 2.0
    }

    fn draw(&self, svg: &mut String, service: &Service, scale: &Scale) {
        let name = if self.locality.is_empty() { "(no locality)" } else { self.locality };
        text(svg, 20.0, self.top + 18.0, "b", name);
        if self.has_traffic {
            self.traffic(svg, service, scale);
        }
        let mut y = self.top + HEAD + if self.has_traffic { ROW } else { 0.0 };
        for endpoint in &self.endpoints {
            row(svg, endpoint, y + ROW / 2.0, scale);
            y += ROW;
        }
        if self.more > 0 {
            text(svg, 32.0, y + ROW / 2.0 + 4.0, "dim", &format!("and {}", count(self.more as u64, "more endpoint")));
        }
    }

    fn traffic(&self, svg: &mut String, service: &Service, scale: &Scale) {
        let middle = self.traffic_row();
        let mut bars = Vec::new();
        let mut names = Vec::new();
        for failover in &service.failovers {
            for leg in &failover.legs {
                let share = if leg.share > 0.0 { percent(leg.share) } else { "traffic".to_owned() };
                let took = duration(leg.span.to.saturating_sub(leg.span.from));
                if failover.from == self.locality {
                    let to = place(&leg.to);
                    let labels = [format!("{share} → {to}"), format!("→ {to}"), share.clone()];
                    bars.push((leg.span, "left", labels, took.clone(), leg.open));
                    names.push("traffic leaves");
                }
                if leg.to == self.locality {
                    let from = place(&failover.from);
                    let labels = [format!("{share} of {from}, {took}"), format!("{share}, {took}"), share];
                    bars.push((leg.span, "away", labels, took, leg.open));
                    names.push("traffic arrives");
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        text(svg, 32.0, middle + 4.0, "awayt", &names.join(", "));
        bars.sort_by_key(|(span, ..)| *span);
        let places: Vec<(f64, f64)> = bars.iter().map(|(span, ..)| ends(scale, *span)).collect();
        for (n, (span, class, labels, took, open)) in bars.iter().enumerate() {
            let (from, to) = places[n];
            let tip = format!("{}: from {} to {}, {took}", labels[0], clock(span.from), clock(span.to));
            bar(svg, class, (from, to), middle, &tip);
            if *open {
                let _ =
                    write!(svg, "<path class=\"{class}\" d=\"M{:.1} {:.1}l9 8l-9 8z\"/>", to - 1.0, middle - BAR / 2.0);
            }
            let free = places.get(n + 1).map_or(WIDTH - RIGHT, |next| next.0);
            let inside = if *class == "away" { "on" } else { "awayt" };
            caption(svg, labels, (from, to), free, middle, (inside, "awayt"));
        }
    }
}

fn row(svg: &mut String, endpoint: &Endpoint, middle: f64, scale: &Scale) {
    let room = ((GUTTER - 40.0) / 6.9) as usize;
    let cut = |label: &str| {
        if label.chars().count() > room {
            label.chars().take(room - 1).chain(['…']).collect()
        } else {
            label.to_owned()
        }
    };
    let label = if endpoint.address.is_empty() { "(no address)".to_owned() } else { cut(&endpoint.address) };
    text(svg, 32.0, middle + 4.0, "mono", &label);
    let places: Vec<(f64, f64)> = endpoint.ejections.iter().map(|e| ends(scale, e.period.span)).collect();
    for (n, ejection) in endpoint.ejections.iter().enumerate() {
        let (from, to) = places[n];
        let took = lasted(ejection.period.total, ejection.period.open);
        let reasons: Vec<String> = ejection.reasons.iter().map(|reason| reason.replace('_', " ")).collect();
        let tip = format!(
            "{} ejected from {} for {took} ({}), seen by {}",
            endpoint.address,
            clock(ejection.period.span.from),
            reasons.join(", "),
            count(ejection.period.proxies as u64, "proxy")
        );
        bar(svg, "bad", (from, to), middle, &tip);
        if ejection.period.open {
            let _ = write!(svg, "<path class=\"bad\" d=\"M{:.1} {:.1}l9 8l-9 8z\"/>", to - 1.0, middle - BAR / 2.0);
        } else {
            let (top, end) = (middle - BAR / 2.0 - 2.0, middle + BAR / 2.0 + 2.0);
            let _ = write!(svg, "<path class=\"good\" d=\"M{to:.1} {top:.1}V{end:.1}\"/>");
        }
        let free = places.get(n + 1).map_or(WIDTH - RIGHT, |next| next.0);
        // In the middle: failures gather at the beginning.
        let begin = (from + 6.0).max((from + to) / 2.0 - 36.0);
        caption(svg, &[format!("out {took}"), took], (begin, to), free, middle, ("on", "dim"));
    }
    let mut blocked: Vec<(f64, &Blocked)> = Vec::new();
    for one in &endpoint.blocked {
        let x = x_of(scale, one.at);
        if blocked.last().is_none_or(|(last, _)| x - last > 9.0) {
            blocked.push((x, one));
        }
    }
    let mut drawn: Vec<f64> = Vec::new();
    for streak in &endpoint.streaks {
        let x = x_of(scale, streak.at);
        // What falls on about the same spot is one mark.
        if drawn.last().is_none_or(|last| x - last > 5.0) && blocked.iter().all(|(other, _)| (other - x).abs() > 9.0) {
            drawn.push(x);
            let tip = format!("{}: {}, {} in a row", clock(streak.at), streak.error, streak.errors);
            mark(svg, "warn", x, middle, &tip);
        }
    }
    let last = endpoint.streaks.last().map(|streak| (x_of(scale, streak.at), streak.error.as_str()));
    if let (Some((x, error)), true) = (last, endpoint.ejections.is_empty()) {
        caption(svg, &[error.to_owned()], (x, x), WIDTH - RIGHT, middle, ("dim", "dim"));
    }
    for (x, blocked) in blocked {
        let tip = format!("{}: ejection blocked, {}", clock(blocked.at), blocked.reason.replace('_', " "));
        let _ = write!(
            svg,
            "<g><title>{}</title><path class=\"block\" d=\"M{x:.1} {:.1}l7 12h-14z\"/></g>",
            escaped(&tip),
            middle - 7.0
        );
    }
}

/// From each lane that lost to each that received, as the traffic turns there.
fn arrows(svg: &mut String, failover: &Failover, lanes: &[Lane<'_>], scale: &Scale) {
    let row = |locality: &str| lanes.iter().find(|lane| lane.locality == locality).map(Lane::traffic_row);
    for leg in &failover.legs {
        let (Some(from), Some(to)) = (row(&failover.from), row(&leg.to)) else { continue };
        if from == to {
            continue;
        }
        let x = x_of(scale, leg.span.from) + 1.0;
        let (start, end, back) =
            if to > from { (from + BAR / 2.0, to - BAR / 2.0, -6.0) } else { (from - BAR / 2.0, to + BAR / 2.0, 6.0) };
        let _ = write!(svg, "<path class=\"arrow\" d=\"M{x:.1} {start:.1}V{end:.1}m-4 {back}l4 {}l4 {back}\"/>", -back);
    }
}

fn axis(svg: &mut String, scale: &Scale, bottom: f64) {
    let ticks = scale.ticks(0.11);
    let fine = ticks.windows(2).any(|pair| pair[1].1 - pair[0].1 < 1000);
    for (at, time) in ticks {
        let x = GUTTER + at * PLOT;
        let label = if fine { clock(time) } else { clock_seconds(time) };
        let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} 54V{bottom:.1}\"/>");
        text(svg, x - label.len() as f64 * CHARACTER / 2.0, 49.0, "dim", &label);
    }
    for (from, to, quiet) in scale.cuts() {
        let (x, width) = (GUTTER + from * PLOT, (to - from) * PLOT);
        let _ = write!(
            svg,
            "<g><title>{} in which nothing happened</title><rect class=\"cut\" x=\"{x:.1}\" y=\"52\" width=\"{width:.1}\" height=\"{:.1}\"/></g>",
            duration(quiet),
            bottom - 52.0
        );
        let label = duration(quiet);
        text(svg, x + width / 2.0 - label.len() as f64 * CHARACTER / 2.0, 66.0, "dim", &label);
    }
}

fn legend(svg: &mut String, y: f64) {
    let mut x = 20.0;
    let shapes: [(&str, &str); 5] = [
        ("m0 -6l6 6l-6 6l-6 -6z|warn", "failing, at Envoy's threshold"),
        ("m-6 -6h12v12h-12z|bad", "ejected; green: back"),
        ("m0 -7l7 12h-14z|block", "ejection blocked"),
        ("m-6 -6h12v12h-12z|away", "traffic away from home"),
        ("m-6 -6h12v12h-12z|none", "no healthy endpoint"),
    ];
    for (shape, words) in shapes {
        let (path, class) = shape.split_once('|').unwrap_or_default();
        let _ = write!(svg, "<path class=\"{class}\" d=\"M{:.1} {y:.1}{path}\"/>", x + 6.0);
        text(svg, x + 18.0, y + 4.0, "dim", words);
        x += 18.0 + words.len() as f64 * CHARACTER + 22.0;
    }
}

fn bar(svg: &mut String, class: &str, (from, to): (f64, f64), middle: f64, tip: &str) {
    let _ = write!(
        svg,
        "<g><title>{}</title><rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/></g>",
        escaped(tip),
        middle - BAR / 2.0,
        to - from
    );
}

fn mark(svg: &mut String, class: &str, x: f64, middle: f64, tip: &str) {
    let _ = write!(
        svg,
        "<g><title>{}</title><path class=\"{class}\" d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\"/></g>",
        escaped(tip),
        middle - 6.0
    );
}

/// Words at a bar: the first that fit into it, else the last if it fits after it up to `free`, else none; the bar's title has them
/// in any case.
fn caption(svg: &mut String, labels: &[String], (from, to): (f64, f64), free: f64, middle: f64, classes: (&str, &str)) {
    let width = |label: &&String| label.chars().count() as f64 * CHARACTER;
    if let Some(label) = labels.iter().find(|label| width(label) + 12.0 <= to - from) {
        text(svg, from + 6.0, middle + 4.0, classes.0, label);
    } else if let Some(label) = labels.iter().rev().find(|label| to + 10.0 + width(label) <= free) {
        text(svg, to + 10.0, middle + 4.0, classes.1, label);
    }
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _ = write!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(words));
}

fn lasted(millis: Millis, open: bool) -> String {
    let so_far = if open { ", not over" } else { "" };
    format!("{}{so_far}", duration(millis))
}

fn x_of(scale: &Scale, at: Millis) -> f64 {
    GUTTER + scale.place(at) * PLOT
}

/// Both ends, at least so far apart that they can be seen.
fn ends(scale: &Scale, span: TimeSpan) -> (f64, f64) {
    let from = x_of(scale, span.from);
    (from, x_of(scale, span.to).max(from + 3.0))
}
