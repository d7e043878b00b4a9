//! What is said to who may not ask: whose limit it is, why, and when to come back.

use std::time::Duration;

use domain::limit::{Level, Period};
use domain::time::Timestamp;

use super::chain::Standing;
use crate::limits::meter::Limit;

/// A request that may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Refusal {
    /// Whose limit.
    pub level: Level,
    /// Why.
    pub why: Why,
    /// After how long the same request may pass; `None` when waiting does not help.
    pub retry_after: Option<Duration>,
    /// Where who asked stands.
    pub standing: Standing,
}

/// Why a request may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A limit is reached.
    Limit(Limit),
    /// There is a budget, and the model has no price.
    Unpriced,
}

impl Refusal {
    pub(super) fn of(level: Level, limit: Limit, now: Timestamp) -> Self {
        let retry_after = match limit {
            Limit::Requests(wait) => Some(wait),
            Limit::Tokens(wait) => wait,
            // Nobody knows when one of them ends.
            Limit::Parallel => Some(Duration::from_secs(1)),
            Limit::Budget(reading) => (reading.period != Period::Total).then(|| reading.span.end.since(now)),
        };
        Self { level, why: Why::Limit(limit), retry_after, standing: Standing::default() }
    }

    fn sentence(&self) -> String {
        let level = &self.level;
        match self.why {
            Why::Limit(Limit::Requests(_)) => format!("{level} sends requests faster than its limit"),
            Why::Limit(Limit::Tokens(Some(_))) => {
                format!("this request may need more tokens than {level} has left for this minute")
            }
            Why::Limit(Limit::Tokens(None)) => {
                format!(
                    "this request may need more tokens than {level} has for a whole minute; a smaller `max_tokens` lowers that"
                )
            }
            Why::Limit(Limit::Parallel) => format!("{level} has as many requests under way as it may have"),
            // Of the server's a caller would learn what others spend.
            Why::Limit(Limit::Budget(reading)) if self.level == Level::Server => {
                let period = reading.period.name();
                format!("this request may cost more than is left of the budget of {level} ({period})")
            }
            Why::Limit(Limit::Budget(reading)) => {
                let (left, limit) = (reading.remaining.usd(), reading.limit.usd());
                let period = reading.period.name();
                format!(
                    "this request may cost more than is left of the budget of {level}: ${left} of ${limit} ({period})"
                )
            }
            Why::Unpriced => {
                format!("the model has no price, so the budget of {level} cannot be kept with it")
            }
        }
    }
}
