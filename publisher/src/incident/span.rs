//! Stretches of time and their union: an endpoint that three proxies ejected at overlapping times was out once.

use filter_core::time::Millis;
use serde::Serialize;

use super::written::time;

/// From when to when something was so; JSON writes it as two times, `start` and `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Span {
    /// Its beginning.
    #[serde(serialize_with = "time", rename = "start")]
    pub(crate) from: Millis,
    /// Its end, not before the beginning.
    #[serde(serialize_with = "time", rename = "end")]
    pub(crate) to: Millis,
}

impl Span {
    /// From one time to another; empty if that is earlier.
    pub(crate) fn new(from: Millis, to: Millis) -> Self {
        Self { from, to: to.max(from) }
    }

    /// A single moment.
    pub(crate) fn at(moment: Millis) -> Self {
        Self { from: moment, to: moment }
    }

    /// Milliseconds.
    pub(crate) fn length(self) -> Millis {
        self.to.saturating_sub(self.from)
    }

    /// Whether the two touch.
    pub(crate) fn touches(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// The span of both and what is between them.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

/// Groups things whose spans touch, directly or through others; groups and their members are in order of time.
pub(crate) fn grouped<T>(mut things: Vec<T>, span: impl Fn(&T) -> Span) -> Vec<(Span, Vec<T>)> {
    things.sort_by_key(|thing| span(thing));
    let mut groups: Vec<(Span, Vec<T>)> = Vec::new();
    for thing in things {
        let own = span(&thing);
        match groups.last_mut() {
            Some((all, members)) if all.touches(own) => {
                *all = all.with(own);
                members.push(thing);
            }
            _ => groups.push((own, vec![thing])),
        }
    }
    groups
}

/// Milliseconds that at least one of the spans covers.
pub(crate) fn total(spans: Vec<Span>) -> Millis {
    grouped(spans, |span| *span).iter().map(|(span, _)| span.length()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_is_counted_once() {
        let spans = vec![Span::new(50, 60), Span::new(0, 10), Span::new(5, 20), Span::new(20, 25), Span::new(9, 3)];
        assert_eq!(total(spans.clone()), 35);
        let groups: Vec<(Span, usize)> = grouped(spans, |s| *s).into_iter().map(|(all, of)| (all, of.len())).collect();
        assert_eq!(groups, [(Span::new(0, 25), 4), (Span::new(50, 60), 1)]);
    }
}
