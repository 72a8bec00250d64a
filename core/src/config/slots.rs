//! Numbered places for values: small numbers that stand for large things, used again once they are free.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Values by number. The number of a new value depends on what was inserted and removed before, on nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Slots<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Takes a value in and gives its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(value);
            return number;
        }
        self.places.push(Some(value));
        u32::try_from(self.places.len() - 1).expect("limits keep the values below 2^32")
    }

    /// Gives a value back and frees its number.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.places.get_mut(number as usize)?.take()?;
        if self.free.len() + 1 == self.places.len() {
            // The last one: the memory of a storm is given back.
            *self = Self::default();
        } else {
            self.free.push(number);
        }
        Some(value)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All values, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    /// All values, by number.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slots = Slots::default();
        assert_eq!((slots.insert('a'), slots.insert('b')), (0, 1));
        assert_eq!(
            (slots.remove(0), slots.remove(0), slots.remove(9)),
            (Some('a'), None, None)
        );
        assert_eq!(
            (slots.len(), slots.get(0), slots.get(1)),
            (1, None, Some(&'b'))
        );
        assert_eq!(slots.insert('c'), 0);
        assert_eq!(slots.iter().copied().collect::<Vec<_>>(), ['c', 'b']);
        slots.remove(0);
        slots.remove(1);
        assert_eq!((slots.len(), slots.places.len()), (0, 0));
    }
}
