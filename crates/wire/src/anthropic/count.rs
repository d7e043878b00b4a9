//! How many tokens a request has, asked of a provider with the caller's own bytes.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, Finish, Relayed};
use domain::conversation::Conversation;
use domain::token::Usage;
use serde::Deserialize;

use super::inbound::{self, Purpose};
use super::{answer as whole_answer, failure, messages, relay};
use crate::protocol::{Call, OwnDialect, Place};
use crate::relay::Relay;
use crate::stream::{Portions, StreamError};
use crate::translation::ReadError;

/// The request, for a provider of another dialect.
///
/// # Errors
/// [`ReadError`], also for what no other dialect can carry.
pub fn conversation(relayed: &Relayed) -> Result<Conversation, ReadError> {
    inbound::read_for(&relayed.body, Purpose::Count)
}

/// The answer that says `n_tokens`.
#[must_use]
pub fn answer(n_tokens: u64) -> Bytes {
    Bytes::from(format!("{{\"input_tokens\":{n_tokens}}}"))
}

/// `POST /v1/messages/count_tokens`, passed on.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountTokens;

impl OwnDialect for CountTokens {
    fn dialect(&self) -> Dialect {
        Dialect::AnthropicCountTokens
    }

    fn place(&self, _call: Call<'_>) -> Place {
        messages::place("/v1/messages/count_tokens", Delivery::Whole)
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        relay::patch(relayed, call)
    }

    fn portions(&self, _relayed: &Relayed) -> Box<dyn Portions> {
        // Never asked for: counts come whole.
        Box::new(Relay::<relay::stream::Events>::default())
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        #[derive(Deserialize)]
        struct Body {
            #[expect(dead_code, reason = "it must be there")]
            input_tokens: u64,
        }
        if whole_answer::is_error(body) {
            return Err(StreamError::Refused(failure::classify_event(body)));
        }
        serde_json::from_slice::<Body>(body).map_err(|_| StreamError::Malformed)?;
        // Counting is free.
        Ok(Done { finish: Finish::Stop, usage: Some(Usage::NONE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_and_costs_nothing() {
        let done = CountTokens.whole(br#"{"input_tokens":14,"future":[]}"#).expect("a count");
        assert_eq!(done.usage, Some(Usage::NONE));
        for body in ["", "{}", r#"{"input_tokens":"many"}"#, r#"{"error":{"type":"api_error"}}"#] {
            assert!(CountTokens.whole(body.as_bytes()).is_err(), "{body}");
        }
    }
}
