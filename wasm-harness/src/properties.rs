//! Attributes by phase: which value a path has while a stream is in a given phase.
//!
//! Envoy fills a stream's info as the request progresses, so an attribute is a fact that holds from some phase on,
//! until a later fact about the same path replaces or removes it. Paths are looked up as a whole. A path that only
//! leads to known leaves (`upstream`) is a wrapper, which exists but cannot be serialised.

use crate::abi::{Pairs, Status, encode_pairs};
use crate::value::Value;

/// How far a request has progressed. Later phases see what earlier ones saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Cluster and route are known; no endpoint is chosen.
    RequestHeaders,
    /// An endpoint is chosen, if there is one to choose.
    RequestBody,
    /// The same as the body.
    RequestTrailers,
    /// The response begins, from upstream or as a local reply: code, details, flags and attempt count are known.
    ResponseHeaders,
    /// The same as the headers.
    ResponseBody,
    /// The same as the headers.
    ResponseTrailers,
    /// Adds the duration, and a reset that happened after the headers.
    Log,
    /// The same as the log.
    Done,
}

/// An attribute path in the ABI's form: its parts, separated by NUL.
///
/// In tests it is written with dots (`upstream.address`); a part that contains dots needs the NUL form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<u8>);

impl Path {
    pub(crate) fn written(text: &str) -> Path {
        if text.contains('\0') {
            return Path(text.as_bytes().to_vec());
        }
        Path(text.replace('.', "\0").into_bytes())
    }

    /// A path from a module. A NUL at the end adds no part.
    pub(crate) fn from_module(bytes: &[u8]) -> Path {
        Path(bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec())
    }

    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        self.0.split(|byte| *byte == 0).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path with dots, as people and faults write it.
    pub(crate) fn dotted(&self) -> String {
        String::from_utf8_lossy(&self.0).replace('\0', ".")
    }
}

/// From this phase on, the path has this value; `None` means that it is missing.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) from: Phase,
    pub(crate) path: Path,
    pub(crate) value: Option<Value>,
}

/// Facts in the order they were set: the last one that applies holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(Vec<Fact>);

impl Facts {
    pub(crate) fn set(&mut self, from: Phase, path: &str, value: Option<Value>) {
        let path = Path::written(path);
        self.0.push(Fact { from, path, value });
    }

    /// `None` if the path was never set; `Some(None)` if it was removed.
    pub(crate) fn get(&self, phase: Phase, path: &Path) -> Option<Option<&Value>> {
        let mut facts = self.0.iter().rev();
        let fact = facts.find(|fact| fact.from <= phase && fact.path == *path)?;
        Some(fact.value.as_ref())
    }
}

/// Result of looking an attribute up.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    Value(Value),
    /// It exists, but its keys cannot be listed: SerializationFailure.
    Wrapper,
    Missing,
}

impl Found {
    /// What `proxy_get_property` returns.
    pub(crate) fn serialise(self) -> Result<Vec<u8>, Status> {
        match self {
            Found::Value(value) => value.serialise(),
            Found::Wrapper => Err(Status::SerializationFailure),
            Found::Missing => Err(Status::NotFound),
        }
    }
}

impl From<Option<Value>> for Found {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Found::Missing, Found::Value)
    }
}

/// Attributes that Envoy computes from the header maps that it can see now. It forgets a map after a callback that
/// continued, so `request.path` exists in the request headers phase and in the log phase, but not between them.
pub(crate) fn from_headers(
    parts: &[&[u8]],
    request: Option<&Pairs>,
    response: Option<&Pairs>,
    trailers: Option<&Pairs>,
) -> Option<Found> {
    let text = |headers: Option<&Pairs>, name: &str| -> Found {
        let value = headers.and_then(|headers| header(headers, name.as_bytes()));
        let text = |value: &[u8]| Value::Str(String::from_utf8_lossy(value).into());
        // The bytes are passed on unchanged: invalid UTF-8 must arrive as it is.
        value
            .map(|value| match std::str::from_utf8(value) {
                Ok(_) => text(value),
                Err(_) => Value::Bytes(value.to_vec()),
            })
            .into()
    };
    // All pairs of the map. A map that does not exist has none, which is still encoded as a count of 0.
    let whole = |headers: Option<&Pairs>| {
        let none = Pairs::new();
        Found::Value(Value::Bytes(encode_pairs(headers.unwrap_or(&none))))
    };
    let named = |headers, name: &[u8]| text(headers, &String::from_utf8_lossy(name));
    Some(match parts {
        [b"request", b"path"] => text(request, ":path"),
        [b"request", b"url_path"] => match text(request, ":path") {
            Found::Value(Value::Str(path)) => Found::Value(path.split('?').next().unwrap_or_default().into()),
            other => other,
        },
        [b"request", b"host"] => text(request, ":authority"),
        [b"request", b"method"] => text(request, ":method"),
        [b"request", b"scheme"] => text(request, ":scheme"),
        [b"request", b"useragent"] => text(request, "user-agent"),
        [b"request", b"id"] => text(request, "x-request-id"),
        [b"request", b"headers", name] => named(request, name),
        [b"response", b"headers", name] => named(response, name),
        [b"response", b"trailers", name] => named(trailers, name),
        [b"request", b"headers"] => whole(request),
        [b"response", b"headers"] => whole(response),
        [b"response", b"trailers"] => whole(trailers),
        _ => return None,
    })
}

/// `response.grpc_status`: from the trailers, else the headers, else derived from the HTTP status.
pub(crate) fn grpc_status(trailers: Option<&Pairs>, headers: Option<&Pairs>, code: Option<&Value>) -> Found {
    let sent = [trailers, headers].into_iter().flatten().find_map(|pairs| header(pairs, b"grpc-status"));
    if let Some(sent) = sent {
        let number = std::str::from_utf8(sent).ok().and_then(|text| text.parse().ok());
        return Found::Value(Value::Int(number.unwrap_or(-1)));
    }
    let Some(Value::Int(code)) = code else { return Found::Missing };
    Found::Value(Value::Int(match code {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }))
}

/// The first value of a header; the case of the name does not matter.
pub(crate) fn header<'a>(headers: &'a Pairs, name: &[u8]) -> Option<&'a [u8]> {
    let mut headers = headers.iter();
    headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
}

/// Names at the top level of a stream's attributes.
pub(crate) const WRAPPERS: [&[u8]; 7] =
    [b"request", b"response", b"connection", b"upstream", b"source", b"destination", b"filter_state"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_holds_from_its_phase_on_until_a_later_one_replaces_it() {
        let mut facts = Facts::default();
        facts.set(Phase::ResponseHeaders, "response.flags", Some(0i64.into()));
        facts.set(Phase::Log, "response.flags", Some(64i64.into()));
        let path = Path::from_module(b"response\0flags\0");
        assert_eq!(facts.get(Phase::RequestBody, &path), None);
        assert_eq!(facts.get(Phase::ResponseBody, &path), Some(Some(&Value::Int(0))));
        assert_eq!(facts.get(Phase::Done, &path), Some(Some(&Value::Int(64))));
        facts.set(Phase::Log, "response.flags", None);
        assert_eq!(facts.get(Phase::Log, &path), Some(None));
    }

    #[test]
    fn the_grpc_status_is_made_up_from_the_http_status_when_nobody_sent_one() {
        let sent: Pairs = vec![(b"grpc-status".to_vec(), b"14".to_vec())];
        let number = |found| match found {
            Found::Value(Value::Int(number)) => number,
            _ => -2,
        };
        let code = |code: i64| Some(Value::Int(code));
        assert_eq!(number(grpc_status(Some(&sent), None, code(200).as_ref())), 14);
        assert_eq!(number(grpc_status(None, None, code(200).as_ref())), 2);
        assert_eq!(number(grpc_status(None, None, code(503).as_ref())), 14);
        assert_eq!(grpc_status(None, None, None), Found::Missing);
    }
}
