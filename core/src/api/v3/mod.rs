//! Routes of v3: rows alone. What they do stands in [`super::wrapped`], for v2 too.

mod ai;
mod client;
mod config;
mod console;
mod core;
mod naming;

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[
    client::ROUTES,
    naming::INSTANCES,
    naming::SERVICES,
    naming::OPERATOR,
    naming::CLIENTS,
    core::NAMESPACES,
    core::CLUSTER,
    config::CONFIGS,
    config::TRANSFERS,
    config::HISTORY,
    config::OPERATIONS,
    ai::MCP,
    ai::AGENTS,
    console::CORE,
    console::CONFIGS,
    console::TRANSFERS,
    console::SERVICES,
];
