//! Routes of v1 below `/v1/ns` (naming, with Prometheus' discovery) and `/v1/cs` (config).

pub mod config;
pub mod naming;

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[
    naming::instance::ROUTES,
    naming::service::ROUTES,
    naming::catalog::ROUTES,
    naming::operator::ROUTES,
    naming::health::ROUTES,
    naming::prometheus::ROUTES,
    config::ROUTES,
];
