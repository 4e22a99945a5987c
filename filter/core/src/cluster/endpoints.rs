//! The endpoints of a cluster that are failing or ejected, or were recently.
//!
//! In an outage there are hundreds of them, and an attempt changes one. So they are read one by one: an endpoint that
//! nobody asks for stays as it was written, in `closed`, and what is asked of all at each attempt is in sums by
//! locality.

use std::ops::Range;

use super::endpoint::Endpoint;
use super::members::endpoint_hash;
use crate::encoded;
use crate::encoding::{Encoded, Reader, decode, encode, write_bytes, write_number};
use crate::locality::Locality;
use crate::time::Millis;

/// Endpoints kept per cluster. Beyond that, one that has had no traffic for long is forgotten, unless it is ejected.
const MAX_ENDPOINTS: u32 = 1_000;

/// The endpoints that have failed or were ejected, at most [`MAX_ENDPOINTS`], in the order in which something was last
/// asked of them alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    open: Vec<Endpoint>,
    /// The others as they were written: each is a [`Head`] and an [`Endpoint`], after their length.
    closed: Vec<u8>,
    /// The sums of those that are closed.
    sums: Vec<Sum>,
}

/// What stands before a closed endpoint, and is read without it.
struct Head {
    /// Of its address.
    hash: [u8; 4],
    /// When its ejection is due to end; 0 if it is not ejected.
    due: Millis,
}

encoded!(struct Head { hash, due });

/// What is counted of endpoints.
#[derive(Clone, Copy, Debug)]
enum Part {
    All,
    Ejected,
    Troubled,
    Undecided,
}

const PARTS: [Part; 4] = [Part::All, Part::Ejected, Part::Troubled, Part::Undecided];

/// How many endpoints a locality has, of those that have left or of the others.
#[derive(Clone, Debug)]
struct Sum {
    locality: Locality,
    has_left: bool,
    /// By part.
    counts: [u32; 4],
}

encoded!(struct Sum { locality, has_left, counts });

impl Part {
    fn has(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Ejected => endpoint.is_ejected(),
            Self::Troubled => endpoint.is_troubled(),
            Self::Undecided => endpoint.rotation.is_undecided(),
        }
    }
}

impl Sum {
    fn count(&self, part: Part) -> u32 {
        self.counts.get(part as usize).copied().unwrap_or_default()
    }
}

/// Adds an endpoint to the sums `by` times, which is -1 in two's complement to take it away.
fn add_to(sums: &mut Vec<Sum>, endpoint: &Endpoint, by: u32) {
    let has_left = endpoint.left.is_some();
    let found = sums.iter().position(|sum| sum.has_left == has_left && sum.locality == endpoint.locality);
    let index = found.unwrap_or(sums.len());
    if found.is_none() {
        sums.push(Sum { locality: endpoint.locality.clone(), has_left, counts: [0; 4] });
    }
    let Some(sum) = sums.get_mut(index) else { return };
    for (part, count) in PARTS.into_iter().zip(&mut sum.counts) {
        *count = count.wrapping_add(if part.has(endpoint) { by } else { 0 });
    }
}

impl Endpoints {
    /// All endpoints: [`Endpoints::all`] has opened them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        debug_assert!(self.closed.is_empty(), "some endpoints are closed");
        self.open.iter()
    }

    /// Opens all endpoints; returns their indexes.
    #[inline(never)]
    pub(super) fn all(&mut self) -> Range<usize> {
        let closed = std::mem::take(&mut self.closed);
        self.sums.clear();
        for (_, record) in records(&closed) {
            self.open.extend(endpoint_of(record));
        }
        0..self.open.len()
    }

    /// The index of the endpoint with this address, which is opened.
    pub(super) fn position(&mut self, address: &str) -> Option<usize> {
        let open = self.open.iter().position(|endpoint| endpoint.address == address);
        open.or_else(|| self.find(address).and_then(|(place, endpoint)| self.open_at(place, endpoint)))
    }

    /// The closed endpoint with this address, and the place of its record.
    #[inline(never)]
    fn find(&self, address: &str) -> Option<(Range<usize>, Endpoint)> {
        let hash = endpoint_hash(address).to_le_bytes();
        for (place, record) in records(&self.closed) {
            if record.starts_with(&hash)
                && let Some(endpoint) = endpoint_of(record)
                && endpoint.address == address
            {
                return Some((place, endpoint));
            }
        }
        None
    }

    /// Opens this endpoint, whose record is at this place; returns its index.
    fn open_at(&mut self, place: Range<usize>, endpoint: Endpoint) -> Option<usize> {
        self.closed.drain(place);
        add_to(&mut self.sums, &endpoint, u32::MAX);
        self.open.push(endpoint);
        self.open.len().checked_sub(1)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Endpoint> {
        self.open.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Endpoint> {
        self.open.get_mut(index)
    }

    pub(super) fn remove(&mut self, index: usize) {
        if index < self.open.len() {
            self.open.remove(index);
        }
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Endpoint) -> bool) {
        self.all();
        self.open.retain(keep);
    }

    /// Adds an endpoint that is not known yet; returns its index, or `None` if there is no room because all known ones
    /// are ejected.
    pub(super) fn add(
        &mut self,
        address: &str,
        locality: &Locality,
        workload: Option<&str>,
        now: Millis,
    ) -> Option<usize> {
        if self.number(Part::All, None) >= MAX_ENDPOINTS {
            self.make_room()?;
        }
        self.open.push(Endpoint {
            address: address.to_owned(),
            locality: locality.clone(),
            workload: workload.map(str::to_owned),
            seen: now,
            ..Endpoint::default()
        });
        self.open.len().checked_sub(1)
    }

    /// Removes the first endpoint that is not ejected; `None` if there is none.
    fn make_room(&mut self) -> Option<()> {
        let is_free = |(_, record): &(_, &[u8])| decode::<Head>(record).is_some_and(|head| head.due == 0);
        if let Some((place, record)) = records(&self.closed).find(is_free) {
            let endpoint = endpoint_of(record)?;
            self.open_at(place, endpoint);
            self.open.pop();
        } else {
            let index = self.open.iter().position(|endpoint| !endpoint.is_ejected())?;
            self.open.remove(index);
        }
        Some(())
    }

    /// How many endpoints there are, open and closed: at this locality, those that have not left, else all.
    #[inline(never)]
    fn number(&self, part: Part, at: Option<&Locality>) -> u32 {
        let is_there = |locality: &Locality, has_left: bool| at.is_none_or(|at| !has_left && locality == at);
        let mut number = 0_u32;
        for sum in self.sums.iter().filter(|sum| is_there(&sum.locality, sum.has_left)) {
            number = number.saturating_add(sum.count(part));
        }
        for endpoint in &self.open {
            if part.has(endpoint) && is_there(&endpoint.locality, endpoint.left.is_some()) {
                number = number.saturating_add(1);
            }
        }
        number
    }

    /// How many endpoints are ejected.
    pub(super) fn ejected(&self) -> u32 {
        self.number(Part::Ejected, None)
    }

    /// How many endpoints are ejected, failing, or waiting for a decision.
    pub(super) fn troubled(&self) -> u32 {
        self.number(Part::Troubled, None)
    }

    /// How many endpoints there are of a locality, without those that have left and whose end is not told yet.
    pub(super) fn at(&self, locality: &Locality) -> u32 {
        self.number(Part::All, Some(locality))
    }

    /// How many of these are ejected.
    pub(super) fn ejected_at(&self, locality: &Locality) -> u32 {
        self.number(Part::Ejected, Some(locality))
    }

    /// Whether the endpoint with this address is ejected.
    pub(super) fn is_ejected(&self, address: &str) -> bool {
        match self.open.iter().find(|endpoint| endpoint.address == address) {
            Some(endpoint) => endpoint.is_ejected(),
            None => self.find(address).is_some_and(|(_, endpoint)| endpoint.is_ejected()),
        }
    }

    /// The open endpoints.
    pub(super) fn opened(&self) -> &[Endpoint] {
        &self.open
    }

    /// Whether a closed endpoint waits for a decision, or has an ejection that is due to end after the first of these
    /// times and not after the second.
    pub(super) fn any_closed_is_due(&self, after: Millis, until: Millis) -> bool {
        let any = |part: Part| self.sums.iter().any(|sum| sum.count(part) > 0);
        let is_due = |(_, record)| decode::<Head>(record).is_some_and(|head| head.due > after && head.due <= until);
        any(Part::Undecided) || (any(Part::Ejected) && records(&self.closed).any(is_due))
    }
}

/// The records of closed endpoints, and where they are.
struct Records<'c> {
    reader: Reader<'c>,
    closed: usize,
}

fn records(closed: &[u8]) -> Records<'_> {
    Records { reader: Reader::new(closed), closed: closed.len() }
}

impl<'c> Iterator for Records<'c> {
    type Item = (Range<usize>, &'c [u8]);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let start = self.closed.saturating_sub(self.reader.left());
        let record = self.reader.bytes()?;
        Some((start..self.closed.saturating_sub(self.reader.left()), record))
    }
}

#[inline(never)]
fn endpoint_of(record: &[u8]) -> Option<Endpoint> {
    decode::<(Head, Endpoint)>(record).map(|(_, endpoint)| endpoint)
}

impl Encoded for Endpoints {
    fn write(&self, bytes: &mut Vec<u8>) {
        let (mut sums, mut opened) = (self.sums.clone(), Vec::new());
        for endpoint in &self.open {
            add_to(&mut sums, endpoint, 1);
            let hash = endpoint_hash(&endpoint.address).to_le_bytes();
            let due = endpoint.rotation.ejection().map_or(0, |ejection| ejection.due);
            let mut record = encode(&Head { hash, due });
            endpoint.write(&mut record);
            write_bytes(&record, &mut opened);
        }
        sums.write(bytes);
        write_number(self.closed.len().saturating_add(opened.len()) as u64, bytes);
        bytes.extend_from_slice(&self.closed);
        bytes.extend_from_slice(&opened);
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let sums: Vec<Sum> = Vec::read(reader);
        // Something else may have written the bytes; the proxy's total of findings changes by no more than this.
        let all = sums.iter().fold(0_u32, |all, sum| all.saturating_add(sum.count(Part::All)));
        let is_part = |sum: &Sum| sum.counts.iter().all(|count| *count <= sum.count(Part::All));
        if all > MAX_ENDPOINTS || !sums.iter().all(is_part) {
            reader.fail();
        }
        Self { open: Vec::new(), closed: reader.bytes().unwrap_or_default().to_vec(), sums }
    }
}

/// Two values are equal if they are written alike.
impl PartialEq for Endpoints {
    fn eq(&self, other: &Self) -> bool {
        encode(self) == encode(other)
    }
}

impl Eq for Endpoints {}

#[cfg(test)]
mod tests;
