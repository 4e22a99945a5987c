//! Values in Envoy's JSON; one that is absent or of another type has its default.

use crate::json::Value;
use crate::locality::Locality;

/// The text of a member; empty if it has none.
pub(super) fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object.get(name).and_then(Value::as_str).unwrap_or("")
}

/// The whole number of a member, at most `u32::MAX`; `None` if it is not one.
pub(super) fn whole(object: &Value, name: &str) -> Option<u32> {
    let number = object.get(name)?.as_u64()?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Whether a member is true.
pub(super) fn is_set(object: &Value, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// The elements of a member that is a list.
pub(super) fn list<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    object.get(name).and_then(Value::as_list).unwrap_or_default().iter()
}

/// The member `locality` (`envoy.config.core.v3.Locality`).
pub(super) fn locality(object: &Value) -> Locality {
    let locality = object.get("locality").unwrap_or(&Value::Null);
    Locality::from_parts(text(locality, "region"), text(locality, "zone"), text(locality, "sub_zone"))
}
