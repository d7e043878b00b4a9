//! A caller's request in no dialect's words.

use domain::conversation::{
    Conversation, Format, Media, Part, Sampling, Speaker, Thinking, Tool, ToolChoice, Turn, Which,
};

use super::items::WORDLESS;
use crate::object::{Object, Value};
use crate::translation::ReadError;

/// Fields that change no answer: where and how OpenAI keeps, bills and caches it.
const HINTS: [&str; 10] = [
    "model",
    "stream",
    "stream_options",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "store",
    // What else is to be told of the answer: sealed thoughts always are.
    "include",
    "max_tool_calls",
];

/// Reads a request.
///
/// # Errors
/// [`ReadError`], with the field that makes no sense or that no other dialect can carry.
pub(super) fn read(bytes: &[u8]) -> Result<Conversation, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Unreadable("send a JSON object"))?;
    let mut body = Value::new(String::new(), text).object()?;
    for hint in HINTS {
        let _ = body.take(hint);
    }
    for (field, usual) in [("background", "false"), ("truncation", "\"disabled\""), ("top_logprobs", "0")] {
        body.take_usual(field, &[usual])?;
    }
    let mut conversation = Conversation::default();
    conversation.instructions.extend(body.text("instructions")?.map(Part::Text));
    let input = body.demand("input")?;
    match input.is_text() {
        true => conversation.turns.push(said(Speaker::User, vec![Part::Text(input.text()?)])),
        false => {
            for item in input.list()? {
                take(&item, &mut conversation)?;
            }
        }
    }
    let flag = |value: Option<Value<'_>>| value.map(|value| value.flag()).transpose();
    let tools = body.take("tools").map(|tools| tools.list()).transpose()?.unwrap_or_default();
    conversation.tools = tools.iter().map(tool).collect::<Result<_, _>>()?;
    let which = body.take("tool_choice").map_or(Ok(Which::Unsaid), |choice| which(&choice))?;
    conversation.choice = ToolChoice { which, parallel: flag(body.take("parallel_tool_calls"))? };
    conversation.format = body.take("text").map_or(Ok(Format::Text), |text| format(&text))?;
    conversation.thinking = body.take("reasoning").map_or(Ok(Thinking::Unsaid), |value| thinking(&value))?;
    let number = |value: Option<Value<'_>>, most: f64| match value {
        None => Ok(None),
        Some(value) => match value.number()? {
            number if (0.0..=most).contains(&number) => Ok(Some(number)),
            _ if most > 1.0 => Err(value.invalid("0 to 2")),
            _ => Err(value.invalid("0 to 1")),
        },
    };
    let limit = body.take("max_output_tokens");
    let max_tokens = limit.as_ref().map(Value::count).transpose()?;
    if let (Some(limit), Some(0)) = (limit, max_tokens) {
        return Err(limit.invalid("at least 1"));
    }
    conversation.sampling = Sampling {
        max_tokens,
        temperature: number(body.take("temperature"), 2.0)?,
        top_p: number(body.take("top_p"), 1.0)?,
        ..Sampling::default()
    };
    let user = body.text("user")?;
    conversation.user = body.text("safety_identifier")?.or(user);
    body.finish()?;
    Ok(conversation)
}

fn said(by: Speaker, parts: Vec<Part>) -> Turn {
    Turn { by, parts }
}

/// Adds an item of the input to the conversation.
fn take(item: &Value<'_>, conversation: &mut Conversation) -> Result<(), ReadError> {
    let mut fields = item.object()?;
    for ignored in ["id", "status"] {
        let _ = fields.take(ignored);
    }
    let kind = fields.text("type")?.unwrap_or_else(|| "message".to_owned());
    match kind.as_str() {
        "message" => message(item, &mut fields, conversation)?,
        "function_call" => {
            let arguments = fields.text("arguments")?.filter(|arguments| !arguments.is_empty());
            let call = Part::Call {
                id: fields.demand_text("call_id")?,
                name: fields.demand_text("name")?,
                arguments: arguments.unwrap_or_else(|| "{}".to_owned()),
            };
            join(Speaker::Assistant, vec![call], conversation);
        }
        "function_call_output" => {
            let id = fields.demand_text("call_id")?;
            let output = fields.demand("output")?;
            let parts = content(&output)?;
            let result = vec![Part::Result { id, parts, is_error: false }];
            // Results of parallel calls belong together.
            match conversation.turns.last() {
                Some(turn) if turn.parts.iter().all(|part| matches!(part, Part::Result { .. })) => {
                    join(Speaker::User, result, conversation);
                }
                _ => conversation.turns.push(said(Speaker::User, result)),
            }
        }
        "reasoning" => {
            let parts = thoughts(&mut fields)?;
            join(Speaker::Assistant, parts, conversation);
        }
        "item_reference" => {
            let reason = "nothing is kept here to refer to: send the item itself (with SDKs that refer by themselves, `store: false`)";
            return Err(ReadError::unsupported(format!("{}.type", item.place), reason));
        }
        _ => {
            let reason =
                "only messages, function calls, their outputs and reasoning can be carried to another model";
            return Err(ReadError::unsupported(format!("{}.type", item.place), reason));
        }
    }
    fields.finish()
}

fn message(
    item: &Value<'_>,
    fields: &mut Object<'_>,
    conversation: &mut Conversation,
) -> Result<(), ReadError> {
    // What phase of its work the model was in says nothing to another one.
    let _ = fields.take("phase");
    let parts = content(&fields.demand("content")?)?;
    match fields.demand_text("role")?.as_str() {
        "system" | "developer" if conversation.turns.is_empty() => conversation.instructions.extend(parts),
        "system" | "developer" => conversation.turns.push(said(Speaker::System, parts)),
        "user" => conversation.turns.push(said(Speaker::User, parts)),
        "assistant" => join(Speaker::Assistant, parts, conversation),
        _ => {
            let roles = "must be user, assistant, system or developer";
            return Err(ReadError::invalid(format!("{}.role", item.place), roles));
        }
    }
    Ok(())
}

/// Adds to the turn of `by` if that is the last one: its thoughts, words and calls are one answer.
fn join(by: Speaker, mut parts: Vec<Part>, conversation: &mut Conversation) {
    match conversation.turns.last_mut() {
        Some(turn) if turn.by == by => turn.parts.append(&mut parts),
        _ => conversation.turns.push(said(by, parts)),
    }
}

/// A text, or a list of parts.
fn content(value: &Value<'_>) -> Result<Vec<Part>, ReadError> {
    if value.is_text() {
        let text = value.text()?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] });
    }
    value.list()?.iter().map(part).collect()
}

fn part(value: &Value<'_>) -> Result<Part, ReadError> {
    let mut fields = value.object()?;
    let part = match fields.demand_text("type")?.as_str() {
        "input_text" | "output_text" | "text" => {
            // What was quoted or weighed in an answer says nothing of its words.
            let _ = (fields.take("annotations"), fields.take("logprobs"));
            Part::Text(fields.demand_text("text")?)
        }
        "refusal" => Part::Refusal(fields.demand_text("refusal")?),
        "input_image" => {
            let detail = fields.text("detail")?.filter(|detail| detail != "auto");
            let media = match (fields.text("image_url")?, fields.text("file_id")?) {
                (Some(url), _) => media(url, value)?,
                (None, Some(id)) => Media::Stored(id),
                (None, None) => return Err(value.invalid("an image with `image_url` or `file_id`")),
            };
            Part::Image { media, detail }
        }
        "input_file" => {
            let name = fields.text("filename")?;
            let media = match (fields.text("file_data")?, fields.text("file_url")?, fields.text("file_id")?) {
                (Some(data), ..) if data.starts_with("data:") => media(data, value)?,
                (Some(data), ..) => Media::Inline { kind: "application/pdf".to_owned(), base64: data.into() },
                (None, Some(url), _) => Media::Url(url),
                (None, None, Some(id)) => Media::Stored(id),
                (None, None, None) => {
                    return Err(value.invalid("a file with `file_data`, `file_url` or `file_id`"));
                }
            };
            Part::Document { media, name }
        }
        _ => {
            let reason = "only texts, images and files can be carried to another model";
            return Err(ReadError::unsupported(format!("{}.type", value.place), reason));
        }
    };
    fields.finish()?;
    Ok(part)
}

fn media(url: String, value: &Value<'_>) -> Result<Media, ReadError> {
    let Some(data) = url.strip_prefix("data:") else { return Ok(Media::Url(url)) };
    let (kind, base64) = data.split_once(";base64,").ok_or_else(|| value.invalid("a data URL in base64"))?;
    Ok(Media::Inline { kind: kind.to_owned(), base64: base64.into() })
}

/// An item of reasoning: its words, and the proof that goes back to the provider that made them.
fn thoughts(fields: &mut Object<'_>) -> Result<Vec<Part>, ReadError> {
    let mut text = String::new();
    for list in ["summary", "content"] {
        for part in fields.take(list).map(|list| list.list()).transpose()?.unwrap_or_default() {
            let mut part = part.object()?;
            text.push_str(&part.text("text")?.unwrap_or_default());
        }
    }
    Ok(match (text.is_empty(), fields.text("encrypted_content")?) {
        (true, None) => Vec::new(),
        (true, Some(sealed)) => match sealed.strip_prefix(WORDLESS) {
            Some(proof) => vec![Part::Thought { text, proof: Some(proof.to_owned()) }],
            None => vec![Part::SealedThought(sealed)],
        },
        (false, proof) => vec![Part::Thought { text, proof }],
    })
}

fn tool(value: &Value<'_>) -> Result<Tool, ReadError> {
    let mut fields = value.object()?;
    if fields.demand_text("type")? != "function" {
        let reason = "only functions can be called by models that do not take OpenAI's own requests";
        return Err(ReadError::unsupported(format!("{}.type", value.place), reason));
    }
    let tool = Tool {
        name: fields.demand_text("name")?,
        description: fields.text("description")?,
        schema: fields.take("parameters").map(|schema| schema.json_object()).transpose()?,
        strict: fields.take("strict").map(|strict| strict.flag()).transpose()?,
        cache: None,
    };
    fields.finish()?;
    Ok(tool)
}

fn which(choice: &Value<'_>) -> Result<Which, ReadError> {
    if choice.is_text() {
        return match choice.text()?.as_str() {
            "auto" => Ok(Which::Auto),
            "none" => Ok(Which::Never),
            "required" => Ok(Which::Any),
            _ => Err(choice.invalid("none, auto, required, or a function")),
        };
    }
    let mut fields = choice.object()?;
    match fields.demand_text("type")?.as_str() {
        "function" => Ok(Which::This(fields.demand_text("name")?)),
        _ => Err(choice.unsupported("only functions can be called by other models")),
    }
}

fn format(text: &Value<'_>) -> Result<Format, ReadError> {
    let mut fields = text.object()?;
    let format = fields.take("format");
    fields.take_usual("verbosity", &["\"medium\""])?;
    fields.finish()?;
    let Some(format) = format else { return Ok(Format::Text) };
    let mut fields = format.object()?;
    let form = match fields.demand_text("type")?.as_str() {
        "text" => Format::Text,
        "json_object" => Format::Object,
        "json_schema" => Format::Schema {
            name: fields.text("name")?.unwrap_or_else(|| "answer".to_owned()),
            description: fields.text("description")?,
            schema: fields.demand("schema")?.json_object()?,
            strict: fields.take("strict").map(|strict| strict.flag()).transpose()?,
        },
        _ => return Err(format.invalid("of the type text, json_object or json_schema")),
    };
    fields.finish()?;
    Ok(form)
}

fn thinking(value: &Value<'_>) -> Result<Thinking, ReadError> {
    let mut fields = value.object()?;
    // Whether thoughts are summed up is the provider's way of telling them.
    let _ = (fields.take("summary"), fields.take("generate_summary"));
    let thinking = match fields.text("effort")?.as_deref() {
        None => Thinking::Unsaid,
        Some("none") => Thinking::Off,
        Some(effort) => Thinking::Effort(effort.to_owned()),
    };
    fields.finish()?;
    Ok(thinking)
}
