//! Clients of model providers, as `domain::ports::ChatModel`. They neither retry nor choose; they call once and
//! say exactly what came of it.
//!
//! Reading order: [`config`] (`[providers.NAME]`), [`build()`] (configuration to client), [`openai`].
#![deny(missing_docs)]

mod build;
pub mod config;
pub mod openai;

pub use build::{BuildError, Ports, build};
pub use config::{Config, ConfigError, Kind};
pub use openai::OpenAiCompatible;
pub use openai::translated::Translated;
