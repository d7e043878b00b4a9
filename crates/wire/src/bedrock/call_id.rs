//! Names of calls: Bedrock takes 1 to 64 letters, digits, `_` and `-`, and other dialects take more.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

const LENGTH_MAX: usize = 64;
/// Before the bytes of an id in base64.
const WRITTEN: &str = "msb64-";
/// Before the digest of an id that is too long for that.
const DIGESTED: &str = "mssha-";

/// `id` as Bedrock takes it: itself where it can be. No two ids become the same.
#[must_use]
pub fn to_bedrock(id: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let fits = (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(is_plain);
    // A digest stays what it is: it may be ours, on its way back.
    if fits && !id.starts_with(WRITTEN) {
        return Cow::Borrowed(id);
    }
    let written = URL_SAFE_NO_PAD.encode(id);
    Cow::Owned(match WRITTEN.len() + written.len() <= LENGTH_MAX {
        true => format!("{WRITTEN}{written}"),
        false => format!("{DIGESTED}{}", URL_SAFE_NO_PAD.encode(Sha256::digest(id))),
    })
}

/// The id that [`to_bedrock`] was given; one that was too long keeps its new name, which serves as well: within a
/// conversation calls and their results name each other by it.
#[must_use]
pub fn from_bedrock(id: String) -> String {
    let original = id.strip_prefix(WRITTEN).and_then(|written| URL_SAFE_NO_PAD.decode(written).ok());
    original.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_change_only_when_they_must() {
        for id in ["tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "call_abc-1", "x", &"a".repeat(64)] {
            assert_eq!(to_bedrock(id), id);
        }
        for id in ["", "a.b", "call:1", "ü", "msb64-YQ", &"a".repeat(65), &"b".repeat(200)] {
            let named = to_bedrock(id);
            assert!(named != id && (1..=64).contains(&named.len()), "{id}: {named}");
        }
        assert_ne!(to_bedrock(&"a".repeat(65)), to_bedrock(&"a".repeat(66)));
    }

    #[test]
    fn what_is_too_long_keeps_its_new_name() {
        for id in ["\u{1f600}".repeat(14), "a.".repeat(22)] {
            let named = to_bedrock(&id).into_owned();
            assert!(named.starts_with(DIGESTED) && named.len() <= LENGTH_MAX, "{named}");
            assert_eq!(from_bedrock(named.clone()), named);
            assert_eq!(to_bedrock(&named), named);
        }
    }

    proptest! {
        // 43 bytes are 58 in base64, which fit behind the mark; ten characters are 40 bytes at most.
        #[test]
        fn what_is_not_too_long_comes_back(id in ".{0,10}|[a-z:.]{0,43}|[a-zA-Z0-9_-]{0,43}") {
            let named = to_bedrock(&id).into_owned();
            prop_assert!(named.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
            prop_assert!((1..=64).contains(&named.len()));
            prop_assert_eq!(from_bedrock(named), id);
        }
    }
}
