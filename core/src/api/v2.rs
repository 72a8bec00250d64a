//! Routes of v2.

use super::route::Route;

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[];
