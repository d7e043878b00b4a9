//! Claude's body is an Anthropic message without `model` and `stream`, and with a version; its stream has Anthropic's
//! events without event stream around them.

use bytes::{BufMut, Bytes, BytesMut};
use domain::chat::Relayed;
use domain::conversation::{Conversation, Event};
use memchr::memmem;

use super::face::{Invocation, chunk};
use crate::anthropic::messages::Messages;
use crate::face::Face as _;
use crate::json;
use crate::patch::slice;
use crate::request::LIMITS;
use crate::stream::{EventWriter, Took};
use crate::translation::ReadError;

/// Fields that Bedrock adds to a message.
const VERSION: &str = "anthropic_version";
const BETA: &str = "anthropic_beta";

/// Reads a request.
pub(super) fn conversation(relayed: &Relayed) -> Result<Conversation, ReadError> {
    let fields =
        json::fields(&relayed.body, LIMITS).map_err(|_| ReadError::Unreadable("not a JSON object"))?;
    let mut message = BytesMut::with_capacity(relayed.body.len());
    message.put_u8(b'{');
    for field in &fields {
        let value = slice(&relayed.body, &field.value);
        match &*field.key {
            VERSION => continue,
            BETA if matches!(value, b"[]" | b"null") => continue,
            BETA => {
                return Err(ReadError::unsupported(BETA, "only Anthropic's models have features under test"));
            }
            key => {
                if message.len() > 1 {
                    message.put_u8(b',');
                }
                message.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
                message.put_u8(b':');
                message.extend_from_slice(value);
            }
        }
    }
    message.put_u8(b'}');
    Messages.conversation(&Relayed { body: Bytes::from(message), ..relayed.clone() })
}

/// Writes Anthropic's events as chunks.
pub(super) struct Writer {
    events: Box<dyn EventWriter>,
    written: BytesMut,
    took: Took,
}

impl Writer {
    pub(super) fn new(events: Box<dyn EventWriter>) -> Self {
        Self { events, written: BytesMut::new(), took: Took::default() }
    }
}

impl EventWriter for Writer {
    fn write(&mut self, event: &Event, frames: &mut BytesMut) {
        self.events.write(event, &mut self.written);
        let last = match event {
            Event::Ended(ending) => Some(Invocation { usage: ending.usage, took: self.took }),
            _ => None,
        };
        let written = self.written.split();
        for line in written.as_ref().split(|byte: &u8| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
            let is_last = memmem::find(data, br#""type":"message_stop""#).is_some();
            chunk(data, last.filter(|_| is_last), frames);
        }
    }

    fn took(&mut self, took: Took) {
        self.took = took;
    }
}
