//! Which question to Envoy is due next.

use super::admin_paths;
use crate::shared::question::Question;
use filter_core::time::Millis;

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
        let is_under_way = question.under_way_until > self.now && question.under_way_until <= self.until;
        let left = |since: Millis, wait: Millis| wait.saturating_sub(self.now.abs_diff(since));
        let after = |wait| left(question.done_at, wait);
        let open = if question.urgent { question.rest } else { question.wait };
        let candidates = [
            (!question.without_rule.is_empty()).then_some((after(question.rest), Due::Rules)),
            (!question.suspects.is_empty()).then_some((after(open), Due::Suspects)),
            (!question.calm.is_empty()).then_some((after(question.calm_rest), Due::Calm)),
            Some((after(question.calm_rest).max(left(question.sweep.asked, self.sweep_wait(question))), Due::Sweep)),
        ];
        let (wait, due) = candidates.into_iter().flatten().min_by_key(|(wait, _)| *wait)?;
        match is_under_way {
            true => Some((question.under_way_until.saturating_sub(self.now), due)),
            false => Some((wait, due)),
        }
    }

    fn sweep_wait(&self, question: &Question) -> Millis {
        match question.sweep.asked {
            0 => 0,
            _ if question.sweep.interval == Millis::MAX => Millis::MAX,
            _ => question.sweep.interval.min(self.longest),
        }
    }

    /// Takes the question that is due out of what should be asked; `None` if another worker was faster. Also returns
    /// the names of the clusters that it is about, and a copy of what is known about asking.
    pub(super) fn take(&self, question: &mut Question) -> Option<(Due, Vec<String>, Question)> {
        let (_, due) = self.next(question).filter(|(wait, _)| *wait == 0)?;
        question.under_way_until = self.until;
        let most = admin_paths::MAX_NAMED;
        let names = match due {
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

    const AGENDA: Agenda = Agenda { now: 100_000, until: 102_000, longest: 30_000, watches_any: true };

    fn question() -> Question {
        let mut question = Question::default();
        (question.done_at, question.rest, question.wait, question.calm_rest) = (99_900, 50, 1_000, 2_000);
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
