//! JSON bodies in: bounded in size, time and depth, and checked before they are understood.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use domain::ports::Clock;
use futures_util::poll;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// How much of an oversized body is read and thrown away, so that its sender gets to read the answer.
const DRAINED_MAX: usize = 64 << 20;
/// How deep native JSON may nest and how many keys it may hold.
const LIMITS: wire::json::Limits = wire::json::Limits { depth_max: 64, keys_max: 10_000 };

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes.
    pub(crate) bytes_max: usize,
    /// From the first byte to the last.
    pub(crate) time_max: Duration,
}

/// Reads a JSON body as `T`.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
    clock: &dyn Clock,
) -> Result<T, Problem> {
    parse(&read_json_bytes(headers, body, limits, clock).await?)
}

/// Reads a body that says it is JSON, as it is.
pub(crate) async fn read_json_bytes(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
    clock: &dyn Clock,
) -> Result<Bytes, Problem> {
    check_media_type(headers)?;
    check_encoding(headers)?;
    read_any_bytes(headers, body, limits, clock).await
}

/// Reads a body, whatever it is.
pub(crate) async fn read_any_bytes(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
    clock: &dyn Clock,
) -> Result<Bytes, Problem> {
    check_announced(headers, limits.bytes_max)?;
    let mut reading = pin!(read_bytes(body, limits.bytes_max));
    // Most bodies came with their head: no timer is made for those.
    if let Poll::Ready(bytes) = poll!(&mut reading) {
        return bytes;
    }
    tokio::select! {
        biased;
        bytes = reading => bytes,
        () = clock.sleep(limits.time_max) => {
            Err(Problem::body_timeout(format!("the body was not whole after {} s", limits.time_max.as_secs())))
        }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::not_json("send the header `content-type: application/json`"))
}

/// Nothing is unpacked: a few bytes that become many would be no bounded body.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    match encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Problem::not_json("bodies are read as they are: send no `content-encoding`")),
    }
}

/// Whoever asks before sending a body is told that it is too large; reading it would ask for it.
fn check_announced(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asks_before = text(header::EXPECT).eq_ignore_ascii_case("100-continue");
    let length = text(header::CONTENT_LENGTH).parse::<u64>().unwrap_or_default();
    match asks_before && length > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        true => Err(too_large(bytes_max)),
        false => Ok(()),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::body_too_large(format!("a body may have at most {bytes_max} bytes"))
}

async fn read_bytes(mut body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    // Most bodies come in one portion, which needs no copy.
    let mut first = Bytes::new();
    let mut read = BytesMut::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_json("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let before = total;
        total = total.saturating_add(data.len());
        if total > DRAINED_MAX {
            break;
        }
        if total > bytes_max {
            (first, read) = (Bytes::new(), BytesMut::new());
        } else if before == 0 {
            first = data;
        } else {
            if read.is_empty() {
                read.extend_from_slice(&first);
            }
            read.extend_from_slice(&data);
        }
    }
    if total > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(if read.is_empty() { first } else { read.freeze() })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad_json("the body is empty; send a JSON object"));
    }
    wire::json::check(bytes, LIMITS).map_err(|error| Problem::bad_json(error.to_string()))?;
    // A list would be taken field by field.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_json("send a JSON object, as {\"query\": \"…\"}"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let place = if path == "." { String::new() } else { format!("field `{path}`: ") };
        let detail = format!("{place}{cause}");
        if cause.is_data() { Problem::bad_field(detail) } else { Problem::bad_json(detail) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[expect(dead_code, reason = "only its parsing is tested")]
        text: String,
    }

    #[test]
    fn bad_bodies_are_named() {
        for (bytes, want) in [
            (&b""[..], "empty"),
            (b"{", "ends too early"),
            (b"[]", "JSON object"),
            (b" [\"a\"]", "JSON object"),
            (b"null", "JSON object"),
            (b"{\"text\":1}", "field `text`"),
            (b"{\"text\":\"a\",\"colour\":1}", "unknown field `colour`"),
            (b"{\"text\":\"\\ud800\"}", "surrogate"),
            (b"\xff", "UTF-8"),
        ] {
            let problem = parse::<Small>(bytes).expect_err(&String::from_utf8_lossy(bytes));
            assert!(problem.json().contains(want), "{}: {}", String::from_utf8_lossy(bytes), problem.json());
            assert!(problem.status().is_client_error());
        }
    }

    #[test]
    fn deep_nesting_neither_passes_nor_crashes() {
        let deep = [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat();
        let problem = parse::<serde_json::Value>(&deep).expect_err("too deep");
        assert!(problem.json().contains("deep"), "{}", problem.json());
    }

    #[tokio::test]
    async fn a_body_is_the_same_in_any_portions() {
        for portions in [vec![], vec!["{}"], vec!["", "{", "", "}"], vec!["{\"a\"", ":", "1}"]] {
            let frames = portions.clone().into_iter().map(Ok::<_, std::convert::Infallible>);
            let body = Body::from_stream(futures_util::stream::iter(frames));
            assert_eq!(read_bytes(body, 99).await.expect("short enough"), portions.concat());
        }
    }

    #[tokio::test]
    async fn an_oversized_body_is_refused() {
        let body = Body::from(vec![b' '; 100]);
        let problem = read_bytes(body, 99).await.expect_err("too large");
        assert_eq!(problem.status(), http::StatusCode::PAYLOAD_TOO_LARGE);
    }
}
