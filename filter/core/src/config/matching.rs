//! What a configuration's patterns and ranges hold.
//!
//! They are not crates because of their size: a pattern that could also ignore case brings Unicode's table of
//! lower-case letters, and networks bring a second parser of addresses, together a twentieth of the module.

use std::net::IpAddr;

/// Whether a pattern holds for a text: `*` stands for any characters, `?` for one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last star, and where in the text that was tried last.
    let mut last_star = None;
    loop {
        let (mut pattern_rest, mut text_rest) = (pattern.clone(), text.clone());
        match (pattern_rest.next(), text_rest.next()) {
            (Some('*'), _) => {
                last_star = Some((pattern_rest.clone(), text.clone()));
                pattern = pattern_rest;
            }
            (None, None) => return true,
            (Some(wanted), Some(char)) if wanted == '?' || wanted == char => {
                (pattern, text) = (pattern_rest, text_rest)
            }
            _ => {
                let Some((after_star, tried)) = &mut last_star else { return false };
                if tried.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), tried.clone());
            }
        }
    }
}

/// A range of addresses such as `10.1.0.0/16`: an address, and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    bits: u32,
}

impl Range {
    /// Reads a range; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let bits = bits.parse().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    /// Whether an address is in the range.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        let (differing, width) = match (self.address, ip) {
            (IpAddr::V4(address), IpAddr::V4(ip)) => (u128::from(address.to_bits() ^ ip.to_bits()), 32),
            (IpAddr::V6(address), IpAddr::V6(ip)) => (address.to_bits() ^ ip.to_bits(), 128_u32),
            _ => return false,
        };
        // All of an address's bits are too many to be shifted out; of no bits none differs.
        differing.checked_shr(width.saturating_sub(self.bits)).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_holds_as_in_a_well_known_crate() {
        let parts = ["", "a", "b", "ä", "*", "?", "ab", "|", "A"];
        let mut texts: Vec<String> = vec![String::new()];
        for _ in 0..4 {
            texts = texts.iter().flat_map(|text| parts.map(|part| format!("{text}{part}"))).collect();
            texts.sort();
            texts.dedup();
        }
        for pattern in texts.iter().step_by(7) {
            let wanted = wildmatch::WildMatch::new(pattern);
            for text in texts.iter().step_by(5) {
                assert_eq!(matches(pattern, text), wanted.matches(text), "{pattern:?} {text:?}");
            }
        }
        assert!(matches("outbound|*||*.shop.svc.cluster.local", "outbound|80||a.b.shop.svc.cluster.local"));
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn a_range_holds_the_addresses_whose_first_bits_are_its_own() {
        let holds = |range: &str, ip: &str| Range::parse(range).unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.1.0.0/16", "10.1.255.3") && !holds("10.1.0.0/16", "10.2.0.0"));
        assert!(holds("10.1.7.7/16", "10.1.0.1"), "bits that do not count may be set");
        assert!(holds("10.0.0.9/32", "10.0.0.9") && !holds("10.0.0.9/32", "10.0.0.8"));
        assert!(holds("0.0.0.0/0", "255.1.2.3") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("::/0", "ff::1") && !holds("::/0", "10.0.0.1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1"));
        assert!(holds("fd00::1/128", "fd00::1") && !holds("fd00::1/128", "fd00::2"));
        for none in
            ["", "10.0.0.1", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0/8", "x/8", "1.2.3.4/8/8"]
        {
            assert_eq!(Range::parse(none), None, "{none}");
        }
    }
}
