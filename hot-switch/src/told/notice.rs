//! The same news as Kubernetes Events have it: what `kubectl describe pod` shows.

use hot_switch_core::pod::News;
use hot_switch_core::refusal::Refusal;
use hot_switch_core::standing::Directions;

/// The API server takes no longer note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What an Event says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look: the Event's type is `Warning`, and `Normal` otherwise.
    pub is_warning: bool,
    /// Why there is an Event, a word for programs.
    pub reason: &'static str,
    /// What was done, a word for programs.
    pub action: &'static str,
    /// What happened, for people.
    pub note: String,
}

/// What is said of news.
#[must_use]
pub fn of(news: &News, directions: Directions) -> Notice {
    let seconds = |time: &core::time::Duration| format!("{:.1} s", time.as_secs_f64());
    let traffic = match directions {
        Directions::Both => "traffic",
        Directions::Inbound => "inbound traffic",
        Directions::Outbound => "outbound traffic",
    };
    let (is_warning, reason, action, note) = match news {
        News::Suspected(why) => (true, "ProxySuspected", "Probe", format!("{}, seen twice", why.words())),
        News::Recovered(failed) => {
            let note = format!("the proxy is well again, after {}; nothing was done", seconds(failed));
            (false, "ProxyRecovered", "Probe", note)
        }
        News::Bypassed(why, detected) => {
            let (why, after) = (why.words(), seconds(detected));
            let lost = "without mTLS, policy and telemetry";
            (true, "ProxyBypassed", "Bypass", format!("{why} for {after}: {traffic} goes past it, {lost}"))
        }
        News::Adopted => {
            (true, "BypassAdopted", "Bypass", format!("{traffic} was found going past the proxy, and is looked after"))
        }
        News::Restored(lasted) => {
            let note = format!("the proxy is well: {traffic} goes through it again, after {}", seconds(lasted));
            (false, "ProxyRestored", "Restore", note)
        }
        News::Refused(refusal, why) => {
            let would = if *refusal == Refusal::ReportOnly { "it would be bypassed" } else { "it is not bypassed" };
            (true, "BypassRefused", "Refuse", format!("{}, and {would}: {}", why.words(), refusal.words()))
        }
        News::Overdue(lasted) => {
            let note = format!("{traffic} has gone past the proxy for {}, longer than it may", seconds(lasted));
            (true, "BypassOverdue", "Bypass", note)
        }
    };
    Notice { is_warning, reason, action, note }
}

/// What is said of an action that failed.
#[must_use]
pub fn of_failure(error: &anyhow::Error) -> Notice {
    let mut note = format!("could not be done: {error:#}");
    // A kernel's complaint may be long, and may be cut anywhere but within a character.
    while note.len() > LONGEST_NOTE {
        note.pop();
    }
    Notice { is_warning: true, reason: "BypassFailed", action: "Bypass", note }
}

#[cfg(test)]
mod tests {
    use hot_switch_core::Moment;
    use hot_switch_core::sighting::Condition;

    use super::*;

    #[test]
    fn a_notice_says_what_happened_and_what_is_lost() {
        let said = of(&News::Bypassed(Condition::Hung, Moment::from_millis(3021)), Directions::Inbound);
        assert_eq!((said.is_warning, said.reason), (true, "ProxyBypassed"));
        let wanted = "the proxy hangs for 3.0 s: inbound traffic goes past it, without mTLS, policy and telemetry";
        assert_eq!(said.note, wanted);
        let said = of(&News::Restored(Moment::from_secs(42)), Directions::Both);
        assert_eq!((said.is_warning, said.reason), (false, "ProxyRestored"));
    }

    #[test]
    fn every_refusal_is_named_in_words() {
        for refusal in Refusal::ALL {
            let said = of(&News::Refused(refusal, Condition::Dead), Directions::Both);
            assert!(said.note.starts_with("the proxy is dead, and it ") && !said.note.contains('_'), "{said:?}");
        }
    }

    #[test]
    fn a_note_is_never_longer_than_the_api_server_takes() {
        let said = of_failure(&anyhow::anyhow!("{}", "ü".repeat(5000)));
        assert!(said.note.len() <= LONGEST_NOTE && said.note.ends_with('ü'));
    }
}
