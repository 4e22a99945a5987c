//! Envoy's CEL expressions for modules (`expr_create`, `expr_evaluate`, `expr_delete`), for one shape of expression.
//!
//! Envoy parses any CEL. Here an expression is a list of attribute paths, `[xds.cluster_name, response.code]`: enough to
//! read several attributes in one host call. Everything else, also valid CEL, is answered as Envoy answers a parse error:
//! BadArgument. As in Envoy (source/extensions/common/wasm/foreign.cc) tokens belong to a root context and start at 0, an
//! evaluation sees the stream of the running context whatever the effective context is, an attribute that is missing
//! makes the whole evaluation an InternalFailure, and one that is null a SerializationFailure.

use crate::abi::Status;
use crate::properties::{Found, Path};
use crate::state::VmState;
use crate::value::Value;

/// Runs a foreign function; `Ok` holds the result bytes.
pub(crate) fn call(state: &mut VmState, function: &[u8], argument: &[u8]) -> Result<Vec<u8>, Status> {
    let current = state.current;
    match function {
        b"expr_create" => {
            let paths = parse(argument).ok_or(Status::BadArgument)?;
            let root = state.root_of(current).ok_or(Status::InternalFailure)?;
            let token = root.next_expression;
            root.next_expression += 1;
            root.expressions.insert(token, paths);
            Ok(token.to_le_bytes().to_vec())
        }
        b"expr_evaluate" => {
            let token = token(argument)?;
            let root = state.root_of(current).ok_or(Status::InternalFailure)?;
            let paths = root.expressions.get(&token).cloned().ok_or(Status::NotFound)?;
            let values = paths.iter().map(|path| match state.property(current, path) {
                Found::Value(Value::Error) | Found::Missing => Err(Status::InternalFailure),
                Found::Value(value) => Ok(value),
                Found::Wrapper => Err(Status::SerializationFailure),
            });
            Value::List(values.collect::<Result<_, _>>()?).serialise()
        }
        b"expr_delete" => {
            let token = token(argument)?;
            let root = state.root_of(current).ok_or(Status::InternalFailure)?;
            root.expressions.remove(&token);
            Ok(Vec::new())
        }
        _ => Err(Status::NotFound),
    }
}

fn token(argument: &[u8]) -> Result<u32, Status> {
    let bytes = argument.try_into().map_err(|_| Status::BadArgument)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A list literal of attribute paths. `None` for anything else.
fn parse(text: &[u8]) -> Option<Vec<Path>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    inner
        .split(',')
        .map(|item| {
            let item = item.trim();
            item.split('.').all(identifier).then(|| Path::written(item))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_attribute_paths_are_understood() {
        let paths = parse(b" [xds.cluster_name, upstream.address,response.code] ").unwrap();
        let dotted: Vec<String> = paths.iter().map(Path::dotted).collect();
        assert_eq!(dotted, ["xds.cluster_name", "upstream.address", "response.code"]);
        assert_eq!(parse(b"[]"), Some(vec![]));
        for other in ["", "response.code", "[a.b,]", "[a..b]", "[1]", "[a+b]", "[a[0]]", "[a.b"] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
