//! Routes of v1 below `/v1/ns` (naming, with Prometheus' discovery), `/v1/cs` (config) and `/v1/core` (the cluster).

pub mod config;
pub mod core_cluster;
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
    config::content::ROUTES,
    config::listing::ROUTES,
    config::poll::ROUTES,
    config::history::ROUTES,
    config::capacity::ROUTES,
    config::operator::ROUTES,
    config::transfer::ROUTES,
    core_cluster::ROUTES,
];
