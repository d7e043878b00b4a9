//! AWS event streams: how the bytes are cut makes no difference, and what is written is read back.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use wire::bedrock::frame::{self, Cutter, Frame, Kind, Unreadable};

fn decode(portions: &[&[u8]]) -> (Vec<Result<Frame, Unreadable>>, bool) {
    let (mut cutter, mut frames) = (Cutter::default(), Vec::new());
    for portion in portions {
        cutter.push(portion);
        loop {
            match cutter.next_frame() {
                Ok(Some(frame)) => frames.push(frame::read(frame)),
                Ok(None) => break,
                Err(Unreadable) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(&fuzz::portions(bytes)), decode(&[bytes]));
    // Checksums are found by no chance: the bytes as payloads of frames that are whole.
    let mut written = BytesMut::new();
    frame::event("chunk", Bytes::copy_from_slice(bytes), &mut written);
    frame::exception("throttlingException", Bytes::copy_from_slice(bytes), &mut written);
    let (frames, is_broken) = decode(&fuzz::portions(&written));
    let payload = Bytes::copy_from_slice(bytes);
    let want = [Kind::Event("chunk".into()), Kind::Exception("throttlingException".into())];
    assert_eq!(frames, want.map(|kind| Ok(Frame { kind, payload: payload.clone() })));
    assert!(!is_broken);
    // One byte that is wrong is always seen.
    let at = bytes.len() % written.len();
    written[at] ^= 1 << (bytes.len() % 8);
    assert_ne!(decode(&[&written]).0, frames);
});
