//! The caller's headers that go on to a provider of the same dialect: which version, and which features under test.

use http::HeaderMap;
use wire::anthropic::messages::{BETA_HEADER, VERSION_HEADER};

use crate::dialect::refusal::Refusal;

/// Lists of features may come in several fields, which mean the same as one.
pub(super) fn passed(headers: &HeaderMap) -> Result<Vec<(&'static str, Box<str>)>, Refusal> {
    let mut passed = Vec::new();
    for name in [VERSION_HEADER, BETA_HEADER] {
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            values.push(value.to_str().map_err(|_| Refusal::field(name, "a header of visible letters"))?);
        }
        if !values.is_empty() {
            passed.push((name, values.join(",").into_boxed_str()));
        }
    }
    Ok(passed)
}

/// Whether the caller speaks this dialect, where a path is that of several.
pub(crate) fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key(VERSION_HEADER)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_the_dialect_lets_through_passes() {
        let mut headers = HeaderMap::new();
        assert_eq!(passed(&headers), Ok(Vec::new()));
        headers.insert("x-api-key", HeaderValue::from_static("sk-ms-1"));
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        headers.append("anthropic-beta", HeaderValue::from_static("a"));
        headers.append("anthropic-beta", HeaderValue::from_static("b,c"));
        let want = vec![("anthropic-version", "2023-06-01".into()), ("anthropic-beta", "a,b,c".into())];
        assert_eq!(passed(&headers), Ok(want));
        headers.insert("anthropic-beta", HeaderValue::from_bytes(b"\xff").expect("opaque"));
        assert!(passed(&headers).is_err());
    }
}
