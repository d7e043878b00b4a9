//! Conversations that hold texts only: what our own agents ask, and what models that read plain text take.

use std::str::FromStr;
use std::sync::Arc;

use domain::chat::{ChatRequest, Message, Parameters, Role};
use domain::conversation::{Conversation, Format, Json, Part, Sampling, Speaker, Thinking, Turn, Which};

use crate::translation::Untranslatable;

/// The schema of any JSON object.
pub const ANY_OBJECT: &str = r#"{"type":"object","additionalProperties":true}"#;

/// A request of ours as a conversation.
#[must_use]
pub fn conversation(request: &ChatRequest) -> Conversation {
    let mut conversation = Conversation::default();
    for Message { role, text } in &request.messages {
        let part = Part::Text(text.clone());
        match role {
            Role::System if conversation.turns.is_empty() => conversation.instructions.push(part),
            Role::System => conversation.turns.push(Turn { by: Speaker::System, parts: vec![part] }),
            Role::User => conversation.turns.push(Turn { by: Speaker::User, parts: vec![part] }),
            Role::Assistant => conversation.turns.push(Turn { by: Speaker::Assistant, parts: vec![part] }),
        }
    }
    let Parameters { max_tokens, temperature, top_p, seed, stop } = &request.parameters;
    conversation.sampling = Sampling {
        max_tokens: Some(*max_tokens),
        temperature: Some(widened(*temperature)),
        top_p: top_p.map(widened),
        seed: seed.and_then(|seed| i64::try_from(seed).ok()),
        stop: stop.clone(),
        ..Sampling::default()
    };
    if let Some(schema) = request.schema.as_ref().filter(|schema| is_json(schema)) {
        conversation.format = Format::Schema {
            name: "answer".to_owned(),
            description: None,
            schema: Json::checked(Arc::clone(schema)),
            strict: None,
        };
    }
    conversation
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The same decimal: 0.7 stays 0.7.
#[must_use]
pub fn widened(value: f32) -> f64 {
    f64::from_str(&value.to_string()).unwrap_or_else(|_| f64::from(value))
}

/// The nearest value of half the length.
#[expect(clippy::cast_possible_truncation, reason = "a sampling parameter: a few digits within 0 to 2")]
#[must_use]
pub fn narrowed(value: f64) -> f32 {
    value as f32
}

/// A conversation as plain texts, with our defaults for what the caller left out.
///
/// # Errors
/// [`Untranslatable`] for anything else: images, tools, penalties, …
pub fn request(conversation: &Conversation) -> Result<ChatRequest, Untranslatable> {
    const REASON: &str = "this model takes and gives only text";
    let refuse = |what: &'static str| Err(Untranslatable::new(what, REASON));
    let sampling = &conversation.sampling;
    if !conversation.tools.is_empty() && conversation.choice.which != Which::Never {
        return refuse("tools");
    }
    if sampling.top_k.is_some() {
        return refuse("top_k");
    }
    for (name, penalty) in
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)]
    {
        if penalty.is_some_and(|penalty| penalty != 0.0) {
            return refuse(name);
        }
    }
    if matches!(conversation.thinking, Thinking::Effort(_) | Thinking::Tokens(_)) {
        return refuse("reasoning");
    }
    let mut messages = Vec::with_capacity(conversation.turns.len() + 1);
    if !conversation.instructions.is_empty() {
        messages.push(Message::new(Role::System, text(&conversation.instructions)?));
    }
    for turn in &conversation.turns {
        let role = match turn.by {
            Speaker::System => Role::System,
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        messages.push(Message::new(role, text(&turn.parts)?));
    }
    let usual = Parameters::default();
    let parameters = Parameters {
        max_tokens: sampling.max_tokens.unwrap_or(usual.max_tokens),
        temperature: sampling.temperature.map_or(usual.temperature, narrowed),
        top_p: sampling.top_p.map(narrowed),
        seed: sampling.seed.map(i64::unsigned_abs),
        stop: sampling.stop.clone(),
    };
    let schema = match &conversation.format {
        Format::Text => None,
        Format::Object => Some(Arc::from(ANY_OBJECT)),
        Format::Schema { schema, .. } => Some(Arc::from(schema.as_str())),
    };
    Ok(ChatRequest { messages, parameters, schema })
}

/// The texts of `parts`, one a line.
fn text(parts: &[Part]) -> Result<String, Untranslatable> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => texts.push(text.as_str()),
            // What a model thought before is not said to another.
            Part::Thought { .. } | Part::SealedThought(_) | Part::CachePoint(_) => {}
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) => {
                return Err(Untranslatable::new("an image, document or sound", "this model reads only text"));
            }
            Part::Call { .. } | Part::Result { .. } => {
                return Err(Untranslatable::new("a call of a tool", "this model reads only text"));
            }
        }
    }
    Ok(texts.join("\n"))
}
