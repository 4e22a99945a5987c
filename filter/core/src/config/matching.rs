//! What a configuration's patterns and ranges hold.
//!
//! They are not crates because of their size: a pattern that could also ignore case brings Unicode's table of
//! lower-case letters, and networks bring a second parser of addresses, together a twentieth of the module.

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

/// An IP address: its bits, and how many there are, 32 or 128.
///
/// Read here and not by `std::net`, whose readers and what they need are 2 % of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip {
    bits: u128,
    width: u32,
}

impl Ip {
    /// Reads an address as `std::net::IpAddr` does, without a zone; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            return ipv6(text).map(|bits| Self { bits, width: 128 });
        }
        ipv4(text).map(|bits| Self { bits: bits.into(), width: 32 })
    }

    /// Reads the address of `ip:port` or `[ip]:port`.
    pub(super) fn of_endpoint(endpoint: &str) -> Option<Self> {
        let (ip, port) = endpoint.rsplit_once(':')?;
        number(port, 10, 5, u16::MAX.into())?;
        match ip.strip_prefix('[') {
            Some(ip) => Self::parse(ip.strip_suffix(']')?).filter(|ip| ip.width == 128),
            None => Self::parse(ip).filter(|ip| ip.width == 32),
        }
    }
}

/// Four decimal numbers, none with a zero before it.
fn ipv4(text: &str) -> Option<u32> {
    let (mut bits, mut count) = (0, 0_u32);
    for part in text.split('.') {
        if part.len() > 1 && part.starts_with('0') {
            return None;
        }
        bits = (bits << 8) | number(part, 10, 3, 255)?;
        count = count.saturating_add(1);
    }
    (count == 4).then_some(bits)
}

/// Eight hexadecimal numbers, of which `::` stands for one zero or more, and an IPv4 address for the last two.
fn ipv6(text: &str) -> Option<u128> {
    let Some(at) = text.as_bytes().windows(2).position(|pair| pair == b"::") else {
        return groups(text).filter(|(_, count)| *count == 8).map(|(bits, _)| bits);
    };
    let (before, after) = (text.get(..at)?, text.get(at.saturating_add(2)..)?);
    // Only the end may be an IPv4 address.
    let ((high, above), (low, below)) = (groups(before).filter(|_| !before.contains('.'))?, groups(after)?);
    let free = 8_u32.checked_sub(above.saturating_add(below)).filter(|free| *free > 0)?;
    let shift = 16_u32.saturating_mul(free.saturating_add(below));
    Some(high.checked_shl(shift).unwrap_or(0) | low)
}

/// The bits of the groups between colons, and their number.
fn groups(text: &str) -> Option<(u128, u32)> {
    let (mut bits, mut count) = (0_u128, 0_u32);
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next().filter(|_| !text.is_empty()) {
        let is_ipv4 = part.contains('.') && parts.peek().is_none();
        let (value, width) = if is_ipv4 { (ipv4(part)?, 2) } else { (number(part, 16, 4, 0xffff)?, 1) };
        count = count.saturating_add(width);
        bits = bits.checked_shl(width.saturating_mul(16)).unwrap_or(0) | u128::from(value);
    }
    (count <= 8).then_some((bits, count))
}

/// A number of at most so many digits and at most this; no sign.
fn number(text: &str, radix: u32, digits: usize, most: u32) -> Option<u32> {
    if text.is_empty() || text.len() > digits || text.starts_with('+') {
        return None;
    }
    u32::from_str_radix(text, radix).ok().filter(|number| *number <= most)
}

/// A range of addresses such as `10.1.0.0/16`: an address, and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    address: Ip,
    bits: u32,
}

impl Range {
    /// Reads a range; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address = Ip::parse(address)?;
        let bits = number(bits, 10, 3, address.width)?;
        Some(Self { address, bits })
    }

    /// Whether an address is in the range.
    pub(super) fn contains(&self, ip: Ip) -> bool {
        let width = self.address.width;
        // All of an address's bits are too many to be shifted out; of no bits none differs.
        let differing = (self.address.bits ^ ip.bits).checked_shr(width.saturating_sub(self.bits)).unwrap_or(0);
        width == ip.width && differing == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    #[test]
    fn an_address_is_read_as_by_std() {
        let parts = ["", "0", "1", "00", "255", "256", "f", "ffff", "10000", ".", ":", "::", "+1", "1.2.3.4", "g", "/"];
        let mut texts: Vec<String> = parts.map(str::to_owned).to_vec();
        for _ in 0..3 {
            texts = texts.iter().flat_map(|text| parts.map(|part| format!("{text}{part}"))).collect();
        }
        texts.extend(
            ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4"].map(str::to_owned),
        );
        texts.extend(["1::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1", "fe80::1%eth0"].map(str::to_owned));
        texts.extend(["1.2.3.4", "255.255.255.255", "1.2.3", "1.2.3.4.5", "01.2.3.4"].map(str::to_owned));
        let mut read = 0;
        for text in texts {
            let bits = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => Ip { bits: ip.to_bits().into(), width: 32 },
                IpAddr::V6(ip) => Ip { bits: ip.to_bits(), width: 128 },
            };
            let expected = text.parse().ok().map(bits);
            assert_eq!(Ip::parse(&text), expected, "{text}");
            read += usize::from(expected.is_some());
            for endpoint in [format!("{text}:80"), format!("[{text}]:80")] {
                let expected = endpoint.parse().ok().map(|endpoint: SocketAddr| bits(endpoint.ip()));
                assert_eq!(Ip::of_endpoint(&endpoint), expected, "{endpoint}");
            }
        }
        assert!(read > 100, "{read}");
        assert_eq!(["1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4"].map(Ip::of_endpoint), [None; 4]);
    }

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
        let holds = |range: &str, ip: &str| Range::parse(range).unwrap().contains(Ip::parse(ip).unwrap());
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
