//! The picture of one service's trouble, as SVG: a lane for each locality with its endpoints' ejections and streaks,
//! the traffic that left and where it went, and times without anything healthy, over one axis of time.
//!
//! It carries its own style, so that it can be cut out of a page and stand alone. Shape and words tell what colour
//! tells.

pub(super) mod fleet;
mod frame;
mod lane;
mod svg;

use crate::incident::units::Clock;
use crate::incident::view::{FailoverView, LocalityView, ServiceView};

use super::markup::escaped;
use super::scale::Scale;

use frame::{Head, TOP, axis};
use lane::Lane;
use svg::{BAR, CHARACTER, Extent, GAP, GUTTER, RIGHT, Svg, WIDTH, x_of};

/// Draws a service; `index` tells several pictures on one page apart.
pub(super) fn of(view: &ServiceView<'_>, index: usize, clock: Clock) -> String {
    let lanes = lanes(view);
    let scale = Scale::over(view.service.busy(), if clock == Clock::OneDay { 0.0 } else { 0.14 });
    let bottom = lanes.last().map_or(TOP, |lane| lane.top + lane.height) + 8.0;
    let name = &view.service.name;
    let (title, when) = (format!("What happened to {name}"), format!("{} UTC", view.days));
    let head = Head { id: &index.to_string(), title: &title, description: &view.summary, heading: name, when: &when };
    let mut svg = head.draw(bottom + 40.0);
    for lane in &lanes {
        svg.lane(lane.top, lane.height);
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
