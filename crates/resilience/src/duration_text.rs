//! Durations in configuration files: a whole number with its unit, as `"250ms"`, `"30s"`, `"5m"`, `"24h"`.
//!
//! Used as `#[serde(with = "duration_text")]`, and `#[serde(with = "duration_text::option")]` for
//! `Option<Duration>`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// Units with their length in microseconds, shortest first.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// What a file should say.
const EXPECTED: &str = "a whole number with its unit (us, ms, s, m, h, d), as \"250ms\", \"30s\" or \"24h\"";

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A number without unit.
    #[error("`{0}` has no unit: write {EXPECTED}")]
    NoUnit(String),
    /// Something after the number that is no unit.
    #[error("`{unit}` in `{text}` is no unit of time: write {EXPECTED}")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// Its unit.
        unit: String,
    },
    /// No number, a fraction or a negative one.
    #[error("`{0}` is no duration: write {EXPECTED}")]
    NoNumber(String),
    /// Longer than 584,000 years.
    #[error("`{0}` is too long")]
    TooLong(String),
}

/// Reads a duration.
///
/// # Errors
/// [`ParseError`], which says what to write instead.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    // "1.5s" and "-3s" have something wrong with their number, not with their unit.
    if number.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err(ParseError::NoNumber(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(ParseError::NoUnit(text.to_owned()));
    }
    let Some((_, unit_micros)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(ParseError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() });
    };
    let micros = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_micros));
    micros.map(Duration::from_micros).ok_or_else(|| ParseError::TooLong(text.to_owned()))
}

/// Writes a duration in the longest unit that divides it; below a microsecond it is cut off.
#[must_use]
pub fn format(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS.iter().rev().find(|(_, unit)| micros.is_multiple_of(u128::from(*unit)));
    let (name, unit) = whole.expect("every number is a multiple of one microsecond");
    format!("{}{name}", micros / u128::from(*unit))
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// For `#[serde(with = "duration_text")]`.
///
/// # Errors
/// When the value is not a text that [`parse`] reads.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(TextVisitor)
}

/// For `#[serde(with = "duration_text")]`.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// The same for `Option<Duration>`; a missing or null value is `None`.
pub mod option {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    /// For `#[serde(with = "duration_text::option")]`.
    ///
    /// # Errors
    /// When the value is neither null nor a text that [`super::parse`] reads.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(transparent)]
        struct Text(#[serde(with = "super")] Duration);
        Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(duration)| duration))
    }

    /// For `#[serde(with = "duration_text::option")]`.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_go_both_ways() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(
                parse(&format(Duration::from_millis(millis))),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(format(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(format(Duration::from_secs(86_400)), "1d");
        assert_eq!(format(Duration::from_micros(7)), "7us");
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, want) in [
            ("30", "`30` has no unit"),
            ("30 s", "` s` in `30 s` is no unit"),
            ("30sec", "`sec` in `30sec` is no unit"),
            ("1.5s", "`1.5s` is no duration"),
            ("-3s", "`-3s` is no duration"),
            ("s", "`s` is no duration"),
            ("", "`` is no duration"),
            ("99999999999999999999s", "is too long"),
            ("18446744073709551615d", "is too long"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_bare_number_in_a_file_is_refused_with_the_expected_form() {
        #[derive(Debug, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            #[serde(with = "super")]
            open: Duration,
            #[serde(default, with = "super::option")]
            slow: Option<Duration>,
        }
        let read = |text: &str| serde_json::from_str::<Settings>(text).map_err(|error| error.to_string());
        let settings = read(r#"{"open": "30s", "slow": "2s"}"#).unwrap();
        assert_eq!((settings.open, settings.slow), (Duration::from_secs(30), Some(Duration::from_secs(2))));
        assert_eq!(serde_json::to_string(&settings).unwrap(), r#"{"open":"30s","slow":"2s"}"#);
        assert_eq!(read(r#"{"open": "30s"}"#).unwrap().slow, None);
        assert!(read(r#"{"open": 30}"#).unwrap_err().contains("a whole number with its unit"));
        assert!(read(r#"{"open": "30s", "slow": "2"}"#).unwrap_err().contains("has no unit"));
    }
}
