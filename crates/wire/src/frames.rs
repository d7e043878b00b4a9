//! Cuts an event stream into whole frames without touching a byte, for those who pass them on.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::stream::StreamError;

/// Most bytes of a frame, and of what is held back before the first word.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// The first bytes of a stream may be this mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes on their way through: frames that may go on, then what is not looked at yet.
#[derive(Debug, Default)]
pub struct Frames {
    pending: BytesMut,
    /// The end of what may go on.
    n_passed: usize,
    /// Where the unfinished line begins.
    line_start: usize,
}

impl Frames {
    /// More of the stream.
    ///
    /// # Errors
    /// [`StreamError::Malformed`] when too much of it is held.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.pending.len() + bytes.len() > FRAME_BYTES_MAX {
            return Err(StreamError::Malformed);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole frame; [`Frames::pass`] it before asking for another.
    pub fn next_frame(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.pending.get(self.line_start..)?;
            let length = memchr2(b'\n', b'\r', rest)?;
            let line_end = match rest.get(length..) {
                Some([b'\r', b'\n', ..]) => length + 2,
                // What follows tells whether a line feed belongs to it.
                Some([b'\r']) => return None,
                _ => length + 1,
            };
            let is_first_line = self.line_start == self.n_passed;
            self.line_start += line_end;
            // A blank line before a frame's first line belongs to that frame.
            if length == 0 && !is_first_line {
                return Some(self.n_passed..self.line_start);
            }
        }
    }

    /// What is left after the last whole frame.
    #[must_use]
    pub fn rest(&self) -> Range<usize> {
        self.n_passed..self.pending.len()
    }

    /// The frame at `range`.
    #[must_use]
    pub fn frame(&self, range: Range<usize>) -> Frame<'_> {
        Frame::new(self.pending.get(range).unwrap_or_default())
    }

    /// All up to `end` may go on.
    pub fn pass(&mut self, end: usize) {
        self.n_passed = end.min(self.pending.len());
    }

    /// Takes the next frame, which ends at `end`, out of what goes on.
    pub fn cut_out(&mut self, end: usize) {
        let rest = self.pending.split_off(end.min(self.pending.len()));
        self.pending.truncate(self.n_passed);
        self.pending.extend_from_slice(&rest);
        self.line_start = self.n_passed;
    }

    /// Puts `frame` in the place of what is left after the last frame that may go on.
    pub fn end_with(&mut self, frame: &[u8]) {
        self.pending.truncate(self.n_passed);
        self.pending.extend_from_slice(frame);
        self.n_passed = self.pending.len();
        self.line_start = self.n_passed;
    }

    /// Ends the last frame, which lacks its blank line, and lets it go on.
    pub fn complete(&mut self) {
        self.pending.extend_from_slice(b"\n\n");
        self.n_passed = self.pending.len();
        self.line_start = self.n_passed;
    }

    /// Takes out what may go on, if there is anything.
    pub fn take(&mut self) -> Option<Bytes> {
        if self.n_passed == 0 {
            return None;
        }
        let bytes = self.pending.split_to(self.n_passed).freeze();
        self.line_start = self.line_start.saturating_sub(self.n_passed);
        self.n_passed = 0;
        Some(bytes)
    }
}

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// Its bytes, without space before them.
    start: &'a [u8],
}

impl<'a> Frame<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { start: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start() }
    }

    /// The JSON that stands in place of a stream; no line of an event stream begins with a brace.
    #[must_use]
    pub fn bare_json(&self) -> Option<&'a [u8]> {
        self.start.starts_with(b"{").then_some(self.start)
    }

    /// The data lines, joined, and the event's name (empty without one).
    #[must_use]
    pub fn event(&self) -> (Cow<'a, [u8]>, &'a [u8]) {
        let mut data: Cow<'a, [u8]> = Cow::Borrowed(&[]);
        let mut name = &b""[..];
        let mut rest = self.start;
        while !rest.is_empty() {
            let line;
            (line, rest) = match memchr2(b'\n', b'\r', rest) {
                Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default()),
                None => (rest, &[][..]),
            };
            if let Some(value) = line.strip_prefix(b"data:") {
                match data.is_empty() {
                    true => data = Cow::Borrowed(value),
                    false => data.to_mut().extend([b"\n", value].concat()),
                }
            } else if let Some(value) = line.strip_prefix(b"event:") {
                name = value.trim_ascii();
            }
        }
        (data, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_blank_lines_of_any_kind() {
        for text in [
            "event: a\ndata: 1\n\n: c\n\ndata: 2\ndata:3\n\n",
            "\u{feff}event: a\r\ndata: 1\r\n\r\n: c\r\n\r\ndata: 2\r\ndata:3\r\n\r\n",
        ] {
            let mut frames = Frames::default();
            let (mut seen, mut passed) = (Vec::new(), Vec::new());
            for byte in text.as_bytes() {
                frames.push(&[*byte]).expect("short");
                while let Some(range) = frames.next_frame() {
                    let (data, name) = frames.frame(range.clone()).event();
                    seen.push((
                        String::from_utf8_lossy(&data).into_owned(),
                        String::from_utf8_lossy(name).into_owned(),
                    ));
                    frames.pass(range.end);
                }
                passed.extend(frames.take().into_iter().flatten());
            }
            let want = [(" 1", "a"), ("", ""), (" 2\n3", "")];
            assert_eq!(seen, want.map(|(data, name)| (data.to_owned(), name.to_owned())), "{text:?}");
            assert_eq!(passed, text.as_bytes());
        }
    }

    #[test]
    fn what_is_left_can_be_replaced_or_completed() {
        let mut frames = Frames::default();
        frames.push(b"data: 1\n\ndata: 2").expect("short");
        let first = frames.next_frame().expect("a frame");
        frames.pass(first.end);
        frames.complete();
        frames.push(b"data: cut").expect("short");
        frames.end_with(b"data: 3\n\n");
        assert_eq!(frames.take().as_deref(), Some(&b"data: 1\n\ndata: 2\n\ndata: 3\n\n"[..]));
        assert!(frames.push(&vec![b'x'; FRAME_BYTES_MAX]).is_ok());
        assert_eq!(frames.push(b"x"), Err(StreamError::Malformed));
    }
}
