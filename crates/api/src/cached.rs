//! Answers that are given again, as callers wish it and are told of it: `x-mainstay-cache` and `age`.

use domain::cache::{Told, Wish};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::problem::Problem;

const CACHE: HeaderName = HeaderName::from_static("x-mainstay-cache");

/// What the request wishes: our own header says it, else the standard one.
pub(crate) fn wish(headers: &HeaderMap) -> Result<Wish, Problem> {
    let mut ours = headers.get_all(CACHE).into_iter();
    if let Some(value) = ours.next() {
        let only = Some(value).filter(|value| ours.all(|other| other == value));
        return only.and_then(|value| value.to_str().ok()).and_then(Wish::parse).ok_or_else(|| {
            let known = Wish::ALL.map(Wish::name).join(", ");
            Problem::bad_parameter(format!("header `x-mainstay-cache`: write one of {known}"))
        });
    }
    // Several lines are one list (RFC 9110, 5.3).
    let lines = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    Ok(lines.flat_map(|line| line.split(',')).map(directive).fold(Wish::Default, stricter))
}

/// A directive of RFC 9111; whoever asks that nothing old is given wants a new answer.
fn directive(directive: &str) -> Wish {
    match directive.trim() {
        text if text.eq_ignore_ascii_case("no-store") => Wish::NoStore,
        text if text.eq_ignore_ascii_case("only-if-cached") => Wish::OnlyIfCached,
        text if text.eq_ignore_ascii_case("no-cache") || text.eq_ignore_ascii_case("max-age=0") => {
            Wish::Refresh
        }
        _ => Wish::Default,
    }
}

fn stricter(one: Wish, other: Wish) -> Wish {
    match (one, other) {
        // No model is called, whatever else is wished.
        (Wish::OnlyIfCached, _) | (_, Wish::OnlyIfCached) => Wish::OnlyIfCached,
        (Wish::NoStore, _) | (_, Wish::NoStore) => Wish::NoStore,
        (Wish::Default, wish) => wish,
        (wish, _) => wish,
    }
}

/// Tells what came of it.
pub(crate) fn put(headers: &mut HeaderMap, told: Told) {
    headers.insert(CACHE, HeaderValue::from_static(told.came.name()));
    if let Some(age) = told.age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
}

/// The same in a body.
pub(crate) fn body(told: Told) -> Value {
    json!({ "result": told.came.name(), "age_s": told.age.map(|age| age.as_secs()) })
}

/// The same in a comment.
pub(crate) fn line(told: Told) -> String {
    match told.age {
        Some(age) => format!("x-mainstay-cache: {}; age={}", told.came.name(), age.as_secs()),
        None => format!("x-mainstay-cache: {}", told.came.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_from_our_header_first() {
        for (ours, standard, want) in [
            (None, None, Some(Wish::Default)),
            (Some("refresh"), Some("no-store"), Some(Wish::Refresh)),
            (Some("Only-If-Cached"), None, Some(Wish::OnlyIfCached)),
            (Some("default"), Some("no-store"), Some(Wish::Default)),
            (Some("sometimes"), None, None),
            (None, Some("no-cache"), Some(Wish::Refresh)),
            (None, Some("max-age=0, no-store"), Some(Wish::NoStore)),
            (None, Some("max-age=60, private"), Some(Wish::Default)),
            (None, Some("only-if-cached"), Some(Wish::OnlyIfCached)),
            (None, Some("no-cache, only-if-cached"), Some(Wish::OnlyIfCached)),
            (None, Some("only-if-cached, no-cache, no-store"), Some(Wish::OnlyIfCached)),
        ] {
            let mut headers = HeaderMap::new();
            ours.map(|value| headers.insert(CACHE, HeaderValue::from_static(value)));
            standard.map(|value| headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value)));
            assert_eq!(wish(&headers).ok(), want, "{ours:?} {standard:?}");
        }
        let lines = |name: HeaderName, values: [&'static str; 2]| {
            let lines = values.map(|value| (name.clone(), HeaderValue::from_static(value)));
            wish(&HeaderMap::from_iter(lines)).ok()
        };
        assert_eq!(lines(header::CACHE_CONTROL, ["max-age=100", "no-store"]), Some(Wish::NoStore));
        assert_eq!(lines(CACHE, ["refresh", "refresh"]), Some(Wish::Refresh));
        assert_eq!(lines(CACHE, ["default", "no-store"]), None);
    }
}
