//! Members with a label first, or only.

use crate::balance::query::{NoPick, Query};

/// Keeps to labelled members when some usable one has the label of the request, or else of the policy.
pub(crate) fn restrict(q: &mut Query<'_>) -> Result<(), NoPick> {
    let policy = q.plan.policy.label.as_ref();
    let named = policy.map(|label| (label.name.as_str(), label.value.as_str()));
    let Some((name, value)) = q.context.label.or(named) else {
        return Ok(());
    };
    let present = (0..q.table.len()).any(|index| q.usable(index) && q.labelled(index, name, value));
    if present {
        q.mask.label = Some((name, value));
    } else if policy.is_some_and(|label| label.required) && q.table.len() > 0 {
        return Err(NoPick::NoMatch);
    }
    Ok(())
}
