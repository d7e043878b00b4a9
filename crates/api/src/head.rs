//! A request as handlers get it, but for its body: who asks, and on what terms.

use std::sync::Arc;

use access::gatekeeper::Gatekeeper;
use axum::body::Body;
use axum::extract::FromRequestParts;
use domain::cache::Wish;
use domain::residency::Residency;
use domain::time::Moment;
use http::HeaderMap;
use http::request::Parts;
use pipeline::parts::Pipeline;
use resilience::shedding::Class;
use serde::de::DeserializeOwned;

use crate::body::read_json;
use crate::cached;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Api;

/// Where it came, who sent it, and its headers, which it takes out of the request: whatever else a handler asks for reads
/// other parts.
pub(crate) struct Head {
    pub(crate) api: Arc<Api>,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
}

impl Head {
    /// When the reply is due.
    pub(crate) fn deadline(&self) -> Result<Moment, Problem> {
        self.api.deadline(&self.headers)
    }

    /// How it wants to be answered.
    pub(crate) fn terms(&self) -> Result<Terms, Problem> {
        let headers = &self.headers;
        Ok(Terms {
            deadline: self.deadline()?,
            class: Api::class(headers)?,
            residency: Api::residency(headers)?,
            cache: cached::wish(headers)?,
        })
    }

    /// The pipeline, before the reply is due.
    pub(crate) async fn pipeline(&self) -> Result<Arc<Pipeline>, Problem> {
        self.api.pipeline(self.deadline()?).await
    }

    /// Who is let in, before the reply is due.
    pub(crate) async fn gatekeeper(&self) -> Result<&Arc<Gatekeeper>, Problem> {
        self.api.gatekeeper(self.deadline()?).await
    }

    /// Its body as `T`.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, body: Body) -> Result<T, Problem> {
        read_json(&self.headers, body, self.api.body_limits(), self.api.clock.as_ref()).await
    }
}

impl FromRequestParts<Arc<Api>> for Head {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        Ok(Self { api: Arc::clone(api), caller, headers: std::mem::take(&mut parts.headers) })
    }
}

/// How a request wants to be answered, as its headers say.
pub(crate) struct Terms {
    pub(crate) deadline: Moment,
    pub(crate) class: Class,
    pub(crate) residency: Residency,
    /// Whether an earlier answer will do.
    pub(crate) cache: Wish,
}
