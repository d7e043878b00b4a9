//! Clients of model providers, as `domain::ports::ChatModel`. They neither retry nor choose; they call once and
//! say exactly what came of it.
//!
//! Reading order: [`config`] (`[providers.NAME]`), [`build()`] (configuration to client), `known` (their names for those who watch), `regional` (a client for each
//! region), [`remote`] (one call of any provider), [`translated`] (models that take texts only, as the one that runs here),
//! [`sentences`] (embeddings made here).
#![deny(missing_docs)]

pub mod aws;
mod build;
pub mod config;
mod known;
mod regional;
pub mod remote;
pub mod sentences;
pub mod translated;

pub use build::{BuildError, Ports, build};
pub use config::{Config, ConfigError, Kind};
pub use remote::{Remote, Waits};
pub use sentences::{Sentences, WithSentences};
pub use translated::Translated;
