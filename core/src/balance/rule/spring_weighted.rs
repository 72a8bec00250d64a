//! Spring Cloud's weighted supplier: integer weights from the metadata, expanded into a list that is taken in turns.

use super::spring_round_robin::Position;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};
use alloc::string::String;
use alloc::vec::Vec;

/// Longest expanded list; larger weights are scaled down to it.
const LONGEST: u64 = 65_536;

#[derive(Debug)]
pub(crate) struct SpringWeighted {
    turns: Vec<u32>,
    position: Position,
}

/// The weight a metadata value stands for: 1 when it is missing, unreadable or not above 0.
#[must_use]
pub fn weight_of(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse::<i32>().ok())
        .and_then(|weight| u32::try_from(weight).ok())
        .unwrap_or(1)
        .max(1)
}

pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Positions in turn: divided by the greatest common divisor, each round every one with something left gives one.
#[must_use]
pub fn expand(weights: &[u32]) -> Vec<u32> {
    let divisor = weights
        .iter()
        .fold(0, |divisor, &weight| gcd(divisor, u64::from(weight)))
        .max(1);
    let mut left: Vec<u64> = weights
        .iter()
        .map(|&weight| u64::from(weight) / divisor)
        .collect();
    let sum: u64 = left.iter().sum();
    let room = LONGEST.max(weights.len() as u64);
    if sum > room {
        for weight in &mut left {
            *weight = (*weight * room / sum).max(1);
        }
    }
    let mut turns = Vec::new();
    while left.iter().any(|&weight| weight > 0) {
        for (position, weight) in left
            .iter_mut()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
        {
            *weight -= 1;
            turns.push(position as u32);
        }
    }
    turns
}

impl SpringWeighted {
    pub(crate) fn new(table: &Table, scope: &Scope, position: Position) -> Self {
        let metadata = |index: &u32| &table.candidates[*index as usize].metadata;
        let weights: Vec<u32> = scope
            .members
            .iter()
            .map(|index| weight_of(metadata(index).get("weight").map(String::as_str)))
            .collect();
        let turns = expand(&weights)
            .into_iter()
            .map(|position| scope.members[position as usize])
            .collect();
        Self { turns, position }
    }

    pub(crate) fn continued(&self, table: &Table, scope: &Scope) -> Self {
        Self::new(table, scope, self.position.continued())
    }

    pub(crate) fn choose(&self, q: &Query<'_>, rng: &mut dyn Rng) -> Result<u32, NoPick> {
        let count = self.turns.len();
        if count == 0 {
            return Err(NoPick::NoInstances);
        }
        let at = if count == 1 {
            0
        } else {
            self.position.next(rng) as usize
        };
        let mut walk = (0..count).map(|step| self.turns[(at + step) % count]);
        walk.find(|&index| q.usable_if_safe(index))
            .ok_or_else(|| q.none_of(&self.turns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_weights_do_not_make_a_huge_list() {
        let turns = expand(&[2_000_000_000, 1_000_000_007, 3]);
        assert!(turns.len() <= LONGEST as usize + 3);
        assert_eq!(turns.iter().filter(|&&turn| turn == 2).count(), 1);
    }
}
