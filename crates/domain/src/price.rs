//! What models cost: rates, the days on which they hold, and what a call came to.

use std::sync::Arc;

use crate::money::{Amount, Nanos};
use crate::time::Day;
use crate::token::{TokenCount, Usage};

/// US dollars for a million tokens of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Prompt tokens that no cache has to do with.
    pub input_per_million: Nanos,
    /// Generated tokens.
    pub output_per_million: Nanos,
    /// Prompt tokens read from the provider's cache.
    pub cached_input_per_million: Nanos,
    /// Prompt tokens written to the provider's cache.
    pub cache_write_per_million: Nanos,
    /// Prompt tokens written to the provider's cache for an hour.
    pub cache_write_hour_per_million: Nanos,
    /// Generated tokens that the model said to itself.
    pub reasoning_per_million: Nanos,
}

impl Rates {
    /// All prompt tokens at one price and all generated ones at another.
    #[must_use]
    pub const fn flat(input_per_million: Nanos, output_per_million: Nanos) -> Self {
        Self {
            input_per_million,
            output_per_million,
            cached_input_per_million: input_per_million,
            cache_write_per_million: input_per_million,
            cache_write_hour_per_million: input_per_million,
            reasoning_per_million: output_per_million,
        }
    }

    /// Exactly what `usage` costs. A part that is larger than its whole counts as all of it.
    #[must_use]
    pub fn of(&self, usage: Usage) -> Amount {
        let cached = usage.cached_input.0.min(usage.input.0);
        let written = usage.cache_write_input.0.min(usage.input.0 - cached);
        let hour = usage.cache_write_hour_input.0.min(written);
        let reasoning = usage.reasoning_output.0.min(usage.output.0);
        [
            (usage.input.0 - cached - written, self.input_per_million),
            (cached, self.cached_input_per_million),
            (written - hour, self.cache_write_per_million),
            (hour, self.cache_write_hour_per_million),
            (usage.output.0 - reasoning, self.output_per_million),
            (reasoning, self.reasoning_per_million),
        ]
        .into_iter()
        .map(|(tokens, per_million)| Amount::of(TokenCount(tokens), per_million))
        .sum()
    }

    fn at_most(&self, input: TokenCount, output: TokenCount) -> Amount {
        let read = self.input_per_million.max(self.cached_input_per_million);
        let written = self.cache_write_per_million.max(self.cache_write_hour_per_million);
        let generated = self.output_per_million.max(self.reasoning_per_million);
        Amount::of(input, read.max(written)).plus(Amount::of(output, generated))
    }
}

/// Names one version of a model's prices: the day they were read and a hash of what they say. Equal versions of a model
/// are equal prices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceVersion(Arc<str>);

impl PriceVersion {
    /// Wraps the text as it is.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Other rates for calls with long prompts; they hold for all of such a call's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongPrompts {
    /// A prompt of more tokens than this is long.
    pub over: TokenCount,
    /// What they cost.
    pub rates: Rates,
}

/// What a model costs in some days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// Their name.
    pub version: PriceVersion,
    /// The first day on which they hold, in UTC; `None`: always before, too.
    pub from: Option<Day>,
    /// The first day on which they hold no more.
    pub until: Option<Day>,
    /// The rates.
    pub rates: Rates,
    /// Those of long prompts, where they differ.
    pub long: Option<LongPrompts>,
}

impl Prices {
    /// One price for all prompt tokens and one for all generated ones, at all times.
    #[must_use]
    pub fn flat(version: &str, input_per_million: Nanos, output_per_million: Nanos) -> Self {
        let rates = Rates::flat(input_per_million, output_per_million);
        Self { version: PriceVersion::new(version), from: None, until: None, rates, long: None }
    }

    /// Exactly what `usage` costs.
    #[must_use]
    pub fn of(&self, usage: Usage) -> Amount {
        match &self.long {
            Some(long) if usage.input > long.over => long.rates.of(usage),
            _ => self.rates.of(usage),
        }
    }

    /// Whether nothing costs anything, however much is used.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let free = Rates::flat(Nanos(0), Nanos(0));
        self.rates == free && self.long.is_none_or(|long| long.rates == free)
    }

    fn holds(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }
}

/// All that is known of a model's prices; empty means unpriced, which is never the same as free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceList(pub Vec<Prices>);

impl PriceList {
    /// The prices that hold on `day`; `None` when none is known.
    #[must_use]
    pub fn on(&self, day: Day) -> Option<&Prices> {
        self.0.iter().find(|prices| prices.holds(day))
    }

    /// More than so many tokens can ever cost, whatever kind they are of and whenever they are used; `None` when no
    /// price is known.
    #[must_use]
    pub fn at_most(&self, input: TokenCount, output: TokenCount) -> Option<Amount> {
        let dearest = |prices: &Prices| {
            let usual = prices.rates.at_most(input, output);
            let long = prices.long.as_ref().map(|long| long.rates.at_most(input, output));
            long.map_or(usual, |long| long.max(usual))
        };
        self.0.iter().map(dearest).max()
    }
}

impl From<Prices> for PriceList {
    fn from(prices: Prices) -> Self {
        Self(vec![prices])
    }
}

/// What a call, or some of them, cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// From the provider's own token counts.
    Exact(Amount),
    /// The provider did not say what it used: from the size of what was sent and what came back.
    Estimated(Amount),
    /// The model has no price.
    Unpriced,
}

impl Cost {
    /// Nothing was owed.
    pub const FREE: Self = Self::Exact(Amount::ZERO);

    /// The amount, where known.
    #[must_use]
    pub fn amount(self) -> Option<Amount> {
        match self {
            Self::Exact(amount) | Self::Estimated(amount) => Some(amount),
            Self::Unpriced => None,
        }
    }

    /// The stable name of what it rests on, used in headers, records and exports.
    #[must_use]
    pub fn basis(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Estimated(_) => "estimated",
            Self::Unpriced => "unpriced",
        }
    }

    /// The sum; unpriced as soon as one part is, estimated as soon as one part is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => Self::Exact(a.plus(b)),
            (Self::Exact(a) | Self::Estimated(a), Self::Exact(b) | Self::Estimated(b)) => {
                Self::Estimated(a.plus(b))
            }
            (Self::Unpriced, _) | (_, Self::Unpriced) => Self::Unpriced,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::FREE, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind at a price of its own, told apart by its digit.
    const RATES: Rates = Rates {
        input_per_million: Nanos(1),
        output_per_million: Nanos(10),
        cached_input_per_million: Nanos(100),
        cache_write_per_million: Nanos(1_000),
        cache_write_hour_per_million: Nanos(10_000),
        reasoning_per_million: Nanos(100_000),
    };

    fn usage([input, output, cached, written, hour, reasoning]: [u32; 6]) -> Usage {
        Usage {
            cached_input: TokenCount(cached),
            cache_write_input: TokenCount(written),
            cache_write_hour_input: TokenCount(hour),
            reasoning_output: TokenCount(reasoning),
            ..Usage::of(TokenCount(input), TokenCount(output))
        }
    }

    #[test]
    fn each_token_is_billed_once_at_the_price_of_its_kind() {
        for (used, want) in [
            ([9, 8, 0, 0, 0, 0], 89),
            ([9, 8, 2, 3, 1, 5], 512_234), // 4 plain, 2 cached, 2 written, 1 for an hour, 3 said, 5 thought
            ([3, 2, 9, 9, 9, 9], 200_300), // parts larger than their whole
            ([5, 0, 3, 9, 9, 0], 20_300),
            ([0, 0, 7, 7, 7, 7], 0),
        ] {
            assert_eq!(RATES.of(usage(used)), Amount(want), "{used:?}");
        }
    }

    #[test]
    fn nothing_costs_more_than_the_most() {
        let long =
            LongPrompts { over: TokenCount(4), rates: Rates { input_per_million: Nanos(20_000), ..RATES } };
        let prices = Prices { rates: RATES, long: Some(long), ..Prices::flat("v", Nanos(1), Nanos(1)) };
        let list = PriceList::from(prices.clone());
        assert_eq!(list.at_most(TokenCount(5), TokenCount(3)), Some(Amount(400_000)));
        for cached in 0..=5 {
            for written in 0..=5 {
                let used = usage([5, 3, cached, written, written / 2, cached]);
                assert!(Some(prices.of(used)) <= list.at_most(used.input, used.output), "{used:?}");
            }
        }
        assert_eq!(PriceList::default().at_most(TokenCount(1), TokenCount(1)), None);
    }

    #[test]
    fn long_prompts_have_rates_of_their_own() {
        let long = LongPrompts { over: TokenCount(200), rates: Rates::flat(Nanos(2), Nanos(3)) };
        let prices = Prices { long: Some(long), ..Prices::flat("v", Nanos(1), Nanos(1)) };
        for (input, want) in [(200, 201), (201, 405)] {
            assert_eq!(prices.of(usage([input, 1, 0, 0, 0, 0])), Amount(want), "{input}");
        }
    }

    #[test]
    fn prices_hold_in_their_days() {
        let dated = |version, from: Option<&str>, until: Option<&str>| Prices {
            from: from.and_then(Day::parse),
            until: until.and_then(Day::parse),
            ..Prices::flat(version, Nanos(1), Nanos(1))
        };
        let list = PriceList(vec![
            dated("old", None, Some("2026-03-01")),
            dated("new", Some("2026-03-01"), Some("2027-01-01")),
        ]);
        for (day, want) in [
            ("2020-01-01", Some("old")),
            ("2026-02-28", Some("old")),
            ("2026-03-01", Some("new")),
            ("2026-12-31", Some("new")),
            ("2027-01-01", None), // unknown, not free
        ] {
            let found = list.on(Day::parse(day).expect("a day"));
            assert_eq!(found.map(|prices| prices.version.as_str()), want, "{day}");
        }
    }

    #[test]
    fn a_sum_is_as_sure_as_its_least_sure_part() {
        let (exact, estimated) = (Cost::Exact(Amount(1)), Cost::Estimated(Amount(2)));
        for (parts, want) in [
            (vec![], Cost::FREE),
            (vec![exact, exact], Cost::Exact(Amount(2))),
            (vec![exact, estimated, exact], Cost::Estimated(Amount(4))),
            (vec![exact, estimated, Cost::Unpriced], Cost::Unpriced),
        ] {
            assert_eq!(parts.iter().copied().sum::<Cost>(), want, "{parts:?}");
        }
    }
}
