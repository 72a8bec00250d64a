//! Ribbon `AvailabilityFilteringRule`: round robin past members whose circuit is open or that are at their limit.
//!
//! Eleven answers of an inner round robin are tested, a twelfth is thrown away; then a filtered list with a counter
//! of its own answers. `safe`: the filtered list keeps usable members only.

use super::predicate::Cyclic;
use super::round_robin::RoundRobin;
use crate::balance::query::{NoPick, Query};
use crate::balance::table::Scope;

const TESTS: usize = 11;

#[derive(Debug, Default)]
pub(crate) struct Availability {
    inner: RoundRobin,
    filtered: Cyclic,
}

impl Availability {
    pub(crate) fn continued(&self) -> Self {
        Self {
            inner: self.inner.continued(),
            filtered: self.filtered.continued(),
        }
    }

    pub(crate) fn choose(&self, q: &Query<'_>, scope: &Scope) -> Result<u32, NoPick> {
        let mut answer = self.inner.choose(q, scope);
        for _ in 0..TESTS {
            match answer {
                Ok(index) if q.available(index) => return Ok(index),
                _ => answer = self.inner.choose(q, scope),
            }
        }
        let members = &scope.members;
        self.filtered
            .among(members, |index| {
                q.usable_if_safe(index) && q.available(index)
            })
            .or_else(|| {
                self.filtered
                    .among(members, |index| q.usable_if_safe(index))
            })
            .ok_or_else(|| q.none_of(members))
    }
}
