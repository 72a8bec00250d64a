//! Routes of service.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
