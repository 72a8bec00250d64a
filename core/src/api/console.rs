//! Routes of console.

use super::route::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
