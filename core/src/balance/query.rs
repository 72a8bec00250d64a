//! One choice under way: what a rule may ask about the members while it chooses.
//!
//! The stages (label, health, ejection, slow start) reach the rules only through [`Query::usable`].

use super::candidate::Flags;
use super::decay::Decay;
use super::names::RuleName;
use super::policy::{Policy, PolicyError, Switch};
use super::stats::Loads;
use super::table::Table;
use core::fmt;

/// Why no member was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// The list is empty.
    NoInstances,
    /// No member is alive, ready, healthy and enabled.
    NoneHealthy,
    /// No member has a weight above 0.
    NoWeight,
    /// The weights do not add up (`exact` mode: a weight that is infinite or not a number).
    BadWeights,
    /// No usable member has the label that is required.
    NoMatch,
    /// The rule gave up though members may be usable, as the original does (`exact` mode), or its retries ended.
    GaveUp,
}

impl NoPick {
    /// The reason as one word, for metrics and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoInstances => "no-instances",
            Self::NoneHealthy => "none-healthy",
            Self::NoWeight => "no-weight",
            Self::BadWeights => "bad-weights",
            Self::NoMatch => "no-match",
            Self::GaveUp => "gave-up",
        }
    }
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for NoPick {}

/// What the caller knows about its request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Key of consistent hashing.
    pub key: Option<&'a str>,
    /// The key's hash, when the caller has it already; goes before `key`.
    pub key_hash: Option<u64>,
    /// Spring's hint of this request.
    pub hint: Option<&'a str>,
    /// A label (name, value) that the request prefers; goes before the policy's.
    pub label: Option<(&'a str, &'a str)>,
    /// Indices of this epoch that the request tried already.
    pub tried: &'a [u32],
}

/// A policy made ready for choosing.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    pub(crate) rule: RuleName,
    pub(crate) sub_rule: RuleName,
    pub(crate) exact: bool,
    /// Whether no stage of the policy's own narrows or widens what its rule chooses from: label, protection, panic.
    pub(crate) plain: bool,
    /// Whether an open circuit means anything.
    pub(crate) breaks: bool,
    pub(crate) window_ms: u64,
    pub(crate) limit: u32,
    /// Of the cost estimates.
    pub(crate) decay: Decay,
}

impl Plan {
    pub(crate) fn new(policy: Policy) -> Result<Self, PolicyError> {
        policy.validate()?;
        let rule = policy.rule()?;
        let breaks = match policy.breaker {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => rule.is_ribbon() || policy.affinity.enabled,
        };
        let exact = policy.mode == super::policy::Mode::Exact;
        Ok(Self {
            sub_rule: policy.sub_rule()?,
            plain: !exact
                && policy.label.is_none()
                && policy.protect_threshold.is_none()
                && policy.panic_share <= 0.0,
            exact,
            window_ms: policy.ribbon.active_window_s.saturating_mul(1000),
            limit: policy.ribbon.active_connections_limit.unwrap_or(u32::MAX),
            decay: Decay::new(policy.ewma.decay_ms),
            breaks,
            rule,
            policy,
        })
    }
}

/// Members a slow start turned away in one choice.
pub(crate) const MOST_REFUSED: usize = 8;

/// What the stages ask of a member before a rule may choose it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask<'a> {
    /// Flags a member must have.
    pub(crate) need: u32,
    pub(crate) label: Option<(&'a str, &'a str)>,
    pub(crate) skip_tried: bool,
    pub(crate) skip_ejected: bool,
    pub(crate) skip_tripped: bool,
    /// Members that a slow start turned away.
    pub(crate) refused: &'a [u32],
}

impl Mask<'_> {
    pub(crate) const HEALTH: u32 = Flags::SERVING.bits();

    pub(crate) const fn plain() -> Self {
        Self {
            need: Self::HEALTH,
            label: None,
            skip_tried: false,
            skip_ejected: false,
            skip_tripped: false,
            refused: &[],
        }
    }

    fn is_plain(&self) -> bool {
        self.label.is_none()
            && !(self.skip_tried || self.skip_ejected || self.skip_tripped)
            && self.refused.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) table: &'a Table,
    pub(crate) plan: &'a Plan,
    pub(crate) loads: &'a Loads,
    pub(crate) now: u64,
    pub(crate) context: &'a Context<'a>,
    pub(crate) mask: Mask<'a>,
    /// Every member was usable when the choice began, so that none is asked for it.
    pub(crate) open: bool,
}

impl Query<'_> {
    /// True when nothing but the flags decides who is usable, and every member is.
    pub(crate) fn unrestricted(&self) -> bool {
        self.open || (self.mask.is_plain() && self.table.all_serve())
    }

    /// Whether the stages let the rule choose this member (`safe` mode).
    #[inline]
    pub(crate) fn usable(&self, index: u32) -> bool {
        self.open || self.admits(index)
    }

    fn admits(&self, index: u32) -> bool {
        let bits = self.table.bits(index);
        let verdict = if self.mask.need == Mask::HEALTH {
            Flags::EJECTED.bits()
        } else {
            0
        };
        bits & (self.mask.need | verdict) == self.mask.need
            && self.table.weights[index as usize] > 0.0
            && (self.mask.is_plain() || self.passes(index))
    }

    fn passes(&self, index: u32) -> bool {
        let mask = &self.mask;
        if mask.skip_tried && self.context.tried.contains(&index) {
            return false;
        }
        if mask.refused.contains(&index) {
            return false;
        }
        if mask.skip_ejected && self.ejected(index) {
            return false;
        }
        if mask.skip_tripped && self.tripped(index) {
            return false;
        }
        mask.label
            .is_none_or(|(name, value)| self.labelled(index, name, value))
    }

    pub(crate) fn labelled(&self, index: u32, name: &str, value: &str) -> bool {
        self.table.candidates[index as usize]
            .metadata
            .get(name)
            .is_some_and(|found| found == value)
    }

    pub(crate) fn ejected(&self, index: u32) -> bool {
        let until = &self.table.stats[index as usize].outlier.until_ms;
        self.now < until.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Whether the member counts as up for rules that look: alive and ready in `exact` mode, usable in `safe` mode.
    pub(crate) fn up(&self, index: u32) -> bool {
        if self.plan.exact {
            const UP: u32 = Flags::ALIVE.bits() | Flags::READY.bits();
            self.table.bits(index) & UP == UP
        } else {
            self.usable(index)
        }
    }

    /// The same for rules that do not look in `exact` mode.
    pub(crate) fn usable_if_safe(&self, index: u32) -> bool {
        self.plan.exact || self.usable(index)
    }

    /// False when no circuit can be open now.
    pub(crate) fn trips_possible(&self) -> bool {
        let until = self
            .loads
            .trips_end_ms
            .load(core::sync::atomic::Ordering::Relaxed);
        self.plan.breaks && (self.now < until || !self.table.all_serve())
    }

    pub(crate) fn tripped(&self, index: u32) -> bool {
        self.plan.breaks
            && (self.table.bits(index) & Flags::TRIPPED.bits() != 0
                || self.table.stats[index as usize].tripped(
                    self.now,
                    &self.plan.policy.circuit,
                    self.plan.exact,
                ))
    }

    pub(crate) fn active(&self, index: u32) -> u32 {
        self.table.stats[index as usize].active_now(self.now, self.plan.window_ms, self.loads)
    }

    /// Ribbon's availability: circuit closed and below the limit.
    pub(crate) fn available(&self, index: u32) -> bool {
        !(self.plan.policy.ribbon.filter_circuit_tripped && self.tripped(index))
            && (self.plan.limit == u32::MAX || self.active(index) < self.plan.limit)
    }

    /// Why none of these members is usable.
    pub(crate) fn none_of(&self, members: &[u32]) -> NoPick {
        if members.is_empty() {
            NoPick::NoInstances
        } else if members
            .iter()
            .all(|&index| self.table.weights[index as usize] <= 0.0)
        {
            NoPick::NoWeight
        } else {
            NoPick::NoneHealthy
        }
    }
}
