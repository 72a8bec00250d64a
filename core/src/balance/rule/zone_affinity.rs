//! Ribbon `ZoneAffinityServerListFilter`: members of the own zone only, unless they are too few or too busy.
//!
//! Applied to the list when it is updated, before any rule; call `update` again to have it judged anew.

use super::zones::Snapshot;
use crate::balance::case::lower;
use crate::balance::policy::Affinity;
use alloc::vec::Vec;

/// One server as the filter sees it.
pub(crate) struct Server<'a> {
    pub(crate) zone: Option<&'a str>,
    pub(crate) active: u32,
    pub(crate) tripped: bool,
}

/// Positions that stay. Zone names are compared without letter case.
pub(crate) fn keep(own: Option<&str>, affinity: &Affinity, servers: &[Server<'_>]) -> Vec<u32> {
    let all = || (0..servers.len() as u32).collect();
    let Some(own) = own.filter(|_| affinity.enabled || affinity.exclusive) else {
        return all();
    };
    let local = |server: &Server<'_>| server.zone.is_some_and(|zone| lower(zone) == lower(own));
    let kept = || {
        (0_u32..)
            .zip(servers)
            .filter(|(_, server)| local(server))
            .map(|(at, _)| at)
            .collect()
    };
    if affinity.exclusive {
        return kept();
    }
    let mine = servers.iter().filter(|server| local(server));
    let zone = Snapshot::of(mine.map(|server| (server.active, server.tripped)));
    let overridden = zone.tripped_share() >= affinity.max_blackout_share
        || zone.load >= affinity.max_load
        || zone.instances - zone.tripped < affinity.min_available;
    if overridden { all() } else { kept() }
}
