//! How long a provider asks to wait: `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3), or the rate limit
//! that is used up (OpenAI's `x-ratelimit-remaining-…` and `x-ratelimit-reset-…`).

use std::time::{Duration, UNIX_EPOCH};

use domain::time::Timestamp;

/// No provider is waited for longer than this, whatever it asks for.
pub const WAIT_MAX: Duration = Duration::from_hours(24);

/// The wait that `text` asks for at wall time `now`; zero for a date that has passed, at most [`WAIT_MAX`];
/// `None` when it is neither seconds (a fraction is accepted) nor a time like `6m0.5s` nor an HTTP date.
#[must_use]
pub fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().next()?.is_ascii_digit() {
        let seconds = text.parse::<f64>().ok().or_else(|| with_units(text))?;
        return Some(Duration::try_from_secs_f64(seconds).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
    Some(at.since(now).min(WAIT_MAX))
}

/// Seconds of a time in its parts, as `1h2m3.5s` or `20ms`.
fn with_units(text: &str) -> Option<f64> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let unit_s = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit_s;
        rest = after;
    }
    Some(seconds)
}

/// The limits that providers tell of: how much is left, and when it is whole again.
const LIMITS: [(&str, &str); 2] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

/// What a refusal says about when to come back: `retry-after`, else when the limit is whole again that is used up.
pub fn told<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let used_up = |(remaining, reset): (&str, &str)| {
        let is_used_up = header(remaining).is_some_and(|remaining| remaining.trim() == "0");
        header(reset).filter(|_| is_used_up)
    };
    header("retry-after").or_else(|| LIMITS.into_iter().find_map(used_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:30Z").expect("a date");
        for (text, want) in [
            ("7", Some(Duration::from_secs(7))),
            (" 0 ", Some(Duration::ZERO)),
            ("0.5", Some(Duration::from_millis(500))),
            ("99999999999999999999", Some(WAIT_MAX)),
            ("1e300", Some(WAIT_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(7))),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::from_secs(7))), // obsolete forms of RFC 9110
            ("Sun Nov  6 08:49:37 1994", Some(Duration::from_secs(7))),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(Duration::ZERO)), // has passed
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(WAIT_MAX)),
            ("6m0s", Some(Duration::from_secs(360))),
            ("1h2m3.5s", Some(Duration::from_millis(3_723_500))),
            ("20ms", Some(Duration::from_millis(20))),
            ("6m0", None),
            ("6x", None),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("inf", None),
        ] {
            assert_eq!(parse(text, now), want, "{text:?}");
        }
    }

    #[test]
    fn a_limit_that_is_used_up_says_when_to_come_back() {
        const ALL: [(&str, &str); 5] = [
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("retry-after", "7"),
        ];
        let find = |known: &'static [(&str, &str)]| {
            told(|name| known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
        };
        assert_eq!(find(&ALL), Some("7"), "what it asks for counts first");
        assert_eq!(find(&ALL[..4]), Some("6m0s"));
        assert_eq!(find(&ALL[..2]), None, "there is some left");
        assert_eq!(find(&[]), None);
    }
}
