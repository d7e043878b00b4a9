//! What may not go in and what may not come out: policies, their verdicts, and the secrets they look for.
//!
//! Reading order: [`policy`] (the file), [`guard`] (checking a text or a stream of sentences), [`secret`]
//! (the detectors), `view.rs` (texts hidden in texts).
#![deny(missing_docs)]

pub mod guard;
pub mod policy;
pub mod secret;
mod view;

pub use guard::{Checked, Guard, GuardStream};
pub use policy::{Policy, PolicyError};
