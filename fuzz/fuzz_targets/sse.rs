//! Server-sent events: how the bytes are cut makes no difference, and frames that pass on are the bytes that came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::frames::Frames;
use wire::sse::{Decoder, Event, Limits};

fn decode(portions: &[&[u8]], limits: Limits) -> (Vec<Event>, Option<Event>, bool) {
    let mut decoder = Decoder::new(limits);
    let mut events = Vec::new();
    let is_whole = portions.iter().all(|portion| decoder.push(portion, &mut events).is_ok());
    (events, decoder.finish(), is_whole)
}

fn cut(portions: &[&[u8]]) -> (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>) {
    let (mut frames, mut passed, mut seen) = (Frames::default(), Vec::new(), Vec::new());
    for portion in portions {
        frames.push(portion).expect("short");
        while let Some(range) = frames.next_frame() {
            let (data, name) = frames.frame(range.clone()).event();
            seen.push((data.into_owned(), name.to_vec()));
            frames.pass(range.end);
        }
        passed.extend(frames.take().into_iter().flatten());
    }
    (passed, seen)
}

fuzz_target!(|bytes: &[u8]| {
    let portions = fuzz::portions(bytes);
    for limits in [Limits::default(), Limits { line_bytes_max: 32, event_bytes_max: 64 }] {
        assert_eq!(decode(&portions, limits), decode(&[bytes], limits));
    }
    let (passed, seen) = cut(&portions);
    assert!(bytes.starts_with(&passed));
    let (whole, seen_whole) = cut(&[bytes]);
    assert_eq!(passed, whole);
    assert_eq!(seen, seen_whole);
});
