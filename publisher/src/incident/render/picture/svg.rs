//! The shapes of a picture: measures, text that is escaped, bars, marks and the words beside them.

use std::fmt::Write as _;

use filter_core::time::Millis;

use crate::incident::render::markup::escaped;
use crate::incident::render::scale::Scale;
use crate::incident::span::Span;

/// The picture's width; all measures are in units of its view box, about a pixel each.
pub(super) const WIDTH: f64 = 960.0;
/// Where the axis of time begins; labels stand before it.
pub(super) const GUTTER: f64 = 236.0;
/// Room after the axis.
pub(super) const RIGHT: f64 = 24.0;
/// The length of the axis.
pub(super) const PLOT: f64 = WIDTH - GUTTER - RIGHT;
/// Room between lanes.
pub(super) const GAP: f64 = 10.0;
/// A lane's name, each of its rows, and the room below them.
pub(super) const HEAD: f64 = 26.0;
pub(super) const ROW: f64 = 26.0;
pub(super) const FOOT: f64 = 4.0;
/// The height of a bar.
pub(super) const BAR: f64 = 16.0;
/// A character's width in the picture's text, about: a little more than it is with the usual fonts.
pub(super) const CHARACTER: f64 = 6.4;

/// A character's width in the addresses' font.
const ADDRESS_CHARACTER: f64 = 6.9;

/// From where to where something reaches on the axis of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Extent {
    /// A span's, at least so wide that it can be seen.
    pub(super) fn of(scale: &Scale, span: Span) -> Self {
        let from = x_of(scale, span.from);
        Self { from, to: x_of(scale, span.to).max(from + 3.0) }
    }

    pub(super) fn width(self) -> f64 {
        self.to - self.from
    }
}

/// Where a time is on the axis.
pub(super) fn x_of(scale: &Scale, at: Millis) -> f64 {
    GUTTER + scale.fraction(at) * PLOT
}

/// Words at a bar: the first that fit into it, else the last that fits after it, else none.
pub(super) struct Caption<'a> {
    /// The words, the longest first.
    pub(super) labels: &'a [String],
    /// The bar.
    pub(super) extent: Extent,
    /// Up to where there is room after it.
    pub(super) free: f64,
    /// The bar's middle.
    pub(super) middle: f64,
    /// The class of the text within the bar.
    pub(super) inside: &'static str,
    /// The class of the text after it.
    pub(super) outside: &'static str,
}

/// A picture that is being drawn.
pub(super) struct Svg(pub(super) String);

impl Svg {
    /// Markup as it is, for what there is no shape for.
    pub(super) fn raw(&mut self, markup: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(markup);
    }

    /// The ground of a lane.
    pub(super) fn lane(&mut self, top: f64, height: f64) {
        self.raw(format_args!(
            "<rect class=\"lane\" x=\"8\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"6\"/>",
            WIDTH - 16.0
        ));
    }

    /// Text that begins at `x`, on the line `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, words: &str) {
        self.raw(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(words)));
    }

    /// A bar with a tip.
    pub(super) fn bar(&mut self, class: &str, extent: Extent, middle: f64, tip: &str) {
        self.raw(format_args!(
            "<g><title>{}</title><rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" \
             rx=\"2\"/></g>",
            escaped(tip),
            extent.from,
            middle - BAR / 2.0,
            extent.width()
        ));
    }

    /// The point of a bar that is not over.
    pub(super) fn point(&mut self, class: &str, x: f64, middle: f64) {
        self.raw(format_args!("<path class=\"{class}\" d=\"M{:.1} {:.1}l9 8l-9 8z\"/>", x - 1.0, middle - BAR / 2.0));
    }

    /// A mark with a tip; `shape` is drawn from a point `above` the middle.
    pub(super) fn mark(&mut self, class: &str, shape: &str, (x, y): (f64, f64), tip: &str) {
        let tip = escaped(tip);
        self.raw(format_args!("<g><title>{tip}</title><path class=\"{class}\" d=\"M{x:.1} {y:.1}{shape}\"/></g>"));
    }

    /// Words at a bar; where there is no room, the bar's tip has them.
    pub(super) fn caption(&mut self, caption: &Caption<'_>) {
        let Caption { labels, extent, free, middle, inside, outside } = caption;
        let width = |label: &&String| label.chars().count() as f64 * CHARACTER;
        if let Some(label) = labels.iter().find(|label| width(label) + 12.0 <= extent.width()) {
            self.text(extent.from + 6.0, middle + 4.0, inside, label);
        } else if let Some(label) = labels.iter().rev().find(|label| extent.to + 10.0 + width(label) <= *free) {
            self.text(extent.to + 10.0, middle + 4.0, outside, label);
        }
    }
}

/// An address or a name, cut to what the gutter has room for.
pub(super) fn cut(address: &str) -> String {
    let room = ((GUTTER - 40.0) / ADDRESS_CHARACTER) as usize;
    if address.chars().count() > room {
        address.chars().take(room - 1).chain(['…']).collect()
    } else {
        address.to_owned()
    }
}
