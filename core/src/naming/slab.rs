//! Values by small numbers that are used again: what refers to a client, service or record needs four bytes.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// Values by number. Serialised with its free numbers, so that a copy hands out the same ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(value);
            id
        } else {
            self.slots.push(Some(value));
            (self.slots.len() - 1) as u32
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
        Some(value)
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.slots.get(id as usize).is_some_and(Option::is_some)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// In the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(id, slot)| Some((id as u32, slot.as_ref()?)))
    }

    /// In the order of the numbers.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(id, slot)| Some((id as u32, slot.as_mut()?)))
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        self.slots[id as usize]
            .as_ref()
            .expect("numbers are forgotten with their values")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        self.slots[id as usize]
            .as_mut()
            .expect("numbers are forgotten with their values")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_room_is_given_back() {
        let mut slab = Slab::default();
        assert_eq!(
            [slab.insert('a'), slab.insert('b'), slab.insert('c')],
            [0, 1, 2]
        );
        assert_eq!(
            (slab.remove(1), slab.remove(1), slab.remove(9)),
            (Some('b'), None, None)
        );
        assert_eq!((slab.len(), slab[2]), (2, 'c'));
        assert_eq!(
            [slab.contains(1), slab.contains(2), slab.contains(3)],
            [false, true, false]
        );
        assert_eq!(slab.insert('d'), 1);
        assert_eq!(
            slab.iter().map(|(_, c)| *c).collect::<Vec<_>>(),
            ['a', 'd', 'c']
        );
        for id in 0..3 {
            slab.remove(id);
        }
        assert_eq!((slab.len(), slab.slots.len(), slab.free.len()), (0, 0, 0));
    }
}
