//! Which polls watch which names.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Polls that share a word.
const WORD: u32 = u32::BITS;

/// Pairs of a watched name and a poll, each once: a bit a pair, by (name, number of the poll / 32).
///
/// Programs of one kind poll the same configs, so that a word is mostly shared; and it is there already when the next
/// poll comes, which so leaves little behind between the large buffers that it is read with. A pair that shares its word
/// with none costs 12 bytes and the slack of a B-tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PollsByName(BTreeMap<(u32, u32), u32>);

impl PollsByName {
    /// Adds a pair; whether it is new.
    pub(super) fn insert(&mut self, name: u32, poll: u32) -> bool {
        let word = self.0.entry((name, poll / WORD)).or_default();
        let bit = 1 << (poll % WORD);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Removes a pair; whether it was there.
    pub(super) fn remove(&mut self, name: u32, poll: u32) -> bool {
        let place = (name, poll / WORD);
        let bit = 1 << (poll % WORD);
        let Some(word) = self.0.get_mut(&place).filter(|word| **word & bit != 0) else {
            return false;
        };
        *word &= !bit;
        if *word == 0 {
            self.0.remove(&place);
        }
        true
    }

    /// Polls that watch a name, by number.
    pub(super) fn of(&self, name: u32) -> impl Iterator<Item = u32> {
        let words = self.0.range((name, 0)..=(name, u32::MAX));
        words.flat_map(|((_, at), word)| {
            let set = (0..WORD).filter(move |bit| word >> bit & 1 == 1);
            set.map(move |bit| at * WORD + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_of_pairs_holds(
            acts in prop::collection::vec((any::<bool>(), 0..3_u32, prop_oneof![0..70_u32, u32::MAX - 2..=u32::MAX]), 0..200),
        ) {
            let (mut pairs, mut set) = (PollsByName::default(), BTreeSet::new());
            for (insert, name, poll) in acts {
                if insert {
                    prop_assert_eq!(pairs.insert(name, poll), set.insert((name, poll)));
                } else {
                    prop_assert_eq!(pairs.remove(name, poll), set.remove(&(name, poll)));
                }
                for name in 0..3 {
                    let expected: Vec<u32> = set.iter().filter(|p| p.0 == name).map(|p| p.1).collect();
                    prop_assert_eq!(pairs.of(name).collect::<Vec<_>>(), expected);
                }
            }
            for (name, poll) in set {
                pairs.remove(name, poll);
            }
            prop_assert_eq!(pairs, PollsByName::default());
        }
    }
}
