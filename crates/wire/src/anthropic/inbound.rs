//! A caller's request in no dialect's words, for models that do not take its bytes.
//!
//! Reading order: this file (the request), `content` (what a message holds), `tools`.

use domain::conversation::{Conversation, Format, Part, Sampling, Speaker, Thinking, Turn};

use crate::object::{Object, Value};
use crate::translation::ReadError;

mod content;
mod tools;

/// What the schema of an answer is called in dialects where it has a name.
const SCHEMA_NAME: &str = "answer";

/// Reads a request.
pub(super) fn read(body: &[u8]) -> Result<Conversation, ReadError> {
    read_for(body, Purpose::Answer)
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An answer, which has a limit.
    Answer,
    /// How many tokens the request has.
    Count,
}

/// Reads a request for `purpose`.
pub(super) fn read_for(body: &[u8], purpose: Purpose) -> Result<Conversation, ReadError> {
    let text = std::str::from_utf8(body).map_err(|_| ReadError::Unreadable("not UTF-8"))?;
    let mut body = Value::new(String::new(), text.trim())
        .object()
        .map_err(|_| ReadError::Unreadable("send a JSON object with `messages`"))?;
    // Read when the request was routed.
    body.take("model");
    body.take("stream");
    let sampling = Sampling {
        max_tokens: match purpose {
            Purpose::Answer => Some(limit(&body.demand("max_tokens")?)?),
            Purpose::Count => None,
        },
        temperature: body.take("temperature").map(|value| value.number()).transpose()?,
        top_p: body.take("top_p").map(|value| value.number()).transpose()?,
        top_k: body.take("top_k").map(|value| value.count()).transpose()?,
        stop: match body.take("stop_sequences") {
            Some(list) => list.list()?.iter().map(Value::text).collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        ..Sampling::default()
    };
    let (mut instructions, mut turns) = (Vec::new(), messages(&body.demand("messages")?)?);
    if let Some(system) = body.take("system") {
        instructions = content::read(&system, content::Within::Instructions)?;
    }
    if let Some(time) = content::cache_time(&mut body)?
        && let Some(last) = turns.last_mut()
    {
        last.parts.push(Part::CachePoint(time));
    }
    let (thinking, format) = thinking_and_format(&mut body)?;
    let conversation = Conversation {
        instructions,
        turns,
        tools: match body.take("tools") {
            Some(tools) => tools::read(&tools)?,
            None => Vec::new(),
        },
        choice: body
            .take("tool_choice")
            .map(|choice| tools::choice(&choice))
            .transpose()?
            .unwrap_or_default(),
        format,
        sampling,
        thinking,
        user: body.take("metadata").map(|metadata| user(&metadata)).transpose()?.flatten(),
    };
    // Which capacity serves a request changes no answer.
    body.take_usual("service_tier", &["\"auto\"", "\"standard_only\""])?;
    body.take_usual("speed", &["\"standard\""])?;
    body.finish()?;
    Ok(conversation)
}

fn limit(max_tokens: &Value<'_>) -> Result<u32, ReadError> {
    match max_tokens.count()? {
        0 => {
            Err(max_tokens.unsupported("only models of its own dialect can fill their cache and not answer"))
        }
        most => Ok(most),
    }
}

fn messages(list: &Value<'_>) -> Result<Vec<Turn>, ReadError> {
    let turns = list.list()?.iter().map(turn).collect::<Result<Vec<_>, _>>()?;
    if turns.is_empty() { Err(list.invalid("at least one message")) } else { Ok(turns) }
}

fn turn(message: &Value<'_>) -> Result<Turn, ReadError> {
    let mut message = message.object()?;
    let role = message.demand("role")?;
    let (by, within) = match role.text()?.as_str() {
        "user" => (Speaker::User, content::Within::User),
        "assistant" => (Speaker::Assistant, content::Within::Assistant),
        "system" => (Speaker::System, content::Within::Instructions),
        _ => return Err(role.invalid("`user`, `assistant` or `system`")),
    };
    let parts = content::read(&message.demand("content")?, within)?;
    message.finish()?;
    Ok(Turn { by, parts })
}

fn user(metadata: &Value<'_>) -> Result<Option<String>, ReadError> {
    let mut metadata = metadata.object()?;
    let user = metadata.text("user_id")?;
    metadata.finish()?;
    Ok(user)
}

/// `thinking` and `output_config`, where effort and format stand; `output_format` is an older place of the latter.
fn thinking_and_format(body: &mut Object<'_>) -> Result<(Thinking, Format), ReadError> {
    let mut thinking =
        body.take("thinking").map(|value| how_to_think(&value)).transpose()?.unwrap_or_default();
    let mut format = body.take("output_format");
    if let Some(config) = body.take("output_config") {
        let mut config = config.object()?;
        if let Some(effort) = config.take("effort") {
            thinking = match thinking {
                Thinking::Unsaid | Thinking::Adaptive => Thinking::Effort(effort.text()?),
                _ => {
                    return Err(
                        effort.unsupported("beside a fixed way to think it is for models of its own dialect")
                    );
                }
            };
        }
        format = config.take("format").or(format);
        config.finish()?;
    }
    Ok((thinking, format.map(|format| read_format(&format)).transpose()?.unwrap_or_default()))
}

fn how_to_think(value: &Value<'_>) -> Result<Thinking, ReadError> {
    let mut object = value.object()?;
    let kind = object.demand("type")?;
    let thinking = match kind.text()?.as_str() {
        "enabled" => Thinking::Tokens(object.demand("budget_tokens")?.count()?),
        "adaptive" => Thinking::Adaptive,
        "disabled" => Thinking::Off,
        _ => return Err(kind.unsupported("only models of its own dialect can think in this way")),
    };
    object.take_usual("display", &["\"summarized\""])?;
    object.finish()?;
    Ok(thinking)
}

fn read_format(value: &Value<'_>) -> Result<Format, ReadError> {
    let mut object = value.object()?;
    let kind = object.demand("type")?;
    if kind.text()? != "json_schema" {
        return Err(kind.unsupported("only `json_schema` has a word in other dialects"));
    }
    let schema = object.demand("schema")?.json_object()?;
    object.finish()?;
    Ok(Format::Schema { name: SCHEMA_NAME.to_owned(), description: None, schema, strict: Some(true) })
}
