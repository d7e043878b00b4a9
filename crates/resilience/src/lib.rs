//! Deadlines, backoff, retry budgets, breakers and load shedding: what keeps a caller from making an outage worse.
//!
//! Knows nothing of models. The state machines are pure: time and chance are arguments. Reading order:
//! [`deadline`], [`policy`] (which failure is tried again, and where), [`backoff`], [`budget`], [`breaker`]
//! (one state machine), [`bulkhead`] (how many calls at once), [`breakers`] (all of them, shared, with permits as guards;
//! `ewma` says how busy a target is),
//! [`hedge`] (a second call beside a slow one, after what `latency` knows), [`shedding`] (how many requests are taken on) and [`memory`] (its budget), [`chance`] and [`duration_text`]
//! (durations in configuration files).
#![deny(missing_docs)]

pub mod backoff;
pub mod breaker;
pub mod breakers;
pub mod budget;
pub mod bulkhead;
pub mod chance;
pub mod deadline;
pub mod duration_text;
mod ewma;
pub mod hedge;
mod latency;
pub mod memory;
pub mod policy;
pub mod shedding;

/// A setting has a value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` {problem}")]
pub struct InvalidSetting {
    /// The setting, as written in the file.
    pub setting: &'static str,
    /// What is wrong with it, as the end of a sentence.
    pub problem: &'static str,
}
