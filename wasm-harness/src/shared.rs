//! The process's shared data and shared queues: one of each, used by all VMs with the same vm_id.
//!
//! A harness has one vm_id, so there is one map. Values outlive VMs; the ABI cannot remove them.

use crate::abi::Status;
use std::collections::{BTreeMap, VecDeque};

/// Key, value and compare-and-swap numbers.
pub(crate) struct SharedData {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    next_cas: u32,
}

impl Default for SharedData {
    fn default() -> Self {
        SharedData { entries: BTreeMap::new(), next_cas: 1 }
    }
}

impl SharedData {
    pub(crate) fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.entries.get(key).cloned()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, (value, _))| (&key[..], &value[..]))
    }

    /// `cas` 0 always writes. A wrong number is a CasMismatch only if the key exists: any number creates an absent key.
    /// Numbers come from one counter for all keys and skip 0.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        if let Some((_, current)) = self.entries.get(key)
            && cas != 0
            && cas != *current
        {
            return Err(Status::CasMismatch);
        }
        let number = self.next_cas;
        self.next_cas = self.next_cas.checked_add(1).unwrap_or(1);
        self.entries.insert(key.to_vec(), (value.to_vec(), number));
        Ok(())
    }
}

/// A queue belongs to the root context that registered it last: only that context gets `proxy_on_queue_ready`.
struct Queue {
    name: Vec<u8>,
    owner: (u64, u32),
    items: VecDeque<Vec<u8>>,
}

/// All queues. A token is the index plus one, as 0 means not found.
#[derive(Default)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    /// Posted and not yet delivered: VM, root context, token.
    pub(crate) ready: VecDeque<(u64, u32, u32)>,
}

impl Queues {
    pub(crate) fn register(&mut self, name: &[u8], owner: (u64, u32)) -> u32 {
        if let Some(token) = self.resolve(name) {
            self.queues[token as usize - 1].owner = owner;
            return token;
        }
        self.queues.push(Queue { name: name.to_vec(), owner, items: VecDeque::new() });
        self.queues.len() as u32
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        let at = self.queues.iter().position(|queue| queue.name == name)?;
        Some(at as u32 + 1)
    }

    pub(crate) fn enqueue(&mut self, token: u32, item: Vec<u8>) -> Result<(), Status> {
        let queue = self.queue(token)?;
        queue.items.push_back(item);
        let (vm, root) = queue.owner;
        self.ready.push_back((vm, root, token));
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        self.queue(token)?.items.pop_front().ok_or(Status::Empty)
    }

    fn queue(&mut self, token: u32) -> Result<&mut Queue, Status> {
        let at = (token as usize).checked_sub(1).ok_or(Status::NotFound)?;
        self.queues.get_mut(at).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_and_swap_follows_envoy() {
        let mut data = SharedData::default();
        assert_eq!(data.set(b"k", b"1", 77), Ok(()), "any number creates an absent key");
        let (value, cas) = data.get(b"k").unwrap();
        assert_eq!((value, cas), (b"1".to_vec(), 1));
        assert_eq!(data.set(b"k", b"2", cas + 1), Err(Status::CasMismatch));
        assert_eq!(data.set(b"k", b"2", cas), Ok(()));
        assert_eq!(data.set(b"k", b"3", cas), Err(Status::CasMismatch), "the number is used up");
        assert_eq!(data.set(b"k", b"4", 0), Ok(()), "0 forces");
        data.set(b"other", b"", 0).unwrap();
        assert_eq!(data.get(b"other").unwrap().1, 4, "one counter for all keys");
    }

    #[test]
    fn the_last_registrant_owns_a_queue_and_keeps_its_items() {
        let mut queues = Queues::default();
        let token = queues.register(b"q", (1, 1));
        queues.enqueue(token, b"a".to_vec()).unwrap();
        assert_eq!(queues.register(b"q", (2, 5)), token);
        queues.enqueue(token, b"b".to_vec()).unwrap();
        assert_eq!(queues.ready, [(1, 1, token), (2, 5, token)]);
        assert_eq!(queues.dequeue(token), Ok(b"a".to_vec()));
        assert_eq!(queues.dequeue(token), Ok(b"b".to_vec()));
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
        assert_eq!(queues.dequeue(9), Err(Status::NotFound));
        assert_eq!(queues.resolve(b"none"), None);
    }
}
