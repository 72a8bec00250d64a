//! Routes of prometheus.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
