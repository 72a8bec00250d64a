//! A map for look-ups alone. It cannot be iterated, so no output can depend on the order of its hashes;
//! who needs an order keeps an ordered map beside it.

use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

use hashbrown::HashMap;

/// A hash map without iteration, with a hasher that is the same on every machine.
#[derive(Clone)]
pub struct Lookup<K, V>(HashMap<K, V, Keyed>);

impl<K, V> Lookup<K, V> {
    /// An empty map whose hashes are keyed with `seed`, so that a stranger cannot choose names that collide.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self(HashMap::with_hasher(Keyed(seed)))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Eq + Hash, V> Lookup<K, V> {
    /// The value of a key.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// The value of a key, to change it.
    #[must_use]
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// Inserts or replaces; the old value comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Removes; the old value comes back. Room is given back when little of it is used.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let old = self.0.remove(key);
        if self.0.capacity() > 1_024 && self.0.len() * 8 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
        old
    }
}

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self::with_seed(0)
    }
}

impl<K, V> fmt::Debug for Lookup<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup({} entries)", self.len())
    }
}

/// Makes hashers with a fixed key.
#[derive(Clone, Copy)]
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0 ^ 0x9e37_79b9_7f4a_7c15)
    }
}

/// Eight bytes a step: xor, multiply to 128 bits, fold.
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        // Byte by byte: to copy so few is a call, and a dear one in a module. What is left has room for its length.
        let last = rest
            .iter()
            .fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        self.write_u64(last);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let product =
            u128::from(self.0.rotate_left(23) ^ word) * u128::from(0xa076_1d64_78bd_642f_u64);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ 0xe703_7ed1_a0b4_28db;
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format, string::String};

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut lookup, mut map) = (Lookup::with_seed(7), BTreeMap::new());
        for n in 0..5_000_u32 {
            let key = format!("10.0.{}.{}", n / 50, n % 173);
            assert_eq!(lookup.insert(key.clone(), n), map.insert(key, n));
        }
        assert_eq!(lookup.len(), map.len());
        let keys: alloc::vec::Vec<String> = map.keys().cloned().collect();
        for key in &keys[..keys.len() - 3] {
            assert_eq!(lookup.get(key), map.get(key));
            assert_eq!(lookup.remove(key.as_str()), map.remove(key));
        }
        assert_eq!((lookup.len(), lookup.is_empty()), (3, false));
        assert!(
            keys[keys.len() - 3..]
                .iter()
                .all(|key| lookup.get(key) == map.get(key))
        );
        assert!(lookup.0.capacity() < 1_100, "room is given back");
    }

    #[test]
    fn hashes_of_near_names_differ_in_their_low_and_high_bits() {
        let hash = |text: String| Keyed(1).hash_one(text);
        let (mut low, mut high) = ([0_u32; 64], [0_u32; 64]);
        for n in 0..6_400 {
            let h = hash(format!("service-{n}"));
            low[(h & 63) as usize] += 1;
            high[(h >> 58) as usize] += 1;
        }
        assert!(
            low.iter().chain(&high).all(|&n| (40..200).contains(&n)),
            "{low:?} {high:?}"
        );
    }
}
