//! When too few members are healthy, health is ignored: all of them together may carry what the few cannot.
//!
//! Nacos's protection is looked at first and holds at its threshold (≤); the panic threshold holds below it (<).

use crate::balance::candidate::Flags;
use crate::balance::query::Query;
use core::sync::atomic::Ordering::Relaxed;

pub(crate) fn restrict(q: &mut Query<'_>) {
    let (protect, panic) = (q.plan.policy.protect_threshold, q.plan.policy.panic_share);
    if protect.is_none() && panic <= 0.0 {
        return;
    }
    let (healthy, total) = counts(q);
    if total == 0 {
        return;
    }
    let share = f64::from(healthy) / f64::from(total);
    if protect.is_some_and(|threshold| share <= threshold) || share < panic {
        q.mask.need = Flags::ENABLED.bits();
        q.mask.skip_ejected = false;
    }
}

/// Healthy members and members that are open to traffic, of those with the label.
fn counts(q: &Query<'_>) -> (u32, u32) {
    let Some((name, value)) = q.mask.label else {
        let ejected = if q.mask.skip_ejected {
            q.loads.ejected.load(Relaxed)
        } else {
            0
        };
        return (
            q.table.serving.load(Relaxed).saturating_sub(ejected),
            q.table.open.load(Relaxed),
        );
    };
    let open = |index: &u32| {
        let index = *index;
        q.table.bits(index) & Flags::ENABLED.bits() != 0
            && q.table.weights[index as usize] > 0.0
            && q.labelled(index, name, value)
    };
    let members = (0..q.table.len()).filter(open);
    members.fold((0, 0), |(healthy, total), index| {
        (healthy + u32::from(q.usable(index)), total + 1)
    })
}
