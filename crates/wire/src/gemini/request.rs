//! A conversation as the body of a request.

use bytes::Bytes;
use domain::conversation::{Conversation, Format, Part, Sampling, Thinking, Tool, Which};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Generation;
use super::schema::{self, Keeping};
use super::turns::{self, Content, PartBody};
use crate::translation::{self, Untranslatable};
use crate::written;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    include_thoughts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

/// The most stop texts that Gemini takes.
const STOPS_MAX: usize = 5;

pub(super) fn body(conversation: &Conversation, generation: Generation) -> Result<Bytes, Untranslatable> {
    let Conversation { instructions, turns, tools, choice: _, format, sampling, thinking, user: _ } =
        conversation;
    if !tools.is_empty() && *format != Format::Text && generation == Generation::Second {
        let reason = "this model answers either in JSON or with calls; Gemini 3 and later do both";
        return Err(Untranslatable::new("tools", reason));
    }
    let body = Body {
        contents: translation::spoken(turns::contents(turns, generation)?)?,
        system_instruction: instruction(instructions)?,
        tools: declarations(tools)?,
        tool_config: tool_config(tools, translation::choice(conversation)?),
        generation_config: GenerationConfig {
            thinking_config: thinking_config(thinking, generation)?,
            ..generation_config(sampling, format)?
        },
    };
    Ok(written::body(&body))
}

fn instruction(parts: &[Part]) -> Result<Option<Content<'_>>, Untranslatable> {
    let mut texts = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => texts.push(PartBody::text(text)),
            Part::CachePoint(_) => {}
            _ => return Err(Untranslatable::new("system", "instructions are texts here")),
        }
    }
    Ok((!texts.is_empty()).then_some(Content { role: None, parts: texts }))
}

fn declarations(tools: &[Tool]) -> Result<Option<[Tools<'_>; 1]>, Untranslatable> {
    if tools.is_empty() {
        return Ok(None);
    }
    let declare = |tool: &'_ Tool| {
        let keeping = if tool.strict == Some(true) { Keeping::Exactly } else { Keeping::AsFarAsItGoes };
        let schema = tool.schema.as_ref().map(|schema| schema::accepted(schema.as_str(), keeping));
        let schema = schema
            .transpose()
            .map_err(|refused| Untranslatable::new(format!("tools: {}", tool.name), refused.to_string()))?;
        Ok(schema)
    };
    let declarations = tools.iter().map(|tool| {
        let parameters_json_schema = declare(tool)?;
        Ok(Declaration { name: &tool.name, description: tool.description.as_deref(), parameters_json_schema })
    });
    Ok(Some([Tools { function_declarations: declarations.collect::<Result<_, _>>()? }]))
}

/// Google has no word for one call at a time: [`crate::single`] keeps to that.
fn tool_config<'a>(tools: &[Tool], which: &'a Which) -> Option<ToolConfig<'a>> {
    if tools.is_empty() {
        return None;
    }
    let is_strict = tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name) = match which {
        // Calls keep to their schemas in this mode; in `ANY` they always do.
        Which::Unsaid | Which::Auto if is_strict => ("VALIDATED", None),
        Which::Unsaid => return None,
        Which::Auto => ("AUTO", None),
        Which::Never => ("NONE", None),
        Which::Any => ("ANY", None),
        Which::This(name) => ("ANY", Some([name.as_str()])),
    };
    let function_calling_config = CallingConfig { mode, allowed_function_names: name };
    Some(ToolConfig { function_calling_config })
}

fn generation_config<'a>(
    sampling: &'a Sampling,
    format: &Format,
) -> Result<GenerationConfig<'a>, Untranslatable> {
    let seed = sampling.seed.map(i32::try_from).transpose();
    let seed = seed.map_err(|_| Untranslatable::new("seed", "a number of 32 bits here"))?;
    if sampling.stop.len() > STOPS_MAX {
        return Err(Untranslatable::new("stop", format!("at most {STOPS_MAX} texts here")));
    }
    let (is_json, schema) = match format {
        Format::Text => (false, None),
        Format::Object => (true, None),
        Format::Schema { schema, strict, .. } => {
            let keeping = if *strict == Some(true) { Keeping::Exactly } else { Keeping::AsFarAsItGoes };
            let schema = schema::accepted(schema.as_str(), keeping);
            (
                true,
                Some(schema.map_err(|refused| Untranslatable::new("response_format", refused.to_string()))?),
            )
        }
    };
    Ok(GenerationConfig {
        max_output_tokens: sampling.max_tokens,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        seed,
        stop_sequences: &sampling.stop,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        response_mime_type: is_json.then_some("application/json"),
        response_json_schema: schema,
        thinking_config: None,
    })
}

/// The budgets that Google itself puts for the words of other dialects (ai.google.dev/gemini-api/docs/openai).
const EFFORTS: [(&str, i64); 4] = [("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576)];

fn thinking_config(
    thinking: &Thinking,
    generation: Generation,
) -> Result<Option<ThinkingConfig>, Untranslatable> {
    let shown = ThinkingConfig { include_thoughts: Some(true), ..ThinkingConfig::default() };
    let budget = |tokens| ThinkingConfig { thinking_budget: Some(tokens), ..ThinkingConfig::default() };
    Ok(Some(match (thinking, generation) {
        (Thinking::Unsaid, _) => return Ok(None),
        (Thinking::Off, Generation::Second) => budget(0),
        (Thinking::Off, Generation::Third) => {
            return Err(Untranslatable::new("thinking", "this model always thinks; `minimal` is the least"));
        }
        // −1: as much as the model finds right, which later models do by themselves.
        (Thinking::Adaptive, Generation::Second) => ThinkingConfig { thinking_budget: Some(-1), ..shown },
        (Thinking::Adaptive, Generation::Third) => shown,
        (Thinking::Tokens(tokens), _) => {
            ThinkingConfig { thinking_budget: Some(i64::from(*tokens)), ..shown }
        }
        (Thinking::Effort(word), _) => {
            let known = EFFORTS.into_iter().find(|(known, _)| known == word);
            let (level, tokens) = known.ok_or_else(|| {
                Untranslatable::new(
                    "reasoning effort",
                    format!("`{word:.20}`; minimal, low, medium or high here"),
                )
            })?;
            match generation {
                Generation::Second => ThinkingConfig { thinking_budget: Some(tokens), ..shown },
                Generation::Third => ThinkingConfig { thinking_level: Some(level), ..shown },
            }
        }
    }))
}
