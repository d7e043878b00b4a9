//! A whole answer, written.

use bytes::Bytes;
use domain::conversation::Answer;
use serde_json::Value;

use super::items::{self, Status};
use crate::face::About;

/// The body of an answer of ours.
pub(super) fn write(about: &About, answer: &Answer) -> Bytes {
    let item = |(index, part)| items::item(part, (about, index), Status::Completed);
    let output: Vec<Value> = answer.parts.iter().enumerate().filter_map(item).collect();
    Bytes::from(items::response(about, &output, Some(&answer.ending)).to_string())
}
