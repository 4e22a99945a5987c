//! When a proxy ended and began again, among its events. The line that says so has a time without a zone, or none: the
//! events before and after it bound it.

use filter_core::time::Millis;

use super::event::Kept;
use super::remark::{Remark, Said};

/// A proxy's beginning or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// When.
    pub(crate) at: Millis,
    /// Which of the two.
    pub(crate) kind: TurnKind,
}

/// Which turn it is; an end comes before a beginning of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TurnKind {
    Stopped,
    Started,
}

/// The turns of one proxy in order of time. Each stands after so many of the events, as they were read.
pub(super) fn placed(events: &[Kept], turns: &[(usize, Remark)]) -> Vec<Turn> {
    let mut placed: Vec<Turn> = turns.iter().filter_map(|(after, remark)| turn(events, *after, remark)).collect();
    placed.sort_unstable();
    placed.dedup();
    placed
}

fn turn(events: &[Kept], after: usize, remark: &Remark) -> Option<Turn> {
    let (before, behind) = events.split_at_checked(after)?;
    let at = |event: &Kept| event.at;
    let (earliest, latest) = (before.iter().map(at).max(), behind.iter().map(at).min());
    let kind = match remark.said {
        Said::Started => TurnKind::Started,
        Said::Stopped => TurnKind::Stopped,
        Said::Warning => return None,
    };
    let otherwise = if kind == TurnKind::Started { latest.or(earliest) } else { earliest.or(latest) };
    let at = remark.at.or(otherwise)?;
    // What was read latest first, or twice, bounds nothing.
    let in_order = earliest.is_none_or(|earliest| latest.is_none_or(|latest| earliest <= latest));
    let at = if in_order { at.max(earliest.unwrap_or(0)).min(latest.unwrap_or(Millis::MAX)) } else { at };
    Some(Turn { at, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::logs::event_of;

    #[test]
    fn a_turn_lies_between_the_events_around_it_whatever_the_clocks_zone() {
        let event = |second: u32| {
            let text = format!(r#"{{"faultline":"no_healthy_upstream","v":1,"ts":"1970-01-01T00:00:{second:02}Z"}}"#);
            Box::new(event_of(&text))
        };
        let at = |events: &[Kept], at: Option<Millis>| {
            let remark = Remark { said: Said::Started, text: "x".into(), at };
            placed(events, &[(1, remark)])[0].at
        };
        let events = [event(10), event(20)];
        assert_eq!(at(&events, Some(15_000)), 15_000);
        assert_eq!(at(&events, Some(3_615_000)), 20_000, "its clock is an hour ahead");
        assert_eq!(at(&events, None), 20_000);
        assert_eq!(at(&[event(20), event(10)], Some(15_000)), 15_000, "the latest came first");
    }
}
