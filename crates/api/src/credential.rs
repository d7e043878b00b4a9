//! The key that a request carries, wherever its SDK puts it.

use access::denied::Denied;
use access::jwt;
use http::{HeaderMap, HeaderName, header};

/// Where keys are looked for. First the headers of other gateways: whoever moves from one may send a provider's key in
/// the usual one beside it.
const HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("x-litellm-api-key"),
    HeaderName::from_static("x-bf-vk"),
    HeaderName::from_static("x-portkey-api-key"),
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];

/// What every key of ours begins with.
const OURS: &str = "sk-ms-";

/// The one key of a request.
pub(crate) fn find(headers: &HeaderMap) -> Result<&str, Denied> {
    let Found { ours, token, first } = look(headers)?;
    ours.or(token).or(first).ok_or(Denied::Missing)
}

/// The key of ours that a request carries, beside its signature, say.
pub(crate) fn own(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    Ok(look(headers)?.ours)
}

#[derive(Default)]
struct Found<'h> {
    /// A key of ours.
    ours: Option<&'h str>,
    /// A signed token.
    token: Option<&'h str>,
    /// Whatever came first.
    first: Option<&'h str>,
}

/// Two different keys of ours, or tokens, are refused: what stands in front may have looked at the other one.
fn look(headers: &HeaderMap) -> Result<Found<'_>, Denied> {
    let mut found = Found::default();
    for name in &HEADERS {
        let mut here = None;
        for value in headers.get_all(name) {
            let Some(key) = value.to_str().ok().and_then(|text| key(name, text)) else { continue };
            if here.replace(key).is_some_and(|other| other != key) {
                return Err(Denied::Several);
            }
            let kind = match key {
                _ if key.starts_with(OURS) => &mut found.ours,
                _ if jwt::is_meant(key) => &mut found.token,
                _ => {
                    found.first = found.first.or(Some(key));
                    continue;
                }
            };
            if kind.replace(key).is_some_and(|other| other != key) {
                return Err(Denied::Several);
            }
        }
    }
    Ok(found)
}

/// The key in a header's value; `Bearer` may stand before it anywhere, and must in `authorization`.
fn key<'a>(name: &HeaderName, value: &'a str) -> Option<&'a str> {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    let key = match scheme.eq_ignore_ascii_case("bearer") {
        true => rest.trim(),
        false if name == header::AUTHORIZATION => return None,
        false => value.trim(),
    };
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_sdks_put_it() {
        for (headers, want) in [
            (&[][..], Err(Denied::Missing)),
            (&[("authorization", "Bearer sk-ms-a")], Ok("sk-ms-a")),
            (&[("authorization", "bearer  sk-ms-a ")], Ok("sk-ms-a")),
            (&[("authorization", "sk-ms-a")], Err(Denied::Missing)),
            (&[("authorization", "Basic c2s=")], Err(Denied::Missing)),
            (&[("authorization", "Bearer ")], Err(Denied::Missing)),
            (&[("x-api-key", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("x-goog-api-key", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("api-key", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("x-litellm-api-key", "Bearer sk-ms-a")], Ok("sk-ms-a")),
            (&[("x-bf-vk", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("x-portkey-api-key", "sk-ms-a")], Ok("sk-ms-a")),
            // The provider's key of whoever moves here from another gateway.
            (&[("authorization", "Bearer sk-proj-1"), ("x-portkey-api-key", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("authorization", "Bearer sk-ms-a"), ("x-api-key", "sk-ant-1")], Ok("sk-ms-a")),
            (&[("authorization", "Bearer sk-ms-a"), ("x-api-key", "sk-ms-a")], Ok("sk-ms-a")),
            (&[("authorization", "Bearer sk-ms-a"), ("x-api-key", "sk-ms-b")], Err(Denied::Several)),
            (
                &[("authorization", "Bearer sk-ms-a"), ("authorization", "Bearer sk-ms-b")],
                Err(Denied::Several),
            ),
            (&[("authorization", "Bearer token"), ("x-api-key", "other")], Ok("token")),
            (&[("authorization", "Bearer eyJh.a.a"), ("x-api-key", "sk-ant-1")], Ok("eyJh.a.a")),
            (&[("x-litellm-api-key", "sk-1"), ("authorization", "Bearer eyJh.a.a")], Ok("eyJh.a.a")),
            (&[("authorization", "Bearer eyJh.a.a"), ("x-api-key", "eyJh.b.b")], Err(Denied::Several)),
            (&[("authorization", "Bearer eyJh.a.a"), ("x-api-key", "eyJh.a.a")], Ok("eyJh.a.a")),
            // What stands in front may have looked at the other one.
            (&[("authorization", "Bearer token"), ("authorization", "Bearer other")], Err(Denied::Several)),
            (&[("authorization", "Bearer token"), ("authorization", "Bearer token")], Ok("token")),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().expect("a value"));
            }
            assert_eq!(find(&map), want, "{headers:?}");
        }
    }
}
