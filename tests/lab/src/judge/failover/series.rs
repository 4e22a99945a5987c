//! Requests over time, with quick sums over any span.

/// Some requests to one locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// When they ended, or were counted, in milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// Where to.
    pub(super) locality: String,
    /// Whether that is farther than the home tier.
    pub(super) way: Way,
    /// Where else they may have gone, with the way there: their endpoint moved at about that time, and what is
    /// delivered is in use some milliseconds before that is noted.
    pub(super) perhaps: Option<(String, Way)>,
    /// Whether their endpoint answered, well or not.
    pub(super) answered: bool,
    /// How many; 0 for a request that its client gave up.
    pub(super) count: u64,
}

/// Whether a request stayed at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Home,
    Away,
}

/// Requests in order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    sent: Vec<Sent>,
    /// The sums of what is before each entry: all, and away.
    sums: Vec<(u64, u64)>,
}

impl Series {
    pub(super) fn new(mut sent: Vec<Sent>) -> Self {
        sent.sort_by_key(|sent| sent.at);
        let mut sums = vec![(0, 0)];
        let (mut all, mut away) = (0, 0);
        for one in &sent {
            all += one.count;
            away += if one.way == Way::Away { one.count } else { 0 };
            sums.push((all, away));
        }
        Self { sent, sums }
    }

    /// What ended after `from` and not after `to`.
    pub(super) fn between(&self, from: i64, to: i64) -> &[Sent] {
        let (begin, end) = self.bounds(from, to);
        &self.sent[begin..end]
    }

    /// All requests of the span, and those of them that went away.
    pub(super) fn counts(&self, from: i64, to: i64) -> (u64, u64) {
        let (begin, end) = self.bounds(from, to);
        (self.sums[end].0 - self.sums[begin].0, self.sums[end].1 - self.sums[begin].1)
    }

    /// Requests of the span that certainly went away to this locality, and those that may have.
    pub(super) fn away_to_between(&self, locality: &str, from: i64, to: i64) -> (u64, u64) {
        let (mut least, mut most) = (0, 0);
        for sent in self.between(from, to) {
            let is = |at: &str, way: Way| way == Way::Away && at == locality;
            let may_be = sent.perhaps.as_ref().is_some_and(|(at, way)| is(at, *way));
            match (is(&sent.locality, sent.way), &sent.perhaps) {
                (true, None) => (least, most) = (least + sent.count, most + sent.count),
                (true, Some(_)) => most += sent.count,
                (false, _) if may_be => most += sent.count,
                (false, _) => {}
            }
        }
        (least, most)
    }

    /// Requests of the span that went away to this locality.
    pub(super) fn away_to(&self, locality: &str, from: i64, to: i64) -> u64 {
        let is = |sent: &&Sent| sent.way == Way::Away && sent.locality == locality;
        self.between(from, to).iter().filter(is).map(|sent| sent.count).sum()
    }

    fn bounds(&self, from: i64, to: i64) -> (usize, usize) {
        let begin = self.sent.partition_point(|sent| sent.at <= from);
        let end = self.sent.partition_point(|sent| sent.at <= to);
        (begin, end.max(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_what_ended_in_it() {
        let sent = |at, way, locality: &str| Sent {
            at,
            locality: locality.to_owned(),
            way,
            perhaps: None,
            answered: true,
            count: 2,
        };
        let series = Series::new(vec![sent(30, Way::Away, "b"), sent(10, Way::Home, "a"), sent(20, Way::Away, "c")]);
        assert_eq!(series.counts(0, 30), (6, 4));
        assert_eq!(series.counts(10, 20), (2, 2));
        assert_eq!(series.away_to("b", 0, 30), 2);
        assert_eq!(series.counts(40, 20), (0, 0));
    }
}
