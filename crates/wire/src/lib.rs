//! Provider and client formats: bytes to domain and back, as pure functions without I/O or clock.
//!
//! Reading order: [`face`] and [`faces`] (what callers speak), [`protocol`] (what providers speak), [`stream`] (streams
//! of either), [`translation`] (what cannot be carried), [`between`] (a provider's events as a caller's frames),
//! [`single`] (one call at a time), [`texts`] (conversations of plain text), [`embedding`] (texts to vectors); then the formats: [`openai`],
//! [`azure`], [`anthropic`], [`bedrock`], [`gemini`]; and what they are made with: [`json`] (a scan of untrusted JSON before it is
//! parsed), [`object`] (its fields one by one), [`request`] (a caller's own, as far as passing it on
//! needs it), [`patch`], [`sse`] and `reader` (event streams, and answers in them), [`frames`] and `relay` (event streams that
//! are passed on), [`blocks`], `proof` (whose a thought is), [`retry_after`] (how long to wait), [`words`] (what a provider said), `written` (what is written
//! here as JSON).
#![deny(missing_docs)]

pub mod anthropic;
pub mod azure;
pub mod bedrock;
pub mod between;
pub mod blocks;
#[cfg(test)]
mod captured;
pub mod counting;
pub mod embedding;
pub mod face;
pub mod faces;
pub mod frames;
pub mod gemini;
pub mod json;
mod lenient;
mod media;
mod missing;
pub mod object;
pub mod openai;
pub mod patch;
mod proof;
pub mod protocol;
mod reader;
mod relay;
pub mod request;
pub mod retry_after;
#[cfg(test)]
mod sampled;
pub mod single;
pub mod sse;
pub mod stream;
#[cfg(test)]
mod survival;
pub mod texts;
#[cfg(test)]
mod told;
pub mod translation;
pub mod words;
mod written;
