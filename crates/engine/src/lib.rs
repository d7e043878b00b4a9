//! The inside of a model worker: llama.cpp behind the frames of `embedded`. The only crate that links C++.
//!
//! Reading order: [`worker`] (the process: frames in, frames out), [`generation`] (one answer, piece by piece),
//! [`prefix`] (which cached prompt to build on), [`template`] (messages to text), [`text`] (tokens to text),
//! [`model`] (loading), [`threads`] (how many compute).
#![deny(missing_docs)]

pub mod generation;
pub mod model;
mod prefix;
mod template;
mod text;
mod threads;
mod worker;

pub use worker::run_worker;

#[cfg(test)]
mod tests;
