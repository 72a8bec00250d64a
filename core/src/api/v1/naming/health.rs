//! Routes of health.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
