//! Both halves of a node's state as bytes: for engine swaps, recovery after a trap, and for comparing engines.
//!
//! A node restored from them gives the same outputs as the original from then on. The bytes are of this build's
//! [`SCHEMA`] alone: what must outlive a release is in the rows of the state store. Outputs that were not polled yet
//! are part of the state, so a snapshot may be taken at any time.

use alloc::{collections::BTreeMap, collections::VecDeque, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Node, SCHEMA, input::Now, lateness::Lateness, output::Output};
use crate::{
    config::{Configs, Watchers},
    encoding::encode_after,
    lock::Locks,
    log::Decode,
    namespaces::Namespaces,
    naming::Naming,
    plugins::Plugins,
    policies::Policies,
    push::Push,
};

/// Why bytes are no snapshot that this build can restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// It was made with this schema number.
    Schema(u32),
    /// The bytes do not fit the schema, or what they say does not cohere.
    Malformed,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(number) => {
                write!(
                    f,
                    "the snapshot is of schema {number}, this core is of {SCHEMA}"
                )
            }
            Self::Malformed => f.write_str("the snapshot is damaged"),
        }
    }
}

impl core::error::Error for Damaged {}

impl From<postcard::Error> for Damaged {
    fn from(_: postcard::Error) -> Self {
        Self::Malformed
    }
}

impl From<Decode> for Damaged {
    fn from(_: Decode) -> Self {
        Self::Malformed
    }
}

/// What every module says of itself.
#[derive(Serialize, Deserialize)]
struct Parts {
    /// A function of the log alone.
    durable: ByteBuf,
    configs: ByteBuf,
    namespaces: ByteBuf,
    locks: ByteBuf,
    policies: ByteBuf,
    /// What never outlives the process.
    volatile: ByteBuf,
    watchers: ByteBuf,
    push: ByteBuf,
    own: Own,
}

/// The node's own state.
#[derive(Serialize, Deserialize)]
struct Own {
    lateness: Lateness,
    pending: BTreeMap<u64, u64>,
    next_proposal: u64,
    stamp: u64,
    leader: bool,
    ready: bool,
    busy: bool,
    excused: u64,
    random: u64,
    now: Now,
    dirty: bool,
    first: VecDeque<Output>,
    last: VecDeque<Output>,
}

impl Node {
    /// The whole state. Equal states give equal bytes, whatever engine they are of.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let parts = Parts {
            durable: self.naming.durable_bytes().into(),
            configs: self.configs.snapshot().into(),
            namespaces: self.namespaces.snapshot().into(),
            locks: self.locks.snapshot().into(),
            policies: self.policies.snapshot().into(),
            volatile: self.naming.volatile_bytes().into(),
            watchers: self.watchers.snapshot().into(),
            push: self.push.snapshot().into(),
            own: Own {
                lateness: self.lateness,
                pending: self.pending.clone(),
                next_proposal: self.next_proposal,
                stamp: self.stamp,
                leader: self.leader,
                ready: self.ready,
                busy: self.busy,
                excused: self.excused,
                random: self.random,
                now: self.now,
                dirty: self.dirty,
                first: self.first.clone(),
                last: self.last.clone(),
            },
        };
        let bytes = SCHEMA.to_le_bytes().to_vec();
        let plugins = ByteBuf::from(self.plugins.snapshot());
        encode_after(encode_after(bytes, &parts), &plugins)
    }

    /// How much each part keeps: bytes of what would be written of it, and entries of what would not.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [(&'static str, usize); 8] {
        [
            ("durable", self.naming.durable_bytes().len()),
            ("volatile", self.naming.volatile_bytes().len()),
            ("look-ups", self.naming.look_ups()),
            ("configs", self.configs.snapshot().len()),
            ("namespaces", self.namespaces.snapshot().len()),
            ("locks", self.locks.snapshot().len()),
            ("watchers", self.watchers.snapshot().len()),
            ("push", self.push.snapshot().len()),
        ]
    }

    /// The node that [`Node::snapshot`] was taken of; its settings come with it.
    ///
    /// # Errors
    /// See [`Damaged`].
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, Damaged> {
        let (schema, rest) = bytes.split_first_chunk().ok_or(Damaged::Malformed)?;
        let schema = u32::from_le_bytes(*schema);
        if schema != SCHEMA {
            return Err(Damaged::Schema(schema));
        }
        let (parts, rest): (Parts, &[u8]) = postcard::take_from_bytes(rest)?;
        // State 1 ends here.
        let (plugins, rest) = if rest.is_empty() {
            (Plugins::new(), rest)
        } else {
            let (plugins, rest): (ByteBuf, &[u8]) = postcard::take_from_bytes(rest)?;
            (Plugins::from_snapshot(&plugins)?, rest)
        };
        if !rest.is_empty() {
            return Err(Damaged::Malformed);
        }
        let configs = Configs::from_snapshot(&parts.configs)?;
        let own = parts.own;
        Ok(Self {
            naming: Naming::from_bytes(&parts.durable, &parts.volatile)?,
            watchers: Watchers::from_snapshot(&parts.watchers, &configs)?,
            configs,
            namespaces: Namespaces::from_snapshot(&parts.namespaces)?,
            locks: Locks::from_snapshot(&parts.locks)?,
            policies: Policies::from_snapshot(&parts.policies)?,
            plugins,
            push: Push::from_snapshot(&parts.push)?,
            lateness: own.lateness,
            pending: own.pending,
            next_proposal: own.next_proposal,
            stamp: own.stamp,
            leader: own.leader,
            ready: own.ready,
            busy: own.busy,
            excused: own.excused,
            random: own.random,
            now: own.now,
            dirty: own.dirty,
            first: own.first,
            last: own.last,
        })
    }
}
