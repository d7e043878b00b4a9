//! Turning texts into vectors, in the words of no dialect: what embeddings are translated through.

use crate::token::Usage;

/// Texts whose vectors are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// One at least, none empty.
    pub texts: Vec<String>,
    /// How long the vectors shall be; `None` leaves it to the model.
    pub dimensions: Option<u32>,
}

/// The vectors of a [`Request`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    /// One for each text, in their order, all of the same length.
    pub vectors: Vec<Vec<f32>>,
    /// What it used; `None` when the provider did not say.
    pub usage: Option<Usage>,
}

impl Vectors {
    /// Adds those of the texts that follow. What they used is known only as long as each part said it.
    pub fn append(&mut self, mut more: Self) {
        self.usage = match (self.usage, more.usage) {
            (Some(usage), Some(used)) => Some(usage.plus(used)),
            _ => None,
        };
        self.vectors.append(&mut more.vectors);
    }
}
