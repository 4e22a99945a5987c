//! The positions in which the judge runs the filter.

/// Where the filter runs in Envoy, and so what it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// HTTP filter, no retries: each request's only attempt. Returns may be inferred late.
    Http,
    /// HTTP filter and the router's upstream log, with retries.
    UpstreamLog,
    /// HTTP filter and witness, with retries.
    Witness,
    /// All three, with retries.
    Both,
    /// Only the logs, behind Envoy's own filter for failures, and witness, with retries.
    Lean,
}

impl Mode {
    /// Every mode; by default, all of them are run.
    pub const ALL: [Self; 5] = [Self::Http, Self::UpstreamLog, Self::Witness, Self::Both, Self::Lean];

    /// The mode as the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::UpstreamLog => "upstream-log",
            Self::Witness => "witness",
            Self::Both => "both",
            Self::Lean => "lean",
        }
    }

    /// Whether the filter is in the router's upstream log.
    pub const fn sees_attempts(self) -> bool {
        matches!(self, Self::UpstreamLog | Self::Both)
    }

    /// Whether the filter asks Envoy's admin interface.
    pub const fn has_witness(self) -> bool {
        matches!(self, Self::Witness | Self::Both | Self::Lean)
    }
}
