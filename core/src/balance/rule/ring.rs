//! Consistent hashing on a ring, optionally with bounded load.
//!
//! A member's points depend on its id, its weight and the scale alone, so a member that leaves moves its own keys and no
//! others. The scale is a power of two chosen by the largest weight, not by the number of members: it changes only when that weight does
//! (or when the ring would be larger than its maximum). Sixteen members of equal weight have at least the minimum ring; fewer have
//! fewer points, since a ring that grew as members leave would move keys between those that stay.

use super::hashing::{is_full, of_request, placed, twin};
use crate::balance::decimal;
use crate::balance::hash::xxh64;
use crate::balance::order::sort_hashed;
use crate::balance::policy::Hashing;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};
use alloc::string::String;
use alloc::vec::Vec;

/// The heaviest member has at most the minimum ring divided by this, and more than half of that.
const SHARE: f64 = 8.0;

#[derive(Debug)]
pub(crate) struct Ring {
    /// (hash, member), sorted.
    points: Vec<(u64, u32)>,
    weight_sum: f64,
}

fn points_of(weight: f64, scale: f64) -> f64 {
    libm::round(weight * scale).max(1.0)
}

/// The largest power of two that is not above a positive number: its exponent without the rest.
fn power_of_two(number: f64) -> f64 {
    f64::from_bits(number.to_bits() & f64::INFINITY.to_bits())
}

/// Points for a weight of 1.
fn scale(weights: &[f64], hashing: &Hashing) -> f64 {
    let most = weights.iter().copied().fold(0.0, f64::max);
    let size = |scale: f64| {
        weights
            .iter()
            .map(|&weight| points_of(weight, scale))
            .sum::<f64>()
    };
    let heaviest = (f64::from(hashing.min_ring) / SHARE).max(1.0);
    let mut scale = power_of_two((heaviest / most).min(f64::MAX));
    while size(scale) > f64::from(hashing.max_ring) && scale * most >= 1.0 {
        scale /= 2.0;
    }
    scale
}

impl Ring {
    pub(crate) fn new(table: &Table, scope: &Scope, hashing: &Hashing) -> Self {
        let members = placed(table, scope);
        let weights: Vec<f64> = members
            .iter()
            .map(|&index| table.weights[index as usize])
            .collect();
        let mut points = Vec::new();
        if !members.is_empty() {
            let scale = scale(&weights, hashing);
            let size = weights.iter().map(|&weight| points_of(weight, scale));
            points.reserve_exact(size.sum::<f64>() as usize);
            let mut name = String::new();
            for (&index, &weight) in members.iter().zip(&weights) {
                name.clear();
                name.push_str(&table.candidates[index as usize].id);
                name.push('_');
                let stem = name.len();
                for point in 0..points_of(weight, scale) as u32 {
                    name.truncate(stem);
                    decimal::push(&mut name, point);
                    points.push((xxh64(name.as_bytes(), 0), index));
                }
            }
            // Points that fall together are ordered by id, not by position in the list.
            let id = |index: u32| &table.candidates[index as usize].id;
            points = sort_hashed(&points, |a, b| {
                a.0 < b.0 || (a.0 == b.0 && id(a.1) < id(b.1))
            });
        }
        Self {
            points,
            weight_sum: weights.iter().sum(),
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let count = self.points.len();
        if count == 0 {
            return Err(q.none_of(&scope.members));
        }
        let hash = of_request(q, rng);
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let mut full = None;
        for step in 0..count {
            let (_, index) = self.points[(start + step) % count];
            if !q.usable(index) {
                continue;
            }
            if !is_full(q, index, self.weight_sum) {
                return Ok(index);
            }
            full = full.or(Some(index));
        }
        // All that are usable are full: the bound counts members that are down too.
        full.or_else(|| twin(q, scope))
            .ok_or_else(|| q.none_of(&scope.members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_powers_of_two_whatever_the_weights() {
        for (number, expected) in [(1.0, 1.0), (127.9, 64.0), (128.0, 128.0), (0.3, 0.25)] {
            assert_eq!(power_of_two(number), expected);
        }
        let hashing = Hashing::default();
        assert_eq!(scale(&[1.0, 3.0], &hashing), 32.0);
        // Weights so small that no number is large enough to make a ring of them.
        assert!(scale(&[1e-310, 5e-324], &hashing).is_finite());
        assert!(scale(&[1e300, 1.0], &hashing) < 1e-290);
    }
}
