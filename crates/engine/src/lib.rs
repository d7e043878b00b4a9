//! The inside of a model worker: llama.cpp behind the frames of `embedded`. The only crate that links C++.
//!
//! Reading order: [`worker`] (the process: frames in, frames out), [`generation`] (several answers, step by step),
//! [`answer`] (one of them), [`context`] (what was read), [`prefix`] (which cached prompt to build on), [`threads`]
//! (how many compute), [`template`] (messages to text), [`text`] (tokens to text), [`schema`] (answers as JSON),
//! [`model`] (loading).
#![deny(missing_docs)]

mod answer;
mod context;
pub mod generation;
pub mod model;
mod prefix;
mod schema;
mod template;
mod text;
mod threads;
mod worker;

pub use worker::run_worker;

#[cfg(test)]
mod tests;
