//! A network namespace of a test's own, with Istio's rules in one backend.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use hot_switch::kernel::netns::Netns;

/// The rules of the default, of IPv6, of TPROXY with DNS capture, and of native nftables.
pub(crate) const REDIRECT: &str = include_str!("../rules/redirect.rules");
pub(crate) const REDIRECT6: &str = include_str!("../rules/redirect6.rules");
pub(crate) const TPROXY_DNS: &str = include_str!("../rules/tproxy-dns.rules");
pub(crate) const NATIVE: &str = include_str!("../rules/native.nft");

/// A namespace; it is removed with this value.
pub(crate) struct Space {
    name: String,
}

fn run(words: &[&str], input: &str) -> Result<String, String> {
    let (program, rest) = words.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
}

impl Space {
    /// Makes one, or reports that the test is skipped.
    pub(crate) fn create(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("hot-switch-{}-{number}", std::process::id());
        for tool in ["iptables-nft-save", "iptables-legacy-save", "nft"] {
            if Command::new(tool).arg("--version").output().is_err() {
                crate::skip::skip(test, crate::skip::Tool::Optional, &format!("{tool} is not installed"));
                return None;
            }
        }
        if let Err(error) = run(&["ip", "netns", "add", &name], "") {
            let reason = format!("no network namespace can be made (needs root): {}", error.trim());
            crate::skip::skip(test, crate::skip::Tool::Optional, &reason);
            return None;
        }
        let space = Self { name };
        if let Err(error) = space.exec(&["ip", "link", "set", "lo", "up"], "") {
            let reason = format!("a network namespace cannot be set up (needs CAP_NET_ADMIN): {}", error.trim());
            crate::skip::skip(test, crate::skip::Tool::Optional, &reason);
            return None;
        }
        Some(space)
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    pub(crate) fn netns(&self) -> Netns {
        Netns::open(&self.path(), Path::new("/proc")).unwrap()
    }

    /// Runs a program inside.
    pub(crate) fn exec(&self, words: &[&str], input: &str) -> Result<String, String> {
        run(&[&["ip", "netns", "exec", &self.name], words].concat(), input)
    }

    /// Sets rules, as text for this program.
    pub(crate) fn set(&self, program: &str, rules: &str) {
        let words: &[&str] = if program == "nft" { &["nft", "-f", "-"] } else { &[program, "--noflush"] };
        self.exec(words, rules).unwrap();
    }

    /// All rules of all backends, byte for byte, without counters and times.
    pub(crate) fn rules(&self) -> String {
        let mut all = String::new();
        for words in [
            &["iptables-nft-save"][..],
            &["ip6tables-nft-save"],
            &["iptables-legacy-save"],
            &["ip6tables-legacy-save"],
            &["nft", "list", "ruleset", "inet"],
        ] {
            let text = self.exec(words, "").unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                // `:PREROUTING ACCEPT [12:720]`: packets are counted between two readings.
                all += line.split(" [").next().unwrap_or_default();
                all.push('\n');
            }
        }
        all
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = run(&["ip", "netns", "del", &self.name], "");
    }
}
