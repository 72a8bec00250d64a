//! Inputs for comparing engines: a seeded generator that follows the state of the node it feeds, and a count of every
//! variant that went in or came out.
//!
//! The generator is the node's whole surroundings (clients, log, state store, network), so that most of its requests
//! are accepted and what the node asks for is answered. It looks at outputs alone.

mod requests;
mod rng;
mod settings;
mod variants;
mod world;

pub use rng::Rng;
pub use settings::settings;
pub use variants::{Variants, variants_of};
pub use world::World;
