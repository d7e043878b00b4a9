//! A conversation as a Converse request.

mod blocks;

use std::borrow::Cow;

use bytes::Bytes;
use domain::conversation::{
    CacheTime, Conversation, Format, Json, Part, Sampling, Speaker, Thinking, Tool, Turn, Which,
};
use serde_json::value::RawValue;

use super::body::{
    Additional, Block, CacheKind, CachePoint, Choice, ClaudeChoice, ClaudeThinking, FormatKind, Inference,
    InputSchema, JsonSchema, Message, Named, Nothing, OutputConfig, ReasoningConfig, Request, Role,
    Structure, System, TextFormat, ToolConfig, ToolSpec, Ttl,
};
use crate::anthropic::model::{self, Version, version};
use crate::anthropic::thinking::{self, Mode};
use crate::bedrock::model::{Maker, maker};
use crate::translation::{self, Untranslatable};
use crate::written;

/// The body of a request for `model`.
///
/// # Errors
/// [`Untranslatable`] for what Converse, or this model over Converse, cannot be told.
pub fn request(conversation: &Conversation, model: &str) -> Result<Bytes, Untranslatable> {
    let mut writer = Writer { maker: maker(model), version: version(model), documents: Vec::new() };
    let request = writer.request(conversation)?;
    Ok(written::body(&request))
}

/// What a budget for thinking is a share of where nobody named a limit.
const MAX_TOKENS: u32 = 4_096;

struct Writer<'a> {
    maker: Maker,
    /// Of Claude.
    version: Version,
    /// The names of the documents so far.
    documents: Vec<Cow<'a, str>>,
}

impl<'a> Writer<'a> {
    fn request(&mut self, conversation: &'a Conversation) -> Result<Request<'a>, Untranslatable> {
        let mut request = Request {
            system: self.system(&conversation.instructions)?,
            messages: translation::spoken(self.messages(&conversation.turns)?)?,
            inference_config: self.inference(&conversation.sampling)?,
            ..Request::default()
        };
        let mut additional = Additional::default();
        let mut output = OutputConfig::default();
        request.tool_config = self.tools(conversation, &mut additional)?;
        self.top_k(conversation, &mut additional)?;
        self.thinking(conversation, &mut additional, &mut output)?;
        output.text_format = format(&conversation.format)?;
        let has_output = output.text_format.is_some() || output.effort.is_some();
        request.output_config = has_output.then_some(output);
        let Additional { top_k, thinking, tool_choice, inference, reasoning, reasoning_effort } = &additional;
        let has_additional = top_k.is_some()
            || thinking.is_some()
            || tool_choice.is_some()
            || inference.is_some()
            || reasoning.is_some()
            || reasoning_effort.is_some();
        request.additional_model_request_fields = has_additional.then_some(additional);
        Ok(request)
    }

    /// Whether it takes how to sample; Claude's newer models refuse to be told.
    fn is_sampled(&self) -> bool {
        self.maker != Maker::Claude || self.version < model::UNSAMPLED
    }

    fn system(&self, parts: &'a [Part]) -> Result<Vec<System<'a>>, Untranslatable> {
        let mut system = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => {}
                Part::Text(text) | Part::Refusal(text) => system.push(System::Text(Cow::Borrowed(text))),
                Part::CachePoint(time) => system.extend(self.cache(*time).map(System::CachePoint)),
                _ => return Err(Untranslatable::new("system", "instructions are text for Bedrock")),
            }
        }
        Ok(system)
    }

    /// The turns, those of one side after the other joined: Bedrock wants the sides to alternate.
    fn messages(&mut self, turns: &'a [Turn]) -> Result<Vec<Message<'a>>, Untranslatable> {
        let mut messages: Vec<Message<'a>> = Vec::with_capacity(turns.len());
        for (n, turn) in turns.iter().enumerate() {
            let role = match turn.by {
                Speaker::System if self.maker == Maker::Claude && self.version < model::SYSTEM_TURNS => {
                    let what = format!("messages[{n}]: a message of the system");
                    return Err(Untranslatable::new(what, model::NO_SYSTEM_TURNS));
                }
                Speaker::System => Role::System,
                Speaker::User => Role::User,
                Speaker::Assistant => Role::Assistant,
            };
            let mut content = Vec::with_capacity(turn.parts.len());
            for part in &turn.parts {
                content.extend(self.block(part, &|| format!("messages[{n}]"))?);
            }
            let is_new = messages.last().is_none_or(|last| last.role != role);
            if content.is_empty() && is_new && role == Role::User {
                // Without what a person said who said nothing else, the turns would be others.
                let said = turn.parts.iter().filter_map(|part| match part {
                    Part::Text(text) if !text.is_empty() => Some(Block::Text(Cow::Borrowed(text))),
                    _ => None,
                });
                content.extend(said);
            }
            match messages.last_mut() {
                // Nothing was said, which Bedrock refuses to be told.
                _ if content.is_empty() => {}
                Some(last) if last.role == role => last.content.append(&mut content),
                _ => messages.push(Message { role, content }),
            }
        }
        Ok(messages)
    }

    /// A cache point; models that have no cache refuse one, and a hint is not worth that.
    fn cache(&self, time: CacheTime) -> Option<CachePoint> {
        let ttl = match time {
            CacheTime::Usual => None,
            CacheTime::FiveMinutes => Some(Ttl::FiveMinutes),
            CacheTime::Hour => Some(Ttl::Hour),
        };
        let has_cache = matches!(self.maker, Maker::Claude | Maker::Nova);
        has_cache.then_some(CachePoint { kind: CacheKind::Default, ttl })
    }

    fn tools(
        &self,
        conversation: &'a Conversation,
        additional: &mut Additional<'a>,
    ) -> Result<Option<ToolConfig<'a>>, Untranslatable> {
        let (which, parallel) = (translation::choice(conversation)?, &conversation.choice.parallel);
        let is_called = conversation.turns.iter().flat_map(|turn| &turn.parts);
        let is_called =
            is_called.into_iter().any(|part| matches!(part, Part::Call { .. } | Part::Result { .. }));
        if is_called && (conversation.tools.is_empty() || *which == Which::Never) {
            let reason = "Bedrock wants to be told of tools that the conversation has called, and has no way to forbid them";
            return Err(Untranslatable::new("tools", reason));
        }
        if conversation.tools.is_empty() || *which == Which::Never {
            return Ok(None);
        }
        let mut tools = Vec::with_capacity(conversation.tools.len());
        for tool in &conversation.tools {
            tools.push(super::body::Tool::ToolSpec(spec(tool)));
            let point = tool.cache.and_then(|time| self.cache(time));
            tools.extend(point.map(super::body::Tool::CachePoint));
        }
        let tool_choice = match which {
            Which::Unsaid | Which::Never => None,
            Which::Auto => Some(Choice::Auto(Nothing {})),
            Which::Any => Some(Choice::Any(Nothing {})),
            Which::This(name) => Some(Choice::Tool(Named { name: Cow::Borrowed(name) })),
        };
        // `toolChoice` has no word for it (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html,
        // read 2026-11), and no other maker's fields are known to: `single` keeps to one call at a time.
        if let (Some(parallel), Maker::Claude) = (parallel, self.maker) {
            let kind = tool_choice.is_none().then_some(Cow::Borrowed("auto"));
            additional.tool_choice = Some(ClaudeChoice { kind, disable_parallel_tool_use: !parallel });
        }
        Ok(Some(ToolConfig { tools, tool_choice }))
    }

    fn inference(&self, sampling: &'a Sampling) -> Result<Option<Inference<'a>>, Untranslatable> {
        let none = |what: &'static str| Untranslatable::new(what, "Bedrock has no such parameter");
        if sampling.seed.is_some() {
            return Err(none("seed"));
        }
        // Zero is what all models do without it.
        if sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0) {
            return Err(none("frequency_penalty"));
        }
        if sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0) {
            return Err(none("presence_penalty"));
        }
        if sampling.temperature.is_some_and(|temperature| temperature > 1.0) {
            return Err(Untranslatable::new("temperature", "Bedrock takes 0 to 1"));
        }
        let inference = Inference {
            max_tokens: sampling.max_tokens,
            temperature: sampling.temperature.filter(|_| self.is_sampled()),
            top_p: sampling.top_p.filter(|_| self.is_sampled()),
            top_k: None,
            stop_sequences: sampling.stop.iter().map(|stop| Cow::Borrowed(stop.as_str())).collect(),
        };
        let is_empty = inference.max_tokens.is_none()
            && inference.temperature.is_none()
            && inference.top_p.is_none()
            && inference.stop_sequences.is_empty();
        Ok((!is_empty).then_some(inference))
    }

    fn top_k(
        &self,
        conversation: &Conversation,
        additional: &mut Additional<'a>,
    ) -> Result<(), Untranslatable> {
        let Some(top_k) = conversation.sampling.top_k else { return Ok(()) };
        match self.maker {
            Maker::Claude => additional.top_k = Some(top_k).filter(|_| self.is_sampled()),
            Maker::Nova => {
                additional.inference = Some(Inference { top_k: Some(top_k), ..Inference::default() });
            }
            Maker::Titan | Maker::Gpt | Maker::Other => {
                return Err(Untranslatable::new("top_k", "this model has no such parameter on Bedrock"));
            }
        }
        Ok(())
    }

    fn thinking(
        &self,
        conversation: &'a Conversation,
        additional: &mut Additional<'a>,
        output: &mut OutputConfig<'a>,
    ) -> Result<(), Untranslatable> {
        let reasoning = |kind: &'static str, effort: Option<&'a str>| ReasoningConfig {
            kind: Cow::Borrowed(kind),
            max_reasoning_effort: effort.map(Cow::Borrowed),
        };
        match (self.maker, &conversation.thinking) {
            (_, Thinking::Unsaid) => {}
            (Maker::Claude, thinking) => {
                let max_tokens = conversation.sampling.max_tokens.unwrap_or(MAX_TOKENS);
                let (mode, effort) = thinking::mode(thinking, self.version, max_tokens)?;
                additional.thinking = mode.map(|mode| match mode {
                    Mode::Adaptive => ClaudeThinking::Adaptive,
                    Mode::Disabled => ClaudeThinking::Disabled,
                    Mode::Enabled { budget_tokens } => ClaudeThinking::Enabled { budget_tokens },
                });
                output.effort = effort.map(Cow::Borrowed);
            }
            (Maker::Nova, Thinking::Off) => additional.reasoning = Some(reasoning("disabled", None)),
            (Maker::Nova, Thinking::Effort(effort)) => {
                additional.reasoning = Some(reasoning("enabled", Some(effort)));
            }
            (Maker::Gpt, Thinking::Effort(effort)) => {
                additional.reasoning_effort = Some(Cow::Borrowed(effort));
            }
            (Maker::Other, Thinking::Effort(effort)) => output.effort = Some(Cow::Borrowed(effort)),
            _ => return Err(Untranslatable::new("thinking", "this model cannot be told so on Bedrock")),
        }
        Ok(())
    }
}

fn format(format: &Format) -> Result<Option<TextFormat<'_>>, Untranslatable> {
    match format {
        Format::Text => Ok(None),
        Format::Object => {
            Err(Untranslatable::new("response format", "Bedrock wants the schema of the object"))
        }
        Format::Schema { name, description, schema, .. } => Ok(Some(TextFormat {
            kind: FormatKind::JsonSchema,
            structure: Structure::JsonSchema(JsonSchema {
                schema: Cow::Borrowed(schema.as_str()),
                name: Some(Cow::Borrowed(name)),
                description: description.as_deref().map(Cow::Borrowed),
            }),
        })),
    }
}

/// The schema of a tool that takes no arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;

fn spec(tool: &Tool) -> ToolSpec<'_> {
    let schema = tool.schema.as_ref().map_or(NO_ARGUMENTS, Json::as_str);
    ToolSpec {
        name: Cow::Borrowed(&tool.name),
        // An empty one is refused.
        description: tool.description.as_deref().filter(|text| !text.is_empty()).map(Cow::Borrowed),
        input_schema: InputSchema { json: raw(schema) },
        strict: tool.strict,
    }
}

/// `text` as a value; one that is none after all becomes `null`.
fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap_or(RawValue::NULL)
}
