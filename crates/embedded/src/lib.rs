//! Models that Mainstay runs itself: sentence embeddings in this process, chat in supervised worker processes.
//!
//! Reading order: [`embedder`].
#![deny(missing_docs)]

pub mod catalogue;
pub mod embedder;
