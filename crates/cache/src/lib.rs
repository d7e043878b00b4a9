//! Answers that are given again: bounded, each for its time, one call where many ask the same at once.
//!
//! It knows nothing of models, agents and dialects: callers make a [`key`] of everything that an answer depends on.
//!
//! Reading order: [`answers`] (looking and keeping), `flight` (many who ask the same), [`alike`] (questions that are like
//! another), [`form`] (what tells two questions apart that look alike), [`private`] (texts that are never kept),
//! [`config`].

pub mod alike;
pub mod answers;
pub mod config;
mod flight;
pub mod form;
pub mod key;
pub mod private;

pub use answers::{Answers, Given, Keeping, Lead, Looked, Reading, Shelf};
pub use config::Config;
pub use key::{Key, KeyMaker};
