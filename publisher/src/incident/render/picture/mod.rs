//! The picture of one service's trouble, as SVG: a lane for each locality with its endpoints' ejections and streaks,
//! the traffic that left and where it went, and times without anything healthy, over one axis of time.
//!
//! It carries its own style, so that it can be cut out of a page and stand alone. Shape and words tell what colour
//! tells.

mod lane;
mod svg;

use crate::incident::units::{self, Clock, clock_seconds, day, duration};
use crate::incident::view::{FailoverView, LocalityView, ServiceView};

use super::markup::escaped;
use super::scale::Scale;

use lane::Lane;
use svg::{BAR, CHARACTER, Extent, GUTTER, PLOT, RIGHT, Svg, WIDTH, x_of};

/// The upper edge of the first lane.
const TOP: f64 = 74.0;
/// Room between lanes.
const GAP: f64 = 10.0;
/// The upper edge of the axis.
const AXIS_TOP: f64 = 52.0;

/// Colours for light and dark, by what they mean; paper is light.
const STYLE: &str = "\
.fl{--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--on:#fff;--away:#2f6feb;\
--awaybg:#dbe7ff;\
--warn:#b8730a;--good:#1f8a4c;font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
@media (prefers-color-scheme:dark){.fl{--paper:#14181d;--ink:#e8ecf0;--dim:#9aa4af;--line:#343c46;--lane:#1c2229;\
--bad:#ef5b66;--on:#14181d;\
--away:#7aa7ff;--awaybg:#20355f;--warn:#f0b04a;--good:#58c98a}}\
@media print{.fl{--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--on:#fff;\
--away:#2f6feb;--awaybg:#dbe7ff;\
--warn:#b8730a;--good:#1f8a4c}}\
.fl text{fill:var(--ink)}.fl .dim{fill:var(--dim)}.fl .on{fill:var(--on)}.fl .awayt{fill:var(--away)}.fl \
.badt{fill:var(--bad)}\
.fl .b{font-weight:600}.fl .h{font-size:15px;font-weight:600}.fl \
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:11px}\
.fl .paper{fill:var(--paper)}.fl .lane{fill:var(--lane)}.fl .grid{stroke:var(--line)}.fl .bad{fill:var(--bad)}\
.fl .none{fill:var(--bad);fill-opacity:.16}.fl .edge{stroke:var(--bad);stroke-dasharray:3 3}.fl .away{fill:var(--away)}\
.fl .left{fill:var(--awaybg);stroke:var(--away)}.fl .arrow{stroke:var(--away);stroke-width:1.5;fill:none}\
.fl .warn{fill:var(--warn);stroke:var(--lane);stroke-width:1.2}.fl .block{fill:var(--lane);stroke:var(--warn);\
stroke-width:1.8}\
.fl .good{stroke:var(--good);stroke-width:3}\
.fl .gone{stroke:var(--ink);stroke-width:3;stroke-dasharray:3 2}.fl .cut{fill:var(--paper)}";

/// Draws a service; `index` tells several pictures on one page apart.
pub(super) fn of(view: &ServiceView<'_>, index: usize, clock: Clock) -> String {
    let lanes = lanes(view);
    let scale = Scale::over(view.service.busy(), if clock == Clock::OneDay { 0.0 } else { 0.14 });
    let bottom = lanes.last().map_or(TOP, |lane| lane.top + lane.height) + 8.0;
    let mut svg = Svg(String::new());
    head(&mut svg, view, index, bottom + 40.0);
    for lane in &lanes {
        svg.raw(format_args!(
            "<rect class=\"lane\" x=\"8\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
            lane.top,
            WIDTH - 16.0,
            lane.height
        ));
    }
    axis(&mut svg, &scale, bottom, clock);
    outages(&mut svg, view, &scale, bottom);
    // Under the bars, so that an arrow passes behind what is between its ends.
    for failover in &view.failovers {
        arrows(&mut svg, failover, &lanes, &scale);
    }
    for lane in &lanes {
        lane.draw(&mut svg, view, &scale);
    }
    legend(&mut svg, bottom + 24.0);
    svg.0.push_str("</svg>");
    svg.0
}

/// The picture's beginning, with what it is for those who cannot see it.
fn head(svg: &mut Svg, view: &ServiceView<'_>, index: usize, height: f64) {
    let name = &view.service.name;
    svg.raw(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fl\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"fl-t{index} fl-d{index}\"><title id=\"fl-t{index}\">{}</title><desc id=\"fl-d{index}\">{}\
         </desc>\
         <style>{STYLE}</style><rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>",
        escaped(&format!("What happened to {name}")),
        escaped(&view.summary),
    ));
    svg.text(16.0, 28.0, "h", name);
    let when = format!("{} UTC", view.days);
    svg.text(WIDTH - RIGHT - when.len() as f64 * CHARACTER, 28.0, "dim", &when);
}

/// Home first, then the others in the order in which traffic went there, then the rest by name.
fn lanes<'a>(view: &'a ServiceView<'a>) -> Vec<Lane<'a>> {
    let failovers = &view.service.failovers;
    let homes = failovers.iter().map(|failover| failover.from.as_str());
    let destinations = failovers.iter().flat_map(|failover| &failover.destinations).map(|d| d.to.as_str());
    let named = |name: &str| view.localities.iter().find(|locality| locality.locality == name);
    let mut order: Vec<&LocalityView<'a>> = Vec::new();
    for locality in homes.chain(destinations).filter_map(named).chain(&view.localities) {
        if !order.iter().any(|known| known.locality == locality.locality) {
            order.push(locality);
        }
    }
    let mut top = TOP;
    let lane = |locality| {
        let lane = Lane::new(view, locality, top);
        top += lane.height + GAP;
        lane
    };
    order.into_iter().map(lane).collect()
}

fn axis(svg: &mut Svg, scale: &Scale, bottom: f64, clock: Clock) {
    let ticks = scale.ticks(if clock == Clock::OneDay { 0.11 } else { 0.14 });
    let fine = ticks.windows(2).any(|pair| pair[1].at.abs_diff(pair[0].at) < 1000);
    let mut written: Vec<(f64, f64)> = Vec::new();
    for tick in ticks {
        let x = GUTTER + tick.fraction * PLOT;
        let time = if fine { units::clock(tick.at) } else { clock_seconds(tick.at) };
        let label = match clock {
            Clock::OneDay => time,
            Clock::SeveralDays => format!("{} {time}", day(tick.at).get(5..).unwrap_or_default()),
        };
        let half = (label.len() + 1) as f64 * CHARACTER / 2.0;
        if written.iter().any(|(from, to)| x - half < *to && x + half > *from) {
            continue;
        }
        written.push((x - half, x + half));
        svg.raw(format_args!("<path class=\"grid\" d=\"M{x:.1} 54V{bottom:.1}\"/>"));
        svg.text(x - label.len() as f64 * CHARACTER / 2.0, 49.0, "dim", &label);
    }
    for cut in scale.cuts() {
        let (x, width) = (GUTTER + cut.from * PLOT, (cut.to - cut.from) * PLOT);
        let label = duration(cut.quiet);
        svg.raw(format_args!(
            "<g><title>{label} in which nothing happened</title><rect class=\"cut\" x=\"{x:.1}\" y=\"{AXIS_TOP}\" \
             width=\"{width:.1}\" height=\"{:.1}\"/></g>",
            bottom - AXIS_TOP
        ));
        svg.text(x + width / 2.0 - label.len() as f64 * CHARACTER / 2.0, 66.0, "dim", &label);
    }
}

fn outages(svg: &mut Svg, view: &ServiceView<'_>, scale: &Scale, bottom: f64) {
    let mut written = 0.0;
    for outage in &view.outages {
        let extent = Extent::of(scale, outage.outage.period.span);
        let Extent { from, to } = extent;
        svg.raw(format_args!(
            "<g><title>{}</title><rect class=\"none\" x=\"{from:.1}\" y=\"{TOP:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <path class=\"edge\" d=\"M{from:.1} {TOP:.1}V{bottom:.1}M{to:.1} {TOP:.1}V{bottom:.1}\"/></g>",
            escaped(&outage.tip),
            extent.width(),
            bottom - TOP
        ));
        let width = (outage.label.chars().count() + 1) as f64 * CHARACTER;
        let x = from.min(WIDTH - RIGHT - width).max(GUTTER);
        if x >= written {
            written = x + width;
            svg.text(x, TOP - 5.0, "badt b", &outage.label);
        }
    }
}

/// From the lane that lost to each that received, where in time the traffic turns there.
fn arrows(svg: &mut Svg, view: &FailoverView<'_>, lanes: &[Lane<'_>], scale: &Scale) {
    let row = |locality: &str| lanes.iter().find(|lane| lane.locality == locality).map(Lane::traffic_row);
    for destination in &view.failover.destinations {
        let (Some(from), Some(to)) = (row(&view.failover.from), row(&destination.to)) else { continue };
        if from == to {
            continue;
        }
        let x = x_of(scale, destination.span.from) + 1.0;
        let (start, end, back) =
            if to > from { (from + BAR / 2.0, to - BAR / 2.0, -6.0) } else { (from - BAR / 2.0, to + BAR / 2.0, 6.0) };
        svg.raw(format_args!(
            "<path class=\"arrow\" d=\"M{x:.1} {start:.1}V{end:.1}m-4 {back}l4 {}l4 {back}\"/>",
            -back
        ));
    }
}

/// What the shapes mean: the shape's path, its class, and the words.
const LEGEND: [(&str, &str, &str); 5] = [
    ("m0 -6l6 6l-6 6l-6 -6z", "warn", "failing, at Envoy's threshold"),
    ("m-6 -6h12v12h-12z", "bad", "ejected; green: back, dashed: left"),
    ("m0 -7l7 12h-14z", "block", "ejection blocked"),
    ("m-6 -6h12v12h-12z", "away", "traffic away"),
    ("m-6 -6h12v12h-12z", "none", "no healthy endpoint"),
];

fn legend(svg: &mut Svg, y: f64) {
    let mut x = 20.0;
    for (path, class, words) in LEGEND {
        svg.raw(format_args!("<path class=\"{class}\" d=\"M{:.1} {y:.1}{path}\"/>", x + 6.0));
        svg.text(x + 18.0, y + 4.0, "dim", words);
        x += 18.0 + words.len() as f64 * CHARACTER + 22.0;
    }
}
