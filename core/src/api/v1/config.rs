//! Routes of `/v1/cs`.

use crate::api::Route;

/// Its routes.
pub const ROUTES: &[Route] = &[];
