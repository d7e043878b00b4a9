//! InvokeModel as callers speak it, in front of any model.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use domain::chat::Relayed;
use domain::conversation::{Answer, Conversation, Event};
use domain::token::Usage;
use serde_json::{Value, json};

use super::{body_of, claude, titan};
use crate::anthropic::messages::Messages;
use crate::bedrock::converse::answer::milliseconds;
use crate::bedrock::converse::{answer, inbound, writer};
use crate::bedrock::frame;
use crate::bedrock::model::Maker;
use crate::face::{About, Face};
use crate::stream::{EventWriter, Took};
use crate::translation::ReadError;

/// For callers of InvokeModel with the body of Claude, Nova or Titan.
#[derive(Debug, Clone, Copy, Default)]
pub struct InvokeFace;

impl Face for InvokeFace {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        match body_of(relayed) {
            Maker::Claude => claude::conversation(relayed),
            Maker::Nova => inbound::conversation(&relayed.body),
            Maker::Titan => titan::conversation(&relayed.body),
            Maker::Gpt | Maker::Other => {
                let reason = "only a model of its own maker understands it; those of Claude, Nova and Titan can be translated";
                Err(ReadError::unsupported("body", reason))
            }
        }
    }

    fn answer(&self, about: &About, answer: &Answer, relayed: &Relayed) -> Bytes {
        match body_of(relayed) {
            Maker::Claude | Maker::Gpt | Maker::Other => Messages.answer(about, answer, relayed),
            Maker::Nova => answer::write(answer, about.took),
            Maker::Titan => titan::answer(answer),
        }
    }

    fn writer(&self, about: About, relayed: &Relayed) -> Box<dyn EventWriter> {
        match body_of(relayed) {
            Maker::Claude | Maker::Gpt | Maker::Other => {
                Box::new(claude::Writer::new(Messages.writer(about, relayed)))
            }
            Maker::Nova => Box::new(NovaWriter::default()),
            Maker::Titan => Box::new(titan::Writer::default()),
        }
    }
}

/// What the last chunk says of the whole answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invocation {
    pub(super) usage: Option<Usage>,
    pub(super) took: Took,
}

/// Writes `body` as a chunk; the last one says what the answer used, and how long it took.
pub(super) fn chunk(body: &[u8], last: Option<Invocation>, frames: &mut BytesMut) {
    let with_metrics = last.and_then(|last| Some((last, body.strip_suffix(b"}")?)));
    let bytes = match with_metrics {
        None => STANDARD.encode(body),
        Some((Invocation { usage, took }, body)) => {
            let usage = usage.unwrap_or(Usage::NONE);
            let (read, written) = (usage.cached_input.0, usage.cache_write_input.0);
            let metrics = json!({
                "inputTokenCount": usage.input.0.saturating_sub(read).saturating_sub(written),
                "outputTokenCount": usage.output.0,
                "cacheReadInputTokenCount": read,
                "cacheWriteInputTokenCount": written,
                "invocationLatency": milliseconds(took.whole),
                "firstByteLatency": milliseconds(took.first),
            });
            let mut whole = body.to_vec();
            whole.extend_from_slice(format!(",\"amazon-bedrock-invocationMetrics\":{metrics}}}").as_bytes());
            STANDARD.encode(whole)
        }
    };
    // Base64 needs no escapes.
    frame::event("chunk", format!("{{\"bytes\":\"{bytes}\"}}").into_bytes(), frames);
}

/// Nova's chunks are the events of ConverseStream.
#[derive(Debug, Default)]
struct NovaWriter {
    events: writer::Events,
    took: Took,
}

impl EventWriter for NovaWriter {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        let last = match event {
            Event::Ended(ending) => Some(Invocation { usage: ending.usage, took: self.took }),
            _ => None,
        };
        self.events.each(event, &mut |name, payload| {
            let mut body = format!("{}:", Value::from(name)).into_bytes();
            body.insert(0, b'{');
            body.extend_from_slice(&payload);
            body.push(b'}');
            chunk(&body, last.filter(|_| name == "metadata"), frames);
        });
    }

    fn took(&mut self, took: Took) {
        (self.took, self.events.took) = (took, took.whole);
    }
}
