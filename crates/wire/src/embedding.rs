//! A format in which providers take texts and give vectors, for callers of another dialect.

use bytes::Bytes;
use domain::embedding::{Request, Vectors};

use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// A provider's format of embeddings; what its errors mean is [`crate::protocol::Protocol`]'s.
pub trait EmbeddingProtocol: Send + Sync {
    /// Most texts of one call of `model` (1 at least); longer lists are cut into several.
    fn texts_max(&self, model: &str) -> usize;

    /// Where a call of `model` goes.
    fn place(&self, model: &str) -> Place;

    /// The body of a request, of no more texts than [`EmbeddingProtocol::texts_max`].
    ///
    /// # Errors
    /// [`Untranslatable`] for what the format cannot carry.
    fn request(&self, request: &Request, model: &str) -> Result<Bytes, Untranslatable>;

    /// Reads an answer to a request of `n_texts`.
    ///
    /// # Errors
    /// [`StreamError`] when it is none, or not one vector for each text.
    fn answer(&self, body: &[u8], n_texts: usize) -> Result<Vectors, StreamError>;
}
