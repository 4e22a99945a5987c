//! Values of attributes, and the bytes that Envoy passes to a module for each.
//!
//! Envoy's attributes are CEL values. A module gets them serialised without their type, so it must know what it asked
//! for. A path into a value (a field of a message, a key of a map) is not followed here: every readable leaf has an
//! entry of its own (`properties`).

use crate::abi::{Status, encode_pairs};
use std::time::Duration;

/// Value of an attribute, by its CEL type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text, passed as its bytes. An empty text arrives as a null pointer with status Ok.
    Str(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// 8 bytes, little endian.
    Int(i64),
    /// 8 bytes, little endian.
    Uint(u64),
    /// 8 bytes, IEEE 754, little endian.
    Double(f64),
    /// One byte.
    Bool(bool),
    /// Nanoseconds as 8 bytes, signed, little endian.
    Duration(Duration),
    /// Proxy-wasm pairs, the elements as keys, every value empty.
    List(Vec<Value>),
    /// Proxy-wasm pairs.
    Map(Vec<(Value, Value)>),
    /// An encoded protobuf message.
    Message(Vec<u8>),
    /// CEL null, which is the value of an unset message pointer: SerializationFailure.
    Null,
    /// A CEL error value: SerializationFailure from a property read, InternalFailure from an expression.
    Error,
}

impl Value {
    /// The bytes that a module receives.
    pub(crate) fn serialise(&self) -> Result<Vec<u8>, Status> {
        Ok(match self {
            Value::Str(text) => text.clone().into_bytes(),
            Value::Bytes(bytes) | Value::Message(bytes) => bytes.clone(),
            Value::Int(number) => number.to_le_bytes().to_vec(),
            Value::Uint(number) => number.to_le_bytes().to_vec(),
            Value::Double(number) => number.to_le_bytes().to_vec(),
            Value::Bool(yes) => vec![u8::from(*yes)],
            Value::Duration(time) => (time.as_nanos() as i64).to_le_bytes().to_vec(),
            Value::List(items) => {
                let keys = items.iter().map(|item| Ok((item.serialise()?, [])));
                encode_pairs(&keys.collect::<Result<Vec<_>, Status>>()?)
            }
            Value::Map(entries) => {
                let pairs = entries.iter().map(|(key, value)| Ok((key.serialise()?, value.serialise()?)));
                encode_pairs(&pairs.collect::<Result<Vec<_>, Status>>()?)
            }
            Value::Null | Value::Error => return Err(Status::SerializationFailure),
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}
impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(bytes)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Uint(number)
    }
}
impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Value::Bool(yes)
    }
}
impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Value::Duration(time)
    }
}

/// One length-delimited protobuf field; nothing if the contents are empty, because proto3 leaves defaults out.
pub(crate) fn proto_field(number: u8, contents: &[u8]) -> Vec<u8> {
    if contents.is_empty() {
        return Vec::new();
    }
    let mut out = vec![number << 3 | 2];
    let mut length = contents.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(contents);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_eight_bytes_little_endian() {
        assert_eq!(Value::Int(-2).serialise(), Ok((-2i64).to_le_bytes().to_vec()));
        assert_eq!(Value::Uint(503).serialise().unwrap().len(), 8);
        let ms = Value::Duration(Duration::from_millis(1)).serialise().unwrap();
        assert_eq!(ms, 1_000_000i64.to_le_bytes());
        assert_eq!(Value::Bool(true).serialise(), Ok(vec![1]));
    }

    #[test]
    fn a_list_is_pairs_with_the_elements_as_keys() {
        let list = Value::List(vec!["ab".into(), 7i64.into()]);
        let mut expected = 2u32.to_le_bytes().to_vec();
        for length in [2u32, 0, 8, 0] {
            expected.extend(length.to_le_bytes());
        }
        expected.extend(b"ab\0\0");
        expected.extend(7i64.to_le_bytes());
        expected.extend([0, 0]);
        assert_eq!(list.serialise(), Ok(expected));
    }

    #[test]
    fn null_cannot_be_serialised_not_even_inside_a_list() {
        assert_eq!(Value::Null.serialise(), Err(Status::SerializationFailure));
        let list = Value::List(vec!["ab".into(), Value::Null]);
        assert_eq!(list.serialise(), Err(Status::SerializationFailure));
    }

    #[test]
    fn protobuf_lengths_above_127_take_two_bytes() {
        let field = proto_field(2, &[7; 200]);
        assert_eq!(field[..3], [0x12, 0xc8, 0x01]);
        assert!(proto_field(1, &[]).is_empty());
    }
}
