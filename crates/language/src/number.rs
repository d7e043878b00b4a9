//! Numbers in a text and whether an answer's numbers are those of its sources (DESIGN.md §8).
//!
//! Reading order: this file (what a number is and when two are the same), [`parse`] (from text to numbers),
//! `number/lex.rs` (its tokens), `number/pattern.rs` (dates, times, telephone numbers and what is no number),
//! `number/spelled.rs` (number words).

mod lex;
mod parse;
mod pattern;
mod spelled;

pub use parse::numbers;

/// A non-negative quantity in millionths, so that equal numbers are equal whatever they are written like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

impl Quantity {
    const ONE: i128 = 1_000_000;

    /// A whole number.
    #[must_use]
    pub fn whole(value: u64) -> Self {
        Self(i128::from(value) * Self::ONE)
    }

    /// Millionths.
    #[must_use]
    pub fn millionths(value: i128) -> Self {
        Self(value)
    }

    fn ratio(part: u64, of: u64) -> Self {
        let of = i128::from(of.max(1));
        Self((i128::from(part) * Self::ONE + of / 2) / of)
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(i128::from(factor)))
    }

    fn hundredth(self) -> Self {
        Self(self.0 / 100)
    }
}

/// What a number counts, as far as it decides whether two numbers say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing in particular: `30`, `401`, `2026`.
    Plain,
    /// Of something with a unit that is neither money nor hundredths: `30 days`, `six payments`.
    Count,
    /// An amount of money in whole units of its currency.
    Money,
    /// Hundredths: the value of `10 %` is 10.
    Percent,
    /// A position: `5th`.
    Ordinal,
    /// A part of one: `half`, `one sixth`, `1/6`.
    Fraction,
    /// A day of the year; its value is month × 100 + day. The year stands beside it as a plain number.
    Day,
    /// A time of day; its value is hour × 100 + minute on the 24-hour clock where that is known.
    Time,
    /// A telephone number; its value is its digits without the country code 1.
    Phone,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// With digits.
    Digits,
    /// With words alone.
    Words,
}

/// A number in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Comparable with the values of other numbers of its kind.
    pub value: Quantity,
    /// What it counts.
    pub kind: Kind,
    /// How it is written.
    pub form: Form,
    /// Byte offset of its first byte.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
}

impl Number {
    /// Whether a source that says `self` allows an answer to say `other`.
    #[must_use]
    pub fn backs(&self, other: &Self) -> bool {
        self.value == other.value && kinds_agree(self.kind, other.kind)
    }
}

/// Money and percentages must be that in the source too, or stand there without any unit; a bare number may
/// repeat any quantity; times, days and telephone numbers only their like.
fn kinds_agree(source: Kind, answer: Kind) -> bool {
    match answer {
        Kind::Money | Kind::Percent | Kind::Fraction => source == answer || source == Kind::Plain,
        Kind::Day | Kind::Time | Kind::Phone => source == answer,
        Kind::Plain | Kind::Count | Kind::Ordinal => !matches!(source, Kind::Phone | Kind::Day),
    }
}

/// What a count counts: words that make a number before them a time limit or a number of payments. Sorted.
const UNITS: &[&str] = &[
    "billing",
    "business",
    "calendar",
    "consecutive",
    "cycle",
    "cycles",
    "day",
    "days",
    "full",
    "hour",
    "hours",
    "minute",
    "minutes",
    "month",
    "months",
    "monthly",
    "payment",
    "payments",
    "point",
    "points",
    "quarter",
    "quarters",
    "statement",
    "statements",
    "times",
    "transfers",
    "week",
    "weeks",
    "withdrawals",
    "working",
    "year",
    "years",
];

/// The numbers of `answer` that none of `sources` holds. Nothing is computed: a sum or a product of the
/// sources' numbers is not theirs. List numerals and citation marks are no numbers, and small number words
/// that count nothing ("one of them", "two ways", "first, …") are passed over.
#[must_use]
pub fn allowed(answer: &str, sources: &[&str]) -> Vec<Number> {
    let said = numbers(answer);
    if said.is_empty() {
        return said;
    }
    let known: Vec<(Number, Option<Unit>)> = sources
        .iter()
        .flat_map(|source| {
            numbers(source).into_iter().map(|number| {
                let unit = unit_behind(source, &number);
                (number, unit)
            })
        })
        .collect();
    said.into_iter()
        .filter(|number| !is_turn_of_phrase(number))
        .filter(|number| {
            let unit = unit_behind(answer, number);
            !known.iter().any(|(source, of_source)| source.backs(number) && units_agree(*of_source, unit))
        })
        .collect()
}

/// The numbers of `source` that could be taken for one that `answer` gives: of the same sort (amounts of money,
/// percentages, time limits, bare numbers such as ages), and neither in `answer` nor in `question`. Years of the
/// calendar and small number words that count nothing are no rivals.
#[must_use]
pub fn rivals(answer: &str, question: &str, source: &str) -> Vec<Number> {
    let said: Vec<Number> = [numbers(answer), numbers(question)].concat();
    let sorts: Vec<Sort> = numbers(answer).iter().filter_map(|number| sort(answer, number)).collect();
    let is_said = |number: &Number| said.iter().any(|one| one.value == number.value);
    numbers(source)
        .into_iter()
        .filter(|number| sort(source, number).is_some_and(|sort| sorts.contains(&sort)) && !is_said(number))
        .collect()
}

/// What numbers can be mistaken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Money,
    Percent,
    TimeLimit,
    Bare,
}

fn sort(text: &str, number: &Number) -> Option<Sort> {
    let is_year = (Quantity::whole(1900)..=Quantity::whole(2100)).contains(&number.value);
    match number.kind {
        _ if is_turn_of_phrase(number) => None,
        Kind::Money => Some(Sort::Money),
        Kind::Percent => Some(Sort::Percent),
        _ if unit_behind(text, number).is_some() => Some(Sort::TimeLimit),
        Kind::Plain if !is_year => Some(Sort::Bare),
        _ => None,
    }
}

/// What a number of time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Minutes,
    Hours,
    BusinessDays,
    Days,
    Weeks,
    Months,
    Years,
}

/// Words looked at behind a number for its unit: "10 full business days" has it in the third.
const UNIT_WORDS: usize = 3;

/// The unit of time behind a number, if it has one.
fn unit_behind(text: &str, number: &Number) -> Option<Unit> {
    let following = text.get(number.end..)?;
    let near = following.char_indices().nth(32).map_or(following, |(end, _)| &following[..end]);
    let mut is_business = false;
    for word in crate::word::words(near).into_iter().take(UNIT_WORDS) {
        match word.to_lowercase().as_str() {
            "business" | "working" => is_business = true,
            "minute" | "minutes" => return Some(Unit::Minutes),
            "hour" | "hours" => return Some(Unit::Hours),
            "day" | "days" if is_business => return Some(Unit::BusinessDays),
            "day" | "days" => return Some(Unit::Days),
            "week" | "weeks" => return Some(Unit::Weeks),
            "month" | "months" => return Some(Unit::Months),
            "year" | "years" => return Some(Unit::Years),
            "full" | "calendar" | "consecutive" => {}
            _ => return None,
        }
    }
    None
}

/// Whether a time limit keeps its unit. "Days" may stand for business days, never the other way round; a number
/// without a unit says nothing of it.
fn units_agree(source: Option<Unit>, answer: Option<Unit>) -> bool {
    match (source, answer) {
        (Some(Unit::BusinessDays), Some(Unit::Days)) | (None, _) | (_, None) => true,
        (Some(source), Some(answer)) => source == answer,
    }
}

/// Whether a spelled number up to three counts nothing that could be wrong.
fn is_turn_of_phrase(number: &Number) -> bool {
    if number.form != Form::Words || number.value > Quantity::whole(3) {
        return false;
    }
    matches!(number.kind, Kind::Plain | Kind::Ordinal)
}

/// Whether the words right behind a number make it a [`Kind::Count`].
fn is_followed_by_unit(following: &str) -> bool {
    let near = following.char_indices().nth(24).map_or(following, |(end, _)| &following[..end]);
    crate::word::words(near)
        .first()
        .is_some_and(|word| UNITS.binary_search(&word.to_lowercase().as_str()).is_ok())
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
