//! What hot-switch's agents tell: that the proxy of a pod failed, and that its traffic went past it.
//!
//! An agent's event names the pod that it is about. The pod's proxy is whose event it is, as if the proxy had written
//! it: so it stands beside what the filter in that proxy tells.

use std::hash::{Hash, Hasher};

use hot_switch_core::event;
use serde::Deserialize;

use super::event::{Name, Switch, Switched, Unprotected};
use super::labels::Labels;
use super::scalar::{Number, Text, shared};

/// Every key of such an event that the filter's events do not have.
#[derive(Default, Deserialize, Hash)]
#[serde(default)]
struct Keys<'a> {
    #[serde(borrow)]
    faultline: Text<'a>,
    #[serde(borrow)]
    pod: Text<'a>,
    #[serde(borrow)]
    why: Text<'a>,
    detected_seconds: Number,
    #[serde(borrow)]
    directions: Text<'a>,
    #[serde(borrow)]
    unprotected: Vec<Text<'a>>,
    seconds: Number,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    error: Text<'a>,
}

/// Those keys, in the order in which agents write them. Where an event was taken apart on its way they are its own only
/// if its name is an agent's: `pod` and `node` tell of other events who wrote them.
pub(super) const KEYS: [&str; 7] = ["pod", "node", "why", "detected_seconds", "directions", "unprotected", "would"];

/// Whether agents write events of this name.
pub(super) fn is_name(name: &str) -> bool {
    event::NAMES.contains(&name)
}

/// Reads an agent's event; none if it is none, or has values of wrong types.
pub(super) fn read(json: &str, state: &mut impl Hasher) -> Option<Switch> {
    let keys: Keys<'_> = serde_json::from_str(json).ok()?;
    keys.hash(state);
    let seconds = keys.seconds.value();
    let unprotected = || Unprotected {
        directions: keys.directions.owned(),
        lost: keys.unprotected.iter().map(Text::owned).collect(),
    };
    let what = match keys.faultline.as_str() {
        event::SUSPECTED => Switched::Suspected { why: keys.why.owned() },
        event::RECOVERED => Switched::Recovered { seconds },
        event::BYPASSED => Switched::Bypassed {
            why: keys.why.owned(),
            detected_seconds: keys.detected_seconds.value(),
            unprotected: unprotected(),
        },
        event::ADOPTED => Switched::Adopted { unprotected: unprotected() },
        event::RESTORED => Switched::Restored { seconds },
        event::REFUSED => Switched::Refused { reason: keys.reason.owned(), why: keys.why.owned() },
        event::OVERDUE => Switched::Overdue { seconds },
        event::FAILED => Switched::Failed { error: keys.error.owned() },
        _ => return None,
    };
    Some(Switch { pod: keys.pod.owned(), what })
}

/// `namespace/name`, as agents write a workload, in the filter's way: `name.namespace`.
pub(super) fn workload(written: &Text<'_>) -> Name {
    match written.as_str().split_once('/') {
        Some((namespace, name)) => shared(&format!("{name}.{namespace}")),
        None => written.owned(),
    }
}

/// Whose the event is: the sidecar of the pod that it is about.
pub(super) fn labels(switch: &Switch) -> Labels {
    let (namespace, pod) = switch.pod.split_once('/').unwrap_or(("", &switch.pod));
    Labels::of_sidecar(namespace, pod)
}
