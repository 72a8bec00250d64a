//! Sorting, once for all rules: the standard library's sorts are 8 kB for each type in a module that browsers load.

use alloc::vec::Vec;

/// Sorts; equals stay in their order. Merges from the bottom, and takes what is sorted already as it is.
pub(crate) fn sort<T: Copy>(items: &mut Vec<T>, is_before: impl Fn(&T, &T) -> bool) {
    if items.is_sorted_by(|a, b| !is_before(b, a)) {
        return;
    }
    let count = items.len();
    let mut merged = items.clone();
    let mut width = 1;
    while width < count {
        for start in (0..count).step_by(2 * width) {
            let (middle, end) = ((start + width).min(count), (start + 2 * width).min(count));
            let (mut left, mut right) = (start, middle);
            for slot in &mut merged[start..end] {
                let (a, b) = (items[left.min(count - 1)], items[right.min(count - 1)]);
                // No short cuts: what comes first cannot be foretold, so that a branch costs more than a comparison.
                let takes_right = (left == middle) | ((right < end) & is_before(&b, &a));
                *slot = if takes_right { b } else { a };
                left += usize::from(!takes_right);
                right += usize::from(takes_right);
            }
        }
        core::mem::swap(items, &mut merged);
        width *= 2;
    }
}

/// Sorts hashes, each with what it stands for; a larger hash never comes before a smaller one.
///
/// Each goes where its leading bits foretell, and from there past the few that share them: the time grows with the count,
/// not with its logarithm. Whoever chose what is hashed can make a few share those bits, not many of them.
pub(crate) fn sort_hashed<T: Copy + Default>(
    items: &[(u64, T)],
    is_before: impl Fn(&(u64, T), &(u64, T)) -> bool,
) -> Vec<(u64, T)> {
    let bits = items.len().max(2).ilog2();
    let bucket = |hash: u64| (hash >> (u64::BITS - bits)) as usize;
    // How many fall below each bucket, and then where its next goes.
    let mut next = alloc::vec![0_u32; (1 << bits) + 1];
    for (hash, _) in items {
        next[bucket(*hash) + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut sorted = alloc::vec![<(u64, T)>::default(); items.len()];
    for item in items {
        let place = &mut next[bucket(item.0)];
        sorted[*place as usize] = *item;
        *place += 1;
    }
    for at in 1..sorted.len() {
        let item = sorted[at];
        let mut free = at;
        while free > 0 && is_before(&item, &sorted[free - 1]) {
            sorted[free] = sorted[free - 1];
            free -= 1;
        }
        sorted[free] = item;
    }
    sorted
}

/// Indices below `count` in the order of their names; of equal names in their own.
pub(crate) fn by_name<'a>(count: u32, name: &dyn Fn(u32) -> &'a str) -> Vec<u32> {
    let mut order = Vec::with_capacity(count as usize);
    order.extend(0..count);
    sort(&mut order, |a, b| name(*a) < name(*b));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_and_keeps_equals_in_order(words in prop::collection::vec(0_u8..20, 0..200)) {
            let mut own: Vec<(u8, usize)> = words.iter().copied().zip(0..).collect();
            let mut expected = own.clone();
            expected.sort();
            sort(&mut own, |a, b| a.0 < b.0);
            prop_assert_eq!(own, expected);
        }

        #[test]
        fn sorts_hashes_however_they_are_spread(
            hashes in prop::collection::vec(prop_oneof![any::<u64>(), 0_u64..20, Just(u64::MAX)], 0..200),
        ) {
            let items: Vec<(u64, usize)> = hashes.iter().copied().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort();
            prop_assert_eq!(sort_hashed(&items, |a, b| a < b), expected);
        }
    }
}
