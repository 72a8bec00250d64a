//! Least request (Envoy): of a few members drawn at random the one with the fewest requests under way.
//!
//! Members of unequal weight: by the effective weight, weight / (active + 1)^bias. A short list is counted out; of a long one a few members are
//! drawn by weight, and one of these by what its load leaves of it, which needs no order of all members. With every member idle the
//! shares are those of the weights. `full_scan` looks at every member.

use super::best_available::least;
use super::weights::{WeightTable, roulette};
use crate::balance::policy::Tie;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};

const MOST_CHOICES: usize = 16;
const ROUNDS: u32 = 4;
/// Members up to which effective weights are counted out.
const SHORT: usize = 32;
/// Members of a long list that are drawn by weight, at least.
const SAMPLE: usize = 8;

#[derive(Debug)]
pub(crate) struct LeastRequest {
    /// None when all weights are equal.
    weights: Option<WeightTable>,
}

impl LeastRequest {
    pub(crate) fn new(table: &Table, scope: &Scope) -> Self {
        let mut weights = scope
            .members
            .iter()
            .map(|&index| table.weights[index as usize])
            .filter(|&weight| weight > 0.0);
        let first = weights.next();
        let equal = weights.all(|weight| Some(weight) == first);
        Self {
            weights: (!equal).then(|| WeightTable::serving(table, &scope.members)),
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let members = &scope.members;
        let settings = &q.plan.policy.least_request;
        let choices = (settings.choices as usize).clamp(1, MOST_CHOICES);
        if !settings.full_scan && !members.is_empty() {
            let drawn = match &self.weights {
                None => drawn_evenly(q, members, choices, rng),
                Some(_) if members.len() <= SHORT => None,
                Some(weights) => drawn_by_weight(q, members, weights, choices.max(SAMPLE), rng),
            };
            if let Some(index) = drawn {
                return Ok(index);
            }
        }
        if self.weights.is_some() && !settings.full_scan {
            return roulette(q, members, rng, |index| {
                q.table.weights[index as usize] * relief(q, index)
            });
        }
        least(q, members, Tie::Random, rng).ok_or_else(|| q.none_of(members))
    }
}

/// What is left of a weight under the member's load.
fn relief(q: &Query<'_>, index: u32) -> f64 {
    let (running, bias) = (
        f64::from(q.active(index)) + 1.0,
        q.plan.policy.least_request.bias,
    );
    if bias == 1.0 {
        1.0 / running
    } else {
        libm::pow(running, -bias)
    }
}

fn drawn_evenly(q: &Query<'_>, members: &[u32], choices: usize, rng: &mut dyn Rng) -> Option<u32> {
    let choices = choices.min(members.len());
    for _ in 0..ROUNDS {
        // Distinct positions: each draw is below what is left and steps over those taken, which are kept in order.
        let mut taken = [usize::MAX; MOST_CHOICES];
        let mut best: Option<(u32, u32)> = None;
        let mut equals = 0;
        for count in 0..choices {
            let mut at = rng.int((members.len() - count) as u32) as usize;
            let mut place = 0;
            while place < count && at >= taken[place] {
                at += 1;
                place += 1;
            }
            taken.copy_within(place..count, place + 1);
            taken[place] = at;
            let index = members[at];
            if !q.usable(index) {
                continue;
            }
            let active = q.active(index);
            match best {
                Some((_, fewest)) if active > fewest => {}
                Some((_, fewest)) if active == fewest => {
                    equals += 1;
                    if rng.int(equals) == 0 {
                        best = Some((index, active));
                    }
                }
                _ => (best, equals) = (Some((index, active)), 1),
            }
        }
        if let Some((index, _)) = best {
            return Some(index);
        }
    }
    None
}

fn drawn_by_weight(
    q: &Query<'_>,
    members: &[u32],
    weights: &WeightTable,
    choices: usize,
    rng: &mut dyn Rng,
) -> Option<u32> {
    let mut drawn = [(0, 0.0); MOST_CHOICES];
    let mut sum = 0.0;
    for slot in drawn.iter_mut().take(choices) {
        let index = weights.draw(q, members, rng).ok()?;
        *slot = (index, relief(q, index));
        sum += slot.1;
    }
    let mut rest = rng.unit() * sum;
    let drawn = &drawn[..choices];
    let hit = drawn.iter().find(|(_, share)| {
        rest -= share;
        rest < 0.0
    });
    hit.or(drawn.last()).map(|(index, _)| *index)
}
