//! The axis of time of a picture: in proportion where something happens, broken where nothing does.
//!
//! A log of a day holds an incident of a minute, or two of them. Quiet stretches are therefore cut to a fixed, marked
//! width.

use filter_core::time::Millis;

use crate::incident::span::{Span, grouped};

/// A quiet stretch is cut when it is this many times longer than all that happened, and longer than a minute.
const CUT_FACTOR: u64 = 2;
const SHORTEST_CUT_MS: Millis = 60_000;

/// The width of a cut, and the least width of what is between cuts, as parts of the whole.
const CUT_WIDTH: f64 = 0.05;
const LEAST_WIDTH: f64 = 0.08;

/// Room before and after what happened, as a part of its length.
const MARGIN: f64 = 0.03;

/// Turns times into fractions of the axis, from 0 to 1.
#[derive(Debug)]
pub(crate) struct Scale {
    parts: Vec<Part>,
}

/// A time to write at the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Where, from 0 to 1.
    pub(crate) fraction: f64,
    /// Which time.
    pub(crate) at: Millis,
}

/// A quiet stretch that is not shown in proportion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    /// Where it begins, from 0 to 1.
    pub(crate) from: f64,
    /// Where it ends, from 0 to 1.
    pub(crate) to: f64,
    /// How long it was, in milliseconds.
    pub(crate) quiet: Millis,
}

/// A stretch of time that is shown in proportion.
#[derive(Clone, Copy, Debug)]
struct Part {
    span: Span,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale on which all of these times can be shown; between cuts there is room for a label of this width, as a
    /// part of the whole, where that is possible.
    pub(crate) fn over(spans: Vec<Span>, label: f64) -> Self {
        let busy: Vec<Span> = grouped(spans, |span| *span).into_iter().map(|(span, _)| span).collect();
        let active: Millis = busy.iter().map(|span| span.length()).sum();
        let longest_shown = SHORTEST_CUT_MS.max(active.saturating_mul(CUT_FACTOR));
        let mut parts: Vec<Span> = Vec::new();
        for span in busy {
            match parts.last_mut() {
                Some(last) if span.from.saturating_sub(last.to) <= longest_shown => *last = last.with(span),
                _ => parts.push(span),
            }
        }
        // Of a thousand separate moments, none could be seen: then nothing is cut.
        let cuts = parts.len().saturating_sub(1) as f64 * CUT_WIDTH;
        let fits = |width: f64| cuts + parts.len() as f64 * width <= 0.9;
        let least_width = if fits(label) { label.max(LEAST_WIDTH) } else { LEAST_WIDTH };
        if !fits(LEAST_WIDTH) {
            parts = parts.into_iter().reduce(Span::with).into_iter().collect();
        }
        let total: Millis = parts.iter().map(|span| span.length()).sum::<Millis>().max(1);
        let margin = ((total as f64 * MARGIN) as Millis).clamp(50, 3_600_000);
        for part in &mut parts {
            *part = Span::new(part.from.saturating_sub(margin), part.to.saturating_add(margin));
        }
        let length = |part: &Span| part.length() as f64;
        let whole: f64 = parts.iter().map(length).sum();
        let count = parts.len() as f64;
        let room = 1.0 - (count - 1.0) * CUT_WIDTH - count * least_width;
        let mut at = 0.0;
        let parts = parts.into_iter().map(|span| {
            let to = at + least_width + room * length(&span) / whole;
            let part = Part { span, from: at, to };
            at = to + CUT_WIDTH;
            part
        });
        Self { parts: parts.collect() }
    }

    /// Where a time is, from 0 to 1.
    pub(crate) fn fraction(&self, at: Millis) -> f64 {
        let mut fraction = 0.0;
        for part in &self.parts {
            if at < part.span.from {
                break;
            }
            let share = (at - part.span.from) as f64 / part.span.length().max(1) as f64;
            fraction = part.from + share.min(1.0) * (part.to - part.from);
        }
        fraction
    }

    /// The quiet stretches that were cut out.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let cut = |pair: &[Part]| match pair {
            [before, after] => {
                let quiet = after.span.from.saturating_sub(before.span.to);
                Some(Cut { from: before.to, to: after.from, quiet })
            }
            _ => None,
        };
        self.parts.windows(2).filter_map(cut).collect()
    }

    /// Times to write at the axis, at least `apart` from each other within a stretch, as a fraction of the axis. The
    /// first of each stretch comes first: without it, nothing tells when the stretch is.
    pub(crate) fn ticks(&self, apart: f64) -> Vec<Tick> {
        let mut all: Vec<Vec<Tick>> = self.parts.iter().map(|part| self.ticks_of(part, apart)).collect();
        let leading: Vec<Tick> =
            all.iter_mut().filter(|ticks| !ticks.is_empty()).map(|ticks| ticks.remove(0)).collect();
        leading.into_iter().chain(all.into_iter().flatten()).collect()
    }

    fn ticks_of(&self, part: &Part, apart: f64) -> Vec<Tick> {
        const STEPS: [Millis; 21] = [
            100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
            1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000, 86_400_000,
        ];
        let most = ((part.to - part.from) / apart).max(1.0);
        let least_step = part.span.length() as f64 / most;
        let step = STEPS.into_iter().find(|step| *step as f64 >= least_step);
        let step = step.unwrap_or_else(|| (least_step / 86_400_000.0).ceil() as Millis * 86_400_000);
        // A short stretch may hold no such time, but a rounder one than its beginning.
        let first = |step: Millis| part.span.from.div_ceil(step) * step;
        let smaller = || STEPS.into_iter().rev().find(|step| first(*step) <= part.span.to);
        let step = if first(step) <= part.span.to { step } else { smaller().unwrap_or(step) };
        let mut ticks: Vec<Tick> = Vec::new();
        let mut at = first(step);
        while at <= part.span.to {
            let fraction = self.fraction(at);
            if ticks.last().is_none_or(|last| fraction - last.fraction >= apart * 0.99) {
                ticks.push(Tick { fraction, at });
            }
            at += step;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_a_quiet_day_is_cut() {
        let day = 86_400_000;
        let scale = Scale::over(vec![Span::new(day, day + 20_000), Span::new(2 * day, 2 * day + 10_000)], 0.0);
        let fractions = [day, day + 20_000, 2 * day, 2 * day + 10_000].map(|at| scale.fraction(at));
        assert!(fractions.is_sorted() && fractions[0] > 0.0 && fractions[3] < 1.0, "{fractions:?}");
        assert!(fractions[1] - fractions[0] > 0.3, "{fractions:?}");
        let cuts = scale.cuts();
        assert_eq!(cuts.len(), 1);
        assert!(cuts[0].quiet > day / 2);
        assert_eq!(Scale::over(vec![Span::new(0, 10), Span::new(1_000, 2_000)], 0.0).cuts(), []);
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let scale = Scale::over(vec![Span::new(9_567, 42_509)], 0.0);
        let ticks = scale.ticks(0.1);
        assert!((3..=10).contains(&ticks.len()), "{ticks:?}");
        assert!(ticks.iter().all(|tick| tick.at % 5_000 == 0), "{ticks:?}");
        assert!(ticks.windows(2).all(|pair| pair[1].fraction - pair[0].fraction >= 0.09), "{ticks:?}");
        // One moment, and times far apart, make no trouble.
        assert!(!Scale::over(vec![Span::new(5, 5)], 0.0).ticks(0.1).is_empty());
        assert!(Scale::over(vec![Span::new(0, u64::MAX / 4)], 0.0).ticks(0.1).len() <= 11);
    }
}
