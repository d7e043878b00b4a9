//! What the kinds of media are called.

/// The name of `kind` that providers know it by: many write `image/jpg`, which is none.
pub(crate) fn kind(kind: &str) -> &str {
    if kind.eq_ignore_ascii_case("image/jpg") { "image/jpeg" } else { kind }
}
