//! Provider and client formats: bytes to domain and back, as pure functions without I/O or clock.
//!
//! Reading order: [`sse`] (event streams), [`openai`] (chat completions, as a client of them),
//! [`retry_after`] (how long to wait), [`json`] (a scan of untrusted JSON before it is parsed).
#![deny(missing_docs)]

pub mod json;
pub mod openai;
pub mod retry_after;
pub mod sse;
