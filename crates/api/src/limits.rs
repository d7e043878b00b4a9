//! What limits say to clients: the headers that SDKs read, in the names and forms of each dialect.

use std::time::Duration;

use access::limits::Standing;
use axum::response::Response;
use bytes::Bytes;
use domain::time::Timestamp;
use http::{HeaderName, HeaderValue};

/// Leaves `standing` in `response` for [`tell`]: `entry` knows the dialect of each door.
pub(crate) fn note(response: &mut Response, standing: Standing) {
    if standing != Standing::default() {
        response.extensions_mut().insert(standing);
    }
}

/// Writes what was noted as headers: by Anthropic's names for its paths, else by OpenAI's.
pub(crate) fn tell(response: &mut Response, path: &str, now: Timestamp) {
    let Some(standing) = response.extensions_mut().remove::<Standing>() else { return };
    let is_anthropic = path.starts_with("/v1/messages") || path.starts_with("/anthropic/");
    let [requests, tokens] = match is_anthropic {
        true => &ANTHROPIC,
        false => &OPENAI,
    };
    for (names, bucket) in [(requests, standing.requests), (tokens, standing.tokens)] {
        let Some(bucket) = bucket else { continue };
        let full = match is_anthropic {
            true => instant(now.after(bucket.full_in())),
            false => span(bucket.full_in()),
        };
        let headers = response.headers_mut();
        headers.insert(&names.limit, HeaderValue::from(bucket.limit()));
        headers.insert(&names.remaining, HeaderValue::from(bucket.remaining()));
        if let Ok(full) = HeaderValue::from_maybe_shared(Bytes::from(full)) {
            headers.insert(&names.reset, full);
        }
    }
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

/// Of requests and of tokens, as `x-ratelimit-reset-requests: 1m30.5s` (OpenAI platform docs, rate limits, 2026-11).
static OPENAI: [Names; 2] = [
    names("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    names("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

/// The same as `anthropic-ratelimit-requests-reset: 2026-11-21T12:00:00Z` (Anthropic API docs, rate limits, 2026-11).
static ANTHROPIC: [Names; 2] = [
    names(
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    names(
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
];

/// A time in whole seconds, rounded up.
fn instant(time: Timestamp) -> String {
    let up = time.after(Duration::from_micros(999_999));
    Timestamp(up.0.div_euclid(1_000_000) * 1_000_000).rfc3339().replace(".000000Z", "Z")
}

/// As Go writes it, to the millisecond, rounded up: `0s`, `20ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn span(span: Duration) -> String {
    let ms = span.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    if seconds == 0 && rest > 0 {
        return format!("{rest}ms");
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
        for (path, want) in [
            (
                "/v1/chat/completions",
                vec![
                    ("x-ratelimit-limit-requests", "100"),
                    ("x-ratelimit-remaining-requests", "99"),
                    ("x-ratelimit-reset-requests", "20ms"),
                ],
            ),
            (
                "/v1/messages",
                vec![
                    ("anthropic-ratelimit-requests-limit", "100"),
                    ("anthropic-ratelimit-requests-remaining", "99"),
                    ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:01Z"),
                ],
            ),
        ] {
            let mut response = Response::new(Body::empty());
            note(&mut response, Standing { requests: Some(bucket), tokens: None });
            tell(&mut response, path, now);
            let mut found: Vec<_> = response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
                .collect();
            found.sort_unstable();
            assert_eq!(found, want, "{path}");
        }
    }
}
