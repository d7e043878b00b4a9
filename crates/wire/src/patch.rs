//! Setting fields of a caller's own body in place; every other byte stays as it is.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use bytes::Bytes;
use domain::chat::{FieldSpan, Relayed};

use crate::request::MODEL;

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

/// What changes of one body.
pub(crate) struct Patch<'a> {
    relayed: &'a Relayed,
    edits: Vec<Edit>,
    /// Fields that are not there yet, each after a comma.
    added: String,
}

impl<'a> Patch<'a> {
    /// The body asks for `model`.
    pub(crate) fn of(relayed: &'a Relayed, model: &str) -> Self {
        let mut patch = Self { relayed, edits: Vec::with_capacity(4), added: String::new() };
        if let Some(field) = patch.field(MODEL) {
            let model = serde_json::Value::from(model).to_string();
            patch.edits.push(Edit::new(field.value.clone(), model));
        }
        patch
    }

    /// A field that was found.
    pub(crate) fn field(&self, name: &str) -> Option<&'a FieldSpan> {
        self.relayed.fields.iter().find(|field| field.name == name)
    }

    /// The whole number that a field holds, if it does.
    pub(crate) fn count(&self, field: &FieldSpan) -> Option<u64> {
        serde_json::from_slice(slice(&self.relayed.body, &field.value)).ok()
    }

    /// The field becomes `value`, also where there was none.
    pub(crate) fn set(&mut self, name: &str, value: impl fmt::Display) {
        match self.field(name) {
            Some(field) => self.edits.push(Edit::new(field.value.clone(), value.to_string())),
            None => {
                self.added.extend([",\"", name, "\":"]);
                let _ = write!(self.added, "{value}");
            }
        }
    }

    /// One more edit.
    pub(crate) fn edit(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    /// The body with all of it.
    pub(crate) fn apply(mut self) -> Bytes {
        if !self.added.is_empty() {
            // The object is not empty: it holds the model.
            self.edits.push(Edit::at_the_end(&self.relayed.body, self.added));
        }
        apply(&self.relayed.body, self.edits)
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
