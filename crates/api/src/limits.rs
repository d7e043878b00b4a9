//! What limits say to clients: the headers that SDKs read, in the names and forms of each dialect.

use std::time::Duration;

use access::limits::Standing;
use axum::response::Response;
use domain::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::dialect::manner::Manner;

/// Leaves `standing` in `response` for [`tell`]: `entry` knows the dialect of each door.
pub(crate) fn note(response: &mut Response, standing: Standing) {
    if standing != Standing::default() {
        response.extensions_mut().insert(standing);
    }
}

/// Writes what was noted as headers, in the words of the door's dialect; native doors have OpenAI's.
pub(crate) fn tell(response: &mut Response, manner: Option<&dyn Manner>, now: impl FnOnce() -> Timestamp) {
    let Some(standing) = response.extensions_mut().remove::<Standing>() else { return };
    write(response.headers_mut(), standing, (manner.map_or(&OPENAI, Manner::limits), now()));
}

/// Writes `standing` as headers.
pub(crate) fn write(headers: &mut HeaderMap, standing: Standing, (words, now): (&Words, Timestamp)) {
    for (names, bucket) in [(&words.requests, standing.requests), (&words.tokens, standing.tokens)] {
        let Some(bucket) = bucket else { continue };
        headers.insert(&names.limit, HeaderValue::from(bucket.limit()));
        headers.insert(&names.remaining, HeaderValue::from(bucket.remaining()));
        if let Ok(full) = HeaderValue::try_from((words.full)(bucket.full_in(), now)) {
            headers.insert(&names.reset, full);
        }
    }
}

/// How a dialect tells limits.
pub(crate) struct Words {
    requests: Names,
    tokens: Names,
    /// When a bucket is full again that will be after so long.
    full: fn(Duration, Timestamp) -> String,
}

/// Where a bucket is told.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    /// When it is full again.
    reset: HeaderName,
}

const fn names(limit: &'static str, remaining: &'static str, reset: &'static str) -> Names {
    Names {
        limit: HeaderName::from_static(limit),
        remaining: HeaderName::from_static(remaining),
        reset: HeaderName::from_static(reset),
    }
}

/// As `x-ratelimit-reset-requests: 1m30.5s` (OpenAI platform docs, rate limits, 2026-11).
pub(crate) static OPENAI: Words = Words {
    requests: names(
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    tokens: names("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    full: |wait, _| span(wait),
};

/// The same as `anthropic-ratelimit-requests-reset: 2026-11-21T12:00:00Z` (Anthropic API docs, rate limits, 2026-11).
pub(crate) static ANTHROPIC: Words = Words {
    requests: names(
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    tokens: names(
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    full: |wait, now| instant(now.after(wait)),
};

/// A time in whole seconds, rounded up.
fn instant(time: Timestamp) -> String {
    let up = time.after(Duration::from_micros(999_999));
    Timestamp(up.0.div_euclid(1_000_000) * 1_000_000).rfc3339().replace(".000000Z", "Z")
}

/// As Go writes it, to the millisecond, rounded up: `0s`, `20ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn span(span: Duration) -> String {
    let ms = u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    // Nearly all are short or nothing.
    match (seconds, rest) {
        (0, 0) => return "0s".to_owned(),
        (0, _) => return rest.to_string() + "ms",
        _ => {}
    }
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}{fraction}s"),
        (0, m, s) => format!("{m}m{s}{fraction}s"),
        (h, m, s) => format!("{h}h{m}m{s}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use access::limits::BucketReading;
    use axum::body::Body;
    use domain::limit::Rate;

    use super::*;

    #[test]
    fn spans_are_written_as_openai_does() {
        for (ms, want) in [
            (0, "0s"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (59_001, "59.001s"),
            (360_000, "6m0s"),
            (90_500, "1m30.5s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), want, "{ms}");
        }
        assert_eq!(span(Duration::from_nanos(1)), "1ms");
    }

    #[test]
    fn each_dialect_has_its_own_names() {
        let bucket = BucketReading::holding(Rate { count: 50, per: Duration::from_secs(1), burst: 100 }, 99);
        let now = Timestamp::parse_rfc3339("2026-11-21T12:00:00Z").expect("a time");
        for (manner, want) in [
            (
                None,
                vec![
                    ("x-ratelimit-limit-requests", "100"),
                    ("x-ratelimit-remaining-requests", "99"),
                    ("x-ratelimit-reset-requests", "20ms"),
                ],
            ),
            (
                Some(&crate::anthropic::manner::Anthropic as &dyn Manner),
                vec![
                    ("anthropic-ratelimit-requests-limit", "100"),
                    ("anthropic-ratelimit-requests-remaining", "99"),
                    ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:01Z"),
                ],
            ),
        ] {
            let mut response = Response::new(Body::empty());
            note(&mut response, Standing { requests: Some(bucket), tokens: None });
            tell(&mut response, manner, || now);
            let mut found: Vec<_> = response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
                .collect();
            found.sort_unstable();
            assert_eq!(found, want);
        }
    }
}
