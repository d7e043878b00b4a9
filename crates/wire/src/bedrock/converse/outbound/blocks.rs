//! The parts of a turn as blocks of a message.

use std::borrow::Cow;

use domain::conversation::{Media, Part};
use serde_json::value::RawValue;

use super::Writer;
use crate::bedrock::call_id::to_bedrock;
use crate::bedrock::converse::body::{
    Audio, Block, Document, Image, Reasoning, ReasoningText, ResultBlock, Source, Status, ToolResult, ToolUse,
};
use crate::bedrock::converse::media::{self, Sort};
use crate::bedrock::model::Maker;
use crate::proof::is_foreign;
use crate::translation::Untranslatable;

impl<'a> Writer<'a> {
    /// A part of a turn; `None` where it is better left out.
    pub(super) fn block(
        &mut self,
        part: &'a Part,
        place: &dyn Fn() -> String,
    ) -> Result<Option<Block<'a>>, Untranslatable> {
        Ok(Some(match part {
            // White space alone is refused, too.
            Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => return Ok(None),
            Part::Text(text) | Part::Refusal(text) => Block::Text(Cow::Borrowed(text)),
            Part::Image { media, .. } => Block::Image(image(media, place)?),
            Part::Document { media, name } => {
                Block::Document(self.document(media, name.as_deref(), place)?)
            }
            Part::Audio(media) => {
                let (format, source) = inline(Sort::Sound, media, place)?;
                Block::Audio(Audio { format: Cow::Borrowed(format), source })
            }
            Part::Call { id, name, arguments } => {
                let input = object(arguments).ok_or_else(|| {
                    Untranslatable::new(
                        format!("{}: arguments of `{name:.64}`", place()),
                        "not a JSON object",
                    )
                })?;
                let (tool_use_id, name) = (to_bedrock(id), Cow::Borrowed(name.as_str()));
                Block::ToolUse(ToolUse { tool_use_id, name, input })
            }
            Part::Result { id, parts, is_error } => {
                let mut content = Vec::with_capacity(parts.len());
                for part in parts {
                    content.extend(self.result(part, place)?);
                }
                let status = is_error.then_some(Status::Error);
                Block::ToolResult(ToolResult { tool_use_id: to_bedrock(id), content, status })
            }
            Part::Thought { text, proof } => {
                let signature = proof.as_deref().filter(|proof| !is_foreign(proof)).map(Cow::Borrowed);
                // Claude takes its own thoughts back with their proof only, and does without them otherwise.
                if signature.is_none() && (self.maker == Maker::Claude || text.is_empty()) {
                    return Ok(None);
                }
                let text = ReasoningText { text: Cow::Borrowed(text), signature };
                Block::ReasoningContent(Reasoning::ReasoningText(text))
            }
            Part::SealedThought(sealed) if is_foreign(sealed) => return Ok(None),
            Part::SealedThought(sealed) => {
                Block::ReasoningContent(Reasoning::RedactedContent(Cow::Borrowed(sealed)))
            }
            Part::CachePoint(time) => return Ok(self.cache(*time).map(Block::CachePoint)),
        }))
    }

    /// A part of what a call gave.
    fn result(
        &mut self,
        part: &'a Part,
        place: &dyn Fn() -> String,
    ) -> Result<Option<ResultBlock<'a>>, Untranslatable> {
        Ok(Some(match part {
            Part::Text(text) | Part::Refusal(text) if text.trim().is_empty() => return Ok(None),
            Part::Text(text) | Part::Refusal(text) => ResultBlock::Text(Cow::Borrowed(text)),
            Part::Image { media, .. } => ResultBlock::Image(image(media, place)?),
            Part::Document { media, name } => {
                ResultBlock::Document(self.document(media, name.as_deref(), place)?)
            }
            Part::CachePoint(_) => return Ok(None),
            _ => {
                let what = format!("{}: the result of a call", place());
                return Err(Untranslatable::new(what, "texts, images and documents can be in it"));
            }
        }))
    }

    fn document(
        &mut self,
        media: &Media,
        name: Option<&'a str>,
        place: &dyn Fn() -> String,
    ) -> Result<Document<'a>, Untranslatable> {
        let (format, source) = inline(Sort::Document, media, place)?;
        let name = media::document_name(name, &self.documents);
        self.documents.push(name.clone());
        Ok(Document { format: Some(Cow::Borrowed(format)), name, source })
    }
}

fn image(media: &Media, place: &dyn Fn() -> String) -> Result<Image<'static>, Untranslatable> {
    let (format, source) = inline(Sort::Image, media, place)?;
    Ok(Image { format: Cow::Borrowed(format), source })
}

fn inline(
    sort: Sort,
    media: &Media,
    place: &dyn Fn() -> String,
) -> Result<(&'static str, Source), Untranslatable> {
    let what = match sort {
        Sort::Image => "an image",
        Sort::Document => "a document",
        Sort::Sound => "a sound",
    };
    let cannot = |reason: &'static str| Untranslatable::new(format!("{}: {what}", place()), reason);
    match media {
        Media::Inline { kind, base64 } => {
            let format =
                media::format(sort, kind).ok_or_else(|| cannot("Bedrock does not take this format"))?;
            Ok((format, Source::Bytes(base64.clone())))
        }
        Media::Url(_) => Err(cannot("Bedrock fetches no addresses: send the bytes")),
        Media::Stored(_) => Err(cannot("it is stored at another provider: send the bytes")),
    }
}

/// The arguments of a call, as an object.
fn object(arguments: &str) -> Option<&RawValue> {
    let text = arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}
