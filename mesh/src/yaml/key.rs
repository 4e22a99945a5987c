//! The key of a field, as kubectl reads it: a word or a number that means something in YAML 1.1 becomes the text of
//! what it means, so that `on: 1` is a field named `true`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The key of a field.
pub(super) struct Key(pub(super) String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(Key(key.to_owned()))
    }

    fn visit_string<E>(self, key: String) -> Result<Key, E> {
        Ok(Key(key))
    }

    fn visit_bool<E>(self, key: bool) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_i64<E>(self, key: i64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_u64<E>(self, key: u64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_f64<E>(self, key: f64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Key, E> {
        Err(E::custom("a null is no key; put quotes around it"))
    }

    fn visit_none<E: Error>(self) -> Result<Key, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        Key::deserialize(deserializer)
    }
}
