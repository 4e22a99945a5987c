//! Packet rules as far as they concern us: Istio's chains, and our rules in them.

use std::fmt;

/// The beginning of the comments of all rules of ours.
pub const TAG: &str = "faultline-hot-switch";

/// Where rules are kept. A kernel can hold rules in several at once, and all of them act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// iptables on nf_tables, IPv4.
    Nft4,
    /// The same, IPv6.
    Nft6,
    /// The old x_tables, IPv4.
    Legacy4,
    /// The same, IPv6.
    Legacy6,
    /// Istio's own tables in nftables (`values.global.nativeNftables`).
    Native,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Nft4, Self::Nft6, Self::Legacy4, Self::Legacy6, Self::Native];

    /// The program that prints the rules.
    #[must_use]
    pub fn reader(self) -> &'static str {
        match self {
            Self::Nft4 => "iptables-nft-save",
            Self::Nft6 => "ip6tables-nft-save",
            Self::Legacy4 => "iptables-legacy-save",
            Self::Legacy6 => "ip6tables-legacy-save",
            Self::Native => "nft",
        }
    }

    /// The program that changes them.
    #[must_use]
    pub fn writer(self) -> &'static str {
        match self {
            Self::Nft4 => "iptables-nft-restore",
            Self::Nft6 => "ip6tables-nft-restore",
            Self::Legacy4 => "iptables-legacy-restore",
            Self::Legacy6 => "ip6tables-legacy-restore",
            Self::Native => "nft",
        }
    }
}

/// Whether a name or comment that a kernel printed is safe to write into a text for the programs that change rules: one
/// word that is no option.
///
/// Who has `NET_ADMIN` in a pod chooses the names and comments there, with line breaks if they like, and those programs
/// have options that start other programs (`--modprobe`). What is not plain is nothing of Istio's or ours.
#[must_use]
pub fn is_plain(word: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"_-:.".contains(&letter);
    !word.is_empty() && word.len() <= 64 && !word.starts_with('-') && word.bytes().all(is_letter)
}

/// What a rule of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The gate, and when it was set, in milliseconds since 1970.
    Gate(u64),
    /// The application's probes, taken over.
    Probes,
    /// The sidecar's own readiness, taken over.
    Ready,
}

impl Mark {
    /// The mark that a comment says.
    #[must_use]
    pub fn of_comment(comment: &str) -> Option<Self> {
        if !is_plain(comment) {
            return None;
        }
        let rest = comment.strip_prefix(TAG)?;
        match rest.strip_prefix(":gate:") {
            // A time that cannot be read is still our gate, from nobody knows when.
            Some(since) => Some(Self::Gate(since.parse().unwrap_or(0))),
            None if rest == ":probes" => Some(Self::Probes),
            None if rest == ":ready" => Some(Self::Ready),
            None => Some(Self::Gate(0)),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate(since) => write!(out, "{TAG}:gate:{since}"),
            Self::Probes => write!(out, "{TAG}:probes"),
            Self::Ready => write!(out, "{TAG}:ready"),
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What names it in a deletion, if it is ours: its comment, or its handle. Nothing else of what a kernel prints is
    /// ever written into a text of our own: whoever may set rules in a pod chooses their words.
    pub name: String,
    /// What it is for, if it is ours.
    pub mark: Option<Mark>,
    /// The TCP port that it lets pass untouched, if that is all that it does.
    pub passes_port: Option<u16>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// As the backend writes it.
    pub name: String,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// As the backend writes it, such as `nat` or `istio-proxy-nat`.
    pub name: String,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// The rules of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Where they are.
    pub backend: Backend,
    /// The tables.
    pub tables: Vec<Table>,
}

/// Which traffic a chain of Istio's carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What comes to the pod.
    In,
    /// What the application sends.
    Out,
}

impl Chain {
    /// Which traffic this chain carries to the proxy, if it is one of Istio's that does.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        match self.name.to_ascii_uppercase().replace('-', "_").as_str() {
            "ISTIO_INBOUND" | "ISTIO_IN_REDIRECT" => Some(Way::In),
            "ISTIO_OUTPUT" | "ISTIO_REDIRECT" | "ISTIO_OUTPUT_DNS" => Some(Way::Out),
            _ => None,
        }
    }

    /// When the gate in it was set; only a gate at the head lets nothing past.
    #[must_use]
    pub fn gate(&self) -> Option<u64> {
        match self.rules.first()?.mark? {
            Mark::Gate(since) => Some(since),
            Mark::Probes | Mark::Ready => None,
        }
    }

    /// All rules of ours for this purpose.
    pub fn ours(&self, is: impl Fn(Mark) -> bool) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.mark.is_some_and(&is))
    }
}

impl Rules {
    /// All chains, with their tables.
    pub fn chains(&self) -> impl Iterator<Item = (&Table, &Chain)> {
        self.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)))
    }

    /// Whether Istio's rules are here.
    #[must_use]
    pub fn capture(&self) -> bool {
        self.chains().any(|(_, chain)| chain.way().is_some())
    }

    /// Whether a rule of ours is here.
    #[must_use]
    pub fn have_ours(&self) -> bool {
        self.chains().any(|(_, chain)| chain.rules.iter().any(|rule| rule.mark.is_some()))
    }

    /// Whether a rule of ours for this purpose is here.
    #[must_use]
    pub fn have(&self, wanted: Mark) -> bool {
        self.chains().any(|(_, chain)| chain.ours(|mark| mark == wanted).next().is_some())
    }

    /// Whether traffic is marked and diverted instead of redirected.
    #[must_use]
    pub fn is_tproxy(&self) -> bool {
        let name = |chain: &Chain| chain.name.to_ascii_uppercase().replace('-', "_");
        self.chains().any(|(_, chain)| name(chain) == "ISTIO_TPROXY")
    }

    /// The ports on which the pod is reached past the proxy anyhow.
    pub fn passed_ports(&self) -> impl Iterator<Item = u16> {
        let inbound = self.chains().filter(|(_, chain)| chain.way() == Some(Way::In));
        inbound.flat_map(|(_, chain)| chain.rules.iter().filter_map(|rule| rule.passes_port))
    }
}
