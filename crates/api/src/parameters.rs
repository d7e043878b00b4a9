//! Parameters in the query string, read strictly: what is no text is refused, not guessed.

use axum::extract::{FromRequestParts, Query};
use domain::time::Timestamp;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Entries of a listing, unless the caller asks for fewer or more.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// Most entries of a listing.
pub(crate) const LIMIT_MAX: usize = 1_000;

/// The parameters of a request as `T`.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        check(parts.uri.query().unwrap_or_default()).map_err(Problem::bad_parameter)?;
        let Query(parameters) = Query::<T>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::bad_parameter(error.body_text()))?;
        Ok(Self(parameters))
    }
}

/// Reads a time.
pub(crate) fn since_parameter(text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| Problem::bad_parameter("parameter `since`: write a time as 2026-11-21T09:06:00Z"))
}

/// Reads a limit.
pub(crate) fn limit_parameter(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_parameter(format!("parameter `limit`: 1 to {LIMIT_MAX}")))
}

/// What is wrong with the escapes of a query string. The form decoder itself replaces what is no UTF-8 by a sign for
/// "unknown" and leaves broken escapes as they are: both would look for something else than was asked for.
fn check(query: &str) -> Result<(), String> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // The name is shown as far as it can be read.
        let shown = percent_decode_str(name).decode_utf8_lossy();
        for part in [name, value] {
            if !are_escapes_whole(part) {
                return Err(format!("parameter `{shown}`: `%` must be followed by two hexadecimal digits"));
            }
            if percent_decode_str(part).decode_utf8().is_err() {
                return Err(format!("parameter `{shown}`: it is not UTF-8 text"));
            }
        }
    }
    Ok(())
}

fn are_escapes_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        for (query, want) in [
            ("", None),
            ("a=1&b=%C3%A9+x&c", None),
            ("a=100%25", None),
            ("session_id=%ff", Some("parameter `session_id`: it is not UTF-8 text")),
            ("a=1&b=%C3", Some("parameter `b`: it is not UTF-8 text")),
            ("a=%C3%28", Some("parameter `a`: it is not UTF-8 text")),
            ("a=%ED%A0%80", Some("parameter `a`: it is not UTF-8 text")),
            ("%ff=1", Some("parameter `\u{fffd}`: it is not UTF-8 text")),
            ("a=%", Some("parameter `a`: `%` must be followed by two hexadecimal digits")),
            ("a=%4", Some("parameter `a`: `%` must be followed by two hexadecimal digits")),
            ("a=%zz", Some("parameter `a`: `%` must be followed by two hexadecimal digits")),
            ("a%=1", Some("parameter `a%`: `%` must be followed by two hexadecimal digits")),
        ] {
            assert_eq!(check(query).err().as_deref(), want, "{query}");
        }
    }
}
