//! Routes of console.

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[];
