//! Which question to Envoy is due next.

use super::admin_paths;
use crate::shared::question::Question;
use filter_core::time::Millis;

/// How much later than this worker's time another's may be without a clock that went back, in milliseconds: the machine
/// may stand still between a worker's look at the clock and its question.
const STALL_MS: Millis = 10_000;

/// A kind of question, the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// How clusters eject.
    Rules,
    /// The endpoints of clusters in which something is open or suspected.
    Suspects,
    /// The endpoints of clusters with traffic, in which all is well.
    Calm,
    /// The endpoints of all clusters.
    Sweep,
}

/// What decides which question is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agenda {
    pub(super) now: Millis,
    /// When a question that is asked now counts as lost.
    pub(super) until: Millis,
    /// The maximum time between two questions about all clusters.
    pub(super) longest: Millis,
    /// Whether any cluster is watched; a proxy without watched traffic has nothing to ask about.
    pub(super) watches_any: bool,
}

impl Agenda {
    /// The next question, and how many milliseconds remain until it is due; `None` if there is nothing to ask.
    pub(super) fn next(&self, question: &Question) -> Option<(Millis, Due)> {
        if !self.watches_any {
            return None;
        }
        // If the clock goes back, a question must not count as in progress for long.
        let latest = self.until.saturating_add(STALL_MS);
        let is_under_way = question.under_way_until > self.now && question.under_way_until <= latest;
        let rested = question.done_at.saturating_add(question.rest);
        let open = if question.urgent { rested } else { question.done_at.saturating_add(question.wait) };
        let sweep = Some((question.calm_at.max(self.sweep_at(question)), Due::Sweep));
        let suspects = (!question.suspects.is_empty()).then_some((open, Due::Suspects));
        let candidates = [
            // The first shows how many clusters there are, by which rules are asked for in parts.
            sweep.filter(|_| question.refuses_long_expressions && question.sweep.asked == 0),
            // The rules of many clusters take many questions.
            suspects.filter(|_| question.rules_were_last),
            (!question.without_rule.is_empty()).then_some((rested, Due::Rules)),
            suspects,
            // Where lists of a few clusters are always wanted, those of all have their turn too.
            sweep.filter(|_| question.is_calm),
            (!question.calm.is_empty()).then_some((question.calm_at, Due::Calm)),
            sweep,
        ];
        // What has waited for longest comes first, so that an outage does not keep the filter from looking elsewhere.
        let (at, due) = candidates.into_iter().flatten().min_by_key(|(at, _)| *at)?;
        let at = if is_under_way { question.under_way_until } else { at.max(rested) };
        Some((self.wait_until(at), due))
    }

    fn sweep_at(&self, question: &Question) -> Millis {
        match question.sweep.asked {
            0 => 0,
            asked if question.sweep.interval == Millis::MAX => asked.saturating_add(Millis::MAX),
            asked => asked.saturating_add(question.sweep.interval.min(self.longest)),
        }
    }

    /// How many milliseconds remain until `at`. If the clock went back, `at` may lie far ahead; nothing waits for it.
    fn wait_until(&self, at: Millis) -> Millis {
        let wait = at.saturating_sub(self.now);
        let is_sane =
            wait <= self.longest.saturating_mul(2).max(self.until.saturating_sub(self.now)) || at == Millis::MAX;
        if is_sane { wait } else { 0 }
    }

    /// Takes the question that is due out of what should be asked; `None` if another worker was faster. Also returns
    /// the names of the clusters that it is about, and a copy of what is known about asking.
    pub(super) fn take(&self, question: &mut Question) -> Option<(Due, Vec<String>, Question)> {
        let (_, due) = self.next(question).filter(|(wait, _)| *wait == 0)?;
        question.under_way_until = self.until;
        question.rules_were_last = due == Due::Rules;
        // What the rules of many clusters cost in calm is no longer there for their endpoints.
        let are_many_rules = || question.has_long_lists() && question.suspects.is_empty();
        question.is_calm = matches!(due, Due::Calm | Due::Sweep) || (due == Due::Rules && are_many_rules());
        let most = admin_paths::MAX_NAMED;
        let names = match due {
            Due::Rules if question.asks_by_beginning(0) => question.without_rule.take(1),
            Due::Rules => question.without_rule.take(most),
            Due::Suspects => {
                let mut names = question.suspects.take(most);
                question.urgent = question.urgent && !question.suspects.is_empty();
                names.extend(question.calm.take(most.saturating_sub(names.len())));
                names
            }
            Due::Calm => question.calm.take(most),
            Due::Sweep => {
                question.sweep.asked = self.now;
                Vec::new()
            }
        };
        Some((due, names, question.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::names::Names;

    const AGENDA: Agenda = Agenda { now: 100_000, until: 102_000, longest: 30_000, watches_any: true };

    fn question() -> Question {
        let mut question = Question::default();
        (question.done_at, question.rest, question.wait, question.calm_at) = (99_900, 50, 1_000, 101_900);
        question.sweep.asked = 99_000;
        question.sweep.interval = 60_000;
        question
    }

    #[test]
    fn nothing_is_asked_more_often_than_it_may_cost() {
        let mut question = question();
        assert_eq!(AGENDA.next(&question), Some((29_000, Due::Sweep)));
        question.calm.add("a");
        assert_eq!(AGENDA.next(&question), Some((1_900, Due::Calm)));
        question.suspects.add("b");
        assert_eq!(AGENDA.next(&question), Some((900, Due::Suspects)));
        question.urgent = true;
        assert_eq!(AGENDA.next(&question), Some((0, Due::Suspects)));
        question.without_rule.add("c");
        assert_eq!(AGENDA.next(&question), Some((0, Due::Rules)));
        assert_eq!(Agenda { watches_any: false, ..AGENDA }.next(&question), None);
    }

    #[test]
    fn an_outage_in_one_cluster_does_not_keep_the_filter_from_looking_at_others() {
        let mut question = question();
        question.suspects.add("b");
        question.urgent = true;
        question.calm.add("a");
        question.calm_at = 99_940;
        assert_eq!(AGENDA.next(&question), Some((0, Due::Calm)), "it may be asked for longer");
        question.calm_at = 99_960;
        assert_eq!(AGENDA.next(&question), Some((0, Due::Suspects)));
        (question.sweep.asked, question.sweep.interval) = (50_000, 1_000);
        question.calm_at = 90_000;
        question.calm = Names::default();
        assert_eq!(AGENDA.next(&question), Some((0, Due::Sweep)));
    }

    #[test]
    fn the_rules_of_many_do_not_keep_it_from_what_is_suspected() {
        let mut question = question();
        question.urgent = true;
        (0..200).for_each(|i| question.without_rule.add(&i.to_string()));
        let mut taken = Vec::new();
        for _ in 0..4 {
            question.suspects.add("b");
            question.urgent = true;
            question.under_way_until = 0;
            taken.push(AGENDA.take(&mut question).unwrap().0);
        }
        assert_eq!(taken, [Due::Rules, Due::Suspects, Due::Rules, Due::Suspects]);
    }

    #[test]
    fn a_clock_that_goes_back_stops_nothing() {
        let mut question = question();
        question.suspects.add("b");
        let early = Agenda { now: 5, until: 2_005, ..AGENDA };
        assert_eq!(early.next(&question), Some((0, Due::Suspects)));
    }

    #[test]
    fn a_worker_that_was_held_up_does_not_ask_beside_another() {
        let mut question = question();
        question.suspects.add("b");
        question.urgent = true;
        question.under_way_until = AGENDA.until + 500;
        assert_eq!(AGENDA.next(&question).map(|(wait, _)| wait > 0), Some(true));
        question.under_way_until = AGENDA.until + 3_600_000;
        assert_eq!(AGENDA.next(&question), Some((0, Due::Suspects)), "the clock went back");
    }

    #[test]
    fn one_worker_asks_at_a_time_about_as_many_clusters_as_fit() {
        let mut question = question();
        (0..100).for_each(|i| question.suspects.add(&i.to_string()));
        question.urgent = true;
        let (due, names, _) = AGENDA.take(&mut question).unwrap();
        assert_eq!((due, names.len(), question.urgent), (Due::Suspects, 64, true));
        assert!(AGENDA.take(&mut question).is_none(), "a question is under way");
        question.under_way_until = 0;
        question.calm.add("x");
        let (_, names, _) = AGENDA.take(&mut question).unwrap();
        assert_eq!((names.len(), names.last().map(String::as_str), question.urgent), (37, Some("x"), false));
    }
}
