//! Everything that outlives a restart: turns, conversations, feedback, breaker states and knowledge.
//!
//! Reading order: [`stored`] (what a row holds and how it becomes a domain type and back), then [`sqlite`]
//! (one writer thread with group commit, a few readers). Each engine passes `conformance`.

mod sqlite;
mod stored;

#[cfg(test)]
mod conformance;

pub use sqlite::connection::{OpenError, examine, has_keys};
pub use sqlite::{Config, Stats, Store};
