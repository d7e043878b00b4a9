//! `GET /v1/models` and `/v1/models/{id}`: the names that may stand in `model`.

use std::sync::Arc;

use axum::Json;
use registry::clients::Listed;
use registry::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::allowed;
use crate::anthropic;
use crate::anthropic::headers::is_anthropic;
use crate::anthropic::models::Page;
use crate::caller::Caller;
use crate::dialect::refusal::Refusal;
use crate::head::Head;
use crate::parameters::Parameters;
use crate::path::Path;
use crate::problem::Problem;

pub(crate) async fn list(head: Head, page: Parameters<Page>) -> Result<Json<Value>, Refusal> {
    if is_anthropic(&head.headers) {
        return anthropic::models::list(head, page).await;
    }
    let snapshot = snapshot(&head).await?;
    let models: Vec<Value> = listed(&snapshot, &head.caller).iter().map(model).collect();
    Ok(Json(json!({ "object": "list", "data": models })))
}

pub(crate) async fn show(head: Head, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    if is_anthropic(&head.headers) {
        return anthropic::models::show(head, Path(id)).await;
    }
    let snapshot = snapshot(&head).await?;
    Ok(Json(model(&find(&snapshot, &head.caller, id)?)))
}

/// What a caller may use of what is listed: the rest is not there for it.
pub(crate) fn listed(snapshot: &Snapshot, caller: &Caller) -> Vec<Listed> {
    let is_seen = |listed: &Listed| allowed::may_be_named(&caller.principal, (snapshot, &listed.name));
    snapshot.listed().into_iter().filter(is_seen).collect()
}

/// What has this name, when the caller may use it.
pub(crate) fn find(snapshot: &Snapshot, caller: &Caller, id: String) -> Result<Listed, Refusal> {
    allowed::named(&caller.principal, (snapshot, &id), &[])?;
    let listed = snapshot.listed().into_iter().find(|listed| listed.name == id);
    // A version of an agent and a bare id are names, too, although they are not listed.
    Ok(listed.unwrap_or_else(|| Listed { name: id, owner: "mainstay".to_owned() }))
}

pub(crate) async fn snapshot(head: &Head) -> Result<Arc<Snapshot>, Problem> {
    Ok(head.pipeline().await?.current().pin())
}

/// When a model was made is not known here; clients require the field.
fn model(listed: &Listed) -> Value {
    json!({ "id": listed.name, "object": "model", "created": 0, "owned_by": listed.owner })
}
