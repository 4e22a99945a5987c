//! Header maps of the stream and of an HTTP call's answer.

use super::call::{Call, HostResult};
use crate::abi::{MapKind, Pairs, Status, decode_pairs, encode_pairs};
use crate::properties::header;

fn map_kind(map: u32) -> Result<MapKind, Status> {
    MapKind::from_abi(map).ok_or(Status::BadArgument)
}

impl Call<'_, '_> {
    /// The map as a read sees it. The map of an HTTP call's answer belongs to the root context.
    fn map(&mut self, kind: MapKind) -> Option<Pairs> {
        let state = self.state();
        let acting = state.acting();
        match kind {
            MapKind::CallHeaders => state.root_of(acting)?.answer.as_ref().map(|answer| answer.headers.clone()),
            MapKind::CallTrailers => state.root_of(acting)?.answer.as_ref()?.trailers.clone(),
            kind => state.contexts.get(&acting)?.stream.as_ref()?.map(kind).cloned(),
        }
    }

    fn change_map(&mut self, kind: MapKind, change: impl FnOnce(&mut Pairs)) -> HostResult {
        let map = self.stream()?.and_then(|stream| stream.map_mut(kind));
        change(map.ok_or(Status::BadArgument)?);
        Ok(())
    }
}

pub(super) fn get_value(
    call: &mut Call<'_, '_>,
    map: u32,
    key: u32,
    length: u32,
    value_at: u32,
    size_at: u32,
) -> HostResult {
    let kind = map_kind(map)?;
    let key = call.bytes(key, length)?;
    call.fault(&String::from_utf8_lossy(&key))?;
    let Some(map) = call.map(kind) else {
        // Asking for a map that does not exist is a BadArgument, except in the log phase.
        let logging = call.stream()?.is_some_and(|stream| stream.logging());
        let status = if logging { Status::NotFound } else { Status::BadArgument };
        return Err(status.into());
    };
    let value = header(&map, &key).ok_or(Status::NotFound)?;
    call.return_bytes(value, value_at, size_at)
}

/// A map that does not exist reads as one without headers: status Ok and a null pointer.
pub(super) fn get_pairs(call: &mut Call<'_, '_>, map: u32, pairs_at: u32, size_at: u32) -> HostResult {
    let kind = map_kind(map)?;
    call.fault("")?;
    let map = call.map(kind).filter(|map| !map.is_empty());
    let bytes = map.map(|map| encode_pairs(&map)).unwrap_or_default();
    call.return_bytes(&bytes, pairs_at, size_at)
}

/// The total length of all names and values, in bytes.
pub(super) fn get_size(call: &mut Call<'_, '_>, map: u32, size_at: u32) -> HostResult {
    let kind = map_kind(map)?;
    call.fault("")?;
    let map = call.map(kind).ok_or(Status::BadArgument)?;
    let size: usize = map.iter().map(|(name, value)| name.len() + value.len()).sum();
    Ok(call.write_u32(size_at, size as u32)?)
}

pub(super) fn set_pairs(call: &mut Call<'_, '_>, map: u32, pairs: u32, size: u32) -> HostResult {
    let kind = map_kind(map)?;
    let pairs = decode_pairs(&call.bytes(pairs, size)?);
    call.fault("")?;
    call.change_map(kind, |map| *map = pairs)
}

pub(super) fn add_value(call: &mut Call<'_, '_>, map: u32, key: u32, length: u32, value: u32, size: u32) -> HostResult {
    let kind = map_kind(map)?;
    let key = call.bytes(key, length)?.to_ascii_lowercase();
    let value = call.bytes(value, size)?;
    call.fault(&String::from_utf8_lossy(&key))?;
    call.change_map(kind, |map| map.push((key, value)))
}

pub(super) fn replace_value(
    call: &mut Call<'_, '_>,
    map: u32,
    key: u32,
    length: u32,
    value: u32,
    size: u32,
) -> HostResult {
    let kind = map_kind(map)?;
    let key = call.bytes(key, length)?.to_ascii_lowercase();
    let value = call.bytes(value, size)?;
    call.fault(&String::from_utf8_lossy(&key))?;
    call.change_map(kind, |map| {
        map.retain(|(name, _)| *name != key);
        map.push((key, value));
    })
}

pub(super) fn remove_value(call: &mut Call<'_, '_>, map: u32, key: u32, length: u32) -> HostResult {
    let kind = map_kind(map)?;
    let key = call.bytes(key, length)?.to_ascii_lowercase();
    call.fault(&String::from_utf8_lossy(&key))?;
    call.change_map(kind, |map| map.retain(|(name, _)| *name != key))
}
