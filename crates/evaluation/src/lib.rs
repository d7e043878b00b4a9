//! Suites of questions judged by facts.
//!
//! Reading order: [`suite`] (the file), [`judge`] (right, declined or wrong), [`run`] (asking), [`report`] (figures).

pub mod judge;
pub mod report;
pub mod run;
pub mod suite;
