//! Who asks, as handlers get to know it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use domain::chat::Delivery;
use domain::id::TenantId;
use domain::ports::Watcher;
use domain::principal::Principal;
use http::request::Parts;
use telemetry::{Operation, Watched};

use crate::problem::Problem;

/// Whom `entry` let in.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    /// Who watches this request from outside, where someone does.
    pub(crate) watcher: Option<Arc<Watched>>,
}

impl Caller {
    /// Who watches the request, told what it asks for.
    pub(crate) fn watched(&self, operation: Operation, delivery: Delivery) -> Option<Arc<dyn Watcher>> {
        let watcher = self.watcher.as_ref()?;
        watcher.asks(operation, delivery);
        Some(Arc::clone(watcher) as _)
    }

    /// The tenant whose things the caller may see; `None` for those of all.
    pub(crate) fn scope(&self) -> Option<&TenantId> {
        self.principal.scope()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Whatever comes past `entry` has one; without it nothing is given away.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("nobody knows who asks"))
    }
}
