//! The path of one request: from what a person asked to the one reply that is recorded.
//!
//! Reading order: [`turn`] (what comes in and goes out), [`allowed`] (limits and budgets), [`run`] (THE MAIN PATH), [`steps`] (one file a step),
//! [`listener`] (what a waiting client is told), [`relay`] (the short path of bare models), [`cached`] (answers that are given again), `later` (records that follow
//! their replies), `losses` (how records that are lost are told), `overdue` (streams whose readers are slow), [`trace`]
//! (how steps are timed), `seam` (where an answer that broke off goes on), [`parts`] (what it all stands on).

pub mod allowed;
pub mod cached;
pub mod feedback;
mod later;
pub mod listener;
mod losses;
mod overdue;
pub mod parts;
pub mod relay;
pub mod run;
mod seam;
mod session_lock;
mod steps;
pub mod trace;
pub mod turn;
mod wording;
