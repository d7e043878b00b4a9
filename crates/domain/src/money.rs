//! Money: prices in billionths of a US dollar, amounts as exact fractions of them.
//!
//! A price is so many nano-dollars for a million tokens, so a token costs a millionth of that: a whole number of
//! 10⁻¹⁵ dollars. Amounts count those and are never rounded, so that the sum of all calls is exactly what their tokens
//! cost together, in whatever order and groups they are added.

use crate::token::TokenCount;

/// An amount in billionths of a US dollar (up to ±$9.2 billion).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    /// Decimal US dollars without trailing zeros, as `0.00015`.
    #[must_use]
    pub fn usd(self) -> String {
        Amount::from(self).usd()
    }
}

/// An exact amount in 10⁻¹⁵ US dollars. What 2³² calls of the most tokens at the highest price cost still fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub i128);

const PER_NANO: i64 = 1_000_000;
const PER_USD: u64 = 1_000_000_000_000_000;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What `tokens` cost at `per_million` for each million.
    #[must_use]
    pub fn of(tokens: TokenCount, per_million: Nanos) -> Self {
        Self(i128::from(tokens.0) * i128::from(per_million.0))
    }

    /// The sum; saturates far beyond all money.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Whole nano-dollars, rounded down, and the rest: 0 to 999,999 millionths of a nano-dollar. Both are sums' parts:
    /// [`Amount::from_parts`] of the sums of each is the exact sum.
    #[must_use]
    pub fn parts(self) -> (Nanos, i64) {
        // Nearly all amounts are small, and wide division is slow.
        if let Ok(small) = i64::try_from(self.0) {
            return (Nanos(small.div_euclid(PER_NANO)), small.rem_euclid(PER_NANO));
        }
        let per_nano = i128::from(PER_NANO);
        let nanos = i64::try_from(self.0.div_euclid(per_nano));
        let rest = i64::try_from(self.0.rem_euclid(per_nano)).unwrap_or(0);
        (Nanos(nanos.unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })), rest)
    }

    /// The amount of `nanos` and `rest` millionths of a nano-dollar.
    #[must_use]
    pub fn from_parts(nanos: Nanos, rest: i64) -> Self {
        Self(i128::from(nanos.0) * i128::from(PER_NANO) + i128::from(rest))
    }

    /// Whole nano-dollars, rounded up: what to set aside for it.
    #[must_use]
    pub fn nanos_up(self) -> Nanos {
        match self.parts() {
            (nanos, 0) => nanos,
            (nanos, _) => Nanos(nanos.0.saturating_add(1)),
        }
    }

    /// Decimal US dollars without trailing zeros, as `0.00015`.
    #[must_use]
    pub fn usd(self) -> String {
        let magnitude = self.0.unsigned_abs();
        let (mut text, mut rest) = match u64::try_from(magnitude) {
            Ok(small) => ((small / PER_USD).to_string(), small % PER_USD),
            Err(_) => {
                let per_usd = u128::from(PER_USD);
                ((magnitude / per_usd).to_string(), u64::try_from(magnitude % per_usd).unwrap_or(0))
            }
        };
        if self.0 < 0 {
            text.insert(0, '-');
        }
        if rest > 0 {
            text.push('.');
        }
        while rest > 0 {
            rest *= 10;
            let digit = u32::try_from(rest / PER_USD).ok().and_then(|digit| char::from_digit(digit, 10));
            text.push(digit.unwrap_or('0'));
            rest %= PER_USD;
        }
        text
    }
}

impl From<Nanos> for Amount {
    fn from(nanos: Nanos) -> Self {
        Self::from_parts(nanos, 0)
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_costs_a_millionth_of_its_price() {
        for (tokens, per_million, want) in [
            (0, 3_000_000_000, "0"), // nothing used, nothing owed
            (1, 1, "0.000000000000001"),
            (1, 75_000_000, "0.000000075"),
            (1_000_000, 150_000_000, "0.15"),
            (3, -1_000_000_000, "-0.000003"),
        ] {
            assert_eq!(
                Amount::of(TokenCount(tokens), Nanos(per_million)).usd(),
                want,
                "{tokens} x {per_million}"
            );
        }
    }

    #[test]
    fn what_is_set_aside_is_never_too_little() {
        for (amount, want) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0), (i128::MAX, i64::MAX)]
        {
            assert_eq!(Amount(amount).nanos_up(), Nanos(want), "{amount}");
        }
    }

    proptest! {
        #[test]
        fn parts_make_the_whole(amount in -(1_i128 << 80)..(1_i128 << 80)) {
            let (nanos, rest) = Amount(amount).parts();
            prop_assert!((0..1_000_000).contains(&rest));
            prop_assert_eq!(Amount::from_parts(nanos, rest), Amount(amount));
        }

        /// However calls are grouped and ordered, nothing is lost or gained.
        #[test]
        fn sums_never_drift(calls in prop::collection::vec((any::<u32>(), 0..1_000_000_000_000_i64), 1..60), cut in 0_usize..60) {
            let amounts: Vec<Amount> =
                calls.iter().map(|&(tokens, price)| Amount::of(TokenCount(tokens), Nanos(price))).collect();
            let exact: i128 = calls.iter().map(|&(tokens, price)| i128::from(tokens) * i128::from(price)).sum();
            let (left, right) = amounts.split_at(cut.min(amounts.len()));
            let grouped = right.iter().rev().copied().sum::<Amount>().plus(left.iter().copied().sum());
            prop_assert_eq!(grouped, Amount(exact));
            let parts = amounts.iter().map(|amount| amount.parts());
            let (nanos, rest) = parts.fold((0, 0), |(nanos, rest), (n, r)| (nanos + n.0, rest + r));
            prop_assert_eq!(Amount::from_parts(Nanos(nanos), rest), Amount(exact));
        }

        /// The text says exactly the amount.
        #[test]
        fn usd_is_the_amount(amount in -(1_i128 << 90)..(1_i128 << 90)) {
            let text = Amount(amount).usd();
            let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            prop_assert!(!fraction.ends_with('0'));
            let read: i128 = format!("{whole}{fraction:0<15}").parse().expect("digits");
            prop_assert_eq!(sign * read, amount);
        }
    }
}
