//! Names that others chose, as OpenAI takes them: not too long.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Most characters of a call's id, and of `user`; OpenAI refuses more (`string_above_max_length`).
const CALL_MAX: usize = 40;
const USER_MAX: usize = 64;
/// So many bytes of a digest fit into a call's id.
const DIGEST_BYTES: usize = 24;

/// The id of a call: itself where it can be. The same for the call and its result.
pub(super) fn call(id: &str) -> Cow<'_, str> {
    if id.chars().count() <= CALL_MAX {
        return Cow::Borrowed(id);
    }
    let digest: Vec<u8> = Sha256::digest(id).into_iter().take(DIGEST_BYTES).collect();
    Cow::Owned(format!("call_{}", URL_SAFE_NO_PAD.encode(digest)))
}

/// Who asks: only a hint, which tells one from another as a digest, too.
pub(super) fn user(user: &str) -> Cow<'_, str> {
    if user.chars().count() <= USER_MAX {
        return Cow::Borrowed(user);
    }
    Cow::Owned(Sha256::digest(user).iter().fold(String::with_capacity(USER_MAX), |mut digest, byte| {
        let _ = write!(digest, "{byte:02x}");
        digest
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_long_changes() {
        for (name, most) in [(call as fn(&str) -> Cow<'_, str>, CALL_MAX), (user, USER_MAX)] {
            for fits in ["", "toolu_01A", &"ü".repeat(most)] {
                assert_eq!(name(fits), fits);
            }
            let long = "a".repeat(most + 1);
            assert!(name(&long).len() <= most && name(&long) == name(&long.clone()));
            assert_ne!(name(&long), name(&"b".repeat(most + 1)));
        }
        // As `sha256sum` has it.
        assert_eq!(user(&"a".repeat(65)), "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
    }
}
