//! Routes of v2.

use super::route::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
