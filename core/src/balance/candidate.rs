//! What a rule chooses from: one instance of the service as the caller sees it.
//!
//! Not the register's record of an instance; a host translates that into this.

use alloc::collections::BTreeMap;
use alloc::string::String;

/// The flags of a candidate. The bits are those of the plugin ABI's instance record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// The last probe of the caller found it up (Ribbon `Server.isAlive`).
    pub const ALIVE: Self = Self(1);
    /// It says itself that it can serve (Ribbon `Server.isReadyToServe`).
    pub const READY: Self = Self(1 << 1);
    /// The registry holds it for healthy.
    pub const HEALTHY: Self = Self(1 << 2);
    /// An operator has not taken it out.
    pub const ENABLED: Self = Self(1 << 3);
    /// The host's own circuit breaker is open for it.
    pub const TRIPPED: Self = Self(1 << 4);
    /// The host has ejected it.
    pub const EJECTED: Self = Self(1 << 5);
    /// Everything a candidate needs to be served from.
    pub const SERVING: Self = Self(0b1111);

    /// The flags with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// True when every bit of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same flags with those of `other` set or cleared.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        if on {
            Self(self.0 | other.0)
        } else {
            Self(self.0 & !other.0)
        }
    }
}

/// One instance that a rule may choose.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// `host:port`; statistics are kept under this name.
    pub id: String,
    /// Zone, when it has one.
    pub zone: Option<String>,
    /// Nacos cluster name.
    pub cluster: String,
    /// Weight as registered, before any rule of negative, infinite or missing numbers.
    pub weight: f64,
    /// State flags at the time of the update; a host may change them in place later.
    pub flags: Flags,
    /// Labels as registered.
    pub metadata: BTreeMap<String, String>,
}

impl Candidate {
    /// A healthy, enabled candidate with weight 1, no zone and no metadata.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            zone: None,
            cluster: String::new(),
            weight: 1.0,
            flags: Flags::SERVING,
            metadata: BTreeMap::new(),
        }
    }

    /// The same candidate in a zone.
    #[must_use]
    pub fn in_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The same candidate in a Nacos cluster.
    #[must_use]
    pub fn in_cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = cluster.into();
        self
    }

    /// The same candidate with this weight.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// The same candidate with a label.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// The same candidate with a flag set or cleared.
    #[must_use]
    pub fn with_flag(mut self, flag: Flags, on: bool) -> Self {
        self.flags = self.flags.with(flag, on);
        self
    }
}

/// The weight that rules of the safe mode count with: negative is 0, not a number is 1, infinite is 10000.
#[must_use]
pub fn usable_weight(weight: f64) -> f64 {
    if weight.is_nan() {
        1.0
    } else if weight.is_infinite() && weight > 0.0 {
        10_000.0
    } else if weight > 0.0 {
        weight
    } else {
        0.0
    }
}
