//! What every picture has: its style, its title, and the axis of time.

use crate::incident::render::markup::escaped;
use crate::incident::render::scale::Scale;
use crate::incident::units::{self, Clock, clock_seconds, day, duration};

use super::svg::{CHARACTER, GUTTER, PLOT, RIGHT, Svg, WIDTH};

/// The upper edge of the first lane.
pub(super) const TOP: f64 = 74.0;
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

/// A picture's title, and what it is for those who cannot see it.
pub(super) struct Head<'a> {
    /// Tells several pictures on one page apart.
    pub(super) id: &'a str,
    /// What it shows.
    pub(super) title: &'a str,
    /// What happened, in words.
    pub(super) description: &'a str,
    /// What stands above it.
    pub(super) heading: &'a str,
    /// On which days.
    pub(super) when: &'a str,
}

impl Head<'_> {
    /// The beginning of a picture of this height.
    pub(super) fn draw(&self, height: f64) -> Svg {
        let Self { id, title, description, heading, when } = self;
        let mut svg = Svg(String::new());
        svg.raw(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fl\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"fl-t{id} fl-d{id}\"><title id=\"fl-t{id}\">{}</title><desc id=\"fl-d{id}\">{}</desc>\
             <style>{STYLE}</style><rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>",
            escaped(title),
            escaped(description),
        ));
        svg.text(16.0, 28.0, "h", heading);
        svg.text(WIDTH - RIGHT - when.len() as f64 * CHARACTER, 28.0, "dim", when);
        svg
    }
}

/// The axis of time, down to `bottom`.
pub(super) fn axis(svg: &mut Svg, scale: &Scale, bottom: f64, clock: Clock) {
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
