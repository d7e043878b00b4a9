//! The format as a whole: what callers speak, and what providers do.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, ErrorReply, Finish, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::Fault;

use super::answer::{self, Counted};
use super::count::CountTokens;
use super::{failure, inbound, outbound, relay, request, stream};
use crate::face::{About, Face};
use crate::protocol::{Call, OwnDialect, Place, Protocol, Reply};
use crate::reader::Reader;
use crate::relay::Relay;
use crate::stream::{EventReader, EventWriter, Portions, StreamError};
use crate::translation::{ReadError, Untranslatable};

/// The version of the format that is spoken here.
pub const VERSION: &str = "2023-06-01";

/// The header that names a version; a caller's own goes before ours.
pub const VERSION_HEADER: &str = "anthropic-version";

/// The header that names features under test.
pub const BETA_HEADER: &str = "anthropic-beta";

/// Anthropic messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages;

/// Where calls of `path` go.
pub(super) fn place(path: &str, delivery: Delivery) -> Place {
    Place {
        path: path.to_owned(),
        headers: vec![(VERSION_HEADER, VERSION.to_owned())],
        accept: match delivery {
            Delivery::Streamed => "text/event-stream",
            Delivery::Whole => "application/json",
        },
    }
}

impl Face for Messages {
    fn conversation(&self, relayed: &Relayed) -> Result<Conversation, ReadError> {
        inbound::read(&relayed.body)
    }

    fn answer(&self, about: &About, answer: &Answer, _relayed: &Relayed) -> Bytes {
        outbound::whole(about, answer)
    }

    fn writer(&self, about: About, _relayed: &Relayed) -> Box<dyn EventWriter> {
        Box::new(outbound::Writer::new(about))
    }
}

impl Protocol for Messages {
    fn place(&self, call: Call<'_>) -> Place {
        place("/v1/messages", call.delivery)
    }

    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
        request::write(conversation, call)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError> {
        answer::read(body)
    }

    fn reader(&self) -> Box<dyn EventReader> {
        Box::new(Reader::<stream::Events>::default())
    }

    fn classify(&self, reply: Reply<'_>) -> Fault {
        failure::classify(reply)
    }

    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
        failure::words(reply.status, reply.body, conceal)
    }

    fn own_dialect(&self, relayed: &Relayed, _model: &str) -> Option<&dyn OwnDialect> {
        match relayed.dialect {
            Dialect::AnthropicMessages => Some(self),
            Dialect::AnthropicCountTokens => Some(&CountTokens),
            _ => None,
        }
    }
}

impl OwnDialect for Messages {
    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn place(&self, call: Call<'_>) -> Place {
        place("/v1/messages", call.delivery)
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        relay::patch(relayed, call)
    }

    fn portions(&self, _relayed: &Relayed) -> Box<dyn Portions> {
        Box::new(Relay::<relay::stream::Events>::default())
    }

    fn unstreamed(&self) -> Option<Box<dyn EventReader>> {
        Some(self.reader())
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        let message = answer::message(body)?;
        let mut counted = Counted::default();
        counted.take(message.usage);
        let finish = message.stop_reason.map_or(Finish::Stop, |reason| answer::finish(&reason.0));
        Ok(Done { finish, usage: counted.usage() })
    }
}

#[cfg(test)]
mod tests;
