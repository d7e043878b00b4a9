//! How much a key, a tenant and the whole server may use: requests, tokens, calls at once, and money.
//!
//! Reading order: `settings`, [`meters`] (the gate), `meter` (one level), `bucket` and `budget` (the
//! arithmetic), [`allowance`] (what a request holds), [`alert`], `own` (limits that a
//! key has of its own), [`books`] (what was spent before).

pub mod alert;
pub mod allowance;
pub mod meters;

pub mod books;
mod bucket;
mod budget;
mod meter;
mod own;
mod refusals;
mod settings;
#[cfg(test)]
mod tests;

pub use allowance::Allowance;
pub use bucket::BucketReading;
pub use budget::BudgetReading;
pub use meter::{LevelReading, Limit, Now};
pub use meters::{Meters, Refusal, Standing, Why};
pub use own::Own;
pub use settings::{
    AssumedConfig, BudgetText, Config, InvalidLimit, KeyLimitsConfig, LimitsConfig, Pace, Unpriced,
};
