//! Routes of v3.

use super::route::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
