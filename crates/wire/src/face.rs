//! A format that callers speak to Mainstay: their request in no dialect's words, and answers in theirs.

use std::time::Duration;

use bytes::Bytes;
use domain::chat::Relayed;
use domain::conversation::{Answer, Conversation};

use crate::stream::EventWriter;
use crate::translation::ReadError;

/// What all parts of one answer of ours repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// 32 hex digits, unique for each answer; a face puts what its dialect expects before them (`chatcmpl-`, `msg_`).
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The model, as the caller is told.
    pub model: String,
    /// How long a whole answer took, as formats say that have a word for it; writers are told with [`EventWriter::took`].
    pub took: Duration,
}

/// A dialect of callers. What is needed to pass their bytes on to a provider of the same dialect is
/// [`crate::protocol::OwnDialect`]'s.
pub trait Face: Send + Sync {
    /// The request, for a provider of another dialect.
    ///
    /// # Errors
    /// [`ReadError`], also for what no other dialect can carry: fields that are not known, several answers at once, …
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError>;

    /// A whole answer to `relayed`.
    fn answer(&self, about: &About, answer: &Answer, relayed: &Relayed) -> Bytes;

    /// A streamed answer to `relayed`.
    fn writer(&self, about: About, relayed: &Relayed) -> Box<dyn EventWriter>;
}
