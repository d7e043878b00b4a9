//! Frames of AWS event streams, written by hand, since it must be possible to break every rule of them.

use crate::upstream::FrameFault;
use crate::upstream::reply::raw::with_bad_byte;

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// What a header's value may have at most.
const HEADER_BYTES_MAX: usize = 32_767;

/// An event.
pub(super) fn event(name: &str, payload: &str) -> Vec<u8> {
    sealed(&headers(&[(":event-type", name), JSON, (":message-type", "event")]), payload)
}

/// The exception that ends a stream.
pub(super) fn exception(message: &str) -> Vec<u8> {
    let kind = (":exception-type", "modelStreamErrorException");
    let payload =
        serde_json::json!({ "message": message, "originalStatusCode": 500, "originalMessage": message });
    sealed(&headers(&[kind, JSON, (":message-type", "exception")]), &payload.to_string())
}

/// An event with a header as long as one may be.
pub(super) fn with_huge_header(name: &str, payload: &str) -> Vec<u8> {
    let long = "h".repeat(HEADER_BYTES_MAX);
    sealed(&headers(&[("x-long", &long), (":event-type", name), JSON, (":message-type", "event")]), payload)
}

/// An event with `fault`.
pub(super) fn spoiled(fault: FrameFault, name: &str, payload: &str) -> Vec<u8> {
    let mut frame = event(name, payload);
    let half = frame.len() / 2;
    let own = headers(&[(":event-type", name), JSON, (":message-type", "event")]);
    match fault {
        FrameFault::Checksum => flip(&mut frame, |length| length - 1),
        FrameFault::Prelude => flip(&mut frame, |_| 8),
        FrameFault::Truncated => frame.truncate(half),
        FrameFault::Length => return with_lengths((u32::MAX, length(&own)), &own, payload),
        FrameFault::HeaderLength => {
            return with_lengths((length(&frame), length(&frame)), &own, payload);
        }
        FrameFault::HugeHeader => return with_huge_header(name, payload),
        FrameFault::Nameless => return sealed(&headers(&[JSON, (":message-type", "event")]), payload),
        FrameFault::Unknown => return event("somethingNew", "{\"of\":[\"no\",\"model\"]}"),
        FrameFault::Error => {
            let error = [
                (":message-type", "error"),
                (":error-code", "InternalFailure"),
                (":error-message", "provider says no"),
            ];
            return sealed(&headers(&error), "");
        }
    }
    frame
}

const JSON: (&str, &str) = (":content-type", "application/json");

fn flip(frame: &mut [u8], at: impl Fn(usize) -> usize) {
    if let Some(byte) = frame.get_mut(at(frame.len())) {
        *byte ^= 1;
    }
}

/// Headers with texts (type 7).
fn headers(all: &[(&str, &str)]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in all {
        headers.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    headers
}

fn sealed(headers: &[u8], payload: &str) -> Vec<u8> {
    let payload = with_bad_byte(payload);
    let whole = 16 + headers.len() + payload.len();
    write((u32::try_from(whole).unwrap_or(u32::MAX), length(headers)), headers, &payload)
}

/// With lengths that are not its own, and checksums that hold.
fn with_lengths(lengths: (u32, u32), headers: &[u8], payload: &str) -> Vec<u8> {
    write(lengths, headers, payload.as_bytes())
}

fn write((whole, of_headers): (u32, u32), headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = [whole.to_be_bytes(), of_headers.to_be_bytes()].concat();
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(headers);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
