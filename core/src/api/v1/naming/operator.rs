//! Routes of operator.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
