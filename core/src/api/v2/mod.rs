//! Routes of v2: rows alone. What they do stands in [`super::wrapped`], for v3 too.

mod config;
mod core;
mod naming;

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[
    naming::INSTANCES,
    naming::SERVICES,
    naming::OPERATOR,
    naming::CLIENTS,
    core::NAMESPACES,
    core::CLUSTER,
    config::ROUTES,
];
