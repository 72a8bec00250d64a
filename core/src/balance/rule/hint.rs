//! Spring Cloud's hint: members with the same hint in their metadata when there are any, otherwise all; then its round
//! robin. Letter case counts. A configured hint reaches the rule only as the hint of a request
//! ([`Policy::request_hint`](crate::balance::Policy::request_hint)), as in the original.

use super::spring_round_robin::Position;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

/// The label that holds a member's hint.
const LABEL: &str = "hint";

/// The hint that applies, when some member that can be chosen has it.
pub(crate) fn applied<'a>(q: &Query<'a>, scope: &Scope) -> Option<&'a str> {
    let hint = q.context.hint.filter(|hint| !hint.is_empty())?;
    let has = |index: &u32| q.usable_if_safe(*index) && q.labelled(*index, LABEL, hint);
    scope.members.iter().any(has).then_some(hint)
}

/// Whether a member is kept under the applied hint.
pub(crate) fn keeps(q: &Query<'_>, hint: Option<&str>, index: u32) -> bool {
    hint.is_none_or(|hint| q.labelled(index, LABEL, hint))
}

pub(crate) fn choose(
    position: &Position,
    q: &Query<'_>,
    scope: &Scope,
    rng: &mut dyn Rng,
) -> Result<u32, NoPick> {
    match applied(q, scope) {
        None => position.choose(q, &scope.members, rng),
        hint => position.among(q, &scope.members, |index| keeps(q, hint, index), rng),
    }
}
