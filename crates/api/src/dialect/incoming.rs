//! A request at one of these doors, before its body is read.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use bytes::Bytes;
use domain::chat::Relayed;

use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::head::Head;
use crate::problem::Problem;
use crate::server::Api;

/// A request, whole.
pub(crate) struct Incoming {
    pub(crate) head: Head,
    body: Body,
}

impl Incoming {
    /// Reads it with what its dialect makes of the body, and answers.
    pub(crate) async fn answer<E: Into<Refusal> + Send + 'static>(
        self,
        understand: impl FnOnce(Bytes) -> Result<Relayed, E> + Send + 'static,
        manner: &'static dyn Manner,
    ) -> Result<Response, Refusal> {
        let asked = super::read(&self.head, self.body, understand).await?;
        super::respond(self.head, (asked, manner)).await
    }
}

impl FromRequest<Arc<Api>> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        Ok(Self { head: Head::from_request_parts(&mut parts, api).await?, body })
    }
}
