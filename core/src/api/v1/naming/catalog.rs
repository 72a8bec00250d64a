//! Routes of catalog.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
