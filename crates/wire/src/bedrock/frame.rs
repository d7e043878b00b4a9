//! Frames of AWS event streams (`application/vnd.amazon.eventstream`): found whole among the bytes that have come,
//! checked against both of their checksums, and written.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use aws_smithy_types::str_bytes::StrBytes;
use bytes::{Buf, Bytes, BytesMut};

/// Most bytes of a frame that is read. Bedrock's largest are parts of 1,000,000 bytes in base64.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Length of all, length of the headers and their checksum.
const PRELUDE_BYTES: usize = 12;
/// A frame without headers and payload.
const FRAME_BYTES_MIN: usize = 16;

/// The bytes are no frame, or a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of an event stream")]
pub struct Unreadable;

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An event of this name.
    Event(StrBytes),
    /// An exception of this name.
    Exception(StrBytes),
    /// An error that the operation has no exception for.
    Error {
        /// Its name; empty where it has none.
        code: StrBytes,
        /// What it says.
        message: StrBytes,
    },
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it holds.
    pub payload: Bytes,
}

/// How many bytes the frame has that begins with `bytes`, as soon as that is known.
///
/// # Errors
/// [`Unreadable`] when no frame begins so.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    let Some(mut prelude) = bytes.get(..PRELUDE_BYTES) else {
        return Ok(None);
    };
    let length = usize::try_from(prelude.get_u32()).map_err(|_| Unreadable)?;
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length) {
        return Err(Unreadable);
    }
    Ok(Some(length))
}

/// Reads one whole frame.
///
/// # Errors
/// [`Unreadable`] when a checksum does not match, or it does not say what it is.
pub fn read(frame: Bytes) -> Result<Frame, Unreadable> {
    let message = read_message_from(frame).map_err(|_| Unreadable)?;
    let header = |name: &str| {
        let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok()
    };
    let kind = match header(":message-type").map(StrBytes::as_str) {
        // Some servers leave it out of events.
        Some("event") | None => Kind::Event(header(":event-type").ok_or(Unreadable)?.clone()),
        Some("exception") => Kind::Exception(header(":exception-type").ok_or(Unreadable)?.clone()),
        Some("error") => {
            let said = |name| header(name).cloned().unwrap_or_else(|| "".into());
            Kind::Error { code: said(":error-code"), message: said(":error-message") }
        }
        Some(_) => return Err(Unreadable),
    };
    Ok(Frame { kind, payload: message.payload().clone() })
}

/// Writes an event.
pub fn event(kind: &'static str, payload: impl Into<Bytes>, frames: &mut BytesMut) {
    write("event", (":event-type", kind), payload.into(), frames);
}

/// Writes an exception.
pub fn exception(kind: &'static str, payload: impl Into<Bytes>, frames: &mut BytesMut) {
    write("exception", (":exception-type", kind), payload.into(), frames);
}

fn write(message: &'static str, kind: (&'static str, &'static str), payload: Bytes, frames: &mut BytesMut) {
    let header =
        |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let headers = vec![
        header(kind.0, kind.1),
        header(":content-type", "application/json"),
        header(":message-type", message),
    ];
    let message = Message::new_from_parts(headers, payload);
    write_message_to(&message, frames).expect("names are short, and a payload of 4 GiB does not come to be");
}

/// Cuts what comes into whole frames.
#[derive(Debug, Default)]
pub struct Cutter {
    pending: BytesMut,
}

impl Cutter {
    /// Adds bytes to be cut; what waits is never more than a frame when [`Cutter::next_frame`] is called until it has none.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, as it came.
    ///
    /// # Errors
    /// [`Unreadable`] when what has come begins no frame.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Unreadable> {
        Ok(match length(&self.pending)? {
            Some(length) if length <= self.pending.len() => Some(self.pending.split_to(length).freeze()),
            _ => None,
        })
    }

    /// Whether a part of a frame is waiting for its rest.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What has come of a frame that is not whole.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.pending
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written() -> BytesMut {
        let mut frames = BytesMut::new();
        event("messageStart", &b"{}"[..], &mut frames);
        exception("throttlingException", &br#"{"message":"slow"}"#[..], &mut frames);
        frames
    }

    #[test]
    fn frames_are_as_the_service_writes_them() {
        // Made with botocore's own parser in mind: prelude, three string headers, payload, checksum.
        let mut frames = BytesMut::new();
        event("messageStart", &br#"{"role":"assistant"}"#[..], &mut frames);
        let golden = include_bytes!("../../golden/bedrock/message-start.frame");
        assert_eq!(&frames[..], &golden[..]);
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let frames = written();
        for at in 0..frames.len() {
            let mut damaged = frames.clone();
            damaged[at] ^= 1;
            let mut cutter = Cutter::default();
            cutter.push(&damaged);
            let mut read_all = || {
                let mut n = 0;
                while let Some(frame) = cutter.next_frame()? {
                    read(frame)?;
                    n += 1;
                }
                if cutter.is_within_frame() { Err(Unreadable) } else { Ok(n) }
            };
            assert_eq!(read_all(), Err(Unreadable), "byte {at}");
        }
    }

    #[test]
    fn frames_without_a_name_or_with_absurd_lengths_are_none() {
        let mut nameless = BytesMut::new();
        write_message_to(&Message::new(&b"x"[..]), &mut nameless).expect("written");
        assert_eq!(read(nameless.freeze()), Err(Unreadable));
        assert_eq!(length(&[0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Unreadable));
        assert_eq!(length(&[255; 12]), Err(Unreadable));
        assert_eq!(length(&[255; 11]), Ok(None));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(sizes in prop::collection::vec(1_usize..40, 1..60)) {
            let frames = written();
            let (mut cutter, mut found, mut rest) = (Cutter::default(), Vec::new(), &frames[..]);
            for size in sizes.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(size.min(rest.len()));
                rest = later;
                cutter.push(now);
                while let Some(frame) = cutter.next_frame().expect("frames") {
                    found.push(frame);
                }
            }
            prop_assert_eq!(found.concat(), &frames[..]);
            prop_assert_eq!(found.len(), 2);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(Bytes::from(bytes.clone()));
            let mut cutter = Cutter::default();
            cutter.push(&bytes);
            while let Ok(Some(frame)) = cutter.next_frame() {
                let _ = read(frame);
            }
        }

        /// With true checksums around it, so that the headers themselves are read.
        #[test]
        fn arbitrary_headers_never_panic(headers in prop::collection::vec(any::<u8>(), 0..60), length: u8) {
            let total = 16 + headers.len();
            let mut frame = Vec::new();
            frame.extend(u32::try_from(total).expect("small").to_be_bytes());
            frame.extend(u32::from(length).to_be_bytes());
            frame.extend(crc32(&frame).to_be_bytes());
            frame.extend(headers);
            frame.extend(crc32(&frame).to_be_bytes());
            let _ = read(Bytes::from(frame));
        }
    }

    /// The checksum of the format (CRC-32, IEEE), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
            })
        };
        !bytes.iter().fold(u32::MAX, step)
    }
}
