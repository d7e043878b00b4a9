//! What a message holds: a text, or a list of blocks.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::conversation::{CacheTime, Media, Part};

use crate::object::{Object, Value};
use crate::translation::ReadError;

/// Whose content it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// The system prompt, or a message of the system.
    Instructions,
    /// A message of the user.
    User,
    /// A message of the model.
    Assistant,
    /// What a call gave.
    Result,
}

/// Reads content.
pub(super) fn read(content: &Value<'_>, within: Within) -> Result<Vec<Part>, ReadError> {
    if content.is_text() {
        return Ok(vec![Part::Text(content.text()?)]);
    }
    let blocks = content.list().map_err(|_| content.invalid("a text or a list of blocks"))?;
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut object = block.object()?;
        let kind = object.demand("type")?;
        parts.push(match (kind.text()?.as_str(), within) {
            ("text", _) => text(&mut object)?,
            ("image", Within::User | Within::Result) => image(&mut object)?,
            ("document", Within::User | Within::Result) => document(&mut object)?,
            ("tool_result", Within::User) => result(&mut object)?,
            ("tool_use", Within::Assistant) => call(&mut object)?,
            ("thinking", Within::Assistant) => Part::Thought {
                text: object.demand_text("thinking")?,
                proof: object.text("signature")?.filter(|proof| !proof.is_empty()),
            },
            ("redacted_thinking", Within::Assistant) => Part::SealedThought(object.demand_text("data")?),
            ("image" | "document" | "tool_result" | "tool_use" | "thinking" | "redacted_thinking", _) => {
                return Err(kind.invalid("a block that may stand here"));
            }
            _ => {
                return Err(kind.unsupported("only models of its own dialect understand blocks of this kind"));
            }
        });
        parts.extend(cache_time(&mut object)?.map(Part::CachePoint));
        object.finish()?;
    }
    Ok(parts)
}

/// How long what stands before this may be cached.
pub(super) fn cache_time(object: &mut Object<'_>) -> Result<Option<CacheTime>, ReadError> {
    let Some(control) = object.take("cache_control") else { return Ok(None) };
    let mut control = control.object()?;
    control.take_usual("type", &["\"ephemeral\""])?;
    let time = match control.take("ttl") {
        None => CacheTime::Usual,
        Some(ttl) => match ttl.text()?.as_str() {
            "5m" => CacheTime::FiveMinutes,
            "1h" => CacheTime::Hour,
            _ => return Err(ttl.invalid("`5m` or `1h`")),
        },
    };
    control.finish()?;
    Ok(Some(time))
}

fn text(object: &mut Object<'_>) -> Result<Part, ReadError> {
    object.take_usual("citations", &["[]"])?;
    Ok(Part::Text(object.demand_text("text")?))
}

fn image(object: &mut Object<'_>) -> Result<Part, ReadError> {
    object.take_usual("transformations", &["{}"])?;
    let mut source = object.demand("source")?.object()?;
    let media = media(&mut source)?;
    source.finish()?;
    Ok(Part::Image { media, detail: None })
}

fn document(object: &mut Object<'_>) -> Result<Part, ReadError> {
    if let Some(citations) = object.take("citations") {
        let mut citations = citations.object()?;
        citations.take_usual("enabled", &["false"])?;
        citations.finish()?;
    }
    let mut source = object.demand("source")?.object()?;
    let media = match source.demand("type")?.text()?.as_str() {
        "text" => {
            source.take_usual("media_type", &["\"text/plain\""])?;
            plain(&source.demand_text("data")?)
        }
        "content" => {
            let content = source.demand("content")?;
            if !content.is_text() {
                return Err(
                    content.unsupported("only models of its own dialect read documents of several blocks")
                );
            }
            plain(&content.text()?)
        }
        kind => media_of(kind, &mut source)?,
    };
    source.finish()?;
    Ok(Part::Document { media, name: object.text("title")? })
}

fn plain(text: &str) -> Media {
    Media::Inline { kind: "text/plain".to_owned(), base64: Arc::from(BASE64_STANDARD.encode(text)) }
}

fn media(source: &mut Object<'_>) -> Result<Media, ReadError> {
    let kind = source.demand("type")?.text()?;
    media_of(&kind, source)
}

fn media_of(kind: &str, source: &mut Object<'_>) -> Result<Media, ReadError> {
    Ok(match kind {
        "base64" => Media::Inline {
            kind: source.demand_text("media_type")?,
            base64: Arc::from(source.demand_text("data")?),
        },
        "url" => Media::Url(source.demand_text("url")?),
        "file" => Media::Stored(source.demand_text("file_id")?),
        _ => {
            return Err(ReadError::invalid(
                format!("{}.type", source.place),
                "must be `base64`, `url` or `file`",
            ));
        }
    })
}

fn call(object: &mut Object<'_>) -> Result<Part, ReadError> {
    if let Some(caller) = object.take("caller") {
        let mut caller = caller.object()?;
        caller.take_usual("type", &["\"direct\""])?;
        caller.finish()?;
    }
    Ok(Part::Call {
        id: object.demand_text("id")?,
        name: object.demand_text("name")?,
        arguments: object.demand("input")?.json_object()?.as_str().to_owned(),
    })
}

fn result(object: &mut Object<'_>) -> Result<Part, ReadError> {
    Ok(Part::Result {
        id: object.demand_text("tool_use_id")?,
        parts: match object.take("content") {
            Some(content) => read(&content, Within::Result)?,
            None => Vec::new(),
        },
        is_error: object.take("is_error").map(|value| value.flag()).transpose()?.unwrap_or_default(),
    })
}
