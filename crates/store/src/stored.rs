//! What rows and JSON columns hold, apart from the domain types: one conversion in each direction.
//!
//! `names` (enums as stable text), `interaction` (the row of a turn), `json` (its JSON columns), `parts` (what
//! stands in them), `attempt` (the row of a call),
//! `key` (a key's grant), `vector` (floats as bytes). Shared by all engines.

pub(crate) mod attempt;
pub(crate) mod interaction;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod names;
pub(crate) mod parts;
pub(crate) mod vector;

use std::time::Duration;

/// What was read is not what was written. Holds no stored text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

/// Whole microseconds, saturating: all durations are kept so.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The duration of `micros`; a negative one is zero.
pub(crate) fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A length or position as the databases count, saturating.
pub(crate) fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The length or position of `value`.
pub(crate) fn count(value: i64) -> Result<usize, Unreadable> {
    usize::try_from(value).map_err(|_| Unreadable(format!("{value} is no position in a text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_saturate_instead_of_wrapping() {
        for (given, want) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_nanos(1_999), Duration::from_micros(1)), // below a microsecond is cut
            (Duration::MAX, Duration::from_micros(i64::MAX.unsigned_abs())),
        ] {
            assert_eq!(duration(micros(given)), want, "{given:?}");
        }
        assert_eq!(duration(-1), Duration::ZERO);
    }
}
