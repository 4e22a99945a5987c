//! How a cluster ejects, as Envoy itself has told, and when it should be asked again.

use crate::encoded;
use crate::endpoint::rule::Rule;
use crate::time::Millis;

/// How long Envoy is not asked again for a rule that it did not have, in milliseconds.
const ASK_WHERE_NONE_MS: Millis = 60_000;

/// How old a rule may become when what Envoy does does not fit it, in milliseconds.
const REREAD_IN_DOUBT_MS: Millis = 5_000;

/// Where Envoy has a cluster from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The bootstrap.
    Bootstrap,
    /// A control plane.
    ControlPlane,
}

encoded!(enum Origin { 0 => Bootstrap, 1 => ControlPlane });

/// What Envoy has told about a cluster's rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownRule {
    rule: Option<Rule>,
    /// Where Envoy has the cluster from.
    origin: Option<Origin>,
    /// The clusters that an aggregate cluster consists of.
    members: Vec<String>,
    /// When it was last asked for, with or without an answer; 0 if never.
    asked: Millis,
    /// Whether what Envoy does does not fit it.
    pub(super) doubt: bool,
}

encoded!(struct KnownRule { rule, origin, members, asked, doubt });

impl KnownRule {
    /// The rule; `None` if Envoy has not told.
    pub(super) fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Where Envoy has the cluster from; `None` if Envoy has not told.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// The clusters that an aggregate cluster consists of.
    pub(super) fn members(&self) -> &[String] {
        &self.members
    }

    /// Whether Envoy has not been asked yet.
    pub(super) fn is_unasked(&self) -> bool {
        self.asked == 0
    }

    /// Whether Envoy should be asked for the rule at `now`, if it may become `oldest` milliseconds old.
    pub(super) fn is_wanted(&self, oldest: Millis, now: Millis) -> bool {
        let limit = match &self.rule {
            _ if self.doubt => REREAD_IN_DOUBT_MS,
            Some(_) => oldest,
            // A cluster without traffic needs no rule.
            None if oldest < Millis::MAX => ASK_WHERE_NONE_MS,
            None => oldest,
        };
        self.asked == 0 || now.abs_diff(self.asked) >= limit
    }

    /// Whether the rule was asked for so long ago that what Envoy does not do may be due to another one.
    pub(super) fn is_old(&self, now: Millis) -> bool {
        now.saturating_sub(self.asked) > REREAD_IN_DOUBT_MS
    }

    /// Has the rule asked for anew: the cluster may have been replaced, with another rule.
    pub(super) fn ask_anew(&mut self) {
        self.asked = 0;
    }

    /// Notes a question asked at `asked` without a usable answer: it is asked again soon.
    pub(super) fn fail(&mut self, asked: Millis) {
        (self.asked, self.doubt) = (asked, true);
    }

    /// Takes in an answer to a question asked at `asked`: origin, rule and members, or `None` if Envoy has no such
    /// cluster. True if the rule is known for the first time, or has changed.
    pub(super) fn update(&mut self, answer: Option<(Origin, &Rule, &[String])>, asked: Millis) -> bool {
        (self.asked, self.doubt) = (asked, false);
        let Some((origin, rule, members)) = answer else { return false };
        self.origin = Some(origin);
        self.members = members.to_vec();
        let rule = Rule { by_envoy: true, ..rule.clone() };
        let is_new = self.rule.as_ref() != Some(&rule);
        self.rule = Some(rule);
        is_new
    }
}
