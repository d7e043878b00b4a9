//! Money, in exact billionths of a US dollar.

use crate::token::TokenCount;

/// An amount in billionths of a US dollar (up to ±$9.2 billion); exact, so sums never drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

/// An amount left the range of [`Nanos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is too large to count")]
pub struct Overflow;

impl Nanos {
    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`] when it leaves `i64`.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    /// Decimal US dollars without trailing zeros, as `0.00015`.
    #[must_use]
    pub fn usd(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let text = format!("{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Price of `tokens` at `per_million` for each million, rounded up.
///
/// # Errors
/// [`Overflow`] when the amount leaves `i64`.
pub fn price(tokens: TokenCount, per_million: Nanos) -> Result<Nanos, Overflow> {
    let exact = i128::from(tokens.0) * i128::from(per_million.0);
    let rounded_up = (exact + 999_999) / 1_000_000;
    i64::try_from(rounded_up).map(Nanos).map_err(|_| Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_rounds_up() {
        for (tokens, per_million, want) in [
            (0, 3_000_000, 0), // nothing used, nothing owed
            (1, 1, 1),         // a fraction costs a whole nano-dollar
            (1_000_000, 150_000_000, 150_000_000),
        ] {
            assert_eq!(
                price(TokenCount(tokens), Nanos(per_million)),
                Ok(Nanos(want)),
                "{tokens} x {per_million}"
            );
        }
        assert_eq!(price(TokenCount(u32::MAX), Nanos(i64::MAX)), Err(Overflow));
    }

    #[test]
    fn usd_is_a_plain_decimal() {
        for (nanos, want) in [(0, "0"), (150_000, "0.00015"), (-1_500_000_000, "-1.5"), (1, "0.000000001")] {
            assert_eq!(Nanos(nanos).usd(), want);
        }
    }
}
