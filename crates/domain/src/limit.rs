//! What a key, a tenant or the whole server may use: rates, calls at once, budgets. Only values; who counts is `access`.

use std::fmt;
use std::time::Duration;

use crate::id::{KeyId, TenantId};
use crate::money::Nanos;
use crate::time::Timestamp;

/// Whose limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One key's.
    Key(KeyId),
    /// All keys' of one tenant together.
    Tenant(TenantId),
    /// Everybody's together.
    Server,
}

impl Level {
    /// The stable name used in bodies, records and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant(_) => "tenant",
            Self::Server => "server",
        }
    }

    /// The id of the key or tenant; empty for the server.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Key(id) => id.as_str(),
            Self::Tenant(id) => id.as_str(),
            Self::Server => "",
        }
    }

    /// As [`Self::name`] and [`Self::id`] say it; `None` for another name, or a key or tenant without an id.
    #[must_use]
    pub fn of(name: &str, id: &str) -> Option<Self> {
        match (name, id) {
            ("server", _) => Some(Self::Server),
            (_, "") => None,
            ("key", id) => Some(Self::Key(KeyId::from(id))),
            ("tenant", id) => Some(Self::Tenant(TenantId::from(id))),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            level => write!(f, "{} `{}`", level.name(), level.id()),
        }
    }
}

/// How often something may happen: `count` in each `per`, and at most `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u64,
    /// In how much time; not zero.
    pub per: Duration,
    /// How many may come at once after a pause; at least 1.
    pub burst: u64,
}

/// All limits of one level. What is `None` (or not listed) is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may begin.
    pub requests: Option<Rate>,
    /// Tokens in and out that may be used in a minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    pub parallel: Option<u32>,
    /// Money, at most one amount for each period.
    pub budgets: Budgets,
}

/// At most one amount for each period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budgets {
    /// For each day.
    pub day: Option<Nanos>,
    /// For each month.
    pub month: Option<Nanos>,
    /// For all time.
    pub total: Option<Nanos>,
}

impl Budgets {
    /// The amount of `period`.
    #[must_use]
    pub fn of(&self, period: Period) -> Option<Nanos> {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
            Period::Total => self.total,
        }
    }

    /// Where the amount of `period` is kept.
    pub fn of_mut(&mut self, period: Period) -> &mut Option<Nanos> {
        match period {
            Period::Day => &mut self.day,
            Period::Month => &mut self.month,
            Period::Total => &mut self.total,
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        Period::ALL.into_iter().any(|period| self.of(period).is_some())
    }
}

/// For how long a budget is. Days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
    /// For ever.
    Total,
}

/// A stretch of wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Span {
    /// Whether `at` lies in it.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

impl Period {
    /// All.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// The stable name used in bodies, records and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }

    /// The stretch of this kind that holds `at`.
    #[must_use]
    pub fn around(self, at: Timestamp) -> Span {
        let day = at.0.div_euclid(DAY_MICROS);
        let (first, next) = match self {
            Self::Day => (day, day.saturating_add(1)),
            Self::Month => month_around(day),
            Self::Total => return Span { start: Timestamp(i64::MIN), end: Timestamp(i64::MAX) },
        };
        Span {
            start: Timestamp(first.saturating_mul(DAY_MICROS)),
            end: Timestamp(next.saturating_mul(DAY_MICROS)),
        }
    }
}

/// The first days of the month that holds `day` and of the next one, counted from 1970-01-01.
///
/// Civil date from days by H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2021-09-01), whose years begin in
/// March.
fn month_around(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let first_of_year = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let month = (5 * (day_of_era - first_of_year) + 2) / 153;
    let first_of_month = (153 * month + 2) / 5;
    let is_leap = {
        let next = year_of_era + 1;
        next % 4 == 0 && (next % 100 != 0 || next % 400 == 0)
    };
    let next_month = match month {
        // February, the last month of such a year.
        11 => first_of_month + if is_leap { 29 } else { 28 },
        _ => (153 * (month + 1) + 2) / 5,
    };
    let year = era * 146_097 + first_of_year - 719_468;
    (year + first_of_month, year + next_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (period, now, start, end) in [
            (Period::Day, "2026-11-21T21:45:57Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
            (Period::Day, "2026-12-31T23:59:59.999999Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            (Period::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            (Period::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Period::Month, "2000-02-29T12:00:00Z", "2000-02-01T00:00:00Z", "2000-03-01T00:00:00Z"),
            (Period::Month, "2100-02-28T12:00:00Z", "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"),
            (Period::Month, "1969-12-31T23:59:59Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(period.around(at(now)), Span { start: at(start), end: at(end) }, "{now}");
        }
        assert!(Period::Total.around(Timestamp(0)).holds(at("9999-12-31T23:59:59Z")));
    }

    #[test]
    fn months_follow_each_other_without_a_gap() {
        let mut span = Period::Month.around(at("1890-01-05T00:00:00Z"));
        for _ in 0..12 * 300 {
            let next = Period::Month.around(span.end);
            assert_eq!(span.end, next.start, "{}", span.end.rfc3339());
            assert!(next.start.rfc3339().contains("-01T00:00:00.000000Z"), "{}", next.start.rfc3339());
            assert_eq!(Period::Month.around(Timestamp(next.end.0 - 1)), next);
            span = next;
        }
    }

    #[test]
    fn levels_go_both_ways() {
        for (name, id, is_one) in [
            ("key", "k1", true),
            ("tenant", "acme", true),
            ("server", "", true),
            ("key", "", false),
            ("x", "y", false),
        ] {
            let level = Level::of(name, id);
            assert_eq!(level.is_some(), is_one, "{name} {id}");
            if let Some(level) = level {
                assert_eq!((level.name(), level.id()), (name, id));
            }
        }
    }
}
