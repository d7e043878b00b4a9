//! A bare model: the caller's own bytes out, the provider's own bytes back.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::chat::{Delivery, Relayed};
use domain::id::KeyId;
use domain::model::{Assured, Route};
use domain::ports::Clock;
use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pipeline::parts::Pipeline;
use pipeline::relay::{Answer, Passed, Refused, RelayTurn, Relaying};
use pipeline::turn::Recorded;
use registry::snapshot::Snapshot;
use routing::Affinity;
use telemetry::Operation;
use wire::openai::relay::USER;

use crate::cached;
use crate::caller::Caller;
use crate::dialect::Asked;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::keep_alive::KeepAlive;
use crate::limits;
use crate::native::reply::new_interaction_id;
use crate::server::Api;

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
    let key = (*key != KeyId::open()).then(|| key.as_str());
    named.as_deref().or(key).map(Affinity::of)
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
        deadline: asked.terms.deadline,
        streams_until: asked.streams_until,
        residency: asked.terms.residency,
        affinity,
        class: asked.terms.class,
        cache: asked.terms.cache,
        observer: Arc::clone(&door.api.metrics) as _,
    };
    let assured = match turn.relayed.delivery {
        Delivery::Whole => Assured::Off,
        Delivery::Streamed => turn.route.assured,
    };
    let (api, pipeline, manner) = (door.api, door.pipeline, door.manner);
    // Boxed, as the path of a turn is a large future and handlers are moved a few times.
    let mut relaying = Box::pin(async move { pipeline.relay(turn).await });
    let alive = match assured {
        Assured::Off => None,
        Assured::HoldBack | Assured::Continue => {
            manner.sign().map(|sign| Alive { sign, every: api.config.keep_alive, api: Arc::clone(&api) })
        }
    };
    let mut response = match alive {
        None => whole_or_begun(relaying.await, (manner, None), &*api.clock),
        Some(alive) => {
            let clock = &api.clock;
            match select(&mut relaying, clock.sleep(alive.every)).await {
                Either::Left((relayed, _)) => whole_or_begun(relayed, (manner, Some(alive)), &*api.clock),
                // Whoever waits is told that it goes on: from here on the stream says what comes of it.
                Either::Right(_) => held_back(relaying, (manner, alive)),
            }
        }
    };
    put(response.headers_mut(), INTERACTION, interaction.as_str());
    Ok(response)
}

/// How a stream that may be silent for long shows that it lives.
struct Alive {
    sign: Bytes,
    every: Duration,
    api: Arc<Api>,
}

type Frames = BoxStream<'static, Result<Bytes, Infallible>>;

impl Alive {
    fn keep(self, frames: Frames) -> Frames {
        KeepAlive::new(frames, self.sign, (self.every, &self.api.clock)).boxed()
    }
}

/// A response that begins before it is known what comes of it.
fn held_back(
    relaying: Pin<Box<impl Future<Output = Result<Relaying, Refused>> + Send + 'static>>,
    (manner, alive): (&'static dyn Manner, Alive),
) -> Response {
    let sign = stream::once(ready(Ok(alive.sign.clone())));
    let rest = stream::once(relaying).flat_map(move |relayed| match relayed {
        Ok(Relaying { model_used, answer, .. }) => {
            let model = manner.comment(&format!("x-mainstay-model: {model_used}"));
            let answer = match answer {
                Answer::Streamed(stream) => frames(stream, manner).boxed(),
                Answer::Whole(whole) => stream::once(ready(Ok(whole.bytes))).boxed(),
            };
            stream::iter(model.map(Ok)).chain(answer).boxed()
        }
        Err(refused) => stream::once(ready(Ok(manner.broken(&Refusal::from(refused))))).boxed(),
    });
    manner.stream(Body::from_stream(alive.keep(sign.chain(rest).boxed())))
}

fn frames(
    stream: BoxStream<'static, Passed>,
    manner: &'static dyn Manner,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let frame = move |passed| match passed {
        Passed::Bytes(bytes) => bytes,
        Passed::Continued(model) => {
            manner.comment(&format!("x-mainstay-continued: {model}")).unwrap_or_default()
        }
        Passed::Unrecorded => manner.comment(UNRECORDED).unwrap_or_default(),
        Passed::Broken(broken) => manner.broken(&Refusal::from(broken)),
    };
    stream.map(move |passed| Ok(frame(passed)))
}

fn whole_or_begun(
    relayed: Result<Relaying, Refused>,
    (manner, alive): (&'static dyn Manner, Option<Alive>),
    clock: &dyn Clock,
) -> Response {
    let relaying = match relayed {
        Ok(relaying) => relaying,
        Err(refused) => return Refusal::from(refused).into_response(),
    };
    let Relaying { tier, model_used, attempt, standing, cache, answer } = relaying;
    let mut response = match answer {
        Answer::Whole(whole) => {
            let mut response = Response::new(Body::from(whole.bytes));
            let headers = response.headers_mut();
            headers.reserve(HEADERS);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(amount) = whole.cost.amount() {
                put(headers, COST_USD, &amount.usd());
            }
            headers.insert(COST_BASIS, HeaderValue::from_static(whole.cost.basis()));
            if let Some(usage) = whole.usage {
                manner.tell_usage(headers, usage);
            }
            if whole.recorded == Recorded::No {
                headers.insert(RECORDED, HeaderValue::from_static("no"));
            }
            response
        }
        Answer::Streamed(stream) => {
            let frames = frames(stream, manner);
            manner.stream(match alive {
                Some(alive) => Body::from_stream(alive.keep(frames.boxed())),
                None => Body::from_stream(frames),
            })
        }
    };
    let headers = response.headers_mut();
    limits::write(headers, standing, (manner.limits(), clock.wall()));
    if let Some(told) = cache {
        cached::put(headers, told);
    }
    put(headers, MODEL, &model_used);
    headers.insert(TIER, HeaderValue::from_static(tier.name()));
    headers.insert(ATTEMPT, HeaderValue::from(attempt));
    response
}

/// What is told of an answer, and of who gave it.
const INTERACTION: HeaderName = HeaderName::from_static("x-mainstay-interaction");
const COST_USD: HeaderName = HeaderName::from_static("x-mainstay-cost-usd");
const COST_BASIS: HeaderName = HeaderName::from_static("x-mainstay-cost-basis");
const RECORDED: HeaderName = HeaderName::from_static("x-mainstay-recorded");
const MODEL: HeaderName = HeaderName::from_static("x-mainstay-model");
const TIER: HeaderName = HeaderName::from_static("x-mainstay-tier");
const ATTEMPT: HeaderName = HeaderName::from_static("x-mainstay-attempt");
/// So many a reply has, with its limits: room for them is made once.
const HEADERS: usize = 16;

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Names in configuration may hold any character: one that no header can carry is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
