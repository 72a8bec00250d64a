//! Routes of v3.

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[];
