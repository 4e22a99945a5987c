//! The ways in which Istio's rules capture a pod's traffic: texts as its own program writes them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::istio::Namespace;

const REDIRECT: &str = include_str!("../../../../../hot-switch/tests/rules/redirect.rules");
const REDIRECT6: &str = include_str!("../../../../../hot-switch/tests/rules/redirect6.rules");
const TPROXY_DNS: &str = include_str!("../../../../../hot-switch/tests/rules/tproxy-dns.rules");
const NATIVE: &str = include_str!("../../../../../hot-switch/tests/rules/native.nft");

const NFT: &str = "iptables-nft-restore";
const LEGACY: &str = "iptables-legacy-restore";

/// Where packets that TPROXY marks are routed to the machine itself, by Istio's own numbers.
const DIVERTED: [&[&str]; 2] = [
    &["rule", "add", "fwmark", "1337", "lookup", "133"],
    &["route", "add", "local", "default", "dev", "lo", "table", "133"],
];

/// What is captured besides IPv4, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// IPv6 too.
    pub(super) ipv6: bool,
    /// Inbound by TPROXY, and DNS.
    pub(super) tproxy_dns: bool,
}

/// A way.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) name: &'static str,
    /// Texts, and the programs that set them.
    rules: &'static [(&'static str, &'static str)],
    pub(super) extent: Extent,
}

const ONLY4: Extent = Extent { ipv6: false, tproxy_dns: false };
const BOTH: Extent = Extent { ipv6: true, tproxy_dns: false };
const TPROXY: Extent = Extent { ipv6: false, tproxy_dns: true };

/// Istio's default.
pub(super) const DEFAULT: Capture = Capture { name: "REDIRECT on nf_tables", rules: &[(NFT, REDIRECT)], extent: ONLY4 };

/// All of them.
pub(super) const ALL: [Capture; 8] = [
    DEFAULT,
    Capture { name: "REDIRECT in the old iptables", rules: &[(LEGACY, REDIRECT)], extent: ONLY4 },
    Capture {
        name: "REDIRECT of IPv4 and IPv6 on nf_tables",
        rules: &[(NFT, REDIRECT), ("ip6tables-nft-restore", REDIRECT6)],
        extent: BOTH,
    },
    Capture {
        name: "REDIRECT of IPv4 and IPv6 in the old iptables",
        rules: &[(LEGACY, REDIRECT), ("ip6tables-legacy-restore", REDIRECT6)],
        extent: BOTH,
    },
    Capture { name: "REDIRECT in both iptables at once", rules: &[(NFT, REDIRECT), (LEGACY, REDIRECT)], extent: ONLY4 },
    Capture { name: "native nftables", rules: &[("nft", NATIVE)], extent: ONLY4 },
    Capture { name: "TPROXY with DNS capture on nf_tables", rules: &[(NFT, TPROXY_DNS)], extent: TPROXY },
    Capture { name: "TPROXY with DNS capture in the old iptables", rules: &[(LEGACY, TPROXY_DNS)], extent: TPROXY },
];

impl Capture {
    /// A program without which it cannot be set here.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let is_missing = |program: &&&str| Command::new(program).arg("--version").output().is_err();
        self.rules.iter().map(|(program, _)| program).find(is_missing).copied()
    }

    /// Sets the rules.
    pub(super) fn set(&self, namespace: &Namespace) -> Result<()> {
        for (program, text) in self.rules {
            let words: &[&str] = if *program == "nft" { &["-f", "-"] } else { &["--noflush"] };
            let mut command = namespace.command(Path::new(program));
            let mut child = command.args(words).stdin(Stdio::piped()).spawn().with_context(|| (*program).to_owned())?;
            child.stdin.take().context("no stdin")?.write_all(text.as_bytes())?;
            ensure!(child.wait()?.success(), "{program} does not take Istio's rules: does this kernel have them?");
        }
        if self.extent.tproxy_dns {
            for words in DIVERTED {
                namespace.ip(words)?;
            }
        }
        Ok(())
    }

    /// The rules as they are now in the backends of this way, without the counters of packets.
    pub(super) fn saved(&self, namespace: &Namespace) -> Result<String> {
        let mut all = String::new();
        for (program, _) in self.rules {
            let program = program.replace("-restore", "-save");
            let mut command = namespace.command(Path::new(&program));
            if program == "nft" {
                command.args(["list", "ruleset", "inet"]);
            }
            let output = command.output().with_context(|| program.clone())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                all += line.split(" [").next().unwrap_or_default();
                all.push('\n');
            }
        }
        Ok(all)
    }
}
