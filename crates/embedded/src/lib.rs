//! Models that Mainstay runs itself: sentence embeddings in this process, chat in supervised worker processes.
//!
//! Reading order: [`catalogue`] (which models there are), [`fetch`] (their files), [`choose`] (which one fits this
//! machine), [`embedder`],
//! [`supervisor`] (a chat model in a worker process) and [`frames`] (what the two say to each other).
#![deny(missing_docs)]

pub mod catalogue;
pub mod choose;
pub mod embedder;
pub mod fetch;
pub mod frames;
pub mod supervisor;
