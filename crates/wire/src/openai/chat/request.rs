//! A conversation as the body of a chat completions request.

use std::borrow::Cow;

use bytes::Bytes;
use domain::chat::Delivery;
use domain::conversation::{Conversation, Format, Json, Media, Part, Speaker, Thinking, Tool, Turn, Which};
use serde_json::value::RawValue;

use super::{ChatCompletions, LimitField, Thoughts};
use super::{names, reasoning};
use crate::protocol::Call;
use crate::translation::{self, Untranslatable};
use crate::written;

mod body;

pub(super) use body::CallBody;
use body::{
    Body, CalledFunction, Choice, ChosenFunction, Content, ContentPart, File, Function, ImageUrl, InputAudio,
    JsonSchema, Message, ResponseFormat, StreamOptions, ToolBody,
};

/// The body of a request.
pub(super) fn write(
    conversation: &Conversation,
    call: Call<'_>,
    provider: ChatCompletions,
) -> Result<Bytes, Untranslatable> {
    let sampling = &conversation.sampling;
    if sampling.top_k.is_some() {
        return Err(Untranslatable::new("top_k", "chat completions have no such parameter"));
    }
    let mut messages =
        Messages { list: Vec::with_capacity(conversation.turns.len() + 1), pictures: Vec::new() };
    if !conversation.instructions.is_empty() {
        messages.say("system", &conversation.instructions)?;
    }
    for turn in &conversation.turns {
        messages.push(turn)?;
    }
    let limit = |field| sampling.max_tokens.filter(|_| provider.limit_field == field);
    let is_streamed = call.delivery == Delivery::Streamed;
    let mut messages = messages.all();
    if provider.thoughts == Thoughts::Refused {
        for message in &mut messages {
            (message.reasoning_content, message.reasoning_details) = (None, Vec::new());
        }
    }
    let body = Body {
        model: call.model,
        messages,
        max_tokens: limit(LimitField::MaxTokens),
        max_completion_tokens: limit(LimitField::MaxCompletionTokens),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        seed: sampling.seed,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        stop: &sampling.stop,
        tools: conversation.tools.iter().map(tool).collect::<Result<_, _>>()?,
        tool_choice: match translation::choice(conversation)? {
            Which::Unsaid => None,
            Which::Auto => Some(Choice::Word("auto")),
            Which::Never => Some(Choice::Word("none")),
            Which::Any => Some(Choice::Word("required")),
            Which::This(name) => Some(Choice::This { kind: "function", function: ChosenFunction { name } }),
        },
        parallel_tool_calls: conversation.choice.parallel.filter(|_| !conversation.tools.is_empty()),
        reasoning_effort: effort(&conversation.thinking),
        stream: is_streamed,
        stream_options: is_streamed.then_some(StreamOptions { include_usage: true }),
        response_format: format(&conversation.format)?,
        user: conversation.user.as_deref().map(names::user),
    };
    Ok(written::body(&body))
}

/// The word for a budget of thinking tokens: the bounds that OpenRouter uses for the same (a fifth, a half and more of
/// a usual answer's limit, in tokens).
fn effort(thinking: &Thinking) -> Option<&str> {
    match thinking {
        // Models that think by themselves do.
        Thinking::Unsaid | Thinking::Adaptive => None,
        Thinking::Off => Some("none"),
        Thinking::Effort(effort) => Some(effort),
        Thinking::Tokens(0..=2_048) => Some("low"),
        Thinking::Tokens(2_049..=8_192) => Some("medium"),
        Thinking::Tokens(_) => Some("high"),
    }
}

fn raw<'a>(what: &'static str, json: &'a Json) -> Result<&'a RawValue, Untranslatable> {
    serde_json::from_str(json.as_str()).map_err(|_| Untranslatable::new(what, "is no JSON"))
}

fn format(format: &Format) -> Result<Option<ResponseFormat<'_>>, Untranslatable> {
    Ok(match format {
        Format::Text => None,
        Format::Object => Some(ResponseFormat { kind: "json_object", json_schema: None }),
        Format::Schema { name, description, schema, strict } => {
            let schema = raw("the schema of the answer", schema)?;
            let schema = JsonSchema { name, description: description.as_deref(), schema, strict: *strict };
            Some(ResponseFormat { kind: "json_schema", json_schema: Some(schema) })
        }
    })
}

fn tool(tool: &Tool) -> Result<ToolBody<'_>, Untranslatable> {
    let function = Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: tool.schema.as_ref().map(|schema| raw("the schema of a tool", schema)).transpose()?,
        strict: tool.strict,
    };
    Ok(ToolBody { kind: "function", function })
}

/// The messages so far.
struct Messages<'a> {
    list: Vec<Message<'a>>,
    /// Of results: only the user's messages show pictures, and none may come between results.
    pictures: Vec<ContentPart<'a>>,
}

/// What a result says whose pictures are all there is of it.
const PICTURED: &str = "The image follows in the user's next message.";

impl<'a> Messages<'a> {
    /// Adds the messages that a turn makes: results of calls each have their own.
    fn push(&mut self, turn: &'a Turn) -> Result<(), Untranslatable> {
        let role = match turn.by {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        let mut rest = turn.parts.as_slice();
        while let [first, after @ ..] = rest {
            match first {
                Part::Result { id, parts, .. } => {
                    let n_pictures = self.pictures.len();
                    let mut result = message("tool", parts, &mut self.pictures)?;
                    result.tool_call_id = Some(names::call(id));
                    if let Some(Content::Text("")) = result.content
                        && self.pictures.len() > n_pictures
                    {
                        result.content = Some(Content::Text(PICTURED));
                    }
                    self.list.push(result);
                }
                // A hint, wherever it stands.
                Part::CachePoint(_) => {}
                _ => break,
            }
            rest = after;
        }
        if rest.iter().any(|part| matches!(part, Part::Result { .. })) {
            let reason = "chat completions have the results of calls before other words";
            return Err(Untranslatable::new("a result between other parts of a turn", reason));
        }
        if !rest.is_empty() || turn.parts.is_empty() {
            self.say(role, rest)?;
        }
        Ok(())
    }

    /// Adds a message of `parts`. Pictures that wait are shown before it, or in it where the user speaks.
    fn say(&mut self, role: &'static str, parts: &'a [Part]) -> Result<(), Untranslatable> {
        if role != "user" {
            self.show();
        }
        let message = message(role, parts, &mut self.pictures)?;
        self.list.push(message);
        Ok(())
    }

    /// The pictures that wait, in a message of the user's.
    fn show(&mut self) {
        if !self.pictures.is_empty() {
            let content = Some(Content::Parts(std::mem::take(&mut self.pictures)));
            self.list.push(Message { role: "user", content, ..Message::default() });
        }
    }

    fn all(mut self) -> Vec<Message<'a>> {
        self.show();
        self.list
    }
}

/// A message of `parts`. A result leaves its `pictures` there, and the user's message takes them.
fn message<'a>(
    role: &'static str,
    parts: &'a [Part],
    pictures: &mut Vec<ContentPart<'a>>,
) -> Result<Message<'a>, Untranslatable> {
    let (reasoning_content, reasoning_details) = reasoning::write(parts);
    let mut message = Message { role, reasoning_content, reasoning_details, ..Message::default() };
    let mut content = if role == "user" { std::mem::take(pictures) } else { Vec::new() };
    for part in parts {
        match part {
            Part::Text(text) => content.push(ContentPart::Text { text }),
            Part::Image { media, detail } if role != "assistant" => {
                let picture = picture(media, detail.as_deref())?;
                if role == "tool" { pictures.push(picture) } else { content.push(picture) }
            }
            Part::Document { media, name } if role == "user" => {
                content.push(ContentPart::File { file: file(media, name)? })
            }
            Part::Audio(Media::Inline { kind, base64 }) if role == "user" => {
                let format = kind.strip_prefix("audio/").unwrap_or(kind);
                content.push(ContentPart::InputAudio { input_audio: InputAudio { data: base64, format } });
            }
            Part::Call { id, name, arguments } => {
                let arguments = if arguments.is_empty() { "{}" } else { arguments };
                let function = CalledFunction { name, arguments };
                message.tool_calls.push(CallBody { id: names::call(id), kind: "function", function });
            }
            Part::Refusal(text) => message.refusal = Some(text),
            Part::Thought { .. } | Part::SealedThought(_) | Part::CachePoint(_) => {}
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) | Part::Result { .. } => {
                let what = format!("an image, document, sound or result in a message of the role `{role}`");
                return Err(Untranslatable::new(what, "chat completions have no place for it"));
            }
        }
    }
    message.content = match content.as_slice() {
        [] if role == "assistant" && !message.tool_calls.is_empty() => None,
        [] => Some(Content::Text("")),
        [ContentPart::Text { text }] => Some(Content::Text(text)),
        _ => Some(Content::Parts(content)),
    };
    Ok(message)
}

fn picture<'a>(media: &'a Media, detail: Option<&'a str>) -> Result<ContentPart<'a>, Untranslatable> {
    let reason = "chat completions take addresses and bytes";
    let url = address(media).ok_or_else(|| Untranslatable::new("an image by a provider's id", reason))?;
    Ok(ContentPart::ImageUrl { image_url: ImageUrl { url, detail } })
}

fn address(media: &Media) -> Option<String> {
    match media {
        Media::Url(url) => Some(url.clone()),
        Media::Inline { kind, base64 } => Some(format!("data:{kind};base64,{base64}")),
        Media::Stored(_) => None,
    }
}

fn file<'a>(media: &'a Media, name: &'a Option<String>) -> Result<File<'a>, Untranslatable> {
    let filename = name.as_deref();
    match media {
        Media::Stored(id) => Ok(File { file_data: None, file_id: Some(id), filename }),
        Media::Inline { kind, .. } => {
            // Without a name OpenAI takes no bytes, and it knows the kind by the name's end.
            let unnamed = if kind == "application/pdf" { "document.pdf" } else { "document" };
            Ok(File { file_data: address(media), file_id: None, filename: filename.or(Some(unnamed)) })
        }
        Media::Url(_) => {
            Err(Untranslatable::new("a document by its address", "chat completions take documents as bytes"))
        }
    }
}

/// The calls of an answer, as a message has them.
pub(super) fn calls(parts: &[Part]) -> Vec<CallBody<'_>> {
    fn call(part: &Part) -> Option<CallBody<'_>> {
        match part {
            Part::Call { id, name, arguments } => {
                let arguments = if arguments.is_empty() { "{}" } else { arguments.as_str() };
                Some(CallBody {
                    id: Cow::Borrowed(id),
                    kind: "function",
                    function: CalledFunction { name, arguments },
                })
            }
            _ => None,
        }
    }
    parts.iter().filter_map(call).collect()
}
