//! What may be done with a pod at all, whatever its proxy does.

use serde::Serialize;

use crate::refusal::Refusal;

/// The value of the annotation `hot-switch.faultline.dev/mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing, not even a word.
    Off,
    /// Says what it would do.
    #[default]
    Report,
    /// Does it.
    Act,
}

impl Mode {
    /// What an annotation says. A word that is none of these is no consent.
    #[must_use]
    pub fn of_annotation(word: Option<&str>) -> Self {
        match word {
            Some("act") => Self::Act,
            Some("off") => Self::Off,
            _ => Self::Report,
        }
    }

    /// The word of the annotation.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Act => "act",
        }
    }
}

/// Which traffic a bypass takes past the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Directions {
    /// All of it.
    #[default]
    Both,
    /// What comes to the pod.
    Inbound,
    /// What the application sends.
    Outbound,
}

impl Directions {
    /// What an annotation says. A word that is none of these is as if it were not there.
    #[must_use]
    pub fn of_annotation(word: Option<&str>) -> Self {
        match word {
            Some("inbound") => Self::Inbound,
            Some("outbound") => Self::Outbound,
            _ => Self::Both,
        }
    }

    /// Whether traffic that comes to the pod is part of it.
    #[must_use]
    pub fn inbound(self) -> bool {
        matches!(self, Self::Both | Self::Inbound)
    }

    /// Whether traffic that the application sends is part of it.
    #[must_use]
    pub fn outbound(self) -> bool {
        matches!(self, Self::Both | Self::Outbound)
    }

    /// The word of annotations and events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Why a pod is never bypassed, of those reasons that its specification gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A workload with a sidecar.
    #[default]
    Sidecar,
    /// It shares the node's network.
    HostNetwork,
    /// Ambient.
    Ambient,
    /// A gateway.
    Gateway,
    /// One of the mesh's own.
    System,
}

/// What a pod is, and what its owner wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What its owner wants.
    pub mode: Mode,
    /// Which traffic.
    pub directions: Directions,
    /// What it is.
    pub kind: Kind,
    /// Whether it goes on living.
    pub life: Life,
    /// What a bypass would take away.
    pub protection: Protection,
}

/// Whether a pod goes on living.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// It does.
    #[default]
    Lives,
    /// It has a deletion timestamp.
    Terminating,
    /// Its node is cordoned, and pods leave it.
    Draining,
}

/// What policy the proxy enforces that a bypass would take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// None that is known.
    #[default]
    None,
    /// STRICT, an AuthorizationPolicy or a RequestAuthentication, and the pod allows to lose it.
    MayBeLost,
    /// The same, and the pod does not.
    MustStay,
    /// The pod does not allow to lose any, and who knows whether there is any is asked before anything is done.
    Unknown,
}

impl Protection {
    /// The same, when it is known whether there is any.
    #[must_use]
    pub fn known(self, is_protected: bool) -> Self {
        match self {
            Self::Unknown if is_protected => Self::MustStay,
            Self::Unknown => Self::None,
            known => known,
        }
    }
}

impl Standing {
    /// Why this pod may not be bypassed, whatever its proxy does.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match (self.kind, self.life) {
            (Kind::HostNetwork, _) => return Some(Refusal::HostNetwork),
            (Kind::Ambient, _) => return Some(Refusal::Ambient),
            (Kind::Gateway, _) => return Some(Refusal::Gateway),
            (Kind::System, _) => return Some(Refusal::SystemNamespace),
            (Kind::Sidecar, Life::Terminating) => return Some(Refusal::Terminating),
            (Kind::Sidecar, Life::Draining) => return Some(Refusal::Draining),
            (Kind::Sidecar, Life::Lives) => {}
        }
        match (self.mode, self.protection) {
            (Mode::Off, _) => Some(Refusal::NotOptedIn),
            (_, Protection::MustStay) => Some(Refusal::Unprotected),
            (Mode::Report, _) => Some(Refusal::ReportOnly),
            (Mode::Act, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_sidecar_that_opted_in_may_be_bypassed() {
        let act = Standing { mode: Mode::Act, ..Standing::default() };
        assert_eq!(act.refusal(), None);
        for (kind, refusal) in [
            (Kind::HostNetwork, Refusal::HostNetwork),
            (Kind::Ambient, Refusal::Ambient),
            (Kind::Gateway, Refusal::Gateway),
            (Kind::System, Refusal::SystemNamespace),
        ] {
            assert_eq!(Standing { kind, ..act }.refusal(), Some(refusal));
        }
        assert_eq!(Standing { life: Life::Terminating, ..act }.refusal(), Some(Refusal::Terminating));
        assert_eq!(Standing { life: Life::Draining, ..act }.refusal(), Some(Refusal::Draining));
        assert_eq!(Standing { mode: Mode::Off, ..act }.refusal(), Some(Refusal::NotOptedIn));
        assert_eq!(Standing::default().refusal(), Some(Refusal::ReportOnly));
    }

    #[test]
    fn lost_protection_needs_a_consent_of_its_own_and_report_says_so() {
        let act = Standing { mode: Mode::Act, ..Standing::default() };
        assert_eq!(Standing { protection: Protection::MayBeLost, ..act }.refusal(), None);
        let must_stay = Standing { protection: Protection::MustStay, ..act };
        assert_eq!(must_stay.refusal(), Some(Refusal::Unprotected));
        assert_eq!(Standing { mode: Mode::Report, ..must_stay }.refusal(), Some(Refusal::Unprotected));
    }
}
