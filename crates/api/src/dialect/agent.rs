//! An agent in a dialect's shape: the last thing the user wrote takes the path of `/generate`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Finish};
use domain::conversation::{
    Answer, Block, Conversation, Delta, Ending, Event as Said, Format as Form, Part, Speaker,
};
use domain::interaction::{self, Interaction, Outcome};
use domain::ports::Clock;
use domain::time::Moment;
use http::{HeaderValue, header};
use pipeline::listener::{Event, Listener};
use pipeline::parts::Pipeline;
use pipeline::turn::{Recorded, Reply, Turn, TurnError};
use registry::snapshot::Serving;
use telemetry::Operation;
use wire::blocks::Blocks;
use wire::face::About;
use wire::faces;
use wire::stream::{EventWriter, Took};
use wire::translation::ReadError;

use crate::cached;
use crate::caller::Caller;
use crate::dialect::Asked;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::limits;
use crate::native::reply::{self, new_interaction_id};
use crate::native::text;
use crate::server::Api;
use crate::stream::{self, Format};

/// What a request for an agent needs beside itself.
pub(super) struct Door {
    pub(super) api: Arc<Api>,
    pub(super) caller: Caller,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) serving: Arc<Serving>,
    pub(super) manner: &'static dyn Manner,
}

pub(super) async fn respond(door: Door, asked: Asked) -> Result<Response, Refusal> {
    let relayed = &asked.relayed;
    let face = faces::of(relayed.dialect)
        .ok_or_else(|| Refusal::field("model", "an agent answers conversations, and this is none"))?;
    let turn = turn(&door, (&asked, face.conversation(relayed)?))?;
    // The id that clients see is the interaction's.
    let id = turn.interaction.as_str();
    let about = About {
        id: id.strip_prefix("int_").unwrap_or(id).to_owned(),
        created: door.api.clock.wall().0.div_euclid(1_000_000),
        model: relayed.model.clone(),
        took: Duration::ZERO,
    };
    if relayed.delivery == Delivery::Streamed {
        let frames = Frames {
            writer: face.writer(about, relayed),
            manner: door.manner,
            blocks: Blocks::default(),
            events: vec![Said::Begun { id: String::new(), model: String::new(), usage: None }],
            released: 0,
            asked: door.api.clock.now(),
            clock: Arc::clone(&door.api.clock),
            first: None,
        };
        let manner = door.manner;
        let turn = (door.api, door.pipeline, turn);
        return Ok(stream::respond_as(frames, turn, |body| manner.stream(body))?);
    }
    // Boxed, as the path of a turn is a large future and handlers are moved a few times.
    let admitted = door.pipeline.admit(turn)?;
    let standing = admitted.standing;
    let reply = Box::pin(door.pipeline.run_admitted(admitted, Listener::Silent)).await?;
    door.api.metrics.observe(&reply);
    let interaction = &reply.interaction;
    let answer = Answer {
        id: String::new(),
        model: String::new(),
        parts: vec![Part::Text(reply.response.clone())],
        ending: ending(interaction),
    };
    let about = About { took: interaction.latency, ..about };
    let json = HeaderValue::from_static("application/json");
    let body = Body::from(face.answer(&about, &answer, relayed));
    let mut response = ([(header::CONTENT_TYPE, json)], body).into_response();
    reply::put_headers(response.headers_mut(), &reply);
    limits::note(&mut response, standing);
    Ok(response)
}

fn turn(door: &Door, (asked, conversation): (&Asked, Conversation)) -> Result<Turn, Refusal> {
    if conversation.format != Form::Text {
        let reason = "an agent answers in text; ask a model for JSON, as `model: \"embedded/default\"`";
        return Err(ReadError::unsupported("response_format", reason).into());
    }
    let Conversation { turns, sampling, .. } = conversation;
    let said = turns.into_iter().rev().find(|turn| turn.by == Speaker::User);
    let said = said.ok_or_else(|| Refusal::field("messages", "a message of the role `user` is missing"))?;
    let mut texts = Vec::with_capacity(said.parts.len());
    for part in said.parts {
        match part {
            Part::Text(text) => texts.push(text),
            Part::CachePoint(_) => {}
            _ => return Err(ReadError::unsupported("messages", "an agent reads only text").into()),
        }
    }
    let said = texts.join("\n");
    if said.len() > door.api.config.body_bytes_max {
        return Err(Refusal::field("messages", "the last message of the user is too long"));
    }
    let principal = Arc::clone(&door.caller.principal);
    let interaction = new_interaction_id(&door.api);
    Ok(Turn {
        text: text::non_empty("messages", said)?,
        agent: Some(door.serving.loaded.agent.version.name.clone()),
        max_tokens: sampling.max_tokens,
        temperature: sampling.temperature.map(wire::texts::narrowed),
        residency: asked.terms.residency.clone(),
        class: asked.terms.class,
        watcher: door.caller.watched(Operation::InvokeAgent, asked.relayed.delivery),
        cache: asked.terms.cache,
        ..Turn::new(interaction, interaction::Door::Generate, principal, asked.terms.deadline)
    })
}

fn ending(interaction: &Interaction) -> Ending {
    let finish = match interaction.outcome {
        Outcome::Blocked => Finish::ContentFilter,
        _ => Finish::Stop,
    };
    Ending { finish, stop: None, usage: Some(interaction.usage) }
}

/// An answer in a dialect's frames, as it is released.
struct Frames {
    writer: Box<dyn EventWriter>,
    manner: &'static dyn Manner,
    blocks: Blocks,
    events: Vec<Said>,
    /// Bytes of the reply that were sent.
    released: usize,
    clock: Arc<dyn Clock>,
    asked: Moment,
    /// When the first words came.
    first: Option<Duration>,
}

impl Frames {
    fn took(&self) -> Duration {
        self.clock.now().since(self.asked)
    }

    fn say(&mut self, text: &str) {
        if self.first.is_none() {
            self.first = Some(self.took());
        }
        self.released += text.len();
        self.blocks.add(Block::Text, Delta::Text(text.to_owned()), &mut self.events);
    }

    fn written(&mut self) -> BytesMut {
        let mut frames = BytesMut::new();
        for event in self.events.drain(..) {
            self.writer.write(&event, &mut frames);
        }
        frames
    }
}

impl Format for Frames {
    fn event(&mut self, event: Event) -> Option<Bytes> {
        let Event::Text(text) = event else { return None };
        self.say(&text);
        Some(self.written().freeze())
    }

    fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes {
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return self.manner.broken(&Refusal::from(error)),
        };
        // A static reply was not released sentence by sentence; what was released is its beginning.
        let rest = reply.response.get(self.released..).unwrap_or_default().to_owned();
        self.say(&rest);
        let mut frames = self.written();
        if reply.recorded == Recorded::No
            && let Some(comment) = self.manner.comment("x-mainstay-recorded: no")
        {
            frames.extend_from_slice(&comment);
        }
        if let Some(comment) = reply.cache.and_then(|told| self.manner.comment(&cached::line(told))) {
            frames.extend_from_slice(&comment);
        }
        self.blocks.close(&mut self.events);
        self.events.push(Said::Ended(ending(&reply.interaction)));
        let whole = self.took();
        self.writer.took(Took { first: self.first.unwrap_or(whole), whole });
        frames.extend_from_slice(&self.written());
        frames.freeze()
    }

    fn sign(&self) -> Option<Bytes> {
        self.manner.sign()
    }
}
