//! A locality in the picture: a row for the traffic that left or arrived, and one for each endpoint.

use crate::incident::render::scale::Scale;
use crate::incident::view::{EndpointView, LocalityView, Mark, ServiceView};

use super::svg::{BAR, Caption, Extent, FOOT, HEAD, RIGHT, ROW, Svg, WIDTH, cut, x_of};

/// Endpoints with a row in one locality.
const MOST_ROWS: usize = 8;

/// Marks of the same kind that are nearer to each other than this are one.
const STREAKS_APART: f64 = 5.0;
const BLOCKED_APART: f64 = 9.0;

/// A locality with its rows.
pub(super) struct Lane<'a> {
    /// `region/zone/subzone`
    pub(super) locality: &'a str,
    /// Its upper edge.
    pub(super) top: f64,
    /// How high it is.
    pub(super) height: f64,
    label: &'a str,
    has_traffic: bool,
    endpoints: Vec<&'a EndpointView<'a>>,
    more: Option<String>,
}

/// Which side of a failover a locality is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Leaving,
    Arriving,
}

impl Side {
    fn class(self) -> &'static str {
        match self {
            Self::Leaving => "left",
            Self::Arriving => "away",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Leaving => "traffic leaves",
            Self::Arriving => "traffic arrives",
        }
    }

    /// The class of the text within a bar.
    fn inside(self) -> &'static str {
        match self {
            Self::Leaving => "awayt",
            Self::Arriving => "on",
        }
    }
}

impl<'a> Lane<'a> {
    /// The lane of a locality, its upper edge at `top`.
    pub(super) fn new(service: &ServiceView<'a>, locality: &'a LocalityView<'a>, top: f64) -> Self {
        let (endpoints, more) = locality.worst(MOST_ROWS);
        let name = locality.locality;
        let mut failovers = service.service.failovers.iter();
        let has_traffic = failovers.any(|f| f.from == name || f.destinations.iter().any(|d| d.to == name));
        let rows = endpoints.len() + usize::from(has_traffic) + usize::from(more.is_some());
        let height = HEAD + rows as f64 * ROW + FOOT;
        Self { locality: name, top, height, label: locality.label, has_traffic, endpoints, more }
    }

    /// The middle of the row of traffic.
    pub(super) fn traffic_row(&self) -> f64 {
        self.top + HEAD + ROW / 2.0
    }

    /// Draws all but the lane's ground.
    pub(super) fn draw(&self, svg: &mut Svg, service: &ServiceView<'_>, scale: &Scale) {
        svg.text(20.0, self.top + 18.0, "b", self.label);
        if self.has_traffic {
            self.traffic(svg, service, scale);
        }
        let mut y = self.top + HEAD + if self.has_traffic { ROW } else { 0.0 };
        for endpoint in &self.endpoints {
            row(svg, endpoint, y + ROW / 2.0, scale);
            y += ROW;
        }
        if let Some(more) = &self.more {
            svg.text(32.0, y + ROW / 2.0 + 4.0, "dim", more);
        }
    }

    fn traffic(&self, svg: &mut Svg, service: &ServiceView<'_>, scale: &Scale) {
        let middle = self.traffic_row();
        let mut bars = Vec::new();
        for failover in &service.failovers {
            for view in &failover.destinations {
                if failover.failover.from == self.locality {
                    bars.push((view.destination, Side::Leaving, &view.leaving));
                }
                if view.destination.to == self.locality {
                    bars.push((view.destination, Side::Arriving, &view.arriving));
                }
            }
        }
        let mut names: Vec<&str> = bars.iter().map(|(_, side, _)| side.name()).collect();
        names.sort_unstable();
        names.dedup();
        svg.text(32.0, middle + 4.0, "awayt", &names.join(", "));
        bars.sort_by_key(|(destination, ..)| destination.span);
        let extents: Vec<Extent> = bars.iter().map(|(d, ..)| Extent::of(scale, d.span)).collect();
        for (n, (destination, side, caption)) in bars.iter().enumerate() {
            let extent = extents[n];
            svg.bar(side.class(), extent, middle, &caption.tip);
            if destination.open {
                svg.point(side.class(), extent.to, middle);
            }
            let free = extents.get(n + 1).map_or(WIDTH - RIGHT, |next| next.from);
            let (labels, inside) = (caption.labels.as_slice(), side.inside());
            svg.caption(&Caption { labels, extent, free, middle, inside, outside: "awayt" });
        }
    }
}

fn row(svg: &mut Svg, view: &EndpointView<'_>, middle: f64, scale: &Scale) {
    svg.text(32.0, middle + 4.0, "mono", &cut(view.label));
    ejections(svg, view, middle, scale);
    let blocked = marks(&view.blocked, scale, BLOCKED_APART);
    let far = |x: f64| blocked.iter().all(|(other, _)| (other - x).abs() > BLOCKED_APART);
    let streaks: Vec<&Mark> = view.streaks.iter().filter(|mark| far(x_of(scale, mark.at))).collect();
    for (x, mark) in marks(streaks, scale, STREAKS_APART) {
        svg.mark("warn", "l6 6l-6 6l-6 -6z", (x, middle - 6.0), &mark.tip);
    }
    if let (Some(error), Some(last)) = (&view.last_streak, view.streaks.last()) {
        let x = x_of(scale, last.at);
        svg.caption(&Caption {
            labels: std::slice::from_ref(error),
            extent: Extent { from: x, to: x },
            free: WIDTH - RIGHT,
            middle,
            inside: "dim",
            outside: "dim",
        });
    }
    for (x, mark) in blocked {
        svg.mark("block", "l7 12h-14z", (x, middle - 7.0), &mark.tip);
    }
}

fn ejections(svg: &mut Svg, view: &EndpointView<'_>, middle: f64, scale: &Scale) {
    let extents: Vec<Extent> = view.ejections.iter().map(|e| Extent::of(scale, e.ejection.period.span)).collect();
    for (n, ejection) in view.ejections.iter().enumerate() {
        let extent = extents[n];
        svg.bar("bad", extent, middle, &ejection.caption.tip);
        if ejection.ejection.period.open {
            svg.point("bad", extent.to, middle);
        } else {
            let (x, top, end) = (extent.to, middle - BAR / 2.0 - 2.0, middle + BAR / 2.0 + 2.0);
            let class = if ejection.ejection.is_by_removal() { "gone" } else { "good" };
            svg.raw(format_args!("<path class=\"{class}\" d=\"M{x:.1} {top:.1}V{end:.1}\"/>"));
        }
        let free = extents.get(n + 1).map_or(WIDTH - RIGHT, |next| next.from);
        // In the middle: failures gather at the beginning.
        let from = (extent.from + 6.0).max((extent.from + extent.to) / 2.0 - 36.0);
        let (labels, extent) = (ejection.caption.labels.as_slice(), Extent { from, to: extent.to });
        svg.caption(&Caption { labels, extent, free, middle, inside: "on", outside: "dim" });
    }
}

/// Marks with their places on the axis; those nearer than `apart` to the one before are left out.
fn marks<'a>(marks: impl IntoIterator<Item = &'a Mark>, scale: &Scale, apart: f64) -> Vec<(f64, &'a Mark)> {
    let mut drawn: Vec<(f64, &Mark)> = Vec::new();
    for mark in marks {
        let x = x_of(scale, mark.at);
        if drawn.last().is_none_or(|(last, _)| x - last > apart) {
            drawn.push((x, mark));
        }
    }
    drawn
}
