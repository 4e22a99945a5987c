//! Types of the proxy-wasm ABI 0.2.1: statuses, log levels, map and buffer kinds, and the "pairs" encoding.
//!
//! Only numbers and byte layouts live here; what the host does with them is in `host`.

use std::fmt;

/// The status that a host call returns to the module. A fault can inject any number, even one that the ABI does not
/// define.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u32);

#[expect(missing_docs, reason = "the names are the ABI's own")]
#[expect(non_upper_case_globals, reason = "written as the ABI and every SDK write them")]
impl Status {
    pub const Ok: Status = Status(0);
    pub const NotFound: Status = Status(1);
    pub const BadArgument: Status = Status(2);
    pub const SerializationFailure: Status = Status(3);
    pub const ParseFailure: Status = Status(4);
    pub const BadExpression: Status = Status(5);
    pub const InvalidMemoryAccess: Status = Status(6);
    pub const Empty: Status = Status(7);
    pub const CasMismatch: Status = Status(8);
    pub const ResultMismatch: Status = Status(9);
    pub const InternalFailure: Status = Status(10);
    pub const BrokenConnection: Status = Status(11);
    pub const Unimplemented: Status = Status(12);
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 13] = [
            "Ok",
            "NotFound",
            "BadArgument",
            "SerializationFailure",
            "ParseFailure",
            "BadExpression",
            "InvalidMemoryAccess",
            "Empty",
            "CasMismatch",
            "ResultMismatch",
            "InternalFailure",
            "BrokenConnection",
            "Unimplemented",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "Status({})", self.0),
        }
    }
}

/// Log level of `proxy_log`, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual names")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl Level {
    pub(crate) fn from_abi(level: u32) -> Option<Level> {
        const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical];
        ALL.get(level as usize).copied()
    }
}

/// Pairs of a header's name and value, or any other pairs, as raw bytes: HTTP does not guarantee UTF-8.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Converts text to pairs.
pub(crate) fn text_pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Kinds of header map, in the ABI's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    CallHeaders,
    CallTrailers,
}

impl MapKind {
    pub(crate) fn from_abi(kind: u32) -> Option<MapKind> {
        const ALL: [MapKind; 8] = [
            MapKind::RequestHeaders,
            MapKind::RequestTrailers,
            MapKind::ResponseHeaders,
            MapKind::ResponseTrailers,
            MapKind::GrpcInitialMetadata,
            MapKind::GrpcTrailingMetadata,
            MapKind::CallHeaders,
            MapKind::CallTrailers,
        ];
        ALL.get(kind as usize).copied()
    }
}

/// Envoy rejects more pairs than this from a module.
const MAX_PAIRS: usize = 1024;
/// Envoy rejects a longer block of pairs than this from a module, in bytes.
const MAX_PAIRS_BYTES: usize = 1024 * 1024;

/// Encodes the count, then both lengths of every pair, then every key and value, each followed by a NUL.
pub(crate) fn encode_pairs<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(K, V)]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (key, value) in pairs {
        out.extend((key.as_ref().len() as u32).to_le_bytes());
        out.extend((value.as_ref().len() as u32).to_le_bytes());
    }
    for (key, value) in pairs {
        out.extend(key.as_ref());
        out.push(0);
        out.extend(value.as_ref());
        out.push(0);
    }
    out
}

/// The inverse of `encode_pairs`. As in Envoy, malformed bytes decode to no pairs.
pub(crate) fn decode_pairs(bytes: &[u8]) -> Pairs {
    fn parse(bytes: &[u8]) -> Option<Pairs> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
        };
        let count = word(0)?;
        if count > MAX_PAIRS || bytes.len() > MAX_PAIRS_BYTES {
            return None;
        }
        let mut at = 4 + count * 8;
        let mut take = |length: usize| {
            let part = bytes.get(at..at.checked_add(length)?)?.to_vec();
            (*bytes.get(at + length)? == 0).then_some(())?;
            at += length + 1;
            Some(part)
        };
        let mut pairs = Vec::with_capacity(count);
        for n in 0..count {
            let key = take(word(4 + n * 8)?)?;
            let value = take(word(8 + n * 8)?)?;
            pairs.push((key, value));
        }
        (at == bytes.len()).then_some(pairs)
    }
    parse(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_a_round_trip_and_garbage_is_empty() {
        let pairs: Pairs = vec![(b":status".to_vec(), b"200".to_vec()), (vec![0xff], vec![])];
        let bytes = encode_pairs(&pairs);
        assert_eq!(decode_pairs(&bytes), pairs);
        assert!(decode_pairs(&bytes[..bytes.len() - 1]).is_empty());
        assert!(decode_pairs(&u32::MAX.to_le_bytes()).is_empty());
    }
}
