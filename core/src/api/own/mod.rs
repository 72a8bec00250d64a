//! Our own API, below `/nacrite/v1`: what Nacos has no word for. Answers are in the `Result` wrapper of v3.

mod plugins;
mod policies;

pub use plugins::PluginVersionJson;
pub use policies::{PluginJson, PolicyJson};

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[policies::ROUTES, plugins::ROUTES];
