//! A format in which providers count the tokens of a request, for callers of another dialect.

use bytes::Bytes;
use domain::conversation::Conversation;

use crate::protocol::Place;
use crate::stream::StreamError;
use crate::translation::Untranslatable;

/// A provider's way to count; what its errors mean is [`crate::protocol::Protocol`]'s.
pub trait CountProtocol: Send + Sync {
    /// Where `model` is asked.
    fn place(&self, model: &str) -> Place;

    /// The body that asks.
    ///
    /// # Errors
    /// [`Untranslatable`] for what the format cannot carry.
    fn request(&self, conversation: &Conversation, model: &str) -> Result<Bytes, Untranslatable>;

    /// Reads how many tokens there are.
    ///
    /// # Errors
    /// [`StreamError`] when it is not said.
    fn answer(&self, body: &[u8]) -> Result<u64, StreamError>;
}
