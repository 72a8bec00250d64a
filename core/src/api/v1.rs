//! Routes of v1.

use super::route::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
