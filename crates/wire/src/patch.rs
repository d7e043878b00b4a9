//! Setting fields of a caller's own body in place; every other byte stays as it is.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// Replaces `range` of a body.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Which bytes; empty to insert.
    pub range: Range<usize>,
    /// What stands there instead.
    pub text: Cow<'static, str>,
}

impl Edit {
    /// `range` becomes `text`.
    pub fn new(range: Range<usize>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { range, text: text.into() }
    }

    /// Adds fields to the end of the object that `body` is. `added` begins with a comma when the object has fields.
    #[must_use]
    pub fn at_the_end(body: &[u8], added: String) -> Self {
        let end = body.trim_ascii_end().len().saturating_sub(1);
        Self::new(end..end, added)
    }
}

/// `body` with `edits`, which do not overlap; the same bytes when they change nothing.
#[must_use]
pub fn apply(body: &Bytes, mut edits: Vec<Edit>) -> Bytes {
    edits.retain(|edit| slice(body, &edit.range) != edit.text.as_bytes());
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|edit| edit.range.start);
    let more: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut patched = Vec::with_capacity(body.len() + more);
    let mut at = 0;
    for edit in edits {
        patched.extend_from_slice(slice(body, &(at..edit.range.start)));
        patched.extend_from_slice(edit.text.as_bytes());
        at = edit.range.end;
    }
    patched.extend_from_slice(slice(body, &(at..body.len())));
    Bytes::from(patched)
}

/// The bytes of `range`; none when it is not within them.
#[must_use]
pub fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bytes.get(range.clone()).unwrap_or_default()
}
