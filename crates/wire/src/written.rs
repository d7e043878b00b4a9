//! What this crate writes as JSON. All of it is made of texts, numbers, lists and JSON that was checked, with texts as
//! keys, so that it always becomes JSON.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

const WRITTEN: &str = "texts, numbers, lists and JSON always become JSON";

/// `value` as a body.
pub(crate) fn body(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect(WRITTEN))
}

/// `value` behind what is in `frames`.
pub(crate) fn append(value: &impl Serialize, frames: &mut BytesMut) {
    serde_json::to_writer(frames.writer(), value).expect(WRITTEN);
}
