//! Routes of instance.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
