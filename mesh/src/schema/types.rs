//! What the fields of a resource may hold.

use Type::{Integer, List, Map, Text};

/// What the value of a field may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Anything; faultline has no rule about it.
    Any,
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number in these bounds.
    Integer(i64, i64),
    /// A number.
    Number,
    /// A duration of 1 ms or more.
    Duration,
    /// A duration that may be 0.
    DurationOrNone,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// An object with the fields of this name in the table.
    Object(&'static str),
    /// A list.
    List(&'static Type),
    /// An object with any keys.
    Map(&'static Type),
}

/// A list of texts.
pub(super) const TEXTS: Type = List(&Text);
/// Texts by any keys.
pub(super) const LABELS: Type = Map(&Text);
/// protobuf's uint32.
pub(super) const UINT: Type = Integer(0, u32::MAX as i64);
/// protobuf's int32, of which Istio takes no negative.
pub(super) const COUNT: Type = Integer(0, i32::MAX as i64);
/// The number of a port.
pub(super) const PORT: Type = Integer(1, 65535);
/// A percentage.
pub(super) const PERCENT: Type = Integer(0, 100);

/// A field and what it may hold.
pub type Field = (&'static str, Type);
