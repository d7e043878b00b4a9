//! A bare model: the caller's own bytes out, the provider's own bytes back.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::chat::Relayed;
use domain::id::KeyId;
use domain::model::Route;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, header};
use pipeline::parts::Pipeline;
use pipeline::relay::{Answer, Passed, RelayTurn, Relaying};
use pipeline::turn::Recorded;
use registry::snapshot::Snapshot;
use routing::Affinity;
use telemetry::Operation;
use wire::openai::relay::USER;

use crate::caller::Caller;
use crate::dialect::Asked;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::limits;
use crate::native::reply::new_interaction_id;
use crate::router::Api;

/// What a relayed request needs beside itself.
pub(super) struct Door {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: Arc<Route>,
    pub(super) manner: &'static dyn Manner,
}

/// Tells in a stream what a header tells elsewhere.
const UNRECORDED: &str = "x-mainstay-recorded: no";

/// What a request has in common with others: its conversation, else its user, else its key.
fn affinity(door: &Door, asked: &Asked) -> Option<Affinity> {
    let key = &door.caller.principal.asker.key;
    let user = || {
        let Relayed { fields, body, .. } = &asked.relayed;
        let field = fields.iter().find(|field| field.name == USER)?;
        serde_json::from_slice::<String>(body.get(field.value.clone())?).ok()
    };
    let named = asked.session.clone().or_else(user).filter(|name| !name.is_empty());
    let key = (*key != KeyId::open()).then(|| key.to_string());
    named.or(key).as_deref().map(Affinity::of)
}

pub(super) async fn respond(door: Door, asked: Asked) -> Result<Response, Refusal> {
    let interaction = new_interaction_id(&door.api);
    let affinity = affinity(&door, &asked);
    let operation = Operation::of(asked.relayed.dialect);
    let watcher = door.caller.watched(operation, asked.relayed.delivery);
    let turn = RelayTurn {
        interaction: interaction.clone(),
        watcher,
        principal: door.caller.principal,
        snapshot: door.snapshot,
        route: door.route,
        relayed: Arc::new(asked.relayed),
        request_hash: asked.hash,
        deadline: asked.deadline,
        streams_until: asked.streams_until,
        residency: asked.residency,
        affinity,
        class: asked.class,
        observer: Arc::clone(&door.api.metrics) as _,
    };
    // Boxed, as the path of a turn is a large future and handlers are moved a few times.
    let mut response = match Box::pin(door.pipeline.relay(turn)).await {
        Ok(relaying) => answered(relaying, door.manner),
        Err(refused) => Refusal::from(refused).into_response(),
    };
    put(&mut response, "x-mainstay-interaction", interaction.as_str());
    Ok(response)
}

fn answered(relaying: Relaying, manner: &'static dyn Manner) -> Response {
    let Relaying { tier, model_used, attempt, standing, answer } = relaying;
    let mut response = match answer {
        Answer::Whole(whole) => {
            let json = HeaderValue::from_static("application/json");
            let mut response = ([(header::CONTENT_TYPE, json)], Body::from(whole.bytes)).into_response();
            if let Some(amount) = whole.cost.amount() {
                put(&mut response, "x-mainstay-cost-usd", &amount.usd());
            }
            put(&mut response, "x-mainstay-cost-basis", whole.cost.basis());
            if whole.recorded == Recorded::No {
                put(&mut response, "x-mainstay-recorded", "no");
            }
            response
        }
        Answer::Streamed(stream) => {
            let frames = stream.map(move |passed| {
                Ok::<_, Infallible>(match passed {
                    Passed::Bytes(bytes) => bytes,
                    Passed::Unrecorded => manner.comment(UNRECORDED).unwrap_or_default(),
                    Passed::Broken(broken) => manner.broken(&Refusal::from(broken)),
                })
            });
            manner.stream(Body::from_stream(frames))
        }
    };
    limits::note(&mut response, standing);
    put(&mut response, "x-mainstay-model", &model_used);
    put(&mut response, "x-mainstay-tier", tier.name());
    put(&mut response, "x-mainstay-attempt", &attempt.to_string());
    response
}

fn put(response: &mut Response, name: &'static str, value: &str) {
    // Names in configuration may hold any character: one that no header can carry is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
