//! The picture of a fleet: a lane for each service with a bar for each Kubernetes cluster, from the first event there
//! to the last, over one axis of time.

use crate::incident::fleet::{Fleet, FleetIncident};
use crate::incident::render::scale::Scale;
use crate::incident::span::Span;
use crate::incident::units::Clock;
use crate::incident::wording::fleet::{self, Bar, Lane};

use super::frame::{Head, TOP, axis};
use super::svg::{CHARACTER, Caption, Extent, FOOT, GAP, HEAD, RIGHT, ROW, Svg, WIDTH, cut};

/// So many bars can be taken in.
const MOST_BARS: usize = 40;

/// Draws a fleet; nothing where nothing happened.
pub(in crate::incident::render) fn of(fleet: &Fleet) -> Option<String> {
    let (lanes, more) = fleet::lanes(fleet, MOST_BARS);
    if lanes.is_empty() {
        return None;
    }
    let clock = fleet::clock(fleet);
    let spans = fleet.incidents.iter().take(MOST_BARS).map(span).collect();
    let scale = Scale::over(spans, if clock == Clock::OneDay { 0.0 } else { 0.14 });
    let height = |lane: &Lane<'_>| HEAD + lane.bars.len() as f64 * ROW + FOOT;
    let bottom = TOP + lanes.iter().map(|lane| height(lane) + GAP).sum::<f64>();
    let head = Head {
        id: "-fleet",
        title: "What happened in each Kubernetes cluster",
        description: &fleet::headline(fleet),
        heading: "By service and Kubernetes cluster",
        when: &format!("{} UTC", fleet::days(fleet)),
    };
    let mut svg = head.draw(bottom + 40.0);
    let mut top = TOP;
    let mut tops = Vec::new();
    for lane in &lanes {
        svg.lane(top, height(lane));
        tops.push(top);
        top += height(lane) + GAP;
    }
    axis(&mut svg, &scale, bottom, clock);
    for (lane, top) in lanes.iter().zip(tops) {
        svg.text(20.0, top + 18.0, "b", lane.service);
        for (row, bar) in lane.bars.iter().enumerate() {
            draw(&mut svg, bar, top + HEAD + (row as f64 + 0.5) * ROW, &scale);
        }
    }
    legend(&mut svg, bottom + 24.0, more.as_deref());
    svg.0.push_str("</svg>");
    Some(svg.0)
}

fn span(incident: &FleetIncident) -> Span {
    Span::new(incident.first, incident.last)
}

fn draw(svg: &mut Svg, bar: &Bar<'_>, middle: f64, scale: &Scale) {
    svg.text(32.0, middle + 4.0, "mono", &cut(bar.place));
    let extent = Extent::of(scale, span(bar.incident));
    let class = class(bar.incident);
    svg.bar(class, extent, middle, &bar.caption.tip);
    if bar.incident.open > 0 {
        svg.point(class, extent.to, middle);
    }
    let labels = bar.caption.labels.as_slice();
    svg.caption(&Caption { labels, extent, free: WIDTH - RIGHT, middle, inside: "on", outside: "dim" });
}

/// By the worst that happened.
fn class(incident: &FleetIncident) -> &'static str {
    if incident.without_healthy > 0 {
        "bad"
    } else if incident.failovers.is_empty() {
        "warn"
    } else {
        "away"
    }
}

/// What the colours mean, and what is not drawn.
fn legend(svg: &mut Svg, y: f64, more: Option<&str>) {
    let mut x = 20.0;
    let colours = [("bad", "no healthy endpoint"), ("away", "traffic away"), ("warn", "errors or ejections")];
    for (class, words) in colours {
        svg.raw(format_args!("<path class=\"{class}\" d=\"M{x:.1} {:.1}h12v12h-12z\"/>", y - 6.0));
        svg.text(x + 18.0, y + 4.0, "dim", words);
        x += 18.0 + words.len() as f64 * CHARACTER + 22.0;
    }
    let words = ["from the first event to the last; a point: not over", more.unwrap_or_default()];
    svg.text(x, y + 4.0, "dim", words.join("; ").trim_end_matches("; "));
}
