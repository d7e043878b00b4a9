//! `POST /openai/deployments/{model}/…`: where Azure's clients find OpenAI's doors. The deployment is a model as at
//! `/v1/…`, and may hold slashes; `api-version` says nothing here.

use axum::response::Response;
use bytes::Bytes;
use domain::chat::Relayed;
use wire::openai::relay;
use wire::openai::{completions, embeddings};
use wire::request::RequestError;

use crate::dialect::incoming::Incoming;
use crate::dialect::refusal::Refusal;
use crate::openai::manner::OpenAi;
use crate::path::Path;
use crate::problem::Problem;

type Read = fn(Bytes) -> Result<Relayed, RequestError>;

/// What is done with a deployment, by the end of the path.
const DOORS: [(&str, Read); 3] = [
    ("/chat/completions", relay::read),
    ("/completions", completions::read),
    ("/embeddings", embeddings::read),
];

pub(crate) async fn handle(Path(path): Path<String>, request: Incoming) -> Result<Response, Refusal> {
    let door = DOORS.into_iter().find_map(|(end, read)| Some((path.strip_suffix(end)?, read)));
    let (deployment, read) = door.filter(|(deployment, _)| !deployment.is_empty()).ok_or_else(|| {
        Problem::not_found("a deployment has /chat/completions, /completions and /embeddings here")
    })?;
    let deployment = deployment.to_owned();
    request.answer(move |body| read(relay::with_model(body, &deployment)?), &OpenAi).await
}
