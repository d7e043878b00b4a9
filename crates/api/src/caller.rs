//! Who asks, as handlers get to know it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use domain::id::TenantId;
use domain::principal::Principal;
use http::request::Parts;

use crate::problem::Problem;

/// Whom `entry` let in.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Arc<Principal>);

impl Caller {
    /// The tenant whose things the caller may see; `None` for those of all.
    pub(crate) fn scope(&self) -> Option<&TenantId> {
        self.0.scope()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Whatever comes past `entry` has one; without it nothing is given away.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("nobody knows who asks"))
    }
}
