//! A caller's chat completions request in no dialect's words.

use std::borrow::Cow;

use super::reasoning;
use crate::json;
use crate::request::LIMITS;
use crate::translation::ReadError;
use domain::conversation::{
    CacheTime, Conversation, Format, Json, Media, Part, Sampling, Speaker, Thinking, Tool, ToolChoice, Turn,
    Which,
};

mod body;

use body::{
    Body, Call, CalledFunction, Choice, Content, ContentPart, File, Function, ImageUrl, InputAudio,
    JsonSchema, Message, ResponseFormat, Stop, ToolBody,
};

/// Fields that the conversation holds, or that say how the answer comes.
const CARRIED: [&str; 20] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "user",
    "safety_identifier",
];
/// Fields that change no answer: where and how OpenAI keeps, bills and caches it.
const HINTS: [&str; 6] = [
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "store",
    // What every other dialect does anyway.
    "prompt_cache_options",
];
/// What says of a field that nothing is asked for.
const NEUTRAL: [(&str, &str); 5] = [
    ("n", "1"),
    ("logprobs", "false"),
    ("logit_bias", "{}"),
    ("modalities", "[\"text\"]"),
    ("top_logprobs", "0"),
];

/// Reads a request.
///
/// # Errors
/// [`ReadError`], with the field that makes no sense or that no other dialect can carry.
pub(super) fn read(bytes: &[u8]) -> Result<Conversation, ReadError> {
    check_fields(bytes)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body: Body =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| unreadable(error.path()))?;
    let messages = body.messages.unwrap_or_default();
    if messages.is_empty() {
        return Err(ReadError::invalid("messages", "at least one message"));
    }
    let within = |field: &'static str, value: Option<f64>, (least, most): (f64, f64)| match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(ReadError::invalid(field, format!("{least} to {most}")))
        }
        _ => Ok(value),
    };
    let max_tokens = body.max_completion_tokens.or(body.max_tokens);
    if max_tokens == Some(0) {
        return Err(ReadError::invalid("max_tokens", "at least 1"));
    }
    let sampling = Sampling {
        max_tokens,
        temperature: within("temperature", body.temperature, (0.0, 2.0))?,
        top_p: within("top_p", body.top_p, (0.0, 1.0))?,
        top_k: body.top_k,
        seed: body.seed,
        stop: match body.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Many(texts)) => texts,
        },
        frequency_penalty: within("frequency_penalty", body.frequency_penalty, (-2.0, 2.0))?,
        presence_penalty: within("presence_penalty", body.presence_penalty, (-2.0, 2.0))?,
    };
    let mut conversation = Conversation {
        choice: ToolChoice { which: which(body.tool_choice)?, parallel: body.parallel_tool_calls },
        tools: body.tools.unwrap_or_default().into_iter().enumerate().map(tool).collect::<Result<_, _>>()?,
        format: body.response_format.map_or(Ok(Format::Text), format)?,
        sampling,
        thinking: match body.reasoning_effort {
            None => Thinking::Unsaid,
            Some(effort) if effort == "none" => Thinking::Off,
            Some(effort) => Thinking::Effort(effort),
        },
        user: body.safety_identifier.or(body.user),
        ..Conversation::default()
    };
    for (index, message) in messages.into_iter().enumerate() {
        take(index, message, &mut conversation)?;
    }
    Ok(conversation)
}

/// Every field is carried, changes nothing, or is refused by name.
fn check_fields(bytes: &[u8]) -> Result<(), ReadError> {
    let fields = json::fields(bytes, LIMITS)
        .map_err(|_| ReadError::Unreadable("send a JSON object with `messages`"))?;
    for field in fields {
        let key = &*field.key;
        let value = bytes.get(field.value.clone()).unwrap_or_default();
        let is_neutral = value == b"null"
            || NEUTRAL.iter().any(|(name, neutral)| *name == key && neutral.as_bytes() == value);
        if !is_neutral && !CARRIED.contains(&key) && !HINTS.contains(&key) {
            let reason = "only models that take OpenAI's own requests can do that";
            return Err(ReadError::unsupported(format!("{key:.64}"), reason));
        }
    }
    Ok(())
}

/// What should stand at `path`, where something of another type does.
fn unreadable(path: &serde_path_to_error::Path) -> ReadError {
    use serde_path_to_error::Segment;
    let mut names = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    });
    let reason = match (names.next_back(), path.iter().next_back()) {
        (Some("messages"), Some(Segment::Seq { .. })) => "an object with `role` and `content`",
        (Some("messages"), _) => "a list of messages",
        (Some("role" | "type" | "refusal" | "user" | "reasoning_effort"), _) => "a text",
        (Some("content"), _) => "a text, or a list of parts with `type` and `text`",
        (Some("max_tokens" | "max_completion_tokens" | "top_k"), _) => "a whole number, not too large",
        (Some("seed"), _) => "a whole number",
        (Some("temperature" | "top_p" | "frequency_penalty" | "presence_penalty"), _) => "a number",
        (Some("stop"), _) => "a text, or a list of texts",
        (Some("tools" | "tool_calls"), _) => "a list of functions",
        (Some("tool_choice"), _) => "none, auto, required, or a function's name in an object",
        (Some("response_format" | "json_schema" | "function"), _) => "an object",
        (Some(_), _) => "something else",
        (None, _) => return ReadError::Unreadable("send a JSON object with `messages`"),
    };
    ReadError::invalid(path.to_string(), reason)
}

fn format(format: ResponseFormat) -> Result<Format, ReadError> {
    match format.kind.as_deref() {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::Object),
        Some("json_schema") => {
            let schema = format.json_schema;
            let Some(JsonSchema { name, description, schema: Some(schema), strict }) = schema else {
                return Err(ReadError::invalid("response_format.json_schema.schema", "a JSON schema"));
            };
            let name = name.unwrap_or_else(|| "answer".to_owned());
            Ok(Format::Schema { name, description, schema: Json::checked(schema.get()), strict })
        }
        _ => Err(ReadError::invalid("response_format.type", "text, json_object or json_schema")),
    }
}

fn which(choice: Option<Choice>) -> Result<Which, ReadError> {
    let unknown = || ReadError::unsupported("tool_choice", "none, auto, required, or a function");
    Ok(match choice {
        None => Which::Unsaid,
        Some(Choice::Word(word)) => match word.as_str() {
            "auto" => Which::Auto,
            "none" => Which::Never,
            "required" => Which::Any,
            _ => return Err(unknown()),
        },
        Some(Choice::This(this)) => match (this.kind.as_deref(), this.function.and_then(|tool| tool.name)) {
            (Some("function"), Some(name)) => Which::This(name),
            _ => return Err(unknown()),
        },
    })
}

fn tool((index, tool): (usize, ToolBody)) -> Result<Tool, ReadError> {
    if tool.kind.as_deref() != Some("function") {
        let reason = "only functions can be called by models that do not take OpenAI's own requests";
        return Err(ReadError::unsupported(format!("tools[{index}].type"), reason));
    }
    let field = format!("tools[{index}].function.name");
    let Some(Function { name: Some(name), description, parameters, strict }) = tool.function else {
        return Err(ReadError::invalid(field, "the function's name"));
    };
    let schema = parameters.map(|schema| Json::checked(schema.get()));
    Ok(Tool { name, description, schema, strict, cache: None })
}

/// Adds a message to the conversation.
fn take(index: usize, message: Message, conversation: &mut Conversation) -> Result<(), ReadError> {
    let field = |name: &str| format!("messages[{index}].{name}");
    let refused = [
        ("name", message.name.is_some()),
        ("function_call", message.function_call.is_some()),
        ("audio", message.audio.is_some()),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, is_there)| *is_there) {
        let reason = "only models that take OpenAI's own requests know it";
        return Err(ReadError::unsupported(field(name), reason));
    }
    let mut parts = Vec::new();
    parts.extend(reasoning::read(message.reasoning_content, message.reasoning_details.unwrap_or_default()));
    match message.content {
        None => {}
        Some(Content::Text(text)) if text.is_empty() => {}
        Some(Content::Text(text)) => parts.push(Part::Text(text)),
        Some(Content::Parts(content)) => {
            for (n, part) in content.into_iter().enumerate() {
                content_part(part, &mut parts, || format!("messages[{index}].content[{n}]"))?;
            }
        }
    }
    parts.extend(message.refusal.map(Part::Refusal));
    let turns = &mut conversation.turns;
    match message.role.as_deref() {
        Some("system" | "developer") if turns.is_empty() => conversation.instructions.append(&mut parts),
        Some("system" | "developer") => turns.push(Turn { by: Speaker::System, parts }),
        Some("user") => turns.push(Turn { by: Speaker::User, parts }),
        Some("assistant") => {
            for (n, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
                parts.push(self::call(call, || format!("messages[{index}].tool_calls[{n}]"))?);
            }
            turns.push(Turn { by: Speaker::Assistant, parts });
        }
        Some("tool") => {
            let id = message.tool_call_id;
            let id = id.ok_or_else(|| ReadError::invalid(field("tool_call_id"), "the id of the call"))?;
            let result = Part::Result { id, parts, is_error: false };
            // Results of parallel calls belong together.
            match turns.last_mut() {
                Some(Turn { by: Speaker::User, parts })
                    if parts.iter().all(|part| matches!(part, Part::Result { .. })) =>
                {
                    parts.push(result);
                }
                _ => turns.push(Turn { by: Speaker::User, parts: vec![result] }),
            }
        }
        None => return Err(ReadError::invalid(field("role"), "system, developer, user, assistant or tool")),
        Some(_) => {
            let reason = "only system, developer, user, assistant and tool messages are read here";
            return Err(ReadError::unsupported(field("role"), reason));
        }
    }
    Ok(())
}

fn call(call: Call, field: impl Fn() -> String) -> Result<Part, ReadError> {
    match call {
        Call { id: Some(id), kind, function: Some(CalledFunction { name: Some(name), arguments }) }
            if kind.as_deref().is_none_or(|kind| kind == "function") =>
        {
            let arguments = arguments.filter(|arguments| !arguments.is_empty());
            Ok(Part::Call { id, name, arguments: arguments.unwrap_or_else(|| "{}".to_owned()) })
        }
        Call { kind: Some(kind), .. } if kind != "function" => {
            Err(ReadError::unsupported(format!("{}.type", field()), "only calls of functions"))
        }
        _ => Err(ReadError::invalid(field(), "a call with `id`, `type` and `function.name`")),
    }
}

fn content_part(
    part: ContentPart,
    parts: &mut Vec<Part>,
    field: impl Fn() -> String,
) -> Result<(), ReadError> {
    let missing = |what: &'static str| ReadError::invalid(field(), what);
    parts.push(match part.kind.as_deref() {
        Some("text") => Part::Text(part.text.ok_or_else(|| missing("a part with `text`"))?),
        Some("refusal") => Part::Refusal(part.refusal.ok_or_else(|| missing("a part with `refusal`"))?),
        Some("image_url") => {
            let Some(ImageUrl { url: Some(url), detail }) = part.image_url else {
                return Err(missing("an image with `image_url.url`"));
            };
            Part::Image { media: media(url).ok_or_else(|| missing("a data URL in base64"))?, detail }
        }
        Some("input_audio") => match part.input_audio {
            Some(InputAudio { data: Some(data), format: Some(format) }) => {
                Part::Audio(Media::Inline { kind: format!("audio/{format}"), base64: data.into() })
            }
            _ => return Err(missing("sound with `data` and `format`")),
        },
        Some("file") => match part.file {
            Some(File { file_data: Some(data), filename, .. }) => {
                let data = if data.starts_with("data:") {
                    data
                } else {
                    format!("data:application/pdf;base64,{data}")
                };
                let media = media(data).ok_or_else(|| missing("a data URL in base64"))?;
                Part::Document { media, name: filename }
            }
            Some(File { file_id: Some(id), filename, .. }) => {
                Part::Document { media: Media::Stored(id), name: filename }
            }
            _ => return Err(missing("a file with `file_data` or `file_id`")),
        },
        None => return Err(missing("a part with `type`")),
        Some(_) => {
            let reason = "text, refusal, image_url, input_audio or file";
            return Err(ReadError::unsupported(format!("{}.type", field()), Cow::Borrowed(reason)));
        }
    });
    parts.extend(part.cache_control.map(|control| {
        Part::CachePoint(match control.ttl.as_deref() {
            Some("1h") => CacheTime::Hour,
            Some("5m") => CacheTime::FiveMinutes,
            _ => CacheTime::Usual,
        })
    }));
    Ok(())
}

/// What an address of an image or a file is; `None` for a data URL that is not in base64.
fn media(url: String) -> Option<Media> {
    let Some(data) = url.strip_prefix("data:") else { return Some(Media::Url(url)) };
    let (kind, base64) = data.split_once(";base64,")?;
    Some(Media::Inline { kind: kind.to_owned(), base64: base64.into() })
}
