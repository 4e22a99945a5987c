//! Envoy's response flags: the bits of the attribute `response.flags` and their names in access logs.

use crate::text::joined;

/// A set of response flags, as the bits of the attribute. Envoy only appends flags and never renumbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags(pub u64);

/// Names of the flags by bit, as access logs write them.
const FLAG_NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

impl ResponseFlags {
    /// No healthy upstream.
    pub const UH: Self = Self(1 << 1);
    /// Upstream request timeout.
    pub const UT: Self = Self(1 << 2);
    /// Upstream connection failure.
    pub const UF: Self = Self(1 << 5);
    /// Upstream overflow: the circuit breaker.
    pub const UO: Self = Self(1 << 7);
    /// Stream idle timeout: in the upstream log a per-try idle timeout, or the client's stream was idle.
    pub const SI: Self = Self(1 << 16);
    /// Upstream maximum stream duration reached.
    pub const UMSDR: Self = Self(1 << 19);
    /// Downstream connection termination: the client disconnected.
    pub const DC: Self = Self(1 << 14);
    /// Flags of a stream that was reset on the upstream side: LR, UR, UF, UC, UPE, OM.
    pub const RESETS: Self = Self(1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 23 | 1 << 25);

    /// [`ResponseFlags::RESETS`] and UT, which a per-try idle timeout sets.
    pub const RESETS_AND_TIMEOUTS: Self = Self(Self::RESETS.0 | Self::UT.0);

    /// Whether any of `other`'s flags is set.
    pub const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names joined by commas (`UF,URX`); empty when no flag is set.
    pub fn names(self) -> String {
        let set = FLAG_NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        joined(&set.map(|(_, name)| *name).collect::<Vec<_>>(), ",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_as_access_logs_name_them() {
        assert_eq!(ResponseFlags(0x8020).names(), "UF,URX");
        assert_eq!(ResponseFlags(0).names(), "");
        assert_eq!(ResponseFlags(u64::MAX).names().split(',').count(), FLAG_NAMES.len());
    }
}
