//! Puts a list in order.
//!
//! The standard library's sort takes 4 kB of the module for each type of item. Here a type takes a comparison and an
//! exchange, and one function orders the places of the items, by heapsort.

/// Orders a list; items of which neither `is_before` the other stay as they were.
pub fn sort<T>(items: &mut [T], is_before: impl Fn(&T, &T) -> bool) {
    sort_slots(&mut Items { items, is_before });
}

/// A list whose items are known by their places only.
trait Slots {
    fn len(&self) -> usize;
    fn is_before(&self, a: usize, b: usize) -> bool;
    fn swap(&mut self, a: usize, b: usize);
}

struct Items<'i, T, F> {
    items: &'i mut [T],
    is_before: F,
}

impl<T, F: Fn(&T, &T) -> bool> Slots for Items<'_, T, F> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => (self.is_before)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }
}

#[inline(never)]
fn sort_slots(slots: &mut dyn Slots) {
    if (1..slots.len()).all(|slot| !slots.is_before(slot, slot.saturating_sub(1))) {
        return;
    }
    let mut places: Vec<usize> = (0..slots.len()).collect();
    heapsort(&mut places, slots);
    arrange(&mut places, slots);
}

/// Orders the places by what is at them.
fn heapsort(places: &mut [usize], slots: &dyn Slots) {
    for root in (0..places.len() / 2).rev() {
        sift_down(places, root, slots);
    }
    for end in (1..places.len()).rev() {
        places.swap(0, end);
        if let Some(heap) = places.get_mut(..end) {
            sift_down(heap, 0, slots);
        }
    }
}

fn sift_down(heap: &mut [usize], mut root: usize, slots: &dyn Slots) {
    let is_before = |a: usize, b: usize| slots.is_before(a, b) || (a < b && !slots.is_before(b, a));
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let Some(mut greatest) = heap.get(left).copied() else { return };
        let mut child = left;
        if let Some(other) = heap.get(right).copied().filter(|other| is_before(greatest, *other)) {
            (greatest, child) = (other, right);
        }
        match heap.get(root) {
            Some(parent) if is_before(*parent, greatest) => heap.swap(root, child),
            _ => return,
        }
        root = child;
    }
}

/// Moves each item to where `places` has its old place.
fn arrange(places: &mut [usize], slots: &mut dyn Slots) {
    for start in 0..places.len() {
        let mut slot = start;
        while let Some(place) = places.get_mut(slot) {
            let from = std::mem::replace(place, slot);
            if from == start || from == slot {
                break;
            }
            slots.swap(slot, from);
            slot = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_in_order_and_equal_ones_stay_as_they_were() {
        let mut number = 1_u32;
        for length in 0..200_u32 {
            let mut items: Vec<(u32, u32)> = Vec::new();
            for index in 0..length {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                items.push(((number >> 16) % (length / 3 + 1), index));
            }
            let mut wanted = items.clone();
            wanted.sort_by_key(|item| item.0);
            sort(&mut items, |a, b| a.0 < b.0);
            assert_eq!(items, wanted);
        }
    }
}
