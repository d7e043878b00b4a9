//! Bedrock as a provider: Converse for every conversation; callers' own bytes as they are.

use bytes::Bytes;
use domain::chat::{Dialect, ErrorReply, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::Fault;

use super::converse::{answer, outbound, relay, stream};
use super::failure;
use super::invoke::{body_of, relay::Invoke};
use super::model::{Maker, maker};
use crate::protocol::{Call, OwnDialect, Place, Protocol, Reply};
use crate::stream::{EventReader, StreamError};
use crate::translation::Untranslatable;

/// Where calls go.
pub(super) mod path {
    use domain::chat::Delivery;
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

    use crate::protocol::{Call, Place};

    /// What AWS's SDKs leave as it is in a path.
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

    /// Event streams.
    pub(in crate::bedrock) const FRAMES: &str = "application/vnd.amazon.eventstream";

    /// Of Converse and ConverseStream.
    pub(in crate::bedrock) fn converse(call: Call<'_>) -> Place {
        let (operation, accept) = match call.delivery {
            Delivery::Whole => ("converse", "application/json"),
            Delivery::Streamed => ("converse-stream", FRAMES),
        };
        Place { path: of(call.model, operation), headers: Vec::new(), accept }
    }

    /// Of an operation of a model.
    pub(in crate::bedrock) fn of(model: &str, operation: &str) -> String {
        format!("/model/{}/{operation}", utf8_percent_encode(model, ENCODED))
    }
}

/// The runtime of Bedrock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bedrock;

impl Protocol for Bedrock {
    fn place(&self, call: Call<'_>) -> Place {
        path::converse(call)
    }

    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
        outbound::request(conversation, call.model)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError> {
        answer::read(body)
    }

    fn reader(&self) -> Box<dyn EventReader> {
        Box::new(stream::Reader::default())
    }

    fn classify(&self, reply: Reply<'_>) -> Fault {
        failure::classify(reply)
    }

    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
        failure::words(reply, conceal)
    }

    fn own_dialect(&self, relayed: &Relayed, model: &str) -> Option<&dyn OwnDialect> {
        match relayed.dialect {
            Dialect::BedrockConverse => Some(&relay::Converse),
            // Another maker's body is translated, like that of any other dialect.
            Dialect::BedrockInvoke if takes(maker(model), body_of(relayed)) => Some(&Invoke),
            _ => None,
        }
    }
}

/// Whether models of `maker` take bodies made for those of `body`; of an id that does not say whose model it is, the
/// caller knows.
fn takes(maker: Maker, body: Maker) -> bool {
    maker == body || matches!((maker, body), (Maker::Other, _) | (_, Maker::Other))
}

#[cfg(test)]
mod tests {
    use domain::chat::Delivery;

    use super::*;

    #[test]
    fn ids_stand_in_the_path_as_the_sdks_write_them() {
        let call = |model, delivery| Call { model, delivery, overrides: Default::default(), max_tokens: 1 };
        for (model, delivery, want) in [
            (
                "anthropic.claude-3-haiku-20240307-v1:0",
                Delivery::Whole,
                "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x.y",
                Delivery::Streamed,
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx.y/converse-stream",
            ),
        ] {
            assert_eq!(Bedrock.place(call(model, delivery)).path, want);
        }
    }
}
