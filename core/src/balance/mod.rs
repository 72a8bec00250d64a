//! Load balancing: which instance of a service a call goes to.
//!
//! A [`Balancer`] is a [`Policy`], the instances and their statistics. Its rules are those of Ribbon, Nacos and Spring Cloud by
//! their own names ([`names`]) and the ones callers want today. Mode `exact` keeps the recorded behaviour of the originals
//! with its defects, `safe`, the default, is without them.
//!
//! Time and randomness come from outside, so a choice can be replayed and runs anywhere the core does. Nothing here knows the
//! register, a connection or a plugin engine: a host turns instances into [`Candidate`]s and reports how calls ended.
//!
//! ```
//! use nacrite_core::balance::{Balancer, Candidate, Context, Outcome, Policy, SplitMix64};
//!
//! let mut balancer = Balancer::new(Policy::of("p2c-ewma")).unwrap();
//! balancer.update(0, vec![Candidate::new("10.0.0.1:8080"), Candidate::new("10.0.0.2:8080")]);
//! let pick = balancer.choose(5, &mut SplitMix64::new(1), &Context::default()).unwrap();
//! let ticket = balancer.start(pick, 5).unwrap();
//! balancer.finish(ticket, 17, Outcome::Success);
//! ```

mod balancer;
pub mod candidate;
mod case;
mod decay;
mod decimal;
mod document;
pub mod hash;
mod live;
pub mod names;
mod order;
pub mod policy;
pub mod properties;
mod query;
mod registry;
pub mod replay;
mod report;
pub mod rng;
pub mod rule;
mod stage;
pub mod stats;
mod table;

pub use balancer::{Balancer, Pick};
pub use candidate::{Candidate, Flags};
pub use live::Live;
pub use names::RuleName;
pub use policy::{Mode, PluginConfig, Policy, PolicyError};
pub use query::{Context, NoPick};
pub use report::{Outcome, Report, Ticket};
pub use rng::{Rng, SplitMix64, Xoshiro256};
pub use rule::predicate::Cyclic;
