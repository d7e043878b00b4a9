//! From a route to an answer: which target is called, what happens when it fails, and what is kept of each call.
//!
//! Reading order: [`ask`] (what goes in and comes out), [`router`] (the parts and their health), `dispatch` (the
//! walk down the ladder), [`strategy`] (who of a tier is called first), `form` (texts and
//! relayed bytes take the same walk), `call` (one call up to its first text), `answer` (the stream
//! from there on), [`attempt`] (the record of each call, also of those that nobody waited for), `estimate` (what a call
//! used that did not say) and [`worst`] (what a request may cost at most).
#![deny(missing_docs)]

pub mod ask;
pub mod attempt;
pub mod router;
pub mod strategy;
pub mod worst;

mod answer;
mod call;
mod dispatch;
mod estimate;
mod form;

pub use ask::{
    Answering, Ask, Conversing, Dispatched, Passing, Reason, Skip, Skipped, Unanswered, Want, Why,
};
pub use attempt::AttemptLog;
pub use router::{Parts, Router, TargetHealth};
pub use strategy::Affinity;

#[cfg(test)]
mod scripted;
