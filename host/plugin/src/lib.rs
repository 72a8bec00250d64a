//! Runs load-balancing plugins: WebAssembly modules behind the plugin ABI (`wasm/ABI.md`), in wasmtime.
//!
//! A [`Plugin`] is a module that was looked at and compiled; it is made once and shared. A [`PluginRule`] is a plugin with its
//! configuration in front of one service's [`Balancer`](nacrite_core::balance::Balancer): it asks the plugin, and the balancer
//! answers whenever the plugin does not. Whatever a plugin does, a caller gets an answer:
//!
//! * memory, module size, table growth and stack are bounded ([`Limits`]);
//! * a call that used up its CPU time is ended; time that the machine gave to others does not count;
//! * after a trap, a time-out or an index outside the list the pick is the balancer's, and the plugin's instance is made anew;
//! * a plugin that failed five times in 30 s is suspended, which [`PluginRule::status`] and the log say.
//!
//! ```no_run
//! use nacrite_core::balance::{Balancer, Candidate, Context, Policy};
//! use nacrite_plugin::{Engine, Limits, Plugin, PluginRule};
//!
//! let engine = Engine::new(&Limits::default());
//! let plugin = Plugin::new(&engine, "canary", &std::fs::read("canary.wasm")?)?;
//! let rule = PluginRule::new(&plugin, "{}")?;
//! let mut balancer = Balancer::new(Policy::of("wasm:canary"))?;
//! balancer.update(0, vec![Candidate::new("10.0.0.1:8080")]);
//! let pick = rule.choose(&balancer, 5, 0x9e37_79b9, &Context::default());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod engine;
mod failure;
mod instance;
mod limits;
mod module;
mod rule;
mod snapshot;
mod suspension;
mod verify;

pub use check::{Checked, Scenario, check};
pub use engine::Engine;
pub use failure::{Failure, Refused};
pub use instance::Instance;
pub use limits::{Budget, Limits};
pub use module::Plugin;
pub use rule::{PluginRule, Status};
pub use snapshot::Snapshot;
pub use verify::{RAND_STEP, Replayed};
