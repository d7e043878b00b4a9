//! Knowledge: documents, the chunks stored of them and the passages found in them.

use crate::id::{CollectionName, ContentHash, DocumentId};

/// A document as ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it belongs.
    pub collection: CollectionName,
    /// Its path within the collection, without the extension.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// Address or statute that it rests on.
    pub source: String,
    /// The date its facts hold for (`2026` or `2026-11-21`); empty when it does not say.
    pub as_of: String,
    /// Hash of the whole file: the document's version.
    pub version: ContentHash,
    /// The text that chunk offsets point into.
    pub text: String,
}

/// A stored piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The document.
    pub document: DocumentId,
    /// Position within the document, from 0.
    pub index: u32,
    /// The heading it stands under; empty at the top.
    pub heading: String,
    /// Byte offset of its first byte in the document's text.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
    /// The text, exactly `document.text[start..end]`.
    pub text: String,
    /// Hash of what is embedded (title, heading and text).
    pub hash: ContentHash,
}

/// Retrieved text with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The document.
    pub document: DocumentId,
    /// The document's version.
    pub version: ContentHash,
    /// The document's title.
    pub title: String,
    /// Address or statute.
    pub source: String,
    /// The date its facts hold for; may be empty.
    pub as_of: String,
    /// Byte offset of its first byte in the document's text.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
    /// The text: the best run of whole sentences of its chunk.
    pub text: String,
    /// Fused rank score; comparable within one search only.
    pub score: f32,
    /// Its sentences; empty in a citation, and where the search does not tell them apart.
    pub sentences: Vec<NearSentence>,
}

/// A sentence of a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct NearSentence {
    /// Byte offset of its first byte in the passage's text.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
    /// How near it is in meaning to what was looked for: a cosine, -1 to 1.
    pub nearness: f32,
}

/// A passage that an answer rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// Number in the answer, from 1.
    pub n: u32,
    /// The passage.
    pub passage: Passage,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retrieved {
    /// Best first.
    pub passages: Vec<Passage>,
    /// Calibrated probability, 0 to 1, that the passages hold the answer.
    pub confidence: f32,
    /// The confidence below which there is no answer here, as calibrated for the way this search ran.
    pub abstain_below: f32,
}

impl Retrieved {
    /// Whether the passages are good enough to answer from.
    #[must_use]
    pub fn is_answerable(&self) -> bool {
        !self.passages.is_empty() && self.confidence >= self.abstain_below
    }

    /// Whether the passages hold the answer with a confidence nearer to certainty than to abstaining.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.is_answerable() && self.confidence >= f32::midpoint(self.abstain_below, 1.0)
    }
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Where.
    pub collections: Vec<CollectionName>,
    /// What for.
    pub query: String,
    /// At most this many passages.
    pub limit: usize,
    /// At most this many tokens each, by the sentence embedder's measure (or an estimate without one).
    pub passage_tokens: usize,
}
