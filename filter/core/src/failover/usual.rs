//! The share of a cluster's traffic that goes away from home although all is well there.
//!
//! Where Envoy prefers home (by priorities), nothing goes away, and that is certain. Elsewhere the share is measured in
//! calm times. Two shares of few attempts each differ by chance; [`Usual::margin`] says by how much.

use super::home::Traffic;
use crate::encoded;
use crate::locality::Tier;
use crate::time::Millis;

/// How many standard deviations two shares must lie apart to differ by more than chance.
const DEVIATIONS: f64 = 3.0;

/// What usually goes away from home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usual {
    /// Not known; taken as nothing.
    #[default]
    Unknown,
    /// Nothing: Envoy's priorities keep all traffic at home.
    Nothing(Tier),
    /// As measured.
    Measured(Measured),
}

encoded!(enum Usual { 0 => Unknown, 1 => Nothing(tier), 2 => Measured(measured) });

/// A share that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The home tier from which `away` is farther.
    pub tier: Tier,
    /// Attempts that went away.
    pub away: u32,
    /// All attempts.
    pub attempts: u32,
    /// When it was measured, if over a whole window; a measurement of less is replaced soon.
    pub whole_at: Option<Millis>,
}

encoded!(struct Measured { tier, away, attempts, whole_at });

impl Usual {
    /// What is known of this home tier.
    pub fn of(self, tier: Tier) -> Self {
        match self {
            Self::Nothing(known) if known == tier => self,
            Self::Measured(known) if known.tier == tier => self,
            _ => Self::Unknown,
        }
    }

    /// Measures the traffic of a window of `length` milliseconds in calm times, which began at `calm_since`, unless
    /// this window was measured already or has fewer than `least` attempts.
    pub fn measure(&mut self, tier: Tier, traffic: &Traffic, least: u32, length: Millis, times: (Millis, Millis)) {
        let (calm_since, now) = times;
        let is_whole = now.saturating_sub(calm_since) >= length;
        let is_due = match self.of(tier) {
            Self::Measured(Measured { whole_at: Some(at), .. }) => is_whole && now.abs_diff(at) >= length,
            // With so few attempts, a measurement of less than a window is better than none.
            _ => true,
        };
        if is_due && traffic.attempts >= least.max(1) {
            let whole_at = is_whole.then_some(now);
            let (away, attempts) = (traffic.away_attempts(), traffic.attempts);
            *self = Self::Measured(Measured { tier, away, attempts, whole_at });
        }
    }

    /// The share, 0 to 1.
    pub fn share(self) -> f64 {
        match self {
            Self::Measured(Measured { away, attempts, .. }) if attempts > 0 => f64::from(away) / f64::from(attempts),
            _ => 0.0,
        }
    }

    /// By how much the share of `attempts` attempts may exceed the usual one by chance.
    pub fn margin(self, attempts: u32) -> f64 {
        let Self::Measured(measured) = self else { return 0.0 };
        if attempts == 0 || measured.attempts == 0 {
            return 1.0;
        }
        let (then, now) = (f64::from(measured.attempts), f64::from(attempts));
        let p = (f64::from(measured.away) + 1.0) / (then + 2.0);
        DEVIATIONS * (p * (1.0 - p) * (1.0 / now + 1.0 / then)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::Count;
    use crate::locality::Locality;

    fn traffic(attempts: u32, away: u32) -> Traffic {
        let count = Count { attempts: away, errors: 0 };
        Traffic { attempts, away: vec![(Locality::parse("r/b"), Tier::SameRegion, count)], last_away: None }
    }

    #[test]
    fn a_window_is_measured_once_and_less_than_a_window_only_at_first() {
        let mut usual = Usual::default();
        let mut measure = |away, now| {
            usual.measure(Tier::SameZone, &traffic(100, away), 5, 10_000, (1_000, now));
            usual.share()
        };
        assert_eq!([measure(40, 2_000), measure(50, 9_000), measure(60, 11_000)], [0.4, 0.5, 0.6]);
        assert_eq!([measure(70, 20_900), measure(70, 21_000)], [0.6, 0.7]);
        usual.measure(Tier::SameZone, &traffic(4, 4), 5, 10_000, (1_000, 60_000));
        assert_eq!(usual.share(), 0.7, "too few attempts");
        assert_eq!(usual.of(Tier::SameRegion), Usual::Unknown, "away from another home");
    }

    #[test]
    fn the_margin_shrinks_with_the_attempts_of_both_shares() {
        let measured = |attempts, away| {
            let mut usual = Usual::default();
            usual.measure(Tier::SameZone, &traffic(attempts, away), 1, 1_000, (0, 1_000));
            usual
        };
        let (few, many) = (measured(10, 5), measured(1_000, 500));
        assert!(few.margin(10) > 0.6 && many.margin(1_000) < 0.07);
        assert!(many.margin(10) > 0.4 && few.margin(1_000) > 0.4);
        assert!(measured(10, 0).margin(10) > 0.3, "none of ten is not never");
        assert_eq!(Usual::Nothing(Tier::SameZone).margin(1), 0.0);
    }
}
