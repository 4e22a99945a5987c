//! Localities and how far they are from home.
//!
//! Envoy's priority numbers differ between clusters, and no attribute shows them. So the distance comes from the names:
//! same subzone, same zone, same region, elsewhere. Istio assigns priorities in the same order.

mod home;

use crate::encoded;
use crate::text::joined;
pub use home::{conclude_home, home_from_labels};

/// The locality of an endpoint or of the proxy, written `region/zone/subzone` with trailing empty parts left off; empty
/// if unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality(String);

encoded!(struct Locality(_));

/// The maximum length of a part, in bytes; longer ones are cut, because localities become metric labels.
const MAX_PART_BYTES: usize = 128;

impl Locality {
    /// Creates a locality from its three parts, any of which may be empty.
    pub fn from_parts(region: &str, zone: &str, subzone: &str) -> Self {
        let parts = [region, zone, subzone].map(cut);
        Self(joined(&parts, "/").trim_end_matches('/').to_owned())
    }

    /// Parses `region/zone/subzone`.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().unwrap_or("");
        Self::from_parts(next(), next(), next())
    }

    /// Decodes Envoy's `envoy.config.core.v3.Locality` (region 1, zone 2, sub_zone 3, all strings), which is the
    /// content of the attribute `upstream.locality`. Anything that is not such a message is an unknown locality.
    pub fn from_proto(bytes: &[u8]) -> Self {
        let mut parts = [""; 3];
        let mut rest = bytes;
        while let Some((field, text, tail)) = string_field(rest) {
            if let Some(part) = field.checked_sub(1).and_then(|i| parts.get_mut(i)) {
                *part = text;
            }
            rest = tail;
        }
        let [region, zone, subzone] = parts;
        Self::from_parts(region, zone, subzone)
    }

    /// `region/zone/subzone`, trailing empty parts left off.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the locality is unknown.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this locality is `outer` or a part of it: a zone of the region, a subzone of the zone.
    pub fn is_within(&self, outer: &Self) -> bool {
        match self.0.strip_prefix(&outer.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || outer.is_unknown(),
            None => false,
        }
    }

    /// The smallest locality that contains both.
    fn common(&self, other: &Self) -> Self {
        let parts = self.0.split('/').zip(other.0.split('/')).take_while(|(one, two)| one == two);
        let common: Vec<&str> = parts.map(|(part, _)| part).collect();
        Self(joined(&common, "/").trim_end_matches('/').to_owned())
    }

    /// How far this locality is from `home`. [`Tier::Elsewhere`] if either is unknown.
    pub fn tier_from(&self, home: &Self) -> Tier {
        if self.is_unknown() || home.is_unknown() {
            return Tier::Elsewhere;
        }
        // Not by `split`: tiers are asked for at each attempt while anything is open, for each locality.
        let (own, its) = (home.0.as_bytes(), self.0.as_bytes());
        let (mut same_parts, mut last) = (0_u8, 0);
        for place in 0..=own.len() {
            let at = |text: &[u8]| text.get(place).copied().unwrap_or(b'/');
            let byte = at(own);
            // An unknown zone is not the same zone, nor is what lies in it.
            if byte != at(its) || (byte == b'/' && last == b'/') {
                break;
            }
            same_parts = same_parts.saturating_add(u8::from(byte == b'/'));
            last = byte;
        }
        match same_parts {
            0 => Tier::Elsewhere,
            1 => Tier::SameRegion,
            2 => Tier::SameZone,
            _ => Tier::SameSubzone,
        }
    }
}

/// How far an endpoint's locality is from home; a nearer tier compares as less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Region, zone and subzone are the proxy's own.
    SameSubzone,
    /// Region and zone are the proxy's own.
    SameZone,
    /// The region is the proxy's own.
    SameRegion,
    /// Another region, or unknown.
    Elsewhere,
}

encoded!(enum Tier { 0 => SameSubzone, 1 => SameZone, 2 => SameRegion, 3 => Elsewhere });

impl Tier {
    /// All tiers, from the nearest to the farthest.
    pub const ALL: [Self; 4] = [Self::SameSubzone, Self::SameZone, Self::SameRegion, Self::Elsewhere];

    /// The tier as events write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameSubzone => "same_subzone",
            Self::SameZone => "same_zone",
            Self::SameRegion => "same_region",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// Removes what a locality's part must not contain from `part`, and cuts it to [`MAX_PART_BYTES`].
fn cut(part: &str) -> &str {
    let part = part.split('/').next().unwrap_or("");
    let mut end = part.len().min(MAX_PART_BYTES);
    while !part.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    part.get(..end).unwrap_or("")
}

/// The first field of a protobuf message whose fields are all short strings: its number, its text, and the rest.
fn string_field(bytes: &[u8]) -> Option<(usize, &str, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first()?;
    // Wire type 2 is length-delimited; a length of 128 or more takes a second byte.
    let (len, rest) = if *len < 0x80 {
        (usize::from(*len), rest)
    } else {
        let (high, rest) = rest.split_first()?;
        (usize::from(*len & 0x7f) | (usize::from(*high & 0x7f) << 7), rest)
    };
    let (text, rest) = rest.split_at_checked(len)?;
    (tag & 7 == 2).then_some((usize::from(tag >> 3), std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_empty_parts_are_left_off() {
        assert_eq!(Locality::from_parts("r", "z", "").as_str(), "r/z");
        assert_eq!(Locality::from_parts("r", "", "s").as_str(), "r//s");
        assert_eq!(Locality::parse("r/z/s").as_str(), "r/z/s");
        assert_eq!(Locality::parse("").as_str(), "");
    }

    #[test]
    fn distance_follows_the_names() {
        let home = Locality::parse("r1/z1/s1");
        let tier = |text: &str| Locality::parse(text).tier_from(&home);
        assert_eq!(tier("r1/z1/s1"), Tier::SameSubzone);
        assert_eq!(tier("r1/z1/s2"), Tier::SameZone);
        assert_eq!(tier("r1/z1"), Tier::SameZone);
        assert_eq!(tier("r1/z2/s1"), Tier::SameRegion);
        assert_eq!(tier("r2/z1/s1"), Tier::Elsewhere);
        assert_eq!(tier(""), Tier::Elsewhere);
        assert_eq!(Locality::parse("r1").tier_from(&Locality::parse("r1")), Tier::SameRegion);
        assert_eq!(Locality::parse("r1/z1").tier_from(&Locality::parse("r1/z1")), Tier::SameZone);
        assert_eq!(tier("r1"), Tier::SameRegion);
        assert_eq!(tier("r11/z1/s1"), Tier::Elsewhere);
        assert_eq!(tier("r1/z11/s1"), Tier::SameRegion);
        assert_eq!(Locality::parse("r1//s1").tier_from(&Locality::parse("r1//s1")), Tier::SameRegion);
        assert_eq!(Locality::parse("/z1").tier_from(&Locality::parse("/z1")), Tier::SameZone);
    }

    #[test]
    fn reads_envoys_message_and_survives_what_is_none() {
        assert_eq!(Locality::from_proto(b"\x0a\x02r1\x12\x02z1\x1a\x02s1").as_str(), "r1/z1/s1");
        assert_eq!(Locality::from_proto(b"\x12\x02z1").as_str(), "/z1");
        for broken in [&b""[..], b"\x0a", b"\x0a\x05r", b"\x0a\x01\xff", b"\x08\x01", b"\xff\xff\xff"] {
            assert!(Locality::from_proto(broken).is_unknown(), "{broken:?}");
        }
        let long = [&b"\x0a\xac\x02"[..], &[b'x'; 300]].concat();
        assert_eq!(Locality::from_proto(&long).as_str().len(), MAX_PART_BYTES);
    }
}
