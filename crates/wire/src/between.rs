//! A provider's stream for a caller of another dialect: events in between, frames of the caller's out.

use bytes::BytesMut;
use domain::chat::{Done, RelayedPortion};
use domain::conversation::{Delta, Event};
use domain::meter::Stated;

use crate::stream::{Before, EventReader, EventWriter, Portions, Progress, StreamError, Took};

/// Reads with one dialect and writes with another.
pub struct Between {
    reader: Box<dyn EventReader>,
    writer: Box<dyn EventWriter>,
    events: Vec<Event>,
    frames: BytesMut,
    /// Bytes of what was said since the last portion.
    said: u32,
    done: Option<Done>,
    took: Took,
}

impl Between {
    /// `reader`'s events through `writer`.
    #[must_use]
    pub fn new(reader: Box<dyn EventReader>, writer: Box<dyn EventWriter>) -> Self {
        let (events, frames) = (Vec::new(), BytesMut::new());
        Self { reader, writer, events, frames, said: 0, done: None, took: Took::default() }
    }

    /// How long the answer has taken with the portion that is pushed next.
    pub fn took(&mut self, took: Took) {
        self.took = took;
    }

    fn write(&mut self) {
        for event in self.events.drain(..) {
            if let Event::Ended(ending) = &event {
                self.done = Some(ending.done());
                self.writer.took(self.took);
            }
            if let Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } = &event {
                self.said = self.said.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
            self.writer.write(&event, &mut self.frames);
        }
    }
}

impl Portions for Between {
    fn push(&mut self, bytes: &[u8]) -> Result<Progress, StreamError> {
        let read = self.reader.push(bytes, &mut self.events);
        self.write();
        read
    }

    fn end(&mut self) -> Result<(), StreamError> {
        let read = self.reader.end(&mut self.events);
        self.write();
        read
    }

    fn give_out(&mut self) -> Option<RelayedPortion> {
        // An answer without a word is one, too, when its model says why it ends: all of its limit went into thoughts, say.
        if self.frames.is_empty() || (self.before() == Before::Nothing && self.done.is_none()) {
            return None;
        }
        let said = std::mem::take(&mut self.said);
        Some(RelayedPortion { bytes: self.frames.split().freeze(), said, done: self.done })
    }

    fn before(&self) -> Before {
        self.reader.before()
    }

    fn stated(&self) -> Option<Stated> {
        self.reader.stated()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use domain::chat::{Dialect, Finish};

    use super::*;
    use crate::anthropic::messages::Messages;
    use crate::face::About;
    use crate::openai::chat::ChatCompletions;
    use crate::protocol::Protocol;
    use crate::{anthropic, faces};

    const OPENAI: &str = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"REASON"}]}"#,
        "\n\ndata: [DONE]\n\n"
    );
    const ANTHROPIC: &str = concat!(
        r#"data: {"type":"message_start","message":{"id":"m","model":"m","usage":{"input_tokens":9}}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"REASON"},"usage":{"output_tokens":50}}"#,
        "\n\n",
        r#"data: {"type":"message_stop"}"#,
        "\n\n"
    );

    #[test]
    fn an_answer_that_ends_before_a_word_is_given_out() {
        let body = r#"{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"Hi"}]}"#;
        let body = Bytes::from_static(body.as_bytes());
        let relayed = anthropic::relay::read(body, Dialect::AnthropicMessages, Vec::new()).expect("valid");
        let openai: Arc<dyn Protocol> = Arc::new(ChatCompletions::default());
        let anthropic: Arc<dyn Protocol> = Arc::new(Messages);
        for (protocol, stream, reason, finish) in [
            (&openai, OPENAI, "length", Finish::Length),
            (&openai, OPENAI, "stop", Finish::Stop),
            (&anthropic, ANTHROPIC, "max_tokens", Finish::Length),
            // As Claude answers some results of tools.
            (&anthropic, ANTHROPIC, "end_turn", Finish::Stop),
        ] {
            let stream = stream.replace("REASON", reason);
            for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::BedrockConverse] {
                let about = About { id: "1".into(), created: 0, model: "m".into(), took: Duration::ZERO };
                let face = faces::of(dialect).expect("a face");
                let mut between = Between::new(protocol.reader(), face.writer(about, &relayed));
                let (head, rest) = stream.split_at(stream.find("\n\n").expect("frames") + 2);
                assert_eq!(between.push(head.as_bytes()), Ok(Progress::Answering));
                assert!(between.give_out().is_none(), "another one can still be asked");
                assert_eq!(between.push(rest.as_bytes()), Ok(Progress::Ended));
                let portion = between.give_out().expect("an answer");
                assert_eq!(portion.done.map(|done| done.finish), Some(finish), "{dialect:?} {reason}");
            }
        }
    }
}
