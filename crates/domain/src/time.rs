//! Moments and timestamps. Reading a clock is a port ([`crate::ports::Clock`]); these are only values.

use std::fmt;
use std::time::Duration;

/// A point on the monotonic clock: time since the clock's own origin. Never compared across processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// Never.
    pub const MAX: Self = Self(Duration::MAX);

    /// This moment plus `wait`, saturating.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

const MICROS_A_DAY: i64 = 86_400_000_000;

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus `wait`, saturating.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// The day it falls on, in UTC.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.0.div_euclid(MICROS_A_DAY))
    }

    /// RFC 3339 text in UTC with microseconds, as `2026-11-21T09:06:00.000000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (days, micros) = (self.0.div_euclid(MICROS_A_DAY), self.0.rem_euclid(MICROS_A_DAY));
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let day = Day(days);
        format!("{day}T{:02}:{:02}:{:02}.{fraction:06}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }

    /// Reads RFC 3339 text, with `Z` or an offset; `None` when it is not one.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        let literal = |index: usize, allowed: &str| {
            text.get(index..=index).is_some_and(|found| allowed.contains(found))
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_in_month = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        let separated =
            literal(4, "-") && literal(7, "-") && literal(10, "Tt ") && literal(13, ":") && literal(16, ":");
        if !in_range || !separated {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut micros = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = fraction.get(..digits.min(6))?;
            let scale = 10_i64.pow(u32::try_from(6 - kept.len()).ok()?);
            micros = kept.parse::<i64>().ok()? * scale;
            rest = fraction.get(digits..)?;
        }
        let offset_minutes = match rest.as_bytes() {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), ..] if rest.len() == 6 && rest.get(3..4) == Some(":") => {
                let minutes =
                    rest.get(1..3)?.parse::<i64>().ok()? * 60 + rest.get(4..6)?.parse::<i64>().ok()?;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let year_shifted = if month <= 2 { year - 1 } else { year };
        let era = year_shifted.div_euclid(400);
        let year_of_era = year_shifted.rem_euclid(400);
        let month_shifted = if month > 2 { month - 3 } else { month + 9 };
        let day_of_era =
            year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month_shifted + 2) / 5 + day - 1;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_minutes * 60;
        Some(Self(seconds * 1_000_000 + micros))
    }
}

/// A day in UTC: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// Reads `2026-11-21`; `None` when it is no day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))
            .filter(|_| text.len() == 10)
            .map(Timestamp::day)
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(MICROS_A_DAY))
    }
}

impl fmt::Display for Day {
    /// As `2026-11-21`. Civil date from days by H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    /// (2021-09-01).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_goes_both_ways() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"), // leap day of a century year
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_795_251_960_000_001, "2026-11-21T09:06:00.000001Z"),
        ] {
            assert_eq!(Timestamp(micros).rfc3339(), text);
            assert_eq!(Timestamp::parse_rfc3339(text), Some(Timestamp(micros)), "{text}");
        }
    }

    #[test]
    fn rfc3339_reads_offsets_and_refuses_nonsense() {
        assert_eq!(Timestamp::parse_rfc3339("1970-01-01T01:00:00+01:00"), Some(Timestamp(0)));
        for text in [
            "",
            "yesterday",
            "2026-02-30T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }
    #[test]
    fn days_go_both_ways() {
        for text in ["1970-01-01", "1969-12-31", "2000-02-29", "2026-11-21"] {
            let day = Day::parse(text).expect("a day");
            assert_eq!(day.to_string(), text);
            assert_eq!((day.start().day(), Timestamp(day.start().0 - 1).day()), (day, Day(day.0 - 1)));
        }
        for text in ["", "2026-02-30", "2026-1-1", "20261121", "2026-11-21T"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
