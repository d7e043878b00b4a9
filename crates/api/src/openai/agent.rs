//! An agent in OpenAI's shape: the last thing the user wrote takes the path of `/generate`.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Finish, Role, UsageFrame};
use domain::id::InteractionId;
use domain::interaction::{self, Interaction, Outcome};
use domain::principal::Principal;
use domain::time::Moment;
use pipeline::listener::{Event, Listener};
use pipeline::parts::Pipeline;
use pipeline::turn::{Recorded, Reply, Turn, TurnError};
use registry::snapshot::Serving;
use resilience::shedding::Class;
use wire::openai::encode::{self, Encoder};
use wire::openai::inbound::{self, Inbound, InboundError};
use wire::openai::relay::Asked;

use crate::limits;
use crate::native::reply::{self, new_interaction_id};
use crate::native::text;
use crate::openai::error::OpenAiError;
use crate::router::Api;
use crate::stream::{self, Format};

/// What a request for an agent needs beside itself.
pub(super) struct Door {
    pub(super) api: Arc<Api>,
    pub(super) principal: Arc<Principal>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) serving: Arc<Serving>,
    pub(super) deadline: Moment,
    pub(super) class: Class,
}

pub(super) async fn respond(door: Door, asked: Asked) -> Result<Response, OpenAiError> {
    let inbound = inbound::read(&asked.relayed.body)?;
    let turn = turn(&door, inbound)?;
    let encoder = Encoder {
        id: completion_id(&turn.interaction),
        created: door.api.clock.wall().0.div_euclid(1_000_000),
        model: asked.model,
    };
    if asked.relayed.delivery == Delivery::Streamed {
        let format = Chunks { encoder, usage_frame: asked.relayed.usage, released: 0, has_spoken: false };
        return Ok(stream::respond_as(format, door.api, door.pipeline, turn)?);
    }
    // Boxed, as the path of a turn is a large future and handlers are moved a few times.
    let admitted = door.pipeline.admit(turn)?;
    let standing = admitted.standing;
    let reply = Box::pin(door.pipeline.run_admitted(admitted, Listener::Silent)).await?;
    door.api.metrics.observe(&reply);
    let interaction = &reply.interaction;
    let body = encoder.whole(&reply.response, finish(interaction), Some(interaction.usage));
    let mut response = Json(body).into_response();
    reply::put_headers(response.headers_mut(), &reply);
    limits::note(&mut response, standing);
    Ok(response)
}

/// The id that clients see is the interaction's.
fn completion_id(interaction: &InteractionId) -> String {
    let id = interaction.as_str();
    format!("chatcmpl-{}", id.strip_prefix("int_").unwrap_or(id))
}

fn turn(door: &Door, inbound: Inbound) -> Result<Turn, OpenAiError> {
    if inbound.schema.is_some() {
        let reason = "an agent answers in text; ask a model for JSON, as `model: \"embedded/default\"`";
        return Err(InboundError::Unsupported { field: "response_format".into(), reason }.into());
    }
    let said = inbound.messages.into_iter().rev().find(|message| message.role == Role::User);
    let said =
        said.ok_or_else(|| OpenAiError::field("messages", "a message of the role `user` is missing"))?;
    if said.text.len() > door.api.config.body_bytes_max {
        return Err(OpenAiError::field("messages", "the last message of the user is too long"));
    }
    Ok(Turn {
        interaction: new_interaction_id(&door.api),
        principal: Arc::clone(&door.principal),
        door: interaction::Door::Generate,
        text: text::non_empty("messages", said.text)?,
        agent: Some(door.serving.loaded.agent.version.name.clone()),
        session: None,
        user_id: None,
        message_id: None,
        metadata: None,
        max_tokens: inbound.max_tokens,
        temperature: inbound.temperature,
        deadline: door.deadline,
        class: door.class,
    })
}

fn finish(interaction: &Interaction) -> Finish {
    match interaction.outcome {
        Outcome::Blocked => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

/// Frames of chat completions.
struct Chunks {
    encoder: Encoder,
    usage_frame: UsageFrame,
    /// Bytes of the reply that were sent.
    released: usize,
    has_spoken: bool,
}

impl Chunks {
    fn say(&mut self, text: &str, frames: &mut BytesMut) {
        if !std::mem::replace(&mut self.has_spoken, true) {
            frames.extend_from_slice(&self.encoder.role());
        }
        if !text.is_empty() {
            self.released += text.len();
            frames.extend_from_slice(&self.encoder.text(text));
        }
    }
}

impl Format for Chunks {
    fn event(&mut self, event: Event) -> Option<Bytes> {
        let Event::Text(text) = event else { return None };
        let mut frames = BytesMut::new();
        self.say(&text, &mut frames);
        Some(frames.freeze())
    }

    fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes {
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return OpenAiError::from(error).frame(),
        };
        let mut frames = BytesMut::new();
        // A static reply was not released sentence by sentence; what was released is its beginning.
        let rest = reply.response.get(self.released..).unwrap_or_default().to_owned();
        self.say(&rest, &mut frames);
        frames.extend_from_slice(&self.encoder.finish(finish(&reply.interaction)));
        if self.usage_frame == UsageFrame::Wanted {
            frames.extend_from_slice(&self.encoder.usage(reply.interaction.usage));
        }
        if reply.recorded == Recorded::No {
            frames.extend_from_slice(b": x-mainstay-recorded: no\n\n");
        }
        frames.extend_from_slice(encode::DONE);
        frames.freeze()
    }
}
