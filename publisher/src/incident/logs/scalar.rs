//! Values of an event's keys, read leniently: what became a text on its way is the number that it was.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use filter_core::time::Millis;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::event::{Name, parse_time};
use super::labels::epoch;

/// A text, or nothing.
#[derive(Default, Hash)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be kept.
    pub(super) fn owned(&self) -> Name {
        shared(&self.0)
    }
}

/// As many texts are remembered; what follows logs without an end must not hold every one for ever.
const MOST_SHARED: usize = 50_000;

thread_local! {
    static SHARED: RefCell<HashSet<Name>> = RefCell::new(HashSet::new());
}

/// The text, held once however often it comes.
pub(super) fn shared(text: &str) -> Name {
    SHARED.with_borrow_mut(|known| {
        if let Some(name) = known.get(text) {
            return Arc::clone(name);
        }
        if known.len() >= MOST_SHARED {
            known.clear();
        }
        let name: Name = text.into();
        known.insert(Arc::clone(&name));
        name
    })
}

/// A number, also one that has become a text.
#[derive(Clone, Copy, Default)]
pub(super) struct Number(f64);

impl Number {
    /// With its decimals.
    pub(super) fn value(self) -> f64 {
        self.0
    }

    /// Without them.
    pub(super) fn whole(self) -> u64 {
        self.0 as u64
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// True or false, also as a text; none if nothing is said.
#[derive(Clone, Copy, Default, Hash)]
pub(super) struct Flag(pub(super) Option<bool>);

/// A time as the filter writes it, or as a number.
#[derive(Clone, Copy, Default, Hash)]
pub(super) struct Moment(pub(super) Option<Millis>);

/// A value of one of these types, or null.
enum Scalar<'a> {
    Nothing,
    Text(Cow<'a, str>),
    Number(f64),
    Flag(bool),
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text, a number, true, false or null")
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Nothing)
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Flag(flag))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_any(Any)
    }
}

/// Makes one of the types of the keys from a scalar, or says that it is none.
macro_rules! from_scalar {
    ($type:ty, $what:literal, $($pattern:pat => $value:expr),+ $(,)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let read: Option<Self> = match Scalar::deserialize(from)? {
                    Scalar::Nothing => Some(Self::default()),
                    $($pattern => $value,)+
                    _ => None,
                };
                read.ok_or_else(|| serde::de::Error::custom(concat!("it is no ", $what)))
            }
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(from)? {
            Scalar::Nothing => Ok(Self::default()),
            Scalar::Text(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("it is no text")),
        }
    }
}

from_scalar!(Number, "number",
    Scalar::Number(number) => (number >= 0.0).then_some(Self(number)),
    Scalar::Text(text) => text.parse().ok().filter(|number: &f64| *number >= 0.0).map(Self),
);
from_scalar!(Flag, "truth",
    Scalar::Flag(flag) => Some(Self(Some(flag))),
    Scalar::Text(text) => text.parse().ok().map(|flag| Self(Some(flag))),
);
from_scalar!(Moment, "time",
    Scalar::Text(text) => parse_time(&text).map(|at| Self(Some(at))),
    Scalar::Number(number) => epoch(number).map(|at| Self(Some(at))),
);
