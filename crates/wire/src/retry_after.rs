//! How long a provider asks to wait: `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use domain::time::Timestamp;

/// No provider is waited for longer than this, whatever it asks for.
pub const WAIT_MAX: Duration = Duration::from_hours(24);

/// The wait that `text` asks for at wall time `now`; zero for a date that has passed, at most [`WAIT_MAX`];
/// `None` when it is neither seconds (a fraction is accepted) nor an HTTP date.
#[must_use]
pub fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().next()?.is_ascii_digit() {
        let seconds = text.parse::<f64>().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
    Some(at.since(now).min(WAIT_MAX))
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
            ("", None),
            ("-1", None),
            ("soon", None),
            ("inf", None),
        ] {
            assert_eq!(parse(text, now), want, "{text:?}");
        }
    }
}
