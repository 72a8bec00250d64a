//! Stages around any rule of the safe mode, in this order: label, panic and protection, ejection, what was tried already,
//! then the rule, then slow start. They only narrow or widen what [`Query::usable`] admits. A choice that none of them concerns goes
//! to its rule without them (`Balancer::is_open`).

pub(crate) mod label;
pub(crate) mod outlier;
pub(crate) mod panic;
pub(crate) mod slow_start;

use super::query::{NoPick, Query};
use core::sync::atomic::Ordering::Relaxed;

/// Sets what the rule may choose from.
pub(crate) fn restrict(q: &mut Query<'_>) -> Result<(), NoPick> {
    q.mask.skip_ejected = q.now < q.loads.ejections_end_ms.load(Relaxed);
    label::restrict(q)?;
    panic::restrict(q);
    q.mask.skip_tried = !q.context.tried.is_empty();
    q.mask.skip_tripped = !q.plan.rule.is_ribbon() && q.trips_possible();
    Ok(())
}

/// Gives up one restriction after a rule found nobody; false when none is left to give up.
pub(crate) fn relax(q: &mut Query<'_>) -> bool {
    let mask = &mut q.mask;
    for held in [
        &mut mask.skip_tried,
        &mut mask.skip_tripped,
        &mut mask.skip_ejected,
    ] {
        if core::mem::take(held) {
            return true;
        }
    }
    false
}
