//! A caller's Converse request as a conversation, for a provider of another dialect.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::conversation::{
    CacheTime, Conversation, Format, Json, Media, Part, Sampling, Speaker, Thinking, Tool, ToolChoice, Turn,
    Which,
};
use serde::Deserialize as _;

use super::body::{
    Additional, Block, CachePoint, Choice, ClaudeThinking, Document, Image, Inference, OutputConfig,
    Reasoning, ReasoningConfig, Request, ResultBlock, Role, Source, Status, Structure, System, ToolConfig,
    ToolResult, Ttl,
};
use super::media::{self, Sort};
use crate::bedrock::call_id::from_bedrock;
use crate::json;
use crate::translation::ReadError;

/// Reads a Converse request.
///
/// # Errors
/// [`ReadError`], also for what only AWS can do.
pub fn conversation(body: &[u8]) -> Result<Conversation, ReadError> {
    said(parse(body)?)
}

/// Reads the body without understanding it.
pub(in crate::bedrock) fn parse(body: &[u8]) -> Result<Request<'_>, ReadError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let request = Request::deserialize(serde_path_to_error::Deserializer::new(&mut deserializer, &mut track));
    request.map_err(|error| unreadable(track.path().to_string(), &error))
}

/// What is wrong at `path`; the value itself is not repeated.
fn unreadable(path: String, error: &serde_json::Error) -> ReadError {
    let text = error.to_string();
    let path = if path == "." { Cow::Borrowed("body") } else { Cow::Owned(path) };
    let named = || text.split('`').nth(1).unwrap_or_default();
    match () {
        () if !error.is_data() => ReadError::Unreadable("not a JSON object"),
        () if text.starts_with("unknown field") || text.starts_with("unknown variant") => {
            let reason = format!("`{:.64}` is known to Bedrock's own models only", named());
            ReadError::unsupported(path, reason)
        }
        () if text.starts_with("missing field") => {
            ReadError::invalid(path, format!("`{:.64}` is missing", named()))
        }
        () => ReadError::invalid(path, "not of the type, or not among the values, that it can be"),
    }
}

/// What a request says.
pub(in crate::bedrock) fn said(request: Request<'_>) -> Result<Conversation, ReadError> {
    only_elsewhere(&request)?;
    asked_for(request.additional_model_response_field_paths.as_deref())?;
    let mut conversation = Conversation::default();
    for block in request.system {
        conversation.instructions.push(match block {
            System::Text(text) => Part::Text(text.into_owned()),
            System::CachePoint(point) => Part::CachePoint(cache(&point)),
        });
    }
    for (n, message) in request.messages.into_iter().enumerate() {
        let by = match message.role {
            Role::User => Speaker::User,
            Role::Assistant => Speaker::Assistant,
            Role::System => Speaker::System,
        };
        let blocks = message.content.into_iter().enumerate();
        let parts = blocks.map(|(m, block)| part(block, || format!("messages[{n}].content[{m}]")));
        conversation.turns.push(Turn { by, parts: parts.collect::<Result<_, _>>()? });
    }
    if let Some(tools) = request.tool_config {
        (conversation.tools, conversation.choice) = self::tools(tools);
    }
    if let Some(inference) = request.inference_config {
        conversation.sampling = sampling(inference);
    }
    if let Some(output) = request.output_config {
        conversation.format = format(&output)?;
        conversation.thinking =
            output.effort.map_or(Thinking::Unsaid, |effort| Thinking::Effort(effort.into_owned()));
    }
    if let Some(reasoning) = request.reasoning_config {
        conversation.thinking = nova_thinking(reasoning);
    }
    if let Some(additional) = request.additional_model_request_fields {
        add(additional, &mut conversation);
    }
    Ok(conversation)
}

/// Fields that a reply of another provider never has may be asked for: the AI SDK does so with each request.
fn asked_for(paths: Option<&[String]>) -> Result<(), ReadError> {
    let is_wrong = |path: &String| !path.starts_with('/');
    if paths.is_some_and(|paths| paths.iter().any(is_wrong)) {
        return Err(ReadError::invalid(
            "additionalModelResponseFieldPaths",
            "JSON pointers, each begins with `/`",
        ));
    }
    Ok(())
}

/// What is refused because no other provider can do it.
fn only_elsewhere(request: &Request<'_>) -> Result<(), ReadError> {
    let found = [
        ("guardrailConfig", request.guardrail_config.is_some()),
        ("promptVariables", request.prompt_variables.is_some()),
    ];
    match found.into_iter().find(|(_, is_there)| *is_there) {
        Some((field, _)) => Err(ReadError::unsupported(field, "only Bedrock's own models have this")),
        None => Ok(()),
    }
}

fn cache(point: &CachePoint) -> CacheTime {
    match point.ttl {
        None => CacheTime::Usual,
        Some(Ttl::FiveMinutes) => CacheTime::FiveMinutes,
        Some(Ttl::Hour) => CacheTime::Hour,
    }
}

fn part(block: Block<'_>, place: impl Fn() -> String) -> Result<Part, ReadError> {
    Ok(match block {
        Block::Text(text) => Part::Text(text.into_owned()),
        Block::Image(image) => self::image(&image, place)?,
        Block::Document(document) => self::document(document, place)?,
        Block::Audio(audio) => {
            let kind = media::kind(Sort::Sound, &audio.format);
            Part::Audio(inline(kind, audio.source, place)?)
        }
        Block::ToolUse(call) => Part::Call {
            id: from_bedrock(call.tool_use_id.into_owned()),
            name: call.name.into_owned(),
            arguments: call.input.get().to_owned(),
        },
        Block::ToolResult(result) => self::result(result, place)?,
        Block::ReasoningContent(Reasoning::ReasoningText(thought)) => {
            let proof = thought.signature.map(Cow::into_owned);
            Part::Thought { text: thought.text.into_owned(), proof }
        }
        Block::ReasoningContent(Reasoning::RedactedContent(sealed)) => {
            Part::SealedThought(sealed.into_owned())
        }
        Block::CachePoint(point) => Part::CachePoint(cache(&point)),
    })
}

fn result(result: ToolResult<'_>, place: impl Fn() -> String) -> Result<Part, ReadError> {
    let mut parts = Vec::with_capacity(result.content.len());
    for (n, block) in result.content.into_iter().enumerate() {
        let place = || format!("{}.content[{n}]", place());
        parts.push(match block {
            ResultBlock::Text(text) => Part::Text(text.into_owned()),
            ResultBlock::Json(value) => Part::Text(value.get().to_owned()),
            ResultBlock::Image(image) => self::image(&image, place)?,
            ResultBlock::Document(document) => self::document(document, place)?,
        });
    }
    let id = from_bedrock(result.tool_use_id.into_owned());
    Ok(Part::Result { id, parts, is_error: result.status == Some(Status::Error) })
}

fn image(image: &Image<'_>, place: impl Fn() -> String) -> Result<Part, ReadError> {
    let Source::Bytes(base64) = &image.source else {
        return Err(ReadError::invalid(place(), "an image comes as bytes"));
    };
    let kind = media::kind(Sort::Image, &image.format);
    let kind = kind.ok_or_else(|| ReadError::invalid(place(), "png, jpeg, gif or webp"))?;
    let media = Media::Inline { kind: kind.to_owned(), base64: Arc::clone(base64) };
    Ok(Part::Image { media, detail: None })
}

fn document(document: Document<'_>, place: impl Fn() -> String) -> Result<Part, ReadError> {
    let kind = document.format.map(|format| media::kind(Sort::Document, &format));
    let kind = kind.unwrap_or(Some("text/plain"));
    let media = inline(kind, document.source, place)?;
    Ok(Part::Document { media, name: Some(document.name.into_owned()) })
}

fn inline(kind: Option<&str>, source: Source, place: impl Fn() -> String) -> Result<Media, ReadError> {
    let kind = kind.ok_or_else(|| ReadError::unsupported(place(), "a format that no other provider has"))?;
    let base64 = match source {
        Source::Bytes(base64) => base64,
        Source::Text(text) => STANDARD.encode(text).into(),
    };
    Ok(Media::Inline { kind: kind.to_owned(), base64 })
}

fn tools(config: ToolConfig<'_>) -> (Vec<Tool>, ToolChoice) {
    let mut tools: Vec<Tool> = Vec::with_capacity(config.tools.len());
    for tool in config.tools {
        match tool {
            super::body::Tool::ToolSpec(spec) => tools.push(Tool {
                name: spec.name.into_owned(),
                description: spec.description.map(Cow::into_owned),
                schema: Some(Json::checked(spec.input_schema.json.get())),
                strict: spec.strict,
                cache: None,
            }),
            super::body::Tool::CachePoint(point) => {
                if let Some(last) = tools.last_mut() {
                    last.cache = Some(cache(&point));
                }
            }
        }
    }
    let which = match config.tool_choice {
        None => Which::Unsaid,
        Some(Choice::Auto(_)) => Which::Auto,
        Some(Choice::Any(_)) => Which::Any,
        Some(Choice::Tool(tool)) => Which::This(tool.name.into_owned()),
    };
    (tools, ToolChoice { which, parallel: None })
}

fn sampling(inference: Inference<'_>) -> Sampling {
    Sampling {
        max_tokens: inference.max_tokens,
        temperature: inference.temperature,
        top_p: inference.top_p,
        top_k: inference.top_k,
        stop: inference.stop_sequences.into_iter().map(Cow::into_owned).collect(),
        ..Sampling::default()
    }
}

fn format(output: &OutputConfig<'_>) -> Result<Format, ReadError> {
    let Some(format) = &output.text_format else { return Ok(Format::Text) };
    let Structure::JsonSchema(schema) = &format.structure;
    let field = "outputConfig.textFormat.structure.jsonSchema.schema";
    let limits = crate::request::LIMITS;
    json::check(schema.schema.as_bytes(), limits)
        .map_err(|error| ReadError::invalid(field, error.to_string()))?;
    Ok(Format::Schema {
        // Other dialects demand one.
        name: schema.name.as_deref().unwrap_or("answer").to_owned(),
        description: schema.description.as_deref().map(str::to_owned),
        schema: Json::checked(&*schema.schema),
        strict: None,
    })
}

fn nova_thinking(config: ReasoningConfig<'_>) -> Thinking {
    match config.max_reasoning_effort {
        _ if config.kind == "disabled" => Thinking::Off,
        Some(effort) => Thinking::Effort(effort.into_owned()),
        None => Thinking::Adaptive,
    }
}

/// What stands in the additional fields, in which each maker's models have their own.
fn add(additional: Additional<'_>, conversation: &mut Conversation) {
    let of_nova = additional.inference.and_then(|inference| inference.top_k);
    conversation.sampling.top_k = additional.top_k.or(of_nova).or(conversation.sampling.top_k);
    match additional.thinking {
        Some(ClaudeThinking::Enabled { budget_tokens }) => {
            conversation.thinking = Thinking::Tokens(budget_tokens)
        }
        Some(ClaudeThinking::Disabled) => conversation.thinking = Thinking::Off,
        // A word for how much says more than this.
        Some(ClaudeThinking::Adaptive) if conversation.thinking == Thinking::Unsaid => {
            conversation.thinking = Thinking::Adaptive;
        }
        Some(ClaudeThinking::Adaptive) | None => {}
    }
    if let Some(reasoning) = additional.reasoning {
        conversation.thinking = nova_thinking(reasoning);
    }
    if let Some(effort) = additional.reasoning_effort {
        conversation.thinking = Thinking::Effort(effort.into_owned());
    }
    if let Some(choice) = additional.tool_choice {
        conversation.choice.parallel = Some(!choice.disable_parallel_tool_use);
    }
}
