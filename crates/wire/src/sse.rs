//! Server-sent events, by the WHATWG HTML standard §9.2 (read 2026-11): decoding bytes in any portions, and encoding.

use bytes::Bytes;

/// The first bytes of a stream may be this mark; it is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty when the stream did not name one, which means `message`.
    pub name: String,
    /// Its data lines, joined by line feeds. Not checked to be UTF-8.
    pub data: Vec<u8>,
}

/// How much a decoder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one line.
    pub line_bytes_max: usize,
    /// Most bytes of data of one event.
    pub event_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_bytes_max: 1 << 20, event_bytes_max: 4 << 20 }
    }
}

/// A line or an event is longer than its limit; the stream cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line or an event of the stream is too long")]
pub struct TooLong;

/// Turns bytes into events; how the bytes are cut into portions makes no difference.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    line: Vec<u8>,
    pending: Event,
    has_data: bool,
    after_carriage_return: bool,
    position: Position,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    FirstLine,
    Later,
    Broken,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Reads the next portion and appends the events that it completes to `events`.
    ///
    /// # Errors
    /// [`TooLong`] when a limit is passed, then and ever after; events before that point are in `events`.
    pub fn push(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        if self.position == Position::Broken {
            return Err(TooLong);
        }
        let outcome = self.read(portion, events);
        if outcome.is_err() {
            self.position = Position::Broken;
        }
        outcome
    }

    /// The event that was still open when the stream ended, with its unfinished last line.
    /// The standard drops it; some providers end their last event without the blank line.
    #[must_use]
    pub fn finish(mut self) -> Option<Event> {
        if self.position == Position::Broken {
            return None;
        }
        if !self.line.is_empty() {
            self.end_line().ok()?;
        }
        self.has_data.then_some(self.pending)
    }

    fn read(&mut self, portion: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut rest = portion;
        if self.after_carriage_return && !rest.is_empty() {
            self.after_carriage_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = rest.split_at(end);
            self.extend_line(head)?;
            if let Some(event) = self.end_line()? {
                events.push(event);
            }
            rest = match tail {
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => tail,
            };
            self.after_carriage_return = tail == b"\r";
        }
        self.extend_line(rest)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > self.limits.line_bytes_max {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes the finished line into the pending event; a blank line completes that event.
    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if self.position == Position::FirstLine {
            self.position = Position::Later;
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.pending);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.strip_prefix(b":").unwrap_or(value);
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => self.extend_data(value)?,
            b"event" => self.pending.name = String::from_utf8_lossy(value).into_owned(),
            _ => {} // a comment, `id`, `retry`, or a field of the future
        }
        Ok(None)
    }

    fn extend_data(&mut self, value: &[u8]) -> Result<(), TooLong> {
        if self.pending.data.len() + value.len() + 1 > self.limits.event_bytes_max {
            return Err(TooLong);
        }
        if self.has_data {
            self.pending.data.push(b'\n');
        }
        self.has_data = true;
        self.pending.data.extend_from_slice(value);
        Ok(())
    }
}

/// The bytes of one event; line breaks of every kind in `data` become separate data lines.
/// An empty `name` is left out; what follows a line break in `name` is dropped.
#[must_use]
pub fn encode(name: &str, data: &str) -> Bytes {
    let mut text = String::with_capacity(name.len() + data.len() + 16);
    if let Some(name) = name.lines().next().filter(|name| !name.is_empty()) {
        text.extend(["event: ", name.split('\r').next().unwrap_or_default(), "\n"]);
    }
    for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
        text.extend(["data: ", line, "\n"]);
    }
    text.push('\n');
    Bytes::from(text)
}

/// The bytes of a comment, which readers ignore: keeps a silent connection open.
#[must_use]
pub fn encode_comment(text: &str) -> Bytes {
    let line = text.replace(['\r', '\n'], " ");
    Bytes::from(format!(": {line}\n\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::relay::tests::portions;

    fn decode(portions: &[&[u8]]) -> (Vec<Event>, Option<Event>) {
        let mut decoder = Decoder::new(Limits::default());
        let mut events = Vec::new();
        for portion in portions {
            decoder.push(portion, &mut events).expect("within the limits");
        }
        (events, decoder.finish())
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.as_bytes().to_vec() }
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        for (text, want) in [
            ("data: a\n\ndata: b\n\n", vec![event("", "a"), event("", "b")]),
            ("data: a\r\n\r\ndata:b\r\r", vec![event("", "a"), event("", "b")]), // every line end
            ("data: a\ndata: b\n\n", vec![event("", "a\nb")]),
            ("data\n\n", vec![event("", "")]), // a field without colon is empty
            ("data:  a\n\n", vec![event("", " a")]), // one space belongs to the separator
            (": ping\n\nevent: end\n\ndata: a\n\n", vec![event("", "a")]), // no data, no event; its name is gone
            ("event: stop\nid: 7\nretry: 9\nnew: x\ndata: a\n\n", vec![event("stop", "a")]),
            ("\u{feff}data: a\n\n", vec![event("", "a")]),
            ("data: a", vec![]),
        ] {
            assert_eq!(decode(&[text.as_bytes()]).0, want, "{text:?}");
        }
    }

    #[test]
    fn the_last_event_may_lack_its_blank_line() {
        for text in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r"] {
            assert_eq!(decode(&[text.as_bytes()]).1, Some(event("", "[DONE]")), "{text:?}");
        }
        assert_eq!(decode(&[b"data: a\n\n: bye"]).1, None);
    }

    #[test]
    fn what_is_too_long_breaks_the_stream_for_good() {
        let limits = Limits { line_bytes_max: 16, event_bytes_max: 20 };
        for text in [&b"data: 0123456789abcdef"[..], b"data: 0123456789\ndata: 0123456789\ndata: 0\n"] {
            let mut decoder = Decoder::new(limits);
            let mut events = Vec::new();
            decoder.push(b"data: a\n\n", &mut events).expect("short");
            assert_eq!(decoder.push(text, &mut events), Err(TooLong));
            assert_eq!(decoder.push(b"\n\n", &mut events), Err(TooLong));
            assert_eq!((events.len(), decoder.finish()), (1, None));
        }
    }

    proptest! {
        #[test]
        fn portions_make_no_difference(
            text in "((data|event|id|:|x)?:? ?[a-c\u{feff}é]{0,3}(\r|\n|\r\n)){0,20}",
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let bytes = text.as_bytes();
            let portions = portions(bytes, cuts);
            let whole = decode(&[bytes]);
            prop_assert_eq!(decode(&portions), whole.clone());
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(&single), whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::new(Limits { line_bytes_max: 64, event_bytes_max: 64 });
            let mut events = Vec::new();
            let _ = decoder.push(&bytes, &mut events);
            let _ = decoder.finish();
        }

        #[test]
        fn what_is_encoded_is_decoded(name in "[a-z]{0,8}", data in "[a-z :\r\n]{0,40}") {
            let want = data.replace("\r\n", "\n").replace('\r', "\n");
            let bytes = encode(&name, &data);
            prop_assert_eq!(decode(&[&encode_comment("a\nb"), &bytes]).0, vec![event(&name, &want)]);
        }
    }
}
