//! Whether a cluster's home is calm or in trouble, and since when. It says from when on shares are measured.

use super::home::Home;
use crate::encoded;
use crate::time::Millis;

/// The state of a cluster's home while no failover is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not known yet, or a failover is going on.
    #[default]
    Unknown,
    /// Every endpoint at home is in rotation.
    Calm {
        /// Since when.
        since: Millis,
    },
    /// An endpoint at home is not in rotation, or all of them have left.
    Troubled {
        /// Since when.
        since: Millis,
    },
}

encoded!(enum Phase { 0 => Unknown, 1 => Calm { since }, 2 => Troubled { since } });

impl Phase {
    /// The phase that follows, with home as it is at `now`.
    pub fn next(self, home: &Home, now: Millis) -> Self {
        match self {
            Self::Calm { .. } if home.is_whole() => self,
            Self::Troubled { .. } if home.cause.is_some() => self,
            _ if home.is_whole() => Self::Calm { since: now },
            _ if home.cause.is_some() => Self::Troubled { since: now },
            _ => self,
        }
    }

    /// When it began; 0 if not known.
    pub fn since(self) -> Millis {
        match self {
            Self::Unknown => 0,
            Self::Calm { since } | Self::Troubled { since } => since,
        }
    }
}
