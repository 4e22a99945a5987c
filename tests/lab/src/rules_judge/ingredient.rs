//! What makes a set of rules more than plain services with one rule each.

use std::collections::BTreeSet;
use std::fmt;

use fastrand::Rng;

/// One of them. A set has each independently of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ingredient {
    /// Rules in the namespace of a client.
    ClientsNamespace,
    /// Rules in the root namespace.
    RootNamespace,
    /// Rules with `exportTo`.
    ExportTo,
    /// Rules with a `workloadSelector`.
    Selector,
    /// Several rules for one host in one namespace.
    SeveralRules,
    /// Rules for `*` and a suffix.
    Wildcard,
    /// Host names that are not complete.
    ShortHost,
    /// `portLevelSettings`.
    PortSettings,
    /// Subsets, with and without a policy of their own.
    Subsets,
    /// `consecutiveErrors`, which Istio no longer reads.
    RemovedField,
    /// Fields that Istio does not know.
    UnknownField,
    /// Percentages above and below what is used, and 0.
    Caps,
    /// Values that Istio refuses.
    Refused,
    /// Headless Services.
    Headless,
    /// `simple: PASSTHROUGH`.
    Passthrough,
    /// ServiceEntries with `resolution: NONE`.
    ResolutionNone,
    /// ServiceEntries with `resolution: DNS`.
    ResolutionDns,
    /// ServiceEntries with `resolution: DNS_ROUND_ROBIN`.
    DnsRoundRobin,
    /// ServiceEntries that select WorkloadEntries.
    WorkloadEntries,
    /// Endpoints without a locality.
    NoLocality,
    /// `localityLbSetting.distribute`.
    Distribute,
    /// `localityLbSetting.failover`.
    Failover,
    /// `localityLbSetting.failoverPriority`.
    FailoverPriority,
    /// `localityLbSetting.enabled: false`.
    LocalityOff,
    /// `warmup`.
    Warmup,
}

impl Ingredient {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::ClientsNamespace,
        Self::RootNamespace,
        Self::ExportTo,
        Self::Selector,
        Self::SeveralRules,
        Self::Wildcard,
        Self::ShortHost,
        Self::PortSettings,
        Self::Subsets,
        Self::RemovedField,
        Self::UnknownField,
        Self::Caps,
        Self::Refused,
        Self::Headless,
        Self::Passthrough,
        Self::ResolutionNone,
        Self::ResolutionDns,
        Self::DnsRoundRobin,
        Self::WorkloadEntries,
        Self::NoLocality,
        Self::Distribute,
        Self::Failover,
        Self::FailoverPriority,
        Self::LocalityOff,
        Self::Warmup,
    ];

    /// Its name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientsNamespace => "rule of the client's namespace",
            Self::RootNamespace => "rule of the root namespace",
            Self::ExportTo => "exportTo",
            Self::Selector => "workloadSelector",
            Self::SeveralRules => "several rules of a host",
            Self::Wildcard => "wildcard",
            Self::ShortHost => "short host",
            Self::PortSettings => "port settings",
            Self::Subsets => "subsets",
            Self::RemovedField => "consecutiveErrors",
            Self::UnknownField => "unknown field",
            Self::Caps => "caps",
            Self::Refused => "refused value",
            Self::Headless => "headless service",
            Self::Passthrough => "passthrough",
            Self::ResolutionNone => "resolution NONE",
            Self::ResolutionDns => "resolution DNS",
            Self::DnsRoundRobin => "resolution DNS_ROUND_ROBIN",
            Self::WorkloadEntries => "WorkloadEntries",
            Self::NoLocality => "endpoints without locality",
            Self::Distribute => "distribute",
            Self::Failover => "failover",
            Self::FailoverPriority => "failoverPriority",
            Self::LocalityOff => "locality switched off",
            Self::Warmup => "warmup",
        }
    }

    /// The ingredient of this name, written as on a command line: `short-host`.
    pub fn of_option(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ingredient| ingredient.option() == name)
    }

    /// Its name on a command line: `short-host`.
    pub fn option(self) -> String {
        self.as_str().replace('\'', "").replace([' ', '_'], "-").to_lowercase()
    }

    /// A set's ingredients: those in `with`, and random ones; one set in eight has no random ones.
    pub(super) fn draw(with: &BTreeSet<Self>, rng: &mut Rng) -> BTreeSet<Self> {
        let plain = rng.u32(0..8) == 0;
        let drawn: Vec<bool> = Self::ALL.iter().map(|_| rng.u32(0..4) == 0).collect();
        let drawn = Self::ALL.into_iter().zip(drawn).filter(|(_, is_drawn)| *is_drawn && !plain).map(|(one, _)| one);
        drawn.chain(with.iter().copied()).collect()
    }
}

impl fmt::Display for Ingredient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
