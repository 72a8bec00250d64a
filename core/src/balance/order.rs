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
    }
}
