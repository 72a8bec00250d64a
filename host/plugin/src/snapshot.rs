//! A balancer's list as plugins read it, written once for each list and shared by all threads.

use std::sync::Arc;

use nacrite_balance_plugin::table::{Instance as Row, encode, flags};
use nacrite_core::balance::hash::xxh64;
use nacrite_core::balance::{Balancer, Candidate};

/// The bytes of one list. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    bytes: Arc<[u8]>,
    count: u32,
    epoch: u64,
}

/// One candidate as a record.
pub(crate) fn row<'a>(candidate: &'a Candidate, own_zone: Option<&str>) -> Row<'a> {
    let zone = candidate.zone.as_deref();
    let same = zone
        .zip(own_zone)
        .is_some_and(|(zone, own)| zone.eq_ignore_ascii_case(own));
    Row {
        id_hash: xxh64(candidate.id.as_bytes(), 0),
        weight: candidate.weight,
        zone: zone.unwrap_or_default(),
        cluster: &candidate.cluster,
        flags: candidate.flags.bits() | if same { flags::SAME_ZONE } else { 0 },
        metadata: candidate
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        ..Row::new(&candidate.id)
    }
}

impl Snapshot {
    /// The list of a balancer; the live columns follow with the first pick.
    #[must_use]
    pub fn of(balancer: &Balancer) -> Self {
        let own_zone = balancer.policy().zone.as_deref();
        let rows: Vec<Row<'_>> = (0..)
            .zip(balancer.candidates())
            .map(|(index, candidate)| {
                let joined_ms = balancer.joined_ms(index);
                Row {
                    joined_ms,
                    ..row(candidate, own_zone)
                }
            })
            .collect();
        Self::from_rows(&rows, balancer.epoch())
    }

    /// A list of one's own.
    #[must_use]
    pub fn from_rows(rows: &[Row<'_>], epoch: u64) -> Self {
        Self {
            bytes: encode(rows).into(),
            count: rows.len() as u32,
            epoch,
        }
    }

    /// The records and the string table.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Number of the list.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
