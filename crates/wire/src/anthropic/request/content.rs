//! The messages of a request.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::conversation::{CacheTime, Media, Part, Speaker, Turn};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{at, model};
use crate::media;
use crate::proof::is_foreign;
use crate::translation::Untranslatable;

/// The pictures that Claude models read (platform.claude.com/docs/en/build-with-claude/vision, read 2026-11).
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Stands for arguments that are no JSON object, as Anthropic's guide to fine-grained tool streaming has it.
const INVALID: &str = "INVALID_JSON";

#[derive(Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Vec<Cached<'a>>,
}

/// A block, and how long what ends with it may be cached.
#[derive(Serialize)]
pub(super) struct Cached<'a> {
    #[serde(flatten)]
    block: Block<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
pub(super) struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CacheControl {
    pub(super) fn of(time: CacheTime) -> Self {
        let ttl = match time {
            CacheTime::Usual => None,
            CacheTime::FiveMinutes => Some("5m"),
            CacheTime::Hour => Some("1h"),
        };
        Self { kind: "ephemeral", ttl }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Cached<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Text { media_type: &'static str, data: String },
    Url { url: &'a str },
    File { file_id: &'a str },
}

/// The system prompt.
pub(super) fn instructions(parts: &[Part]) -> Result<Vec<Cached<'_>>, Untranslatable> {
    let mut blocks = Vec::with_capacity(parts.len());
    add(parts, &mut blocks, &|part| match part {
        Part::Text(_) => "system".to_owned(),
        other => format!("system: {}", at(0, other)),
    })?;
    Ok(blocks)
}

/// The messages: turns of one side that follow each other are one, so that all results of parallel calls come at once.
pub(super) fn messages(turns: &[Turn], version: model::Version) -> Result<Vec<Message<'_>>, Untranslatable> {
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let role = match turn.by {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::System if version >= model::SYSTEM_TURNS => "system",
            Speaker::System => {
                return Err(Untranslatable::new(
                    format!("messages[{index}]: a message of the system"),
                    model::NO_SYSTEM_TURNS,
                ));
            }
        };
        let place = |part: &Part| at(index, part);
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => add(&turn.parts, &mut last.content, &place)?,
            None => {
                let mut content = Vec::with_capacity(turn.parts.len());
                add(&turn.parts, &mut content, &place)?;
                if content.is_empty() && turn.by == Speaker::User {
                    content.extend(turn.parts.iter().filter_map(blank));
                }
                // The format takes no empty messages.
                if !content.is_empty() {
                    messages.push(Message { role, content });
                }
            }
        }
    }
    Ok(messages)
}

/// What a person said who said nothing else: without it the turns would no longer be those of the conversation.
fn blank(part: &Part) -> Option<Cached<'_>> {
    match part {
        Part::Text(text) if !text.is_empty() => {
            Some(Cached { block: Block::Text { text }, cache_control: None })
        }
        _ => None,
    }
}

/// Adds `parts` as blocks.
fn add<'a>(
    parts: &'a [Part],
    blocks: &mut Vec<Cached<'a>>,
    place: &dyn Fn(&Part) -> String,
) -> Result<(), Untranslatable> {
    for part in parts {
        let block = match part {
            // The format takes no texts that are empty, or white space only.
            Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => continue,
            Part::Text(text) | Part::Refusal(text) => Block::Text { text },
            Part::Image { media, .. } => Block::Image { source: picture(media, part, place)? },
            Part::Document { media, name } => {
                Block::Document { source: document(media, part, place)?, title: name.as_deref() }
            }
            Part::Audio(_) => return Err(Untranslatable::new(place(part), "it hears nothing")),
            Part::Call { id, name, arguments } => {
                Block::ToolUse { id: call_id(id), name, input: input(arguments) }
            }
            Part::Result { id, parts, is_error } => {
                let mut content = Vec::with_capacity(parts.len());
                add(parts, &mut content, place)?;
                Block::ToolResult { tool_use_id: call_id(id), content, is_error: *is_error }
            }
            Part::Thought { text, proof: Some(proof) } if !is_foreign(proof) => {
                Block::Thinking { thinking: text, signature: proof }
            }
            // What another model thought is no part of what was said, and would be refused without a proof of its own.
            Part::Thought { .. } => continue,
            Part::SealedThought(data) if is_foreign(data) => continue,
            Part::SealedThought(data) => Block::RedactedThinking { data },
            Part::CachePoint(time) => {
                // Thoughts cannot be marked.
                let is_markable = |cached: &&mut Cached<'_>| {
                    !matches!(cached.block, Block::Thinking { .. } | Block::RedactedThinking { .. })
                };
                if let Some(last) = blocks.last_mut().filter(is_markable) {
                    last.cache_control = Some(CacheControl::of(*time));
                }
                continue;
            }
        };
        blocks.push(Cached { block, cache_control: None });
    }
    Ok(())
}

fn picture<'a>(
    media: &'a Media,
    part: &Part,
    place: &dyn Fn(&Part) -> String,
) -> Result<Source<'a>, Untranslatable> {
    match media {
        Media::Inline { kind, base64 } => match media::kind(kind) {
            media_type if PICTURES.contains(&media_type) => Ok(Source::Base64 { media_type, data: base64 }),
            _ => Err(Untranslatable::new(place(part), "it reads JPEG, PNG, GIF and WebP")),
        },
        Media::Url(url) => Ok(Source::Url { url }),
        Media::Stored(file_id) => Ok(Source::File { file_id }),
    }
}

fn document<'a>(
    media: &'a Media,
    part: &Part,
    place: &dyn Fn(&Part) -> String,
) -> Result<Source<'a>, Untranslatable> {
    let refused = || Untranslatable::new(place(part), "it reads PDF and plain text");
    match media {
        Media::Inline { kind, base64 } if kind == "application/pdf" => {
            Ok(Source::Base64 { media_type: kind, data: base64 })
        }
        Media::Inline { kind, base64 } if kind == "text/plain" => {
            let bytes = BASE64_STANDARD.decode(base64.as_bytes()).map_err(|_| refused())?;
            let data = String::from_utf8(bytes).map_err(|_| refused())?;
            Ok(Source::Text { media_type: "text/plain", data })
        }
        Media::Inline { .. } => Err(refused()),
        Media::Url(url) => Ok(Source::Url { url }),
        Media::Stored(file_id) => Ok(Source::File { file_id }),
    }
}

/// The arguments of a call as the object that the format demands.
pub(in crate::anthropic) fn input(arguments: &str) -> Cow<'_, RawValue> {
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments.trim() };
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(raw) if arguments.starts_with('{') => Cow::Borrowed(raw),
        _ => {
            let wrapped = to_raw_value(&std::collections::BTreeMap::from([(INVALID, arguments)]));
            Cow::Owned(wrapped.expect("texts always serialise"))
        }
    }
}

/// The id of a call in the letters that the format takes, the same for a call and its result.
fn call_id(id: &str) -> Cow<'_, str> {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !id.is_empty() && id.bytes().all(is_taken) {
        return Cow::Borrowed(id);
    }
    let mut taken = String::from("_");
    for byte in id.bytes() {
        match is_taken(byte) {
            true => taken.push(char::from(byte)),
            false => taken.push_str(&format!("_{byte:02x}")),
        }
    }
    Cow::Owned(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_an_object() {
        for (arguments, want) in [
            ("", "{}"),
            (" ", "{}"),
            (r#"{"b":1.50,"a":2}"#, r#"{"b":1.50,"a":2}"#),
            ("[1]", r#"{"INVALID_JSON":"[1]"}"#),
            (r#"{"a":"#, r#"{"INVALID_JSON":"{\"a\":"}"#),
        ] {
            assert_eq!(input(arguments).get(), want, "{arguments}");
        }
    }

    #[test]
    fn ids_keep_to_the_letters_of_the_format() {
        for (id, want) in [
            ("call_1-A", "call_1-A"),
            ("functions.add:0", "_functions_2eadd_3a0"),
            ("", "_"),
            ("é", "__c3_a9"),
        ] {
            assert_eq!(call_id(id), want);
        }
    }
}
